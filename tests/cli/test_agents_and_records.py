"""An agent's tools as a process beside a real server, and the records of one contact point, as their users meet them."""

import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.crash.server import COMMAND, ROOT, Server, consentry

ADA = "ada@example.org"


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Path, Server]]:
    folder = tmp_path_factory.mktemp("agents")
    log = folder.parent / "agents.log"
    server = Server("--data-dir", str(folder), "--demo", log=log)
    await server.start()
    yield folder, server
    assert await server.stop() == 0
    # Neither a key nor an address is in any line.
    assert ADA not in log.read_text()
    assert "ck_1_" not in log.read_text().partition("CONSENTRY_KEY=")[2].partition("\n")[2]


async def test_the_tools_answer_for_a_key_in_a_file(served: tuple[Path, Server], tmp_path: Path) -> None:
    folder, server = served
    at = ("--tenant", "demo", "--data-dir", str(folder))
    secret = await consentry("keys", "create", "--application", "agent", "--scope", "check", "--scope", "write", *at)
    key_file = tmp_path / "agent.key"
    key_file.write_text(secret)
    command = StdioServerParameters(
        command=sys.executable,
        args=["-c", COMMAND, "mcp", "--url", server.url, "--key-file", str(key_file)],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ.get("PATH", "")},
    )
    async with stdio_client(command) as (incoming, outgoing), ClientSession(incoming, outgoing) as session:
        await session.initialize()
        asked = {"address": ADA, "purpose": "commercial"}
        assert (await session.call_tool("check_consent", asked)).structuredContent["allowed"] is True
        assert not (await session.call_tool("record_opt_out", {**asked, "words": "no more"})).isError
        assert (await session.call_tool("check_consent", asked)).structuredContent["allowed"] is False
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {secret.strip()}"}) as client:
        answer = await client.post(
            f"{server.url}/consent-provider",
            json={
                "contactpoints": [ADA],
                "purpose": "commercial",
                "channeltype": "email",
                "complianceprofile": "default",
            },
        )
    assert [one["consentformessage"] for one in answer.json()["consents"]] == [False]

    # What the agent recorded is told to the person, and to authorities.
    output = tmp_path / "record.json"
    for form in ("iso-27560", "kantara"):
        await consentry("export", "--format", form, "--address", ADA, "-o", str(output), *at)
        assert json.loads(output.read_text())
        assert stat.S_IMODE(output.stat().st_mode) == 0o600
    text = await consentry("subject-access", ADA, *at)
    assert '"no more"' in text
    assert "Commercial: we will not write to you. You said no. [OPTED_OUT, WILL_NOT_SEND, OPTED_OUT]" in text
    assert "has recorded nothing for bob@example.org" in await consentry("subject-access", "bob@example.org", *at)


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "--format", "iso-27560", "--tenant", "demo"),
        ("export", "--format", "log", "--address", ADA, "--tenant", "demo"),
        ("export", "--format", "kantara", "--address", "nobody", "--tenant", "demo"),
        ("export", "--format", "kantara", "--address", "bob@example.org", "--tenant", "demo"),
        ("subject-access", "nobody", "--tenant", "demo"),
    ],
)
async def test_unusable_input_is_told_in_a_sentence(served: tuple[Path, Server], arguments: tuple[str, ...]) -> None:
    await consentry(*arguments, "--data-dir", str(served[0]), code=2)


@pytest.mark.parametrize(
    "arguments", [(), ("--key-file", "/nowhere"), ("--key-file", os.devnull), ("--url", "consent.example.com")]
)
async def test_tools_without_a_key_or_an_address_do_not_start(arguments: tuple[str, ...]) -> None:
    assert await consentry("mcp", *arguments, code=2) == ""
