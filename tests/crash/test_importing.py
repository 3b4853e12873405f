"""Imports in processes of their own: killed halfway and run again, and as much memory for a large file as for a small one."""

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.crash.server import COMMAND, ROOT, Server, consentry, environment

HEADER = "contactid,emailaddress1,donotemail,donotbulkemail,msgdpr_donottrack,modifiedon\n"
ROWS = 6_000
LARGE_ROWS = 30_000
# What reading and sorting may take beside the program itself and its pool of connections.
RESIDENT_MIB_MAX = 160


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Server, list[str]]]:
    """A server that runs all the while, and the options that name its database."""
    options = ["--data-dir", str(tmp_path_factory.mktemp("data"))]
    server = Server(*options)
    await server.start()
    yield server, options
    assert await server.stop() == 0


@pytest.fixture
def at(served: tuple[Server, list[str]]) -> list[str]:
    return served[1]


async def events(tenant: str, at: list[str]) -> int:
    listed = await consentry("tenants", "list", *at)
    [line] = [line for line in listed.splitlines() if line.startswith(f"{tenant}\t")]
    return int(line.split("\t")[1].split()[0])


async def test_a_load_that_was_killed_ends_as_if_it_had_not_been(at: list[str], tmp_path: Path) -> None:
    await consentry("tenants", "create", "killed", "--name", "Killed", *at)
    file = tmp_path / "contacts.csv"
    rows = [f"{n},a{n % 4_000}@example.org,0,{n % 2},0,2025-01-01T00:00:00Z\n" for n in range(ROWS)]
    file.write_text(HEADER + "".join(rows))
    command = ("import", str(file), "--format", "contacts", "--tenant", "killed", *at)
    before = await events("killed", at)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, *command,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, env=environment(), cwd=ROOT,
    )  # fmt: skip
    while await events("killed", at) < before + 1_000 and process.returncode is None:
        pass
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    totals = json.loads((await consentry(*command)).splitlines()[-1])
    assert totals["rows"] == totals["recorded"] + totals["unchanged"] == ROWS
    # 4,000 addresses, three purposes each: none of them twice, none missing.
    assert await events("killed", at) == before + 12_000
    again = json.loads((await consentry(*command)).splitlines()[-1])
    assert (again["recorded"], again["unchanged"], again["events"]) == (0, ROWS, 0)


# VmHWM and not ru_maxrss, which a process inherits from the one that started it.
MEASURED = """
import sys
from pathlib import Path
from cli.main import main
code = main()
held = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
print("resident", held.split()[1], file=sys.stderr)
sys.exit(code)
"""


def large_file(folder: Path) -> Path:
    """Many times as large as the memory that its import may take."""
    file = folder / "large.csv"
    padding = "x" * 9_000
    with file.open("w") as lines:
        lines.write("note," + HEADER)
        for n in range(LARGE_ROWS):
            # Most rows are of one address, so that neither rows nor addresses may be kept.
            lines.write(f"{padding},{n},a{n if n % 20 == 0 else 0}@example.org,0,0,0,2025-01-01T00:00:00Z\n")
    assert file.stat().st_size > 250 * 1024 * 1024
    return file


async def test_memory_does_not_grow_with_the_file(at: list[str], tmp_path: Path) -> None:
    """Rehearsed, so that no log has to hold it."""
    await consentry("tenants", "create", "large", "--name", "Large", *at)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MEASURED, "import", str(large_file(tmp_path)), "--format", "contacts", "--dry-run",
        "--purpose", "commercial", "--tenant", "large", *at,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment(), cwd=ROOT,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    totals = json.loads(output.decode().splitlines()[-1])
    assert (totals["rows"], totals["recorded"]) == (LARGE_ROWS, LARGE_ROWS)
    resident = re.search(rb"resident (\d+)", errors)
    assert resident is not None
    assert int(resident[1]) / 1024 < RESIDENT_MIB_MAX


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a process's memory is read from /proc")
async def test_a_servers_memory_does_not_grow_with_what_it_is_sent(
    served: tuple[Server, list[str]], tmp_path: Path
) -> None:
    server, at = served
    await consentry("tenants", "create", "sent", "--name", "Sent", *at)
    scopes = ("--scope", "write", "--scope", "check")
    secret = await consentry("keys", "create", "--tenant", "sent", "--application", "f", *scopes, *at)
    file = large_file(tmp_path)

    async def pieces() -> AsyncIterator[bytes]:
        with file.open("rb") as content:
            while piece := content.read(256 * 1024):
                yield piece

    async with httpx.AsyncClient(headers={"authorization": f"Bearer {secret.strip()}"}, timeout=300) as client:
        answer = await client.post(
            f"{server.url}/import/subscription-list?purpose=commercial&value=OPTED_OUT&dryRun=true", content=pieces()
        )
    totals = json.loads(answer.text.splitlines()[-1])
    assert (totals["rows"], totals["recorded"]) == (LARGE_ROWS, LARGE_ROWS // 20)
    assert server.resident_mib_at_most() < RESIDENT_MIB_MAX
