"""Double opt-in: a submission is recorded as a request, and as consent once the person confirms it by the link they are sent.

The link is good for 28 days. What is confirmed counts from the request: so a choice made in between, an opt-out above all,
wins, and confirming twice gives the first answer again (rule 7 of The decision, docs/decisions/double-opt-in.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from domain.addresses import Channel
from domain.catalogue import Catalogue, Purpose, Topic, by_keys
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.double_opt_in import CONFIRMATION_VALID, asks_for_confirmation, levels_of
from domain.events import CURRENT_VERSIONS, ConsentCaptured, EventType
from domain.refusals import Refusal, RefusalCode
from domain.suppression import Level, is_suppressed
from domain.time import format_instant
from eventstore import read
from eventstore.command import Command, Draft, IndexColumns
from eventstore.personal.link_tokens import seal_token
from eventstore.read import EntryFilter, StoredEntry
from ledger.assembly import Caller, Ledger, Tenant
from ledger.contactability import consent_of
from ledger.existing_consent import StandingAtLevels, StandingNow
from ledger.given_evidence import Evidence, given_evidence
from ledger.idempotency import append, stored_key
from ledger.links import LinkInvalid, open_link
from ledger.look_up import LookUp, look_up
from ledger.opt_ins import NO_TERMS, OptInTerms, opt_in_valid_until, shown_by
from ledger.preferences import RECIPIENT_LINK
from ledger.record import Recorded, capture_draft, subject_of_address
from projections import contact_points
from tlog import canonical_json
from tlog.note import decode_base64, encode_base64

TOPICS_MAX = 100
_PAGE = 100
_CONFIRMATION = "confirmation"


@dataclass(frozen=True, slots=True)
class Requested:
    """What became of a submission: a token for the link to confirm it by, or, without one, consent that is recorded."""

    token: str | None
    confirmation_url: str | None
    expires_at: datetime | None
    recorded: Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What a confirmation link names."""

    channel: Channel
    address: str = field(repr=False)
    requested: int
    expires_at: datetime


async def request_double_opt_in(
    tenant: Tenant,
    caller: Caller,
    *,
    channel: Channel,
    address: str,
    profile: str = "default",
    purpose: str,
    topics: Sequence[str] = (),
    evidence: Evidence | None = None,
    terms: OptInTerms = NO_TERMS,
    idempotency_key: str | None = None,
) -> Requested:
    """Take a submission: a request to be confirmed where the profile asks for that here, else consent.

    Raises Refusal (address; unknown, inactive or foreign profile, purpose, topic; more than 100 topics; what the purpose asks
    of an opt-in), StoreUnavailable.
    """
    if len(topics) > TOPICS_MAX:
        raise Refusal(RefusalCode.TOO_MANY, f"at most {TOPICS_MAX} topics at once", ("topics",))
    subject = subject_of_address(tenant, channel, address)
    sealed, notice = given_evidence(evidence, {}, address, subject.address)
    now = _StandingUnderProfile(blind_index=subject.blind_index, profile=profile)
    terms = terms.checked()
    fields = {
        "channel": channel, "address": address, "profile": profile, "purpose": purpose, "topics": list(topics),
        "evidence": evidence, **terms.to_data(),
    }  # fmt: skip

    def decide(recorded_at: datetime) -> list[Draft]:
        found_purpose, found_topics = _subject(tenant, profile, purpose, topics)
        # A request is held to what an opt-in has to bring: once it is confirmed, only the link would come with it.
        opt_in_valid_until(found_purpose, recorded_at, terms, shown=shown_by(evidence))
        confirms = asks_for_confirmation(
            tenant.catalogue.profile(profile).double_opt_in, opted_in=now.opted_in(tenant.catalogue, recorded_at)
        )
        levels = [None, *found_topics]
        for topic in levels:
            now.keep_from_implied(found_purpose, topic, terms.legal_basis, recorded_at, of_person=confirms)
        if not confirms:
            return [
                _captured(
                    channel, found_purpose, topic, recorded_at, terms, ActorKind.SYSTEM, "SERVER_KEY", sealed, notice
                )
                for topic in levels
            ]
        data: dict[str, Any] = {
            "channel": str(channel),
            "profile": tenant.catalogue.profile(profile).key,
            "purpose": found_purpose.key,
            "expiresAt": format_instant(recorded_at + CONFIRMATION_VALID),
            **terms.to_data(),
        }
        if found_topics:
            data["topics"] = [topic.key for topic in found_topics]
        if notice is not None:
            data["noticeDigest"] = encode_base64(notice[0])
        return [
            Draft(
                type=EventType.DOUBLE_OPT_IN_REQUESTED,
                version=CURRENT_VERSIONS[EventType.DOUBLE_OPT_IN_REQUESTED],
                data=data,
                effective_at=None,
                actor=ActorKind.SYSTEM,
                columns=IndexColumns(channel=channel, purpose=found_purpose.key),
                evidence=sealed,
                notice=notice,
            )
        ]

    command = Command(
        decide=decide,
        application=caller.application,
        subject=subject,
        idempotency=stored_key(tenant, caller.application, idempotency_key, "requestDoubleOptIn", fields),
        circumstances=now,
    )
    appended = await append(tenant, command)
    recorded = Recorded(appended.entries, appended.repeated)
    first = appended.entries[0].entry
    if first.type != EventType.DOUBLE_OPT_IN_REQUESTED:
        return Requested(None, None, None, recorded)
    expires_at = datetime.fromisoformat(first.data["expiresAt"])
    token = _token(
        tenant,
        Confirmation(channel=channel, address=subject.address, requested=first.position, expires_at=expires_at),
    )
    return Requested(token, f"{tenant.ledger.public_url}/c/{token}", expires_at, recorded)


