"""A text message that a person sent back: a keyword becomes opt-outs or opt-ins, with the message as evidence.

An opt-out is never lost: not because the number is unknown, nor because the purpose is inactive. What `receive_sms` and
`receive_email` have in common (the answer, what "everything commercial" is, how it is recorded) stands here too.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from domain.addresses import Channel
from domain.catalogue import DEFAULT_PROFILE, Catalogue, ComplianceProfile, MessageSubject, Purpose, PurposeType, by_key
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.opt_out_wording import keyword_of_text_message
from domain.refusals import Refusal, RefusalCode
from domain.sms_keywords import Keyword
from domain.sms_replies import Holds, reply_text
from domain.standing import Standing, counting_record, decision_of
from domain.text import shown_text
from eventstore.read import StoredEntry
from ledger.assembly import Caller, Tenant
from ledger.erasure_completion import complete_erasure
from ledger.flood_limit import TooOften
from ledger.given_evidence import Evidence
from ledger.look_up import LookUp, look_up
from ledger.record import CONSENTS_MAX, Actor, Capture, Recorded, record_consent, record_consents
from ledger.repeated_opt_outs import lost_opt_outs
from ledger.still_sent import still_sent
from ledger.text_message_fields import number_of, side_fields

SMS_TEXT_CHARS_MAX = 1_000
RECIPIENT = Actor(kind=ActorKind.RECIPIENT)


class InboundKind(StrEnum):
    """What a message that came in was."""

    KEYWORD = "KEYWORD"
    UNSUBSCRIBE = "UNSUBSCRIBE"
    COMPLAINT = "COMPLAINT"
    HARD_BOUNCE = "HARD_BOUNCE"
    SOFT_BOUNCE = "SOFT_BOUNCE"
    IGNORED = "IGNORED"


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundResult:
    """What became of a message that came in.

    `known`: whether its address was, before. `recorded`: how many events are new; `positions`: where its events stand,
    those of an earlier delivery of the same message too. `reply`: what to send back. `why`: why nothing was recorded.
    `left_out`: the fields that could not be read.
    """

    kind: InboundKind
    known: bool
    recorded: int = 0
    positions: tuple[int, ...] = ()
    events: tuple[StoredEntry, ...] = field(default=(), repr=False)
    keyword: Keyword | None = None
    reply: str | None = field(default=None, repr=False)
    why: str | None = None
    left_out: tuple[str, ...] = ()


async def receive_sms(
    tenant: Tenant,
    caller: Caller,
    *,
    sender: str,
    text: str,
    profile: str | None = None,
    message_id: str | None = None,
    locale: str | None = None,
    received_at: datetime | str | None = None,
    idempotency_key: str | None = None,
) -> InboundResult:
    """Take a text message of `sender`, the person's number, and record what its keyword asks for.

    STOP is out of every COMMERCIAL purpose of the profile, or of all profiles where none is named, inactive ones included;
    START is into the active ones of the profile named, or else of the default one. Without an idempotency key the message's
    id is one. Raises Refusal (INVALID_ADDRESS, NOT_FOUND of the profile, and what a capture is
    refused for), TooOften for anything but a STOP, StoreUnavailable: then send it again.
    """
    keyword = keyword_of_text_message(text)
    opts_in = keyword is Keyword.START
    number = number_of(sender, opts_in=opts_in)
    beside = side_fields(
        opts_in=opts_in, message_id=message_id, locale=locale, received_at=received_at, now=tenant.ledger.clock()
    )
    flooded = seconds_to_wait(tenant, Channel.SMS, number)
    if flooded and keyword is not Keyword.STOP:
        raise TooOften(flooded)
    catalogue = await tenant.latest_catalogue()
    of = catalogue.profile(DEFAULT_PROFILE if profile is None else profile)
    everywhere = profile is None and keyword is Keyword.STOP
    purposes = commercial_purposes(catalogue, None if everywhere else of)
    known, _ = await standing_of(tenant, Channel.SMS, number, purposes)
    if keyword is None:
        why = "the message is no keyword; nothing was recorded"
        return InboundResult(kind=InboundKind.IGNORED, known=known, why=why)
    sender_name = of.preference_center.title or of.name
    if keyword is Keyword.HELP:
        reply = reply_text(keyword, locale, sender_name=sender_name, known=known)
        why = "a question for help changes no consent; nothing was recorded"
        return InboundResult(kind=InboundKind.KEYWORD, known=known, keyword=keyword, reply=reply, why=why)
    if keyword is Keyword.START:
        value = ConsentValue.OPTED_IN
        purposes = [purpose for purpose in purposes if purpose.active and of.active]
        why_nothing = "the profile has no active commercial purpose to opt in to; nothing was recorded"
        if not purposes:
            # Nobody is told that messages will come where none will.
            return InboundResult(kind=InboundKind.KEYWORD, known=known, keyword=keyword, why=why_nothing)
    else:
        value = ConsentValue.OPTED_OUT
        why_nothing = "the profile has no commercial purpose"
    attributes: dict[str, object] = {"smsText": shown_text(text[:SMS_TEXT_CHARS_MAX])}
    if beside.left_out:
        attributes["leftOut"] = beside.left_out
    # What could not be read is a part of what the message says, too.
    at = beside.received_at or received_at
    captures = [
        Capture(
            channel=Channel.SMS,
            address=number,
            purpose=by_key(purpose.key),
            value=value,
            effective_at=beside.received_at,
            source=ConsentSource.SMS_KEYWORD,
            actor=RECIPIENT,
            evidence=Evidence(locale=beside.locale, attributes=attributes),
            message_id=beside.message_id,
            spare_erased=True,
            idempotency_key=_key(idempotency_key, message_id, number, text, locale, at, purpose),
        )
        for purpose in purposes
    ]
    recorded = await (record_joined if flooded else record_all)(tenant, caller, captures)
    holds = await _what_holds(tenant, of, number, keyword, commercial_purposes(catalogue, None if everywhere else of))
    reply = reply_text(keyword, locale, sender_name=sender_name, known=known, holds=holds)
    return InboundResult(
        kind=InboundKind.KEYWORD,
        known=known,
        recorded=new_events(recorded),
        positions=positions_of(recorded),
        events=events_of(recorded),
        keyword=keyword,
        reply=reply,
        why=None if recorded else why_nothing,
        left_out=tuple(beside.left_out),
    )


async def _what_holds(
    tenant: Tenant, of: ComplianceProfile, number: str, keyword: Keyword, purposes: Sequence[Purpose]
) -> Holds:
    """What of a keyword holds now that it is recorded: a choice of a later time, or a topic's own, may say otherwise."""
    catalogue = await tenant.latest_catalogue()
    topics = [topic for purpose in purposes for topic in catalogue.topics_of(purpose.key) if topic.active]
    _, standing = await standing_of(tenant, Channel.SMS, number, purposes, *(topic.key for topic in topics))
    if keyword is Keyword.STOP:
        records = (counting_record(catalogue, of.unit, purpose, None, standing.records) for purpose in purposes)
        overtaken = any(record is not None and record.value is ConsentValue.OPTED_IN for record in records)
        if overtaken:
            return Holds.NOTHING
        goes_on = any(still_sent(tenant, catalogue, Channel.SMS, standing, (purpose.key, None)) for purpose in purposes)
        return Holds.NOT_ENFORCED if goes_on else Holds.ALL
    now = tenant.ledger.clock()
    sends = [
        decision_of(catalogue, MessageSubject(of, purpose, topic), Channel.SMS, standing, now).allowed
        for purpose in purposes
        if purpose.active
        for topic in (None, *(topic for topic in topics if topic.purpose == purpose.key))
    ]
    return Holds.ALL if all(sends) else Holds.NOT_ALL_TOPICS if any(sends) else Holds.NOTHING


