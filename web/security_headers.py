"""Middleware: the headers that keep a browser from doing with our answers what they are not for."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    b"cache-control": b"no-store",
}
_NAMES = frozenset(_HEADERS)
_ALL = tuple(_HEADERS.items())


class SecurityHeaders:
    """Adds each of them that the answer does not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add to its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        def adding(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                present = _NAMES.intersection([name.lower() for name, _ in headers])
                added = [item for item in _ALL if item[0] not in present] if present else _ALL
                message["headers"] = [*headers, *added]
            return send(message)

        await self._app(scope, receive, adding)
