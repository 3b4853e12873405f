"""Leases: one holder at a time, the next after a stop or an expiry, and a stale holder that can write nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from eventstore.database import DatabaseAddress
from ledger.assembly import Tenant
from projections.lease import Lease, LeaseLost, held, take

NAME = "work"


@pytest.fixture
async def owner(database: DatabaseAddress) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(**database.owner)
    yield connection
    await connection.close()


@pytest.fixture
def pool(tenant: Tenant) -> asyncpg.Pool:
    return tenant.ledger.pool


async def taken(pool: asyncpg.Pool, tenant: Tenant, *, duration_s: float = 60.0) -> Lease:
    lease = await take(pool, tenant.id, NAME, duration_s=duration_s)
    assert lease is not None
    return lease


async def free_again(pool: asyncpg.Pool, tenant: Tenant) -> Lease:
    while (lease := await take(pool, tenant.id, NAME)) is None:
        await asyncio.sleep(0.01)
    return lease


async def expire(owner: asyncpg.Connection, tenant: Tenant) -> None:
    """What time does."""
    await owner.execute(
        "UPDATE leases SET expires_at = clock_timestamp() WHERE tenant = $1 AND name = $2", tenant.id, NAME
    )


@contextlib.asynccontextmanager
async def locked(owner: asyncpg.Connection, tenant: Tenant) -> AsyncIterator[None]:
    """While this lasts no renewal is answered."""
    async with owner.transaction():
        await owner.execute("SELECT 1 FROM leases WHERE tenant = $1 AND name = $2 FOR UPDATE", tenant.id, NAME)
        yield


async def waits_for_a_lock(owner: asyncpg.Connection, part: str) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%' || $1 || '%'"
    while not await owner.fetchval(waiting, part):
        await asyncio.sleep(0.01)
        # Within a transaction what others do is shown as it was at the first look.
        await owner.execute("SELECT pg_stat_clear_snapshot()")


async def test_of_many_that_ask_at_once_one_gets_it(pool: asyncpg.Pool, tenant: Tenant) -> None:
    answers = await asyncio.gather(*(take(pool, tenant.id, NAME) for _ in range(8)))
    [lease] = [answer for answer in answers if answer is not None]
    await lease.release()
    answers = await asyncio.gather(*(take(pool, tenant.id, NAME) for _ in range(8)))
    [after] = [answer for answer in answers if answer is not None]
    assert after.fence > lease.fence


async def test_other_names_and_other_tenants_are_other_leases(
    pool: asyncpg.Pool, tenant: Tenant, clocked_tenant: Tenant
) -> None:
    await taken(pool, tenant)
    assert await take(pool, tenant.id, "other work") is not None
    assert await take(pool, clocked_tenant.id, NAME) is not None


async def test_once_expired_it_is_taken_over_and_the_old_holder_can_do_nothing(
    pool: asyncpg.Pool, tenant: Tenant, owner: asyncpg.Connection
) -> None:
    old = await taken(pool, tenant)
    await expire(owner, tenant)
    new = await taken(pool, tenant)
    assert new.fence > old.fence
    with pytest.raises(LeaseLost):
        await old.renew()
    async with pool.acquire() as connection, connection.transaction():
        with pytest.raises(LeaseLost):
            await old.prove(connection)
    await old.release()
    assert await take(pool, tenant.id, NAME) is None
    await new.renew()


async def test_one_that_expired_and_nobody_took_is_renewed(
    pool: asyncpg.Pool, tenant: Tenant, owner: asyncpg.Connection
) -> None:
    lease = await taken(pool, tenant)
    await expire(owner, tenant)
    await lease.renew()
    assert await take(pool, tenant.id, NAME) is None


async def test_nobody_takes_it_between_the_proof_of_an_effect_and_its_commit(
    pool: asyncpg.Pool, tenant: Tenant, owner: asyncpg.Connection
) -> None:
    lease = await taken(pool, tenant)
    async with pool.acquire() as connection:
        async with connection.transaction():
            await lease.prove(connection)
            await lease.renew()
            await expire(owner, tenant)
            assert await take(pool, tenant.id, NAME) is None
        assert await take(pool, tenant.id, NAME) is not None


async def test_a_worker_that_stands_still_in_its_transaction_is_cut_off_by_the_database(
    pool: asyncpg.Pool, tenant: Tenant, database: DatabaseAddress
) -> None:
    lease = await taken(pool, tenant, duration_s=0.2)
    connection = await asyncpg.connect(**database.service)
    transaction = connection.transaction()
    await transaction.start()
    await lease.prove(connection)
    await free_again(pool, tenant)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)):
        await transaction.commit()
    await connection.close()


async def test_a_proof_outside_of_a_transaction_would_prove_nothing(pool: asyncpg.Pool, tenant: Tenant) -> None:
    lease = await taken(pool, tenant)
    async with pool.acquire() as connection:
        with pytest.raises(RuntimeError):
            await lease.prove(connection)


async def test_a_renewal_is_trusted_from_when_it_was_asked_for(
    pool: asyncpg.Pool, tenant: Tenant, owner: asyncpg.Connection
) -> None:
    duration_s = 60.0
    lease = await taken(pool, tenant, duration_s=duration_s)
    before = lease.trusted_until_s
    async with locked(owner, tenant):
        renewal = asyncio.create_task(lease.renew())
        await waits_for_a_lock(owner, "UPDATE leases SET expires_at")
        asked_before_s = asyncio.get_running_loop().time()
    await renewal
    assert before < lease.trusted_until_s < asked_before_s + duration_s * 0.9


async def test_leaving_releases_it_however_the_work_ended(pool: asyncpg.Pool, tenant: Tenant) -> None:
    async with held(pool, tenant.id, NAME) as first:
        assert first is not None
        async with held(pool, tenant.id, NAME) as second:
            assert second is None
    with pytest.raises(ZeroDivisionError):
        async with held(pool, tenant.id, NAME):
            raise ZeroDivisionError
    entered = asyncio.Event()

    async def work() -> None:
        async with held(pool, tenant.id, NAME):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await taken(pool, tenant)


async def test_it_is_renewed_while_the_work_goes_on(pool: asyncpg.Pool, tenant: Tenant) -> None:
    async with held(pool, tenant.id, NAME, duration_s=2.0) as lease:
        assert lease is not None
        first = lease.trusted_until_s
        while lease.trusted_until_s == first:
            assert await take(pool, tenant.id, NAME) is None
            await asyncio.sleep(0.02)


async def test_work_ends_when_renewals_go_unanswered(
    pool: asyncpg.Pool, tenant: Tenant, owner: asyncpg.Connection
) -> None:
    async def work() -> None:
        async with held(pool, tenant.id, NAME, duration_s=0.5), locked(owner, tenant):
            await asyncio.Event().wait()

    with pytest.raises(LeaseLost):
        await work()


async def test_work_ends_when_another_has_taken_it(
    pool: asyncpg.Pool, tenant: Tenant, owner: asyncpg.Connection
) -> None:
    async def work() -> None:
        async with held(pool, tenant.id, NAME, duration_s=4.0):
            await expire(owner, tenant)
            await taken(pool, tenant)
            await asyncio.Event().wait()

    with pytest.raises(LeaseLost):
        await work()
    assert await take(pool, tenant.id, NAME) is None


async def test_a_timeout_of_the_works_own_stays_what_it_is(pool: asyncpg.Pool, tenant: Tenant) -> None:
    with pytest.raises(TimeoutError):
        async with held(pool, tenant.id, NAME):
            raise TimeoutError
