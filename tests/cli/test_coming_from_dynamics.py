"""docs/coming-from-dynamics.md: its files and commands, run as they stand there, answer what it says."""

import json
import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.crash.server import Server, consentry

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "coming-from-dynamics.md").read_text("utf-8")
FILES = re.findall(r"<!-- file (\S+) -->\n```\w+\n(.*?)```", DOCUMENT, re.DOTALL)
CONSOLE = "".join(re.findall(r"```console\n(.*?)```", DOCUMENT, re.DOTALL))
CURLS = re.findall(r"```sh\n(.*?)```\n\n```json\n(.*?)```", DOCUMENT, re.DOTALL)
_NOT_ALLOWED = 3


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server("--data-dir", str(tmp_path / "data"))
    await server.start()
    yield server
    assert await server.stop() == 0


async def test_the_way_from_an_export_to_the_first_check_is_as_it_is_told(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in FILES:
        (tmp_path / name).write_text(content, "utf-8")
    assert [name for name, _ in FILES] == [
        "catalogue.json", "contact_point_consents.csv", "exported.csv", "contacts.csv", "subscription_list.csv",
    ]  # fmt: skip
    commands = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", CONSOLE, re.MULTILINE)
    assert len(commands) == CONSOLE.count("$ ")
    at = ("--data-dir", str(tmp_path / "data"))
    for command, says in commands:
        program, *words = shlex.split(command)
        paths = [str(tmp_path / word) if re.search(r"\.(csv|json)$", word) else word for word in words]
        if program == "cat":
            said = Path(paths[0]).read_text("utf-8")
        else:
            said = await consentry(*paths, *at, code=_NOT_ALLOWED if says.startswith("NOT") else 0)
        expected = says.splitlines()
        if expected[-1:] == ["..."]:
            assert said.splitlines()[: len(expected) - 1] == expected[:-1], command
        elif expected:
            assert said.splitlines() == expected, command
    [(curls, last)] = CURLS
    await _over_http(server, tmp_path, curls, json.loads(last), at)


async def _over_http(server: Server, folder: Path, curls: str, last: object, at: tuple[str, ...]) -> None:
    scopes = ("--scope", "write", "--scope", "read", "--scope", "read:personal")
    secret = await consentry("keys", "create", "--tenant", "acme", "--application", "flow", *scopes, *at)
    sent, got = (
        shlex.split(line.replace("$URL", server.url).replace("$KEY", secret.strip())) for line in curls.splitlines()
    )
    headers = dict(word.split(": ", 1) for word in sent if ": " in word)
    async with httpx.AsyncClient(headers=headers) as client:
        [url] = [word for word in sent if word.startswith("http")]
        answer = await client.post(url, content=(folder / sent[2]).read_bytes())
        assert json.loads(answer.text.splitlines()[-1]) == last
        exported = await client.get(next(word for word in got if word.startswith("http")))
        assert exported.text.splitlines() == (folder / "out.csv").read_text("utf-8").splitlines()
