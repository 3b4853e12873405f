"""Selecting by consent among 10,000 and among a million contact points: pages and counts, and how fast the bits follow.

The contact points are made by SQL, without going through the log's own writer: what is measured reads the tables only.
"""

import argparse
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from uuid import UUID

from benchmarks.figures import Figures
from domain.addresses import Channel
from domain.catalogue import EnforcementModel
from domain.decision import Contactability
from ledger import catalogue
from ledger.assembly import Caller, LedgerConfig, Tenant, open_ledger
from ledger.selection import Selection, preview_enforcement, select
from ledger.tenants import create_tenant
from projections import selection as bits
from projections.selection_counts import KeptCounts
from web import event_loop

SIZES = (10_000, 1_000_000)
_ROUNDS = 15
_BATCH = 2_000

# Of each hundred: 60 opted in, 30 opted out, 9 reset, 1 of whom nothing is known here; one of all has opted in to the topic.
_MAKE = """
WITH made AS (
    SELECT n, gen_random_uuid() AS contact_point FROM generate_series($2::int, $3::int) AS n
), entries AS (
    INSERT INTO log_entries (tenant, position, stream, number, recorded_at, type, channel, entry, leaf_hash)
    SELECT $1, n, contact_point, 0, now(), 'ConsentCaptured', 'EMAIL', '', '' FROM made
), subjects AS (
    INSERT INTO vault_subjects (tenant, contact_point, channel, blind_index, wrapped_key, sealed_address, first_position,
                                created_at)
    SELECT $1, contact_point, 'EMAIL', uuid_send(contact_point), '', '', n, now() FROM made
)
INSERT INTO current_consent (tenant, contact_point, channel, purpose, topic, unit, value, restrictiveness, effective_at,
                             recorded_at, position)
SELECT $1, contact_point, 'EMAIL', 'commercial', '', 'root',
       CASE WHEN n % 100 < 60 THEN 'OPTED_IN' WHEN n % 100 < 90 THEN 'OPTED_OUT' ELSE 'NOT_SET' END, 0, now(), now(), n
FROM made WHERE n % 100 <> 99
UNION ALL
SELECT $1, contact_point, 'EMAIL', 'commercial', 'news', 'root', 'OPTED_IN', 0, now(), now(), n FROM made WHERE n = $4
"""


async def run(data_dir: Path, figures: Figures) -> None:
    """Measure both sizes, alternating."""
    async with open_ledger(LedgerConfig(data_dir=data_dir)) as ledger:
        tenants: dict[int, Tenant] = {}
        rate = 0.0
        for size in SIZES:
            tenants[size] = await create_tenant(ledger, f"selecting-{size}", "Selecting")
            rate = await _populate(tenants[size], size)
        figures.add("bits of contact points that follow the log, one in a step of 2,000", "", f"{rate:,.0f}/s")
        one = Selection(
            channel=Channel.EMAIL, purpose="commercial", topic="news", contactability=Contactability.WILL_SEND
        )
        half = Selection(channel=Channel.EMAIL, purpose="commercial", contactability=Contactability.WILL_SEND)
        await _compare(figures, tenants, "the page with 1 contact point of all", lambda tenant: _page(tenant, one))
        await _compare(figures, tenants, "the count of 1 contact point of all", lambda tenant: _count(tenant, one))
        await _compare(
            figures, tenants, "a page of 1,000 of those one will send to", lambda tenant: _page(tenant, half)
        )
        await _compare(figures, tenants, "the count of those one will send to", lambda tenant: _count(tenant, half))
        await _compare(
            figures,
            tenants,
            "... after the bits of one chunk changed",
            lambda tenant: _count(tenant, half),
            before=_change_a_chunk,
        )
        await _compare(
            figures,
            tenants,
            "... the first of a process",
            lambda tenant: _count(tenant, half),
            before=_forget,
            promised="",
        )
        await _compare(
            figures,
            tenants,
            "a preview of another enforcement model",
            lambda tenant: preview_enforcement(
                tenant, purpose="commercial", channel=Channel.EMAIL, model=EnforcementModel.DISABLED
            ),
        )


async def _populate(tenant: Tenant, size: int) -> float:
    caller = Caller("benchmark", frozenset())
    await catalogue.create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    await catalogue.update_purpose(
        tenant, caller, ref="commercial", enforcement=[(Channel.EMAIL, EnforcementModel.RESTRICTIVE)]
    )
    async with tenant.ledger.connection() as connection:
        first: int = await connection.fetchval("SELECT size FROM log_heads WHERE tenant = $1", tenant.id)
        for low in range(first, first + size, 50_000):
            high = min(low + 50_000, first + size) - 1
            await connection.execute(_MAKE, tenant.id, low, high, first + size // 2)
        await connection.execute("UPDATE log_heads SET size = $2 WHERE tenant = $1", tenant.id, first + size)
        ids = [
            row[0]
            for row in await connection.fetch(
                "SELECT stream FROM log_entries WHERE tenant = $1 AND position >= $2 ORDER BY position",
                tenant.id,
                first,
            )
        ]
        started = time.perf_counter()
        for low in range(0, len(ids), _BATCH):
            async with connection.transaction():
                await bits.settle(connection, tenant.id, _everywhere(ids[low : low + _BATCH]))
        rate = len(ids) / (time.perf_counter() - started)
        await connection.execute(
            "INSERT INTO projection_checkpoints (tenant, projection, position) VALUES ($1, 'selection', $2)"
            " ON CONFLICT (tenant, projection) DO UPDATE SET position = excluded.position",
            tenant.id,
            first + size - 1,
        )
    return rate


def _everywhere(ids: list[UUID]) -> dict[UUID, bits.Touched]:
    return {contact_point: bits.Touched(everywhere=True) for contact_point in ids}


async def _page(tenant: Tenant, selection: Selection) -> None:
    page = await select(tenant, selection, first=1_000)
    if not page.items:
        raise RuntimeError("nobody was found")


async def _count(tenant: Tenant, selection: Selection) -> None:
    page = await select(tenant, selection, first=0)
    await page.total_count()


async def _change_a_chunk(tenant: Tenant) -> None:
    """Its bits are written anew: which, does not matter to what it costs."""
    async with tenant.ledger.connection() as connection:
        await connection.execute("UPDATE selection_bits SET bits = bits WHERE tenant = $1 AND chunk = 1", tenant.id)


async def _forget(tenant: Tenant) -> None:
    tenant.ledger.selection_counts = KeptCounts()


async def _compare(
    figures: Figures,
    tenants: dict[int, Tenant],
    what: str,
    ask: Callable[[Tenant], Awaitable[object]],
    *,
    before: Callable[[Tenant], Awaitable[None]] | None = None,
    promised: str = "flat",
) -> None:
    times_s: dict[int, list[float]] = {size: [] for size in tenants}
    for _ in range(_ROUNDS):
        for size, tenant in tenants.items():
            if before is not None:
                await before(tenant)
            started = time.perf_counter()
            await ask(tenant)
            times_s[size].append(time.perf_counter() - started)
    small, large = (median(times_s[size]) * 1_000 for size in SIZES)
    figures.add(f"{what}: among 10,000, among 1,000,000", promised, f"{small:.1f} ms, {large:.1f} ms")


def main() -> None:
    """This benchmark alone."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="consentry-bench-") as folder:
        event_loop.run(run(Path(folder), Figures()))


if __name__ == "__main__":
    main()
