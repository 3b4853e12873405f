"""Makes one database for each size: the same log, grown, and copied when it has reached a size.

A copy of each size is kept so that sizes can be measured in turn, round by round: on a machine that others use too, figures
that were taken minutes apart compare the others' work.
"""

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import asyncpg

from benchmarks.growth.following import catch_up
from benchmarks.growth.generator import Generator
from benchmarks.growth.made_up import prepare_catalogue
from domain.refusals import Refusal
from ledger.api_keys import SCOPES, create_key
from ledger.assembly import LedgerConfig, open_ledger
from ledger.tenants import create_tenant

TENANT = "growth"
KEY_FILE = "growth.key"


def directory_of(data_dir: Path, size: int) -> Path:
    """The data directory of the log of this size."""
    return data_dir / str(size)


async def make(data_dir: Path, sizes: Sequence[int]) -> None:
    """Make those that are not there, each from the next smaller one. A size that was left half made is made anew."""
    smaller: Path | None = None
    for size in sorted(sizes):
        directory = directory_of(data_dir, size)
        if not directory.exists():
            draft = directory.with_name(f"{size}.new")
            shutil.rmtree(draft, ignore_errors=True)
            draft.parent.mkdir(parents=True, exist_ok=True)
            if smaller is not None:
                # With its owners: the server's files belong to an account of its own where this runs as root.
                subprocess.run(["cp", "-a", str(smaller), str(draft)], check=True)  # noqa: S607
            await _grow(draft, size)
            draft.rename(directory)
        smaller = directory


async def _grow(directory: Path, size: int) -> None:
    async with open_ledger(LedgerConfig(data_dir=directory)) as ledger:
        try:
            tenant = await ledger.tenant(TENANT)
        except Refusal:
            tenant = await create_tenant(ledger, TENANT, "Growth")
            await prepare_catalogue(tenant)
            (directory / KEY_FILE).write_text(await create_key(tenant, "growth", SCOPES), encoding="ascii")
        started = time.perf_counter()
        generator = await Generator.of(tenant)
        print(f"{size:,} events: from {generator.contact_points:,} contact points", flush=True)
        before = generator.size
        shown = started

        def progress(reached: int) -> None:
            nonlocal shown
            if time.perf_counter() - shown > 10:
                shown = time.perf_counter()
                print(f"  {reached:,}, {(reached - before) / (shown - started):,.0f} events/s", flush=True)

        await generator.grow(size, progress)
        print(f"  grown in {time.perf_counter() - started:,.0f} s; followers", flush=True)
        await catch_up(tenant)
        async with ledger.connection() as connection:
            points = await connection.fetchval("SELECT count(*) FROM vault_subjects WHERE tenant = $1", tenant.id)
        print(f"  {points:,} contact points, {time.perf_counter() - started:,.0f} s in all", flush=True)
        # Statistics and the visibility of rows as a database that has stood for a while has them; and all of it written.
        connection = await asyncpg.connect(**ledger.address.owner)
        try:
            await connection.execute("VACUUM ANALYZE", timeout=3_600)
            await connection.execute("CHECKPOINT", timeout=3_600)
        finally:
            await connection.close()
