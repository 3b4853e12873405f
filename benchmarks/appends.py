"""Durable appends through the ledger, everything included, with 1, 16, 64 and 256 callers in one process."""

import tempfile
from pathlib import Path

from benchmarks import comparing
from benchmarks.captures import rate
from benchmarks.figures import Figures, percentile
from benchmarks.peers.npm_packages import HOW
from benchmarks.rounds import ROUNDS
from ledger.assembly import LedgerConfig, open_ledger
from ledger.tenants import create_tenant
from web import collector, event_loop

SECONDS = 4.0
BYTES = """
SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'consentry' AND c.relkind = 'r'
"""


def run(figures: Figures) -> None:
    """Measure on a new database, and note the figures: on an old one the upkeep of what was written before works beside."""
    with tempfile.TemporaryDirectory(prefix="consentry-appends-") as folder:
        event_loop.run(_run(Path(folder), figures))


async def _run(data_dir: Path, figures: Figures) -> None:
    async with open_ledger(LedgerConfig(data_dir=data_dir)) as ledger:
        tenant = await create_tenant(ledger, "appends", "Appends")
        collector.leave_to_itself()
        await rate(tenant, 64, 1.0)
        _, alone = await rate(tenant, 1, SECONDS)
        median = percentile(alone, 0.5)
        figures.add("one lone caller's append, median", "< 3 ms", f"{median:.2f} ms", kept=median < 3)
        at: dict[int, float] = {}
        for callers in (16, 64, 256):
            at[callers], times = await rate(tenant, callers, SECONDS)
            p99 = percentile(times, 0.99)
            if callers == 256:
                figures.add(
                    "appends, 256 callers", "15,000/s, p99 < 40 ms", f"{at[callers]:,.0f}/s, p99 {p99:.0f} ms",
                    kept=at[callers] >= 15_000 and p99 < 40,
                )  # fmt: skip
            elif callers == 16:
                figures.add(
                    "appends, 16 callers", "p99 < 15 ms", f"{at[callers]:,.0f}/s, p99 {p99:.0f} ms", kept=p99 < 15
                )
            else:
                figures.add(f"appends, {callers} callers", "", f"{at[callers]:,.0f}/s, p99 {p99:.0f} ms", kept=None)
        beside = await comparing.appends(tenant, seconds=SECONDS / 2, rounds=ROUNDS)
        for peer, promised in ((comparing.EVENTSOURCING, 5), (comparing.MESSAGE_DB, 2)):
            figures.beside(f"the same against `{peer}`", promised, beside[comparing.OURS], beside.get(peer), how=HOW)
        async with ledger.connection() as connection:
            await connection.execute("SELECT 1")
            size = await connection.fetchval(BYTES)
            events = await connection.fetchval("SELECT sum(size) FROM log_heads")
        each = float(size) / float(events)
        figures.add("storage per event, indexes included", "< 1.5 KB", f"{each:,.0f} bytes", kept=each < 1_500)