async def open_confirmation(ledger: Ledger, token: str) -> tuple[Tenant, Confirmation]:
    """What a confirmation link names. Raises Refusal INVALID_TOKEN, EXPIRED_TOKEN, StoreUnavailable."""
    try:
        tenant, content = await open_link(ledger, token, _CONFIRMATION)
    except LinkInvalid as error:
        raise invalid_token() from error
    confirmation = Confirmation(
        channel=Channel(content["c"]),
        address=content["a"],
        requested=content["n"],
        expires_at=datetime.fromtimestamp(content["e"], UTC),
    )
    if ledger.clock() >= confirmation.expires_at:
        raise Refusal(
            RefusalCode.EXPIRED_TOKEN, "the link was good for 28 days and has expired; ask for a new one", ("token",)
        )
    return tenant, confirmation


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What a confirmation link asked for, by level: what counts now, and what another choice has overtaken.

    Topics of a purpose that is left out are left out with it, whatever is recorded of them. `blocked` where the address is
    suppressed all the same: a message came back since it was asked for.
    """

    purpose: str
    counting: tuple[Level, ...]
    overtaken: tuple[Level, ...]
    blocked: bool = False


async def confirm_double_opt_in(tenant: Tenant, confirmation: Confirmation, shown: Evidence | None = None) -> Recorded:
    """Record what was requested as consent from the person, effective at the request. Twice gives the first answer again.

    `shown`: the page on which they confirmed. The confirmation keeps it, and so do captures whose request showed no notice.

    Raises Refusal INVALID_TOKEN where the request is not in this log, ERASED where its contact point is erased since,
    INACTIVE, INVALID where it rests on implied consent and an opt-out stands against that, StoreUnavailable.
    """
    subject = subject_of_address(tenant, confirmation.channel, confirmation.address)
    async with tenant.ledger.connection() as connection:
        found = (await read.at_positions(connection, tenant.id, [confirmation.requested])).get(confirmation.requested)
        held = await contact_points.by_blind_index(connection, tenant.id, subject.blind_index)
    if found is None or found.entry.type != EventType.DOUBLE_OPT_IN_REQUESTED:
        raise invalid_token()
    if held is None or held.id != found.entry.stream or held.erasing:
        raise Refusal(RefusalCode.ERASED, "what was asked for is erased since; nothing is left to confirm", ("token",))
    data, requested_at = found.entry.data, found.entry.recorded_at
    sealed, notice = given_evidence(shown, {}, subject.address)
    notice_digest = data.get("noticeDigest") or (None if notice is None else encode_base64(notice[0]))

    terms = OptInTerms.from_data(data)
    now = StandingAtLevels(blind_index=subject.blind_index, named=tuple(levels_of(data)))

    def decide(_: datetime) -> list[Draft]:
        drafts = [
            Draft(
                type=EventType.DOUBLE_OPT_IN_CONFIRMED,
                version=CURRENT_VERSIONS[EventType.DOUBLE_OPT_IN_CONFIRMED],
                data={
                    "channel": str(confirmation.channel),
                    "purpose": data["purpose"],
                    "requested": confirmation.requested,
                    **({} if notice is None else {"noticeDigest": encode_base64(notice[0])}),
                },
                effective_at=None,
                actor=ActorKind.RECIPIENT,
                columns=IndexColumns(channel=confirmation.channel, purpose=data["purpose"]),
                evidence=sealed,
                notice=notice,
            )
        ]
        for purpose_ref, topic_ref in map(by_keys, levels_of(data)):
            purpose, topic = tenant.catalogue.capture_subject(purpose_ref, topic_ref, value=ConsentValue.OPTED_IN)
            now.keep_from_implied(purpose, topic, terms.legal_basis, requested_at, of_person=True)
            drafts.append(
                _captured(
                    confirmation.channel,
                    purpose,
                    topic,
                    requested_at,
                    terms,
                    ActorKind.RECIPIENT,
                    RECIPIENT_LINK,
                    None,
                    None,
                    notice_digest=notice_digest,
                )  # fmt: skip
            )
        return drafts

    command = Command(
        decide=decide,
        application=None,
        subject=subject,
        idempotency=stored_key(
            tenant,
            None,
            f"confirm:{confirmation.requested}",
            "confirmDoubleOptIn",
            {"requested": confirmation.requested},
        ),
        circumstances=now,
    )
    appended = await append(tenant, command)
    return Recorded(appended.entries, appended.repeated)


async def requested_by(tenant: Tenant, confirmation: Confirmation) -> Mapping[str, Any] | None:
    """What a confirmation link is about: the request's data; None where it is erased since, or no request at all."""
    found = await _request(tenant, confirmation)
    return None if found is None else found.entry.data


