"""docs/agents.md works as written: its agents send to a mail server what they may, nothing else, and keep the receipts."""

import asyncio
import contextlib
import io
import json
import re
import smtplib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from cli.main import parser
from ledger.api_keys import SCOPES, create_key
from ledger.assembly import Caller, Ledger, Tenant
from ledger.catalogue import import_catalogue
from ledger.signing import verifier_keys
from tests.ledger.receiver import tls_for
from verifier.checkpoint import Trust
from verifier.verify import verify_file
from web.app import create_app

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "agents.md").read_text("utf-8")
ADA = "ada@example.org"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


class Inbox:
    """What a mail server was handed."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.raw: list[bytes] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        self.raw.append(envelope.content)
        return "250 OK"


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@contextlib.contextmanager
def mail_server(inbox: Inbox, **options: Any) -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(inbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield "localhost", port
    finally:
        controller.stop()


@pytest.fixture
def mail(inbox: Inbox) -> Iterator[tuple[str, int]]:
    with mail_server(inbox) as address:
        yield address


@pytest.fixture
async def url(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setattr(ledger, "public_url", url)
    server = uvicorn.Server(uvicorn.Config(create_app(ledger), lifespan="off", log_config=None, ws="none"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    yield url
    server.should_exit = True
    await task


async def graphql(url: str, key: str, document: str) -> Any:
    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {key}"}) as client:
        answer = (await client.post("/graphql", json={"query": document})).json()
    assert "errors" not in answer
    assert all(payload["errors"] == [] for payload in answer["data"].values())
    return answer["data"]


def the_program() -> dict[str, Any]:
    program: dict[str, Any] = {"__name__": "sending_agent"}
    [source] = blocks("python")
    exec(compile(source, "docs/agents.md", "exec"), program)  # noqa: S102 - the program of the page
    return program


async def test_two_agents_ask_before_each_message_and_one_no_stops_one_of_them(
    url: str, mail: tuple[str, int], inbox: Inbox, tenant: Tenant, tmp_path: Path
) -> None:
    admin = await create_key(tenant, "admin", SCOPES)
    [configure] = blocks("graphql")
    await graphql(url, admin, configure)
    program = the_program()
    key = await create_key(tenant, "sales", ["check"])

    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client:
        qualification, close = (
            program["SendingAgent"](name, client, mail, tmp_path) for name in ("sales-qualification", "sales-close")
        )

        async def write(agent: Any, address: str = ADA) -> bool:
            return await asyncio.to_thread(agent.write_to, address, "Hello", "May we talk?")

        assert await write(qualification)
        assert await write(close)
        first, second = inbox.messages
        assert (first["To"], first["From"]) == (ADA, "sales-qualification@sender.example")
        assert first["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        one_click = first["List-Unsubscribe"].strip("<>")
        # As mailbox providers read it: in one piece, not as encoded words.
        assert f"List-Unsubscribe: <{one_click}>\r\n".encode() in inbox.raw[0]
        assert one_click.startswith(f"{url}/u/")
        assert one_click != second["List-Unsubscribe"].strip("<>")
        [page] = re.findall(r"http\S+/p/\S+", first.get_content())
        async with httpx.AsyncClient() as person:
            assert (await person.get(page)).status_code == 200
            # The mailbox's own button.
            done = await person.post(one_click, data={"List-Unsubscribe": "One-Click"})
            assert done.status_code == 200

        assert not await write(qualification)
        assert await write(close)
        assert not await write(close, "not an address")
        assert [message["From"] for message in inbox.messages] == [
            "sales-qualification@sender.example",
            "sales-close@sender.example",
            "sales-close@sender.example",
        ]

        await graphql(
            url, admin, 'mutation { updateAgent(input: {ref: "sales-close", active: false}) { errors { code } } }'
        )
        with pytest.raises(program["NotAnswered"], match="inactive"):
            await write(close)
        unknown = program["SendingAgent"]("nobody", client, mail, tmp_path)
        with pytest.raises(program["NotAnswered"], match="no agent"):
            await write(unknown)
    with (
        httpx.Client(base_url=url, headers={"Authorization": "Bearer none"}) as stranger,
        pytest.raises(program["NotAnswered"]),
    ):
        await write(program["SendingAgent"]("sales-close", stranger, mail, tmp_path))
    assert len(inbox.messages) == 3
    await receipts_are_proven(tenant, tmp_path, allowed=3, blocked=2)


async def test_it_logs_in_over_an_encrypted_connection_and_over_no_other(
    url: str, inbox: Inbox, tenant: Tenant, tmp_path: Path
) -> None:
    [configure] = blocks("graphql")
    await graphql(url, await create_key(tenant, "admin", SCOPES), configure)
    key = await create_key(tenant, "sales", ["check"])
    offered, trusted = tls_for("localhost", tmp_path)
    logins: list[tuple[str, bytes]] = []

    def known(server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword) -> AuthResult:
        logins.append((mechanism, data.password))
        return AuthResult(success=data.password == b"secret", handled=False)

    login: dict[str, Any] = {"authenticator": known, "auth_required": True}
    made = the_program()["SendingAgent"]
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client:

        async def write(mail: tuple[str, int], password: str, tls: ssl.SSLContext | None = trusted) -> bool:
            agent = made("sales-close", client, mail, tmp_path, ("sales", password), tls)
            return await asyncio.to_thread(agent.write_to, ADA, "Hello", "May we talk?")

        with mail_server(inbox, tls_context=offered, require_starttls=True, **login) as mail:
            assert await write(mail, "secret")
            with pytest.raises(smtplib.SMTPAuthenticationError):
                await write(mail, "wrong")
            with pytest.raises(ssl.SSLCertVerificationError):
                await write(mail, "secret", None)
        assert {password for _, password in logins} == {b"secret", b"wrong"}
        said = len(logins)
        with (
            mail_server(inbox, auth_require_tls=False, authenticator=known) as mail,
            pytest.raises(smtplib.SMTPNotSupportedError),
        ):
            await write(mail, "secret")
        assert len(logins) == said
    assert len(inbox.messages) == 1


async def receipts_are_proven(tenant: Tenant, folder: Path, *, allowed: int, blocked: int) -> None:
    trust = Trust.parse([key.text() for key in await verifier_keys(tenant)])
    kept = list(folder.glob("*.txt"))
    assert len(kept) == allowed + blocked
    stated = [json.loads(file.read_text().splitlines()[2]) for file in kept]
    assert sum(one["allowed"] for one in stated) == allowed
    for file in kept:
        assert ADA not in file.read_text()
        report = verify_file(io.BytesIO(file.read_bytes()), trust)
        assert report.proven, report.failure


async def test_the_contract_of_the_provider_is_as_written(url: str, tenant: Tenant, caller: Caller) -> None:
    await import_catalogue(
        tenant, caller, {"purposes": [{"key": "commercial", "guid": "10000000-0000-4000-8000-000000000003"}]}
    )
    key = await create_key(tenant, "dynamics", ["check"])
    request, answer = (json.loads(block) for block in blocks("json")[2:])
    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {key}"}) as client:
        given = (await client.post("/consent-provider", json=request)).json()
    assert [set(consent) for consent in given["consents"]] == [set(consent) for consent in answer["consents"]]
    assert given["consents"][0]["consentformessage"] is True


def test_the_configurations_are_json_and_name_what_there_is() -> None:
    http, stdio = (json.loads(block)["mcpServers"]["consentry"] for block in blocks("json")[:2])
    assert http["url"].endswith("/mcp")
    options = parser().parse_args(stdio["args"])
    assert (options.command, options.url) == ("mcp", "https://consent.example.com")
