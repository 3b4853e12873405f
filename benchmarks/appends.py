"""Durable appends through the ledger, everything included, with 1, 16, 64 and 256 callers in one process."""

import asyncio
import time
from pathlib import Path

from benchmarks.figures import Figures, percentile
from benchmarks.peers import eventsourcing_rate
from domain.addresses import Channel
from domain.consent import ConsentValue
from ledger.assembly import Caller, LedgerConfig, Tenant, open_ledger
from ledger.record import Capture, record_consent
from ledger.tenants import create_tenant

CALLER = Caller("bench", frozenset())
SECONDS = 4.0
BYTES = """
SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'consentry' AND c.relkind = 'r'
"""


def capture(number: int, run: str) -> Capture:
    """A new contact point's capture with an idempotency key: the dearest kind."""
    return Capture(
        channel=Channel.EMAIL,
        address=f"{run}.{number}@example.org",
        purpose="commercial",
        value=ConsentValue.OPTED_OUT if number % 3 else ConsentValue.OPTED_IN,
        idempotency_key=f"{run}-{number}",
    )


async def rate(tenant: Tenant, callers: int, seconds: float = SECONDS) -> tuple[float, list[float]]:
    """(events a second, seconds that each took) with so many callers at once."""
    run = f"r{time.time_ns()}"
    times: list[float] = []
    until = time.perf_counter() + seconds
    numbers = iter(range(10**9))

    async def one() -> None:
        while time.perf_counter() < until:
            start = time.perf_counter()
            await record_consent(tenant, CALLER, capture(next(numbers), run))
            times.append(time.perf_counter() - start)

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(callers)))
    return len(times) / (time.perf_counter() - started), times


async def run(data_dir: Path, figures: Figures) -> None:
    """Measure, and note the figures."""
    async with open_ledger(LedgerConfig(data_dir=data_dir)) as ledger:
        tenant = await create_tenant(ledger, "appends", "Appends")
        await rate(tenant, 64, 1.0)
        _, alone = await rate(tenant, 1)
        median = percentile(alone, 0.5)
        figures.add("one lone caller's append, median", "< 3 ms", f"{median:.2f} ms", kept=median < 3)
        at: dict[int, float] = {}
        for callers in (16, 64, 256):
            at[callers], times = await rate(tenant, callers)
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
        peer = await asyncio.to_thread(eventsourcing_rate, ledger.address, 16, SECONDS)
        ratio = at[16] / peer
        figures.add(
            "the same against `eventsourcing`, 16 callers", "5 x", f"{ratio:.1f} x (it: {peer:,.0f}/s)", kept=ratio >= 5
        )
        async with ledger.connection() as connection:
            await connection.execute("SELECT 1")
            size = await connection.fetchval(BYTES)
            events = await connection.fetchval("SELECT sum(size) FROM log_heads")
        each = float(size) / float(events)
        figures.add("storage per event, indexes included", "< 1.5 KB", f"{each:,.0f} bytes", kept=each < 1_500)
