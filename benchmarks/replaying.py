"""Replay on one core: entries re-hashed, entries folded into current consent, and both with reading them from the store."""

import time
from pathlib import Path

from benchmarks.figures import Figures
from eventstore import read
from ledger.assembly import LedgerConfig, open_ledger
from ledger.replaying import replay
from projections.happened import read_all
from projections.inline import fold
from projections.rebuild import GROUP_ENTRIES
from tlog.compact_range import EMPTY
from tlog.hashing import leaf_hash


async def run(data_dir: Path, figures: Figures) -> None:
    """Measure re-hashing and folding of tenant 1's log, held in memory, and a replay of it from the store."""
    async with open_ledger(LedgerConfig(data_dir=data_dir)) as ledger:
        async with ledger.connection() as connection:
            head = await read.head(connection, 1)
            raws = [bytes(row[0]) for row in await connection.fetch(
                "SELECT entry FROM log_entries WHERE tenant = 1 AND position < $1 ORDER BY position", head.size
            )]  # fmt: skip
        started = time.perf_counter()
        state = await replay(await ledger.tenant_by_id(1))
        replaying = state.entries / (time.perf_counter() - started)
    started = time.perf_counter()
    tree = EMPTY.append_many(leaf_hash(raw) for raw in raws)
    hashing = len(raws) / (time.perf_counter() - started)
    if tree.root() != head.root:
        raise RuntimeError("the log does not lead to its root")
    started = time.perf_counter()
    for start in range(0, len(raws), GROUP_ENTRIES):
        fold(read_all(raws[start : start + GROUP_ENTRIES]))
    folding = len(raws) / (time.perf_counter() - started)
    figures.add("re-hashing a log to its root", "250,000 events/s", f"{hashing:,.0f}/s", kept=hashing >= 250_000)
    figures.add(
        "folding entries into current consent",
        "100,000 events/s",
        f"{folding:,.0f}/s",
        kept=folding >= 100_000,
    )
    figures.add(
        "replay: read from the store, re-hashed, folded",
        "250,000 events/s",
        f"{replaying:,.0f}/s",
        kept=replaying >= 250_000,
    )
