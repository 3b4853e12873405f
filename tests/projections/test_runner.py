"""Runners: any number of them bring every tenant level, each event counted once, and go on after one of them was stopped."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import asyncpg
import pytest

from ledger.assembly import Caller, Ledger, Tenant
from ledger.projection_states import projection_states
from ledger.tenants import create_tenant
from projections.lease import take
from projections.projection import Projection
from projections.runner import Runner
from projections.trends import CONSENT_TREND
from tests.projections.test_follower import failing_at, head_of, position_of, record, trend_total


@contextlib.asynccontextmanager
async def running(ledger: Ledger, count: int = 1, projection: Projection = CONSENT_TREND) -> AsyncIterator[None]:
    runners = [Runner(ledger.pool, ledger.wakeup, (projection,), step_entries=3) for _ in range(count)]
    tasks = [asyncio.create_task(runner.run()) for runner in runners]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await true():
            await asyncio.sleep(0.01)


async def level(ledger: Ledger, tenants: list[Tenant]) -> None:
    keys = {tenant.key for tenant in tenants}

    async def all_level() -> bool:
        states = await projection_states(ledger)
        followed = [state for state in states if state.tenant in keys and state.projection == CONSENT_TREND.name]
        return all(state.lag == 0 for state in followed)

    await until(all_level)


@pytest.fixture(autouse=True)
async def _nothing_of_other_tests_to_do(owner: asyncpg.Connection) -> None:
    """A runner works for every tenant of the database, and other tests left many, some of them stopped."""
    await owner.execute(
        "INSERT INTO projection_checkpoints (tenant, projection, position)"
        " SELECT tenant, $1, size - 1 FROM log_heads"
        " ON CONFLICT (tenant, projection) DO UPDATE SET position = excluded.position, stopped = NULL",
        CONSENT_TREND.name,
    )


@pytest.fixture
async def tenants(ledger: Ledger, tenant: Tenant) -> list[Tenant]:
    return [tenant, *[await create_tenant(ledger, f"{tenant.key}-{number}", "Test") for number in range(3)]]


async def test_several_race_over_several_tenants_and_every_event_counts_once(
    ledger: Ledger, tenants: list[Tenant], caller: Caller, owner: asyncpg.Connection
) -> None:
    async with running(ledger, 3):
        for _ in range(4):
            await asyncio.gather(*(record(tenant, caller, 5) for tenant in tenants))
        await level(ledger, tenants)
    for tenant in tenants:
        assert await trend_total(owner, tenant) == 20


async def test_one_that_stops_leaves_its_leases_free_and_the_next_goes_on(
    ledger: Ledger, tenant: Tenant, caller: Caller, owner: asyncpg.Connection
) -> None:
    await record(tenant, caller)
    async with running(ledger):
        await level(ledger, [tenant])
    assert await take(ledger.pool, tenant.id, "projection consent_trend") is not None
    await owner.execute("UPDATE leases SET expires_at = now() WHERE tenant = $1", tenant.id)
    await record(tenant, caller)
    async with running(ledger):
        await level(ledger, [tenant])
    assert await trend_total(owner, tenant) == 6


async def test_a_lease_that_another_worker_holds_is_waited_for(
    ledger: Ledger, tenant: Tenant, caller: Caller, owner: asyncpg.Connection
) -> None:
    await record(tenant, caller)
    killed = await take(ledger.pool, tenant.id, "projection consent_trend", duration_s=600)
    assert killed is not None
    other = await create_tenant(ledger, f"{tenant.key}-other", "Test")
    await record(other, caller)
    async with running(ledger):
        await level(ledger, [other])
        assert await trend_total(owner, tenant) == 0
        await owner.execute("UPDATE leases SET expires_at = now() WHERE tenant = $1", tenant.id)
        await level(ledger, [tenant])
    assert await trend_total(owner, tenant) == 3


async def test_a_tenant_where_it_is_stopped_holds_up_no_other(
    ledger: Ledger, tenant: Tenant, caller: Caller, owner: asyncpg.Connection
) -> None:
    await record(tenant, caller)
    stops = replace(failing_at(await head_of(tenant)), may_leave_out=False)
    other = await create_tenant(ledger, f"{tenant.key}-other", "Test")
    await record(other, caller, 1)

    async def is_stopped() -> bool:
        found = await position_of(owner, tenant)
        return found is not None and found[1] is not None

    async with running(ledger, projection=stops):
        await until(is_stopped)
        await level(ledger, [other])
    assert await trend_total(owner, tenant) == 2
