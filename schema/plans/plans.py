"""The plans of a schema's operations, made when an operation is first executed, and kept as long as there is room."""

from collections import OrderedDict
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import DocumentNode, ExecutionResult, GraphQLSchema, OperationDefinitionNode
from strawberry.schema import Schema

from schema.plans.plan import Plan
from schema.plans.resolvers import Resolvers
from schema.plans.uncompiled import NotCompiled

FIELDS_MAX = 2_000
KEPT_BYTES_MAX = 16_000_000
# As measured; a plan keeps the nodes of its document.
_BYTES_OF_A_PLAN = 4_000
_BYTES_OF_A_FIELD = 4_000
_BYTES_OF_A_CHARACTER = 120


@dataclass(slots=True)
class _Kept:
    operation: OperationDefinitionNode
    plan: Plan | None
    document_bytes: int
    bytes: int = 0


class Plans:
    """The plans of one schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        strawberry_schema = getattr(schema, "_strawberry_schema", None)
        try:
            if not isinstance(strawberry_schema, Schema):
                raise NotCompiled("a schema that is not Strawberry's")
            self._resolvers: Resolvers | None = Resolvers(strawberry_schema)
        except NotCompiled:
            self._resolvers = None
        # By the identity of the operation's node, which is kept, so that no other can have it.
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._kept_bytes = 0

    def execute(
        self,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        inputs: Mapping[str, Any],
        context: object,
        root: object = None,
    ) -> ExecutionResult | Awaitable[ExecutionResult] | None:
        """The result of an operation of a validated document; None where nothing was executed, and graphql-core is to do it.

        Of a subscription, that of one event, which is the `root`.
        """
        kept = self._kept.get(id(operation))
        if kept is None:
            chars = 0 if document.loc is None else document.loc.end
            kept = _Kept(operation, self.plan(document, operation), chars * _BYTES_OF_A_CHARACTER)
            self._keep(kept)
        else:
            self._kept.move_to_end(id(operation))
        if kept.plan is None:
            return None
        fields = kept.plan.fields
        try:
            return kept.plan.execute(inputs, context, root)
        finally:
            if kept.plan.fields != fields:
                self._keep(kept)

    def plan(self, document: DocumentNode, operation: OperationDefinitionNode) -> Plan | None:
        """A new plan; None for an operation that is not compiled."""
        if self._resolvers is None:
            return None
        try:
            return Plan(self.schema, document, operation, self._resolvers, FIELDS_MAX)
        except NotCompiled:
            return None

    @property
    def kept_bytes(self) -> int:
        """About how much memory the plans take that are kept."""
        return self._kept_bytes

    def _keep(self, kept: _Kept) -> None:
        """Keep it, new or grown, as what was used last; what takes more than all the room is not kept."""
        key = id(kept.operation)
        before = self._kept.pop(key, None)
        if before is not None:
            self._kept_bytes -= before.bytes
        fields = 0 if kept.plan is None else kept.plan.fields
        kept.bytes = kept.document_bytes + _BYTES_OF_A_PLAN + fields * _BYTES_OF_A_FIELD
        if kept.bytes > KEPT_BYTES_MAX:
            return
        self._kept[key] = kept
        self._kept_bytes += kept.bytes
        while self._kept and self._kept_bytes > KEPT_BYTES_MAX:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= oldest.bytes
