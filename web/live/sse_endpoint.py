"""graphql-sse at /graphql, both modes of its protocol; every other request goes on to GraphQL over HTTP.

Obeys PROTOCOL.md of graphql-sse. Distinct connections: a request that accepts text/event-stream before JSON is answered by a
stream of its own operation. Single connection: PUT reserves a stream and answers its token; GET with the token, which may
stand in the URL since EventSource sends no headers, opens it; POST (or GET) with the token runs an operation that the stream
answers; DELETE ends one. The token says which stream, the API key who asks: only the GET may do without the key.
"""

import asyncio
import contextlib
import secrets
from dataclasses import dataclass, field

from graphql import OperationType
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ledger.api_keys import Identity
from web.authentication import documents_owner, identity_of
from web.graphql_endpoint import NotServed, request_held
from web.graphql_limits import LimitReached
from web.graphql_operations import OperationRefused
from web.graphql_request import GraphQLRequest, MalformedRequest
from web.graphql_response import GraphQLAnswer, MediaType, negotiate, status_of_result, wants_events
from web.http_headers import header
from web.live.live import Live
from web.live.sessions import Ending, Session, TooManyOpen
from web.live.sse_stream import EventStream, OperationId
from web.live.unopened import Unopened
from web.refusals import error_entry, limit_error
from web.request_observer import request_record

