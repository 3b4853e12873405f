"""Checks through the ledger: what was recorded is seen at once, at every time asked, and never by an older catalogue."""

import asyncio
from datetime import timedelta

import pytest

from domain.addresses import Channel
from domain.catalogue import EnforcementModel
from domain.consent import ConsentValue
from domain.decision import ReasonCode
from domain.refusals import LimitExceeded, NotYetAvailable, Refusal, RefusalCode
from ledger import catalogue
from ledger.assembly import Caller, Tenant
from ledger.check import Question, check
from ledger.contactability import consent_of, contactability_of
from ledger.history import find_contact_point
from ledger.record import Capture, record_consent
from tests.conftest import Clock

IN, OUT = ConsentValue.OPTED_IN, ConsentValue.OPTED_OUT


def question(*addresses: str, **fields: object) -> Question:
    given = {"channel": Channel.EMAIL, "purpose": "commercial", **fields}
    return Question(addresses=addresses or ("ada@example.org",), **given)  # type: ignore[arg-type]


def capture(value: ConsentValue, **fields: object) -> Capture:
    given = {"channel": Channel.EMAIL, "address": "ada@example.org", "purpose": "commercial", **fields}
    return Capture(value=value, **given)  # type: ignore[arg-type]


async def codes(tenant: Tenant, asked: Question) -> list[ReasonCode]:
    [answer] = await check(tenant, asked)
    return [reason.code for reason in answer.decision.reasons]


async def test_what_was_recorded_is_what_the_next_check_sees(tenant: Tenant, caller: Caller) -> None:
    assert await codes(tenant, question()) == [ReasonCode.NOT_SET_ALLOWED]
    recorded = await record_consent(tenant, caller, capture(OUT))
    [answer] = await check(tenant, question(" ADA@Example.org "))
    assert not answer.decision.allowed
    assert answer.tracking.allowed
    assert [reason.code for reason in answer.decision.reasons] == [ReasonCode.OPTED_OUT]
    assert answer.position == recorded.position
    assert answer.address == " ADA@Example.org "


async def test_answers_come_in_the_order_asked(tenant: Tenant, caller: Caller) -> None:
    await record_consent(tenant, caller, capture(OUT))
    answers = await check(tenant, question("x@example.org", "ada@example.org", "nope", "x@example.org"))
    assert [answer.decision.allowed for answer in answers] == [True, False, False, True]
    assert answers[2].decision.reasons[0].code is ReasonCode.INVALID_ADDRESS
    assert len({answer.position for answer in answers}) == 1


async def test_many_checks_at_once_get_their_own_answers(tenant: Tenant, caller: Caller) -> None:
    for number in range(0, 40, 2):
        await record_consent(tenant, caller, capture(OUT, address=f"a{number}@example.org"))
    answers = await asyncio.gather(*(check(tenant, question(f"a{number}@example.org")) for number in range(40)))
    assert [answer.decision.allowed for [answer] in answers] == [number % 2 == 1 for number in range(40)]


async def test_ten_thousand_addresses_and_not_one_more(tenant: Tenant) -> None:
    addresses = [f"a{number}@example.org" for number in range(10_000)]
    answers = await check(tenant, question(*addresses))
    assert [answer.address for answer in answers] == addresses
    with pytest.raises(LimitExceeded) as refused:
        await check(tenant, question(*addresses, "b@example.org"))
    assert (refused.value.limit, refused.value.allowed, refused.value.given) == ("addresses", 10_000, 10_001)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"profile": "nope"}, RefusalCode.NOT_FOUND),
        ({"purpose": "nope"}, RefusalCode.NOT_FOUND),
        ({"topic": "nope"}, RefusalCode.NOT_FOUND),
        ({"purpose": "other"}, RefusalCode.PURPOSE_OUTSIDE_PROFILE),
        ({"topic": "news", "purpose": "transactional"}, RefusalCode.TOPIC_OUTSIDE_PURPOSE),
        ({"topic": "old"}, RefusalCode.INACTIVE),
    ],
)
async def test_what_a_message_names_must_be_there(
    tenant: Tenant, caller: Caller, fields: dict[str, str], code: RefusalCode
) -> None:
    await catalogue.create_profile(tenant, caller, key="brand", name="Brand")
    await catalogue.create_purpose(tenant, caller, key="other", name="Other", type=_commercial(), profiles=["brand"])
    await catalogue.create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    await catalogue.create_topic(tenant, caller, key="old", name="Old", purpose="commercial")
    await catalogue.update_topic(tenant, caller, ref="old", active=False)
    for moment in ({}, {"known_at": tenant.ledger.clock()}):
        with pytest.raises(Refusal) as refused:
            await check(tenant, question(**fields, **moment))
        assert refused.value.code is code


def _commercial() -> object:
    from domain.catalogue import PurposeType

    return PurposeType.COMMERCIAL


