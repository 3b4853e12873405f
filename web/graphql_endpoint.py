"""GraphQL over HTTP: one request in, one answer out. Knows no schema of its own and no caller; both are given.

Obeys the GraphQL-over-HTTP specification (September 2026): POST with application/json, GET for queries alone,
answers as application/graphql-response+json or application/json. Subscriptions are served by `web.live`.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from graphql import OperationType
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from web.graphql_operations import OperationRefused, Operations
from web.graphql_request import GraphQLRequest, MalformedRequest, request_of_body, request_of_query_string
from web.graphql_response import (
    GraphQLAnswer,
    MediaType,
    content_type_header,
    negotiate,
    status_of_result,
    wants_page,
)
from web.http_headers import header
from web.refusals import error_entry, exception_entry
from web.request_observer import request_record
from web.unsent import AnswerInParts

_METHODS = ("GET", "HEAD", "POST")
# An answer of so few fields is written at once: a single check's always is.
_WHOLE_COST = 200
_NO_SUBSCRIPTION = (
    "a subscription is not answered over plain HTTP: open a WebSocket (graphql-transport-ws), or say"
    " Accept: text/event-stream (graphql-sse)"
)

ContextFactory = Callable[[Scope], Awaitable[object]]


class NotServed(Exception):
    """This caller is not served: the status, headers and the error to answer with. A context factory raises it."""

    def __init__(self, status: int, error: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        super().__init__(error["message"])
        self.status = status
        self.error = error
        self.headers = headers or {}


class _ClientGone(Exception):
    """The client left before it had sent its request: there is nobody to answer."""


class GraphQLEndpoint:
    """The ASGI application for one path.

    `context` tells who asks, and makes what the resolvers get; `owner` whose persisted documents they may name; `page` is
    what a browser sees that opens the address.
    """

    def __init__(
        self,
        operations: Operations,
        *,
        context: ContextFactory,
        owner: Callable[[Any], Hashable],
        page: Callable[[], Response] | None = None,
    ) -> None:
        self._operations = operations
        self._context = context
        self._owner = owner
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        try:
            response = await self._respond(scope, receive)
        except _ClientGone:
            return
        await response(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive) -> Response:
        accept = header(scope, b"accept")
        if self._page is not None and scope["method"] in ("GET", "HEAD") and wants_page(accept):
            return self._page()
        media_type = negotiate(accept)
        if media_type is None:
            error = error_entry("BAD_USER_INPUT", f"answers are {' or '.join(MediaType)}, and Accept names neither")
            return GraphQLAnswer({"errors": [error]}, 406, MediaType.JSON)
        try:
            return await self._answer(scope, receive, media_type)
        except NotServed as refused:
            response = GraphQLAnswer({"errors": [refused.error]}, refused.status, media_type)
            response.headers.update(refused.headers)
            return response
        except MalformedRequest as malformed:
            path = {"path": list(malformed.path)} if malformed.path else {}
            error = error_entry("BAD_USER_INPUT", malformed.message, **path)
            return GraphQLAnswer({"errors": [error]}, malformed.status, media_type)

    async def _answer(self, scope: Scope, receive: Receive, media_type: MediaType) -> Response:
        if scope["method"] not in _METHODS:
            raise NotServed(
                405, error_entry("BAD_USER_INPUT", "a request is a POST, or a GET"), {"allow": ", ".join(_METHODS)}
            )
        context = await self._context(scope)
        asked = request_held(scope, await _body(receive))
        try:
            return await self._run(asked, context, scope, media_type)
        except OperationRefused as refused:
            return _whole({"errors": refused.errors}, media_type)
        except NotServed:
            raise
        except Exception as error:  # noqa: BLE001 - the last stop: whatever it is, the client gets an id and the log the rest
            entry = exception_entry(error, request_record(scope).request_id)
            if entry["extensions"]["code"] == "INTERNAL":
                return GraphQLAnswer({"errors": [entry]}, 500, media_type)
            return _whole({"errors": [entry]}, media_type)

    async def _run(self, asked: GraphQLRequest, context: object, scope: Scope, media_type: MediaType) -> Response:
        owner = self._owner(context)
        runnable = self._operations.runnable(asked, owner)
        if runnable.kind is OperationType.SUBSCRIPTION:
            return _whole({"errors": [error_entry("BAD_USER_INPUT", _NO_SUBSCRIPTION)]}, media_type)
        if scope["method"] != "POST" and runnable.kind is not OperationType.QUERY:
            raise NotServed(405, error_entry("BAD_USER_INPUT", "a mutation is a POST"), {"allow": "POST"})
        record = request_record(scope)
        record.operation = runnable.kind.value
        record.fields = runnable.operation.fields

        async def written(body: dict[str, Any]) -> Response:
            if runnable.cost <= _WHOLE_COST:
                return _whole(body, media_type)
            if _nothing_but_unavailable(body):
                return _unavailable(body, media_type)
            status = status_of_result(body, media_type)
            parts, held = await self._operations.written(body, runnable, owner)
            return AnswerInParts(parts, held, status, [content_type_header(media_type)])

        return await self._operations.run(runnable, context, record.request_id, written)


def _whole(body: dict[str, Any], media_type: MediaType) -> Response:
    if _nothing_but_unavailable(body):
        return _unavailable(body, media_type)
    return GraphQLAnswer(body, status_of_result(body, media_type), media_type)


def _unavailable(body: dict[str, Any], media_type: MediaType) -> Response:
    # Without `data` this is a request that failed as a whole, which the specification lets have its status.
    response = GraphQLAnswer({"errors": body["errors"]}, 503, media_type)
    response.headers["retry-after"] = "1"
    return response


def request_held(scope: Scope, body: bytes) -> GraphQLRequest:
    """The GraphQL request that an HTTP request holds. Raises MalformedRequest."""
    if scope["method"] != "POST":
        return request_of_query_string(scope["query_string"])
    return request_of_body(header(scope, b"content-type"), header(scope, b"content-encoding"), body)


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        parts = [body]
        while message.get("more_body", False):
            message = await receive()
            parts.append(message.get("body", b""))
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise _ClientGone
    return body


def _nothing_but_unavailable(body: dict[str, Any]) -> bool:
    return body.get("data") is None and all(
        error["extensions"]["code"] == "UNAVAILABLE" for error in body.get("errors", [{"extensions": {"code": ""}}])
    )
