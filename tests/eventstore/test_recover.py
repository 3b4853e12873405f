"""A commit that never answered: write lost and write kept, and in both cases each caller is settled and nothing is doubled."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from domain.addresses import Channel
from domain.consent import ConsentValue
from eventstore import recover
from eventstore.append import Log
from eventstore.database import StoreUnavailable
from ledger.assembly import Caller, Tenant
from ledger.record import Capture, Recorded, record_consent, record_consents
from tests.eventstore.test_append import verify


def captures(count: int) -> list[Capture]:
    return [
        Capture(
            channel=Channel.EMAIL,
            address=f"a{number}@example.org",
            purpose="commercial",
            value=ConsentValue.OPTED_OUT,
            idempotency_key=f"k{number}",
        )
        for number in range(count)
    ]


class Fault:
    """Breaks the next write of a log: before it reaches the database, or after it is durable."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]) -> None:
        self.kept = False
        self.armed = False
        self.error = error
        write = Log._write

        async def broken(log: Log, connection: Any, group: Any) -> bool:
            if not self.armed:
                return await write(log, connection, group)
            self.armed = False
            if self.kept:
                await write(log, connection, group)
            raise self.error()

        monkeypatch.setattr(Log, "_write", broken)


LOST = [
    lambda: asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    lambda: ConnectionResetError("reset"),
    lambda: TimeoutError(),
    lambda: asyncpg.AdminShutdownError("terminating connection due to administrator command"),
]


@pytest.mark.parametrize("error", LOST)
@pytest.mark.parametrize("kept", [False, True])
async def test_an_unknown_outcome_is_settled(
    tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch, kept: bool, error: Callable[[], Exception]
) -> None:
    fault = Fault(monkeypatch, error)
    await record_consents(tenant, caller, captures(3))
    fault.kept, fault.armed = kept, True
    results = await record_consents(tenant, caller, captures(8))
    assert not fault.armed
    assert [result.repeated for result in results if isinstance(result, Recorded)] == [True] * 3 + [False] * 5
    stored = await verify(tenant)
    assert len([event for event in stored if event.entry.type == "ConsentCaptured"]) == 8
    again = await record_consents(tenant, caller, captures(8))
    assert [result.events for result in again if isinstance(result, Recorded)] == [
        result.events for result in results if isinstance(result, Recorded)
    ]


async def test_an_error_of_the_server_is_no_unknown_outcome(
    tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault(monkeypatch, lambda: asyncpg.DiskFullError("no space left on device"))
    fault.armed = True
    with pytest.raises(StoreUnavailable):
        await record_consent(tenant, caller, captures(1)[0])
    assert not (await record_consent(tenant, caller, captures(1)[0])).repeated
    await verify(tenant)


async def test_a_database_that_stays_away_is_told_to_every_caller(
    tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault(monkeypatch, LOST[0])
    fault.kept = fault.armed = True
    monkeypatch.setattr(recover, "_TRIES", 0)
    with pytest.raises(StoreUnavailable):
        await record_consent(tenant, caller, captures(1)[0])
    assert (await record_consent(tenant, caller, captures(1)[0])).repeated, "the key settles it"
    await verify(tenant)


async def test_a_statement_that_outlived_its_connection_is_fenced_off(tenant: Tenant, caller: Caller) -> None:
    await record_consent(tenant, caller, captures(1)[0])
    async with tenant.ledger.connection() as connection:
        head = await connection.fetchrow("SELECT size, epoch FROM log_heads WHERE tenant = $1", tenant.id)
    entry = (await record_consent(tenant, caller, captures(2)[1])).events[0]
    # What `recover` does first: after that, no statement prepared under the old epoch matches the head any more.
    assert await recover.committed(tenant.ledger.pool, tenant.id, entry)
    async with tenant.ledger.connection() as connection:
        now = await connection.fetchrow("SELECT size, epoch FROM log_heads WHERE tenant = $1", tenant.id)
    assert now["epoch"] == head["epoch"] + 1


async def test_one_command_that_the_database_cannot_take_fails_alone(
    tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Log._write

    async def poisoned(log: Log, connection: Any, group: Any) -> bool:
        if any(columns.source == "PAPER" for columns in group.columns):
            raise asyncpg.CharacterNotInRepertoireError("invalid byte sequence")
        return await write(log, connection, group)

    monkeypatch.setattr(Log, "_write", poisoned)
    good, bad = captures(4), captures(5)[4]
    poison = Capture(
        channel=bad.channel, address=bad.address, purpose="commercial", value=bad.value, source=__import__(
            "domain.consent", fromlist=["ConsentSource"]
        ).ConsentSource.PAPER,
    )  # fmt: skip
    answers = await asyncio.gather(
        *(record_consent(tenant, caller, capture) for capture in (*good, poison)), return_exceptions=True
    )
    assert [isinstance(answer, Recorded) for answer in answers] == [True] * 4 + [False]
    await verify(tenant)


async def test_a_caller_that_leaves_cancels_nobody(tenant: Tenant, caller: Caller) -> None:
    tasks = [asyncio.create_task(record_consent(tenant, caller, capture)) for capture in captures(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.result() for task in tasks[1::2])
    await verify(tenant)


async def test_a_connection_that_cannot_be_given_back_leaves_what_it_wrote(
    tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = tenant.log._pool
    broken: list[bool] = []

    @contextlib.asynccontextmanager
    async def acquire() -> AsyncIterator[Any]:
        async with pool.acquire() as connection:
            yield connection
        if not broken:
            broken.append(True)
            raise ConnectionResetError

    monkeypatch.setattr(tenant.log, "_pool", SimpleNamespace(acquire=acquire))
    async with tenant.ledger.connection() as connection:
        epoch = await connection.fetchval("SELECT epoch FROM log_heads WHERE tenant = $1", tenant.id)
    first = await record_consent(tenant, caller, captures(1)[0])
    second = await record_consent(tenant, caller, captures(1)[0])
    assert broken
    assert (first.repeated, second.repeated, second.events) == (False, True, first.events)
    async with tenant.ledger.connection() as connection:
        now = await connection.fetchval("SELECT epoch FROM log_heads WHERE tenant = $1", tenant.id)
    assert now == epoch, "nothing was unknown"
    await verify(tenant)
