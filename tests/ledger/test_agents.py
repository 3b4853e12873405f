"""An agent and its decision come from one state of the log, whatever another process changed meanwhile."""

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest

from domain.addresses import Channel
from domain.catalogue import DoubleOptInMode, PurposeType
from domain.consent import ConsentValue
from domain.refusals import Refusal, RefusalCode
from eventstore.database import DatabaseAddress
from ledger import agents
from ledger.agents import OptOutScope, ToldToStop, check_agent, create_agent, record_opt_out, update_agent
from ledger.assembly import Caller, Tenant, ledger_on
from ledger.catalogue import create_purpose, create_topic, update_profile, update_purpose
from ledger.check import Answer, Question, check
from ledger.double_opt_in import confirm_double_opt_in, open_confirmation, request_double_opt_in
from ledger.erasure import erase_contact_point
from ledger.record import Capture, record_consent
from ledger.verifying import verify_database
from tests.conftest import Clock

ADA = "ada@example.org"


@pytest.fixture
async def sales(tenant: Tenant, caller: Caller) -> Tenant:
    await create_purpose(
        tenant, caller, key="closing", name="Closing", type=PurposeType.COMMERCIAL, profiles=["default"]
    )
    await create_agent(tenant, caller, key="sales", name="Sales", purpose="commercial")
    await record_consent(
        tenant,
        caller,
        Capture(channel=Channel.EMAIL, address=ADA, purpose="closing", value=ConsentValue.OPTED_OUT),
    )
    return tenant


async def allowed(tenant: Tenant) -> bool:
    [answered] = await check_agent(tenant, "sales", [ADA])
    return answered.answer.decision.allowed


@pytest.mark.parametrize("change", [{"active": False}, {"purpose": "closing"}])
async def test_what_another_process_changed_counts_at_once(
    database: DatabaseAddress, data_dir: Path, sales: Tenant, caller: Caller, change: dict[str, object]
) -> None:
    async with ledger_on(database, data_dir / "master.key") as other:
        elsewhere = await other.tenant(sales.key)
        assert await allowed(elsewhere) is True
        await update_agent(sales, caller, ref="sales", **change)
        assert elsewhere.catalogue.agents["sales"].version == 1, "it does not know yet"
        if "active" in change:
            with pytest.raises(Refusal, match="inactive") as refused:
                await allowed(elsewhere)
            assert refused.value.code is RefusalCode.INACTIVE
        else:
            assert await allowed(elsewhere) is False


