"""The selections of an operation compiled: which fields an object's output has, and the function that makes each.

Which nodes make up a field (fragments, merging, @skip and @include) is collected by graphql-core's own function, once, for the
values that the conditions have. What a selection costs to compile is bounded by the fields it may have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLOutputType,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution.collect_fields import (
    FieldDetailsList,
    FragmentDetails,
    GroupedFieldSet,
    collect_fields,
    collect_subfields,
)
from graphql.execution.values import VariableValues
from strawberry.types.base import StrawberryObjectDefinition

from schema.plans.arguments import arguments
from schema.plans.leaves import leaf, quick_output
from schema.plans.operation import PlannedOperation
from schema.plans.output import Complete, Select, abstract, list_, object_
from schema.plans.resolvers import Resolvers
from schema.plans.run import InfoParts
from schema.plans.selections import (
    Place,
    SelectedField,
    constant,
    method,
    read_of_object,
    selection,
    selection_in_turn,
)
from schema.plans.uncompiled import NotCompiled

_CONDITIONAL = ("skip", "include")


@dataclass(frozen=True, slots=True)
class Output:
    """What makes the data of an answer, and how many fields it was compiled of."""

    select: Select
    fields: int


class Compiler:
    """Compiles the selections of one operation, for one set of values of its conditions."""

    def __init__(
        self, operation: PlannedOperation, resolvers: Resolvers, conditions: Mapping[str, bool], fields_max: int
    ) -> None:
        self._operation = operation
        self._schema = operation.schema
        self._resolvers = resolvers
        self._conditions = VariableValues({}, dict(conditions))
        self._fragments = {name: FragmentDetails(node) for name, node in operation.fragments.items()}
        self._fields_max = fields_max
        self._fields = 0
        # By type and nodes: what fields of different types select alike is compiled once.
        self._selections: dict[tuple[str, tuple[int, ...]], Select] = {}

    def output(self) -> Output:
        """The whole of it. Raises NotCompiled."""
        node = self._operation.node
        root = self._schema.get_root_type(node.operation)
        if root is None:
            raise NotCompiled("an operation that the schema does not have")
        try:
            collected = collect_fields(self._schema, self._fragments, self._conditions, root, node)
            fields = self._selected(root, collected.grouped_field_set)
        except (GraphQLError, RecursionError):
            raise NotCompiled("a selection that is not collected") from None
        select = selection_in_turn(fields) if node.operation is OperationType.MUTATION else selection(fields)
        return Output(select, self._fields)

    def _selected(self, parent: GraphQLObjectType, groups: GroupedFieldSet) -> list[SelectedField]:
        return [self._field(parent, key, details) for key, details in groups.items()]

    def _field(self, parent: GraphQLObjectType, key: str, details: FieldDetailsList) -> SelectedField:
        self._fields += 1
        if self._fields > self._fields_max:
            raise NotCompiled("more fields than are compiled")
        nodes = [detail.node for detail in details]
        name = nodes[0].name.value
        if name == "__typename":
            return constant(key, parent.name)
        field = parent.fields.get(name)
        if field is None:
            raise NotCompiled("introspection")
        resolver = self._resolvers.of(field)
        complete = self._complete(field.type, field, parent, details)
        place = Place(key, parent.name, nodes, is_non_null_type(field.type))
        read = resolver.read
        if read is not None:
            return read_of_object(read, place, complete, *quick_output(field.type, resolver.field.type))
        info = InfoParts(resolver.field, self._operation.info_of(field, nodes, parent))
        return method(resolver, arguments(field, nodes[0]), place, info, complete)

    def _complete(
        self, type_: GraphQLOutputType, field: GraphQLField, parent: GraphQLObjectType, details: FieldDetailsList
    ) -> Complete:
        nodes = [detail.node for detail in details]
        name = nodes[0].name.value
        required = None
        if is_non_null_type(type_):
            type_ = type_.of_type
            required = f"Cannot return null for non-nullable field {parent}.{name}."
        if is_list_type(type_):
            item = self._complete(type_.of_type, field, parent, details)
            not_one = f"Expected Iterable, but did not find one for field '{parent}.{name}'."
            return list_(item, nodes, not_one, required, item_required=is_non_null_type(type_.of_type))
        if is_leaf_type(type_):
            return leaf(type_, required)
        if is_object_type(type_):
            return self._object(type_, details, required)
        if not is_abstract_type(type_):
            raise NotCompiled(f"an output of type {type_}")
        definition: Any = type_.extensions.get("strawberry-definition")
        if definition is None or (isinstance(type_, GraphQLInterfaceType) and definition.resolve_type):
            raise NotCompiled("a type that resolves its types in its own way")
        objects = {
            possible.name: self._object(possible, details, None) for possible in self._schema.get_possible_types(type_)
        }
        info = self._operation.info_of(field, nodes, parent)(None, None)
        return abstract(self._schema, type_, details, info, objects, required)

    def _object(self, type_: GraphQLObjectType, details: FieldDetailsList, required: str | None) -> Complete:
        definition = type_.extensions.get("strawberry-definition")
        if not isinstance(definition, StrawberryObjectDefinition) or definition.is_type_of is not None:
            raise NotCompiled("a type that knows its objects in its own way")
        key = (type_.name, tuple(id(detail.node) for detail in details))
        select = self._selections.get(key)
        if select is None:
            collected = collect_subfields(
                self._schema, self._fragments, self._conditions, self._operation.node, type_, details
            )
            select = self._selections[key] = selection(self._selected(type_, collected.grouped_field_set))
        return object_(type_, details, select, required)


def conditions_of(document: DocumentNode) -> tuple[str, ...]:
    """The variables that @skip and @include of the document ask. Raises NotCompiled for any other directive in it."""
    found: dict[str, None] = {}
    for definition in document.definitions:
        if not isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode) or definition.directives:
            raise NotCompiled("a definition with a directive")
        if isinstance(definition, FragmentDefinitionNode) and definition.variable_definitions:
            raise NotCompiled("a fragment with variables")
        _add_conditions(definition.selection_set, found)
    return tuple(found)


def _add_conditions(selections: SelectionSetNode, found: dict[str, None]) -> None:
    for node in selections.selections:
        for directive in node.directives or ():
            if directive.name.value not in _CONDITIONAL:
                raise NotCompiled(f"the directive {directive.name.value}")
            found.update((value.name.value, None) for value in _variables(directive.arguments or ()))
        if isinstance(node, FieldNode | InlineFragmentNode) and node.selection_set is not None:
            _add_conditions(node.selection_set, found)
        elif isinstance(node, FragmentSpreadNode) and node.arguments:
            raise NotCompiled("a fragment with arguments")


def _variables(arguments: Any) -> list[VariableNode]:
    return [argument.value for argument in arguments if isinstance(argument.value, VariableNode)]