async def test_both_kinds_of_time(clocked_tenant: Tenant, caller: Caller, clock: Clock) -> None:
    tenant, start = clocked_tenant, clock.now
    await record_consent(tenant, caller, capture(IN, effective_at=start - timedelta(days=10)))
    clock.now = start + timedelta(days=1)
    await record_consent(tenant, caller, capture(OUT, effective_at=start - timedelta(days=5)))
    day = timedelta(days=1)

    async def at(as_of: object, known_at: object) -> ReasonCode:
        return (await codes(tenant, question(as_of=as_of, known_at=known_at)))[0]

    assert await at(None, None) is ReasonCode.OPTED_OUT
    assert await at(start - 7 * day, None) is ReasonCode.OPTED_IN
    assert await at(start - 5 * day, None) is ReasonCode.OPTED_OUT
    assert await at(start - 11 * day, None) is ReasonCode.NOT_SET_ALLOWED
    assert await at(None, start) is ReasonCode.OPTED_IN, "what a check at that instant answered"
    assert await at(start - 2 * day, start) is ReasonCode.OPTED_IN
    assert await at(start, start + day) is ReasonCode.OPTED_OUT
    assert await at(None, start - day) is ReasonCode.NOT_SET_ALLOWED


async def test_enforcement_is_taken_as_recorded_by_known_at(
    clocked_tenant: Tenant, caller: Caller, clock: Clock
) -> None:
    tenant, start = clocked_tenant, clock.now
    clock.now = start + timedelta(hours=1)
    restrictive = [(Channel.EMAIL, EnforcementModel.RESTRICTIVE)]
    await catalogue.update_purpose(tenant, caller, ref="commercial", enforcement=restrictive)
    before = start + timedelta(minutes=59)
    assert await codes(tenant, question()) == [ReasonCode.NOT_SET_BLOCKED]
    assert await codes(tenant, question(as_of=before)) == [ReasonCode.NOT_SET_BLOCKED], "asOf does not move it"
    assert await codes(tenant, question(known_at=before)) == [ReasonCode.NOT_SET_ALLOWED]
    assert await codes(tenant, question(known_at=start - timedelta(days=9))) == [ReasonCode.NOT_SET_ALLOWED]


async def test_consent_expires_at_its_very_instant_without_a_sweeper(
    clocked_tenant: Tenant, caller: Caller, clock: Clock
) -> None:
    tenant, start = clocked_tenant, clock.now
    until = start + timedelta(hours=1)
    await record_consent(tenant, caller, capture(OUT, effective_at=start - timedelta(days=2)))
    await record_consent(tenant, caller, capture(IN, valid_until=until))
    assert await codes(tenant, question()) == [ReasonCode.OPTED_IN]
    clock.now = until - timedelta(microseconds=1)
    assert await codes(tenant, question()) == [ReasonCode.OPTED_IN]
    clock.now = until
    expired = [ReasonCode.CONSENT_EXPIRED, ReasonCode.NOT_SET_ALLOWED]
    assert await codes(tenant, question()) == expired, "and it still hides the opt-out before it"
    assert await codes(tenant, question(as_of=until)) == expired
    assert await codes(tenant, question(as_of=start)) == [ReasonCode.OPTED_IN]


async def test_min_position(tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = await record_consent(tenant, caller, capture(OUT))
    position = recorded.position or 0
    assert not (await check(tenant, question(min_position=position)))[0].decision.allowed
    waiting = asyncio.create_task(check(tenant, question("later@example.org", min_position=position + 1)))
    await asyncio.sleep(0)
    await record_consent(tenant, caller, capture(OUT, address="later@example.org"))
    assert not (await waiting)[0].decision.allowed
    monkeypatch.setattr("ledger.assembly.WAIT_FOR_POSITION_S", 0.0)
    with pytest.raises(NotYetAvailable):
        await check(tenant, question(min_position=position + 1_000))


async def test_consent_and_contactability_of_a_contact_point(tenant: Tenant, caller: Caller) -> None:
    await catalogue.create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    await record_consent(tenant, caller, capture(IN, topic="news"))
    await record_consent(tenant, caller, capture(OUT, purpose="tracking"))
    point = await find_contact_point(tenant, Channel.EMAIL, "ada@example.org")
    assert point is not None
    [of_topic, of_purpose, refused] = await consent_of(
        tenant, [(point.id, "commercial", "news"), (point.id, "commercial", None), (point.id, "nope", None)]
    )
    assert not isinstance(of_topic, Refusal)
    assert of_topic.record is not None
    assert of_topic.record.value is IN
    assert not isinstance(of_purpose, Refusal)
    assert of_purpose.record is None
    assert isinstance(refused, Refusal)
    [rows] = await contactability_of(tenant, [(point.id, Channel.EMAIL)], profile="default")
    assert [(row.purpose.key, row.topic and row.topic.key, row.contactability.value) for row in rows] == [
        ("commercial", None, "WILL_SEND"),
        ("commercial", "news", "WILL_SEND"),
        ("transactional", None, "WILL_SEND"),
        ("tracking", None, "WILL_NOT_TRACK"),
    ]
