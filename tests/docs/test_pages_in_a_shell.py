"""Pages whose requests are pasted into a shell: typed as they stand there, their commands and requests answer what is shown."""

import asyncio
import csv
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crash.server import COMMAND, ROOT, Server, environment
from tests.docs.told import blocks, fences, page, told

TENANT_OF = {"selecting.md": "selecting", "units-and-sharing.md": "units"}


class Shell:
    """A folder beside a running server, with the commands of a checkout."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        self._url = server.url
        binaries = folder / ".venv" / "bin"
        binaries.mkdir(parents=True)
        for name, command in (("consentry", f"-c {shlex.quote(COMMAND)}"), ("python", "")):
            program = binaries / name
            program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {command} "$@"\n')
            program.chmod(0o755)

    async def run(self, script: str) -> str:
        """What a script prints."""
        process = await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", script.replace("http://127.0.0.1:8080", self._url),
            cwd=self.folder, stdout=asyncio.subprocess.PIPE,
            env={**environment(), "PYTHONPATH": str(ROOT), "CONSENTRY_DATA_DIR": str(self.folder / "data")},
        )  # fmt: skip
        output, _ = await process.communicate()
        assert process.returncode == os.EX_OK, output.decode()
        return output.decode()


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    server = Server("--data-dir", str(tmp_path / "data"))
    await server.start()
    yield Shell(tmp_path, server)
    assert await server.stop() == os.EX_OK


@pytest.mark.parametrize("name", TENANT_OF)
async def test_what_a_page_shows_can_be_typed_as_it_stands_there(shell: Shell, name: str) -> None:
    text = page(name)
    setup, *later = blocks(text, "sh")
    script, steps = setup, told(text)
    for step in steps:
        key = ""
        if step.unit is not None:
            if later:
                # The keys of units are made before the first request that is sent with one.
                script += later.pop(0)
            key = f"CONSENTRY_KEY=$KEY_{step.unit.upper()} "
            assert f"`{key}gql <<'END'`" in text or f"`{key.strip()}`" in text
        script += f"{key}gql <<'END'\n{step.document}END\n"
    made, *answers = (await shell.run(script + "".join(later))).splitlines()
    [said] = [content for language, content in fences(text) if not language]
    assert made == said.strip()
    assert [json.loads(answer) for answer in answers[: len(steps)]] == [step.answer for step in steps]
    if later:
        [shown] = blocks(text, "csv")
        exported = (shell.folder / "blocked.csv").read_text("utf-8")
        for rows in (answers[len(steps) :], exported.splitlines()):
            assert without_ids(rows) == without_ids(shown.splitlines())


def without_ids(lines: list[str]) -> list[list[str]]:
    """The rows of an export, but for the contact points' ids, which are random."""
    return [row[:-1] for row in csv.reader(lines)]
