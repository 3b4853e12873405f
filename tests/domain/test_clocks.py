"""Clocks of an opt-out: business days never end later than a law's own, and where the law is not known all of them run."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.addresses import Channel
from domain.clocks import LIMITS, OptOutLimit, as_markdown, clock_start, laws_of, limits_of
from domain.presets import PresetKey

L = OptOutLimit
PROVIDERS = {L.GMAIL, L.YAHOO}
US = {L.CAN_SPAM, L.TCPA, L.CCPA}


def names(channel: Channel, jurisdiction: str | None = None, *presets: str) -> set[OptOutLimit]:
    return {limit.key for limit in limits_of(channel, jurisdiction, presets)}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("start", "ten", "fifteen"),
    [
        # 2026-06-01 is a Monday. In the middle of a UTC day all of it is one weekday nearly everywhere.
        ("2026-06-02T11:00:00Z", "2026-06-16T11:00:00Z", "2026-06-23T11:00:00Z"),
        ("2026-06-03T11:00:00Z", "2026-06-17T11:00:00Z", "2026-06-24T11:00:00Z"),
        # Friday in UTC is Saturday east of it: the earlier end counts.
        ("2026-06-05T11:00:00Z", "2026-06-18T11:00:00Z", "2026-06-25T11:00:00Z"),
        ("2026-06-05T09:00:00Z", "2026-06-19T09:00:00Z", "2026-06-26T09:00:00Z"),
        ("2026-06-06T11:00:00Z", "2026-06-18T11:00:00Z", "2026-06-25T11:00:00Z"),
        ("2026-06-07T11:00:00Z", "2026-06-19T11:00:00Z", "2026-06-26T11:00:00Z"),
        # Monday in UTC is still Sunday in the west.
        ("2026-06-08T01:00:00Z", "2026-06-20T01:00:00Z", "2026-06-27T01:00:00Z"),
    ],
)
def test_business_days_are_weekdays_without_holidays(start: str, ten: str, fifteen: str) -> None:
    assert LIMITS[L.CAN_SPAM].due_at(at(start)) == at(ten)
    assert LIMITS[L.TCPA].due_at(at(start)) == at(ten)
    assert LIMITS[L.CASL].due_at(at(start)) == at(ten)
    assert LIMITS[L.CCPA].due_at(at(start)) == at(fifteen)


def test_two_days_are_48_hours_over_any_weekend() -> None:
    for limit in (L.GMAIL, L.YAHOO, L.GDPR):
        assert LIMITS[limit].due_at(at("2026-06-05T22:00:00Z")) == at("2026-06-07T22:00:00Z")


@given(
    start=st.integers(0, 3_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    offset=st.integers(-12 * 4, 14 * 4),
    limit=st.sampled_from([limit for limit in LIMITS.values() if limit.business_days]),
)
def test_no_clock_on_earth_ends_earlier(start: datetime, offset: int, limit: object) -> None:
    assert isinstance(limit, type(LIMITS[L.CASL]))
    assert limit.business_days is not None
    due = limit.due_at(start).astimezone(timezone(timedelta(minutes=15 * offset)))
    day = start.astimezone(due.tzinfo)
    weekdays = 0
    # Day by day, as one counts on a calendar: the last one is the limit's last business day, or before it.
    while day < due:
        day += timedelta(days=1)
        weekdays += day.weekday() < 5
    assert weekdays <= limit.business_days
    assert due > start


def test_the_clock_starts_at_the_earlier_instant() -> None:
    chosen, recorded = at("2026-01-01T00:00:00Z"), at("2026-06-01T00:00:00Z")
    assert clock_start(chosen, recorded) == chosen
    assert clock_start(recorded, chosen) == chosen


@pytest.mark.parametrize(
    ("jurisdiction", "laws"),
    [
        ("US", US), ("us", US), ("US-CA", US), ("California", US), ("US-NY", {L.CAN_SPAM, L.TCPA}),
        ("Canada", {L.CASL}), ("CA-ON", {L.CASL}), ("CA_QC", {L.CASL}), ("CA", {L.CASL, *US}),
        ("IE", {L.GDPR}), ("DE-BY", {L.GDPR}), ("EU", {L.GDPR}), (" gb ", {L.GDPR}),
        ("GDPR", {L.GDPR}), ("CAN-SPAM", {L.CAN_SPAM}),
        ("AU", None), ("the moon", None), ("", None), ("U", None),
    ],
)  # fmt: skip
def test_a_jurisdiction_names_laws_or_is_not_known(jurisdiction: str, laws: set[OptOutLimit] | None) -> None:
    assert laws_of(jurisdiction) == laws


def test_what_applies() -> None:
    everything = set(LIMITS)
    assert names(Channel.EMAIL) == everything - {L.TCPA}
    assert names(Channel.SMS) == everything - {L.CAN_SPAM} - PROVIDERS
    assert names(Channel.PUSH) == {L.CASL, L.CCPA, L.GDPR}
    assert names(Channel.EMAIL, "IE") == {L.GDPR} | PROVIDERS
    assert names(Channel.SMS, "IE") == {L.GDPR}
    assert names(Channel.SMS, None, PresetKey.TCPA) == {L.TCPA}
    # Both speak: neither takes the other's away.
    assert names(Channel.EMAIL, "IE", PresetKey.CASL) == {L.GDPR, L.CASL} | PROVIDERS
    # What is not known, or says nothing of this channel, narrows nothing.
    assert names(Channel.EMAIL, "AU", PresetKey.GDPR) == names(Channel.EMAIL)
    assert names(Channel.PUSH, None, PresetKey.CAN_SPAM) == names(Channel.PUSH)
    assert names(Channel.EMAIL, None, PresetKey.HIPAA_MARKETING) == names(Channel.EMAIL)


@given(
    channel=st.sampled_from(Channel),
    jurisdiction=st.none() | st.text(max_size=8) | st.sampled_from(["US", "CA", "IE", "US-NY", "AU"]),
    presets=st.lists(st.sampled_from([str(key) for key in PresetKey])),
)
def test_there_is_always_a_law_that_sets_a_time(channel: Channel, jurisdiction: str | None, presets: list[str]) -> None:
    found = limits_of(channel, jurisdiction, presets)
    assert any(not limit.of_provider for limit in found)
    assert all(channel in limit.channels for limit in found)
    assert (channel is Channel.EMAIL) == ({limit.key for limit in found} >= PROVIDERS)


def test_the_page_has_the_table() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "clocks.md").read_text("utf-8")
    assert as_markdown() in page
    for limit in LIMITS.values():
        assert limit.source
        assert (limit.hours is None) != (limit.business_days is None)
