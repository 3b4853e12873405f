"""Values that stand in a document, made into functions of the variables: what they give is new for each execution."""

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from types import NoneType
from typing import Any

from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution.values import VariableValues
from graphql.type import is_required_input_field
from graphql.utilities.coerce_input_value import coerce_default_value, coerce_input_literal

# From the coerced variables; Undefined where the value is wrong, or is a variable without one.
Literal = Callable[[dict[str, Any]], Any]

# Shared by all executions, these cannot be changed by one of them.
_CONSTANT_CLASSES = (NoneType, str, int, float, bool, bytes, datetime, Enum)


def literal(node: ValueNode, type_: GraphQLInputType) -> Literal:
    """What gives the value of this node at a place of this type, as `coerce_input_literal` of graphql-core does."""
    if isinstance(node, VariableNode):
        return _variable(node.name.value, required=is_non_null_type(type_))
    if is_non_null_type(type_):
        return _constant(Undefined) if isinstance(node, NullValueNode) else literal(node, type_.of_type)
    if isinstance(node, NullValueNode):
        return _constant(None)
    if is_list_type(type_):
        return _list(node, type_.of_type)
    if is_input_object_type(type_):
        if isinstance(node, ObjectValueNode) and _is_plain(type_):
            return _input_object(node, type_)
        return _by_core(node, type_)
    if isinstance(node, ListValueNode | ObjectValueNode):
        return _by_core(node, type_)
    value = coerce_input_literal(node, type_, VariableValues({}, {}))
    return _constant(value) if isinstance(value, _CONSTANT_CLASSES) else _by_core(node, type_)


def _by_core(node: ValueNode, type_: GraphQLInputType) -> Literal:
    # The sources of variables only matter to scalars that read nodes in the newer way, and those get none of the variables.
    return lambda variables: coerce_input_literal(node, type_, VariableValues({}, variables))


def _constant(value: Any) -> Literal:
    return lambda _variables: value


def _variable(name: str, *, required: bool) -> Literal:
    def value(variables: dict[str, Any]) -> Any:
        found = variables.get(name, Undefined)
        return Undefined if required and found is None else found

    return value


def _list(node: ValueNode, item_type: GraphQLInputType) -> Literal:
    if not isinstance(node, ListValueNode):
        one = literal(node, item_type)

        def of_one(variables: dict[str, Any]) -> Any:
            item = one(variables)
            return Undefined if item is Undefined else [item]

        return of_one
    # A variable that was not given is null in a list.
    items = [
        (literal(item, item_type), isinstance(item, VariableNode) and not is_non_null_type(item_type))
        for item in node.values
    ]

    def values(variables: dict[str, Any]) -> Any:
        made: list[Any] = []
        for item, may_be_missing in items:
            value = item(variables)
            if value is Undefined:
                if not may_be_missing:
                    return Undefined
                value = None
            made.append(value)
        return made

    return values


def _is_plain(type_: GraphQLInputObjectType) -> bool:
    return not type_.is_one_of and type_.out_type is GraphQLInputObjectType.out_type


def _input_object(node: ObjectValueNode, type_: GraphQLInputObjectType) -> Literal:
    nodes = {field.name.value: field.value for field in node.fields}
    if not nodes.keys() <= type_.fields.keys():
        return _constant(Undefined)
    fields = [
        (
            field.out_name or name,
            literal(nodes[name], field.type) if name in nodes else _constant(Undefined),
            # What may be left out, by the document or by a variable without a value.
            name not in nodes or isinstance(nodes[name], VariableNode),
            is_required_input_field(field),
            coerce_default_value(field),
        )
        for name, field in type_.fields.items()
    ]

    def value(variables: dict[str, Any]) -> Any:
        made: dict[str, Any] = {}
        for out_name, given, may_be_missing, required, default in fields:
            one = given(variables)
            if one is Undefined:
                if required or not may_be_missing:
                    return Undefined
                if default is Undefined:
                    continue
                one = default
            made[out_name] = one
        return made

    return value
