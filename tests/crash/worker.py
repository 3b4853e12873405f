"""A process of its own for the tests: `worker.py write|tail TENANT COUNT NAME DATA_DIR [DATABASE_URL]`."""

import asyncio
import sys
from pathlib import Path

from domain.addresses import Channel
from domain.consent import ConsentValue
from eventstore.follow import follow
from ledger.assembly import Caller, Ledger, LedgerConfig, open_ledger
from ledger.record import Capture, record_consent

CALLERS = 8
ADDRESSES = 60


async def main(what: str, tenant_key: str, count: int, name: str, data_dir: str, url: str | None) -> None:
    async with open_ledger(LedgerConfig(data_dir=Path(data_dir), database_url=url)) as ledger:
        await (write if what == "write" else tail)(ledger, tenant_key, count, name)


async def write(ledger: Ledger, tenant_key: str, count: int, name: str) -> None:
    """Record `count` captures for addresses that all writers share, and print the positions."""
    tenant = await ledger.tenant(tenant_key)
    caller = Caller(name, frozenset())

    async def one(first: int) -> None:
        for number in range(first, count, CALLERS):
            capture = Capture(
                channel=Channel.EMAIL,
                address=f"shared{number % ADDRESSES}@example.org",
                purpose="commercial",
                value=list(ConsentValue)[number % 3],
                idempotency_key=str(number),
            )
            recorded = await record_consent(tenant, caller, capture)
            print(recorded.position, flush=True)

    await asyncio.gather(*(one(first) for first in range(CALLERS)))


async def tail(ledger: Ledger, tenant_key: str, count: int, name: str) -> None:
    """Follow the log from its start until `count` entries were seen, and print their positions as they come."""
    tenant = await ledger.tenant(tenant_key)
    seen = 0
    async for stored in follow(ledger.pool, ledger.wakeup, tenant.id, after=-1):
        print(stored.position, flush=True)
        seen += 1
        if seen == count:
            return


if __name__ == "__main__":
    _, what, tenant_key, count, name, data_dir, *url = sys.argv
    asyncio.run(main(what, tenant_key, int(count), name, data_dir, url[0] if url else None))
