"""A database that is there and answers nothing at all: who checks is told so in the time that a check has."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from domain.addresses import Channel
from eventstore import database as store
from eventstore.database import DatabaseAddress, StoreUnavailable
from ledger import assembly
from ledger.assembly import Tenant, ledger_on
from ledger.check import Question, check

QUESTION = Question(channel=Channel.EMAIL, addresses=("ann@example.com",), purpose="commercial")


class Between:
    """Passes on what the service and the database say to each other, until it is told to hold everything back."""

    def __init__(self, database: DatabaseAddress) -> None:
        self._upstream = database.service
        self._passing = asyncio.Event()
        self._passing.set()
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[DatabaseAddress]:
        server = await asyncio.start_server(self._met, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        address: dict[str, Any] = {**self._upstream, "host": host, "port": port}
        try:
            yield DatabaseAddress(owner=address, service=address)
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def hold(self) -> None:
        self._passing.clear()

    def pass_on(self) -> None:
        self._passing.set()

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        folder, port = self._upstream["host"], self._upstream["port"]
        await self._passing.wait()
        there, back = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{port}")
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pass(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.closing(sink), contextlib.suppress(ConnectionError):
            while data := await source.read(1 << 16):
                await self._passing.wait()
                sink.write(data)
                await sink.drain()


@pytest.fixture
async def between(database: DatabaseAddress) -> Between:
    if not str(database.service.get("host", "")).startswith("/"):
        pytest.skip("stands before the embedded database")
    return Between(database)


async def test_checks_end_in_the_time_that_a_check_has_and_go_on_when_the_database_does(
    between: Between, data_dir: Path, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "CHECK_TIMEOUT_S", 0.2)
    monkeypatch.setattr(store, "GIVING_BACK_S", 0.2)
    async with between.listening() as address, ledger_on(address, data_dir / "master.key") as ledger:
        own = await ledger.tenant(tenant.key)
        assert len(await check(own, QUESTION)) == 1
        between.hold()
        # Well within what a statement may take, for which the cancellation would be waited for.
        async with asyncio.timeout(store.COMMAND_TIMEOUT_S / 3):
            outcomes = await asyncio.gather(*(check(own, QUESTION) for _ in range(20)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
        between.pass_on()
        monkeypatch.undo()
        assert len(await check(own, QUESTION)) == 1
