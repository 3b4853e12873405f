"""An operation executed both ways, and what each of them gave, to be compared."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphql import (
    ExecutionResult,
    FieldsOnCorrectTypeRule,
    GraphQLSchema,
    OperationDefinitionNode,
    OverlappingFieldsCanBeMergedRule,
    PossibleFragmentSpreadsRule,
    ValuesOfCorrectTypeRule,
    VariablesInAllowedPositionRule,
    execute,
    parse,
    validate,
)

from schema.plans.plans import Plans
from tests.schema.plans.documents import Asked

# Core says which limit of errors was reached; the endpoint uses this one.
_ERRORS_MAX = 10
# Of the rules of validation those that a random document may break.
_RULES = (
    FieldsOnCorrectTypeRule,
    OverlappingFieldsCanBeMergedRule,
    PossibleFragmentSpreadsRule,
    ValuesOfCorrectTypeRule,
    VariablesInAllowedPositionRule,
)


@dataclass(frozen=True)
class Both:
    """What came of a request: compiled (None where graphql-core has to do it) and by graphql-core."""

    compiled: str | None
    core: str


def shown(result: ExecutionResult) -> str:
    """All of a result that a client can see, and what its errors came from."""
    errors = [
        {
            "message": error.message,
            "path": error.path,
            "locations": [list(location) for location in error.locations or ()],
            "extensions": error.extensions,
            "cause": repr(error.original_error),
            "cause of that": repr(getattr(error.original_error, "original_error", None)),
        }
        for error in result.errors or ()
    ]
    return json.dumps({"data": result.data, "errors": errors}, indent=1, default=repr)


async def quiet() -> None:
    """Wait until nothing is left of what an execution began."""
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0)


async def both(
    schema: GraphQLSchema,
    plans: Plans,
    asked: Asked,
    make_context: Callable[[], Any],
    after: Callable[[Any], Any],
    *,
    alone: bool = True,
    root: object = None,
) -> Both | None:
    """Execute a request both ways, each with a context of its own; None for a document that is not valid.

    `after` gives what is to be compared of the context; `alone` where the loop runs nothing else, to wait for what was begun.
    """
    document = parse(asked.query)
    if validate(schema, document, _RULES, max_errors=1):
        return None
    operations = [part for part in document.definitions if isinstance(part, OperationDefinitionNode)]
    operation = next(
        one
        for one in operations
        if asked.operation_name is None or (one.name and one.name.value == asked.operation_name)
    )
    context = make_context()
    plan = plans.plan(document, operation)
    compiled = None if plan is None else await _outcome(lambda: plan.execute(asked.variables, context, root), alone)
    if compiled is not None:
        compiled += str(after(context))
    context = make_context()
    core = await _outcome(
        lambda: execute(
            schema,
            document,
            root,
            context_value=context,
            variable_values=asked.variables,
            operation_name=asked.operation_name,
            max_coercion_errors=_ERRORS_MAX,
        ),
        alone,
    )
    return Both(compiled, f"{core}{after(context)}")


async def _outcome(run: Callable[[], Any], alone: bool) -> str | None:
    try:
        result = run()
        if result is not None and not isinstance(result, ExecutionResult):
            result = await result
    except Exception as error:  # noqa: BLE001 - is compared, whatever it is
        return f"raised {error!r}"
    if alone:
        await quiet()
    return None if result is None else shown(result)
