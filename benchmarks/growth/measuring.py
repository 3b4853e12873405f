"""Measures logs of several sizes in turn, round by round, and tells each figure with its ratio to the smallest log's.

All databases are open at once, and a server runs for each; only the one that is asked works.
"""

import asyncio
import contextlib
import random
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.growth import storage
from benchmarks.growth.following import catch_up
from benchmarks.growth.made_up import address
from benchmarks.growth.making import KEY_FILE, TENANT, directory_of
from benchmarks.growth.measures import MEASURES, REBUILD, Grown, Measure, ask_for_each
from benchmarks.growth.measures_http import Served
from benchmarks.rounds import Spread, alternate
from benchmarks.serving import consentry, free_port
from eventstore import read
from ledger.assembly import LedgerConfig, open_ledger
from web import collector

FLAT = 0.25
_STARTS = 3
_OVER_HTTP: tuple[tuple[str, str, Callable[[Served], Awaitable[float]]], ...] = (
    ("checks over HTTP, 16 connections", "/s", Served.checks),
    ("batch checks over HTTP, 10,000 addresses a call", "decisions/s", Served.batches),
    ("records over HTTP, 64 connections", "/s", Served.records),
    ("`events.ndjson`, the last 20,000", "events/s", Served.fed),
    ("a subscription that catches up", "events/s", Served.subscribed),
)


@dataclass(frozen=True, slots=True)
class Compared:
    """One measure at each size, smallest first."""

    measure: Measure
    at: dict[int, Spread]

    def row(self) -> str:
        """As a row of the table: each figure with its spread, and how many times as good it is as on the smallest log."""
        sizes = sorted(self.at)
        form = ",.0f" if self.at[sizes[0]].median >= 100 else ",.2f"
        cells = [f"{self.measure.what}, {self.measure.unit}", self.at[sizes[0]].text(form)]
        for size in sizes[1:]:
            ratio = self.kept(size)
            cells.append(
                f"{self.at[size].text(form)}: {ratio:.2f} x{'' if abs(1 - ratio) <= FLAT or ratio > 1 else ' **not flat**'}"
            )
        return f"| {' | '.join(cells)} |"

    def kept(self, size: int) -> float:
        """How much of what it is on the smallest log is left on one of this size; more is better, whatever the unit."""
        over = self.at[size].over(self.at[min(self.at)]).median
        return over if self.measure.more_is_better else 1 / over


async def measure(data_dir: Path, sizes: Sequence[int], *, rounds: int, only: str | None, rebuild: bool) -> None:
    """Measure everything, and print the tables as they come."""
    print(f"| what | {' | '.join(f'{size:,}' for size in sorted(sizes))} |")
    print("|---" * (len(sizes) + 1) + "|", flush=True)
    if only is None or only in "start":
        await _starts(data_dir, sizes)
    async with contextlib.AsyncExitStack() as stack:
        directories = {size: _own_copy(stack, data_dir, size, largest=size == max(sizes)) for size in sorted(sizes)}
        grown = {size: await opened(stack, directory, size) for size, directory in directories.items()}
        collector.leave_to_itself()
        for log in grown.values():
            await ask_for_each(log)
        for one in MEASURES:
            if only is None or only in one.what:
                await _compare(one, {size: lambda log=log, one=one: one.of(log) for size, log in grown.items()}, rounds)
        served = {size: _serve(stack, directories[size], log) for size, log in grown.items()}
        for what, unit, ask in _OVER_HTTP:
            if only is None or only in what:
                http = Measure(what, unit, more_is_better=True, of=REBUILD.of)
                await _compare(http, {size: lambda to=to, ask=ask: ask(to) for size, to in served.items()}, rounds)
        if rebuild and (only is None or only in REBUILD.what):
            await _compare(REBUILD, {size: lambda log=log: REBUILD.of(log) for size, log in grown.items()}, 1)
        if only is None:
            print("\n" + storage.table({size: await storage.stored(log) for size, log in grown.items()}))


async def _compare(one: Measure, of_size: dict[int, Callable[[], Awaitable[float]]], rounds: int) -> None:
    if rounds > 1:
        for ask in of_size.values():
            await ask()
    print(Compared(one, await alternate(of_size, rounds)).row(), flush=True)


def _own_copy(stack: contextlib.AsyncExitStack, data_dir: Path, size: int, *, largest: bool) -> Path:
    """What is measured writes: a copy that goes afterwards, so that a small log stays small; to the largest that is nothing."""
    kept = directory_of(data_dir, size)
    if largest:
        return kept
    copy = kept.with_name(f"{size}.measured")
    shutil.rmtree(copy, ignore_errors=True)
    subprocess.run(["cp", "-a", str(kept), str(copy)], check=True)  # noqa: S607
    stack.callback(shutil.rmtree, copy)
    return copy


async def opened(stack: contextlib.AsyncExitStack, directory: Path, size: int) -> Grown:
    """The log of a data directory, opened until the context ends, with its followers caught up."""
    ledger = await stack.enter_async_context(open_ledger(LedgerConfig(data_dir=directory)))
    tenant = await ledger.tenant(TENANT)
    await catch_up(tenant)
    async with ledger.connection() as connection:
        reached = (await read.head(connection, tenant.id)).size
        low, high = 0, size
        # Contact points are numbered as they came up: the first number that nobody has is found by halves.
        while low < high:
            middle = (low + high) // 2
            there = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM vault_subjects WHERE tenant = $1 AND blind_index = $2)",
                tenant.id,
                tenant.blind_index("EMAIL", address(middle)),
            )
            low, high = (middle + 1, high) if there else (low, middle)
    return Grown(tenant, reached, low, random.Random(size))


def _serve(stack: contextlib.AsyncExitStack, directory: Path, grown: Grown) -> Served:
    port = free_port()
    stack.enter_context(consentry(directory, port))
    return Served(grown, port, (directory / KEY_FILE).read_text(encoding="ascii"))


async def _starts(data_dir: Path, sizes: Sequence[int]) -> None:
    """Seconds from starting `consentry serve`, its database stopped, to a port that answers."""

    def start(directory: Path) -> float:
        port = free_port()
        started = time.perf_counter()
        with consentry(directory, port):
            return time.perf_counter() - started

    one = Measure("start on an existing data directory", "s", more_is_better=False, of=REBUILD.of)
    starts = {size: lambda size=size: asyncio.to_thread(start, directory_of(data_dir, size)) for size in sorted(sizes)}
    await _compare(one, starts, _STARTS)
