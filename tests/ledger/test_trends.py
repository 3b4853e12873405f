"""consentTrend: by the day a choice took effect, for a purpose, a profile or all; honest about what it has not counted yet."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.addresses import Channel
from domain.catalogue import PurposeType
from domain.consent import ConsentValue
from domain.refusals import LimitExceeded, NotYetAvailable, Refusal, RefusalCode
from ledger.assembly import Caller, Tenant
from ledger.catalogue import create_profile, create_purpose, create_topic, update_purpose
from ledger.erasure import erase_contact_point
from ledger.record import Capture, record_consent
from ledger.trends import TREND_DAYS_MAX, TrendDay, consent_trend
from projections.trends import CONSENT_TREND, Counts
from tests.conftest import Clock
from tests.projections.conftest import follow

START = datetime(2026, 6, 1, 12, tzinfo=UTC)


async def record(
    tenant: Tenant, caller: Caller, value: ConsentValue, purpose: str = "commercial", **fields: Any
) -> None:
    given = {"address": "ada@example.org", "channel": Channel.EMAIL, "value": value, "purpose": purpose, **fields}
    await record_consent(tenant, caller, Capture(**given))


async def trend(tenant: Tenant, first: datetime = START, last: datetime = START, **fields: Any) -> list[TrendDay]:
    await follow(tenant, CONSENT_TREND)
    return await consent_trend(
        tenant, **{"profile": None, "purpose": None, "first": first, "last": last, "wait_s": 0, **fields}
    )


async def one_day(tenant: Tenant, day: datetime = START, **fields: Any) -> Counts:
    [found] = await trend(tenant, day, day, **fields)
    return found.counts


async def test_choices_count_on_the_day_on_which_they_took_effect(clocked_tenant: Tenant, caller: Caller) -> None:
    await record(clocked_tenant, caller, ConsentValue.OPTED_IN)
    await record(clocked_tenant, caller, ConsentValue.OPTED_OUT, effective_at=START - timedelta(hours=12))
    await record(clocked_tenant, caller, ConsentValue.NOT_SET, effective_at=START - timedelta(hours=12, microseconds=1))
    found = await trend(clocked_tenant, START - timedelta(days=2), START + timedelta(days=1))
    assert [(str(one.day), one.counts) for one in found] == [
        ("2026-05-30", Counts()),
        ("2026-05-31", Counts(reset=1)),
        ("2026-06-01", Counts(opted_in=1, opted_out=1)),
        ("2026-06-02", Counts()),
    ]


async def test_days_are_those_of_utc_whatever_the_offset_asked_with(clocked_tenant: Tenant, caller: Caller) -> None:
    late = datetime.fromisoformat("2026-06-02T01:30:00+02:00")
    [found] = await trend(clocked_tenant, late, late)
    assert str(found.day) == "2026-06-01"


async def test_topics_count_with_their_purpose_and_what_changed_nothing_counts(
    clocked_tenant: Tenant, caller: Caller
) -> None:
    await create_topic(clocked_tenant, caller, key="news", name="News", purpose="commercial")
    for topic in (None, "news", "news"):
        await record(clocked_tenant, caller, ConsentValue.OPTED_OUT, topic=topic)
    assert await one_day(clocked_tenant, purpose="commercial") == Counts(opted_out=3)


async def test_a_purpose_or_the_purposes_of_a_profile_inactive_ones_included(
    clocked_tenant: Tenant, caller: Caller
) -> None:
    await create_profile(clocked_tenant, caller, key="brand", name="Brand")
    await create_purpose(
        clocked_tenant,
        caller,
        key="surveys",
        name="Surveys",
        type=PurposeType.COMMERCIAL,
        profiles=["default", "brand"],
    )
    for purpose in ("commercial", "brand-commercial", "surveys", "surveys"):
        await record(clocked_tenant, caller, ConsentValue.OPTED_IN, purpose)
    await update_purpose(clocked_tenant, caller, ref="surveys", active=False)
    assert await one_day(clocked_tenant) == Counts(opted_in=4)
    assert await one_day(clocked_tenant, profile="brand") == Counts(opted_in=3)
    assert await one_day(clocked_tenant, profile="default", purpose="surveys") == Counts(opted_in=2)
    assert await one_day(clocked_tenant, purpose="brand-commercial") == Counts(opted_in=1)


async def test_erasing_somebody_takes_nothing_away(clocked_tenant: Tenant, caller: Caller) -> None:
    await record(clocked_tenant, caller, ConsentValue.OPTED_OUT)
    await erase_contact_point(
        clocked_tenant, caller, channel=Channel.EMAIL, address="ada@example.org", reason="asked for it"
    )
    assert await one_day(clocked_tenant) == Counts(opted_out=1)


async def test_what_names_nothing_or_too_much_is_refused(clocked_tenant: Tenant, caller: Caller) -> None:
    await create_profile(clocked_tenant, caller, key="brand", name="Brand")
    for fields, code, path in [
        ({"profile": "nobody"}, RefusalCode.NOT_FOUND, ("profile",)),
        ({"purpose": "nothing"}, RefusalCode.NOT_FOUND, ("purpose",)),
        ({"profile": "brand", "purpose": "commercial"}, RefusalCode.PURPOSE_OUTSIDE_PROFILE, ("purpose",)),
        ({"last": START - timedelta(microseconds=1)}, RefusalCode.INVALID, ("to",)),
    ]:
        with pytest.raises(Refusal) as refusal:
            await trend(clocked_tenant, **fields)
        assert (refusal.value.code, refusal.value.path) == (code, path)
    longest = START + timedelta(days=TREND_DAYS_MAX - 1)
    assert len(await trend(clocked_tenant, last=longest)) == 400
    with pytest.raises(LimitExceeded) as limit:
        await trend(clocked_tenant, last=longest + timedelta(days=1))
    assert (limit.value.allowed, limit.value.given) == (400, 401)


async def test_other_tenants_choices_are_not_counted(clocked_tenant: Tenant, tenant: Tenant, caller: Caller) -> None:
    await record(tenant, caller, ConsentValue.OPTED_IN, effective_at=START - timedelta(days=1))
    await follow(tenant, CONSENT_TREND)
    assert await one_day(clocked_tenant, START - timedelta(days=1)) == Counts()


async def test_an_answer_waits_for_what_was_there_when_it_was_asked_for_and_never_is_an_old_count(
    clocked_tenant: Tenant, caller: Caller, clock: Clock
) -> None:
    await record(clocked_tenant, caller, ConsentValue.OPTED_IN)
    await follow(clocked_tenant, CONSENT_TREND)
    await record(clocked_tenant, caller, ConsentValue.OPTED_IN)
    asked = {"profile": None, "purpose": None, "first": START, "last": START}
    with pytest.raises(NotYetAvailable, match="not in the counts yet"):
        await consent_trend(clocked_tenant, **asked, wait_s=0)
    waiting = asyncio.create_task(consent_trend(clocked_tenant, **asked))
    await asyncio.sleep(0)
    await follow(clocked_tenant, CONSENT_TREND)
    [found] = await waiting
    assert found.counts == Counts(opted_in=2)
