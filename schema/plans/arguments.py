"""The arguments of one field of a document, read by a function made for them."""

from collections.abc import Callable
from typing import Any

from graphql import FieldNode, GraphQLField, Undefined, VariableNode
from graphql.execution.values import get_argument_values
from graphql.type import is_required_argument
from graphql.utilities.coerce_input_value import coerce_default_value

from schema.plans.literals import Literal, literal
from schema.plans.run import Run
from schema.plans.uncompiled import NotCompiled

# Of the run, the values by their name in GraphQL. Raises GraphQLError.
Arguments = Callable[[Run], dict[str, Any]]


def arguments(field: GraphQLField, node: FieldNode) -> Arguments | None:
    """What reads the arguments; None for a field that takes none."""
    if not field.args:
        return None
    nodes = {argument.name.value: argument.value for argument in node.arguments or ()}
    parts: list[tuple[str, Literal | None, str | None, Any]] = []
    for name, argument in field.args.items():
        given = nodes.get(name)
        try:
            default = coerce_default_value(argument)
        except TypeError:
            raise NotCompiled(f"the default of argument {name}") from None
        required = is_required_argument(argument)
        # One without a value stands for no argument, but where one is required.
        variable = given.name.value if isinstance(given, VariableNode) and not required else None
        if given is not None or default is not Undefined:
            out_name = argument.out_name or name
            parts.append((out_name, None if given is None else literal(given, argument.type), variable, default))
        elif required:
            raise NotCompiled(f"argument {name}, which is missing")

    def read(run: Run) -> dict[str, Any]:
        variables = run.variables
        values: dict[str, Any] = {}
        for name, given, variable, default in parts:
            if given is None or (variable is not None and variable not in variables):
                if default is not Undefined:
                    values[name] = default
                continue
            value = given(variables)
            if value is Undefined:
                # In graphql-core's words, which this raises.
                return get_argument_values(field, node, run.variable_values)
            values[name] = value
        return values

    return read
