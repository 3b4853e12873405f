"""Imports in processes of their own: killed halfway and run again, and as much memory for a large file as for a small one."""

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crash.server import COMMAND, ROOT, Server, consentry, environment

HEADER = "contactid,emailaddress1,donotemail,donotbulkemail,msgdpr_donottrack,modifiedon\n"
ROWS = 6_000
LARGE_ROWS = 60_000
# What reading and sorting may take beside the program itself and its pool of connections.
RESIDENT_MIB_MAX = 160


@pytest.fixture(scope="module")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[str]]:
    """The options that name a database, kept up by a server that runs all the while."""
    options = ["--data-dir", str(tmp_path_factory.mktemp("data"))]
    server = Server(*options)
    await server.start()
    yield options
    assert await server.stop() == 0


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


MEASURED = """
import resource, sys
from cli.main import main
code = main()
print("resident", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("format", ["contacts", "subscription-list"])
async def test_memory_does_not_grow_with_the_file(at: list[str], tmp_path: Path, format: str) -> None:
    """A file many times as large as the memory that its import may take, rehearsed so that no log has to hold it."""
    tenant = f"large-{format}"
    await consentry("tenants", "create", tenant, "--name", "Large", *at)
    file = tmp_path / "large.csv"
    padding = "x" * 4_500
    with file.open("w") as lines:
        lines.write("note," + HEADER)
        for n in range(LARGE_ROWS):
            # Most rows are of one address, so that neither rows nor addresses may be kept.
            lines.write(f"{padding},{n},a{n if n % 20 == 0 else 0}@example.org,0,0,0,2025-01-01T00:00:00Z\n")
    assert file.stat().st_size > 250 * 1024 * 1024
    target = () if format == "contacts" else ("--value", "OPTED_OUT")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MEASURED, "import", str(file), "--format", format, "--dry-run",
        "--purpose", "commercial", *target, "--tenant", tenant, *at,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment(), cwd=ROOT,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    totals = json.loads(output.decode().splitlines()[-1])
    assert totals["rows"] == LARGE_ROWS
    assert totals["recorded"] == (LARGE_ROWS if format == "contacts" else LARGE_ROWS // 20)
    resident = re.search(rb"resident (\d+)", errors)
    assert resident is not None
    assert int(resident[1]) / 1024 < RESIDENT_MIB_MAX
