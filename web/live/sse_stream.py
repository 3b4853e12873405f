"""An event stream as graphql-sse has it: `next` and `complete`, of one operation, or of several by their ids.

A write waits for the client to take what was sent before; after `stall_s` without any progress the client is too slow.
"""

import asyncio
import json
from collections.abc import Iterable
from contextlib import ExitStack, aclosing

from starlette.types import Receive, Scope, Send

from web.graphql_operations import OperationRefused
from web.graphql_request import GraphQLRequest
from web.graphql_response import encoded
from web.live.connections import give_up, last_words
from web.live.live import Live
from web.live.sessions import Ending, Session
from web.refusals import error_entry

# None stands for the one operation of a stream that has no other.
OperationId = str | None

_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # Proxies that gather answers must not gather this one.
    (b"x-accel-buffering", b"no"),
    # Where the server ends a stream it ends the connection, and a client must not ask its next question there.
    (b"connection", b"close"),
)
_COMMENT = b":\n\n"
_CODE_OF_ENDING = {
    Ending.REVOKED: "UNAUTHENTICATED",
    Ending.STOPPING: "UNAVAILABLE",
    Ending.SLOW: "SLOW_CONSUMER",
}


class EventStream:
    """One open stream."""

    def __init__(self, live: Live, session: Session, scope: Scope, receive: Receive, send: Send) -> None:
        self._live = live
        self._session = session
        self._scope = scope
        self._receive = receive
        self._send = send
        self._quiet = True

    async def start(self) -> None:
        """Answer that here is a stream."""
        await self._send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        await self._write(_COMMENT)

    async def until_over(self, running: "asyncio.Future[None] | None") -> Ending | None:
        """Keep the stream alive until `running` is done, the client has gone, or it has to end, for this reason."""
        gone = asyncio.create_task(self._gone(), name="stream-gone")
        waited = {gone, self._session.ending} | ({running} if running is not None else set())
        try:
            while True:
                done, _ = await asyncio.wait(
                    waited, timeout=self._live.limits.heartbeat_s, return_when=asyncio.FIRST_COMPLETED
                )
                if self._session.ending in done:
                    return self._session.ending.result()
                if done:
                    return None
                if self._quiet and not await self._put(_COMMENT):
                    return self._too_slow()
                self._quiet = True
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    async def run(self, asked: GraphQLRequest, operation_id: OperationId, counted: ExitStack | None = None) -> None:
        """Send what the operation answers, and that it is complete."""
        try:
            async with aclosing(self._live.results(self._session, asked, counted)) as results:
                async for result in results:
                    await self._write(_next(result, operation_id))
        except OperationRefused as refused:
            await self._write(_next(encoded({"errors": refused.errors}), operation_id))
        await self._write(_complete(operation_id))

    async def end(self, ending: Ending | None, operation_ids: Iterable[OperationId]) -> None:
        """The last that is sent: why each operation ends that does not end by itself."""
        if ending is Ending.SLOW:
            last_words(self._scope)
        last = b""
        if ending is not None:
            error = encoded({"errors": [error_entry(_CODE_OF_ENDING[ending], ending.value)]})
            last = b"".join(_next(error, operation_id) + _complete(operation_id) for operation_id in operation_ids)
        if not await self._put(last, more=False):
            last_words(self._scope)
            await self._put(last, more=False)
        if ending is not None:
            give_up(self._scope)

    async def _write(self, data: bytes) -> None:
        if not await self._put(data):
            self._too_slow()
            # Nothing more of the operation: the stream ends now, and ends this with it.
            await asyncio.Event().wait()

    def _too_slow(self) -> Ending:
        if not self._session.ending.done():
            self._live.count_slow()
        self._session.end(Ending.SLOW)
        return self._session.ending.result()

    async def _put(self, data: bytes, *, more: bool = True) -> bool:
        """Send; False where the client has taken nothing for too long."""
        self._quiet = False
        try:
            async with asyncio.timeout(self._live.limits.stall_s):
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except TimeoutError:
            return False
        return True

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _next(payload: str, operation_id: OperationId) -> bytes:
    data = payload if operation_id is None else f'{{"id":{json.dumps(operation_id)},"payload":{payload}}}'
    return f"event: next\ndata: {data}\n\n".encode("ascii")


def _complete(operation_id: OperationId) -> bytes:
    data = "" if operation_id is None else f'{{"id":{json.dumps(operation_id)}}}'
    return f"event: complete\ndata: {data}\n\n".encode("ascii")
