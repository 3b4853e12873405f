"""What is known of each HTTP request once it is answered, handed to whoever observes: the log, the metrics.

Knows the route's template, never the address that was asked for: paths and query strings carry tokens and addresses.
"""

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_KEY = "consentry.request"
UNKNOWN_ROUTE = "(none)"
# No status of HTTP's: nobody was there to read one.
CLIENT_LEFT = 499
# A client may send any word as its method; each would be a new series in the metrics, and anything in the log.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


# Ids tell requests apart and are no secrets: asking the system for each would cost more than to log it.
_ids = random.Random()  # noqa: S311


def _request_id() -> str:
    return f"{_ids.getrandbits(64):016x}"


@dataclass(slots=True)
class RequestRecord:
    """One request, filled in as it goes through."""

    method: str
    request_id: str = field(default_factory=_request_id)
    route: str = UNKNOWN_ROUTE
    status: int = 0
    seconds: float = 0.0
    tenant: str | None = None
    application: str | None = None
    operation: str | None = None
    fields: tuple[str, ...] = ()


Observer = Callable[[RequestRecord], None]


def request_record(scope: Scope) -> RequestRecord:
    """The record of the request at hand; one that nobody observes where the middleware is not there."""
    record = scope.get(_KEY)
    if record is None:
        record = scope[_KEY] = RequestRecord(_method(scope))
    return record


class RequestObserver:
    """Middleware: gives each request its id, and tells the observers when it is answered."""

    def __init__(self, app: ASGIApp, *, observers: Sequence[Observer]) -> None:
        self._app = app
        self._observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and measure it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = scope[_KEY] = RequestRecord(_method(scope))
        started = time.perf_counter()

        left = False

        async def listening() -> Message:
            nonlocal left
            message = await receive()
            left = left or message["type"] == "http.disconnect"
            return message

        # Returns what is to be awaited: a coroutine around it would cost as much as what it does.
        def noting(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", record.request_id.encode())]
            return send(message)

        try:
            await self._app(scope, listening, noting)
        finally:
            record.seconds = time.perf_counter() - started
            # No answer at all: the client had gone, or the application failed before it said anything.
            record.status = record.status or (CLIENT_LEFT if left else 500)
            if "route" in scope:
                record.route = getattr(scope["route"], "path", UNKNOWN_ROUTE)
            for observer in self._observers:
                observer(record)


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "OTHER"
