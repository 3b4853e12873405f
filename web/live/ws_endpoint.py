"""The WebSocket at /graphql: brings texts to the protocol and does what it says. Decides nothing of the protocol itself.

One task reads; each operation has a task that sends what it answers. A send waits for the client to take what was sent
before, so a slow one holds up its own operations and costs one batch; after `stall_s` without any progress it is given up.
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import ExitStack, aclosing
from typing import Any

from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from ledger.api_keys import Identity
from web.authentication import identity_of
from web.graphql_endpoint import NotServed
from web.graphql_limits import LimitReached
from web.graphql_operations import OperationRefused
from web.graphql_request import MalformedRequest, request_of_object
from web.graphql_response import GraphQLAnswer, MediaType, encoded
from web.live.connections import give_up, last_words
from web.live.live import Live
from web.live.sessions import Ending, Session, TooManyOpen
from web.live.ws_protocol import (
    SUBPROTOCOL,
    Authenticate,
    Close,
    CloseCode,
    GraphQLSocket,
    Pong,
    Start,
    Stop,
    close_reason,
)
from web.refusals import error_entry, limit_error

# Operations of a socket that have ended but for their last words.
_ENDING_MAX = 16
_CODE_OF_ENDING = {
    Ending.REVOKED: CloseCode.FORBIDDEN,
    Ending.STOPPING: CloseCode.RESTART,
    Ending.SLOW: CloseCode.TRY_AGAIN_LATER,
}


class _Over(Exception):
    """The socket is to be closed."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class GraphQLWebSocket:
    """The ASGI application for WebSockets on one path."""

    def __init__(self, live: Live) -> None:
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket until it is closed."""
        websocket = WebSocket(scope, receive, send)
        await websocket.receive()  # that it connects
        with ExitStack() as stack:
            try:
                stack.enter_context(self._live.sessions.connection())
                identity = await self._introduced(websocket)
                stranger = stack.enter_context(ExitStack())
                if identity is None:
                    stranger.enter_context(self._live.sessions.stranger())
            except TooManyOpen as too_many:
                error = limit_error(LimitReached(too_many.limit, too_many.allowed, None))
                await _refuse(websocket, 503, error, {"retry-after": "5"})
                return
            except NotServed as refused:
                await _refuse(websocket, refused.status, refused.error, refused.headers)
                return
            if SUBPROTOCOL not in websocket.scope["subprotocols"]:
                await websocket.accept()
                await websocket.close(CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE, "Subprotocol not acceptable")
                return
            await websocket.accept(SUBPROTOCOL)
            await _Socket(self._live, websocket, identity, stranger, stack).serve()

    async def _introduced(self, websocket: WebSocket) -> Identity | None:
        given = websocket.headers.getlist("authorization")
        return await identity_of(given, self._live.ledger) if given else None


async def _refuse(websocket: WebSocket, status: int, error: dict[str, Any], headers: Mapping[str, str]) -> None:
    response = GraphQLAnswer({"errors": [error]}, status, MediaType.JSON)
    response.headers.update(headers)
    await websocket.send_denial_response(response)


class _Socket:
    """One accepted socket."""

    def __init__(
        self, live: Live, websocket: WebSocket, identity: Identity | None, stranger: ExitStack, stack: ExitStack
    ) -> None:
        self._live = live
        self._websocket = websocket
        self._identity = identity
        self._stranger = stranger
        self._stack = stack
        self._protocol = GraphQLSocket()
        self._session: Session | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        # Those whose last words are still being sent included.
        self._running: set[asyncio.Task[None]] = set()
        # Set once the socket must be closed, to how.
        self._over: asyncio.Future[_Over] = asyncio.get_running_loop().create_future()

    async def serve(self) -> None:
        reading = asyncio.create_task(self._read(), name="socket-read")
        try:
            await asyncio.wait((reading, self._over), return_when=asyncio.FIRST_COMPLETED)
            if not self._over.done():
                reading.result()
                return
        finally:
            self._protocol.closed()
            await _ended([reading, *self._running])
        await self._close(self._over.result())

    def _end(self, over: _Over) -> None:
        if not self._over.done():
            self._over.set_result(over)

    async def _close(self, over: _Over) -> None:
        try:
            if over.code == CloseCode.TRY_AGAIN_LATER:
                last_words(self._websocket.scope)
                for operation_id in self._tasks:
                    error = error_entry("SLOW_CONSUMER", over.reason)
                    await self._send_text(_next(operation_id, encoded({"errors": [error]})))
                    await self._send_text(encoded({"id": operation_id, "type": "complete"}))
            async with asyncio.timeout(self._live.limits.stall_s):
                await self._websocket.close(over.code, close_reason(over.reason))
        except (TimeoutError, WebSocketDisconnect, _Over):
            pass  # it does not read, or has gone: there is nobody to tell
        finally:
            give_up(self._websocket.scope)

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(self._live.limits.introduction_s) as introduction:
                while True:
                    # Who does not read is not read from either: a refusal that cannot be sent keeps its message.
                    while len(self._running) >= self._live.limits.operations_per_connection + _ENDING_MAX:
                        await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                    message = await self._websocket.receive()
                    if message["type"] != "websocket.receive":
                        return
                    if await self._act(message):
                        introduction.reschedule(None)
                    del message
        except TimeoutError:
            self._end(_Over(CloseCode.INITIALISATION_TIMEOUT, "Connection initialisation timeout"))
        except WebSocketDisconnect:
            return
        except _Over as over:
            self._end(over)

    async def _act(self, message: Message) -> bool:
        """Do what the message asks for; whether the client is known by now."""
        match self._protocol.receive(message.get("text")):
            case Close(code, reason):
                raise _Over(code, reason)
            case Authenticate(payload):
                await self._authenticate(payload)
            case Pong():
                await self._send_text('{"type":"pong"}')
            case Start(operation_id, payload):
                self._start(operation_id, payload)
            case Stop(operation_id):
                task = self._tasks.pop(operation_id, None)
                if task is not None:
                    task.cancel()
            case _:
                pass
        return self._session is not None

    async def _authenticate(self, payload: Mapping[str, Any]) -> None:
        given = [value for name, value in payload.items() if name.lower() == "authorization"]
        try:
            if given or self._identity is None:
                named = await identity_of(
                    [value if isinstance(value, str) else "" for value in given], self._live.ledger
                )
                if self._identity is not None and named.key != self._identity.key:
                    raise _Over(
                        CloseCode.FORBIDDEN, "Forbidden: the header and connection_init name different API keys"
                    )
                self._identity = named
            session = self._stack.enter_context(self._live.sessions.session(self._identity))
        except NotServed as refused:
            code = CloseCode.TRY_AGAIN_LATER if refused.status == 503 else CloseCode.FORBIDDEN
            raise _Over(code, f"Forbidden: {refused.error['message']}") from None
        except TooManyOpen as too_many:
            raise _Over(CloseCode.TRY_AGAIN_LATER, str(too_many)) from None
        self._stranger.close()
        self._session = session
        session.ending.add_done_callback(self._on_ending)
        self._protocol.acknowledge()
        await self._send_text('{"type":"connection_ack"}')

    def _on_ending(self, ending: "asyncio.Future[Ending]") -> None:
        if not ending.cancelled():
            self._end(_Over(_CODE_OF_ENDING[ending.result()], ending.result().value))

    def _start(self, operation_id: str, payload: Mapping[str, Any]) -> None:
        task = asyncio.create_task(self._run(operation_id, payload), name="socket-operation")
        self._tasks[operation_id] = task
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, operation_id: str, payload: Mapping[str, Any]) -> None:
        assert self._session is not None  # noqa: S101 - the protocol starts nothing before
        try:
            try:
                asked, _ = self._live.needed(self._session.identity, request_of_object(payload))
                # It may be large, and the operation run for days.
                del payload
                async with aclosing(self._live.results(self._session, asked)) as results:
                    async for result in results:
                        await self._send_text(_next(operation_id, result))
            except MalformedRequest as malformed:
                error = error_entry("BAD_USER_INPUT", malformed.message, path=["payload", *malformed.path])
                await self._finish(operation_id, encoded({"id": operation_id, "type": "error", "payload": [error]}))
            except OperationRefused as refused:
                await self._finish(
                    operation_id, encoded({"id": operation_id, "type": "error", "payload": refused.errors})
                )
            else:
                await self._finish(operation_id, encoded({"id": operation_id, "type": "complete"}))
        except WebSocketDisconnect:
            pass  # the reading task sees that, too
        except _Over as over:
            self._end(over)

    async def _finish(self, operation_id: str, text: str) -> None:
        # Its id is free before the client can know that it is.
        self._protocol.finished(operation_id)
        self._tasks.pop(operation_id, None)
        await self._send_text(text)

    async def _send_text(self, text: str) -> None:
        try:
            async with asyncio.timeout(self._live.limits.stall_s):
                await self._websocket.send({"type": "websocket.send", "text": text})
        except TimeoutError:
            self._live.count_slow()
            raise _Over(CloseCode.TRY_AGAIN_LATER, Ending.SLOW.value) from None


def _next(operation_id: str, payload: str) -> str:
    return f'{{"id":{json.dumps(operation_id)},"type":"next","payload":{payload}}}'


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
