"""Random documents over a schema: aliases, fragments, merged fields, directives, variables, values that are wrong.

Most are valid; whoever uses them leaves out those that validation refuses.
"""

import json
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLCompositeType,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputType,
    GraphQLSchema,
    OperationType,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
    is_required_input_field,
    is_union_type,
)


@dataclass
class Asked:
    """A request."""

    query: str
    variables: dict[str, Any]
    operation_name: str | None = None


@dataclass
class RandomDocuments:
    """Makes documents over `schema`. `pool` has values for arguments and input fields of a name, or of a scalar's."""

    schema: GraphQLSchema
    random: Random
    pool: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    fields_max: int = 12
    wrong: float = 0.03

    def asked(self, kind: OperationType = OperationType.QUERY) -> Asked:
        """One request."""
        self._variables: dict[str, str] = {}
        self._given: dict[str, Any] = {}
        self._fields = 0
        self._fragments: dict[str, tuple[GraphQLCompositeType, str]] = {}
        composite = [
            type_ for type_ in self.schema.type_map.values() if is_composite_type(type_) and type_.name[0] != "_"
        ]
        for _ in range(self._pick((0, 0, 1, 2))):
            type_ = self._pick(composite)
            if type_ not in (self.schema.mutation_type, self.schema.subscription_type):
                self._fragments[f"F{len(self._fragments)}"] = (type_, self._selections(type_, 2))
        root = self.schema.get_root_type(kind)
        assert root is not None
        body = self._selections(root, 4)
        names = ["One"] if self._chance(0.5) else [None]
        operations = [self._operation(kind, names[0], body)]
        if names[0] and self._chance(0.2):
            operations.append(f"{kind.value} Two {{ __typename }}")
        used = self._used_fragments(body)
        parts = [
            *operations,
            *(f"fragment {name} on {self._fragments[name][0]} {self._fragments[name][1]}" for name in used),
        ]
        query = "\n".join(parts)
        return Asked(query, dict(self._given), names[0] if len(operations) > 1 or self._chance(0.2) else None)

    def _operation(self, kind: OperationType, name: str | None, body: str) -> str:
        reachable = " ".join([body, *(self._fragments[used][1] for used in self._used_fragments(body))])
        used = re.findall(r"\$(\w+)", reachable)
        variables = [f"${name}: {type_}" for name, type_ in self._variables.items() if name in used]
        declared = f"({', '.join(variables)})" if variables else ""
        if not declared and name is None and kind is OperationType.QUERY and self._chance(0.5):
            return body
        return f"{kind.value} {name or ''}{declared} {body}"

    def _used_fragments(self, text: str) -> list[str]:
        used: list[str] = []
        left = [text]
        while left:
            for name in re.findall(r"\.\.\.(F\d+)", left.pop()):
                if name not in used:
                    used.append(name)
                    left.append(self._fragments[name][1])
        return used

    def _selections(self, type_: GraphQLCompositeType, depth: int) -> str:
        parts = [self._selection(type_, depth) for _ in range(self._pick((1, 1, 2, 2, 3, 4)))]
        return "{ " + " ".join(parts) + " }"

    def _selection(self, type_: GraphQLCompositeType, depth: int) -> str:
        if self._chance(0.1):
            return f"... {self._directives()} {self._selections(type_, depth)}"
        if self._chance(0.1) or (is_abstract_type(type_) and self._chance(0.4)):
            near = [type_]
            if is_abstract_type(type_):
                near += [*self.schema.get_possible_types(type_)]
            elif not is_union_type(type_):
                near += [*type_.interfaces]
            chosen = self._pick(near)
            return f"... on {chosen} {self._directives()} {self._selections(chosen, depth)}"
        fitting = [
            name
            for name, (on, _) in self._fragments.items()
            if on is type_ or (is_abstract_type(type_) and self.schema.is_sub_type(type_, on))
        ]
        if fitting and self._chance(0.3):
            return f"...{self._pick(fitting)} {self._directives()}"
        if is_union_type(type_) or self._chance(0.05):
            return self._pick(("__typename", "kind: __typename"))
        return self._field(type_, depth)

    def _field(self, type_: Any, depth: int) -> str:
        fields: list[tuple[str, GraphQLField]] = list(type_.fields.items())
        if depth <= 0 or self._fields >= self.fields_max:
            leaves = [one for one in fields if not is_composite_type(get_named_type(one[1].type))]
            easy = [one for one in leaves if not any(map(is_required_argument, one[1].args.values()))]
            if not easy:
                return "__typename"
            fields = easy
        self._fields += 1
        name, chosen = self._pick(fields)
        arguments = self._arguments(chosen.args)
        alias = ""
        if arguments:
            # The same arguments have the same key, so that such fields are merged.
            alias = f"{name}_{sha256(arguments.encode()).hexdigest()[:4]}: "
        elif self._chance(0.15):
            alias = self._pick(("a", "b", "c")) + f"_{name}: "
        inner = get_named_type(chosen.type)
        below = self._selections(inner, depth - 1) if is_composite_type(inner) else ""
        return f"{alias}{name}{arguments} {self._directives()} {below}"

    def _directives(self) -> str:
        if not self._chance(0.12):
            return ""
        names = ["skip", "include"] if self._chance(0.2) else [self._pick(("skip", "include"))]
        return " ".join(f"@{name}(if: {self._condition()})" for name in names)

    def _condition(self) -> str:
        if self._chance(0.4):
            return self._pick(("true", "false"))
        name = self._pick(("c0", "c1"))
        self._variables.setdefault(name, self._pick(("Boolean!", "Boolean!", "Boolean! = true", "Boolean = false")))
        if self._chance(0.8):
            self._given.setdefault(
                name, self._chance(0.5) if not self._chance(self.wrong) else self._pick((None, 1, "x"))
            )
        return f"${name}"

    def _arguments(self, arguments: Mapping[str, GraphQLArgument]) -> str:
        given = []
        for name, argument in arguments.items():
            if is_required_argument(argument) or self._chance(0.5):
                given.append(f"{name}: {self._value(argument.type, name, has_default=argument.default is not None)}")
        return f"({', '.join(given)})" if given else ""

    def _value(self, type_: GraphQLInputType, name: str, *, has_default: bool = False, within: int = 0) -> str:
        if self._chance(0.35 if within == 0 else 0.15):
            return self._variable(type_, name, has_default=has_default)
        if self._chance(self.wrong):
            return self._pick(("null", '"wrong"', "17", "[]", "{}", "WRONG", "true"))
        if is_non_null_type(type_):
            type_ = type_.of_type
        elif self._chance(0.1):
            return "null"
        if is_list_type(type_):
            if self._chance(0.1) and not is_list_type(get_of(type_)):
                return self._value(get_of(type_), name, within=within + 1)
            items = [self._value(type_.of_type, name, within=within + 1) for _ in range(self._pick((0, 1, 2, 3)))]
            return f"[{', '.join(items)}]"
        if is_input_object_type(type_):
            members = []
            for member, definition in type_.fields.items():
                if is_required_input_field(definition) or self._chance(0.25):
                    value = self._value(
                        definition.type, member, has_default=definition.default is not None, within=within + 1
                    )
                    members.append(f"{member}: {value}")
            return "{" + ", ".join(members) + "}"
        if is_enum_type(type_):
            return self._pick(list(type_.values))
        value = self._scalar(type_.name, name)
        return _literal(value)

    def _variable(self, type_: GraphQLInputType, name: str, *, has_default: bool) -> str:
        variable = f"v{len(self._variables)}"
        declared = str(type_)
        if not is_non_null_type(type_) and self._chance(0.2):
            declared += "!"
        elif is_non_null_type(type_) and has_default and self._chance(0.5):
            declared = declared[:-1]
        given = not (self._chance(0.15) and not declared.endswith("!"))
        if self._chance(0.15):
            declared += f" = {_literal_of(self._json(type_, name), type_)}"
            given = self._chance(0.5)
        self._variables[variable] = declared
        if given:
            self._given[variable] = self._json(type_, name)
        return f"${variable}"

    def _json(self, type_: GraphQLInputType, name: str) -> Any:
        if self._chance(self.wrong):
            return self._pick((None, "wrong", 17, [], {}, True, {"unknown": 1}, [None], 2**40, 1.5))
        if is_non_null_type(type_):
            type_ = type_.of_type
        elif self._chance(0.1):
            return None
        if is_list_type(type_):
            if self._chance(0.1):
                return self._json(type_.of_type, name)
            return [self._json(type_.of_type, name) for _ in range(self._pick((0, 1, 2, 3)))]
        if is_input_object_type(type_):
            return {
                member: self._json(definition.type, member)
                for member, definition in type_.fields.items()
                if is_required_input_field(definition) or self._chance(0.3)
            }
        if isinstance(type_, GraphQLEnumType):
            return self._pick(list(type_.values))
        return self._scalar(type_.name, name)

    def _scalar(self, type_: str, name: str) -> Any:
        for known in (name, type_):
            if known in self.pool and self._chance(0.9):
                return self._pick(self.pool[known])
        return {
            "Int": lambda: self._pick((0, 1, 2, 3, 7, -1)),
            "Float": lambda: self._pick((0.5, 1, 1e10)),
            "Boolean": lambda: self._chance(0.5),
            "Long": lambda: self._pick((0, 3, "12", 2**40)),
            "DateTime": lambda: self._pick(("2026-01-01T00:00:00Z", "2026-05-01T10:00:00+02:00")),
            "Bytes": lambda: "AAEC",
            "JSON": lambda: self._pick(({"a": "b"}, [1, "x", None], "text", {})),
        }.get(type_, lambda: self._pick(("", "x", "ü\n", string.ascii_letters)))()

    def _chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def _pick(self, choices: Sequence[Any]) -> Any:
        return choices[self.random.randrange(len(choices))]


def get_of(type_: Any) -> Any:
    """The type of a list's items, without its non-null."""
    return type_.of_type.of_type if is_non_null_type(type_.of_type) else type_.of_type


def _literal(value: Any) -> str:
    """A JSON value as GraphQL writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_literal(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return json.dumps(value)


def _literal_of(value: Any, type_: GraphQLInputType) -> str:
    """A JSON value for a place of a type: names of enums are no text there."""
    if is_non_null_type(type_):
        type_ = type_.of_type
    if is_list_type(type_):
        if isinstance(value, list):
            return "[" + ", ".join(_literal_of(one, type_.of_type) for one in value) + "]"
        return _literal_of(value, type_.of_type)
    if is_input_object_type(type_) and isinstance(value, dict):
        members = [
            f"{key}: {_literal_of(one, type_.fields[key].type) if key in type_.fields else _literal(one)}"
            for key, one in value.items()
        ]
        return "{" + ", ".join(members) + "}"
    if is_enum_type(type_) and isinstance(value, str):
        return value
    return _literal(value)
