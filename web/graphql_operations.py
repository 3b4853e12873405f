"""GraphQL operations, whatever carries them: made ready within the limits, and run. Knows no transport and no caller.

Every transport runs its operations here, so the same limits and prices hold on all of them.
"""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from graphql import (
    ExecutionResult,
    Executor,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    Undefined,
    create_source_event_stream,
    execute,
    execute_subscription_event,
    is_input_type,
    type_from_ast,
)
from graphql.utilities import validate_input_value

from ledger.turns import Turn
from schema.plans.interpreted import InTurns
from schema.plans.plans import Plans
from web.admission import Admission
from web.graphql_documents import DocumentRefused, Documents, PreparedDocument, PreparedOperation
from web.graphql_limits import LimitReached, Limits
from web.graphql_request import GraphQLRequest
from web.graphql_response import parts_of
from web.persisted_documents import NotPersisted, PersistedDocuments
from web.refusals import document_error, error_entry, field_error, limit_error
from web.trusted_documents import DocumentsInvalid
from web.unsent import Held, Unsent, is_large

ANSWER_BYTES_MAX = 32 * 1024 * 1024
_INPUT_ERRORS_MAX = 10

Written = TypeVar("Written")


class OperationRefused(Exception):
    """Nothing of the operation was executed: the entries of `errors` that say why."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Runnable:
    """An operation that may be run: within the limits, with these variables. `text` is that of its document."""

    asked: GraphQLRequest
    text: str
    document: PreparedDocument
    operation: PreparedOperation
    cost: int

    @property
    def kind(self) -> OperationType:
        """Query, mutation or subscription."""
        return self.operation.kind

    def needed(self) -> GraphQLRequest:
        """What was asked without what running it has no use for: extensions, and variables that it does not declare."""
        declared = {definition.variable.name.value for definition in self.operation.node.variable_definitions or ()}
        asked = self.asked
        variables = {name: value for name, value in asked.variables.items() if name in declared}
        return replace(asked, variables=variables, extensions={})


class Operations:
    """The operations of one schema: compiled where they can be, unless `compiled` is false, and else run by graphql-core.

    What is not kept is not compiled: its plan would serve once, and take the room of those that serve often.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        limits: Limits,
        persisted: PersistedDocuments | None = None,
        *,
        compiled: bool = True,
    ) -> None:
        """Raises DocumentsInvalid where a document of the operator cannot be run."""
        self.schema = schema
        self._documents = Documents(schema, limits)
        self._plans = Plans(schema) if compiled else None
        self._admission = Admission()
        self.unsent = Unsent()
        self._persisted = persisted or PersistedDocuments()
        for text, name in self._persisted.trusted.names.items():
            try:
                self._documents.keep_always(text)
            except LimitReached as reached:
                raise DocumentsInvalid(f"{name}: {reached.message}") from None
            except DocumentRefused as refused:
                raise DocumentsInvalid(f"{name}: {refused.errors[0].message}") from None

    def runnable(self, asked: GraphQLRequest, owner: Hashable) -> Runnable:
        """The operation that is asked for, made ready. Raises OperationRefused.

        `owner`: whose documents it may name by identifier, besides the operator's.
        """
        try:
            text = self._persisted.text(asked, owner)
            document = self._documents.prepared(text)
            if asked.document_id is not None:
                self._persisted.register(asked, owner)
            operation = document.operation(asked.operation_name)
            if operation is None:
                raise OperationRefused([_no_operation(document, asked.operation_name)])
            cost = operation.price.check(asked.variables)
        except NotPersisted as refused:
            path = {"path": list(refused.path)} if refused.path else {}
            raise OperationRefused([error_entry(refused.code, refused.message, **path)]) from None
        except LimitReached as reached:
            raise OperationRefused([limit_error(reached)]) from None
        except DocumentRefused as refused:
            raise OperationRefused([document_error(error, refused.code) for error in refused.errors]) from None
        return Runnable(asked, text, document, operation, cost)

    async def run(
        self,
        runnable: Runnable,
        context: object,
        request_id: str,
        written: Callable[[dict[str, Any]], Awaitable[Written]],
    ) -> Written:
        """What `written` makes of the answer of a query or mutation, once there is room for it.

        Raises Overloaded before it was begun, and what `written` raises.
        """

        async def answer() -> Written:
            return await written(await self.answer(runnable, context, request_id))

        return await self._admission.run(runnable.cost, answer)

    async def written(self, body: dict[str, Any], runnable: Runnable, owner: Hashable) -> tuple[list[bytes], Held]:
        """The bytes of an answer, and the room that they take, for whoever sends them to close.

        Raises OperationRefused or Overloaded where there is none; never of a mutation, of which all was done.
        """
        is_query = runnable.kind is OperationType.QUERY
        held = self.unsent.held(owner, may_refuse=is_query)
        parts: list[bytes] = []
        turn = Turn()
        try:
            for part in parts_of(body):
                parts.append(part)
                if len(parts) == 1:
                    continue  # what is one part is not counted
                held.take(len(part) if held.bytes else len(parts[0]) + len(part))
                if is_query and held.bytes > ANSWER_BYTES_MAX:
                    raise OperationRefused([limit_error(LimitReached("bytes of the answer", ANSWER_BYTES_MAX, None))])
                if turn.is_over:
                    await turn.others_first()
            if not held.bytes and is_large(len(parts[0])):
                held.take(len(parts[0]))
        except BaseException:
            held.close()
            raise
        return parts, held

    async def answer(self, runnable: Runnable, context: object, request_id: str) -> dict[str, Any]:
        """Run a query or mutation; the answer, with what its fields refused among its errors."""
        asked, document = runnable.asked, runnable.document.node
        result = None
        if self._plans is not None and runnable.document.kept:
            result = self._plans.execute(document, runnable.operation.node, asked.variables, context)
        if result is None:
            result = execute(
                self.schema,
                document,
                context_value=context,
                variable_values=asked.variables,
                operation_name=asked.operation_name,
                max_coercion_errors=_INPUT_ERRORS_MAX,
                executor_class=InTurns,
            )
        return self.body(result if isinstance(result, ExecutionResult) else await result, runnable, request_id)

    def executor(self, runnable: Runnable, context: object) -> Executor:
        """What executes a subscription's events, in this context. Raises OperationRefused for variables that are wrong."""
        asked = runnable.asked
        executor = Executor.build(
            self.schema,
            runnable.document.node,
            context_value=context,
            raw_variable_values=asked.variables,
            operation_name=asked.operation_name,
            max_coercion_errors=_INPUT_ERRORS_MAX,
        )
        if isinstance(executor, list):
            refused = self.body(ExecutionResult(None, errors=executor), runnable, "")
            raise OperationRefused(refused["errors"])
        return executor

    async def answer_event(
        self, runnable: Runnable, context: object, event: object, executor: Executor
    ) -> ExecutionResult:
        """The result of a subscription for one event; `executor` is what executes it where it is not compiled."""
        result = None
        if self._plans is not None and runnable.document.kept:
            node = runnable.operation.node
            result = self._plans.execute(runnable.document.node, node, runnable.asked.variables, context, event)
        if result is None:
            result = execute_subscription_event(executor.build_per_event_executor(event))
        return result if isinstance(result, ExecutionResult) else await result

    async def source(self, runnable: Runnable, context: object, request_id: str) -> object:
        """What the subscription's field gives to read events from. Raises OperationRefused."""
        source: Any = create_source_event_stream(self.executor(runnable, context))
        if not isinstance(source, ExecutionResult) and hasattr(source, "__await__"):
            source = await source
        if isinstance(source, ExecutionResult):
            raise OperationRefused(self.body(source, runnable, request_id)["errors"])
        return source

    def body(self, result: ExecutionResult, runnable: Runnable, request_id: str) -> dict[str, Any]:
        """A result as it is answered."""
        if not result.errors:
            return {"data": result.data}
        started = result.data is not None or any(error.path is not None for error in result.errors)
        if not started:
            wrong = _wrong_variables(self.schema, runnable.operation.node, runnable.asked.variables)
            return {"errors": wrong or [document_error(error, "BAD_USER_INPUT") for error in result.errors]}
        return {"errors": [field_error(error, request_id) for error in result.errors], "data": result.data}


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
