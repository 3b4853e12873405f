"""The code of docs/follow.md, as it stands there: other people's clients follow, are cut off, killed, and miss nothing."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "web" / "live"))

from following import WAIT_S, Running, capture, running  # noqa: E402 - from beside the tests of the transports

from ledger.api_keys import create_key, revoke_key  # noqa: E402
from ledger.assembly import Ledger, Tenant  # noqa: E402
from web.live.sessions import Ending, LiveLimits  # noqa: E402

_ROOT = Path(__file__).resolve().parents[2]
_PAGE = (_ROOT / "docs" / "follow.md").read_text("utf-8")
_BLOCKS = {
    name: code
    for code in re.findall(r"```(?:python|js)\n(.*?)```", _PAGE, re.DOTALL)
    for name in re.findall(r"\A(?:#|//) (\w+\.\w+):", code)
}
_PACKAGES = Path(__file__).with_name("follow")


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("graphql-ws and graphql-sse: node and npm are not installed")
    folder = tmp_path_factory.mktemp("npm")
    for file in _PACKAGES.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    installed = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, capture_output=True, timeout=120
    )
    if installed.returncode != 0:
        pytest.skip("graphql-ws and graphql-sse: npm cannot get the packages here")
    return folder


class Example:
    """One example of the page, in a folder of its own, as a process that may be started again."""

    def __init__(self, folder: Path, name: str, url: str, key: str, **environment: str) -> None:
        self._folder = folder
        self.cursor = folder / "cursor"
        self._name = name
        self._environment = {**os.environ, "CONSENTRY_URL": f"{url}/graphql", "CONSENTRY_KEY": key, **environment}
        self._process: asyncio.subprocess.Process
        (folder / name).write_text(_BLOCKS[name], "utf-8")

    async def start(self) -> None:
        program = sys.executable if self._name.endswith(".py") else "node"
        self._process = await asyncio.create_subprocess_exec(
            program, self._name, cwd=self._folder, env=self._environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip

    async def line(self) -> str:
        assert self._process.stdout is not None
        return (await asyncio.wait_for(self._process.stdout.readline(), WAIT_S)).decode().strip()

    async def positions(self, count: int) -> list[int]:
        """Of the next events; what it says of being cut off is left out."""
        found: list[int] = []
        while len(found) < count:
            line = await self.line()
            assert re.fullmatch(r"[0-9]+ \w+|again: .*", line), line
            if not line.startswith("again"):
                found.append(int(line.split()[0]))
        return found

    async def ended(self) -> str:
        """What it said last, having ended by itself and not well."""
        said, _ = await asyncio.wait_for(self._process.communicate(), WAIT_S)
        assert self._process.returncode == 1
        return said.decode()

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


async def follows(example: Example, served: Running, tenant: Tenant) -> None:
    """What is there, what comes, what came while it was cut off, and while it did not run: each once, in order."""
    await example.start()
    try:
        assert await example.positions(7) == [0, 1, 2, 3, 4, 5, 6]
        assert [await capture(tenant, number) for number in range(3)] == [7, 8, 9]
        assert await example.positions(3) == [7, 8, 9]
        for of_key in served.live.sessions.of_key.values():
            for session in of_key:
                session.end(Ending.STOPPING)
        await capture(tenant, 3)
        assert await example.positions(1) == [10]
        await example.kill()
        recorded = [await capture(tenant, number) for number in range(5)]
        await example.start()
        again = await example.positions(5)
        # The last one it may not have noted before it was killed.
        assert again in (recorded, [10, *recorded[:4]])
    finally:
        await example.kill()


async def ends(example: Example, tenant: Tenant, key: str) -> None:
    """What asking again cannot mend is said, and is the end: a foreign cursor, a revoked key, a key that is none."""
    example.cursor.write_text("MTpldmVudDpub2JvZHk6Nw==")
    await example.start()
    assert "ended: BAD_USER_INPUT " in await example.ended()
    example.cursor.unlink()
    await example.start()
    assert await example.positions(7) == [0, 1, 2, 3, 4, 5, 6]
    await revoke_key(tenant, key.split("_")[2])
    assert re.search(r"ended: (4403|401|UNAUTHENTICATED) \w+", await example.ended())
    await example.start()
    assert re.search(r"ended: (4403|401|UNAUTHENTICATED) \w+", await example.ended())


def test_every_block_that_is_code_is_run_here() -> None:
    assert set(_BLOCKS) == {"follow_gql.py", "follow_sse.py", "follow_ws.mjs", "follow_sse.mjs"}
    assert len(re.findall(r"^```(?:python|js|javascript|sh)$", _PAGE, re.MULTILINE)) == len(_BLOCKS)


@pytest.mark.parametrize("name", ["follow_gql.py", "follow_sse.py"])
async def test_the_examples_in_python(ledger: Ledger, tenant: Tenant, tmp_path: Path, name: str) -> None:
    key = await create_key(tenant, "follower", ["read"])
    async with running(ledger) as served:
        await follows(Example(tmp_path, name, served.url, key), served, tenant)


@pytest.mark.parametrize("name", ["follow_gql.py", "follow_sse.py"])
async def test_the_examples_in_python_end_where_asking_again_cannot_help(
    ledger: Ledger, tenant: Tenant, tmp_path: Path, name: str
) -> None:
    key = await create_key(tenant, "follower", ["read"])
    async with running(ledger) as served:
        await ends(Example(tmp_path, name, served.url, key), tenant, key)


@pytest.mark.parametrize(("name", "single"), [("follow_ws.mjs", ""), ("follow_sse.mjs", ""), ("follow_sse.mjs", "yes")])
async def test_the_examples_in_javascript(
    ledger: Ledger, tenant: Tenant, tmp_path: Path, packages: Path, name: str, single: str
) -> None:
    key = await create_key(tenant, "follower", ["read"])
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    async with running(ledger) as served:
        await follows(Example(tmp_path, name, served.url, key, SINGLE_CONNECTION=single), served, tenant)


@pytest.mark.parametrize(("name", "single"), [("follow_ws.mjs", ""), ("follow_sse.mjs", ""), ("follow_sse.mjs", "yes")])
async def test_the_examples_in_javascript_end_where_asking_again_cannot_help(
    ledger: Ledger, tenant: Tenant, tmp_path: Path, packages: Path, name: str, single: str
) -> None:
    key = await create_key(tenant, "follower", ["read"])
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    async with running(ledger) as served:
        await ends(Example(tmp_path, name, served.url, key, SINGLE_CONNECTION=single), tenant, key)


def test_the_page_says_the_limits_that_hold() -> None:
    limits = LiveLimits()
    for number in (
        limits.connections, limits.strangers, limits.connections_per_key, limits.operations, limits.operations_per_key,
    ):  # fmt: skip
        assert f"{number:,}" in _PAGE
    assert f"{limits.operations_per_connection} of one connection" in _PAGE
    assert f"nothing for {limits.stall_s:.0f} seconds" in _PAGE
    assert f"none within {limits.introduction_s:.0f} s" in _PAGE
    assert f"every {limits.heartbeat_s:.0f} s" in _PAGE
    assert json.loads((_PACKAGES / "package-lock.json").read_text("utf-8"))["packages"]["node_modules/graphql-ws"]
