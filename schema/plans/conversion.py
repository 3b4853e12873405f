"""From GraphQL's values to what resolvers take: Strawberry's input classes, by functions made for each argument's type."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any, cast

from strawberry.relay.types import GlobalID
from strawberry.schema.config import StrawberryConfig
from strawberry.types.arguments import _is_leaf_type, _is_optional_leaf_type
from strawberry.types.base import (
    StrawberryList,
    StrawberryMaybe,
    StrawberryObjectDefinition,
    StrawberryOptional,
    StrawberryType,
    has_object_definition,
)
from strawberry.types.enum import has_enum_definition
from strawberry.types.lazy_type import LazyType
from strawberry.types.unset import UNSET

from schema.plans.uncompiled import NotCompiled

# None: the value is taken as it is.
Convert = Callable[[Any], Any] | None


class Conversion:
    """What makes the conversions of one schema, the same for an argument wherever it stands."""

    def __init__(self, config: StrawberryConfig, scalars: Mapping[object, Any]) -> None:
        self.config = config
        self._scalars = scalars
        self._of_inputs: dict[type, Callable[[Any], Any]] = {}
        self._within: set[type] = set()

    def of(self, type_: StrawberryType | type) -> Convert:
        """As `convert_argument` of Strawberry does. Raises NotCompiled."""
        if isinstance(type_, StrawberryMaybe) or type_ is GlobalID:
            raise NotCompiled(f"an argument of type {type_}")
        if isinstance(type_, StrawberryOptional):
            return self.of(type_.of_type)
        if isinstance(type_, StrawberryList):
            return self._list(type_.of_type)
        if _is_leaf_type(type_, self._scalars) or has_enum_definition(type_):
            return None
        if isinstance(type_, LazyType):
            return self.of(type_.resolve_type())
        if has_object_definition(type_):
            return self._input(cast(type, type_))
        raise NotCompiled(f"an argument of type {type_}")

    def _list(self, item_type: StrawberryType | type) -> Convert:
        if _is_leaf_type(item_type, self._scalars, (GlobalID,)) or _is_optional_leaf_type(
            item_type, self._scalars, (GlobalID,)
        ):
            return lambda value: value if value is None or value is UNSET else list(value)
        item = self.of(item_type)
        if item is None:
            return lambda value: value if value is None or value is UNSET else list(value)
        return lambda value: value if value is None or value is UNSET else [item(one) for one in value]

    def _input(self, class_: type) -> Callable[[Any], Any]:
        known = self._of_inputs.get(class_)
        if known is None:
            if class_ in self._within:
                raise NotCompiled("an input type that holds itself")
            self._within.add(class_)
            try:
                known = self._of_inputs[class_] = self._new_input(class_)
            finally:
                self._within.discard(class_)
        return known

    def _new_input(self, class_: type) -> Callable[[Any], Any]:
        definition: StrawberryObjectDefinition = class_.__strawberry_definition__  # type: ignore[attr-defined]
        if definition.from_input is not None or not definition.is_input:
            raise NotCompiled(f"an input class made in its own way: {class_.__name__}")
        name_of = self.config.name_converter.from_field
        fields = [
            (name_of(field), field.python_name, self.of(cast("type", field.resolve_type(type_definition=definition))))
            for field in definition.fields
        ]
        # Without a default of their own they are null where they are left out.
        implied = {
            field.python_name: None
            for field in definition.fields
            if field.default_value is MISSING and field.default_factory is MISSING
        }

        def converted(value: Any) -> Any:
            if value is None or value is UNSET:
                return value
            arguments = implied.copy()
            for name, python_name, convert in fields:
                if name in value:
                    given = value[name]
                    arguments[python_name] = given if convert is None else convert(given)
            return class_(**arguments)

        return converted
