"""One execution of a plan: its context and variables, and the errors that its fields met.

A path is a chain of tuples (what is before it, key, name of the type), as graphql-core's Path: made for each list item and
object, so it has to cost next to nothing.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from graphql import FieldNode, GraphQLError, GraphQLResolveInfo, located_error
from graphql.pyutils import Path as GraphQLPath
from strawberry.types.info import Info

if TYPE_CHECKING:
    from graphql.execution.values import VariableValues
    from strawberry.types.field import StrawberryField

    from schema.plans.operation import PlannedOperation

Path: TypeAlias = tuple[Any, str | int, str | None]

# Work that an error overtook is left to end by itself; the loop keeps no strong reference to it.
_left_behind: set[asyncio.Future[Any]] = set()


class Run:
    """The state of one execution."""

    __slots__ = ("_nulled", "context", "errors", "inputs", "operation", "root", "variables")

    def __init__(
        self,
        operation: "PlannedOperation",
        context: object,
        inputs: Mapping[str, Any],
        variables: dict[str, Any],
        root: object = None,
    ) -> None:
        self.operation = operation
        self.context = context
        self.inputs = inputs
        self.variables = variables
        self.root = root
        self.errors: list[GraphQLError] = []
        self._nulled: set[Path | None] = set()

    def failed(self, error: Exception, path: Path, nodes: list[FieldNode], *, required: bool) -> Any:
        """Keep the error of a field or item, and give the null that it becomes. Raises it, located, where that may not be."""
        located = located_error(error, nodes, path_list(path))
        if required:
            raise located
        self.add(located, path)
        return None

    def add(self, error: GraphQLError, path: Path | None) -> None:
        """Keep an error, unless what it is about is null already."""
        nulled = self._nulled
        at = path
        while at is not None:
            if at in nulled:
                return
            at = at[0]
        if None in nulled:
            return
        nulled.add(path)
        self.errors.append(error)

    @property
    def variable_values(self) -> "VariableValues":
        """The variables as graphql-core has them, with where each came from."""
        return self.operation.variable_values(self.inputs, self.variables)


class FieldInfo(Info[Any, Any]):
    """The `info` of a resolver. Its context is at hand; everything else is made when it is asked for."""

    def __init__(self, run: Run, made_for: "InfoParts", path: Path) -> None:
        self._run = run
        self._made_for = made_for
        self._place = path
        self._field = made_for.field

    @property
    def context(self) -> Any:
        """What the request brought."""
        return self._run.context

    @cached_property
    def _raw_info(self) -> GraphQLResolveInfo:  # type: ignore[override]
        return self._made_for.raw(self._run, self._place)


class InfoParts:
    """What the `info` of one field says that is the same for every execution."""

    __slots__ = ("field", "raw_of")

    def __init__(self, field: "StrawberryField", raw_of: Any) -> None:
        self.field = field
        self.raw_of = raw_of

    def raw(self, run: Run, path: Path) -> GraphQLResolveInfo:
        """The info of graphql-core."""
        return self.raw_of(run, graphql_path(path))


def path_list(path: Path) -> list[str | int]:
    """The keys from the root."""
    keys: list[str | int] = []
    at: Path | None = path
    while at is not None:
        keys.append(at[1])
        at = at[0]
    return keys[::-1]


def graphql_path(path: Path) -> GraphQLPath:
    """The same as graphql-core's own class has it."""
    chain: list[Path] = []
    at: Path | None = path
    while at is not None:
        chain.append(at)
        at = at[0]
    _, key, typename = chain.pop()
    made = GraphQLPath(None, key, typename)
    for _, key, typename in reversed(chain):
        made = made.add_key(key, typename)
    return made


def leave_behind(awaitables: Sequence[Awaitable[Any]]) -> None:
    """Let work end by itself that an error overtook: nobody waits for it, and its own errors are not errors of the answer."""
    future = asyncio.gather(*awaitables, return_exceptions=True)
    _left_behind.add(future)
    future.add_done_callback(_left_behind.discard)