async def is_confirmed(tenant: Tenant, confirmation: Confirmation) -> bool:
    """Whether what a link asks for was confirmed before."""
    found = await _request(tenant, confirmation)
    if found is None:
        return False
    of_stream = EntryFilter(
        types=(EventType.DOUBLE_OPT_IN_CONFIRMED,), stream=found.entry.stream, from_position=confirmation.requested
    )
    after = -1
    async with tenant.ledger.connection() as connection:
        while page := await read.forward(connection, tenant.id, of_stream, after=after, limit=_PAGE):
            if any(each.entry.data["requested"] == confirmation.requested for each in page):
                return True
            after = page[-1].position
    return False


async def confirmed(tenant: Tenant, confirmation: Confirmation) -> Confirmed | None:
    """What of a confirmed request counts now; None where it is erased since."""
    found = await _request(tenant, confirmation)
    if found is None:
        return None
    levels = levels_of(found.entry.data)
    answers = await consent_of(tenant, [(found.entry.stream, purpose, topic) for purpose, topic in levels])
    purpose = found.entry.data["purpose"]
    opted_in = {
        level
        for level, answer in zip(levels, answers, strict=True)
        if not isinstance(answer, Refusal) and answer.value is ConsentValue.OPTED_IN
    }
    counting = tuple(level for level in levels if level in opted_in and (purpose, None) in opted_in)
    overtaken = tuple(level for level in levels if level not in counting)
    return Confirmed(purpose, counting, overtaken, await _is_blocked(tenant, confirmation, counting))


async def _is_blocked(tenant: Tenant, confirmation: Confirmation, levels: Sequence[Level]) -> bool:
    """Whether nothing is sent at one of these levels, whatever counts there."""
    look = LookUp(
        [tenant.blind_index(confirmation.channel, confirmation.address)],
        tuple({purpose for purpose, _ in levels}),
        ("", *(topic for _, topic in levels if topic is not None)),
    )
    async with tenant.ledger.connection() as connection:
        [seen] = await look_up(connection, tenant.id, [look])
    [(_, standing)] = seen.found
    return standing.bounced or any(
        is_suppressed(standing.suppressions, standing.opt_ins, tenant.catalogue.purposes[purpose], topic)
        for purpose, topic in levels
    )