@pytest.mark.parametrize("change", [{"active": False}, {"purpose": "closing"}])
async def test_a_change_between_agent_and_decision_is_decided_again(
    sales: Tenant, caller: Caller, change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def changed_first(tenant: Tenant, question: Question) -> list[Answer]:
        if not asked:
            await update_agent(sales, caller, ref="sales", **change)
        asked.append(question.purpose)
        return await check(tenant, question)

    monkeypatch.setattr(agents, "check", changed_first)
    if "active" in change:
        with pytest.raises(Refusal, match="inactive"):
            await allowed(sales)
        assert asked == ["commercial"]
    else:
        assert await allowed(sales) is False
        assert asked == ["commercial", "closing"]


async def test_no_addresses_have_no_answers(sales: Tenant) -> None:
    assert await check_agent(sales, "sales", []) == []


async def test_everything_commercial_keeps_its_key_and_names_the_agent(sales: Tenant, caller: Caller) -> None:
    await update_purpose(sales, caller, ref="closing", active=False)
    told = ToldToStop(
        address=ADA, agent="sales", scope=OptOutScope.EVERYTHING_COMMERCIAL, words="stop", idempotency_key="k"
    )
    first = await record_opt_out(sales, caller, told)
    assert [event.entry.data["purpose"] for event in first.events] == ["commercial", "closing"]
    assert {event.entry.actor for event in first.events} == {"AGENT"}
    assert (await record_opt_out(sales, caller, told)).repeated
    # The key stands for another opt-out: this one is recorded without it.
    other = await record_opt_out(sales, caller, dataclasses.replace(told, agent=None))
    assert (len(other.events), other.repeated) == (2, False)


async def decided(tenant: Tenant, topic: str | None = None, *, purpose: str = "commercial") -> tuple[bool, str]:
    [answer] = await check(tenant, Question(channel=Channel.EMAIL, addresses=[ADA], purpose=purpose, topic=topic))
    return answer.decision.allowed, str(answer.decision.reasons[0].code)


async def said(tenant: Tenant, caller: Caller, value: ConsentValue, topic: str | None = None) -> None:
    await record_consent(
        tenant, caller, Capture(channel=Channel.EMAIL, address=ADA, purpose="commercial", topic=topic, value=value)
    )


@pytest.fixture
async def with_news(sales: Tenant, caller: Caller) -> Tenant:
    await create_topic(sales, caller, key="news", name="News", purpose="commercial")
    await update_agent(sales, caller, ref="sales", topic="news")
    return sales


@pytest.mark.parametrize("scope", OptOutScope)
@pytest.mark.parametrize("since", [ConsentValue.OPTED_IN, ConsentValue.NOT_SET])
async def test_of_opt_outs_that_share_a_key_the_latest_word_counts(
    with_news: Tenant, caller: Caller, scope: OptOutScope, since: ConsentValue
) -> None:
    topic = "news" if scope is OptOutScope.TOPIC else None
    told = ToldToStop(address=ADA, agent="sales", scope=scope, words="stop", idempotency_key="k")
    for _ in range(3):
        recorded = await record_opt_out(with_news, caller, told)
        assert not recorded.repeated
        assert (await record_opt_out(with_news, caller, told)).repeated, "it counts, so it is the same opt-out"
        assert await decided(with_news, "news") == (False, "OPTED_OUT")
        await said(with_news, caller, since, topic)
        assert (await decided(with_news, "news"))[0]
    assert not (await record_opt_out(with_news, caller, told)).repeated
    assert await decided(with_news, "news") == (False, "OPTED_OUT")


async def test_a_repeated_no_to_everything_is_of_what_is_commercial_by_now(sales: Tenant, caller: Caller) -> None:
    told = ToldToStop(address=ADA, words="stop", idempotency_key="k")
    assert [event.entry.data["purpose"] for event in (await record_opt_out(sales, caller, told)).events] == [
        "commercial",
        "closing",
    ]
    await create_purpose(sales, caller, key="fairs", name="Fairs", type=PurposeType.COMMERCIAL, profiles=["default"])
    assert (await decided(sales, purpose="fairs"))[0]
    again = await record_opt_out(sales, caller, told)
    assert (len(again.events), again.repeated) == (3, False)
    assert await decided(sales, purpose="fairs") == (False, "OPTED_OUT")
    assert (await record_opt_out(sales, caller, told)).repeated


@pytest.mark.parametrize("scope", [OptOutScope.PURPOSE, OptOutScope.EVERYTHING_COMMERCIAL])
async def test_a_repeated_no_wins_over_an_erasure_that_left_nothing(
    sales: Tenant, caller: Caller, scope: OptOutScope
) -> None:
    told = ToldToStop(address=ADA, agent="sales", scope=scope, words="stop", idempotency_key="k")
    await record_opt_out(sales, caller, told)
    erased = {"channel": Channel.EMAIL, "address": ADA, "reason": "test"}
    await erase_contact_point(sales, caller, **erased, keep_suppression=False)  # pyright: ignore[reportArgumentType]
    assert (await decided(sales))[0]
    assert not (await record_opt_out(sales, caller, told)).repeated
    assert await decided(sales) == (False, "OPTED_OUT")
    await erase_contact_point(sales, caller, **erased)  # pyright: ignore[reportArgumentType]
    assert (await record_opt_out(sales, caller, told)).repeated, "who was erased is suppressed, and not stored again"
    assert await decided(sales) == (False, "SUPPRESSED")


async def test_a_repeated_no_wins_over_a_confirmation_that_is_awaited(
    clocked_tenant: Tenant, caller: Caller, clock: Clock
) -> None:
    await update_profile(clocked_tenant, caller, ref="default", double_opt_in=DoubleOptInMode.EVERY_SUBMISSION)
    told = ToldToStop(address=ADA, purpose="commercial", words="stop", idempotency_key="k")
    await record_opt_out(clocked_tenant, caller, told)
    clock.now += timedelta(hours=1)
    requested = await request_double_opt_in(
        clocked_tenant, caller, channel=Channel.EMAIL, address=ADA, purpose="commercial"
    )
    clock.now += timedelta(hours=1)
    assert not (await record_opt_out(clocked_tenant, caller, told)).repeated
    assert requested.token is not None
    await confirm_double_opt_in(*await open_confirmation(clocked_tenant.ledger, requested.token))
    assert await decided(clocked_tenant) == (False, "OPTED_OUT")


async def test_a_log_with_agents_is_verified(sales: Tenant, caller: Caller) -> None:
    await update_agent(sales, caller, ref="sales", name="Renamed")
    await verify_database(sales)
