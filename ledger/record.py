"""Recording consent: a capture becomes a command, and a command an event.

What is personal goes to the vault (address, evidence, words of one's own); what goes into the log must not name anyone,
because nothing can ever be taken out of it again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from domain import dynamics_codes
from domain.addresses import Channel, normalise
from domain.catalogue import PurposeType
from domain.consent import ActorKind, ConsentSource, ConsentValue, check_valid_until, effective_instant
from domain.events import CURRENT_VERSIONS, ConsentCaptured, EventType
from domain.opt_in_rules import RequiredEvidence
from domain.refusals import LimitExceeded, Refusal, RefusalCode
from domain.text import clean_text, mended_text
from eventstore.command import (
    Appended,
    Before,
    Command,
    Draft,
    IndexColumns,
    Rehearsal,
    SeenRecords,
    Subject,
    SubjectErasing,
)
from eventstore.idempotency import IdempotencyConflict, IdempotencyKey
from eventstore.read import StoredEntry
from ledger.assembly import Caller, Tenant
from ledger.existing_consent import ExistingConsent, StandingAtLevels, StandingOfRows
from ledger.given_evidence import Evidence, given_evidence, mended_evidence, under
from ledger.idempotency import append, refusal_of, stored_key
from ledger.opt_ins import OptInTerms, opt_in_valid_until, shown_by
from tlog.entry import EntryTooLarge

CONSENTS_MAX = 1_000
REASON_CHARS_MAX = 500
MESSAGE_ID_CHARS_MAX = 500
ACTOR_ID_CHARS_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who was behind a capture. The id is personal."""

    kind: ActorKind
    id: str | None = field(default=None, repr=False)


