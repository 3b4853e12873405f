"""The variables of an operation, coerced by functions made for their types.

They only say that something is wrong, not what: the request is then graphql-core's, whose words the client gets. What
is rare is coerced by graphql-core's own functions.
"""

from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLID,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLSchema,
    GraphQLString,
    OperationDefinitionNode,
    Undefined,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource
from graphql.type import is_required_input_field
from graphql.utilities.coerce_input_value import coerce_default_value, coerce_input_value

from schema.plans.literals import Literal, literal
from schema.plans.uncompiled import NotCompiled

# Gives Undefined for a value that is wrong.
Coerce = Callable[[Any], Any]


class Variables:
    """The variables that an operation takes."""

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        self._signatures: dict[str, GraphQLVariableSignature] = {}
        self._parts: list[tuple[str, Coerce, Literal | None, bool]] = []
        for definition in operation.variable_definitions or ():
            signature = get_variable_signature(schema, definition)
            if not isinstance(signature, GraphQLVariableSignature):
                raise NotCompiled("a variable of no input type")
            _must_end(signature.type)
            name, node = signature.name, definition.default_value
            default = None if node is None else literal(node, signature.type)
            if default is not None and not _is_right(default):
                raise NotCompiled("a default that is wrong")
            self._signatures[name] = signature
            self._parts.append((name, coerce(signature.type), default, is_non_null_type(signature.type)))

    @property
    def names(self) -> Collection[str]:
        """What they are called."""
        return self._signatures.keys()

    def coerced(self, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
        """The values that resolvers see; None where something is wrong."""
        values: dict[str, Any] = {}
        try:
            for name, coerce, default, required in self._parts:
                value = inputs.get(name, Undefined)
                if value is not Undefined:
                    value = coerce(value)
                elif default is not None:
                    value = default({})
                elif not required:
                    continue
                if value is Undefined:
                    return None
                values[name] = value
        except Exception:  # noqa: BLE001 - whatever it is, it is said by graphql-core: nothing has been executed
            return None
        return values

    def values(self, inputs: Mapping[str, Any], coerced: dict[str, Any]) -> VariableValues:
        """The same as graphql-core has it: with where each value came from."""
        sources = {
            name: VariableValueSource(signature, inputs[name]) if name in inputs else VariableValueSource(signature)
            for name, signature in self._signatures.items()
        }
        return VariableValues(sources, coerced)


def coerce(type_: GraphQLInputType) -> Coerce:
    """What coerces a value to this type."""
    if is_non_null_type(type_):
        inner = coerce(type_.of_type)
        return lambda value: Undefined if value is None else inner(value)
    if is_list_type(type_):
        return _list(type_, type_.of_type)
    if is_input_object_type(type_) and not type_.is_one_of and _is_made_as_is(type_):
        return _input_object(type_)
    if type_ is GraphQLString or type_ is GraphQLID:
        return _exactly(str, type_)
    if type_ is GraphQLBoolean:
        return _exactly(bool, type_)
    if isinstance(type_, GraphQLEnumType):
        return _enum(type_)
    return _by_core(type_)


def _by_core(type_: GraphQLInputType) -> Coerce:
    return lambda value: coerce_input_value(value, type_)


def _exactly(class_: type, type_: GraphQLInputType) -> Coerce:
    def coerced(value: Any) -> Any:
        return value if value.__class__ is class_ else coerce_input_value(value, type_)

    return coerced


def _enum(type_: GraphQLEnumType) -> Coerce:
    members = {name: coerce_input_value(name, type_) for name in type_.values}
    if not all(isinstance(member, Enum) for member in members.values()):
        return _by_core(type_)

    def coerced(value: Any) -> Any:
        if value.__class__ is str and value in members:
            return members[value]
        return coerce_input_value(value, type_)

    return coerced


def _list(type_: GraphQLInputType, item_type: GraphQLInputType) -> Coerce:
    item = coerce(item_type)
    text_alone = is_non_null_type(item_type) and item_type.of_type is GraphQLString

    def coerced(value: Any) -> Any:
        if value is None:
            return None
        if value.__class__ is not list:
            return coerce_input_value(value, type_)
        if text_alone and all(one.__class__ is str for one in value):
            return value.copy()
        items: list[Any] = []
        for one in value:
            made = item(one)
            if made is Undefined:
                return Undefined
            items.append(made)
        return items

    return coerced


def _is_made_as_is(type_: GraphQLInputObjectType) -> bool:
    return type_.out_type is GraphQLInputObjectType.out_type


def _input_object(type_: GraphQLInputObjectType) -> Coerce:
    fields = [
        (name, field.out_name or name, coerce(field.type), is_required_input_field(field), coerce_default_value(field))
        for name, field in type_.fields.items()
    ]
    known = frozenset(type_.fields)

    def coerced(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, dict) or not known.issuperset(value):
            return Undefined
        made: dict[str, Any] = {}
        for name, out_name, coerce, required, default in fields:
            given = value.get(name, Undefined)
            if given is not Undefined:
                given = coerce(given)
                if given is Undefined:
                    return Undefined
                made[out_name] = given
            elif required:
                return Undefined
            elif default is not Undefined:
                made[out_name] = default
        return made

    return coerced


def _is_right(default: Literal) -> bool:
    try:
        return default({}) is not Undefined
    except Exception:  # noqa: BLE001 - whatever it is, it is said by graphql-core
        return False


def _must_end(type_: GraphQLInputType, above: tuple[str, ...] = ()) -> None:
    """Refuse input types that hold themselves: values of these nest as deep as the client likes."""
    while is_non_null_type(type_) or is_list_type(type_):
        type_ = type_.of_type
    if is_input_object_type(type_):
        if type_.name in above:
            raise NotCompiled("an input type that holds itself")
        for field in type_.fields.values():
            _must_end(field.type, (*above, type_.name))
