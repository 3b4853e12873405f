"""How the fields of Strawberry's types get their values: an attribute read, or a method called with its arguments.

A field that does anything more (an extension, a permission, a handler of exceptions) is not compiled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import isasyncgenfunction
from operator import attrgetter
from typing import Any, cast

from graphql import GraphQLField
from strawberry.schema import Schema
from strawberry.types.field import StrawberryField
from strawberry.types.info import Info

from schema.plans.conversion import Conversion, Convert
from schema.plans.uncompiled import NotCompiled

_MADE_BY = "strawberry.schema.schema_converter"


@dataclass(frozen=True, slots=True)
class Resolver:
    """A function that gives the value; a coroutine to await where it is asynchronous."""

    function: Callable[..., Any]
    is_async: bool
    takes_source: bool
    # The parameters by the name of which the function takes the object, and the info.
    source_names: tuple[str, ...]
    info_name: str | None
    # Each argument's name in GraphQL, its parameter, and how its value is made.
    arguments: tuple[tuple[str, str, Convert], ...]
    field: StrawberryField

    @property
    def read(self) -> Callable[[Any], Any] | None:
        """The function, where it needs nothing but the object."""
        needs_more = self.is_async or self.source_names or self.info_name or self.arguments
        return self.function if self.takes_source and not needs_more else None


class Resolvers:
    """The resolvers of one schema."""

    def __init__(self, schema: Schema) -> None:
        config = schema.config
        if config.info_class is not Info or config.default_resolver is not getattr:
            raise NotCompiled("a schema with its own info or default resolver")
        if schema.schema_converter.exception_handlers:
            raise NotCompiled("a schema with handlers of exceptions")
        self._conversion = Conversion(config, schema.schema_converter.scalar_registry)
        # By the identity of fields, which live as long as their schema.
        self._known: dict[int, Resolver] = {}

    def of(self, field: GraphQLField) -> Resolver:
        """How the field gets its value. Raises NotCompiled."""
        known = self._known.get(id(field))
        if known is None:
            known = self._known[id(field)] = self._new(field)
        return known

    def _new(self, field: GraphQLField) -> Resolver:
        definition = field.extensions.get("strawberry-definition")
        if type(definition) is not StrawberryField or getattr(field.resolve, "__module__", None) != _MADE_BY:
            raise NotCompiled("a field that is not Strawberry's own")
        definition = cast(StrawberryField, definition)
        if definition.extensions:
            raise NotCompiled("a field with extensions")
        resolver = definition.base_resolver
        if resolver is None or definition.is_subscription:
            # The object that a subscription's field is resolved of is the event itself.
            read = _itself if definition.is_subscription else attrgetter(definition.python_name)
            return Resolver(
                read, is_async=False, takes_source=True, source_names=(), info_name=None, arguments=(), field=definition
            )
        function = resolver.wrapped_func
        if not callable(function) or isasyncgenfunction(function):
            raise NotCompiled("a resolver that is no plain function")
        named = (resolver.parent_parameter, resolver.root_parameter)
        name_of = self._conversion.config.name_converter.from_argument
        return Resolver(
            function=function,
            is_async=resolver.is_async,
            takes_source=resolver.self_parameter is not None,
            source_names=tuple(parameter.name for parameter in named if parameter is not None),
            info_name=None if resolver.info_parameter is None else resolver.info_parameter.name,
            arguments=tuple(
                (name_of(argument), argument.python_name, self._conversion.of(argument.type))
                for argument in definition.arguments
            ),
            field=definition,
        )


def _itself(event: Any) -> Any:
    return event
