"""The output of an object: a function made for the fields that are selected of it.

Fields are resolved one after the other, in the order of the answer; what has to be awaited is awaited together, as
graphql-core does. A field's own error nulls the field; where that may not be, it nulls what is above.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import CoroutineType
from typing import Any

from graphql import FieldNode

from schema.plans.arguments import Arguments
from schema.plans.output import Complete, Select, gathered
from schema.plans.plain_values import PLAIN, must_be_awaited
from schema.plans.resolvers import Resolver
from schema.plans.run import FieldInfo, InfoParts, Path, Run, leave_behind

# Resolve and complete one field of an object at this path; a coroutine of it where something has to be awaited.
# Raises only what has to null the object.
Execute = Callable[[Any, Path | None, Run], Any]


@dataclass(frozen=True, slots=True)
class SelectedField:
    """A field of an object's output: `execute` makes it of the object, or of the value that `read` gives of the object.

    A value of exactly the class `quick` needs no completing: it goes out as it is, or as `written` gives it; where that gives
    nothing, it is completed like any other.
    """

    key: str
    execute: Execute
    read: Callable[[Any], Any] | None = None
    failed: Execute | None = None
    quick: type | None = None
    written: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field stands: its key in the answer, the type that it is a field of, its nodes, and whether it may be null."""

    key: str
    parent: str
    nodes: list[FieldNode]
    required: bool


def selection(fields: Sequence[SelectedField]) -> Select:
    """The output of an object, whose fields are read together."""
    steps = tuple((field.key, field.execute, field.read, field.failed, field.quick, field.written) for field in fields)

    def select(source: Any, path: Path | None, run: Run) -> Any:
        made: dict[str, Any] = {}
        waiting: list[str] | None = None
        try:
            for key, execute, read, failed, quick, written in steps:
                if read is None:
                    completed = execute(source, path, run)
                else:
                    try:
                        value = read(source)
                        if value.__class__ is quick:
                            output = value if written is None else written(value)
                            if output is not None:
                                made[key] = output
                                continue
                    except Exception as error:  # noqa: BLE001 - whatever it is, it is the error of this field
                        made[key] = failed(error, path, run)  # type: ignore[misc]
                        continue
                    completed = execute(value, path, run)
                made[key] = completed
                if completed.__class__ is CoroutineType:
                    if waiting is None:
                        waiting = [key]
                    else:
                        waiting.append(key)
        except Exception:
            if waiting:
                leave_behind([made[key] for key in waiting])
            raise
        return made if waiting is None else gathered(made, waiting)

    return select


def selection_in_turn(fields: Sequence[SelectedField]) -> Select:
    """The output of the mutations of a document: each begins when the one before it has ended."""
    each = tuple(selection((field,)) for field in fields)

    async def select(source: Any, path: Path | None, run: Run) -> Any:
        made: dict[str, Any] = {}
        for one in each:
            done = one(source, path, run)
            made.update(await done if done.__class__ is CoroutineType else done)
        return made

    return select


def constant(key: str, value: object) -> SelectedField:
    """A field that is the same for every object of its type."""
    return SelectedField(key, lambda _source, _path, _run: value)


def read_of_object(
    read: Callable[[Any], Any],
    place: Place,
    complete: Complete,
    quick: type | None,
    written: Callable[[Any], Any] | None,
) -> SelectedField:
    """A field that needs nothing but the object: an attribute, or a method without arguments."""
    key, parent, nodes, required = place.key, place.parent, place.nodes, place.required

    def execute(value: Any, path: Path | None, run: Run) -> Any:
        here = (path, key, parent)
        try:
            if value.__class__ not in PLAIN and must_be_awaited(value):
                return _awaited(value, complete, here, run, place)
            completed = complete(value, here, run)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the error of this field
            return run.failed(error, here, nodes, required=required)
        if completed.__class__ is CoroutineType:
            return _settled(completed, here, run, place)
        return completed

    def failed(error: Any, path: Path | None, run: Run) -> Any:
        return run.failed(error, (path, key, parent), nodes, required=required)

    return SelectedField(key, execute, read, failed, quick, written)


def method(
    resolver: Resolver, arguments: Arguments | None, place: Place, info: InfoParts, complete: Complete
) -> SelectedField:
    """A field that a function gives."""
    key, parent, nodes, required = place.key, place.parent, place.nodes, place.required
    call = _call(resolver, info)

    def execute(source: Any, path: Path | None, run: Run) -> Any:
        here = (path, key, parent)
        try:
            given = _NONE if arguments is None else arguments(run)
            value = call(source, given, here, run)
            if value.__class__ not in PLAIN and must_be_awaited(value):
                return _awaited(value, complete, here, run, place)
            completed = complete(value, here, run)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the error of this field
            return run.failed(error, here, nodes, required=required)
        if completed.__class__ is CoroutineType:
            return _settled(completed, here, run, place)
        return completed

    async def resolved(source: Any, given: dict[str, Any], here: Path, run: Run) -> Any:
        try:
            completed = complete(await call(source, given, here, run), here, run)
            return await completed if completed.__class__ is CoroutineType else completed
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the error of this field
            return run.failed(error, here, nodes, required=required)

    def execute_async(source: Any, path: Path | None, run: Run) -> Any:
        here = (path, key, parent)
        try:
            given = _NONE if arguments is None else arguments(run)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the error of this field
            return run.failed(error, here, nodes, required=required)
        return resolved(source, given, here, run)

    return SelectedField(key, execute_async if resolver.is_async else execute)


_NONE: dict[str, Any] = {}


def _call(resolver: Resolver, info: InfoParts) -> Callable[[Any, dict[str, Any], Path, Run], Any]:
    function, info_name = resolver.function, resolver.info_name
    if resolver.takes_source and not resolver.source_names and not resolver.arguments and info_name == "info":
        return lambda source, _given, here, run: function(source, info=FieldInfo(run, info, here))
    takes_source, source_names = resolver.takes_source, resolver.source_names
    converted = resolver.arguments

    def call(source: Any, given: dict[str, Any], here: Path, run: Run) -> Any:
        named: dict[str, Any] = {}
        for name, parameter, convert in converted:
            if name in given:
                value = given[name]
                named[parameter] = value if convert is None else convert(value)
        for source_name in source_names:
            named[source_name] = source
        if info_name is not None:
            named[info_name] = FieldInfo(run, info, here)
        return function(source, **named) if takes_source else function(**named)

    return call


async def _awaited(value: Awaitable[Any], complete: Complete, here: Path, run: Run, place: Place) -> Any:
    try:
        completed = complete(await value, here, run)
        return await completed if completed.__class__ is CoroutineType else completed
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the error of this field
        return run.failed(error, here, place.nodes, required=place.required)


async def _settled(completed: Awaitable[Any], here: Path, run: Run, place: Place) -> Any:
    try:
        return await completed
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the error of this field
        return run.failed(error, here, place.nodes, required=place.required)
