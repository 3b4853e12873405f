"""The tools for agents, driven by the protocol's own client over both transports: HTTP, and a process on standard input."""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
import uvicorn
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from domain.addresses import Channel
from domain.catalogue import EnforcementModel, PurposeType
from domain.consent import ActorKind, ConsentSource, ConsentValue
from eventstore import read
from eventstore.database import StoreUnavailable
from ledger import still_sent
from ledger.agents import create_agent, update_agent
from ledger.api_keys import SCOPES, create_key
from ledger.assembly import Caller, Ledger, Tenant
from ledger.catalogue import create_business_unit, create_profile, create_purpose, create_topic, update_purpose
from ledger.check import Question, check
from ledger.record import Capture, record_consent
from web.agent_tools import tools
from web.app import create_app
from web.mcp_endpoint import MESSAGE_BYTES_MAX

ROOT = Path(__file__).resolve().parents[2]
ADA = "Ada@example.org"
NO = "DO NOT SEND"
YES = "You may send"


@dataclass
class Agent:
    """A client of the protocol's own library, in a session."""

    session: ClientSession

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """The structured answer of a call that must succeed; its words must agree with it."""
        result = await self.session.call_tool(name, arguments)
        assert not result.isError, result.content
        assert result.structuredContent is not None
        words = said(result)
        if "allowed" in result.structuredContent:
            assert words.startswith(YES if result.structuredContent["allowed"] else NO)
            assert (NO in words) is not result.structuredContent["allowed"]
        return {**result.structuredContent, "words": words}

    async def refused(self, name: str, **arguments: Any) -> str:
        """The words of a call that must fail."""
        result = await self.session.call_tool(name, arguments)
        assert result.isError
        assert result.structuredContent is None
        assert said(result).startswith(f"{NO}. ")
        assert YES not in said(result)
        return said(result)


def said(result: Any) -> str:
    [content] = result.content
    assert content.type == "text"
    return content.text


