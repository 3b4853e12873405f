"""The pool of connections when it is exhausted: who waits is few, waits not long, and nothing is left of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.addresses import Channel
from eventstore.database import DatabaseAddress, StoreUnavailable
from ledger import assembly
from ledger.assembly import Ledger, Tenant, ledger_on
from ledger.check import Question, check

QUESTION = Question(channel=Channel.EMAIL, addresses=("ann@example.com",), purpose="commercial")


@pytest.fixture
async def own(database: DatabaseAddress, data_dir: Path, tenant: Tenant) -> AsyncIterator[Tenant]:
    """The tenant, in a ledger whose connections are the test's alone."""
    async with ledger_on(database, data_dir / "master.key") as ledger:
        yield await ledger.tenant(tenant.key)


@contextlib.asynccontextmanager
async def exhausted(ledger: Ledger) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(ledger.pool.get_max_size()):
            await stack.enter_async_context(ledger.connection())
        yield


async def test_who_waits_too_long_is_told_and_the_next_is_answered(
    own: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "CONNECTION_WAIT_S", 0.05)
    async with exhausted(own.ledger):
        outcomes = await asyncio.gather(*(check(own, QUESTION) for _ in range(20)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
    monkeypatch.undo()
    assert len(await check(own, QUESTION)) == 1
    assert own.ledger._connection_waiters == 0
    async with exhausted(own.ledger):
        pass  # none was lost


async def test_more_than_may_wait_are_told_at_once(own: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "CONNECTION_WAITERS_MAX", 2)

    async def connects() -> None:
        async with own.ledger.connection():
            pass

    async with exhausted(own.ledger):
        waiting = [asyncio.create_task(connects()) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable):
            await connects()
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)


async def test_who_leaves_while_waiting_loses_no_connection(own: Tenant) -> None:
    async def connects() -> None:
        async with own.ledger.connection():
            pass

    async with exhausted(own.ledger):
        waiting = [asyncio.create_task(connects()) for _ in range(5)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    async with exhausted(own.ledger):
        pass
    assert own.ledger._connection_waiters == 0
