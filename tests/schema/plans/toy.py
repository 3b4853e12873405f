"""A schema in which everything happens: nulls where none may be, values of wrong types, exceptions raised and given back.

What happens where is drawn from the number that each object has and the field's name, so that it happens again.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from hashlib import sha256
from typing import Annotated, Any, Generic, TypeVar, Union

import strawberry
from graphql import GraphQLError, GraphQLSchema
from strawberry import UNSET
from strawberry.schema.config import StrawberryConfig

from schema.scalars import JSON, SCALARS, Bytes, Long


class Meant(Exception):
    """An error that is meant to happen."""


@dataclass
class Context:
    """What a request brings; it writes down which resolvers ran, in their order. `calm` is how seldom things go wrong."""

    calm: int = 6
    trace: list[str] = field(default_factory=list)
    changes: int = 0


class Draw:
    """What happens at one field of one object."""

    def __init__(self, number: int, name: str, calm: int) -> None:
        self._left = int.from_bytes(sha256(f"{number}:{name}:{calm}".encode()).digest())
        self._calm = calm

    def below(self, bound: int) -> int:
        """A number from 0."""
        self._left, drawn = divmod(self._left, bound)
        return drawn

    def of(self, choices: Any) -> Any:
        """One of them."""
        return choices[self.below(len(choices))]

    def value(self, good: Any, *, raises: bool = True) -> Any:
        """A good value, mostly."""
        if self.below(self._calm):
            return good
        bad = self.below(9 if raises else 6)
        if bad <= 1:
            return None
        if bad == 2:
            return self.of((Meant("given back"), GraphQLError("coded", extensions={"code": "FORBIDDEN"})))
        if bad == 3:
            return self.of(({}, [], object, 2**40, "text", b"bytes", float("nan"), 1.5, True, (1,), {1: 2}))
        if bad == 4:
            return later(good, self)
        if bad == 5:
            return later(Meant("awaited"), self)
        raise self.of((Meant("raised"), GraphQLError("coded", extensions={"code": "FORBIDDEN"}), ValueError("x")))


async def later(value: Any, draw: Draw) -> Any:
    """The value, a while later; an exception is raised."""
    for _ in range(draw.below(4)):
        await asyncio.sleep(0)
    if isinstance(value, Exception):
        raise value
    return value


async def one_by_one(values: list[Any]) -> AsyncIterator[Any]:
    """The values, asynchronously."""
    for value in values:
        await asyncio.sleep(0)
        if isinstance(value, Meant):
            raise value
        yield value


@strawberry.enum
class Colour(Enum):
    RED = "red"
    BLUE = 2


@strawberry.input
class Inner:
    text: str = "inner"
    numbers: list[int] | None = UNSET


@strawberry.input
class Filter:
    name: str
    inner: Inner | None = UNSET
    inners: list[Inner] = strawberry.field(default_factory=list)
    colour: Colour | None = Colour.RED
    colours: list[Colour] | None = UNSET
    anything: JSON | None = UNSET
    at: datetime | None = UNSET
    size: Long | None = UNSET

    def __post_init__(self) -> None:
        if self.name == "raise":
            raise Meant("an input that is refused late")


@strawberry.input(one_of=True)
class Either:
    text: str | None = UNSET
    number: int | None = UNSET


@strawberry.interface
class Named:
    number: strawberry.Private[int]
    name: str
    label: str | None

    @strawberry.field
    def shout(self, info: strawberry.Info, times: int = 1) -> str | None:
        return trace(self, info, "shout", self.name.upper() * times)

    @strawberry.field
    def friend(self, info: strawberry.Info) -> "Named | None":
        return trace(self, info, "friend", make(self.number * 3 + 1, info.context.calm))


@strawberry.type
class Cat(Named):
    lives: int
    colour: Colour

    @strawberry.field
    async def hunts(self, info: strawberry.Info) -> "Dog | None":
        return await traced(self, info, "hunts", make_dog(self.number * 2, info.context.calm))


@strawberry.type
class Dog(Named):
    tricks: list[str]
    scores: list[list[int | None]] | None

    @strawberry.field
    async def chases(self, info: strawberry.Info) -> "Cat":
        return await traced(self, info, "chases", make_cat(self.number * 2 + 1, info.context.calm))


@strawberry.type
class Stone:
    number: strawberry.Private[int]
    weight: float
    colour: Colour | None


T = TypeVar("T")


@strawberry.type
class Page(Generic[T]):
    items: list[T]
    maybe_items: list[T | None] | None
    total: int


Found = Annotated[Union[Cat, Dog, Stone], strawberry.union("Found")]  # noqa: UP007


@strawberry.type
class Box:
    number: strawberry.Private[int]
    text: str
    maybe_text: str | None
    whole: int
    maybe_whole: int | None
    part: float | None
    flag: bool
    maybe_flag: bool | None
    id: strawberry.ID
    maybe_id: strawberry.ID | None
    colour: Colour
    maybe_colour: Colour | None
    at: datetime
    maybe_at: datetime | None
    anything: JSON | None
    raw: Bytes | None
    size: Long
    words: list[str]
    maybe_words: list[str | None] | None
    grid: list[list[int | None]] | None
    stone: Stone | None
    sure_stone: Stone

    @property
    def broken(self) -> str:
        raise Meant("a property")

    @strawberry.field
    def box(self, info: strawberry.Info) -> "Box | None":
        return trace(self, info, "box", make_box(self.number * 5 + 1, info.context.calm))

    @strawberry.field
    def sure_box(self, info: strawberry.Info) -> "Box":
        return trace(self, info, "sure_box", make_box(self.number * 5 + 2, info.context.calm))

    @strawberry.field
    async def later_box(self, info: strawberry.Info) -> "Box | None":
        return await traced(self, info, "later_box", make_box(self.number * 5 + 3, info.context.calm))

    @strawberry.field
    async def sure_later_box(self, info: strawberry.Info) -> "Box":
        return await traced(self, info, "sure_later_box", make_box(self.number * 5 + 4, info.context.calm))

    @strawberry.field
    def boxes(self, info: strawberry.Info, count: int = 2) -> "list[Box]":
        return trace(self, info, "boxes", many(self, info, "boxes", count, make_box))

    @strawberry.field
    async def maybe_boxes(self, info: strawberry.Info) -> "list[Box | None] | None":
        return await traced(self, info, "maybe_boxes", many(self, info, "maybe_boxes", 3, make_box))

    @strawberry.field
    def named(self, info: strawberry.Info) -> Named | None:
        return trace(self, info, "named", make(self.number + 1, info.context.calm))

    @strawberry.field
    async def all_named(self, info: strawberry.Info) -> list[Named]:
        return await traced(self, info, "all_named", many(self, info, "all_named", 3, make))

    @strawberry.field
    def found(self, info: strawberry.Info) -> Found | None:
        return trace(self, info, "found", make(self.number + 2, info.context.calm))

    @strawberry.field
    async def all_found(self, info: strawberry.Info) -> list[Found | None]:
        return await traced(self, info, "all_found", many(self, info, "all_found", 3, make))

    @strawberry.field
    def page(self, info: strawberry.Info) -> Page[Cat]:
        cats = many(self, info, "page", 2, make_cat)
        return trace(self, info, "page", Page(items=cats, maybe_items=cats, total=2))

    @strawberry.field
    def streamed(self, info: strawberry.Info) -> "list[Box | None] | None":
        return trace(self, info, "streamed", one_by_one(many(self, info, "streamed", 3, make_box)))  # type: ignore

    @strawberry.field
    def echo(
        self,
        info: strawberry.Info,
        text: str = "said",
        maybe: str | None = None,
        left_out: str | None = UNSET,
        whole: int = 3,
        part: float | None = UNSET,
        colour: Colour = Colour.BLUE,
        colours: list[Colour | None] | None = UNSET,
        filter: Filter | None = UNSET,
        filters: list[Filter] | None = UNSET,
        either: Either | None = UNSET,
        grid: list[list[int]] | None = UNSET,
        ids: list[strawberry.ID] | None = None,
        anything: JSON | None = UNSET,
        at: datetime | None = UNSET,
        size: Long | None = UNSET,
    ) -> str:
        given = (text, maybe, left_out, whole, part, colour, colours, filter, filters, either)
        more = (grid, ids, anything, at, size)
        return trace(self, info, "echo", repr((*given, *more)))

    @strawberry.field
    async def need(self, info: strawberry.Info, text: str, filter: Filter, numbers: list[int]) -> str | None:
        return await traced(self, info, "need", repr((text, filter, numbers)))

    @strawberry.field
    def told(self, info: strawberry.Info, text: str | None = None) -> str:
        """Everything that an info tells."""
        raw = info._raw_info
        return repr(
            (
                info.field_name,
                info.python_name,
                raw.path,
                str(raw.parent_type),
                str(raw.return_type),
                info.variable_values,
                sorted(raw.fragments),
                info.root_value,
                len(info.selected_fields),
                sorted(raw.variable_values.coerced.items(), key=str),
                [(name, str(source.value)) for name, source in raw.variable_values.sources.items()],
                info.context.calm,
                raw.operation.operation,
                info.get_argument_definition("text") is not None,
                str(info.return_type),
                raw.is_awaitable(1),
                text,
            )
        )

    @strawberry.field
    def of_parent(self, parent: strawberry.Parent[Any], whole: int = 1) -> int:
        return parent.number + whole

    @strawberry.field
    def plain(self) -> int:
        return self.number


def trace(self: Any, info: strawberry.Info, name: str, good: Any) -> Any:
    """What happens at a field; written down."""
    number = getattr(self, "number", 0)
    info.context.trace.append(f"{number} {name}")
    return Draw(number, name, info.context.calm).value(good)


async def traced(self: Any, info: strawberry.Info, name: str, good: Any) -> Any:
    """The same, some while later."""
    number = getattr(self, "number", 0)
    draw = Draw(number, name, info.context.calm)
    for _ in range(draw.below(4)):
        await asyncio.sleep(0)
    info.context.trace.append(f"{number} {name}")
    value = draw.value(good)
    return await value if asyncio.iscoroutine(value) else value


def many(self: Any, info: strawberry.Info, name: str, count: int, make_one: Any) -> list[Any]:
    """Several objects, some of which are none."""
    items = []
    for index in range(count):
        number = self.number * 7 + index
        draw = Draw(number, f"{name} item", info.context.calm)
        items.append(draw.value(make_one(number, info.context.calm), raises=False))
    return items


def make(number: int, calm: int) -> Any:
    """A cat, a dog, a stone."""
    return (make_cat, make_dog, make_stone)[number % 3](number, calm)


def make_cat(number: int, calm: int) -> Cat:
    return Cat(**_named(number, calm), **_drawn(number, calm, lives=9, colour=Colour.RED))


def make_dog(number: int, calm: int) -> Dog:
    scores = [[1, None], [], [2, 3]]
    return Dog(**_named(number, calm), **_drawn(number, calm, tricks=["sit", "roll"], scores=scores))


def make_stone(number: int, calm: int) -> Stone:
    return Stone(number=number, **_drawn(number, calm, weight=1.5, colour=Colour.BLUE))


def make_box(number: int, calm: int) -> Box:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return Box(
        number=number,
        **_drawn(
            number,
            calm,
            text="text",
            maybe_text="maybe",
            whole=number % 1000,
            maybe_whole=7,
            part=0.25,
            flag=True,
            maybe_flag=False,
            id=strawberry.ID(f"id{number}"),
            maybe_id=strawberry.ID("id"),
            colour=Colour.RED,
            maybe_colour=Colour.BLUE,
            at=at,
            maybe_at=at,
            anything={"b": [1, None], "a": "x"},
            raw=b"\x00\x01",
            size=2**40,
            words=["one", "two"],
            maybe_words=["one", None],
            grid=[[1, None], [2]],
            stone=make_stone(number, calm),
            sure_stone=make_stone(number + 1, calm),
        ),
    )


def _named(number: int, calm: int) -> dict[str, Any]:
    return {"number": number, **_drawn(number, calm, name=f"n{number}", label="label")}


def _drawn(number: int, calm: int, **good: Any) -> dict[str, Any]:
    return {name: _attribute(Draw(number, name, calm), value) for name, value in good.items()}


def _attribute(draw: Draw, good: Any) -> Any:
    if draw.below(12):
        return good
    kind = draw.below(4)
    # An awaitable is of one execution only; as an attribute it is made when it is awaited.
    return (None, Meant("an attribute"), {"wrong": 1}, Awaited(good))[kind]


class Awaited:
    """Gives a value when it is awaited, as often as that is."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Any:
        yield from asyncio.sleep(0).__await__()
        return self.value

    def __repr__(self) -> str:
        return "<awaited>"