@pytest.fixture(scope="module")
async def url(ledger: Ledger) -> AsyncIterator[str]:
    """A real server on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(ledger), lifespan="off", log_config=None, ws="none"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await task


@contextlib.asynccontextmanager
async def over_http(url: str, key: str) -> AsyncIterator[Agent]:
    async with (
        httpx.AsyncClient(headers={"authorization": f"Bearer {key}"}) as client,
        streamable_http_client(f"{url}/mcp", http_client=client) as (incoming, outgoing, _),
        ClientSession(incoming, outgoing) as session,
    ):
        await session.initialize()
        yield Agent(session)


@contextlib.asynccontextmanager
async def over_stdio(url: str, key: str) -> AsyncIterator[Agent]:
    command = StdioServerParameters(
        command=sys.executable,
        args=["-c", "import sys; from cli.main import main; sys.exit(main())", "mcp", "--url", url],
        env={"CONSENTRY_KEY": key, "PYTHONPATH": str(ROOT), "PATH": os.environ.get("PATH", "")},
    )
    async with (
        stdio_client(command) as (incoming, outgoing),
        ClientSession(incoming, outgoing) as session,
    ):
        await session.initialize()
        yield Agent(session)


TRANSPORTS = {"http": over_http, "stdio": over_stdio}


@pytest.fixture
async def sales(tenant: Tenant, caller: Caller) -> Tenant:
    await create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    await create_purpose(
        tenant, caller, key="closing", name="Closing", type=PurposeType.COMMERCIAL, profiles=["default"]
    )
    await create_agent(tenant, caller, key="sqa", name="Qualification", purpose="commercial", topic="news")
    await create_agent(tenant, caller, key="sca", name="Close", purpose="closing")
    return tenant


async def capture(tenant: Tenant, caller: Caller, value: str, purpose: str = "commercial", **given: Any) -> None:
    fields = {"channel": Channel.EMAIL, "address": ADA, "purpose": purpose, "value": ConsentValue(value), **given}
    await record_consent(tenant, caller, Capture(**fields))


async def last_events(tenant: Tenant, count: int) -> list[Any]:
    async with tenant.ledger.connection() as connection:
        return [
            one.entry
            for one in await read.backward(connection, tenant.id, read.EntryFilter(), before=None, limit=count)
        ]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_unmodified_client_drives_every_tool(url: str, sales: Tenant, caller: Caller, transport: str) -> None:
    key = await create_key(sales, "agent", ["check", "write", "read"])
    async with TRANSPORTS[transport](url, key) as agent:
        listed = {tool.name: tool for tool in (await agent.session.list_tools()).tools}
        assert set(listed) == {"check_consent", "get_unsubscribe_link", "record_opt_out", "consent_history"}
        for name, tool in listed.items():
            assert tool.annotations is not None
            assert tool.annotations.readOnlyHint is (name != "record_opt_out")
            assert tool.inputSchema["additionalProperties"] is False
            assert tool.outputSchema is not None
        yes = await agent.call("check_consent", address=ADA, agent="sqa", message_id="m-1")
        assert (yes["decision"], yes["address"], yes["topic"]) == ("YOU MAY SEND", ADA, "news")
        links = yes["unsubscribe"]
        assert [header["name"] for header in links["headers"]] == ["List-Unsubscribe", "List-Unsubscribe-Post"]
        for shown in (links["preference_center_url"], links["headers"][0]["value"], yes["receipt"], "NOT_SET_ALLOWED"):
            assert shown in yes["words"]
        link = await agent.call("get_unsubscribe_link", address=ADA, agent="sqa", message_id="m-1")
        assert link["unsubscribe"] == links
        told = await agent.call("record_opt_out", address=ADA, agent="sqa", words="please stop", idempotency_key="k")
        assert told["words"].startswith(f"{NO} to this address any more for: commercial.")
        assert [one["purpose"] for one in told["opted_out"]] == ["commercial"]
        [event] = await last_events(sales, 1)
        assert (event.position, event.actor, event.data["source"]) == (told["position"], "AGENT", "AGENT")
        assert (await agent.call("record_opt_out", address=ADA, agent="sqa", words="please stop", idempotency_key="k"))[
            "repeated"
        ]
        no = await agent.call("check_consent", address=ADA.lower(), agent="sqa")
        assert (no["decision"], no["allowed"], no["unsubscribe"]) == ("DO NOT SEND", False, None)
        assert [reason["code"] for reason in no["reasons"]][:2] == ["OPTED_OUT", "PURPOSE_BLOCKS_TOPIC"]
        assert no["reasons"][0]["position"] == told["position"]
        assert no["position"] >= told["position"]
        assert (await agent.call("check_consent", address=ADA, agent="sca"))["allowed"] is True
        blocked = await agent.call("get_unsubscribe_link", address=ADA, agent="sqa")
        assert "A link is no permission." in blocked["words"]
        past = await agent.call("consent_history", address=ADA)
        assert [(one["value"], one["source"], one["actor"]) for one in past["events"]] == [
            ("OPTED_OUT", "AGENT", "AGENT")
        ]
        assert past["events"][0]["personal"] is None
        assert "please stop" not in json.dumps(past)
        assert past["words"].startswith("This is history, not permission")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_scope_that_is_missing_is_named(url: str, sales: Tenant, transport: str) -> None:
    needs = {
        "check_consent": "check",
        "get_unsubscribe_link": "check",
        "record_opt_out": "write",
        "consent_history": "read",
    }
    before = await last_events(sales, 1)
    for scope in set(needs.values()):
        key = await create_key(sales, "agent", [other for other in SCOPES if other != scope])
        async with TRANSPORTS[transport](url, key) as agent:
            for name in (name for name, needed in needs.items() if needed == scope):
                assert f"a key with the scope {scope} (FORBIDDEN)" in await agent.refused(name, address=ADA)
    assert await last_events(sales, 1) == before


async def test_what_is_personal_needs_its_scope(url: str, sales: Tenant) -> None:
    async with over_http(url, await create_key(sales, "agent", ["write", "read", "read:personal"])) as agent:
        await agent.call("record_opt_out", address=ADA, agent="sqa", words="please stop")
        [event] = (await agent.call("consent_history", address=ADA))["events"]
        assert event["personal"] == {"reason": "please stop", "actorId": "sqa"}


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("check_consent", {}, "address: "),
    ("check_consent", {"address": ADA}, "give either your name as `agent`, or a `purpose`"),
    ("check_consent", {"address": ADA, "agent": "sqa", "purpose": "commercial"}, "give either"),
    ("check_consent", {"address": ADA, "agent": "sqa", "topic": "news"}, "do not give them beside `agent`"),
    ("check_consent", {"address": ADA, "agent": "sqa", "channel": "SMS"}, "do not give them beside `agent`"),
    ("check_consent", {"address": ADA, "purpose": "commercial", "to": ADA}, "to: there is no such argument"),
    (
        "check_consent",
        {"address": ADA, "purpose": "commercial", "asOf": "2020-01-01"},
        "asOf: there is no such argument",
    ),
    ("check_consent", {"address": [ADA], "purpose": "commercial"}, "address: "),
    ("check_consent", {"address": ADA, "purpose": 1}, "purpose: "),
    ("check_consent", {"address": ADA, "purpose": "commercial", "channel": "email"}, "channel: "),
    ("check_consent", {"address": ADA, "purpose": "commercial", "message_id": "m" * 101}, "message_id: "),
    ("check_consent", {"address": "a" * 1_001, "purpose": "commercial"}, "address: "),
    ("check_consent", {"address": ADA, "purpose": "none"}, "purpose: there is no purpose"),
    ("check_consent", {"address": ADA, "purpose": "commercial", "topic": "none"}, "topic: there is no topic"),
    ("check_consent", {"address": ADA, "purpose": "closing", "topic": "news"}, "topic: topic news belongs to"),
    ("check_consent", {"address": ADA, "agent": "none"}, "agent: there is no agent"),
    ("get_unsubscribe_link", {"address": "none", "purpose": "commercial"}, "address: "),
    ("get_unsubscribe_link", {"address": ADA}, "give either"),
    ("record_opt_out", {"address": "none", "purpose": "commercial"}, "may not be recorded"),
    ("record_opt_out", {"address": ADA, "agent": "none"}, "may not be recorded"),
    ("record_opt_out", {"address": ADA, "agent": "sqa", "purpose": "closing"}, "not both"),
    ("record_opt_out", {"address": ADA, "topic": "news"}, "purpose: a topic is named with its purpose"),
    ("record_opt_out", {"address": ADA, "purpose": "closing", "topic": "news"}, "topic: "),
    ("record_opt_out", {"address": ADA, "agent": "sca", "scope": "topic"}, "scope: "),
    ("record_opt_out", {"address": ADA, "scope": "purpose"}, "scope: "),
    ("record_opt_out", {"address": ADA, "scope": "all"}, "scope: "),
    ("record_opt_out", {"address": ADA, "value": "OPTED_IN"}, "value: there is no such argument"),
    ("consent_history", {"address": "none"}, "address: "),
    (
        "consent_history",
        {"address": ADA, "agent": "sqa"},
        "agent: there is no such argument; there are address, channel, purpose, topic, limit, before_position",
    ),
    ("consent_history", {"address": ADA, "limit": 0}, "limit: "),
    ("consent_history", {"address": ADA, "limit": 101}, "limit: "),
    ("consent_history", {"address": ADA, "limit": "5"}, "limit: "),
    ("consent_history", {"address": ADA, "before_position": -1}, "before_position: "),
    ("erase_contact_point", {"address": ADA}, "There is no such tool"),
]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_the_tools_do_not_take_is_refused_in_words(url: str, sales: Tenant, transport: str) -> None:
    before = await last_events(sales, 1)
    async with TRANSPORTS[transport](url, await create_key(sales, "agent", SCOPES)) as agent:
        for name, arguments, fragment in WRONG:
            assert fragment in await agent.refused(name, **arguments), (name, arguments)
    assert await last_events(sales, 1) == before


async def test_an_address_that_is_none_is_a_no(url: str, sales: Tenant) -> None:
    async with over_http(url, await create_key(sales, "agent", ["check"])) as agent:
        answer = await agent.call("check_consent", address="none", purpose="transactional")
        assert (answer["allowed"], answer["reasons"][0]["code"]) == (False, "INVALID_ADDRESS")


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        ({}, ["commercial", "closing"]),
        ({"agent": "sqa"}, ["commercial"]),
        ({"agent": "sqa", "scope": "topic"}, ["commercial/news"]),
        ({"agent": "sqa", "scope": "everything_commercial"}, ["commercial", "closing"]),
        ({"purpose": "transactional"}, ["transactional"]),
        ({"purpose": "commercial", "topic": "news"}, ["commercial"]),
        # What the other tools take, and an opt-out has no use for, is no reason to lose it.
        ({"purpose": "commercial", "profile": "default", "message_id": "m-1"}, ["commercial"]),
        ({"agent": "sqa", "profile": "none", "message_id": 5}, ["commercial"]),
        ({"purpose": "commercial", "topic": "news", "scope": "topic"}, ["commercial/news"]),
    ],
)
async def test_silence_about_how_much_is_taken_as_the_wider(
    url: str, sales: Tenant, told: dict[str, Any], outcome: list[str]
) -> None:
    async with over_http(url, await create_key(sales, "agent", ["write"])) as agent:
        answer = await agent.call("record_opt_out", address=ADA, **told)
    levels = [one["purpose"] + ("" if one["topic"] is None else f"/{one['topic']}") for one in answer["opted_out"]]
    assert levels == outcome
    events = await last_events(sales, len(outcome))
    assert {(event.actor, event.data["source"]) for event in events} == {(ActorKind.AGENT, ConsentSource.AGENT)}


@pytest.mark.parametrize(
    "beside",
    [
        {"channel": "email", "purpose": "commercial", "scope": "Purpose"},
        {"agent": "sqa", "purpose": "commercial"},
        {"agent": "sqa", "purpose": "commercial", "topic": "news"},
        {"purpose": "commercial", "idempotency_key": "k" * 201},
        {"purpose": "commercial", "idempotency_key": "k\x00"},
        {"purpose": "commercial", "idempotency_key": ""},
        {"purpose": "commercial", "idempotency_key": "used"},
    ],
)
async def test_nothing_beside_a_no_refuses_it(url: str, sales: Tenant, beside: dict[str, str]) -> None:
    async with over_http(url, await create_key(sales, "agent", ["write"])) as agent:
        await agent.call("record_opt_out", address="bob@example.org", purpose="closing", idempotency_key="used")
        for _ in range(2):
            answer = await agent.call("record_opt_out", address=ADA, **beside)
            assert [one["purpose"] for one in answer["opted_out"]] == ["commercial"]
    [answered] = await check(sales, Question(channel=Channel.EMAIL, addresses=[ADA], purpose="commercial"))
    assert [reason.code for reason in answered.decision.reasons] == ["OPTED_OUT"]


async def test_a_no_is_recorded_on_the_agents_channel_and_for_inactive_agents(
    url: str, sales: Tenant, caller: Caller
) -> None:
    await update_agent(sales, caller, ref="sca", channel=Channel.SMS, active=False)
    async with over_http(url, await create_key(sales, "agent", ["check", "write"])) as agent:
        assert "agent sca is inactive" in await agent.refused("check_consent", address="+4989765432", agent="sca")
        await agent.call("record_opt_out", address="+4989765432", agent="sca")
    [answer] = await check(sales, Question(channel=Channel.SMS, addresses=["+4989765432"], purpose="closing"))
    assert [reason.code for reason in answer.decision.reasons] == ["OPTED_OUT"]


@pytest.mark.parametrize("words", ["stop\x07\x00", "\ud800", "no " * 5_000])
async def test_a_no_is_recorded_whatever_their_words_hold(url: str, sales: Tenant, words: str) -> None:
    key = await create_key(sales, "agent", ["write", "read", "read:personal"])
    call = {"name": "record_opt_out", "arguments": {"address": ADA, "purpose": "commercial", "words": words}}
    async with httpx.AsyncClient(base_url=url, headers={**HEADERS, "authorization": f"Bearer {key}"}) as client:
        answer = (await client.post("/mcp", content=posted("tools/call", **call))).json()["result"]
    assert answer["structuredContent"]["recorded"], answer
    [event] = await last_events(sales, 1)
    assert event.data["value"] == "OPTED_OUT"


async def test_history_goes_on_page_by_page_and_is_filtered(url: str, sales: Tenant, caller: Caller) -> None:
    for value in ("OPTED_IN", "OPTED_OUT", "NOT_SET"):
        await capture(sales, caller, value)
    await capture(sales, caller, "OPTED_OUT", topic="news")
    await capture(sales, caller, "OPTED_IN", purpose="closing")
    async with over_http(url, await create_key(sales, "agent", ["read"])) as agent:
        assert (await agent.call("consent_history", address="bob@example.org"))["known"] is False
        whole = (await agent.call("consent_history", address=ADA))["events"]
        assert [one["value"] for one in whole] == ["OPTED_IN", "OPTED_OUT", "NOT_SET", "OPTED_OUT", "OPTED_IN"]
        paged: list[Any] = []
        before = None
        while True:
            page = await agent.call("consent_history", address=ADA, limit=2, before_position=before)
            paged += page["events"]
            before = page["next_before_position"]
            if before is None:
                break
        assert paged == whole
        closing = (await agent.call("consent_history", address=ADA, purpose="closing"))["events"]
        assert [one["purpose"] for one in closing] == ["closing"]
        news = (await agent.call("consent_history", address=ADA, purpose="commercial", topic="news"))["events"]
        assert [one["topic"] for one in news] == ["news"]
        assert (await agent.call("consent_history", address=ADA, before_position=0))["events"] == []


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_store_that_is_away_and_what_is_not_expected_say_not_to_send(
    url: str, sales: Tenant, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    async with TRANSPORTS[transport](url, await create_key(sales, "agent", ["check", "write"])) as agent:
        for error, words in ((StoreUnavailable("10.0.0.1 lost"), "UNAVAILABLE"), (ValueError(ADA), "INTERNAL")):

            async def broken(*_: object, error: Exception = error, **__: object) -> None:
                raise error

            monkeypatch.setattr(tools, "check_for_message", broken)
            monkeypatch.setattr(tools, "record_opt_out", broken)
            for name in ("check_consent", "record_opt_out"):
                said = await agent.refused(name, address=ADA, purpose="commercial")
                assert words in said
                assert "10.0.0.1" not in said
                assert ADA not in said


async def test_without_a_server_or_a_valid_key_the_process_says_not_to_send(url: str, sales: Tenant) -> None:
    async with over_stdio(url, "ck_1_000000000000_" + "a" * 43) as agent:
        assert "the API key is not valid" in await agent.refused("check_consent", address=ADA, agent="sqa")
    async with over_stdio(f"{url}/elsewhere", "key") as agent:
        said = await agent.refused("check_consent", address=ADA, agent="sqa")
        assert f"(status 404): there are no tools at {url}/elsewhere/mcp; give its own address as --url" in said
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with over_stdio(nobody, "key") as agent:
        assert "did not answer" in await agent.refused("check_consent", address=ADA, agent="sqa")


def words_of(answer: dict[str, Any]) -> str:
    """What an agent would get to read of an answer."""
    return answer["error"]["message"] if "error" in answer else answer["result"]["content"][0]["text"]


def posted(method: str = "tools/list", **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).encode()


HEADERS = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


async def test_who_is_answered_over_http(url: str, sales: Tenant) -> None:
    key = await create_key(sales, "agent", SCOPES)
    async with httpx.AsyncClient(base_url=url, headers={**HEADERS, "authorization": f"Bearer {key}"}) as client:
        assert (await client.post("/mcp", content=posted())).json()["result"]["tools"]
        for method in ("GET", "DELETE", "PUT"):
            response = await client.request(method, "/mcp")
            assert (response.status_code, response.headers["allow"]) == (405, "POST")
        for origin in ("http://evil.example", "null", "http://127.0.0.1.evil.example", "https://127.0.0.1:8080"):
            assert (await client.post("/mcp", content=posted(), headers={"origin": origin})).status_code == 403
        own = sales.ledger.public_url
        assert (await client.post("/mcp", content=posted(), headers={"origin": own})).status_code == 200
    async with httpx.AsyncClient(base_url=url, headers=HEADERS) as client:
        for headers in ({}, {"authorization": "Bearer nobody"}):
            response = await client.post("/mcp", content=posted(), headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"].startswith("Bearer")
            assert response.json()["error"]["message"].startswith(NO)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400), (b"{", 400), (b"\xff", 400), (b"[]", 400), (b"[" * 30_000, 400), (b"null", 400), (b'{"jsonrpc": "1.0"}', 400),
        (b"[" + posted() + b"]", 400), (b" " * (MESSAGE_BYTES_MAX + 1), 413), (posted("tools/call", name=1), 200),
        (posted("tools/call", name="check_consent", arguments=[]), 200), (posted("prompts/list"), 200),
        (b"{}", 400), (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call"}', 200), (b'{"jsonrpc": "2.0", "id": 1}', 400),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": []}', 200), (posted("initialize", x=1), 200),
        (b'{"jsonrpc": "2.0", "id": 1, "result": {}}', 400),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "check_consent", "arguments":'
         b' {"address": "\\ud800@example.org", "purpose": "commercial"}}}', 200),
    ],
)  # fmt: skip
async def test_what_is_no_message_of_the_protocol_is_an_error_that_says_not_to_send(
    url: str, sales: Tenant, content: bytes, status: int
) -> None:
    key = await create_key(sales, "agent", SCOPES)
    async with httpx.AsyncClient(base_url=url, headers={**HEADERS, "authorization": f"Bearer {key}"}) as client:
        response = await client.post("/mcp", content=content)
        assert response.status_code == status, response.text
        assert YES not in response.text
        assert words_of(response.json()).startswith(f"{NO}. ")
        assert "pydantic" not in response.text
        assert "http" not in response.text
        # The next one is answered.
        assert (await client.post("/mcp", content=posted())).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"accept": "text/html"}, 406),
        ({"content-type": "text/plain"}, 415),
        ({"mcp-protocol-version": "1999-01-01"}, 400),
    ],
)
async def test_a_request_with_the_wrong_head_is_told_not_to_send(
    url: str, sales: Tenant, headers: dict[str, str], status: int
) -> None:
    key = await create_key(sales, "agent", SCOPES)
    async with httpx.AsyncClient(base_url=url, headers={**HEADERS, "authorization": f"Bearer {key}"}) as client:
        response = await client.post("/mcp", content=posted(), headers=headers)
    assert response.status_code == status
    assert words_of(response.json()).startswith(f"{NO}. ")


OPT_OUT = {"name": "record_opt_out", "arguments": {"address": ADA, "purpose": "commercial"}}


@pytest.mark.parametrize("id", [{}, {"id": None}, {"id": True}, {"id": 1.5}, {"id": []}])
async def test_a_call_that_cannot_be_answered_is_refused_and_never_accepted_unheard(
    url: str, sales: Tenant, id: dict[str, Any]
) -> None:
    """A notification is accepted with an empty answer: an opt-out must not be lost so."""
    message = {"jsonrpc": "2.0", "method": "tools/call", "params": OPT_OUT, **id}
    before = await last_events(sales, 1)
    key = await create_key(sales, "agent", SCOPES)
    async with httpx.AsyncClient(base_url=url, headers={**HEADERS, "authorization": f"Bearer {key}"}) as client:
        response = await client.post("/mcp", json=message)
        assert response.status_code == 400
        assert words_of(response.json()).startswith(f"{NO}. ")
        started = await client.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert (started.status_code, started.content) == (202, b"")
    assert await last_events(sales, 1) == before


async def test_the_process_says_not_to_send_whatever_it_is_sent() -> None:
    lines = [
        b"nonsense", b"{}", b'{"jsonrpc": "2.0", "id": null, "method": "tools/call", "params": {}}',
        b'{"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "check_consent", "arguments": []}}',
        b'{"jsonrpc": "2.0", "id": 4, "method": "prompts/list"}',
        b'{"jsonrpc": "2.0", "id": 5, "method": "initialize", "params": {}}',
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import sys; from cli.main import main; sys.exit(main())", "mcp", "--url", "http://127.0.0.1:9",
        env={"CONSENTRY_KEY": "k", "PYTHONPATH": str(ROOT), "PATH": os.environ.get("PATH", "")},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"".join(line + b"\n" for line in lines))
    answers = [json.loads(await process.stdout.readline()) for _ in lines]
    process.stdin.close()
    assert await process.wait() == 0
    assert all(words_of(answer).startswith(f"{NO}. ") for answer in answers)
    assert [answer["id"] for answer in answers if answer["id"] != "server-error"] == [3, 4, 5]
    assert "pydantic" not in json.dumps(answers)


async def not_enforced(tenant: Tenant, caller: Caller, *purposes: str) -> None:
    for purpose in purposes:
        disabled = [(Channel.EMAIL, EnforcementModel.DISABLED)]
        await update_purpose(tenant, caller, ref=purpose, enforcement=disabled)


@pytest.mark.parametrize("scope", ["topic", "purpose"])
async def test_a_no_that_is_not_enforced_is_told_as_the_check_decides(
    url: str, sales: Tenant, caller: Caller, scope: str
) -> None:
    await not_enforced(sales, caller, "commercial")
    async with over_http(url, await create_key(sales, "agent", ["check", "write"])) as agent:
        for _ in range(2):
            told = await agent.call("record_opt_out", address=ADA, agent="sqa", scope=scope, idempotency_key="k")
            assert (told["decision"], told["recorded"]) == ("RECORDED, NOT ENFORCED", True)
            [level] = told["opted_out"]
            assert (level["allowed"], level["reason"]) == (True, "ENFORCEMENT_DISABLED")
            assert told["words"].startswith(
                f"RECORDED, NOT ENFORCED. The opt-out is recorded, at position {told['position']}"
            )
            assert "does not enforce consent" in told["words"]
            assert "check_consent still lets messages go" in told["words"]
            assert NO not in told["words"]
            assert "You may send" not in told["words"]
        asked = await agent.call("check_consent", address=ADA, agent="sqa")
        assert asked["allowed"] is True
        named = "topic news" if scope == "topic" else "purpose commercial"
        assert f"Opted out of {named}, but consent is not enforced for it." in asked["words"]
        other = await agent.call("check_consent", address="bob@example.org", agent="sqa")
        assert "Consent is not enforced for purpose commercial." in other["words"]


async def test_of_several_levels_each_is_told_as_the_check_decides(url: str, sales: Tenant, caller: Caller) -> None:
    await not_enforced(sales, caller, "closing")
    async with over_http(url, await create_key(sales, "agent", ["write"])) as agent:
        told = await agent.call("record_opt_out", address=ADA)
        assert told["decision"] == "DO NOT SEND"
        assert [(one["purpose"], one["allowed"], one["reason"]) for one in told["opted_out"]] == [
            ("commercial", False, None),
            ("closing", True, "ENFORCEMENT_DISABLED"),
        ]
        assert told["words"].startswith(f"{NO} to this address any more for: commercial. The opt-out is recorded")
        assert "Purpose closing does not enforce consent" in told["words"]
        await update_purpose(sales, caller, ref="closing", active=False)
        told = await agent.call("record_opt_out", address=ADA)
        assert [one["allowed"] for one in told["opted_out"]] == [False, False], "what is inactive is never sent"


async def test_a_no_that_a_choice_has_overtaken_at_once_is_told_so(
    url: str, sales: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = tools.record_opt_out

    async def overtaken(*given: Any) -> Any:
        recorded = await recording(*given)
        await capture(sales, caller, "OPTED_IN")
        return recorded

    monkeypatch.setattr(tools, "record_opt_out", overtaken)
    async with over_http(url, await create_key(sales, "agent", ["write"])) as agent:
        told = await agent.call("record_opt_out", address=ADA, agent="sqa")
        assert [(one["allowed"], one["reason"]) for one in told["opted_out"]] == [(True, "OPTED_IN")]
        assert "Opted in to purpose commercial." in told["words"]
        assert NO not in told["words"]


async def test_a_store_that_does_not_answer_after_a_no_takes_nothing_from_it(
    url: str, sales: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await not_enforced(sales, caller, "commercial")

    async def away(*_: object) -> NoReturn:
        raise StoreUnavailable("away")

    monkeypatch.setattr(still_sent, "look_up", away)
    async with over_http(url, await create_key(sales, "agent", ["write"])) as agent:
        told = await agent.call("record_opt_out", address=ADA, agent="sqa")
        assert (told["decision"], told["recorded"]) == ("DO NOT SEND", True)


async def test_a_key_of_a_unit_uses_the_tools_within_it(url: str, sales: Tenant, caller: Caller) -> None:
    await create_business_unit(sales, caller, key="emea", name="EMEA")
    await create_profile(sales, caller, key="joint", name="J", business_unit="emea", share_purposes_of="default")
    await create_profile(sales, caller, key="own", name="O", business_unit="emea")
    await create_agent(sales, caller, key="joint-agent", name="J", profile="joint", purpose="commercial")
    await capture(sales, caller, "OPTED_OUT")
    key = await create_key(sales, "emea-agent", ["check", "write", "read"], unit="emea")
    async with over_http(url, key) as agent:
        no = await agent.call("check_consent", address=ADA, agent="joint-agent")
        # Another unit's opt-out counts; where its event is, is not told.
        assert [(reason["code"], reason["position"]) for reason in no["reasons"]] == [("OPTED_OUT", None)]
        assert "there is no agent" in await agent.refused("check_consent", address=ADA, agent="sca")
        assert "there is no purpose" in await agent.refused("record_opt_out", address=ADA, purpose="other-commercial")
        assert (await agent.call("consent_history", address=ADA))["known"] is False
        told = await agent.call("record_opt_out", address=ADA, idempotency_key="k")
        assert {one["purpose"] for one in told["opted_out"]} == {"commercial", "closing", "own-commercial"}
        assert (await agent.call("record_opt_out", address=ADA, idempotency_key="k"))["repeated"] is True
        past = await agent.call("consent_history", address=ADA)
        assert [event["purpose"] for event in past["events"]] == ["own-commercial"]
        asked = await agent.call("check_consent", address=ADA, purpose="own-commercial", profile="own")
        [own] = [one["position"] for one in told["opted_out"] if one["purpose"] == "own-commercial"]
        assert asked["reasons"][0]["position"] == own
