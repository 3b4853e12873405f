"""The embedded database: shared by processes, stopped by the last, recovered whoever is killed."""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from eventstore.embedded import EmbeddedPostgres, memory_settings
from tests.crash.server import ROOT, environment

HOLD = """
import sys
from pathlib import Path
from eventstore.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1]), {"fsync": "off"}):
    print("up", flush=True)
    sys.stdin.read()
"""


def postmaster(data_dir: Path) -> int | None:
    """The process id of the server, if it runs."""
    try:
        pid = int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
    except FileNotFoundError:
        return None
    state = Path(f"/proc/{pid}/stat")
    if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    return pid


async def hold(data_dir: Path) -> asyncio.subprocess.Process:
    """A process that uses the server until its standard input ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, str(data_dir), cwd=ROOT, env=environment(),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert (await process.stdout.readline()).strip() == b"up"
    return process


async def leave(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    assert await process.wait() == 0


async def value(embedded: EmbeddedPostgres, sql: str) -> object:
    connection = await asyncpg.connect(**embedded.connect_arguments("postgres"))
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    yield folder
    pid = postmaster(folder)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)


async def test_processes_share_one_server_and_the_last_stops_it(data_dir: Path) -> None:
    first, second = await asyncio.gather(hold(data_dir), hold(data_dir))
    pid = postmaster(data_dir)
    assert pid is not None
    third = await hold(data_dir)
    await leave(first)
    await leave(second)
    assert postmaster(data_dir) == pid
    await leave(third)
    assert postmaster(data_dir) is None


async def test_a_process_that_is_killed_leaves_nothing_to_clean_up(data_dir: Path) -> None:
    killed = await hold(data_dir)
    pid = postmaster(data_dir)
    killed.kill()
    await killed.wait()
    assert postmaster(data_dir) == pid
    after = await hold(data_dir)
    assert postmaster(data_dir) == pid, "the server that runs is used"
    await leave(after)
    assert postmaster(data_dir) is None, "the killed one is no longer counted"


async def test_what_was_committed_survives_the_servers_death(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as embedded:
        await value(embedded, "CREATE TABLE kept AS SELECT 7 AS number")
        pid = postmaster(data_dir)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        while postmaster(data_dir) is not None:
            await asyncio.sleep(0)
        await asyncio.to_thread(embedded.ensure_running)
        assert await value(embedded, "SELECT number FROM kept") == 7
    assert postmaster(data_dir) is None
    with EmbeddedPostgres(data_dir) as embedded:
        assert await value(embedded, "SELECT number FROM kept") == 7


async def test_a_start_that_was_cut_off_while_making_the_cluster_is_made_up_for(data_dir: Path) -> None:
    half = data_dir / "postgres" / "new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(data_dir, {"fsync": "off"}) as embedded:
        assert await value(embedded, "SELECT 1") == 1
    assert not half.exists()


async def test_it_listens_on_a_socket_that_its_owner_alone_can_reach(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, {"fsync": "off"}) as embedded:
        folder = Path(str(embedded.connect_arguments("postgres")["host"]))
        assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0
        assert await value(embedded, "SHOW listen_addresses") == ""
        assert str(await value(embedded, "SHOW server_version")).startswith("18")


async def test_a_long_data_directory_has_its_socket_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 90) / ("y" * 90)
    with EmbeddedPostgres(deep, {"fsync": "off"}) as embedded:
        assert await value(embedded, "SELECT 1") == 1
        assert len(str(embedded.connect_arguments("postgres")["host"])) < 100


GIB = 1 << 30


@pytest.mark.parametrize(
    ("memory", "buffers", "cache"),
    [
        (GIB // 4, "128MB", "128MB"),
        (GIB, "256MB", "512MB"),
        (4 * GIB, "1024MB", "2048MB"),
        (8 * GIB, "2048MB", "4096MB"),
        (24 * GIB, "6144MB", "12288MB"),
        (256 * GIB, "8192MB", "131072MB"),
    ],
)
def test_it_takes_a_quarter_of_the_memory_and_no_more_than_eight_gibibytes(
    memory: int, buffers: str, cache: str
) -> None:
    assert memory_settings(memory) == {"shared_buffers": buffers, "effective_cache_size": cache}


async def test_what_is_set_for_one_database_comes_before_what_the_memory_suggests(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, {"fsync": "off", "shared_buffers": "16MB"}) as embedded:
        connection = await asyncpg.connect(**embedded.connect_arguments("postgres"))
        try:
            assert await connection.fetchval("SHOW shared_buffers") == "16MB"
            assert await connection.fetchval("SHOW max_wal_size") == "4GB"
        finally:
            await connection.close()