def seconds_to_wait(tenant: Tenant, channel: Channel, address: str) -> float:
    """0, or how long what comes from this address is too much by now."""
    return tenant.ledger.inbound_limit.seconds_to_wait(
        f"{tenant.id}:{channel}:{tenant.blind_index(channel, address).hex()}"
    )


def commercial_purposes(catalogue: Catalogue, profile: ComplianceProfile | None) -> list[Purpose]:
    """Everything commercial of a profile, or of all of them; inactive ones included."""
    keys = catalogue.purposes if profile is None else profile.purposes
    purposes = (catalogue.purposes[key] for key in keys)
    return [purpose for purpose in purposes if purpose.type is PurposeType.COMMERCIAL]


async def standing_of(
    tenant: Tenant, channel: Channel, address: str, purposes: Sequence[Purpose], *topics: str
) -> tuple[bool, Standing]:
    """(whether a contact point has this normalised address, where it stands); an erasure half done is completed first."""
    keys = tuple(purpose.key for purpose in purposes)
    asked = LookUp([tenant.blind_index(channel, address)], keys, ("", *topics))
    while True:
        async with tenant.ledger.connection() as connection:
            [seen] = await look_up(connection, tenant.id, [asked])
        [(contact_point, standing)] = seen.found
        if contact_point is None or not standing.erased:
            return contact_point is not None, standing
        await complete_erasure(tenant, contact_point)


