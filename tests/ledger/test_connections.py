"""The pool of connections when it is exhausted: who waits is few, waits not long, and nothing is left of it.

Large batches do not exhaust it: of these few go on at once.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from domain.addresses import Channel
from eventstore import read
from eventstore.database import DatabaseAddress, StoreUnavailable
from ledger import assembly
from ledger import check as checking
from ledger.assembly import BATCHES_AT_ONCE, Ledger, Tenant, ledger_on
from ledger.check import Question, check
from ledger.check_queue import FLIGHT_ADDRESSES_MAX
from ledger.look_up import LookUp, Seen, look_up

MANY = [f"a{number}@example.com" for number in range(FLIGHT_ADDRESSES_MAX + 1)]
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


class Held:
    """Holds up whoever reads for a large batch, of now or of another time, with the connection in hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held = 0
        self.go_on = asyncio.Event()
        size_at = read.size_at

        async def looks_up(connection: Any, tenant: int, asked: Sequence[LookUp]) -> list[Seen]:
            await self._hold()
            return await look_up(connection, tenant, asked)

        async def sees(connection: Any, tenant: int, instant: datetime) -> int:
            await self._hold()
            return await size_at(connection, tenant, instant)

        monkeypatch.setattr(checking, "look_up", looks_up)
        monkeypatch.setattr(read, "size_at", sees)

    async def _hold(self) -> None:
        self.held += 1
        await self.go_on.wait()

    async def until(self, number: int) -> None:
        async with asyncio.timeout(10):
            while self.held < number:
                await asyncio.sleep(0.01)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(monkeypatch)


@pytest.mark.parametrize("known_at", [None, datetime.max.replace(tzinfo=UTC)], ids=["now", "then"])
async def test_large_batches_leave_connections_to_who_checks_one_address(
    own: Tenant, held: Held, known_at: datetime | None
) -> None:
    large = replace(QUESTION, addresses=MANY, known_at=known_at)
    batches = [asyncio.create_task(check(own, large)) for _ in range(own.ledger.pool.get_max_size() + 2)]
    await held.until(BATCHES_AT_ONCE)
    # Nobody waits for a connection: the others would have it by the time that these have been answered twice.
    for _ in range(2):
        assert len(await check(own, QUESTION)) == 1
    assert held.held == BATCHES_AT_ONCE
    held.go_on.set()
    assert [len(answers) for answers in await asyncio.gather(*batches)] == [len(MANY)] * len(batches)


async def test_a_batch_that_waits_too_long_or_leaves_takes_no_place_with_it(
    own: Tenant, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = replace(QUESTION, addresses=MANY)
    first = [asyncio.create_task(check(own, large)) for _ in range(BATCHES_AT_ONCE)]
    await held.until(BATCHES_AT_ONCE)
    monkeypatch.setattr(assembly, "BATCH_WAIT_S", 0.05)
    with pytest.raises(StoreUnavailable):
        await check(own, large)
    first[0].cancel()
    await asyncio.wait([first[0]])
    held.go_on.set()
    await asyncio.gather(*first[1:])
    monkeypatch.undo()
    again = Held(monkeypatch)
    batches = [asyncio.create_task(check(own, large)) for _ in range(BATCHES_AT_ONCE)]
    await again.until(BATCHES_AT_ONCE)
    again.go_on.set()
    await asyncio.gather(*batches)
    assert own.ledger._connection_waiters == 0