async def _request(tenant: Tenant, confirmation: Confirmation) -> StoredEntry | None:
    subject = subject_of_address(tenant, confirmation.channel, confirmation.address)
    async with tenant.ledger.connection() as connection:
        found = (await read.at_positions(connection, tenant.id, [confirmation.requested])).get(confirmation.requested)
        held = await contact_points.by_blind_index(connection, tenant.id, subject.blind_index)
    if found is None or found.entry.type != EventType.DOUBLE_OPT_IN_REQUESTED:
        return None
    return found if held is not None and held.id == found.entry.stream and not held.erasing else None


def invalid_token() -> Refusal:
    """The refusal of what is no confirmation link of this tenant; it does not say which part is wrong."""
    return Refusal(RefusalCode.INVALID_TOKEN, "this is no link that was sent from here", ("token",))


def _token(tenant: Tenant, confirmation: Confirmation) -> str:
    content = {
        "a": confirmation.address,
        "c": str(confirmation.channel),
        "e": int(confirmation.expires_at.timestamp()),
        "k": _CONFIRMATION,
        "n": confirmation.requested,
    }
    return seal_token(tenant.keys.links, tenant.id, canonical_json.encode(content))


@dataclass(slots=True, kw_only=True)
class _StandingUnderProfile(StandingNow):
    """Where an address stands, under the head that a submission is written on, in all that belongs to its profile."""

    profile: str

    def levels(self, catalogue: Catalogue) -> list[Level]:
        """Every purpose of the profile, and every topic of these."""
        return [
            (purpose, topic)
            for purpose in catalogue.profile(self.profile).purposes
            for topic in (None, *(topic.key for topic in catalogue.topics_of(purpose)))
        ]

    def opted_in(self, catalogue: Catalogue, as_of: datetime) -> bool:
        """Whether a record that counts there says OPTED_IN now: then whoever has the address is known to want messages."""
        unit = catalogue.profile(self.profile).unit
        counting = [
            self.counting(
                catalogue, unit, catalogue.purposes[purpose], None if topic is None else catalogue.topics[topic]
            )
            for purpose, topic in self.levels(catalogue)
        ]
        return any(
            record is not None and record.value is ConsentValue.OPTED_IN and not record.expired_at(as_of)
            for record in counting
        )


def _subject(tenant: Tenant, profile: str, purpose: str, topics: Sequence[str]) -> tuple[Purpose, list[Topic]]:
    """What a submission names; the topics are told by their place where one is wrong."""
    found = tenant.catalogue.message(profile, purpose, None).purpose
    wanted: dict[str, Topic] = {}
    for number, ref in enumerate(topics):
        try:
            topic = tenant.catalogue.message(profile, purpose, ref).topic
        except Refusal as refusal:
            raise Refusal(refusal.code, refusal.message, ("topics", str(number))) from refusal
        if topic is not None:
            wanted[topic.key] = topic
    return found, list(wanted.values())


def _captured(
    channel: Channel,
    purpose: Purpose,
    topic: Topic | None,
    effective_at: datetime,
    terms: OptInTerms,
    actor: ActorKind,
    trust: str,
    sealed: bytes | None,
    notice: tuple[bytes, str] | None,
    *,
    notice_digest: str | None = None,
) -> Draft:
    digest = notice[0] if notice is not None else None if notice_digest is None else decode_base64(notice_digest)
    captured = ConsentCaptured(
        channel=channel,
        purpose=purpose.key,
        topic=None if topic is None else topic.key,
        unit=purpose.unit,
        value=ConsentValue.OPTED_IN,
        source=ConsentSource.FORM,
        effective_at=effective_at,
        valid_until=terms.ends(purpose, effective_at),
        legal_basis=terms.legal_basis,
        jurisdiction=terms.jurisdiction,
        notice_digest=digest,
        trust=trust,
    )
    return capture_draft(captured, actor, sealed, notice)
