"""What a plan keeps of its document: enough to make the `info` of graphql-core for a resolver that asks for it."""

from collections.abc import Callable, Mapping
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationDefinitionNode,
)
from graphql.execution.values import VariableValues
from graphql.pyutils import Path, gather_with_cancel, is_awaitable
from graphql.type import GraphQLResolveInfoHelpers

from schema.plans.run import Run, leave_behind
from schema.plans.variables import Variables


class PlannedOperation:
    """One operation of a validated document. Raises NotCompiled for variables that only graphql-core coerces."""

    __slots__ = ("document", "fragments", "node", "schema", "variables")

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, node: OperationDefinitionNode) -> None:
        self.schema = schema
        self.document = document
        self.node = node
        self.fragments = {
            part.name.value: part for part in document.definitions if isinstance(part, FragmentDefinitionNode)
        }
        self.variables = Variables(schema, node)

    def variable_values(self, inputs: Mapping[str, Any], coerced: dict[str, Any]) -> VariableValues:
        """The variables as graphql-core has them."""
        return self.variables.values(inputs, coerced)

    def info_of(
        self, field: GraphQLField, nodes: list[FieldNode], parent: GraphQLObjectType
    ) -> Callable[[Run | None, Path | None], GraphQLResolveInfo]:
        """What makes the info of one field, for a run and a place in its answer."""

        def info(run: Run | None, path: Path | None) -> GraphQLResolveInfo:
            values = VariableValues({}, {}) if run is None else run.variable_values
            return GraphQLResolveInfo(
                nodes[0].name.value,
                nodes,
                field.type,
                parent,
                path,  # type: ignore[arg-type]
                self.schema,
                self.fragments,
                None if run is None else run.root,
                self.node,
                values,
                None if run is None else run.context,
                is_awaitable,
                None,
                _HELPERS,
            )

        return info


async def _gather(values: Any) -> Any:
    return await gather_with_cancel(*values)


def _track(values: Any) -> None:
    pending = [value for value in values if is_awaitable(value)]
    if pending:
        leave_behind(pending)


_HELPERS = GraphQLResolveInfoHelpers(gather=_gather, track=_track)
