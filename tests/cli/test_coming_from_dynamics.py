"""docs/coming-from-dynamics.md: its files and commands, run as they stand there, answer what it says."""

import itertools
import json
import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.crash.server import Server, consentry
from tests.docs.told import fences, page

DOCUMENT = page("coming-from-dynamics.md")
FILES = re.findall(r"<!-- file (\S+) -->\n```\w+\n(.*?)```", DOCUMENT, re.DOTALL)
BLOCKS = fences(DOCUMENT)
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
        "enforcement.json",
    ]  # fmt: skip
    at = ("--data-dir", str(tmp_path / "data"))
    flows: list[tuple[str, str]] = []
    for (language, content), (_, answer) in itertools.pairwise([*BLOCKS, ("", "")]):
        if language == "console":
            await _in_the_shell(content, tmp_path, at)
        elif language == "sh" and "/graphql" in content:
            await _asked(server, content, json.loads(answer), at)
        elif language == "sh":
            flows.append((content, answer))
    # What a flow exports is compared with what the commands of the page's end have exported.
    [(curls, last)] = flows
    await _over_http(server, tmp_path, curls, json.loads(last), at)


async def _in_the_shell(block: str, folder: Path, at: tuple[str, ...]) -> None:
    commands = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    assert len(commands) == block.count("$ ")
    for command, says in commands:
        program, *words = shlex.split(command)
        paths = [str(folder / word) if re.search(r"\.(csv|json)$", word) else word for word in words]
        if program == "cat":
            said = Path(paths[0]).read_text("utf-8")
        else:
            said = await consentry(*paths, *at, code=_NOT_ALLOWED if says.startswith("NOT") else 0)
        expected = says.splitlines()
        if expected[-1:] == ["..."]:
            assert said.splitlines()[: len(expected) - 1] == expected[:-1], command
        elif expected:
            assert said.splitlines() == expected, command


def _words(line: str, server: Server, secret: str) -> list[str]:
    return shlex.split(line.replace("$URL", server.url).replace("$KEY", secret.strip()))


def _headers(words: list[str]) -> dict[str, str]:
    return dict(word.split(": ", 1) for word in words if re.match(r"[A-Za-z-]+: ", word))


async def _asked(server: Server, curl: str, answer: object, at: tuple[str, ...]) -> None:
    secret = await consentry("keys", "create", "--tenant", "acme", "--application", "asker", "--scope", "read", *at)
    words = _words(curl, server, secret)
    async with httpx.AsyncClient(headers=_headers(words)) as client:
        given = await client.post(f"{server.url}/graphql", content=words[words.index("-d") + 1])
    assert given.json() == answer


async def _over_http(server: Server, folder: Path, curls: str, last: object, at: tuple[str, ...]) -> None:
    scopes = ("--scope", "write", "--scope", "read", "--scope", "read:personal")
    secret = await consentry("keys", "create", "--tenant", "acme", "--application", "flow", *scopes, *at)
    sent, got = (_words(line, server, secret) for line in curls.splitlines())
    async with httpx.AsyncClient(headers=_headers(sent)) as client:
        [url] = [word for word in sent if word.startswith("http")]
        answer = await client.post(url, content=(folder / sent[2]).read_bytes())
        assert json.loads(answer.text.splitlines()[-1]) == last
        exported = await client.get(next(word for word in got if word.startswith("http")))
        assert exported.text.splitlines() == (folder / "out.csv").read_text("utf-8").splitlines()
