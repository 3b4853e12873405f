"""The connections below HTTP and WebSocket, where the protocol above them cannot say enough: giving up on a peer.

A peer that reads nothing cannot be told so: whatever is sent waits behind what it did not take, and a close waits, too.
"""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_EXTENSION = "consentry.connection"
_GRACE_S = 5.0
# Beyond this a peer that sends pings and reads nothing gets no more pongs.
_PONG_BUFFER_BYTES_MAX = 64 * 1024

Scope = MutableMapping[str, Any]


class _Known:
    """Tells the application of the connection that a request came by."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app = self.app

        async def told(scope: Scope, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[_EXTENSION] = self
            await app(scope, receive, send)

        self.app = told


class HttpConnection(_Known, AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """A connection that speaks HTTP, by whichever of uvicorn's implementations there is."""

    flow: FlowControl
    transport: asyncio.Transport

    def last_words(self) -> None:
        """What is sent from now on does not wait for the peer."""
        self.flow.resume_writing()


class WebSocketConnection(_Known, WebSocketsSansIOProtocol):
    """A connection that speaks WebSocket."""

    def last_words(self) -> None:
        """What is sent from now on does not wait for the peer."""
        self.writable.set()

    def handle_ping(self) -> None:
        """Answer, unless the peer does not read."""
        if self.transport.get_write_buffer_size() <= _PONG_BUFFER_BYTES_MAX:
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def keepalive_timeout(self) -> None:
        """The peer has not answered: it will not read a closing either."""
        super().keepalive_timeout()
        self.transport.abort()


def last_words(scope: Scope) -> None:
    """Let what is sent from now on go out, or rather into the buffer, though the peer takes nothing."""
    connection = _connection(scope)
    if connection is not None:
        connection.last_words()


def give_up(scope: Scope) -> None:
    """End the connection in a moment, whether or not the peer has taken what was sent."""
    connection = _connection(scope)
    if connection is not None:
        asyncio.get_running_loop().call_later(_GRACE_S, connection.transport.abort)


def _connection(scope: Scope) -> HttpConnection | WebSocketConnection | None:
    return scope.get("extensions", {}).get(_EXTENSION)
