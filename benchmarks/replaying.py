"""Replay on one core: entries read from their bytes, hashed again, folded into the current consent."""

import time
from pathlib import Path

from benchmarks.figures import Figures
from domain.consent import ConsentRecord, join
from eventstore import read
from ledger.assembly import LedgerConfig, open_ledger
from projections.inline import consent_record
from tlog.compact_range import EMPTY
from tlog.entry import read as read_entry
from tlog.hashing import leaf_hash


async def run(data_dir: Path, figures: Figures) -> None:
    """Measure re-hashing and folding of tenant 1's log, held in memory."""
    async with open_ledger(LedgerConfig(data_dir=data_dir)) as ledger, ledger.connection() as connection:
        head = await read.head(connection, 1)
        raws = [bytes(row[0]) for row in await connection.fetch(
            "SELECT entry FROM log_entries WHERE tenant = 1 AND position < $1 ORDER BY position", head.size
        )]  # fmt: skip
    started = time.perf_counter()
    tree = EMPTY.append_many(leaf_hash(raw) for raw in raws)
    hashing = len(raws) / (time.perf_counter() - started)
    if tree.root() != head.root:
        raise RuntimeError("the log does not lead to its root")
    started = time.perf_counter()
    held: dict[object, ConsentRecord | None] = {}
    for raw in raws:
        entry = read_entry(raw)
        record = consent_record(entry)
        if record is not None:
            key = (entry.stream, record.purpose, record.topic, record.unit)
            held[key] = join(held.get(key), record)
    folding = len(raws) / (time.perf_counter() - started)
    figures.add("re-hashing a log to its root", "250,000 events/s", f"{hashing:,.0f}/s", kept=hashing >= 250_000)
    figures.add(
        "folding entries into current consent",
        "100,000 events/s",
        f"{folding:,.0f}/s",
        kept=folding >= 100_000,
    )
