"""A pooled connection that is given back: whatever its last user left, the next one finds nothing of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from eventstore import database as store
from eventstore.database import DatabaseAddress, open_pool


@pytest.fixture
async def pool(database: DatabaseAddress) -> AsyncIterator[asyncpg.Pool]:
    """A pool of one connection: the next user gets what the last one left."""
    pool = await open_pool(database, min_size=1, max_size=1)
    try:
        yield pool
    finally:
        pool.terminate()


async def backend(pool: asyncpg.Pool) -> int:
    """Which process of the database the pool's connection is of; reads in a snapshot of its own, as a large batch does."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        return await connection.fetchval("SELECT pg_backend_pid()")


async def cancelled_as_it_is_prepared(connection: Any, statement: str) -> None:
    """Cancels a fetch in the turn in which the database's answer to its preparation came, before the fetch goes on."""
    fetching: Any = asyncio.create_task(connection.fetch(statement))
    async with asyncio.timeout(10):
        await asyncio.sleep(0)
        while fetching._fut_waiter is None or not fetching._fut_waiter.done():
            await asyncio.sleep(0)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching


async def test_who_is_cancelled_while_a_statement_is_prepared_leaves_no_transaction(pool: asyncpg.Pool) -> None:
    before = await backend(pool)
    async with pool.acquire() as connection:
        await cancelled_as_it_is_prepared(connection, "SELECT size FROM log_heads")
    assert await backend(pool) == before


async def test_whose_arguments_cannot_be_encoded_leaves_no_transaction(pool: asyncpg.Pool) -> None:
    before = await backend(pool)
    async with pool.acquire() as connection:
        with pytest.raises(asyncpg.DataError):
            await connection.fetch("SELECT size FROM log_heads WHERE tenant = $1", "no number")
    assert await backend(pool) == before


async def test_who_read_what_was_asked_for_costs_no_round_trip_more(pool: asyncpg.Pool) -> None:
    statements: list[str] = []
    async with pool.acquire() as connection:
        connection.add_query_logger(lambda record: statements.append(record.query))
        await connection.fetch("SELECT 2")
    async with pool.acquire() as connection:
        await connection.fetch("SELECT 2")
        await connection.fetch("SELECT 3")
    assert statements == ["SELECT 2", "SELECT 2", "SELECT 3"]


async def test_a_cancellation_that_the_database_does_not_heed_costs_the_connection_and_not_the_time_of_a_statement(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "GIVING_BACK_S", 0.1)
    before = await backend(pool)

    async def unheeded(**_: object) -> None:
        await asyncio.Event().wait()

    # Nothing that the database is told of: to this process it is one that does not answer.
    with monkeypatch.context() as patched:
        patched.setattr("asyncpg.connect_utils._cancel", unheeded)
        async with asyncio.timeout(10), pool.acquire() as connection:
            with pytest.raises(TimeoutError):
                await connection.fetch("SELECT pg_sleep(20)", timeout=0.1)
    assert await asyncio.wait_for(backend(pool), 10) != before
