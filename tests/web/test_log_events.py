"""The whole log as JSON lines: as GraphQL shows it, at the reader's pace, and resumed by cursor or position."""

import asyncio
import contextlib
import json
import logging
import socket
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import uvicorn
from httpx import AsyncClient
from toy import asking
from uvicorn.protocols.http.flow_control import FlowControl

from domain.addresses import Channel
from domain.consent import ConsentValue
from eventstore import read
from eventstore.database import StoreUnavailable
from ledger.api_keys import SCOPES, create_key, list_keys, revoke_key
from ledger.assembly import Caller, Ledger, Tenant
from ledger.given_evidence import Evidence
from ledger.pages import cursor
from ledger.record import Capture, record_consents
from ledger.tenants import create_tenant
from tlog.hashing import leaf_hash
from web import log_events as module
from web.app import create_app
from web.live.connections import HttpConnection

EVENTS = 600
GRAPHQL = """query ($after: String) { consentEvents(first: 1000, after: $after) { edges { cursor node { position id type
 recordedAt effectiveAt contactPoint { id } purpose { id key } topic { id key } value source reason application { id key }
 actor { kind id } data evidence entry leafHash } } } }"""


@dataclass
class Reader:
    client: AsyncClient
    tenant: Tenant
    key: str

    async def get(self, **parameters: str | list[str]) -> httpx.Response:
        return await self.client.get(self.path, params=parameters, headers=self.headers)

    @property
    def path(self) -> str:
        return f"/log/{self.tenant.key}/events.ndjson"

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}


async def fill(tenant: Tenant, caller: Caller, count: int = EVENTS) -> None:
    captures = [
        Capture(
            channel=Channel.EMAIL,
            address=f"a{n}@example.org",
            purpose="commercial" if n % 2 else "transactional",
            value=ConsentValue.OPTED_OUT,
            reason="words of my own" if n % 7 == 0 else None,
            evidence=Evidence(notice_text=f"What was shown — {n % 3}", locale="de-AT") if n % 5 == 0 else None,
        )
        for n in range(count)
    ]
    await record_consents(tenant, caller, captures)


@pytest.fixture
async def log(ledger: Ledger, tenant: Tenant, caller: Caller) -> AsyncIterator[Reader]:
    await fill(tenant, caller)
    async with asking(create_app(ledger)) as client:
        # Of the application that wrote: GraphQL shows none that has no key.
        yield Reader(client, tenant, await create_key(tenant, "tests", SCOPES))


def lines(response: httpx.Response) -> list[dict[str, object]]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


async def test_each_line_is_the_event_as_graphql_shows_it(log: Reader) -> None:
    found = lines(await log.get())
    assert [line["position"] for line in found] == list(range(EVENTS + 7))
    answer = await log.client.post("/graphql", json={"query": GRAPHQL}, headers=log.headers)
    shown = [{"cursor": edge["cursor"], **edge["node"]} for edge in answer.json()["data"]["consentEvents"]["edges"]]
    assert found == shown
    assert any(line["reason"] == "words of my own" for line in found)
    assert any((line["evidence"] or {}).get("noticeText") == "What was shown — 1" for line in found)
    assert all(leaf_hash(b64decode(str(line["entry"]))) == b64decode(str(line["leafHash"])) for line in found)


async def test_what_is_personal_or_proves_needs_its_scope(log: Reader) -> None:
    plain = Reader(log.client, log.tenant, await create_key(log.tenant, "plain", ["read"]))
    for line in lines(await plain.get()):
        assert not line.keys() & {"entry", "leafHash", "evidence"}
        assert line["actor"].keys() == {"kind"}
        assert "words of my own" not in json.dumps(line)


async def test_a_reader_goes_on_by_cursor_or_position(log: Reader) -> None:
    whole = lines(await log.get())
    assert lines(await log.get(after=str(whole[99]["cursor"]))) == whole[100:]
    assert lines(await log.get(after="99")) == whole[100:]
    end = await log.get(after=str(whole[-1]["position"]))
    assert lines(end) == []
    assert end.headers["consentry-last-position"] == str(whole[-1]["position"])
    assert end.headers["consentry-last-cursor"] == whole[-1]["cursor"]
    assert lines(await log.get(after=end.headers["consentry-last-cursor"])) == []


