"""Values turned into output, each by a function made for its type: null or not, list or object.

The functions do what `Executor.complete_value` of graphql-core does, errors and their order included. One gives what goes into
the answer, or a coroutine of it where something below has to be awaited.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import islice
from types import CoroutineType
from typing import Any

from graphql import (
    FieldNode,
    GraphQLAbstractType,
    GraphQLError,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    Undefined,
    located_error,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.execution.executor import Executor, invalid_return_type_error
from graphql.pyutils import gather_with_cancel, is_iterable

from ledger.turns import Turn
from schema.plans.plain_values import PLAIN, must_be_awaited, raised
from schema.plans.run import Path, Run, leave_behind, path_list
from schema.plans.turns import BETWEEN, MANY

# From a value, where it stands, and the run. Raises what becomes the error of the field or item.
Complete = Callable[[Any, Path, Run], Any]
# The output of an object: its selected fields.
Select = Callable[[Any, Path | None, Run], Any]

# So many items are awaited together: of a batch of 10,000 each would be a task, all of them there at once.
_AWAITED_TOGETHER = 1_000


def object_(type_: GraphQLObjectType, details: FieldDetailsList, select: Select, required: str | None) -> Complete:
    """An object of one type."""
    is_type_of = type_.is_type_of
    if is_type_of is None:

        def complete_any(value: Any, path: Path, run: Run) -> Any:
            if value.__class__ not in PLAIN:
                raised(value)
            if value is None or value is Undefined:
                return null(required)
            return select(value, path, run)

        return complete_any

    def complete(value: Any, path: Path, run: Run) -> Any:
        if value.__class__ not in PLAIN:
            raised(value)
        if value is None or value is Undefined:
            return null(required)
        # Strawberry's own does not look at the info.
        if not is_type_of(value, None):  # type: ignore[arg-type]
            raise invalid_return_type_error(type_, value, details)
        return select(value, path, run)

    return complete


class _WithSchema:
    """As much of an executor as its check of runtime types reads."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema


def abstract(
    schema: GraphQLSchema,
    type_: GraphQLAbstractType,
    details: FieldDetailsList,
    info: GraphQLResolveInfo,
    objects: dict[str, Complete],
    required: str | None,
) -> Complete:
    """An interface or union: the object of whichever type the value is; `objects` has how each is completed."""
    resolve_type: Any = type_.resolve_type
    executor: Any = _WithSchema(schema)

    def complete(value: Any, path: Path, run: Run) -> Any:
        if value.__class__ not in PLAIN:
            raised(value)
        if value is None or value is Undefined:
            return null(required)
        name = resolve_type(value, info, type_)
        completed = objects.get(name) if isinstance(name, str) else None
        if completed is None:
            # In graphql-core's words, which this raises.
            Executor.ensure_valid_runtime_type(executor, name, type_, details, info, value)
            raise AssertionError(f"{name} is a type that was not compiled")
        return completed(value, path, run)

    return complete


def list_(
    item: Complete, nodes: list[FieldNode], not_one: str, required: str | None, *, item_required: bool
) -> Complete:
    """A list of what `item` completes; `not_one` is what is said of a value that is none."""

    async def completed_item(completed: Awaitable[Any], path: Path, run: Run) -> Any:
        try:
            return await completed
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the error of this item
            return run.failed(error, path, nodes, required=item_required)

    async def awaited_item(value: Awaitable[Any], path: Path, run: Run) -> Any:
        try:
            completed = item(await value, path, run)
            return await completed if completed.__class__ is CoroutineType else completed
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the error of this item
            return run.failed(error, path, nodes, required=item_required)

    def add(value: Any, place: Path, run: Run, made: list[Any], waiting: list[int]) -> None:
        if value.__class__ not in PLAIN and must_be_awaited(value):
            completed = awaited_item(value, place, run)
        else:
            try:
                completed = item(value, place, run)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the error of this item
                completed = run.failed(error, place, nodes, required=item_required)
            if completed.__class__ is CoroutineType:
                completed = completed_item(completed, place, run)
        if completed.__class__ is CoroutineType:
            waiting.append(len(made))
        made.append(completed)

    async def from_async(values: Any, path: Path, run: Run) -> list[Any]:
        made: list[Any] = []
        waiting: list[int] = []
        iterator = values.__aiter__()
        try:
            while True:
                try:
                    value = await anext(iterator)
                except StopAsyncIteration:
                    break
                except Exception as error:
                    raise located_error(error, nodes, path_list(path)) from error
                add(value, (path, len(made), None), run, made, waiting)
        except Exception:
            with suppress(Exception):
                await iterator.aclose()
            if waiting:
                leave_behind([made[index] for index in waiting])
            raise
        return await gathered(made, waiting) if waiting else made

    async def in_turns(values: list[Any], path: Path, run: Run) -> list[Any]:
        made: list[Any] = []
        waiting: list[int] = []
        iterator = iter(values)
        turn = Turn()
        try:
            for _ in range(0, len(values), BETWEEN):
                for value in islice(iterator, BETWEEN):
                    add(value, (path, len(made), None), run, made, waiting)
                if len(waiting) >= _AWAITED_TOGETHER:
                    together, waiting = waiting, []
                    await gathered(made, together)
                elif turn.is_over:
                    await turn.others_first()
        except BaseException:  # cancelled, too: what hangs together is not told apart any more, and ends by itself
            left = [made[index] for index in waiting] + _left_in(iterator)
            if left:
                leave_behind(left)
            raise
        return await gathered(made, waiting) if waiting else made

    def complete(values: Any, path: Path, run: Run) -> Any:
        if values.__class__ not in PLAIN:
            raised(values)
        if values is None or values is Undefined:
            return null(required)
        if values.__class__ is list:
            if len(values) > MANY:
                return in_turns(values, path, run)
        else:
            if hasattr(values, "__aiter__"):
                return from_async(values, path, run)
            if not is_iterable(values):
                raise GraphQLError(not_one)
        made: list[Any] = []
        waiting: list[int] = []
        iterator = iter(values)
        try:
            for value in iterator:
                add(value, (path, len(made), None), run, made, waiting)
        except Exception:
            left = [made[index] for index in waiting] + _left_in(iterator)
            if left:
                leave_behind(left)
            raise
        return gathered(made, waiting) if waiting else made

    return complete


async def gathered(made: Any, waiting: list[Any]) -> Any:
    """What was made, with the coroutines in it (at the keys or indices `waiting`) awaited together."""
    if len(waiting) == 1:
        at = waiting[0]
        made[at] = await made[at]
    else:
        for at, value in zip(waiting, await gather_with_cancel(*(made[at] for at in waiting)), strict=True):
            made[at] = value
    return made


def null(required: str | None) -> None:
    if required is not None:
        raise TypeError(required)


def _left_in(iterator: Iterator[Any]) -> list[Awaitable[Any]]:
    """The awaitables that an iterator still holds."""
    left: list[Awaitable[Any]] = []
    with suppress(Exception):
        left.extend(value for value in iterator if value.__class__ not in PLAIN and must_be_awaited(value))
    return left
