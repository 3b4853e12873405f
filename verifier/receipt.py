"""A receipt: what a log says it answered; with the whole log, the same question decided anew from the events of then.

What a decision also rests on and no log holds (which address is meant, whether an erasure left it suppressed) stays claimed.
Where the answer was more restrictive than the events, such a suppression may be why; where it was less, it was wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.catalogue import Catalogue, MessageSubject
from domain.catalogue_fold import is_creation
from domain.decision import Decision, Reason, ReasonCode, refuse_address
from domain.events import EventType
from domain.refusals import Refusal
from domain.standing import NOTHING_KNOWN, Standing, by_level, decision_of, tracking_of
from domain.time import format_instant
from tlog.entry import Entry
from tlog.note import encode_base64
from verifier.checkpoint import Trust
from verifier.entries import BROKEN_DATA, CATALOGUE_STREAM, END_OF_TIME, catalogue_of, record_of
from verifier.replay import Log, Replay, Wanted
from verifier.report import Findings, NotProven, counted
from verifier.standing import bounce_of, brought_of, persons_opt_ins_of, requests_of
from verifier.statements import Receipt, ReceiptReason, check_same_tree, open_receipt

# What the address may decide, where no log shows it.
_BY_ADDRESS = (ReasonCode.SUPPRESSED, ReasonCode.INVALID_ADDRESS)


@dataclass(frozen=True, slots=True)
class Decided:
    """The question of a receipt, decided anew; and whether a suppression that the log holds blocks it whatever else is there."""

    subject: MessageSubject
    decision: Decision
    tracking: Decision
    suppressed: bool
    tracking_suppressed: bool


def verify_receipt(raw: str | bytes, trust: Trust, findings: Findings, *, log: Log | None = None) -> None:
    """Return if a trusted key signed the receipt, and, with `log`, if its events lead to the same answer.

    Raises NotProven for the first thing that is wrong, and Unusable.
    """
    receipt = open_receipt(raw, trust)
    question = receipt.question
    topic = "" if question.topic is None else f", topic {question.topic}"
    unit = "" if question.business_unit is None else f", in business unit {question.business_unit}"
    findings.proven(
        f"the log {receipt.origin} stated, signed by key {receipt.key.key_id_hex}, that it answered"
        f" {_words(receipt.allowed, receipt.reasons)}, tracking {'' if receipt.tracking_allowed else 'not '}allowed, to a"
        f" message by {question.channel} under profile {question.profile}, for purpose {question.purpose}{topic}{unit}"
    )
    known = "" if question.known_at is None else f", as known at {format_instant(question.known_at)}"
    findings.claimed(
        f"that it was decided at {format_instant(receipt.decided_at)}, as of {format_instant(question.as_of)}{known}:"
        " the times are by the log's clock, or the asker's"
    )
    findings.claimed(
        f"which address was asked about: the digest {encode_base64(question.digest)} names it, and only the ledger, which"
        " has the key, can check that"
    )
    if log is None:
        findings.claimed(
            f"that this follows from the events up to position {receipt.position}: the log states it, signed, and a replay"
            " of the whole log shows whether it does"
        )
        return
    _check_against(log, receipt, findings)


def _check_against(log: Log, receipt: Receipt, findings: Findings) -> None:
    streams = {CATALOGUE_STREAM} if receipt.contact_point is None else {CATALOGUE_STREAM, receipt.contact_point[0]}
    replay = log(Wanted(frozenset(streams), frozenset((receipt.size,))), findings)
    root = replay.root_at(receipt.origin, receipt.size, "the receipt")
    check_same_tree(receipt.size, receipt.root, root, "receipt")
    findings.proven(f"the receipt is about this very log, up to position {receipt.position}")
    catalogue_entries = [entry for entry, _ in replay.stream(CATALOGUE_STREAM, receipt.size)]
    if not catalogue_entries or catalogue_entries[-1].position != receipt.catalogue_version:
        last = catalogue_entries[-1].position if catalogue_entries else "none"
        raise NotProven(
            f"receipt.catalogueVersion: is {receipt.catalogue_version}, and the last event of the catalogue up to position"
            f" {receipt.position} is {last}"
        )
    entries = _entries(receipt, replay, findings)
    decided = _decided(receipt, _catalogue(receipt, replay), entries, replay)
    if (receipt.allowed and decided.suppressed) or (receipt.tracking_allowed and decided.tracking_suppressed):
        raise NotProven(f"receipt: allows what a suppression blocks that the log has up to position {receipt.position}")
    _compare(receipt, decided, findings)


def _entries(receipt: Receipt, replay: Replay, findings: Findings) -> Sequence[Entry]:
    """The events of the contact point that the answer had to take account of."""
    if receipt.contact_point is None:
        findings.claimed("that the address was unknown to the log: which address it is, no log holds")
        return ()
    stream, events = receipt.contact_point
    entries = [entry for entry, _ in replay.stream(stream, receipt.size)]
    if len(entries) != events:
        raise NotProven(
            f"receipt.contactPoint.events: is {events}, and the log has {counted(len(entries), 'event')} of stream {stream}"
            f" at size {receipt.size}: the receipt's statement is a lie"
        )
    findings.proven(f"stream {stream} had {counted(events, 'event')} at size {receipt.size}, as the receipt states")
    findings.claimed(f"that the address asked about is the one of stream {stream}")
    return entries


def _catalogue(receipt: Receipt, replay: Replay) -> Catalogue:
    known_at = receipt.question.known_at
    if known_at is None:
        return catalogue_of(entry for entry, _ in replay.stream(CATALOGUE_STREAM, receipt.size))
    # What was made later is taken as it was made. What was changed later the answer could not know, even where it was
    # recorded before a time to come that was asked about.
    every = replay.stream(CATALOGUE_STREAM, replay.checkpoint.size)
    held = (entry for entry, _ in every if entry.position <= receipt.position or is_creation(entry.type))
    return catalogue_of(held, known_at=known_at)


def _decided(receipt: Receipt, catalogue: Catalogue, entries: Sequence[Entry], replay: Replay) -> Decided:
    question = receipt.question
    standing = blocked = NOTHING_KNOWN
    if entries:
        records = [record for entry in entries if (record := record_of(entry)) is not None]
        known_at = question.known_at or END_OF_TIME
        standing = Standing(
            by_level(records, as_of=question.as_of, known_at=known_at),
            _erased(receipt, entries, replay),
            requests=requests_of(entries, as_of=question.as_of, known_at=known_at),
            bounced=bounce_of(entries, as_of=question.as_of, known_at=known_at) is not None,
        )
        # Apart from the rest: one that no log holds may block another level, and then gives another reason.
        blocked = Standing(
            {},
            suppressions=brought_of(entries),
            opt_ins=persons_opt_ins_of(entries, as_of=question.as_of, known_at=known_at),
        )
    try:
        subject = catalogue.message(question.profile, question.purpose, question.topic, question.business_unit)
        return Decided(
            subject,
            decision_of(catalogue, subject, question.channel, standing, question.as_of),
            tracking_of(catalogue, subject, question.channel, standing, question.as_of),
            _is_suppressed(decision_of(catalogue, subject, question.channel, blocked, question.as_of)),
            _is_suppressed(tracking_of(catalogue, subject, question.channel, blocked, question.as_of)),
        )
    except Refusal as refusal:
        raise NotProven(
            f"receipt.question.{refusal.path[0]}: {refusal.message}: by the catalogue of then this has no answer"
        ) from None
    except BROKEN_DATA:
        raise NotProven("receipt.question: the catalogue of then lacks what it takes to decide this") from None


def _is_suppressed(decision: Decision) -> bool:
    return decision.reasons[0].code is ReasonCode.SUPPRESSED


def _erased(receipt: Receipt, entries: Sequence[Entry], replay: Replay) -> bool:
    if _erasure_by(entries, receipt.question.known_at or END_OF_TIME):
        return True
    if receipt.question.known_at is None or receipt.contact_point is None:
        return False
    # Whatever time is asked about, what was being erased when the answer was given is gone.
    answered_erased = receipt.reasons[0].code is ReasonCode.ERASED
    later = [entry for entry, _ in replay.stream(receipt.contact_point[0], replay.checkpoint.size)]
    return answered_erased and _erasure_by(later, receipt.decided_at)


def _erasure_by(entries: Sequence[Entry], known_at: datetime) -> bool:
    return any(
        entry.type == EventType.CONTACT_POINT_ERASURE_REQUESTED and entry.recorded_at <= known_at for entry in entries
    )


def _compare(receipt: Receipt, decided: Decided, findings: Findings) -> None:
    """Raises NotProven where the events lead to another answer than the receipt's."""
    first = receipt.reasons[0].code
    # A hard bounce is in the log: what it suppresses follows from the events like any other answer.
    if first in _BY_ADDRESS and decided.decision.reasons[0].code is not ReasonCode.SUPPRESSED:
        _check_by_address(receipt, decided)
        findings.claimed(
            f"that the answer is {first}: which addresses are suppressed or none at all, no log holds; it permits nothing,"
            " and cannot be decided anew from the events"
        )
    else:
        due = _receipt_reasons(decided.decision.reasons)
        if (receipt.allowed, receipt.reasons) != (decided.decision.allowed, due):
            raise NotProven(
                f"receipt: the events up to position {receipt.position} lead to another answer:"
                f" {_words(decided.decision.allowed, due)}; the receipt has {_words(receipt.allowed, receipt.reasons)}"
            )
        findings.proven(f"the same answer follows from the events of then: {_words(decided.decision.allowed, due)}")
        if receipt.allowed or receipt.tracking_allowed:
            findings.claimed("that nothing suppressed the address: no log holds which address a suppression is of")
    if receipt.tracking_allowed and not decided.tracking.allowed:
        reasons = _receipt_reasons(decided.tracking.reasons)
        raise NotProven(
            f"receipt.trackingAllowed: is true, and the events up to position {receipt.position} lead to"
            f" {_words(allowed=False, reasons=reasons)}"
        )
    if receipt.tracking_allowed == decided.tracking.allowed:
        findings.proven(f"and so does the answer for tracking: {'' if receipt.tracking_allowed else 'not '}allowed")
    else:
        findings.claimed(
            "that tracking is not allowed: by the events it is, and a suppression, which no log holds, may be why it is not"
        )


