"""Plans: an operation of a validated document, compiled once, and executed as often as it is asked for.

Everything is decided when the plan is made. Where it says no to a request (variables that are wrong, say), nothing of the
request was executed, and graphql-core executes it instead.
"""

from collections.abc import Awaitable, Mapping
from types import CoroutineType
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
)

from schema.plans.compiler import Compiler, Output, conditions_of
from schema.plans.operation import PlannedOperation
from schema.plans.resolvers import Resolvers
from schema.plans.run import Run
from schema.plans.uncompiled import NotCompiled

# Variables of @skip and @include: each doubles the selections that there can be.
_CONDITIONS_MAX = 3


class Plan:
    """One operation, compiled."""

    __slots__ = ("_conditions", "_fields_max", "_operation", "_outputs", "_resolvers", "fields")

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        resolvers: Resolvers,
        fields_max: int,
    ) -> None:
        self._operation = PlannedOperation(schema, document, operation)
        self._resolvers = resolvers
        self._fields_max = fields_max
        taken = self._operation.variables.names
        self._conditions = tuple(name for name in conditions_of(document) if name in taken)
        if len(self._conditions) > _CONDITIONS_MAX:
            raise NotCompiled("more conditions than selections are made for")
        self._outputs: dict[tuple[bool, ...], Output | None] = {}
        # How many fields were compiled, all selections together.
        self.fields = 0
        if not self._conditions:
            self._output(())

    def execute(
        self, inputs: Mapping[str, Any], context: object, root: object = None
    ) -> ExecutionResult | Awaitable[ExecutionResult] | None:
        """The result of one execution; None where nothing was executed, and graphql-core is to do it.

        `root` is what the fields of the root are resolved of: an event, of a subscription.
        """
        variables = self._operation.variables.coerced(inputs)
        if variables is None:
            return None
        conditions = tuple(variables.get(name) for name in self._conditions)
        if not all(value.__class__ is bool for value in conditions):
            return None
        output = self._output(conditions)  # type: ignore[arg-type]
        if output is None:
            return None
        run = Run(self._operation, context, inputs, variables, root)
        data: Any = None
        try:
            data = output.select(run.root, None, run)
        except GraphQLError as error:
            run.add(error, None)
        if data.__class__ is CoroutineType:
            return _awaited(data, run)
        return ExecutionResult(data, run.errors or None)

    def _output(self, conditions: tuple[bool, ...]) -> Output | None:
        try:
            return self._outputs[conditions]
        except KeyError:
            pass
        try:
            values = dict(zip(self._conditions, conditions, strict=True))
            compiler = Compiler(self._operation, self._resolvers, values, self._fields_max)
            output = self._outputs[conditions] = compiler.output()
            self.fields += output.fields
        except NotCompiled:
            if not self._conditions:
                raise
            output = self._outputs[conditions] = None
        return output


async def _awaited(data: Awaitable[dict[str, Any]], run: Run) -> ExecutionResult:
    try:
        made = await data
    except GraphQLError as error:
        run.add(error, None)
        made = None
    return ExecutionResult(made, run.errors or None)