async def test_types_and_a_purpose_choose(log: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.reading_far._LOOKED_THROUGH", 50)
    whole = lines(await log.get())
    about = [line for line in whole if (line["purpose"] or {}).get("key") == "commercial"]
    assert lines(await log.get(purpose="commercial")) == about
    assert len(about) > 256
    some = ["TenantCreated", "PurposeCreated"]
    assert lines(await log.get(type=some)) == [line for line in whole if line["type"] in some]


@pytest.mark.parametrize(
    ("parameters", "status", "path"),
    [
        ({"after": "x"}, 400, "after"), ({"after": ""}, 400, "after"), ({"after": "-1"}, 400, "after"),
        ({"after": "007"}, 400, "after"), ({"after": "9" * 17}, 400, "after"), ({"after": "٣"}, 400, "after"),
        ({"after": "FOREIGN"}, 400, "after"), ({"after": "OTHER LIST"}, 400, "after"), ({"after": ["1", "2"]}, 400, "after"),
        ({"after": str(EVENTS + 7)}, 404, "after"), ({"after": "BEYOND"}, 404, "after"), ({"before": "1"}, 400, "before"),
        ({"type": "Nothing"}, 400, "types"), ({"purpose": "nothing"}, 404, "purpose"),
    ],
)  # fmt: skip
async def test_what_names_no_place_is_refused_in_words(
    log: Reader, ledger: Ledger, parameters: dict[str, str], status: int, path: str
) -> None:
    other = await create_tenant(ledger, f"{log.tenant.key}-{path}-{abs(hash(str(parameters)))}", "Other")
    named = {
        "FOREIGN": cursor(other, "event", "3"),
        "OTHER LIST": cursor(log.tenant, "contact-point", "3"),
        "BEYOND": cursor(log.tenant, "event", "99999"),
    }
    response = await log.get(**{k: named.get(v, v) if isinstance(v, str) else v for k, v in parameters.items()})
    assert response.status_code == status, response.text
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == ("NOT_FOUND" if status == 404 else "BAD_USER_INPUT")
    assert path in error["extensions"]["path"]


async def test_only_who_may_read_this_log_does(log: Reader, ledger: Ledger) -> None:
    assert (await log.client.get(log.path)).status_code == 401
    without = await create_key(log.tenant, "sender", [scope for scope in SCOPES if scope != "read"])
    assert (await Reader(log.client, log.tenant, without).get()).status_code == 403
    other = await create_tenant(ledger, f"{log.tenant.key}-foreign", "Foreign")
    stranger = Reader(log.client, log.tenant, await create_key(other, "reader", ["read"]))
    assert (await stranger.get()).status_code == 404
    assert (await log.client.head(log.path, headers=log.headers)).headers["consentry-last-position"] == "606"


class Serving:
    """The application on a real socket whose buffers are small; each page that it reads is counted."""

    def __init__(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pages = 0
        self.ended = asyncio.Event()
        self.paused = asyncio.Event()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        original = module._lines
        pause = FlowControl.pause_writing

        async def counted(*arguments: object) -> AsyncIterator[bytes]:
            try:
                async for chunk in original(*arguments):
                    self.pages += 1
                    yield chunk
            finally:
                self.ended.set()

        def pausing(control: object) -> None:
            self.paused.set()
            pause(control)

        monkeypatch.setattr(module, "_lines", counted)
        monkeypatch.setattr(FlowControl, "pause_writing", pausing)
        config = uvicorn.Config(create_app(ledger), lifespan="off", log_config=None, ws="none", http=HttpConnection)
        self.server = uvicorn.Server(config)
        self._task = asyncio.create_task(self.server.serve(sockets=[self._socket]))

    async def open(self, reader: Reader) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that has asked, and reads nothing by itself."""
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", self.port))
        streams = await asyncio.open_connection(sock=raw, limit=1024)
        streams[1].write(
            f"GET {reader.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {reader.key}\r\n\r\n".encode()
        )
        return streams

    async def stop(self) -> None:
        self.server.should_exit = self.server.force_exit = True
        await asyncio.wait_for(self._task, 20)
        self._socket.close()


@pytest.fixture
async def serving(log: Reader, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serving]:
    monkeypatch.setattr("ledger.reading_far.PAGE_EVENTS", 40)
    serving = Serving(ledger, monkeypatch)
    yield serving
    await serving.stop()


async def test_a_reader_that_stops_costs_a_page_and_no_connection(
    serving: Serving, log: Reader, ledger: Ledger
) -> None:
    _, writer = await serving.open(log)
    await asyncio.wait_for(serving.paused.wait(), 20)
    held = serving.pages
    assert held < 5, "of 16 pages"
    # Nothing is read while it stands still: the whole of the pool can be had.
    async with asyncio.timeout(20), contextlib.AsyncExitStack() as stack:
        for _ in range(ledger.pool.get_max_size()):
            await stack.enter_async_context(ledger.pool.acquire())
    whole = lines(await log.get())
    assert len(whole) == EVENTS + 7, "others are answered meanwhile"
    writer.transport.abort()
    await asyncio.wait_for(serving.ended.wait(), 20)
    assert serving.pages < held + 20


async def test_a_slow_reader_gets_all_of_it(serving: Serving, log: Reader) -> None:
    reader, writer = await serving.open(log)
    await asyncio.wait_for(serving.paused.wait(), 20)
    body = b""
    while not body.endswith(b"\r\n0\r\n\r\n"):
        part = await asyncio.wait_for(reader.read(1000), 20)
        assert part, "it was cut"
        body += part
    assert body.count(b'"cursor":') == EVENTS + 7
    writer.close()


async def test_a_key_that_is_revoked_ends_what_it_reads_without_an_end(
    serving: Serving, log: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    reader, writer = await serving.open(log)
    await asyncio.wait_for(serving.paused.wait(), 20)
    for key in await list_keys(log.tenant):
        await revoke_key(log.tenant, key.key_id)
    log.tenant.ledger.proven_keys.forget()
    body = await asyncio.wait_for(_all(reader), 20)
    assert not body.endswith(b"\r\n0\r\n\r\n")
    assert body.count(b'"cursor":') < EVENTS
    writer.close()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert any("a log that is being read is cut" in record.getMessage() for record in caplog.records)


async def test_a_database_that_goes_away_cuts_a_reader_that_goes_on_from_its_last_line(
    serving: Serving, log: Reader, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    reader, writer = await serving.open(log)
    await asyncio.wait_for(serving.paused.wait(), 20)

    async def away(*_args: object, **_options: object) -> object:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(read, "forward_text", away)
        body = await asyncio.wait_for(_all(reader), 20)
    assert not body.endswith(b"\r\n0\r\n\r\n")
    *_, last = [line for line in body.split(b"\n") if line.startswith(b'{"cursor"') and line.endswith(b"}")]
    assert 0 < (position := json.loads(last)["position"]) < EVENTS
    rest = lines(await log.get(after=json.loads(last)["cursor"]))
    assert [line["position"] for line in rest] == list(range(position + 1, EVENTS + 7))
    assert [record.getMessage() for record in caplog.records] == []
    writer.close()


async def _all(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while part := await reader.read(65_536):
        body += part
    return body


async def test_enough_readers_are_enough(serving: Serving, log: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STREAMS_MAX", 1)
    _, writer = await serving.open(log)
    await asyncio.wait_for(serving.paused.wait(), 20)
    async with AsyncClient(base_url=f"http://127.0.0.1:{serving.port}") as client:
        response = await client.get(log.path, headers=log.headers)
    assert response.status_code == 429
    assert response.json()["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
    writer.transport.abort()
    await asyncio.wait_for(serving.ended.wait(), 20)
    async with asyncio.timeout(20):
        while (await log.get()).status_code == 429:
            await asyncio.sleep(0)


async def test_a_tenant_reads_its_share_and_leaves_the_rest_to_others(
    serving: Serving, log: Reader, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STREAMS_MAX", 7)
    _, writer = await serving.open(log)
    await asyncio.wait_for(serving.paused.wait(), 20)
    another = await create_tenant(ledger, f"{log.tenant.key}-another", "Another")
    async with AsyncClient(base_url=f"http://127.0.0.1:{serving.port}") as client:
        response = await client.get(log.path, headers=log.headers)
        assert response.status_code == 429
        assert response.json()["errors"][0]["extensions"]["limit"] == "logs read at once by one tenant"
        reader = Reader(client, another, await create_key(another, "reader", ["read"]))
        assert (await reader.get()).status_code == 200
    writer.transport.abort()
    await asyncio.wait_for(serving.ended.wait(), 20)


async def test_a_reader_that_is_given_up_is_cut_and_no_failure_is_logged(
    serving: Serving, log: Reader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_STALLED_S", 0.1)
    caplog.set_level(logging.WARNING)
    _, writer = await serving.open(log)
    await asyncio.wait_for(serving.ended.wait(), 20)
    await serving.stop()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    writer.transport.abort()
