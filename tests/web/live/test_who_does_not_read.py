"""Who takes nothing of what is sent to it is not read from any further, however much it sends."""

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

from ledger.api_keys import create_key
from ledger.assembly import Tenant
from web.app import create_app
from web.live.sessions import LiveLimits

OPERATIONS_MAX = 4
ENDING_MAX = 16


async def test_a_socket_that_never_reads_is_read_no_further(tenant: Tenant) -> None:
    key = await create_key(tenant, "mute", ["check"])
    app = create_app(tenant.ledger, live_limits=LiveLimits(operations_per_connection=OPERATIONS_MAX, stall_s=0.2))
    read = 0
    acknowledged = asyncio.Event()

    async def receive() -> MutableMapping[str, Any]:
        nonlocal read
        read += 1
        if read == 1:
            return {"type": "websocket.connect"}
        if read == 2:
            return said({"type": "connection_init", "payload": {"Authorization": f"Bearer {key}"}})
        await acknowledged.wait()
        return said({"id": str(read), "type": "subscribe", "payload": {"query": "{ viewer { scopes } }"}})

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "websocket.accept":
            return
        if "connection_ack" in message.get("text", ""):
            acknowledged.set()
            return
        await asyncio.Event().wait()

    scope = {
        "type": "websocket", "path": "/graphql", "raw_path": b"/graphql", "query_string": b"", "root_path": "",
        "headers": [(b"host", b"x")], "subprotocols": ["graphql-transport-ws"], "scheme": "ws", "http_version": "1.1",
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "extensions": {}, "state": {}, "asgi": {"version": "3.0"},
    }  # fmt: skip
    async with asyncio.timeout(30):
        await app(scope, receive, send)
    assert acknowledged.is_set()
    assert read <= 2 + OPERATIONS_MAX + ENDING_MAX + 1


def said(message: dict[str, Any]) -> MutableMapping[str, Any]:
    return {"type": "websocket.receive", "text": json.dumps(message)}
