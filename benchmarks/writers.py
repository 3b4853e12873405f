"""One, two and four processes that write beside each other, to one tenant's log and to eight: the total must not fall.

First the workers of `consentry serve --workers`, asked over HTTP; then processes that are to the store what a worker is (a ledger
with connections of its own, and a place among the others), with callers of their own and no HTTP.
Connections and callers are as many however many processes there are, and are spread over the tenants.

    python -m benchmarks.writers
"""

import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.captures import rate
from benchmarks.figures import Figures
from benchmarks.machine import describe
from benchmarks.rounds import Spread, alternate
from benchmarks.serving import RECORD, body, consentry, free_port, load
from benchmarks.where import database_s
from ledger.api_keys import create_key
from ledger.assembly import LedgerConfig, open_ledger
from ledger.shared_writing import Place, SharedWriting
from ledger.tenants import create_tenant
from web import collector, event_loop

CONNECTIONS = 64
CALLERS = (64, 256)
PROCESSES = (1, 2, 4)
TENANTS = (1, 8)
SECONDS = 2.5
_WARM_UP_S = 0.5


async def run(data_dir: Path, figures: Figures) -> None:
    """Measure, and note the figures."""
    for tenants in TENANTS:
        keys = [f"writers-{tenants}-{number}" for number in range(tenants)]
        secrets: list[str] = []
        async with open_ledger(LedgerConfig(data_dir=data_dir)) as ledger:
            for key in keys:
                tenant = await create_tenant(ledger, key, "Writers")
                secrets.append(await create_key(tenant, "bench", ["write"]))
            served = await alternate({count: partial(_served, data_dir, secrets, count) for count in PROCESSES})
            _note(f"records over HTTP, {CONNECTIONS} connections, {{}} workers", tenants, served, figures)
            for callers in CALLERS:
                spent: dict[int, list[_Spent]] = {count: [] for count in PROCESSES}
                appended = await alternate(
                    {count: partial(_total, data_dir, keys, callers, count, spent[count]) for count in PROCESSES}
                )
                _note(f"appends of {callers} callers in {{}} processes", tenants, appended, figures, spent)


class _Spent(NamedTuple):
    """Processor time of an append, here and in the database, and how many processors were busy."""

    python_us: float
    database_us: float
    busy: float


def _note(
    what: str,
    tenants: int,
    totals: Mapping[int, Spread],
    figures: Figures,
    spent: Mapping[int, Sequence[_Spent]] | None = None,
) -> None:
    alone = totals[1]
    for count in PROCESSES[1:]:
        over = totals[count].over(alone)
        figures.add(
            f"{what.format(count)} to {tenants} log{'s' * (tenants > 1)}", "no fewer than by one",
            f"{totals[count].text()}/s, {over.text('.2f')} x (one: {alone.text()}/s)", kept=over.median >= 1,
        )  # fmt: skip
    for count, measured in (spent or {}).items():
        python, database, busy = (median(column) for column in zip(*measured, strict=True))
        figures.add(
            f"processor time of an append, {what.format(count)} to {tenants} log{'s' * (tenants > 1)}", "",
            f"{python:.0f} µs Python, {database:.0f} µs database; {busy:.2f} processors busy", kept=None,
        )  # fmt: skip


async def _served(data_dir: Path, secrets: Sequence[str], workers: int) -> float:
    """Records a second by all workers of a server together."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/graphql"
    record = body(RECORD, channel="EMAIL", address="w{n}@example.org", purpose="commercial", value="OPTED_OUT")
    with consentry(data_dir, port, workers=workers):
        # Until the workers have found each other.
        await asyncio.to_thread(load, url, CONNECTIONS, ",".join(secrets), record, seconds=2 * _WARM_UP_S)
        measured = await asyncio.to_thread(load, url, CONNECTIONS, ",".join(secrets), record, seconds=SECONDS)
    return measured["rate"]


async def _total(data_dir: Path, keys: Sequence[str], callers: int, processes: int, spent: list[_Spent]) -> float:
    """Events a second of all processes together; what they spent is added to `spent`."""
    spawn = multiprocessing.get_context("spawn")
    workers: list[tuple[Connection, BaseProcess]] = []
    sockets = tempfile.TemporaryDirectory(prefix="consentry-writers-")
    try:
        for number in range(processes):
            here, there = spawn.Pipe()
            place = Place(Path(sockets.name), number, processes)
            arguments = (there, data_dir, keys, callers // processes, place)
            process = spawn.Process(target=_work, args=arguments, daemon=True)
            process.start()
            workers.append((here, process))
        for here, _ in workers:
            await asyncio.to_thread(here.recv)
        database, started = database_s(data_dir), time.perf_counter()
        for here, _ in workers:
            here.send("go")
        told = [await asyncio.to_thread(here.recv) for here, _ in workers]
        seconds, database = time.perf_counter() - started, database_s(data_dir) - database
        total, python = sum(one for one, _ in told), sum(own for _, own in told)
        for here, _ in workers:
            here.send("end")
        events = total * seconds
        spent.append(_Spent(python / events * 1e6, database / events * 1e6, (python + database) / seconds))
        return total
    finally:
        for _, process in workers:
            process.join(10)
            process.kill()
        sockets.cleanup()


def _work(told: Connection, data_dir: Path, keys: Sequence[str], callers: int, place: Place) -> None:
    event_loop.run(_append(told, data_dir, keys, callers, place))


async def _append(told: Connection, data_dir: Path, keys: Sequence[str], callers: int, place: Place) -> None:
    async with open_ledger(LedgerConfig(data_dir=data_dir)) as ledger, SharedWriting(ledger, place).running():
        tenants = [await ledger.tenant(key) for key in keys]
        each = max(1, callers // len(tenants))
        collector.leave_to_itself()

        async def all_of_them(seconds: float) -> float:
            return sum(one for one, _ in await asyncio.gather(*(rate(tenant, each, seconds) for tenant in tenants)))

        await all_of_them(_WARM_UP_S)
        told.send("ready")
        await asyncio.to_thread(told.recv)
        started = time.process_time()
        total = await all_of_them(SECONDS)
        told.send((total, time.process_time() - started))
        # None ends, and is missed by the others, while one of them still counts.
        await asyncio.to_thread(told.recv)


def main() -> None:
    """On a new data directory, and print the table."""
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="consentry-writers-") as folder:
        event_loop.run(run(Path(folder), figures))
    print(f"\n{describe()}\n\n{figures.table()}")


if __name__ == "__main__":
    main()
