"""The application on sockets of its own, with the connections that the server uses."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx
import uvicorn
import websockets
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection

from domain.addresses import Channel
from domain.consent import ConsentValue
from ledger.assembly import Caller, Ledger, Tenant
from ledger.record import Capture, record_consent
from web.app import create_app
from web.live.connections import HttpConnection, WebSocketConnection
from web.live.live import Live
from web.live.sessions import LiveLimits

WAIT_S = 20
SUBSCRIBE = """subscription($filter: ConsentEventFilter, $after: String, $afterPosition: Long, $fromPosition: Long) {
    consentEvents(filter: $filter, after: $after, afterPosition: $afterPosition, fromPosition: $fromPosition) {
        cursor node { position type value } }
}"""
APPLICATION = Caller("tests", frozenset(("check", "read", "read:personal", "write", "admin", "audit", "erase")))


@dataclass
class Running:
    """A server: where it answers, and what it holds."""

    url: str
    app: Starlette
    server: uvicorn.Server

    @property
    def live(self) -> Live:
        return self.app.state.live

    @property
    def websocket_url(self) -> str:
        return self.url.replace("http://", "ws://", 1) + "/graphql"


@contextlib.asynccontextmanager
async def running(ledger: Ledger, limits: LiveLimits | None = None, *, alone: bool = True) -> AsyncIterator[Running]:
    app = create_app(ledger, live_limits=limits, alone=alone)
    live: Live = app.state.live
    config = uvicorn.Config(
        app, port=0, lifespan="off", log_config=None, http=HttpConnection, ws=WebSocketConnection,
        ws_max_size=256 * 1024, ws_per_message_deflate=False, timeout_graceful_shutdown=5,
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign] - pytest keeps its own
    async with live.running():
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield Running(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", app, server)
        finally:
            live.sessions.stop()
            server.should_exit = True
            await serving


class Socket:
    """A graphql-transport-ws client that says exactly what a test wants said."""

    def __init__(self, url: str, key: str | None = None, **options: Any) -> None:
        options.setdefault("subprotocols", ["graphql-transport-ws"])
        self._connecting = websockets.connect(url, **options)
        self._key = key
        self.connection: ClientConnection

    async def __aenter__(self) -> "Socket":
        self.connection = await self._connecting
        if self._key is not None:
            await self.say(type="connection_init", payload={"Authorization": f"Bearer {self._key}"})
            assert await self.hear() == {"type": "connection_ack"}
        return self

    async def __aexit__(self, _t: type | None, _e: BaseException | None, _tb: TracebackType | None) -> None:
        await self.connection.close()

    async def say(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def hear(self) -> Any:
        return json.loads(await asyncio.wait_for(self.connection.recv(), WAIT_S))

    async def subscribe(self, operation_id: str = "1", query: str = SUBSCRIBE, **variables: Any) -> None:
        await self.say(id=operation_id, type="subscribe", payload={"query": query, "variables": variables})

    async def edges(self, count: int, operation_id: str = "1") -> list[Any]:
        """The next events of one operation."""
        found: list[Any] = []
        while len(found) < count:
            message = await self.hear()
            assert (message["type"], message["id"]) == ("next", operation_id), message
            found.append(message["payload"]["data"]["consentEvents"])
        return found

    async def positions(self, count: int, operation_id: str = "1") -> list[int]:
        return [edge["node"]["position"] for edge in await self.edges(count, operation_id)]

    async def closed(self) -> tuple[int, str]:
        """The code and reason with which the server closes, whatever comes before."""
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await asyncio.wait_for(self.connection.recv(), WAIT_S)
        assert self.connection.close_code is not None
        return self.connection.close_code, self.connection.close_reason or ""


async def capture(tenant: Tenant, number: int, value: ConsentValue = ConsentValue.OPTED_OUT) -> int:
    """Record one consent; its position."""
    recorded = await record_consent(
        tenant,
        APPLICATION,
        Capture(channel=Channel.EMAIL, address=f"a{number}@example.org", purpose="commercial", value=value),
    )
    assert recorded.position is not None
    return recorded.position


async def sse(response: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    """Each event of a stream, as (event, data); a comment is an event named `:`."""
    event, data = "", ""
    async for line in response.aiter_lines():
        if line.startswith(":"):
            yield ":", line[1:].strip()
        elif line.startswith("event:"):
            event = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            data = line.removeprefix("data:").strip()
        elif not line and event:
            yield event, data
            event, data = "", ""
