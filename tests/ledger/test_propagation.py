"""Propagation: of every opt-out, whoever it came from, who is expected to know, who knew in time, and who is overdue."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from domain.addresses import Channel
from domain.clocks import OptOutLimit
from domain.consent import ConsentSource, ConsentValue
from domain.presets import PresetKey
from domain.refusals import LimitExceeded, Refusal, RefusalCode
from ledger import propagation, webhooks
from ledger.acknowledgements import acknowledge
from ledger.api_keys import create_key
from ledger.assembly import Caller, Tenant
from ledger.catalogue import apply_preset
from ledger.history import EventFilter
from ledger.outgoing_addresses import parse_networks
from ledger.propagation import Propagation, PropagationFilter, every, not_following, page
from ledger.propagation_summary import PropagationSummary
from ledger.record import Capture, record_consent
from tests.conftest import APPLICATION, Clock

MAILER, DIALLER = (Caller(name, frozenset(("read",))) for name in ("mailer", "dialler"))
EVERYTHING = PropagationFilter()
FIRST_INSTANT, LAST_INSTANT = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
OVERDUE = PropagationFilter(overdue=True)


async def opt_out(tenant: Tenant, address: str = "ada@example.org", **given: object) -> int:
    fields = {"channel": Channel.EMAIL, "address": address, "purpose": "commercial", "value": ConsentValue.OPTED_OUT}
    recorded = await record_consent(tenant, APPLICATION, Capture(**{**fields, **given}))  # pyright: ignore[reportArgumentType]
    return recorded.events[-1].position


async def all_of(tenant: Tenant, wanted: PropagationFilter = EVERYTHING) -> list[Propagation]:
    return [one async for one, passes in every(tenant, wanted) if passes]


async def positions(tenant: Tenant, wanted: PropagationFilter = EVERYTHING) -> list[int]:
    return [one.event.position for one in await all_of(tenant, wanted)]


@pytest.fixture
async def followed(clocked_tenant: Tenant) -> Tenant:
    """A tenant with two applications, of which one follows."""
    clocked_tenant.ledger.webhook_networks = parse_networks("127.0.0.0/8")
    for caller in (MAILER, DIALLER):
        await create_key(clocked_tenant, caller.application or "", ["read"])
    await acknowledge(clocked_tenant, MAILER, 0)
    return clocked_tenant


async def test_every_opt_out_counts_whatever_way_it_came(followed: Tenant) -> None:
    expected = [await opt_out(followed, f"a{n}@example.org", source=source) for n, source in enumerate(ConsentSource)]
    await opt_out(followed, value=ConsentValue.OPTED_IN)
    expected.append(await opt_out(followed, "+436601234567", channel=Channel.SMS, purpose="transactional"))
    expected.append(await opt_out(followed, purpose="tracking"))
    found = await all_of(followed)
    assert [one.event.position for one in found] == expected
    assert {one.event.entry.data["source"] for one in found} == {str(source) for source in ConsentSource}


async def test_who_follows_is_expected_and_in_time_late_or_overdue(followed: Tenant, clock: Clock) -> None:
    start = clock.now
    position = await opt_out(followed)
    [one] = await all_of(followed)
    [known] = one.applications
    assert (known.application, known.expected, known.acknowledgement, known.overdue) == ("mailer", True, None, False)
    assert set(known.in_time) == {None}
    assert await positions(followed, OVERDUE) == []

    clock.now = start + timedelta(hours=48)
    assert await positions(followed, OVERDUE) == [], "the last instant is in time"
    clock.now += timedelta(microseconds=1)
    assert await positions(followed, OVERDUE) == [position]
    [one] = await all_of(followed)
    late = {
        deadline.limit.key
        for deadline, told in zip(one.deadlines, one.applications[0].in_time, strict=True)
        if told is False
    }
    assert late == {OptOutLimit.GMAIL, OptOutLimit.YAHOO, OptOutLimit.GDPR}

    await acknowledge(followed, MAILER, position)
    [one] = await all_of(followed)
    [known] = one.applications
    assert known.seconds == pytest.approx(48 * 3600)
    told = {deadline.limit.key: in_time for deadline, in_time in zip(one.deadlines, known.in_time, strict=True)}
    assert told == {
        OptOutLimit.CAN_SPAM: True, OptOutLimit.CASL: True, OptOutLimit.CCPA: True, OptOutLimit.GDPR: False,
        OptOutLimit.GMAIL: False, OptOutLimit.YAHOO: False,
    }  # fmt: skip
    assert not known.overdue
    assert await positions(followed, OVERDUE) == []


async def test_an_opt_out_that_came_late_is_counted_from_when_the_person_chose(followed: Tenant, clock: Clock) -> None:
    chosen = clock.now - timedelta(days=60)
    position = await opt_out(followed, effective_at=chosen)
    [one] = await all_of(followed)
    assert one.starts_at == chosen
    assert await positions(followed, OVERDUE) == [position]
    await acknowledge(followed, MAILER, position)
    [one] = await all_of(followed)
    assert one.applications[0].seconds == 0.0
    assert set(one.applications[0].in_time) == {False}


async def test_the_limits_are_those_of_its_jurisdiction_and_its_profiles(followed: Tenant) -> None:
    await opt_out(followed, jurisdiction="IE")
    await apply_preset(followed, APPLICATION, profile="default", preset=PresetKey.CASL)
    await opt_out(followed)
    first, second = ({d.limit.key for d in one.deadlines} for one in await all_of(followed))
    providers = {OptOutLimit.GMAIL, OptOutLimit.YAHOO}
    # A preset is of the profile as it is now, for what was recorded before, too.
    assert first == providers | {OptOutLimit.GDPR, OptOutLimit.CASL}
    assert second == providers | {OptOutLimit.CASL}


async def test_who_does_not_follow_is_named_and_expected_of_nothing(followed: Tenant, clock: Clock) -> None:
    position = await opt_out(followed)
    assert await not_following(followed) == ["dialler"]
    # The first time that it says so it was late; it was there and follows: it is expected from then on.
    clock.now += timedelta(days=3)
    await acknowledge(followed, DIALLER, position)
    [one] = await all_of(followed)
    assert {known.application: known.expected for known in one.applications} == {"dialler": True, "mailer": True}
    assert await not_following(followed) == []


async def test_an_application_is_not_expected_to_know_of_what_was_before_it(followed: Tenant, clock: Clock) -> None:
    before = await opt_out(followed)
    clock.now += timedelta(days=3)
    await acknowledge(followed, MAILER, before)
    await create_key(followed, "newcomer", ["read"])
    newcomer = Caller("newcomer", frozenset(("read",)))
    await acknowledge(followed, newcomer, 0)
    assert [known.application for known in (await all_of(followed))[0].applications] == ["mailer"]
    after = await opt_out(followed, "bob@example.org")
    clock.now += timedelta(days=3)
    assert await positions(followed, OVERDUE) == [after]
    await acknowledge(followed, newcomer, after)
    found = {known.application: known.expected for known in (await all_of(followed))[0].applications}
    assert found == {"mailer": True, "newcomer": False}


async def test_a_webhook_is_expected_to_take_what_its_filter_lets_pass(followed: Tenant, clock: Clock) -> None:
    earlier = await opt_out(followed)
    clock.now += timedelta(seconds=1)
    made = await webhooks.create_webhook(
        followed, DIALLER, url="http://127.0.0.1:9/hook", event_filter=EventFilter(channel=Channel.SMS)
    )
    text = await opt_out(followed, "+436601234567", channel=Channel.SMS)
    mail = await opt_out(followed, "bob@example.org")
    expected = {one.event.position: {known.application for known in one.applications} for one in await all_of(followed)}
    assert expected == {earlier: {"mailer"}, text: {"mailer", "dialler"}, mail: {"mailer"}}
    await acknowledge(followed, MAILER, mail)
    clock.now += timedelta(days=15)
    # Deleting it does not undo what it was not told.
    await webhooks.delete_webhook(followed, DIALLER, webhook=made.webhook.id)
    later = await opt_out(followed, "+436601234568", channel=Channel.SMS)
    assert await positions(followed, OVERDUE) == [text]
    assert await positions(followed, PropagationFilter(not_acknowledged_by="dialler")) == [earlier, text, mail, later]


async def test_filters_by_time_and_by_who_does_not_know(followed: Tenant, clock: Clock) -> None:
    at, found = [], []
    for number in range(6):
        clock.now += timedelta(minutes=1)
        at.append(clock.now)
        found.append(await opt_out(followed, f"a{number}@example.org"))
    await acknowledge(followed, MAILER, found[3])
    assert await positions(followed, PropagationFilter(recorded_from=at[1], recorded_to=at[2])) == found[1:3]
    assert await positions(followed, PropagationFilter(not_acknowledged_by="mailer")) == found[4:]
    assert await positions(followed, PropagationFilter(not_acknowledged_by="dialler")) == found
    assert await positions(followed, PropagationFilter(not_acknowledged_by="mailer", recorded_to=at[4])) == [found[4]]
    with pytest.raises(Refusal) as refused:
        await positions(followed, PropagationFilter(not_acknowledged_by="nobody"))
    assert (refused.value.code, refused.value.path) == (RefusalCode.NOT_FOUND, ("notAcknowledgedBy",))


async def test_filters_at_the_edges_of_what_is_recorded_and_of_time(followed: Tenant, clock: Clock) -> None:
    out = await opt_out(followed)
    just_after = clock.now + timedelta(microseconds=1)
    for begin, found in ((FIRST_INSTANT, [out]), (clock.now, [out]), (just_after, []), (LAST_INSTANT, [])):
        assert await positions(followed, PropagationFilter(recorded_from=begin)) == found
    for end, found in ((FIRST_INSTANT, []), (clock.now, [out]), (LAST_INSTANT, [out])):
        assert await positions(followed, PropagationFilter(recorded_to=end)) == found


@pytest.mark.parametrize("name", ["\x00", "\ud800", ""])
async def test_what_can_be_no_application_is_refused_as_such(followed: Tenant, name: str) -> None:
    with pytest.raises(Refusal) as refused:
        await page(followed, PropagationFilter(not_acknowledged_by=name))
    assert (refused.value.code, refused.value.path) == (RefusalCode.INVALID, ("notAcknowledgedBy",))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
async def test_pages_hold_each_once_and_go_on_after_an_empty_one(
    followed: Tenant, clock: Clock, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(propagation, "_BATCH", 2)
    monkeypatch.setattr(propagation, "LOOKED_THROUGH_MAX", 4)
    await create_key(followed, "tests", ["read"])
    await acknowledge(followed, DIALLER, 0)
    found = [await opt_out(followed, f"a{number}@example.org") for number in range(20)]
    await acknowledge(followed, MAILER, found[-1])
    await acknowledge(followed, DIALLER, found[12])
    clock.now += timedelta(days=3)
    for wanted, expected in (
        (EVERYTHING, found),
        (OVERDUE, found[13:]),
        (PropagationFilter(not_acknowledged_by="dialler"), found[13:]),
        (PropagationFilter(not_acknowledged_by="tests"), found),
        (PropagationFilter(overdue=True, recorded_to=clock.now - timedelta(days=4)), []),
    ):
        seen, after, asked = [], None, 0
        while True:
            got = await page(followed, wanted, first=size, after=after)
            asked += 1
            assert asked <= 25
            seen += [one.event.position for _, one in got.items]
            assert len(got.items) <= size
            if not got.has_next_page:
                break
            assert got.end != after, "every page moves on"
            after = got.end
        assert seen == expected


async def test_a_page_looks_through_no_more_than_it_may(followed: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagation, "_BATCH", 2)
    monkeypatch.setattr(propagation, "LOOKED_THROUGH_MAX", 4)
    found = [await opt_out(followed, f"a{number}@example.org") for number in range(6)]
    # Nothing is due: all are looked through in vain.
    got = await page(followed, OVERDUE, first=1)
    assert (got.items, got.has_next_page) == ([], True)
    rest = await page(followed, OVERDUE, first=1, after=got.end)
    assert (rest.items, rest.has_next_page) == ([], False)
    assert (await page(followed, EVERYTHING, first=0)).has_next_page
    with pytest.raises(LimitExceeded):
        await page(followed, EVERYTHING, first=1_001)
    with pytest.raises(Refusal):
        await page(followed, EVERYTHING, after="nothing")
    assert len(found) == 6


async def test_where_nobody_follows_nothing_is_overdue_and_the_summary_says_so(
    clocked_tenant: Tenant, clock: Clock
) -> None:
    await opt_out(clocked_tenant)
    clock.now += timedelta(days=100)
    assert await positions(clocked_tenant, OVERDUE) == []
    by_filter: dict[bool, PropagationSummary] = {}
    for overdue in (False, True):
        by_filter[overdue] = summary = PropagationSummary()
        async for one, passes in every(clocked_tenant, PropagationFilter(overdue=overdue)):
            summary.add(one, passes=passes)
    assert (by_filter[True].to_json()["optOuts"], by_filter[True].to_json()["expectedOfNobody"]) == (0, 1)
    assert by_filter[False].to_json() == {
        "optOuts": 1, "overdue": 0, "expectedOfNobody": 1, "acknowledged": 0, "late": 0, "notAcknowledged": 0,
        "slowestSeconds": None, "slowest": None, "medianSeconds": None, "p99Seconds": None,
    }  # fmt: skip


async def test_the_summary_counts_and_its_percentiles_are_right_to_one_percent(followed: Tenant, clock: Clock) -> None:
    took = []
    for number in range(40):
        position = await opt_out(followed, f"a{number}@example.org")
        seconds = 1.36 ** (number % 20 + 1)
        clock.now += timedelta(seconds=seconds)
        await acknowledge(followed, MAILER, position)
        took.append((seconds, position))
    waiting = await opt_out(followed, "z@example.org")
    clock.now += timedelta(days=20)
    summary = PropagationSummary()
    for one in await all_of(followed):
        summary.add(one)
    said = summary.to_json()
    took.sort()
    assert (said["optOuts"], said["acknowledged"], said["notAcknowledged"], said["overdue"]) == (41, 40, 1, 1)
    assert (said["late"], said["expectedOfNobody"]) == (0, 0)
    assert waiting
    slowest = took[-1][0]
    assert said["slowestSeconds"] == pytest.approx(slowest, rel=1e-3)
    assert said["slowest"]["application"] == "mailer"
    assert said["medianSeconds"] == pytest.approx(took[math.ceil(0.5 * 40) - 1][0], rel=0.01)
    assert said["p99Seconds"] == pytest.approx(slowest, rel=0.01)
    assert said["p99Seconds"] <= said["slowestSeconds"]
