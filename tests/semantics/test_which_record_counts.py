"""SEMANTICS.md, "Which record counts": precedence, both kinds of time, the clock ahead, expiry, units."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.consent import (
    RESTRICTIVENESS,
    ConsentRecord,
    ConsentValue,
    check_valid_until,
    current,
    effective_instant,
    join,
    record_that_counts,
)
from domain.opt_in_rules import OptInRules, months_after
from domain.refusals import Refusal, RefusalCode

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
OUT, UNSET, IN = ConsentValue.OPTED_OUT, ConsentValue.NOT_SET, ConsentValue.OPTED_IN
HOURS = st.integers(0, 4).map(lambda hours: NOW + timedelta(hours=hours))


def record(value: ConsentValue, hour: int, position: int, unit: str = "root") -> ConsentRecord:
    at = NOW + timedelta(hours=hour)
    return ConsentRecord(
        purpose="p", topic=None, unit=unit, value=value, effective_at=at, recorded_at=at, position=position
    )


@st.composite
def histories(draw: st.DrawFn) -> list[ConsentRecord]:
    """Records of one level in the order of the log: positions differ, instants often do not."""
    recorded = NOW
    history: list[ConsentRecord] = []
    for position in range(draw(st.integers(0, 8))):
        recorded += timedelta(hours=draw(st.integers(0, 1)))
        history.append(
            ConsentRecord(
                purpose="p",
                topic=None,
                unit="root",
                value=draw(st.sampled_from(ConsentValue)),
                effective_at=min(draw(HOURS), recorded),
                recorded_at=recorded,
                position=position,
            )
        )
    return history


RECORDS = st.builds(record, st.sampled_from(ConsentValue), st.integers(0, 2), st.integers(0, 10**6))


@given(RECORDS, RECORDS)
def test_the_join_is_commutative(a: ConsentRecord, b: ConsentRecord) -> None:
    if a.precedence() != b.precedence():
        assert join(a, b) == join(b, a)


@given(RECORDS, RECORDS, RECORDS)
def test_the_join_is_associative(a: ConsentRecord, b: ConsentRecord, c: ConsentRecord) -> None:
    assert join(join(a, b), c) == join(a, join(b, c))


@given(RECORDS)
def test_the_join_is_idempotent_and_has_a_neutral_element(a: ConsentRecord) -> None:
    assert join(a, a) == join(a, None) == join(None, a) == a
    assert join(None, None) is None


@given(histories(), st.randoms(), HOURS, HOURS)
def test_the_order_of_arrival_does_not_matter(
    history: list[ConsentRecord], random: st.random_module, as_of: datetime, known_at: datetime
) -> None:
    counting = [r for r in history if r.effective_at <= as_of and r.recorded_at <= known_at]
    by_sorting = sorted(
        counting, key=lambda r: (r.effective_at, ["OPTED_IN", "NOT_SET", "OPTED_OUT"].index(r.value), r.position)
    )
    shuffled = list(history)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for order in (history, history[::-1], shuffled):
        found = current(order, as_of=as_of, known_at=known_at)
        assert found.get(("p", None, "root")) == (by_sorting[-1] if by_sorting else None)


BASES = OptInRules({"implied-transaction": 24, "implied-inquiry": 6})
MONTHS = st.sampled_from([0, 1, 6, 7, 24, 25, 30]).map(lambda months: months_after(NOW, months))
CHOICES = st.tuples(
    MONTHS, st.sampled_from(ConsentValue), st.sampled_from(["express", "implied-transaction", "implied-inquiry"])
)


def arrived(choices: Sequence[tuple[datetime, ConsentValue, str]]) -> list[ConsentRecord]:
    """The records of what people chose, in the order in which it reaches the log, all of it late."""
    return [
        ConsentRecord(
            purpose="p",
            topic=None,
            unit="root",
            value=value,
            effective_at=effective_at,
            recorded_at=months_after(NOW, 41) + timedelta(hours=position),
            position=position,
            valid_until=BASES.valid_until(basis, effective_at) if value is IN else None,
        )
        for position, (effective_at, value, basis) in enumerate(choices)
    ]


@given(st.lists(CHOICES, max_size=6, unique_by=lambda choice: choice[:2]), st.randoms(), MONTHS)
def test_consent_that_ends_and_is_renewed_is_the_same_in_whatever_order_it_arrives(
    choices: list[tuple[datetime, ConsentValue, str]], random: st.random_module, as_of: datetime
) -> None:
    by_sorting = sorted(
        (choice for choice in choices if choice[0] <= as_of),
        key=lambda choice: (choice[0], ["OPTED_IN", "NOT_SET", "OPTED_OUT"].index(choice[1])),
    )
    expected: tuple[str, datetime | None] = "NOT_SET", None
    if by_sorting:
        effective_at, value, basis = by_sorting[-1]
        ends = {"implied-transaction": 24, "implied-inquiry": 6}.get(basis) if value is IN else None
        until = None if ends is None else months_after(effective_at, ends)
        expected = ("NOT_SET" if until is not None and as_of >= until else str(value)), until
    for _ in range(4):
        random.shuffle(choices)  # type: ignore[attr-defined]
        records = arrived(choices)
        held = current(records, as_of=as_of, known_at=months_after(NOW, 60)).get(("p", None, "root"))
        # As a row of the read model is kept: one after the other, whatever came before.
        row: ConsentRecord | None = None
        for one in records:
            row = join(row, one) if one.effective_at <= as_of else row
        assert row == held
        found = ("NOT_SET", None) if held is None else (held.value, held.valid_until)
        if held is not None and held.expired_at(as_of):
            found = "NOT_SET", held.valid_until
        assert found == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (record(IN, 2, 1), record(OUT, 1, 2)),
        (record(OUT, 1, 1), record(IN, 1, 2)),
        (record(OUT, 1, 1), record(UNSET, 1, 2)),
        (record(UNSET, 1, 1), record(IN, 1, 2)),
        (record(IN, 1, 2), record(IN, 1, 1)),
    ],
    ids=["later", "out over in", "out over reset", "reset over in", "higher position"],
)
def test_precedence(one: ConsentRecord, other: ConsentRecord) -> None:
    assert join(one, other) == join(other, one) == one


def test_every_value_has_its_restrictiveness() -> None:
    assert sorted(RESTRICTIVENESS, key=RESTRICTIVENESS.__getitem__) == [IN, UNSET, OUT]
    assert set(RESTRICTIVENESS) == set(ConsentValue)


def test_both_times_are_inclusive() -> None:
    held = record(OUT, 0, 1)
    instant = timedelta(microseconds=1)
    assert current([held], as_of=NOW, known_at=NOW)
    assert not current([held], as_of=NOW - instant, known_at=NOW)
    assert not current([held], as_of=NOW, known_at=NOW - instant)


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        (None, timedelta()),
        (timedelta(days=-9), timedelta(days=-9)),
        (timedelta(), timedelta()),
        (timedelta(microseconds=1), timedelta()),
        (timedelta(minutes=5), timedelta()),
    ],
)
def test_a_clock_up_to_five_minutes_ahead_is_set_right(ahead: timedelta | None, expected: timedelta) -> None:
    assert effective_instant(None if ahead is None else NOW + ahead, NOW) == NOW + expected


def test_further_in_the_future_is_an_error() -> None:
    with pytest.raises(Refusal) as refused:
        effective_instant(NOW + timedelta(minutes=5, microseconds=1), NOW)
    assert (refused.value.code, refused.value.path) == (RefusalCode.EFFECTIVE_IN_FUTURE, ("effectiveAt",))


@pytest.mark.parametrize(("value", "hours"), [(OUT, 1), (UNSET, 1), (IN, 0), (IN, -1)])
def test_valid_until_belongs_to_opted_in_and_is_later_than_effective_at(value: ConsentValue, hours: int) -> None:
    with pytest.raises(Refusal) as refused:
        check_valid_until(value, NOW, NOW + timedelta(hours=hours))
    assert refused.value.path == ("validUntil",)


def test_valid_until_may_be_past() -> None:
    check_valid_until(IN, NOW - timedelta(days=9), NOW - timedelta(days=1))
    check_valid_until(OUT, NOW, None)


UNITS = [
    # records by unit, scoping, which counts
    ({}, True, None),
    ({"purpose": 1}, True, "purpose"),
    ({"profile": 1}, True, "profile"),
    ({"purpose": 1, "profile": 2}, True, "purpose"),
    ({"other": 1}, True, None),
    ({"other": 1}, False, "other"),
    ({"other": 1, "another": 2}, False, "another"),
    ({"profile": 1, "other": 2}, False, "profile"),
    ({"purpose": 1, "profile": 2, "other": 3}, False, "purpose"),
]


@pytest.mark.parametrize(("hours", "scoping", "expected"), UNITS)
def test_the_first_level_of_units_that_has_a_record_wins(
    hours: dict[str, int], scoping: bool, expected: str | None
) -> None:
    by_unit = {unit: record(OUT, hour, hour, unit) for unit, hour in hours.items()}
    found = record_that_counts(by_unit, purpose_unit="purpose", profile_unit="profile", unit_scoping=scoping)
    assert (found and found.unit) == expected