SYSTEM = Actor(kind=ActorKind.SYSTEM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """One change of consent as a caller states it: the words of "What a capture carries". Purposes and topics are refs."""

    channel: Channel
    address: str = field(repr=False)
    purpose: str
    topic: str | None = None
    value: ConsentValue
    effective_at: datetime | None = None
    valid_until: datetime | None = None
    source: ConsentSource = ConsentSource.API
    reason: str | None = field(default=None, repr=False)
    reason_description: str | None = field(default=None, repr=False)
    legal_basis: str | None = None
    jurisdiction: str | None = None
    actor: Actor = SYSTEM
    evidence: Evidence | None = field(default=None, repr=False)
    message_id: str | None = field(default=None, repr=False)
    idempotency_key: str | None = field(default=None, repr=False)
    trust: str = "SERVER_KEY"
    dynamics: Mapping[str, Any] | None = None
    dynamics_id: str | None = field(default=None, repr=False)
    allow_inactive: bool = False
    # The idempotency key stands for this application, whoever records: a file's rows are the same by any way in.
    key_application: str | None = None
    # An opt-out at an address that was erased, and of which nothing is known since, keeps nothing personal but the address.
    spare_erased: bool = False
    # Keys that each stand for a row that the capture is made of; with them, what stands against it is left as it is.
    row_keys: tuple[str, ...] = field(default=(), repr=False)
    # What whoever records it knows its own events by: see `Command`.
    marks: tuple[IdempotencyKey, ...] = field(default=(), repr=False)


class PreparedCapture(NamedTuple):
    """A capture that was checked by itself: what is left to its decision is what the catalogue and the log say.

    Plain data, so that a process which does not write the log can hand it to the one that does (`shared_writing`).
    """

    channel: Channel
    subject: Subject
    key: IdempotencyKey | None
    purpose: str
    topic: str | None
    value: ConsentValue
    source: ConsentSource
    actor: ActorKind
    terms: OptInTerms
    effective_at: datetime | None
    reason_label: str | None
    shown: frozenset[RequiredEvidence]
    evidence: bytes | None
    notice: tuple[bytes, str] | None
    trust: str
    dynamics: Mapping[str, Any] | None
    allow_inactive: bool
    spare_erased: bool
    parts: tuple[IdempotencyKey, ...]
    marks: tuple[IdempotencyKey, ...]

    def __repr__(self) -> str:
        return f"PreparedCapture({self.value})"

    @property
    def is_of_person(self) -> bool:
        """Whether the person chose."""
        return self.actor is ActorKind.RECIPIENT

    def existing(self) -> ExistingConsent | None:
        """What its rows will meet, to be told when it is decided; None where it is made of none."""
        if not self.parts:
            return None
        return ExistingConsent(
            parts=self.parts, blind_index=self.subject.blind_index, purpose=self.purpose, topic=self.topic
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """The events that a command led to; `repeated` where its idempotency key had recorded them before.

    `existing` is, of a command with row keys, what it met: rows recorded before, an opt-out that stays. `own` says of rows
    of a resumed import where that has recorded them itself, if it has any.
    """

    events: tuple[StoredEntry, ...]
    repeated: bool
    existing: StandingOfRows | None = None
    own: tuple[Before | None, ...] = ()
    # Why it was not recorded as what it says (`ended_opt_ins`).
    lacking: Refusal | None = None

    @property
    def position(self) -> int | None:
        """The position of the last of them."""
        return self.events[-1].position if self.events else None


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a capture would lead to: so many events, or none, since they are there (`repeated`, at `position`) or for what is
    `existing`.
    """

    events: int
    repeated: bool
    existing: StandingOfRows | None = None
    position: int | None = None
    lacking: Refusal | None = None


async def record_consent(tenant: Tenant, caller: Caller, capture: Capture) -> Recorded:
    """Record one capture, durably. Raises Refusal, or StoreUnavailable: then ask again with the same idempotency key."""
    prepared = prepared_capture(tenant, caller, capture)
    elsewhere = await _recorded_elsewhere(tenant, caller, [prepared])
    if elsewhere is None:
        return _recorded(await append(tenant, command_of(tenant, caller.application, prepared)))
    [recorded] = elsewhere
    if isinstance(recorded, Exception):
        raise recorded
    return recorded


async def record_consents(tenant: Tenant, caller: Caller, captures: Sequence[Capture]) -> list[Recorded | Refusal]:
    """Record many, each for itself, in this order. Raises LimitExceeded, StoreUnavailable."""
    if len(captures) > CONSENTS_MAX:
        raise LimitExceeded("consents", CONSENTS_MAX, len(captures))
    asked = [_prepared_or_refusal(tenant, caller, capture) for capture in captures]
    prepared = [one for one in asked if not isinstance(one, Refusal)]
    elsewhere = await _recorded_elsewhere(tenant, caller, prepared)
    if elsewhere is None:
        return await record_commands(
            tenant,
            [one if isinstance(one, Refusal) else command_of(tenant, caller.application, one) for one in asked],
        )
    answers = iter(elsewhere)
    return [one if isinstance(one, Refusal) else _or_raised(next(answers)) for one in asked]


async def _recorded_elsewhere(
    tenant: Tenant, caller: Caller, prepared: Sequence[PreparedCapture]
) -> Sequence[Recorded | Refusal | Exception] | None:
    """By the worker that writes the tenant's log, if that is another one and can be reached."""
    others = tenant.ledger.other_writers
    return None if others is None or not prepared else await others.record(tenant, caller.application, prepared)


def _or_raised(answer: Recorded | Refusal | Exception) -> Recorded | Refusal:
    if isinstance(answer, Exception) and not isinstance(answer, Refusal):
        raise answer
    return answer


async def record_commands(tenant: Tenant, asked: Sequence[Command | Refusal]) -> list[Recorded | Refusal]:
    """What became of each command, in this order; what is refused already stays so. Raises StoreUnavailable."""
    answers = iter(await tenant.log.append_all([one for one in asked if isinstance(one, Command)]))
    return [one if isinstance(one, Refusal) else await recorded_or_refused(tenant, one, next(answers)) for one in asked]


async def opt_out_of_all(
    tenant: Tenant,
    caller: Caller,
    *,
    channel: Channel,
    address: str,
    profile: str | None = None,
    source: ConsentSource = ConsentSource.API,
    reason: str | None = None,
    effective_at: datetime | None = None,
    idempotency_key: str | None = None,
    actor: Actor = SYSTEM,
) -> Recorded:
    """One OPTED_OUT for each COMMERCIAL purpose of the profile, or of the tenant; inactive ones included, no topics."""
    subject = subject_of_address(tenant, channel, address)
    key = stored_key(
        tenant,
        caller.application,
        idempotency_key,
        "optOutOfAll",
        {
            "channel": channel,
            "address": address,
            "profile": profile,
            "source": source,
            "reason": reason,
            "effectiveAt": effective_at,
            # Keys that were used before an actor could be named keep their meaning.
            "actor": None if actor == SYSTEM else [actor.kind, actor.id],
        },
    )
    actor = _heard_actor(actor)
    reason_label, own_reason = _reason(mended_text(reason, chars_max=REASON_CHARS_MAX, multiline=True))
    actor_id = under("actor", lambda: clean_text(actor.id, field="id", chars_max=ACTOR_ID_CHARS_MAX))
    evidence, _ = given_evidence(None, {"reason": own_reason, "actorId": actor_id})

    def decide(recorded_at: datetime) -> list[Draft]:
        catalogue = tenant.catalogue
        keys = catalogue.purposes if profile is None else catalogue.profile(profile).purposes
        effective = effective_instant(effective_at, recorded_at)
        return [
            capture_draft(
                ConsentCaptured(
                    channel=channel,
                    purpose=purpose.key,
                    topic=None,
                    unit=purpose.unit,
                    value=ConsentValue.OPTED_OUT,
                    source=source,
                    effective_at=effective,
                    reason=reason_label,
                    claimed_effective_at=_claimed(effective_at, effective),
                    trust="SERVER_KEY",
                ),
                actor.kind,
                evidence,
                None,
            )
            for purpose in (catalogue.purposes[key] for key in keys)
            if purpose.type is PurposeType.COMMERCIAL
        ]

    command = Command(decide=decide, application=caller.application, subject=subject, idempotency=key)
    return _recorded(await append(tenant, command))


async def rehearse_consents(
    tenant: Tenant, caller: Caller, captures: Sequence[Capture], seen: SeenRecords
) -> list[Rehearsed | Refusal]:
    """What recording them would lead to, by the same rules; nothing is written. See `eventstore.append.Log.rehearse`.

    Raises StoreUnavailable.
    """
    asked = [_prepared_or_refusal(tenant, caller, capture) for capture in captures]
    commands = [one if isinstance(one, Refusal) else command_of(tenant, caller.application, one) for one in asked]
    return await rehearse_commands(tenant, commands, seen)


async def rehearse_commands(
    tenant: Tenant, asked: Sequence[Command | Refusal], seen: SeenRecords
) -> list[Rehearsed | Refusal]:
    """The same for commands; what is refused already stays so. Raises StoreUnavailable."""
    outcomes = iter(await tenant.log.rehearse([one for one in asked if isinstance(one, Command)], seen))
    return [one if isinstance(one, Refusal) else _rehearsed(one, next(outcomes)) for one in asked]


def _rehearsed(command: Command, outcome: Rehearsal | Exception) -> Rehearsed | Refusal:
    match outcome:
        case Rehearsal():
            return Rehearsed(outcome.events, outcome.repeated, _existing(command), outcome.position)
        case Refusal():
            return outcome
        case SubjectErasing():
            return Refusal(RefusalCode.ERASED, "the address is being erased; what comes of it shows after that", ())
        case IdempotencyConflict() | EntryTooLarge():
            return refusal_of(outcome)
        case _:
            raise outcome


def _existing(command: Command) -> StandingOfRows | None:
    return command.circumstances if isinstance(command.circumstances, StandingOfRows) else None


def _recorded(appended: Appended) -> Recorded:
    return Recorded(appended.entries, appended.repeated)


async def recorded_or_refused(tenant: Tenant, command: Command, answer: Appended | BaseException) -> Recorded | Refusal:
    """What became of a command, given what the log answered. Raises what neither recorded nor refused it."""
    match answer:
        case Appended(entries, repeated):
            return Recorded(entries, repeated, _existing(command))
        case SubjectErasing():
            # An erasure was left half done there; that is completed first, and what is recorded begins a new contact point.
            try:
                appended = await append(tenant, command)
            except Refusal as refusal:
                return refusal
            return Recorded(appended.entries, appended.repeated, _existing(command))
        case Refusal():
            return answer
        case IdempotencyConflict() | EntryTooLarge():
            return refusal_of(answer)
        case _:
            raise answer


def subject_of_address(tenant: Tenant, channel: Channel, address: str) -> Subject:
    """The contact point of an address, found or to be made. Raises Refusal INVALID_ADDRESS."""
    normalised = normalise(channel, address)
    return Subject(channel, normalised, tenant.blind_index(channel, normalised))


def _prepared_or_refusal(tenant: Tenant, caller: Caller, capture: Capture) -> PreparedCapture | Refusal:
    try:
        return prepared_capture(tenant, caller, capture)
    except Refusal as refusal:
        return refusal


def capture_command(tenant: Tenant, caller: Caller, capture: Capture) -> Command:
    """The command that a capture is. Raises Refusal for what is wrong whatever the catalogue says."""
    return command_of(tenant, caller.application, prepared_capture(tenant, caller, capture))


def prepared_capture(tenant: Tenant, caller: Caller, capture: Capture) -> PreparedCapture:
    """All of a capture that can be said before the catalogue and the log are asked. Raises Refusal for what is wrong then."""
    subject = subject_of_address(tenant, capture.channel, capture.address)
    terms = OptInTerms(
        legal_basis=capture.legal_basis, jurisdiction=capture.jurisdiction, valid_until=capture.valid_until
    )
    # The key stands for the input as it was given, whatever of it is mended below.
    key = _key(tenant, caller, capture)
    if capture.value is ConsentValue.OPTED_OUT:
        capture, terms = _heard(capture), terms.mended()
    terms = terms.checked()
    reason_label, evidence, notice = _what_was_said(capture, subject.address)
    return PreparedCapture(
        capture.channel,
        subject,
        key,
        capture.purpose,
        capture.topic,
        capture.value,
        capture.source,
        capture.actor.kind,
        terms,
        capture.effective_at,
        reason_label,
        shown_by(capture.evidence),
        evidence,
        notice,
        capture.trust,
        capture.dynamics,
        capture.allow_inactive,
        capture.spare_erased,
        row_parts(tenant, capture.key_application or caller.application, capture.row_keys) if capture.row_keys else (),
        capture.marks,
    )


def _what_was_said(capture: Capture, address: str) -> tuple[str | None, bytes | None, tuple[bytes, str] | None]:
    """(the label of the reason, what is personal, the notice as digest and text) of a capture. Raises Refusal INVALID."""
    if capture.evidence is None and capture.dynamics_id is None and _has_no_texts(capture):
        return None, None, None
    reason_label, own_reason = _reason(capture.reason)
    personal: dict[str, Any] = {
        "reason": own_reason,
        "reasonDescription": clean_text(
            capture.reason_description, field="reasonDescription", chars_max=REASON_CHARS_MAX, multiline=True
        ),
        "messageId": clean_text(capture.message_id, field="messageId", chars_max=MESSAGE_ID_CHARS_MAX),
        # The record's id elsewhere leads to the person there.
        "dynamicsId": capture.dynamics_id,
        "actorId": under("actor", lambda: clean_text(capture.actor.id, field="id", chars_max=ACTOR_ID_CHARS_MAX)),
    }
    return reason_label, *given_evidence(capture.evidence, personal, capture.address, address)


def _has_no_texts(capture: Capture) -> bool:
    return (
        capture.reason is None
        and capture.reason_description is None
        and capture.message_id is None
        and capture.actor.id is None
    )


def command_of(tenant: Tenant, application: str | None, capture: PreparedCapture) -> Command:
    """The command of a capture that was prepared, here or in another process."""
    subject = capture.subject
    existing = capture.existing()
    standing = (
        StandingAtLevels(blind_index=subject.blind_index, named=((capture.purpose, capture.topic),))
        if (capture.spare_erased and capture.value is ConsentValue.OPTED_OUT) or _may_be_implied(tenant, capture)
        else None
    )

    def decide(recorded_at: datetime) -> list[Draft]:
        purpose, topic = tenant.catalogue.capture_subject(
            capture.purpose, capture.topic, value=capture.value, allow_inactive=capture.allow_inactive
        )
        if existing is not None and (existing.all_known or existing.keeps(purpose, topic, capture.value)):
            return []
        effective = effective_instant(capture.effective_at, recorded_at)
        terms = capture.terms
        check_valid_until(capture.value, effective, terms.valid_until)
        valid_until = terms.valid_until
        if capture.value is ConsentValue.OPTED_IN:
            valid_until = opt_in_valid_until(purpose, effective, terms, shown=capture.shown)
            if standing is not None:
                standing.keep_from_implied(purpose, topic, terms.legal_basis, effective, of_person=capture.is_of_person)
        notice = capture.notice
        captured = ConsentCaptured(
            channel=capture.channel,
            purpose=purpose.key,
            topic=None if topic is None else topic.key,
            unit=purpose.unit,
            value=capture.value,
            source=capture.source,
            effective_at=effective,
            valid_until=valid_until,
            reason=capture.reason_label,
            legal_basis=terms.legal_basis,
            jurisdiction=terms.jurisdiction,
            notice_digest=None if notice is None else notice[0],
            trust=capture.trust,
            claimed_effective_at=_claimed(capture.effective_at, effective),
            dynamics=capture.dynamics,
        )
        spared = capture.spare_erased and standing is not None and standing.only_suppressed
        return [capture_draft(captured, capture.actor, None if spared else capture.evidence, notice)]

    return Command(
        decide=decide,
        application=application,
        subject=subject,
        idempotency=capture.key,
        circumstances=existing or standing,
        marks=capture.marks,
    )


def _may_be_implied(tenant: Tenant, capture: PreparedCapture) -> bool:
    """Whether an opt-in may turn out to be implied when it is decided; what the person says with no basis is express."""
    return (
        capture.value is ConsentValue.OPTED_IN
        and not capture.parts
        and not (capture.is_of_person and capture.terms.legal_basis is None)
        and tenant.catalogue.has_opt_in_expiry
    )


def _heard(capture: Capture) -> Capture:
    """An opt-out as it is recorded: it is never refused for the texts beside it (docs/decisions/opt-outs-are-heard.md)."""
    if capture.evidence is None and _has_no_texts(capture):
        return capture
    return replace(
        capture,
        reason=mended_text(capture.reason, chars_max=REASON_CHARS_MAX, multiline=True),
        reason_description=mended_text(capture.reason_description, chars_max=REASON_CHARS_MAX, multiline=True),
        message_id=mended_text(capture.message_id, chars_max=MESSAGE_ID_CHARS_MAX),
        actor=_heard_actor(capture.actor),
        evidence=mended_evidence(capture.evidence),
    )


def _heard_actor(actor: Actor) -> Actor:
    return replace(actor, id=mended_text(actor.id, chars_max=ACTOR_ID_CHARS_MAX))


def row_parts(tenant: Tenant, application: str | None, row_keys: Sequence[str]) -> tuple[IdempotencyKey, ...]:
    """The keys of a command's parts, each of which stands for a row of a file."""
    keys = [stored_key(tenant, application, key, "importRow", {}, of_row=True) for key in row_keys]
    return tuple(key for key in keys if key is not None)


def _key(tenant: Tenant, caller: Caller, capture: Capture) -> IdempotencyKey | None:
    if capture.idempotency_key is None:
        return None
    evidence = capture.evidence
    fields = {
        "channel": capture.channel,
        "address": capture.address,
        "purpose": capture.purpose,
        "topic": capture.topic,
        "value": capture.value,
        "effectiveAt": capture.effective_at,
        "validUntil": capture.valid_until,
        "source": capture.source,
        "reason": capture.reason,
        "reasonDescription": capture.reason_description,
        "legalBasis": capture.legal_basis,
        "jurisdiction": capture.jurisdiction,
        "actor": [capture.actor.kind, capture.actor.id],
        "messageId": capture.message_id,
        "dynamics": capture.dynamics
        if capture.dynamics_id is None
        else {**(capture.dynamics or {}), "id": capture.dynamics_id},
        "evidence": None
        if evidence is None
        else [
            evidence.notice_text,
            evidence.notice_version,
            evidence.locale,
            evidence.url,
            evidence.method,
            evidence.ip_address,
            evidence.user_agent,
            evidence.attributes,
        ],
    }
    application = capture.key_application or caller.application
    of_row = capture.key_application is not None
    return stored_key(tenant, application, capture.idempotency_key, "recordConsent", fields, of_row=of_row)


def capture_draft(
    captured: ConsentCaptured, actor: ActorKind, evidence: bytes | None, notice: tuple[bytes, str] | None
) -> Draft:
    """The event of a capture."""
    return Draft(
        type=EventType.CONSENT_CAPTURED,
        version=CURRENT_VERSIONS[EventType.CONSENT_CAPTURED],
        data=captured.to_data(),
        effective_at=captured.effective_at,
        actor=actor,
        columns=IndexColumns(
            channel=captured.channel,
            purpose=captured.purpose,
            topic=captured.topic,
            value=captured.value,
            source=captured.source,
        ),
        evidence=evidence,
        notice=notice,
    )


def _claimed(claimed: datetime | None, effective: datetime) -> datetime | None:
    return claimed if claimed is not None and claimed != effective else None


def _reason(reason: str | None) -> tuple[str | None, str | None]:
    """(a label of the Dynamics reasons, which names nobody; or words of one's own, which may)."""
    text = clean_text(reason, field="reason", chars_max=REASON_CHARS_MAX, multiline=True)
    if text is None:
        return None, None
    label = dynamics_codes.reason_label(text)
    return (label, None) if label is not None else (None, text)
