"""Middleware: an answer that ends its connection reaches also who sends all before it reads.

A socket that is closed while bytes stand unread in it is reset, and the reset takes away what the client has not read yet: of
"413, the limit is ..." it would see a broken pipe. So what still comes is read first, and thrown away (RFC 9112, section 9.6).
"""

import asyncio
import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.http_headers import header

# What a server reads before it asks whether it should: no reset comes from a body as short.
_SHORT_BODY_BYTES = 16 * 1024
_LINGER_S_MAX = 30.0
_SILENCE_S_MAX = 5.0


class LingeringClose:
    """Reads on, for a time, where an answer says `connection: close` before the body of its request was read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; the end of an answer that closes is told when the body has ended, or nobody waits longer."""
        if scope["type"] != "http" or not _body_may_be_long(scope):
            await self._app(scope, receive, send)
            return
        ended = closes = False

        async def listening() -> Message:
            nonlocal ended
            message = await receive()
            ended = not message.get("more_body", False)  # nor does anything come of who has gone
            return message

        async def answering(message: Message) -> None:
            nonlocal closes
            if message["type"] == "http.response.start":
                closes = (b"connection", b"close") in message["headers"]
            elif closes and not ended and not message.get("more_body", False):
                await send({**message, "more_body": True})
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LINGER_S_MAX):
                        while not ended:
                            async with asyncio.timeout(_SILENCE_S_MAX):
                                await listening()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self._app(scope, listening, answering)


def _body_may_be_long(scope: Scope) -> bool:
    announced = header(scope, b"content-length")
    if announced is None:
        return header(scope, b"transfer-encoding") is not None
    return not announced.isdecimal() or len(announced) > 8 or int(announced) > _SHORT_BODY_BYTES
