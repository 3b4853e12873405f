"""Several processes write one log while others tail it: no position is missing, none comes twice, to no reader."""

import asyncio
import os
import sys
from pathlib import Path

from eventstore.database import DatabaseAddress
from ledger.assembly import Tenant
from tests.eventstore.test_append import verify

WRITERS, READERS, EACH = 4, 2, 400
ROOT = Path(__file__).resolve().parents[2]


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("worker.py")),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        cwd=ROOT,
        limit=2**24,
    )


async def positions(process: asyncio.subprocess.Process) -> list[int]:
    output, _ = await process.communicate()
    assert process.returncode == 0
    return [int(line) for line in output.split()]


async def test_four_writers_and_two_tailing_readers(tenant: Tenant, database: DatabaseAddress, data_dir: Path) -> None:
    url = [str(database.service["dsn"])] if "dsn" in database.service else []
    start_size = len(await verify(tenant))
    total = start_size + WRITERS * EACH
    readers = [await start("tail", tenant.key, str(total), f"r{n}", str(data_dir), *url) for n in range(READERS)]
    writers = [await start("write", tenant.key, str(EACH), f"w{n}", str(data_dir), *url) for n in range(WRITERS)]
    written = await asyncio.gather(*(positions(writer) for writer in writers))
    read = await asyncio.gather(*(positions(reader) for reader in readers))
    assert sorted(position for one in written for position in one) == list(range(start_size, total))
    for one in read:
        assert one == list(range(total))
    await verify(tenant)