def _check_by_address(receipt: Receipt, decided: Decided) -> None:
    """What holds for an answer that the address alone decided. Raises NotProven."""
    first = receipt.reasons[0].code
    question, subject = receipt.question, decided.subject
    if receipt.allowed:
        raise NotProven(f"receipt.allowed: is true, and {first} never allows")
    levels = {None} if first is ReasonCode.INVALID_ADDRESS else {None, question.topic}
    due = [
        _receipt_reasons(refuse_address(subject.purpose, question.channel, first, topic=topic).reasons)
        for topic in levels
    ]
    if receipt.reasons not in due:
        raise NotProven(
            f"receipt.reasons: is {_words(receipt.allowed, receipt.reasons)}, and {first} has"
            f" {_words(allowed=False, reasons=due[0])}"
        )
    if first is ReasonCode.INVALID_ADDRESS and (receipt.tracking_allowed or receipt.contact_point is not None):
        raise NotProven("receipt: an address that is none has no contact point and allows no tracking")


def _receipt_reasons(reasons: Sequence[Reason]) -> tuple[ReceiptReason, ...]:
    return tuple(
        ReceiptReason(
            code=reason.code,
            purpose=reason.purpose,
            topic=reason.topic,
            value=reason.value,
            enforcement=reason.enforcement,
            position=None if reason.record is None else reason.record.position,
        )
        for reason in reasons
    )


def _words(allowed: bool, reasons: Sequence[ReceiptReason]) -> str:  # noqa: FBT001 - the answer is the subject
    parts: list[str] = []
    for reason in reasons:
        level = reason.purpose if reason.topic is None else f"{reason.purpose} / {reason.topic}"
        event = "" if reason.position is None else f", event {reason.position}"
        parts.append(f"{reason.code} ({level}: {reason.value}, enforcement {reason.enforcement}{event})")
    return f"{'ALLOWED' if allowed else 'NOT ALLOWED'}: {', '.join(parts)}"
