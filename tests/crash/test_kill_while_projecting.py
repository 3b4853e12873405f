"""SIGKILL in the middle of a follower's step, of a rebuild and of a swap: the next goes on, and nothing is counted twice."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from domain.addresses import Channel
from domain.consent import ConsentValue
from eventstore.database import DatabaseAddress
from ledger.assembly import Caller, Tenant
from ledger.projection_states import projection_states
from ledger.record import Capture, record_consents
from ledger.verifying import DatabaseMismatch, verify_database
from projections.inline import CURRENT_CONSENT
from projections.rebuild import rebuild
from projections.trends import CONSENT_TREND
from tests.crash.projecting import HALT
from tests.projections.conftest import follow

ROOT = Path(__file__).resolve().parents[2]


class Process:
    """`projecting.py` at work; `tells` its next line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def tells(self) -> str:
        assert self._process.stdout is not None
        return (await asyncio.wait_for(self._process.stdout.readline(), 30)).decode().strip()

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@pytest.fixture
async def owner(database: DatabaseAddress) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(**database.owner)
    yield connection
    await connection.close()


async def start(what: str, tenant: Tenant, data_dir: Path) -> Process:
    address = tenant.ledger.address.service
    url = [str(address["dsn"])] if "dsn" in address else []
    return Process(
        await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("projecting.py")),
            what,
            tenant.key,
            str(data_dir),
            *url,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
            cwd=ROOT,
        )
    )


async def record(tenant: Tenant, caller: Caller, count: int) -> None:
    for first in range(0, count, 10):
        await record_consents(
            tenant,
            caller,
            [
                Capture(
                    channel=Channel.EMAIL,
                    address=f"a{number % 25}@example.org",
                    purpose="commercial",
                    value=ConsentValue.OPTED_OUT,
                )
                for number in range(first, first + 10)
            ],
        )


async def counted(owner: asyncpg.Connection, tenant: Tenant) -> int:
    total: int = await owner.fetchval(
        "SELECT coalesce(sum(opted_out), 0)::int FROM consent_trend WHERE tenant = $1", tenant.id
    )
    return total


async def lag(tenant: Tenant) -> int:
    [state] = [
        one for one in await projection_states(tenant.ledger, tenant.key) if one.projection == CONSENT_TREND.name
    ]
    return state.lag


async def test_a_follower_is_killed_in_the_middle_of_a_step_and_another_process_takes_over(
    tenant: Tenant, caller: Caller, owner: asyncpg.Connection, data_dir: Path
) -> None:
    await record(tenant, caller, 60)
    first, second = await asyncio.gather(start("follow", tenant, data_dir), start("follow", tenant, data_dir))
    heard = {asyncio.create_task(one.tells()): one for one in (first, second)}
    try:
        done, waiting = await asyncio.wait(heard, return_when=asyncio.FIRST_COMPLETED)
        halted = done.pop()
        assert halted.result() == str(HALT)
        await heard[halted].kill()
        # The other one gets the lease once it has expired, begins the same step, and is killed there too.
        taking_over = done.pop() if done else waiting.pop()
        assert await taking_over == str(HALT)
    finally:
        await asyncio.gather(first.kill(), second.kill())
    left = await lag(tenant)
    # The catalogue came first: where nothing of a step was kept, none of the 60 is counted.
    assert await counted(owner, tenant) == max(0, 60 - left)
    await owner.execute("UPDATE leases SET expires_at = now() WHERE tenant = $1", tenant.id)
    await follow(tenant, CONSENT_TREND)
    assert left > 0
    assert await lag(tenant) == 0
    assert await counted(owner, tenant) == 60


async def test_a_killed_rebuild_is_resumed_and_a_killed_swap_is_finished(
    tenant: Tenant, caller: Caller, owner: asyncpg.Connection, data_dir: Path
) -> None:
    await record(tenant, caller, 60)
    await owner.execute("UPDATE current_consent SET value = 'OPTED_IN' WHERE tenant = $1", tenant.id)

    async def killed_after(what: str, told: str, times: int) -> None:
        process = await start(what, tenant, data_dir)
        try:
            while times:
                line = await process.tells()
                assert line, "it ended before it was killed"
                times -= line == told
        finally:
            await process.kill()
        await owner.execute("UPDATE leases SET expires_at = now() WHERE tenant = $1", tenant.id)

    async def position() -> int:
        reached: int = await owner.fetchval("SELECT position FROM rebuild_positions WHERE tenant = $1", tenant.id)
        return reached

    await killed_after("rebuild", "folded", 3)
    first = await position()
    assert first > 0
    await killed_after("rebuild", "folded", 3)
    second = await position()
    assert second > first
    await killed_after("swap", "swapped", 4)
    with pytest.raises(DatabaseMismatch):
        await verify_database(tenant)
    swapped = await owner.fetchval(
        "SELECT count(*) FROM current_consent WHERE tenant = $1 AND value = 'OPTED_OUT'", tenant.id
    )
    assert 4 <= swapped < 25
    last = await rebuild(tenant.ledger.pool, tenant.ledger.address.owner, tenant.id, CURRENT_CONSENT, accept=True)
    assert last.swapped
    assert last.resumed_after >= second
    assert last.compared.differing == 25 - swapped
    await verify_database(tenant)
