"""GraphQL over HTTP: one request in, one answer out. Knows no schema of its own and no caller; both are given.

Obeys the GraphQL-over-HTTP specification (September 2026): POST with application/json, GET for queries alone,
answers as application/graphql-response+json or application/json. Subscriptions are not served here.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from graphql import (
    ExecutionResult,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    Undefined,
    execute,
    is_input_type,
    type_from_ast,
)
from graphql.utilities import validate_input_value
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from web.graphql_documents import DocumentRefused, Documents, PreparedDocument, PreparedOperation
from web.graphql_limits import LimitReached, Limits
from web.graphql_request import GraphQLRequest, MalformedRequest, request_of_body, request_of_query_string
from web.graphql_response import MediaType, graphql_answer, negotiate, status_of_result, wants_page
from web.refusals import document_error, error_entry, exception_entry, field_error, limit_error
from web.request_observer import request_record

_METHODS = ("GET", "HEAD", "POST")
_INPUT_ERRORS_MAX = 10

ContextFactory = Callable[[Request], Awaitable[object]]


class NotServed(Exception):
    """This caller is not served: the status, headers and the error to answer with. A context factory raises it."""

    def __init__(self, status: int, error: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        super().__init__(error["message"])
        self.status = status
        self.error = error
        self.headers = headers or {}


class GraphQLEndpoint:
    """The ASGI application for one path.

    `context` tells who asks, and makes what the resolvers get; `page` is what a browser sees that opens the address.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        *,
        context: ContextFactory,
        limits: Limits | None = None,
        page: Callable[[], Response] | None = None,
    ) -> None:
        self._schema = schema
        self._context = context
        self._page = page
        self._documents = Documents(schema, limits or Limits())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        accept = _header(request, "accept")
        if self._page is not None and request.method in ("GET", "HEAD") and wants_page(accept):
            return self._page()
        media_type = negotiate(accept)
        if media_type is None:
            error = error_entry("BAD_USER_INPUT", f"answers are {' or '.join(MediaType)}, and Accept names neither")
            return graphql_answer({"errors": [error]}, 406, MediaType.JSON)
        try:
            return await self._answer(request, media_type)
        except NotServed as refused:
            response = graphql_answer({"errors": [refused.error]}, refused.status, media_type)
            response.headers.update(refused.headers)
            return response
        except MalformedRequest as malformed:
            path = {"path": list(malformed.path)} if malformed.path else {}
            error = error_entry("BAD_USER_INPUT", malformed.message, **path)
            return graphql_answer({"errors": [error]}, malformed.status, media_type)

    async def _answer(self, request: Request, media_type: MediaType) -> Response:
        if request.method not in _METHODS:
            raise NotServed(
                405, error_entry("BAD_USER_INPUT", "a request is a POST, or a GET"), {"allow": ", ".join(_METHODS)}
            )
        context = await self._context(request)
        asked = await _read(request)
        try:
            body = await self._run(asked, context, request)
        except LimitReached as reached:
            body = {"errors": [limit_error(reached)]}
        except DocumentRefused as refused:
            body = {"errors": [document_error(error, refused.code) for error in refused.errors]}
        except NotServed:
            raise
        except Exception as error:  # noqa: BLE001 - the last stop: whatever it is, the client gets an id and the log the rest
            entry = exception_entry(error, request_record(request.scope).request_id)
            if entry["extensions"]["code"] == "INTERNAL":
                return graphql_answer({"errors": [entry]}, 500, media_type)
            body = {"errors": [entry]}
        if _nothing_but_unavailable(body):
            # Without `data` this is a request that failed as a whole, which the specification lets have its status.
            response = graphql_answer({"errors": body["errors"]}, 503, media_type)
            response.headers["retry-after"] = "1"
            return response
        return graphql_answer(body, status_of_result(body, media_type), media_type)

    async def _run(self, asked: GraphQLRequest, context: object, request: Request) -> dict[str, Any]:
        document = self._documents.prepared(asked.query)
        operation = document.operation(asked.operation_name)
        if operation is None:
            return {"errors": [_no_operation(document, asked.operation_name)]}
        if operation.kind is OperationType.SUBSCRIPTION:
            return {"errors": [error_entry("BAD_USER_INPUT", "subscriptions are not answered over plain HTTP")]}
        if request.method != "POST" and operation.kind is not OperationType.QUERY:
            raise NotServed(405, error_entry("BAD_USER_INPUT", "a mutation is a POST"), {"allow": "POST"})
        operation.price.check(asked.variables)
        record = request_record(request.scope)
        record.operation = operation.kind.value
        record.fields = operation.fields
        result = await self._execute(document, asked, context)
        return self._body(result, operation, asked, record.request_id)

    async def _execute(self, document: PreparedDocument, asked: GraphQLRequest, context: object) -> ExecutionResult:
        result = execute(
            self._schema,
            document.node,
            context_value=context,
            variable_values=asked.variables,
            operation_name=asked.operation_name,
            max_coercion_errors=_INPUT_ERRORS_MAX,
        )
        return result if isinstance(result, ExecutionResult) else await result

    def _body(
        self, result: ExecutionResult, operation: PreparedOperation, asked: GraphQLRequest, request_id: str
    ) -> dict[str, Any]:
        if not result.errors:
            return {"data": result.data}
        started = result.data is not None or any(error.path is not None for error in result.errors)
        if not started:
            wrong = _wrong_variables(self._schema, operation.node, asked.variables)
            return {"errors": wrong or [document_error(error, "BAD_USER_INPUT") for error in result.errors]}
        return {"errors": [field_error(error, request_id) for error in result.errors], "data": result.data}


async def _read(request: Request) -> GraphQLRequest:
    if request.method != "POST":
        return request_of_query_string(request.scope["query_string"])
    return request_of_body(_header(request, "content-type"), _header(request, "content-encoding"), await request.body())


def _header(request: Request, name: str) -> str | None:
    values = request.headers.getlist(name)
    return ", ".join(values) if values else None


def _no_operation(document: PreparedDocument, name: str | None) -> dict[str, Any]:
    names = [known for known in document.operations if known is not None]
    if name is None:
        message = "say in operationName which of the operations to run" if names else "the document has no operation"
    else:
        message = "the document has no operation of this name"
    return error_entry("BAD_USER_INPUT", message, path=["operationName"])


def _wrong_variables(
    schema: GraphQLSchema, operation: OperationDefinitionNode, variables: dict[str, Any]
) -> list[dict[str, Any]]:
    """What is wrong with the variables, each with the path of the value: the executor's own errors have no path."""
    found: list[dict[str, Any]] = []
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        if name not in variables and definition.default_value is not None:
            continue
        type_ = type_from_ast(schema, definition.type)
        if not is_input_type(type_):
            continue

        def add(error: Exception, path: Sequence[str | int], name: str = name) -> None:
            if len(found) < _INPUT_ERRORS_MAX:
                where = [name, *(str(step) for step in path)]
                found.append(error_entry("BAD_USER_INPUT", f"Variable ${'.'.join(where)}: {error}", path=where))

        validate_input_value(variables.get(name, Undefined), type_, add)
    return found


def _nothing_but_unavailable(body: dict[str, Any]) -> bool:
    return body.get("data") is None and all(
        error["extensions"]["code"] == "UNAVAILABLE" for error in body.get("errors", [{"extensions": {"code": ""}}])
    )
