"""`consentry verify --database`: that everything stored says what the log's entries say, and nothing was rewritten."""

import argparse

from cli.options import with_ledger
from cli.progress import Progress
from ledger.assembly import Ledger
from ledger.tenants import list_tenants
from ledger.verifying import DatabaseMismatch, verify_database

NOT_PROVEN = 1


def run(options: argparse.Namespace) -> int:
    """Verify one tenant's part of the database, or every tenant's. 0: as it must be; 1: not, and what is wrong first."""

    async def work(ledger: Ledger) -> int:
        keys = [options.tenant] if options.tenant else [row.key for row in await list_tenants(ledger)]
        outcomes = [await _verified(ledger, key) for key in keys]
        return 0 if all(outcomes) else NOT_PROVEN

    return with_ledger(options, work)


async def _verified(ledger: Ledger, key: str) -> bool:
    tenant = await ledger.tenant(key)
    try:
        with Progress("entries") as progress:
            done = await verify_database(tenant, lambda entries: progress.show(entries, "verified"))
    except DatabaseMismatch as mismatch:
        print(f"tenant {key}: NOT PROVEN: {mismatch}")
        return False
    for line in done:
        print(f"tenant {key}: as the entries say: {line}")
    print(f"tenant {key}: PROVEN, all that is stored is what the log leads to")
    return True
