"""Which record counts ("Which record counts" in SEMANTICS.md): precedence, join, expiry, both kinds of time, units.

The current value is a join of records by (effectiveAt, restrictiveness, position), so it does not depend on the order in
which they arrive. SQL only compares the precedence that is made here.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from domain.refusals import Refusal, RefusalCode


class ConsentValue(StrEnum):
    """What a record says. NOT_SET is the absence of a record, and can be restored by a reset."""

    OPTED_IN = "OPTED_IN"
    OPTED_OUT = "OPTED_OUT"
    NOT_SET = "NOT_SET"


class ConsentSource(StrEnum):
    """By which way a capture came."""

    FORM = "FORM"
    PREFERENCE_CENTER = "PREFERENCE_CENTER"
    ONE_CLICK_UNSUBSCRIBE = "ONE_CLICK_UNSUBSCRIBE"
    IMPORT = "IMPORT"
    LOAD_CONSENT = "LOAD_CONSENT"
    API = "API"
    SMS_KEYWORD = "SMS_KEYWORD"
    EMAIL_REPLY = "EMAIL_REPLY"
    VOICE = "VOICE"
    PAPER = "PAPER"
    COMPLAINT = "COMPLAINT"
    AGENT = "AGENT"
    OPERATOR = "OPERATOR"


class ActorKind(StrEnum):
    """Who was behind a capture."""

    RECIPIENT = "RECIPIENT"
    USER = "USER"
    AGENT = "AGENT"
    SYSTEM = "SYSTEM"


# At one effectiveAt the most restrictive counts.
RESTRICTIVENESS: Mapping[ConsentValue, int] = {
    ConsentValue.OPTED_IN: 0,
    ConsentValue.NOT_SET: 1,
    ConsentValue.OPTED_OUT: 2,
}

CLOCK_AHEAD_MAX = timedelta(minutes=5)


class ConsentRecord(NamedTuple):
    """What one capture said of one purpose or topic, in the unit that the purpose had then.

    A named tuple: every check and every replay makes many.
    """

    purpose: str
    topic: str | None
    unit: str
    value: ConsentValue
    effective_at: datetime
    recorded_at: datetime
    position: int
    valid_until: datetime | None = None

    def precedence(self) -> tuple[datetime, int, int]:
        """The greatest of these counts."""
        return self.effective_at, RESTRICTIVENESS[self.value], self.position

    def expired_at(self, as_of: datetime) -> bool:
        """Whether it counts as NOT_SET at `as_of`: from the very instant of its expiry."""
        return self.valid_until is not None and as_of >= self.valid_until


def join(one: ConsentRecord | None, other: ConsentRecord | None) -> ConsentRecord | None:
    """The one of two records that counts. Commutative, associative, idempotent; None is its neutral element."""
    if one is None or other is None:
        return one or other
    return other if other.precedence() > one.precedence() else one


RecordKey = tuple[str, str | None, str]


def current(records: Iterable[ConsentRecord], *, as_of: datetime, known_at: datetime) -> dict[RecordKey, ConsentRecord]:
    """The record that counts for each (purpose, topic, unit), of those effective by `as_of` and recorded by `known_at`."""
    held: dict[RecordKey, ConsentRecord] = {}
    for record in records:
        if record.effective_at <= as_of and record.recorded_at <= known_at:
            key = record.purpose, record.topic, record.unit
            winner = join(held.get(key), record)
            if winner is not None:
                held[key] = winner
    return held


def record_that_counts(
    by_unit: Mapping[str, ConsentRecord], *, purpose_unit: str, profile_unit: str, unit_scoping: bool
) -> ConsentRecord | None:
    """Of the records of each unit: the purpose's unit's, else the profile's; with scoping off else any unit's."""
    first = by_unit.get(purpose_unit) or by_unit.get(profile_unit)
    if first is not None or unit_scoping:
        return first
    winner: ConsentRecord | None = None
    for record in by_unit.values():
        winner = join(winner, record)
    return winner


def effective_instant(claimed: datetime | None, recorded_at: datetime) -> datetime:
    """From when a capture counts: as claimed, or when recorded; a clock up to 5 minutes ahead is set right.

    Raises Refusal EFFECTIVE_IN_FUTURE beyond that.
    """
    if claimed is None:
        return recorded_at
    if claimed > recorded_at + CLOCK_AHEAD_MAX:
        raise Refusal(
            RefusalCode.EFFECTIVE_IN_FUTURE,
            "effectiveAt lies in the future; a choice counts from when it was made, at most 5 minutes ahead of our clock",
            ("effectiveAt",),
        )
    return min(claimed, recorded_at)


def check_valid_until(value: ConsentValue, effective_at: datetime, valid_until: datetime | None) -> None:
    """`validUntil` belongs to OPTED_IN alone and is later than effectiveAt. Raises Refusal INVALID."""
    if valid_until is None:
        return
    if value is not ConsentValue.OPTED_IN:
        raise Refusal(RefusalCode.INVALID, "only OPTED_IN can have a validUntil", ("validUntil",))
    if valid_until <= effective_at:
        raise Refusal(RefusalCode.INVALID, "validUntil must be later than effectiveAt", ("validUntil",))
