"""One, two and four processes that append beside each other, to one tenant's log and to eight: the total must not fall.

Each process is what a worker of `consentry serve --workers` is to the store: a ledger with connections and groups of its own.
The callers are as many however many processes there are, and are spread over the tenants.

    python -m benchmarks.writers
"""

import asyncio
import multiprocessing
import tempfile
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from benchmarks.captures import rate
from benchmarks.figures import Figures
from benchmarks.machine import describe
from benchmarks.rounds import alternate
from ledger.assembly import LedgerConfig, open_ledger
from ledger.tenants import create_tenant

CALLERS = 64
PROCESSES = (1, 2, 4)
TENANTS = (1, 8)
SECONDS = 3.0
_WARM_UP_S = 0.5


async def run(data_dir: Path, figures: Figures) -> None:
    """Measure, and note the figures."""
    for tenants in TENANTS:
        keys = [f"writers-{tenants}-{number}" for number in range(tenants)]
        async with open_ledger(LedgerConfig(data_dir=data_dir)) as ledger:
            for key in keys:
                await create_tenant(ledger, key, "Writers")
            totals = await alternate({count: partial(_total, data_dir, keys, count) for count in PROCESSES})
        alone = totals[1]
        for count in PROCESSES[1:]:
            over = totals[count].over(alone)
            figures.add(
                f"appends by {count} processes to {tenants} log{'s' * (tenants > 1)}", "no fewer than by one",
                f"{totals[count].text()}/s, {over.text('.2f')} x (one: {alone.text()}/s)", kept=over.median >= 1,
            )  # fmt: skip


async def _total(data_dir: Path, keys: Sequence[str], processes: int) -> float:
    """Events a second of all processes together."""
    spawn = multiprocessing.get_context("spawn")
    workers: list[tuple[Connection, BaseProcess]] = []
    try:
        for _ in range(processes):
            here, there = spawn.Pipe()
            process = spawn.Process(target=_work, args=(there, data_dir, keys, CALLERS // processes), daemon=True)
            process.start()
            workers.append((here, process))
        for here, _ in workers:
            await asyncio.to_thread(here.recv)
        for here, _ in workers:
            here.send("go")
        return sum([await asyncio.to_thread(here.recv) for here, _ in workers])
    finally:
        for _, process in workers:
            process.join(10)
            process.kill()


def _work(told: Connection, data_dir: Path, keys: Sequence[str], callers: int) -> None:
    asyncio.run(_append(told, data_dir, keys, callers))


async def _append(told: Connection, data_dir: Path, keys: Sequence[str], callers: int) -> None:
    async with open_ledger(LedgerConfig(data_dir=data_dir)) as ledger:
        tenants = [await ledger.tenant(key) for key in keys]
        each = max(1, callers // len(tenants))

        async def all_of_them(seconds: float) -> float:
            return sum(one for one, _ in await asyncio.gather(*(rate(tenant, each, seconds) for tenant in tenants)))

        await all_of_them(_WARM_UP_S)
        told.send("ready")
        await asyncio.to_thread(told.recv)
        told.send(await all_of_them(SECONDS))


def main() -> None:
    """On a new data directory, and print the table."""
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="consentry-writers-") as folder:
        asyncio.run(run(Path(folder), figures))
    print(f"\n{describe()}\n\n{figures.table()}")


if __name__ == "__main__":
    main()
