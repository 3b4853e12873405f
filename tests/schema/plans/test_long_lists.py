"""A long list gives others a turn while it is made, compiled or not, and what it awaits is not there all at once."""

import asyncio
import gc
import warnings
from collections.abc import Awaitable
from typing import Any

import pytest
import strawberry
from graphql import ExecutionResult, GraphQLSchema, OperationDefinitionNode, execute, parse

from ledger import turns as turns_of
from schema.plans import turns
from schema.plans.interpreted import InTurns
from schema.plans.plans import Plans

ITEMS = 2_500


class Counted:
    """How many of a field's resolvers run at once, and the most that ever did."""

    now = 0
    most = 0


@strawberry.type
class Item:
    number: int

    @strawberry.field
    def doubled(self) -> int:
        return 2 * self.number

    @strawberry.field
    async def awaited(self) -> int:
        Counted.now += 1
        Counted.most = max(Counted.most, Counted.now)
        await asyncio.sleep(0)
        Counted.now -= 1
        return 3 * self.number

    @strawberry.field
    def odd_alone(self) -> int:
        if self.number == 2_001:
            raise ValueError("not this one")
        return self.number


@strawberry.type
class Query:
    @strawberry.field
    def items(self) -> list[Item]:
        return [Item(number=number) for number in range(ITEMS)]

    @strawberry.field
    def items_or_none(self) -> list[Item | None]:
        return [Item(number=number) for number in range(ITEMS)]


SCHEMA: GraphQLSchema = strawberry.Schema(Query)._schema


@pytest.fixture(params=[True, False], ids=["compiled", "interpreted"])
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(turns_of, "_TURN_S", 0.0)
    Counted.now = Counted.most = 0
    return request.param


def started(query: str, *, compiled: bool) -> Awaitable[ExecutionResult]:
    document = parse(query)
    (operation,) = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    result: Any
    if compiled:
        plan = Plans(SCHEMA).plan(document, operation)
        assert plan is not None
        result = plan.execute({}, None)
    else:
        result = execute(SCHEMA, document, executor_class=InTurns)
    assert not isinstance(result, ExecutionResult)
    return result


async def test_others_go_on_in_between(compiled: bool) -> None:
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    result = await started("{ items { number doubled } }", compiled=compiled)
    beside.cancel()
    assert result.errors is None
    assert result.data == {"items": [{"number": number, "doubled": 2 * number} for number in range(ITEMS)]}
    assert others > ITEMS / turns.BETWEEN / 2


async def test_what_is_awaited_is_awaited_in_parts_and_in_order() -> None:
    Counted.now = Counted.most = 0
    result = await started("{ items { number awaited again: awaited } }", compiled=True)
    assert result.data == {
        "items": [{"number": number, "awaited": 3 * number, "again": 3 * number} for number in range(ITEMS)]
    }
    assert 0 < Counted.most <= 2 * (1_000 + turns.BETWEEN)


async def test_an_error_is_that_of_its_item(compiled: bool) -> None:
    result = await started("{ itemsOrNone { oddAlone awaited } }", compiled=compiled)
    assert result.data is not None
    assert [at for at, item in enumerate(result.data["itemsOrNone"]) if item is None] == [2_001]
    assert [error.path for error in result.errors or ()] == [["itemsOrNone", 2_001, "oddAlone"]]


async def test_an_error_that_may_not_be_null_ends_the_list(compiled: bool) -> None:
    result = await started("{ items { awaited oddAlone } }", compiled=compiled)
    assert result.data is None
    assert [error.path for error in result.errors or ()] == [["items", 2_001, "oddAlone"]]


async def test_one_that_is_cancelled_leaves_nothing_that_was_never_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_of, "_TURN_S", 0.0)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        task = asyncio.ensure_future(started("{ items { awaited } }", compiled=True))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gc.collect()
    assert [str(one.message) for one in warned if "never awaited" in str(one.message)] == []