@strawberry.type
class Query:
    @strawberry.field
    def box(self, info: strawberry.Info, number: int = 1) -> Box | None:
        return trace(self, info, f"box {number}", make_box(number, info.context.calm))

    @strawberry.field
    async def sure_box(self, info: strawberry.Info, number: int = 2) -> Box:
        return await traced(self, info, f"sure_box {number}", make_box(number, info.context.calm))

    @strawberry.field
    async def boxes(self, info: strawberry.Info, numbers: list[int] | None = UNSET) -> list[Box | None] | None:
        return [make_box(number, info.context.calm) for number in numbers or (1, 2, 3)]

    @strawberry.field
    def named(self, info: strawberry.Info, number: int = 1) -> Named | None:
        return trace(self, info, "named", make(number, info.context.calm))

    @strawberry.field
    async def found(self, info: strawberry.Info, number: int = 1) -> list[Found | None] | None:
        return [make(number + more, info.context.calm) for more in range(4)]

    missing: str | None = None
    sure_missing: str = strawberry.field(default="x")


@strawberry.type
class Mutation:
    @strawberry.mutation
    def add(self, info: strawberry.Info, number: int = 1) -> Box | None:
        info.context.changes += 1
        return trace(self, info, f"add {number} {info.context.changes}", make_box(number, info.context.calm))

    @strawberry.mutation
    async def add_later(self, info: strawberry.Info, number: int = 1) -> Box:
        info.context.changes += 1
        return await traced(self, info, f"later {number} {info.context.changes}", make_box(number, info.context.calm))

    @strawberry.mutation
    async def count(self, info: strawberry.Info) -> int:
        await asyncio.sleep(0)
        info.context.changes += 1
        return info.context.changes


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def box(self, number: int = 1) -> AsyncIterator[Box]:
        yield make_box(number, 6)

    @strawberry.subscription
    async def maybe_box(self, filter: Filter | None = UNSET) -> AsyncIterator[Box | None]:
        yield None


def toy_schema() -> GraphQLSchema:
    """The schema, as the executor runs it."""
    config = StrawberryConfig(scalar_map=SCALARS)
    return strawberry.Schema(Query, Mutation, Subscription, types=[Cat, Dog], config=config)._schema
