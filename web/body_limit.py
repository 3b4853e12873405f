"""Middleware: no request body is read beyond the limit, whatever its Content-Length says, unless its route streams it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.graphql_limits import LimitReached
from web.graphql_response import GraphQLAnswer, MediaType
from web.http_headers import header
from web.refusals import error_entry, limit_error

BODY_BYTES_MAX = 8 * 1024 * 1024
# What one body may hold before it counts among the large ones, and what those may hold together.
_LARGE_BYTES = 256 * 1024
_LARGE_TOGETHER_BYTES_MAX = 64 * 1024 * 1024


class _TooLarge(Exception):
    """The body goes on beyond the limit."""

    def __init__(self, given: int | None) -> None:
        super().__init__()
        self.given = given


class _TooManyLarge(Exception):
    """Large bodies are held as much as the process may hold."""


class BodyLimit:
    """Answers 413 with LIMIT_EXCEEDED, and closes the connection rather than read on; and 503 with UNAVAILABLE where the large
    bodies that are held already leave no room for another.
    """

    def __init__(self, app: ASGIApp, *, bytes_max: int = BODY_BYTES_MAX, streamed: tuple[str, ...] = ()) -> None:
        """`streamed`: how paths begin whose bodies are never held whole; each has a limit of its own."""
        self._app = app
        self._streamed = streamed
        self._bytes_max = bytes_max
        self._large_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its body counted."""
        if scope["type"] != "http" or (self._streamed and scope["path"].startswith(self._streamed)):
            await self._app(scope, receive, send)
            return
        read = held = 0

        async def counted() -> Message:
            nonlocal read, held
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._bytes_max:
                raise _TooLarge(None)
            if read > _LARGE_BYTES:
                self._large_bytes += read - held
                held = read
                if self._large_bytes > _LARGE_TOGETHER_BYTES_MAX:
                    raise _TooManyLarge
            return message

        try:
            announced = _announced(scope)
            if announced is not None and announced > self._bytes_max:
                raise _TooLarge(announced)
            await self._app(scope, counted, send)
        except _TooLarge as too_large:
            error = limit_error(LimitReached("bytes of the body", self._bytes_max, too_large.given))
            await _close(GraphQLAnswer({"errors": [error]}, 413, MediaType.JSON), scope, receive, send)
        except _TooManyLarge:
            error = error_entry("UNAVAILABLE", "too much is sent at once; send it again in a moment")
            response = GraphQLAnswer({"errors": [error]}, 503, MediaType.JSON)
            response.headers["retry-after"] = "1"
            await _close(response, scope, receive, send)
        finally:
            self._large_bytes -= held


async def _close(response: GraphQLAnswer, scope: Scope, receive: Receive, send: Send) -> None:
    response.headers["connection"] = "close"
    await response(scope, receive, send)


def _announced(scope: Scope) -> int | None:
    announced = header(scope, b"content-length")
    return int(announced[:20]) if announced is not None and announced.isdecimal() else None
