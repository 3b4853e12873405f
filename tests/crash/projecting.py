"""A process of its own that is killed: `projecting.py follow|rebuild|swap TENANT DATA_DIR [DATABASE_URL]`.

Prints a line whenever it is in the middle of something.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ledger.assembly import Ledger, LedgerConfig, open_ledger
from projections import rebuild as rebuilding
from projections.happened import Happened
from projections.inline import CURRENT_CONSENT
from projections.rebuild import rebuild
from projections.runner import Runner
from projections.trends import CONSENT_TREND

GROUP_ENTRIES = 5
LEASE_S = 2.0
HALT = 30


async def main(what: str, tenant_key: str, data_dir: str, url: str | None) -> None:
    async with open_ledger(LedgerConfig(data_dir=Path(data_dir), database_url=url)) as ledger:
        if what == "follow":
            await follow(ledger, (await ledger.tenant(tenant_key)).id)
        else:
            await rebuild_once(ledger, (await ledger.tenant(tenant_key)).id, accept=what == "swap")


async def follow(ledger: Ledger, tenant: int) -> None:
    """Follow, an event a step, and stand still in the middle of the step at HALT, its transaction open."""

    def fold(entries: Sequence[Happened]) -> list[Any]:
        if entries[0].position == HALT:
            print(HALT, flush=True)
            time.sleep(600)
        return CONSENT_TREND.fold(entries)

    projection = replace(CONSENT_TREND, fold=fold)
    await Runner(ledger.pool, ledger.wakeup, (projection,), lease_s=LEASE_S, step_entries=1).run()


async def rebuild_once(ledger: Ledger, tenant: int, *, accept: bool) -> None:
    """Rebuild in small groups; each that is written, or swapped, is told."""
    rebuilding._NEAR_ENTRIES = 0
    rebuilding._GROUPS_SWAPPED = 1
    await rebuild(
        ledger.pool,
        ledger.address.owner,
        tenant,
        CURRENT_CONSENT,
        accept=accept,
        progress=lambda told, _done, _of: print(told, flush=True),
        group_entries=GROUP_ENTRIES,
    )


if __name__ == "__main__":
    _, what, tenant_key, data_dir, *url = sys.argv
    asyncio.run(main(what, tenant_key, data_dir, url[0] if url else None))
