"""Middleware: no request body is read beyond the limit, whatever its Content-Length says, unless its route streams it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.graphql_limits import LimitReached
from web.graphql_response import GraphQLAnswer, MediaType
from web.http_headers import header
from web.refusals import limit_error

BODY_BYTES_MAX = 8 * 1024 * 1024


class _TooLarge(Exception):
    """The body goes on beyond the limit."""

    def __init__(self, given: int | None) -> None:
        super().__init__()
        self.given = given


class BodyLimit:
    """Answers 413 with LIMIT_EXCEEDED, and closes the connection rather than read on."""

    def __init__(self, app: ASGIApp, *, bytes_max: int = BODY_BYTES_MAX, streamed: tuple[str, ...] = ()) -> None:
        """`streamed`: how paths begin whose bodies are never held whole; each has a limit of its own."""
        self._app = app
        self._streamed = streamed
        self._bytes_max = bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its body counted."""
        if scope["type"] != "http" or (self._streamed and scope["path"].startswith(self._streamed)):
            await self._app(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._bytes_max:
                raise _TooLarge(None)
            return message

        try:
            announced = _announced(scope)
            if announced is not None and announced > self._bytes_max:
                raise _TooLarge(announced)
            await self._app(scope, counted, send)
        except _TooLarge as too_large:
            error = limit_error(LimitReached("bytes of the body", self._bytes_max, too_large.given))
            response = GraphQLAnswer({"errors": [error]}, 413, MediaType.JSON)
            response.headers["connection"] = "close"
            await response(scope, receive, send)


def _announced(scope: Scope) -> int | None:
    announced = header(scope, b"content-length")
    return int(announced[:20]) if announced is not None and announced.isdecimal() else None
