"""An agent and its decision come from one state of the log, whatever another process changed meanwhile."""

import dataclasses
from pathlib import Path

import pytest

from domain.addresses import Channel
from domain.catalogue import PurposeType
from domain.consent import ConsentValue
from domain.refusals import Refusal, RefusalCode
from eventstore.database import DatabaseAddress
from ledger import agents
from ledger.agents import OptOutScope, ToldToStop, check_agent, create_agent, record_opt_out, update_agent
from ledger.assembly import Caller, Tenant, ledger_on
from ledger.catalogue import create_purpose, update_purpose
from ledger.check import Answer, Question, check
from ledger.record import Capture, record_consent
from ledger.verifying import verify_database

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


async def test_a_log_with_agents_is_verified(sales: Tenant, caller: Caller) -> None:
    await update_agent(sales, caller, ref="sales", name="Renamed")
    await verify_database(sales)