async def record_joined(tenant: Tenant, caller: Caller, captures: Sequence[Capture]) -> list[Recorded]:
    """Record the opt-outs of one address that floods, those that come meanwhile with them (see `JoinedOptOuts`)."""
    if not captures:
        return []
    now = tenant.ledger.clock()
    first = captures[0]
    levels = sorted((capture.purpose, capture.topic or "") for capture in captures)
    place = f"{tenant.id}:{first.channel}:{tenant.blind_index(first.channel, first.address).hex()}:{levels}"

    async def record(effective_at: datetime | None) -> list[Recorded]:
        # Of several the evidence of the first is kept; its key stands for it alone.
        return await record_all(
            tenant,
            caller,
            [replace(capture, effective_at=effective_at, idempotency_key=None) for capture in captures],
        )

    # One whose clock is ahead counts from now, and takes none of the others along.
    effective_at = None if first.effective_at is None or first.effective_at >= now else first.effective_at
    return await tenant.ledger.joined_opt_outs.record(place, effective_at, record)


async def record_all(tenant: Tenant, caller: Caller, captures: Sequence[Capture]) -> list[Recorded]:
    """Record captures of one message. Raises the first Refusal, StoreUnavailable.

    A purpose that was switched off in this very moment is left out of an opt-in, and is no reason to refuse the others. An
    opt-out that its idempotency key would lose is recorded without one.
    """
    recorded: list[Recorded] = []
    outcomes: list[Recorded | Refusal] = [
        outcome
        for start in range(0, len(captures), CONSENTS_MAX)
        for outcome in await record_consents(tenant, caller, captures[start : start + CONSENTS_MAX])
    ]
    lost = await lost_opt_outs(tenant, captures, outcomes)
    for capture, outcome, is_lost in zip(captures, outcomes, lost, strict=True):
        if is_lost:
            recorded.append(await record_consent(tenant, caller, replace(capture, idempotency_key=None)))
        elif isinstance(outcome, Recorded):
            recorded.append(outcome)
        elif outcome.code is not RefusalCode.INACTIVE:
            raise outcome
    return recorded


def new_events(recorded: Sequence[Recorded]) -> int:
    """How many events are new."""
    return sum(len(one.events) for one in recorded if not one.repeated)


def positions_of(recorded: Sequence[Recorded]) -> tuple[int, ...]:
    """Where the events stand."""
    return tuple(event.position for event in events_of(recorded))


def events_of(recorded: Sequence[Recorded]) -> tuple[StoredEntry, ...]:
    """The events of all of them."""
    return tuple(event for one in recorded for event in one.events)


def digest_of(*parts: object) -> str:
    """A short name for what a message says, to make an idempotency key of."""
    return hashlib.sha256(repr(parts).encode("utf-8", "replace")).hexdigest()[:40]


def _key(
    given: str | None,
    message_id: str | None,
    number: str,
    text: str,
    locale: str | None,
    received_at: datetime | str | None,
    purpose: Purpose,
) -> str | None:
    if given:
        return f"sms-key:{digest_of(given)}:{purpose.key}"
    if not message_id:
        return None
    # With all that it says: a provider that gives an id twice loses nobody's opt-out to a conflict.
    return f"sms:{digest_of(message_id, number, text, locale, received_at)}:{purpose.key}"
