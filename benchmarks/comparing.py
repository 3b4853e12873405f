"""Ours beside its peers, in alternating rounds: over HTTP against one process each, and appends in this process.

Every server is up the whole time, on one PostgreSQL; only the one whose turn it is works.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from benchmarks.captures import rate
from benchmarks.peers import c15t, message_db
from benchmarks.peers.event_sourcing import EventSourcing
from benchmarks.rounds import Spread, alternate
from benchmarks.serving import BATCH, CHECK, RECORD, ROOT, body, consentry, free_port, load, process, resident_mb
from eventstore.database import DatabaseAddress, open_database
from ledger.assembly import LedgerConfig, Tenant, open_ledger

OURS = "Consentry"
BARE = "a bare Starlette route"
STRAWBERRY = "Strawberry's own view"
C15T = "c15t's backend"
EVENTSOURCING = "eventsourcing"
MESSAGE_DB = "message-db"
BATCH_ADDRESSES = 10_000
_KNOWN = 200
_PEERS = ROOT / "benchmarks" / "peers"

_BEHIND = """
SELECT count(*) FROM log_heads head CROSS JOIN unnest(ARRAY['consent_trend', 'selection']) AS p (projection)
LEFT JOIN projection_checkpoints reached ON reached.tenant = head.tenant AND reached.projection = p.projection
WHERE coalesce(reached.position, -1) < head.size - 1
"""

Rates = dict[str, Spread]
"""By contender, what it did a second in each round."""


@dataclass(frozen=True, slots=True)
class OverHttp:
    """What everyone did a second over HTTP: checks at 16 connections, batches at 2, records at 64; and our p99s and memory."""

    checks: Rates
    batches: Rates
    records: Rates
    check_p99_ms: float
    record_p99_ms: float
    memory_mb: float


async def over_http(data_dir: Path, key: str, addresses: list[str], *, seconds: float, rounds: int) -> OverHttp:
    """Compare them. `addresses` have records in tenant 1, whose key this is. c15t takes part where it is installed."""
    checks = [body(CHECK, address=address, purpose="commercial") for address in addresses[:_KNOWN]]
    many = body(BATCH, addresses=addresses[:BATCH_ADDRESSES], purpose="commercial")
    plain = [json.dumps({"addresses": [address]}) for address in addresses[:_KNOWN]]
    plain_many = json.dumps({"addresses": addresses[:BATCH_ADDRESSES]})
    record = body(RECORD, address="new{n}@example.org", purpose="commercial", value="OPTED_OUT", idempotencyKey="{n}")
    p99s: dict[str, list[float]] = {"checks": [], "records": []}

    async with open_database(data_dir=data_dir, database_url=None) as address:
        with contextlib.ExitStack() as stack:
            port, bare_port, strawberry_port = free_port(), free_port(), free_port()
            server = stack.enter_context(consentry(data_dir, port))
            for script, its_port in (("bare_route.py", bare_port), ("strawberry_view.py", strawberry_port)):
                stack.enter_context(process(str(_PEERS / script), str(data_dir), str(its_port), port=its_port))
            url, bare = f"http://127.0.0.1:{port}/graphql", f"http://127.0.0.1:{bare_port}/"
            strawberry = f"http://127.0.0.1:{strawberry_port}/"

            def loaded(
                to: str, connections: int, *asked: str, p99: list[float] | None = None
            ) -> Callable[[], Awaitable[float]]:
                async def one() -> float:
                    done = await asyncio.to_thread(load, to, connections, key, *asked, seconds=seconds)
                    if p99 is not None:
                        p99.append(done["p99_ms"])
                    return done["rate"]

                return one

            checking = {
                OURS: loaded(url, 16, *checks, p99=p99s["checks"]),
                BARE: loaded(bare, 16, *plain),
                STRAWBERRY: loaded(strawberry, 16, *checks),
            }
            recording = {OURS: loaded(url, 64, record, p99=p99s["records"])}
            if c15t.installed():
                await c15t.make_database(address.owner)
                peer = c15t.C15t(stack, address.owner)
                await asyncio.to_thread(peer.know, addresses[:_KNOWN])
                checking[C15T] = lambda: _rate_of(lambda: peer.checks(addresses[:_KNOWN], seconds))
                recording[C15T] = lambda: _rate_of(lambda: peer.records(seconds))
            await _followed(address)
            await asyncio.to_thread(load, url, 16, key, *checks, seconds=1)
            return OverHttp(
                checks=await alternate(checking, rounds),
                batches=await alternate({OURS: loaded(url, 2, many), BARE: loaded(bare, 2, plain_many)}, rounds),
                records=await alternate(recording, rounds),
                check_p99_ms=sorted(p99s["checks"])[rounds // 2],
                record_p99_ms=sorted(p99s["records"])[rounds // 2],
                memory_mb=resident_mb(server.pid),
            )


async def _followed(address: DatabaseAddress) -> None:
    """Return when the server has its followers where the log is: until then they take a core."""
    connection = await asyncpg.connect(**address.owner)
    try:
        for _ in range(600):
            if await connection.fetchval(_BEHIND) == 0:
                return
            await asyncio.sleep(0.5)
        raise RuntimeError("the followers do not catch up")
    finally:
        await connection.close()


async def _rate_of(ask: Callable[[], dict[str, float]]) -> float:
    return (await asyncio.to_thread(ask))["rate"]


async def appends(tenant: Tenant, *, seconds: float, rounds: int) -> Rates:
    """What everyone appends a second with 16 callers. message-db takes part where its package is installed."""
    address = tenant.ledger.address
    its_application = EventSourcing(address, 16)
    contenders: dict[str, Callable[[], Awaitable[float]]] = {}

    async def ours() -> float:
        return (await rate(tenant, 16, seconds))[0]

    contenders[OURS] = ours
    contenders[EVENTSOURCING] = lambda: asyncio.to_thread(its_application.rate, seconds)
    store = await message_db.MessageDb.install(address.owner, 16) if message_db.installed() else None
    if store is not None:
        contenders[MESSAGE_DB] = lambda: store.rate(seconds)
    try:
        return await alternate(contenders, rounds)
    finally:
        its_application.close()
        if store is not None:
            await store.close()


async def appends_on(data_dir: Path, tenant_id: int, *, seconds: float, rounds: int) -> Rates:
    """The same on a data directory."""
    async with open_ledger(LedgerConfig(data_dir=data_dir)) as ledger:
        return await appends(await ledger.tenant_by_id(tenant_id), seconds=seconds, rounds=rounds)
