"""What a valid operation may cost to answer: one for each field (more for one that is dear to make), times the length of the
lists it stands in.

A list is as long as `first` or `last` says, or as the longest list in its arguments; a list directly inside an object
that was asked for with such an argument (the `nodes` of a connection, the `results` of a bulk mutation) is as long as
that. The operation is measured once and priced with each request's variables.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SchemaMetaFieldDef,
    SelectionNode,
    SelectionSetNode,
    TypeMetaFieldDef,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_interface_type,
    is_list_type,
    is_object_type,
)

from web.graphql_limits import LimitReached, Limits

_PAGE_ARGUMENTS = ("first", "last")
_META_FIELDS = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}


@dataclass(slots=True)
class _Measured:
    """A field, or a group of fields, as far as its price goes."""

    children: list["_Measured"]
    costs: int
    is_list: bool
    assumed: int
    paged: bool
    arguments: list[ValueNode]


class Price:
    """The price of one operation, by the variables that it is run with."""

    def __init__(
        self,
        schema: GraphQLSchema,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        limits: Limits,
    ) -> None:
        self._limits = limits
        self._limit = limits.cost_limit(operation.operation)
        self._schema = schema
        self._fragments = fragments
        self._measured_fragments: dict[str, _Measured] = {}
        self._defaults = {
            node.variable.name.value: node.default_value
            for node in operation.variable_definitions or ()
            if node.default_value is not None
        }
        # The fields whose length the variables tell, and the price for what they told last: mostly they tell the same again.
        self._varying: list[_Measured] = []
        self._last: tuple[list[int | None], int] | None = None
        root = schema.get_root_type(operation.operation)
        self._root = self._group(root, operation.selection_set)

    def check(self, variables: Mapping[str, Any]) -> int:
        """What the answer costs; of a subscription, each of its events. Raises LimitReached where that is too much."""
        lengths = [self._length(measured, variables) for measured in self._varying]
        if self._last is not None and self._last[0] == lengths:
            given = self._last[1]
        else:
            given = self._cost(self._root, None, variables, {})
            self._last = lengths, given
        limit, allowed = self._limit
        if given > allowed:
            raise LimitReached(limit, allowed, given)
        return given

    def _group(self, parent: GraphQLNamedType | None, selections: SelectionSetNode | None) -> _Measured:
        children = [self._measure(parent, selection) for selection in selections.selections] if selections else []
        return _Measured(children, 0, is_list=False, assumed=1, paged=False, arguments=[])

    def _measure(self, parent: GraphQLNamedType | None, selection: SelectionNode) -> _Measured:
        if isinstance(selection, FieldNode):
            return self._field(parent, selection)
        if isinstance(selection, InlineFragmentNode):
            condition = selection.type_condition
            return self._group(
                self._schema.get_type(condition.name.value) if condition else parent, selection.selection_set
            )
        name = cast(FragmentSpreadNode, selection).name.value
        if name not in self._measured_fragments:
            fragment = self._fragments[name]
            self._measured_fragments[name] = self._group(
                self._schema.get_type(fragment.type_condition.name.value), fragment.selection_set
            )
        return self._measured_fragments[name]

    def _field(self, parent: GraphQLNamedType | None, node: FieldNode) -> _Measured:
        name = node.name.value
        definition = _definition(parent, name)
        if definition is None or parent is None:  # __typename
            return _Measured([], 1, is_list=False, assumed=1, paged=False, arguments=[])
        paged = any(argument in definition.args for argument in _PAGE_ARGUMENTS)
        measured = self._group(get_named_type(definition.type), node.selection_set)
        measured.costs = self._limits.dear_fields.get(f"{parent.name}.{name}", 1)
        measured.is_list = is_list_type(get_nullable_type(definition.type))
        measured.assumed = self._limits.known_lists.get(f"{parent.name}.{name}", self._limits.plain_list)
        measured.paged = paged
        measured.arguments = [
            argument.value for argument in node.arguments or () if not paged or argument.name.value in _PAGE_ARGUMENTS
        ]
        if any(_names_variables(argument) for argument in measured.arguments):
            self._varying.append(measured)
        return measured

    def _cost(
        self,
        measured: _Measured,
        inherited: int | None,
        variables: Mapping[str, Any],
        known: dict[tuple[int, int | None], int],
    ) -> int:
        # Fragments spread in many places are the same object: priced once for each length that they stand in.
        key = (id(measured), inherited)
        if key not in known:
            times = 1
            below = inherited
            if measured.costs:
                length = self._length(measured, variables)
                below = None if measured.is_list else length
                if measured.is_list:
                    length = inherited if length is None else length
                    times = measured.assumed if length is None else length
            known[key] = measured.costs + times * sum(
                self._cost(child, below, variables, known) for child in measured.children
            )
        return known[key]

    def _length(self, measured: _Measured, variables: Mapping[str, Any]) -> int | None:
        if measured.paged:
            given = [self._number(node, variables) for node in measured.arguments]
            return min(max(given, default=self._limits.page_default), self._limits.page_max)
        lengths = [length for node in measured.arguments if (length := self._longest(node, variables)) is not None]
        return min(max(lengths), self._limits.list_max) if lengths else None

    def _number(self, node: ValueNode, variables: Mapping[str, Any]) -> int:
        if isinstance(node, VariableNode):
            name = node.name.value
            if name in variables:
                value = variables[name]
                return max(value, 0) if isinstance(value, int) else self._limits.page_default
            default = self._defaults.get(name)
            return self._limits.page_default if default is None else self._number(default, variables)
        if isinstance(node, IntValueNode):
            return max(int(node.value), 0)
        return self._limits.page_default

    def _longest(self, node: ValueNode, variables: Mapping[str, Any]) -> int | None:
        if isinstance(node, VariableNode):
            name = node.name.value
            if name in variables:
                return _longest_in(variables[name])
            default = self._defaults.get(name)
            return None if default is None else self._longest(default, variables)
        if isinstance(node, ListValueNode):
            return len(node.values)
        if isinstance(node, ObjectValueNode):
            lengths = [
                length for member in node.fields if (length := self._longest(member.value, variables)) is not None
            ]
            return max(lengths, default=None)
        return None


def _definition(parent: GraphQLNamedType | None, name: str) -> GraphQLField | None:
    if name in _META_FIELDS:
        return _META_FIELDS[name]
    if is_object_type(parent) or is_interface_type(parent):
        return parent.fields.get(name)
    return None


def _names_variables(node: ValueNode) -> bool:
    if isinstance(node, ListValueNode):
        return False  # as long as it says, whatever is in it
    if isinstance(node, ObjectValueNode):
        return any(_names_variables(member.value) for member in node.fields)
    return isinstance(node, VariableNode)


def _longest_in(value: object) -> int | None:
    """The list that a variable is or holds directly; deeper ones belong to its items, not to the answer."""
    if isinstance(value, list):
        return len(value)
    if isinstance(value, dict):
        return max((len(member) for member in value.values() if isinstance(member, list)), default=None)
    return None
