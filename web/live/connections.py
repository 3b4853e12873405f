"""The connections below HTTP and WebSocket, where the protocol above them cannot say enough: giving up on a peer.

A peer that reads nothing cannot be told so: whatever is sent waits behind what it did not take, and a close waits, too.
One that says nothing holds a descriptor; the process keeps some for its database, whatever is connected to it.
"""

import asyncio
import resource
from collections.abc import AsyncGenerator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, cast

from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from web.joined_writes import JoinedWrites

_EXTENSION = "consentry.connection"
_GRACE_S = 5.0
_SILENT_S = 30.0
# Who takes less of a large answer in this time is not waited for: others need the room.
_TAKING_S = 30.0
_TAKEN_BYTES_MIN = 256 * 1024
_DESCRIPTORS_KEPT = 128
_DESCRIPTORS_WANTED = 65_536
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

    connections: set[Any]
    flow: FlowControl
    scope: Scope | None
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless there are as many as the process can hold; end it where it asks for nothing."""
        loop = asyncio.get_running_loop()
        super().connection_made(JoinedWrites(cast(asyncio.Transport, transport), loop))
        if len(self.connections) > connections_max():
            self.transport.abort()
        else:
            loop.call_later(_SILENT_S, self._end_if_silent)

    def _end_if_silent(self) -> None:
        if self.scope is None:
            self.transport.abort()

    def last_words(self) -> None:
        """What is sent from now on does not wait for the peer."""
        self.flow.resume_writing()


class WebSocketConnection(_Known, WebSocketsSansIOProtocol):
    """A connection that speaks WebSocket."""

    def last_words(self) -> None:
        """What is sent from now on does not wait for the peer."""
        self.writable.set()

    async def send(self, message: Any) -> None:
        """Send; a refusal is an answer as well, which uvicorn would log as an error of ours for each."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True

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


class Taking:
    """A large answer on its way, by the connection that it goes by; None where that is not known."""

    def __init__(self, connection: HttpConnection | None) -> None:
        self._connection = connection
        self._sent = 0
        self._taken = 0
        self._timer: asyncio.TimerHandle | None = None
        self._look_again()

    def sent(self, count: int) -> None:
        """So many bytes were given to the connection."""
        self._sent += count

    async def all_taken(self) -> None:
        """Wait until nothing much of it is left here."""
        if self._connection is not None:
            await self._connection.flow.drain()

    def end(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look_again(self) -> None:
        if self._connection is not None:
            self._timer = asyncio.get_running_loop().call_later(_TAKING_S, self._look, self._connection)

    def _look(self, connection: HttpConnection) -> None:
        if connection not in connection.connections:
            return
        taken = self._sent - connection.transport.get_write_buffer_size()
        if taken - self._taken < _TAKEN_BYTES_MIN:
            connection.transport.abort()
        else:
            self._taken = taken
            self._look_again()


@asynccontextmanager
async def being_taken(scope: Scope) -> AsyncGenerator[Taking]:
    """While a large answer is sent: whoever takes next to nothing of it for a while is cut off."""
    connection = _connection(scope)
    taking = Taking(connection if isinstance(connection, HttpConnection) else None)
    try:
        yield taking
    finally:
        taking.end()


def raise_descriptors() -> None:
    """Let the process have as many descriptors as it may: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections_max() -> int:
    """How many connections the process can hold, besides what it needs itself."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (_DESCRIPTORS_WANTED if soft == resource.RLIM_INFINITY else soft) - _DESCRIPTORS_KEPT


def last_words(scope: Scope) -> None:
    """Let what is sent from now on go out, or rather into the buffer, though the peer takes nothing."""
    connection = _connection(scope)
    if connection is not None:
        connection.last_words()


def give_up(scope: Scope) -> None:
    """End the connection in a moment, whether or not the peer has taken what was sent."""
    connection = _connection(scope)
    if connection is not None:
        asyncio.get_running_loop().call_later(_GRACE_S, _abort, connection)


def _abort(connection: Any) -> None:
    # One that is closed by then has no loop any more, and asyncio fails at it.
    if connection in connection.connections:
        connection.transport.abort()


def cut(scope: Scope) -> bool:
    """End the connection now; whether it is one that can be ended."""
    connection = _connection(scope)
    if connection is not None:
        connection.transport.abort()
    return connection is not None


def cut_after_what_was_sent(scope: Scope) -> bool:
    """End the connection once its peer has taken what was sent, in a moment at the latest; whether it is one that can be."""
    connection = _connection(scope)
    if connection is not None:
        connection.transport.close()
        give_up(scope)
    return connection is not None


def _connection(scope: Scope) -> HttpConnection | WebSocketConnection | None:
    return scope.get("extensions", {}).get(_EXTENSION)
