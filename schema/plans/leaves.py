"""Scalars and enums of an answer, each written by a function made for its type."""

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLError,
    GraphQLID,
    GraphQLLeafType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLString,
    Undefined,
    is_non_null_type,
)
from graphql.execution.executor import Executor
from strawberry.types.base import StrawberryOptional
from strawberry.types.scalar import identity

from schema.plans.output import Complete, null
from schema.plans.plain_values import PLAIN, raised
from schema.plans.run import Path, Run

_AS_IT_IS = {GraphQLString: str, GraphQLID: str, GraphQLBoolean: bool}


def leaf(type_: GraphQLLeafType, required: str | None) -> Complete:
    """A scalar or enum; `required` is what is said of a null that may not be one."""
    coerce = type_.coerce_output_value

    def complete(value: Any, path: Path, run: Run) -> Any:
        if value.__class__ not in PLAIN:
            raised(value)
        if value is None or value is Undefined:
            return null(required)
        coerced = coerce(value)
        if coerced is None or coerced is Undefined:
            # In graphql-core's words.
            return Executor.complete_leaf_value(type_, value)
        return coerced

    return complete


def quick_output(type_: GraphQLOutputType, python_type: object) -> tuple[type | None, Callable[[Any], Any] | None]:
    """For values of which class little has to be done, and what; none where all is done by `leaf`."""
    if is_non_null_type(type_):
        type_ = type_.of_type
    if isinstance(type_, GraphQLEnumType):
        return _members(type_)
    if not isinstance(type_, GraphQLScalarType):
        return None, None
    if type_ in _AS_IT_IS:
        return _AS_IT_IS[type_], None
    if type_.coerce_output_value is identity:
        return int, None
    if isinstance(python_type, StrawberryOptional):
        python_type = python_type.of_type
    return (datetime, type_.coerce_output_value) if python_type is datetime else (None, None)


def _members(type_: GraphQLEnumType) -> tuple[type | None, Callable[[Any], Any] | None]:
    class_: Any = getattr(type_, "wrapped_cls", None)
    if not isinstance(class_, type) or not issubclass(class_, Enum):
        return None, None
    try:
        return class_, {member: type_.coerce_output_value(member) for member in class_}.__getitem__
    except (GraphQLError, ValueError):
        return None, None
