"""The drill of docs/backup-and-upgrade.md: its commands, on a real data directory, say what the page says they do."""

import asyncio
import os
import secrets
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from domain.addresses import Channel
from domain.consent import ConsentValue
from eventstore.database import DatabaseAddress
from eventstore.embedded import PROGRAMS
from ledger.assembly import ledger_on
from ledger.check import Question, check
from ledger.record import Capture, record_consent
from ledger.tenants import create_tenant
from ledger.verifying import verify_database
from tests.conftest import APPLICATION, database_beside
from tests.crash.server import COMMAND, ROOT
from tests.docs.told import fences, page

PAGE = page("backup-and-upgrade.md")
SHELL = [content for language, content in fences(PAGE) if language == "sh"]
SHOWN = [content for language, content in fences(PAGE) if language == ""]
HEADER = (
    "msdynmkt_contactpointvalue,msdynmkt_contactpointtype,msdynmkt_contactpointconsenttype,"
    "msdynmkt_purposeid,msdynmkt_value,modifiedon"
)
ROW = "{}@example.org,Email,Purpose,commercial,Opted Out,2026-02-01T09:00:00Z"
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("CONSENTRY_")},
    "PYTHONPATH": str(ROOT),
}


class Folder:
    """A folder in which one works as the page does."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def run(self, script: str, *, code: int = 0) -> tuple[str, str]:
        """What a block of the page, or a command like its, prints and complains of."""
        process = await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", script,
            cwd=self.path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=ENVIRONMENT,
        )  # fmt: skip
        output, complaints = await process.communicate()
        assert process.returncode == code, complaints.decode()
        return output.decode(), complaints.decode()

    async def opt_out(self, name: str) -> None:
        """An opt-out that is signed for."""
        (self.path / "consents.csv").write_text("\n".join((HEADER, ROW.format(name), "")))
        await self.run(
            ".venv/bin/consentry import consents.csv --format contact-point-consents --tenant shop;"
            f" .venv/bin/consentry evidence {name}@example.org --tenant shop -o {name}.json"
        )


@pytest.fixture
async def folder(tmp_path: Path) -> Folder:
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    program = binaries / "consentry"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(COMMAND)} "$@"\n')
    program.chmod(0o755)
    folder = Folder(tmp_path)
    await folder.run(".venv/bin/consentry tenants create shop --name Shop")
    await folder.opt_out("grace")
    await folder.run(".venv/bin/consentry signing-keys list --tenant shop > shop.vkey")
    return folder


async def test_a_copy_comes_back_and_a_database_that_went_back_is_noticed(folder: Folder) -> None:
    cold_copy, restore, *_ = SHELL
    await folder.run(cold_copy)
    output, _ = await folder.run(restore, code=3)
    assert output == SHOWN[0]
    await folder.opt_out("ada")
    # The copy is older than the keys: what was recorded since is missed.
    await folder.run("rm -r data-broken; mv data newer; cp -a backup data; rm -r data/signing-keys")
    shutil.copytree(folder.path / "newer" / "signing-keys", folder.path / "data" / "signing-keys")
    output, _ = await folder.run(".venv/bin/consentry verify --database --tenant shop | tail -n 1", code=1)
    assert output == SHOWN[1]
    output, complaints = await folder.run(
        ".venv/bin/consentry check ada@example.org --tenant shop --purpose commercial", code=1
    )
    assert (output, complaints) == ("", SHOWN[2])


async def test_a_lost_key_loses_what_the_page_says(folder: Folder) -> None:
    *_, lost_master, verify, lost_signing = SHELL
    _, complaints = await folder.run(lost_master, code=1)
    assert complaints == SHOWN[3]
    assert not (folder.path / "data" / "master.key").exists()
    assert (await folder.run(verify))[0] == SHOWN[4]
    output, _ = await folder.run(lost_signing)
    assert output.splitlines()[1:] == ["2"]
    both, _ = await folder.run(".venv/bin/consentry signing-keys list --tenant shop")
    assert both.splitlines()[0] == (folder.path / "shop.vkey").read_text().strip()
    await folder.opt_out("ada")
    await folder.run(".venv/bin/consentry verify ada.json --key shop.vkey", code=1)
    await folder.run(
        '.venv/bin/consentry verify ada.json --key "$(.venv/bin/consentry signing-keys list --tenant shop)"'
    )


async def test_a_dump_comes_back_with_its_keys(database: DatabaseAddress, tmp_path: Path) -> None:
    """The page's pg_dump and pg_restore, by the programs that come with the embedded PostgreSQL."""
    if "dsn" in database.owner:
        pytest.skip("the programs that come along are not those of this server")
    dump, restore = (block for block in SHELL if "pg_" in block)
    keys, backup = tmp_path / "keys", tmp_path / "backup-keys"
    keys.mkdir()
    backup.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "PGHOST": str(database.owner["host"]),
        "PGPORT": str(database.owner["port"]),
        "PGUSER": str(database.owner["user"]),
    }

    async def run(block: str, **names: str) -> None:
        command = ("bash", "-euo", "pipefail", "-c", block)
        await asyncio.to_thread(subprocess.run, command, cwd=tmp_path, env={**environment, **names}, check=True)

    question = Question(addresses=("ada@example.org",), channel=Channel.EMAIL, purpose="commercial")
    async with database_beside(database) as first, ledger_on(first, keys / "master.key") as ledger:
        tenant = await create_tenant(ledger, "dumped", "Dumped")
        capture = Capture(
            channel=Channel.EMAIL, address="ada@example.org", purpose="commercial", value=ConsentValue.OPTED_OUT
        )
        await record_consent(tenant, APPLICATION, capture)
        await run(dump, DATABASE_URL=str(first.owner["database"]))
    name = f"consentry_test_{secrets.token_hex(4)}"
    admin = await asyncpg.connect(**database.owner)
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        await run(restore, RESTORED_URL=name)
        second = DatabaseAddress(
            owner={**database.owner, "database": name}, service={**database.service, "database": name}
        )
        async with ledger_on(second, backup / "master.key") as ledger:
            tenant = await ledger.tenant("dumped")
            [answer] = await check(tenant, question)
            assert not answer.decision.allowed
            assert await verify_database(tenant)
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()
