"""What is known of one contact point, gathered once, with the proof of each event: what every form of a record is made from.

Knows no form. A fact that nobody recorded is not here, so that no form can hold it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.addresses import Channel, normalise
from domain.catalogue import Catalogue, Purpose, Topic
from domain.consent import RESTRICTIVENESS, ConsentSource, ConsentValue
from domain.controller import ConsentType
from domain.events import EventType
from domain.opt_in_rules import says_implied
from domain.refusals import Refusal, RefusalCode
from domain.standing import Standing, counting_record, decision_of
from domain.time import format_instant
from domain.upcasting import upcast
from eventstore import read, tree
from eventstore.read import StoredEntry
from ledger import history
from ledger.assembly import Tenant
from ledger.checkpoints import SignedCheckpoint, checkpoint
from ledger.look_up import LookUp, look_up
from ledger.records.responsible import Responsible, responsible
from projections.contact_points import ContactPoint
from tlog.note import encode_base64


@dataclass(frozen=True, slots=True)
class Missing:
    """A field that a form must have and nobody recorded; `record` is the event's id."""

    field: str
    why: str
    record: str

    def to_json(self) -> dict[str, str]:
        """As a report shows it."""
        return {"field": self.field, "why": self.why, "record": self.record}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One event, opened, with its proof."""

    stored: StoredEntry
    data: Mapping[str, Any]
    personal: Mapping[str, Any] = field(repr=False)
    proof: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The event's id."""
        return str(self.stored.entry.event_id)

    @property
    def value(self) -> ConsentValue:
        """What a capture says."""
        return ConsentValue(self.data["value"])

    @property
    def source(self) -> ConsentSource:
        """By which way a capture came."""
        return ConsentSource(self.data["source"])

    @property
    def level(self) -> tuple[str, str | None, str]:
        """The purpose, topic and unit that a capture is about."""
        return self.data["purpose"], self.data.get("topic"), self.data["unit"]

    @property
    def chosen_at(self) -> str:
        """When the person chose, in UTC."""
        entry = self.stored.entry
        return format_instant(entry.effective_at or entry.recorded_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything known of one contact point at one checkpoint."""

    contact_point: UUID
    channel: Channel
    address: str = field(repr=False)
    created_at: str
    tenant_key: str
    catalogue: Catalogue
    # The profile that is asked for, by its key.
    profile: str | None
    # What was set when each event was recorded, by its position.
    then: Mapping[int, Catalogue]
    events: tuple[Fact, ...]
    standing: Standing
    checkpoint: SignedCheckpoint

    @property
    def captures(self) -> list[Fact]:
        """The changes of consent: of each level the last is the one that counts."""
        found = [fact for fact in self.events if fact.stored.entry.type == EventType.CONSENT_CAPTURED]
        return sorted(found, key=lambda fact: (fact.chosen_at, RESTRICTIVENESS[fact.value], fact.stored.position))

    def stands(self, fact: Fact, now: datetime) -> bool:
        """Whether an opt-in counts at `now`: the ledger would let a message go at its level, and by this very opt-in.

        Every active profile that it may have been given under has to let it go, and there has to be one. What a check refuses
        to decide, since it is inactive, is never let go.
        """
        if fact.value is not ConsentValue.OPTED_IN:
            return False
        purpose, topic, _ = fact.level
        profiles = [profile.key for profile in self.responsible(fact).now if profile.active]
        return bool(profiles) and all(self._stands_under(profile, purpose, topic, fact, now) for profile in profiles)

    def _stands_under(self, profile: str, purpose: str, topic: str | None, fact: Fact, now: datetime) -> bool:
        try:
            subject = self.catalogue.message(profile, purpose, topic)
        except Refusal:
            return False
        records = self.standing.records
        above = counting_record(self.catalogue, subject.unit, subject.purpose, None, records)
        counts = counting_record(self.catalogue, subject.unit, subject.purpose, subject.topic, records)
        return (
            counts is not None
            and counts.position == fact.stored.position
            and not counts.expired_at(now)
            # Where nothing is enforced a message goes all the same; the consent has ended.
            and (above is None or above.value is not ConsentValue.OPTED_OUT)
            and decision_of(self.catalogue, subject, self.channel, self.standing, now).allowed
        )

    def responsible(self, fact: Fact) -> Responsible:
        """Under which profiles a capture may have been given, and what they say."""
        return responsible(self.catalogue, self.then[fact.stored.position], fact.data["purpose"], self.profile)

    def consent_type_then(self, fact: Fact) -> ConsentType | None:
        """What type of consent an opt-in is: implied where it rests on a basis that implies it, whatever the profile says."""
        if self.purpose(fact).opt_in.implies(self.legal_basis(fact)) or says_implied(self.legal_basis(fact)):
            return ConsentType.IMPLIED
        return self.responsible(fact).controller_then.consent_type

    def legal_basis(self, fact: Fact) -> str | None:
        """The one that the capture names, or else its purpose as it was."""
        return fact.data.get("legalBasis") or self.purpose(fact).legal_basis

    def jurisdiction(self, fact: Fact) -> str | None:
        """The one that the capture names, or else its profile as it was."""
        return fact.data.get("jurisdiction") or self.responsible(fact).controller_then.jurisdiction

    def purpose(self, fact: Fact) -> Purpose:
        """The purpose that a capture is about, as it was: what was said to the person is not what is said of it later."""
        return self.then[fact.stored.position].purposes[fact.data["purpose"]]

    def topic(self, fact: Fact) -> Topic | None:
        """The topic that a capture is about, as it was."""
        topic = fact.data.get("topic")
        return None if topic is None else self.then[fact.stored.position].topics[topic]


async def facts_of(tenant: Tenant, channel: Channel, address: str, *, profile: str | None = None) -> Facts:
    """What is known at this address; `profile` is the one asked for where several share a purpose.

    Raises Refusal NOT_FOUND, INVALID_ADDRESS, and what `checkpoint` raises.
    """
    held = await history.find_contact_point(tenant, channel, address)
    if held is None or held.erasing:
        raise Refusal(
            RefusalCode.NOT_FOUND, "nothing is recorded for this address; what was erased has no address", ("address",)
        )
    return await _facts(tenant, held, tenant.blind_index(channel, normalise(channel, address)), profile)


async def _facts(tenant: Tenant, held: ContactPoint, blind_index: bytes, profile: str | None) -> Facts:
    signed = await checkpoint(tenant)
    size = signed.checkpoint.size
    catalogue = await tenant.latest_catalogue()
    async with tenant.ledger.connection() as connection:
        streams = await read.streams(connection, tenant.id, [held.id], to_position=size - 1)
        events = streams[held.id]
        proofs = await tree.inclusion_proofs(connection, tenant.id, [event.position for event in events], size)
        captured = [event.entry.data for event in events if event.entry.type == EventType.CONSENT_CAPTURED]
        look = LookUp(
            [blind_index],
            tuple({data["purpose"] for data in captured}),
            ("", *{data["topic"] for data in captured if "topic" in data}),
        )
        [seen] = await look_up(connection, tenant.id, [look])
    opened = await history.evidence(tenant, events)
    addresses = await history.addresses(tenant, [held.id])
    if held.id not in addresses:
        # Erased since it was found.
        raise Refusal(RefusalCode.NOT_FOUND, "nothing is recorded for this address any more", ("address",))
    return Facts(
        contact_point=held.id,
        channel=held.channel,
        address=addresses[held.id],
        created_at=format_instant(held.created_at),
        tenant_key=tenant.key,
        catalogue=catalogue,
        profile=None if profile is None else catalogue.profile(profile).key,
        then={event.position: tenant.catalogue_at(event.position) for event in events},
        events=tuple(
            Fact(
                stored=event,
                data=upcast(event.entry.type, event.entry.version, event.entry.data),
                personal=opened.get(event.position, {}),
                proof={
                    "position": event.position,
                    "leafHash": encode_base64(event.leaf_hash),
                    "inclusion": [encode_base64(node) for node in proofs[event.position]],
                    "checkpoint": signed.note,
                },
            )
            for event in events
        ),
        standing=seen.found[0][1],
        checkpoint=signed,
    )