_TOKEN_HEADER = b"x-graphql-event-stream-token"  # noqa: S105 - a header's name
_ID_CHARS_MAX = 200
# What a message of a WebSocket holds, too.
_SUBSCRIPTION_BYTES_MAX = 256 * 1024
_NOT_ALONE = (
    "a single connection for many operations is not served here, where several workers answer: open a connection for"
    " each operation, or a WebSocket"
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request as it is kept, the name by which its answers go, if any, and how many bytes it came as."""

    asked: GraphQLRequest
    operation_id: object
    size: int


@dataclass(slots=True)
class _Reservation:
    """A stream that was reserved, and may be open."""

    token: str
    session: Session
    held: contextlib.ExitStack
    # What counts for as long as it is not open.
    unopened: contextlib.ExitStack
    stream: "asyncio.Future[EventStream]"
    operations: dict[OperationId, asyncio.Task[None]] = field(default_factory=dict)


class EventStreams:
    """The ASGI application around the one for GraphQL over HTTP."""

    def __init__(self, app: ASGIApp, live: Live, *, alone: bool = True) -> None:
        self._app = app
        self._live = live
        self._alone = alone
        self._reservations: dict[str, _Reservation] = {}
        self._unopened = Unopened(live.limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        events = wants_events(header(scope, b"accept"))
        token = header(scope, _TOKEN_HEADER) or None
        if token is None and scope["query_string"]:
            token = QueryParams(scope["query_string"]).get("token")
        if scope["method"] not in ("PUT", "DELETE") and token is None and not events:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request, token, send, events=events)
        except NotServed as refused:
            response = GraphQLAnswer({"errors": [refused.error]}, refused.status, MediaType.JSON)
            response.headers.update(refused.headers)
        except MalformedRequest as malformed:
            path = {"path": list(malformed.path)} if malformed.path else {}
            error = error_entry("BAD_USER_INPUT", malformed.message, **path)
            response = GraphQLAnswer({"errors": [error]}, malformed.status, MediaType.JSON)
        except TooManyOpen as too_many:
            error = limit_error(LimitReached(too_many.limit, too_many.allowed, None))
            response = GraphQLAnswer({"errors": [error]}, 429, MediaType.JSON)
            response.headers["retry-after"] = "5"
        except ClientDisconnect:
            return  # it left before it had sent its request
        if response is not None:
            await response(scope, receive, send)

    async def _answer(self, request: Request, token: str | None, send: Send, *, events: bool) -> Response | None:
        if request.method == "PUT":
            identity = await self._identity(request)
            if not self._alone:
                # The requests of one client would reach different workers, and the stream is held by one of them.
                raise NotServed(501, error_entry("BAD_USER_INPUT", _NOT_ALONE))
            return self._reserve(identity)
        if token is None:
            if request.method == "DELETE":
                raise _not_found()
            await self._distinct(request, send)
            return None
        reservation = self._reservations.get(token)
        if events and request.method == "GET":
            # The token was handed to who showed the key, and opens this stream only.
            identity = await self._identity(request) if "authorization" in request.headers else None
            if reservation is None or (identity is not None and identity.key != reservation.session.identity.key):
                raise _not_found()
            await self._open(reservation, request, send)
            return None
        identity = await self._identity(request)
        if reservation is None or identity.key != reservation.session.identity.key:
            raise _not_found()
        if request.method == "DELETE":
            return await self._stop(reservation, request)
        return await self._start(reservation, request)

    async def _identity(self, request: Request) -> Identity:
        identity = await identity_of(request.headers.getlist("authorization"), self._live.ledger)
        record = request_record(request.scope)
        record.tenant, record.application = identity.tenant.key, identity.caller.application
        return identity

    async def _distinct(self, request: Request, send: Send) -> None:
        identity = await self._identity(request)
        asked = (await self._asked(request, identity)).asked
        with self._live.sessions.connection(), self._live.sessions.session(identity) as session:
            stream = EventStream(self._live, session, request.scope, request.receive, send)
            await stream.start()
            running = asyncio.create_task(stream.run(asked, None), name="stream-operation")
            ending: Ending | None = None
            try:
                ending = await stream.until_over(running)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            await stream.end(ending, [None])

    def _reserve(self, identity: Identity) -> Response:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._live.sessions.connection())
            session = stack.enter_context(self._live.sessions.session(identity))
            unopened = stack.enter_context(contextlib.ExitStack())
            unopened.enter_context(self._unopened.stream(identity.key))
            token = secrets.token_urlsafe(32)
            loop = asyncio.get_running_loop()
            reservation = _Reservation(token, session, stack.pop_all(), unopened, loop.create_future())
        self._reservations[token] = reservation
        loop.call_later(self._live.limits.introduction_s, self._expire, reservation)
        return PlainTextResponse(token, status_code=201)

    def _expire(self, reservation: _Reservation) -> None:
        if not reservation.stream.done():
            reservation.stream.cancel()
            self._release(reservation)

    def _release(self, reservation: _Reservation) -> None:
        del self._reservations[reservation.token]
        for task in reservation.operations.values():
            task.cancel()
        reservation.held.close()

    async def _open(self, reservation: _Reservation, request: Request, send: Send) -> None:
        if reservation.stream.done():
            raise NotServed(409, error_entry("CONFLICT", "the stream of this token is open already"))
        stream = EventStream(self._live, reservation.session, request.scope, request.receive, send)
        reservation.stream.set_result(stream)
        reservation.unopened.close()
        ending: Ending | None = None
        try:
            await stream.start()
            ending = await stream.until_over(None)
        finally:
            operation_ids = list(reservation.operations)
            self._release(reservation)
            await asyncio.gather(*reservation.operations.values(), return_exceptions=True)
        await stream.end(ending, operation_ids)

    async def _start(self, reservation: _Reservation, request: Request) -> Response:
        read = await self._asked(request, reservation.session.identity)
        asked, operation_id = read.asked, read.operation_id
        if not isinstance(operation_id, str) or not 0 < len(operation_id) <= _ID_CHARS_MAX:
            message = (
                f"extensions.operationId is text of 1 to {_ID_CHARS_MAX} characters, by which the stream's answers go"
            )
            raise MalformedRequest(400, message, "extensions", "operationId")
        if operation_id in reservation.operations:
            raise NotServed(409, error_entry("CONFLICT", "an operation with this operationId runs already"))
        try:
            self._live.operations.runnable(asked, documents_owner(reservation.session.identity.tenant))
        except OperationRefused as refused:
            media_type = negotiate(request.headers.get("accept")) or MediaType.JSON
            body = {"errors": refused.errors}
            return GraphQLAnswer(body, status_of_result(body, media_type), media_type)
        if self._reservations.get(reservation.token) is not reservation:
            raise _not_found()  # it has ended while the request was read
        # Counted from now on, not from when the stream is opened: until then it is kept.
        counted = contextlib.ExitStack()
        counted.enter_context(reservation.session.operation())
        if not reservation.stream.done():
            with counted:
                reservation.unopened.enter_context(
                    self._unopened.operation(reservation.session.identity.key, read.size)
                )
                counted = counted.pop_all()
        task = asyncio.create_task(self._run(reservation, asked, operation_id, counted), name="stream-operation")
        # Also where it is cancelled before it begins.
        task.add_done_callback(lambda _: counted.close())
        reservation.operations[operation_id] = task
        return Response(status_code=202)

    async def _run(
        self, reservation: _Reservation, asked: GraphQLRequest, operation_id: str, counted: contextlib.ExitStack
    ) -> None:
        stream = await asyncio.shield(reservation.stream)
        await stream.run(asked, operation_id, counted)
        reservation.operations.pop(operation_id, None)

    async def _stop(self, reservation: _Reservation, request: Request) -> Response:
        operation_id = request.query_params.get("operationId")
        if not operation_id:
            raise MalformedRequest(400, "say in the URL's operationId which operation to end", "operationId")
        task = reservation.operations.pop(operation_id, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return Response(status_code=200)

    async def _asked(self, request: Request, identity: Identity) -> "_Asked":
        """What a request asks for. Raises MalformedRequest, NotServed."""
        # Not `request.body()`, which keeps it for as long as the stream is open.
        body = b"".join([part async for part in request.stream()])
        size = len(body) + len(request.url.query)
        held = request_held(request.scope, body)
        asked, kind = self._live.needed(identity, held)
        if kind is OperationType.SUBSCRIPTION and size > _SUBSCRIPTION_BYTES_MAX:
            raise MalformedRequest(413, f"a subscription has at most {_SUBSCRIPTION_BYTES_MAX} bytes; this has {size}")
        if request.method != "POST":
            if request.method not in ("GET", "HEAD"):
                raise NotServed(
                    405, error_entry("BAD_USER_INPUT", "a request is a POST, or a GET"), {"allow": "GET, POST"}
                )
            if kind is OperationType.MUTATION:
                raise NotServed(405, error_entry("BAD_USER_INPUT", "a mutation is a POST"), {"allow": "POST"})
        return _Asked(asked, held.extensions.get("operationId"), size)


def _not_found() -> NotServed:
    return NotServed(404, error_entry("NOT_FOUND", "there is no stream of this token: reserve one with PUT"))
