"""Rebuilding from the log: how many events a second, for each projection, compared with the table that is read."""

import time
from pathlib import Path

from benchmarks.figures import Figures
from ledger.assembly import LedgerConfig, open_ledger
from projections.follower import lease_name, step
from projections.known import FOLLOWERS, PROJECTIONS
from projections.lease import held
from projections.rebuild import rebuild

_TENANT = 1
_PROMISED = "current_consent"


async def run(data_dir: Path, figures: Figures) -> None:
    """Measure rebuilding every projection of tenant 1, on its own database, and following from the start of its log."""
    async with open_ledger(LedgerConfig(data_dir=data_dir)) as ledger:
        for follower in FOLLOWERS:
            started, followed = time.perf_counter(), 0
            async with held(ledger.pool, _TENANT, lease_name(follower)) as lease:
                if lease is None:
                    raise RuntimeError("another process follows")
                while some := await step(ledger.pool, lease, follower):
                    followed += some
            rate = followed / (time.perf_counter() - started)
            figures.add(f"following from the start: {follower.name}", "", f"{rate:,.0f} events/s")
        for name, projection in PROJECTIONS.items():
            started = time.perf_counter()
            done = await rebuild(ledger.pool, ledger.address.owner, _TENANT, projection, accept=False)
            rate = (done.compared.position + 1) / (time.perf_counter() - started)
            if done.compared.differing:
                raise RuntimeError(f"{name} is not what the log leads to: {done.compared}")
            promised = name == _PROMISED
            figures.add(
                f"rebuild, compared: {name}, {done.compared.rows:,} rows",
                "100,000 events/s" if promised else "",
                f"{rate:,.0f} events/s",
                kept=rate >= 100_000 if promised else None,
            )
