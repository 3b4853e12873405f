"""Plans: what is compiled and what is left to graphql-core, that nothing is executed twice, and what is kept."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
import strawberry
from graphql import DocumentNode, ExecutionResult, OperationDefinitionNode, execute, parse, validate
from strawberry.extensions import FieldExtension
from strawberry.permission import BasePermission

from schema.plans.plans import FIELDS_MAX, KEPT_BYTES_MAX, Plans
from schema.schema import build_schema
from web.graphql_limits import Limits
from web.graphql_operations import Operations
from web.graphql_request import GraphQLRequest


class Nobody(BasePermission):
    """Lets nobody."""

    message = "no"

    def has_permission(self, source: Any, info: strawberry.Info, **kwargs: Any) -> bool:
        return False


class Louder(FieldExtension):
    """Makes a text loud."""

    def resolve(self, next_: Any, source: Any, info: strawberry.Info, **kwargs: Any) -> Any:
        return next_(source, info, **kwargs).upper()


@strawberry.input
class Tree:
    name: str
    below: "list[Tree] | None" = None


@strawberry.type
class Counted:
    count: int

    @strawberry.field
    async def waited(self) -> int:
        await asyncio.sleep(0)
        return self.count


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, info: strawberry.Info, name: str = "you", times: int = 1) -> str:
        info.context.append("hello")
        return f"hello {name}" * times

    @strawberry.field
    def counted(self) -> list[Counted]:
        return [Counted(count=number) for number in range(3)]

    @strawberry.field(permission_classes=[Nobody])
    def secret(self) -> str:
        return "secret"

    @strawberry.field(extensions=[Louder()])
    def loud(self) -> str:
        return "loud"

    @strawberry.field
    def named(self, tree: Tree) -> str:
        return tree.name


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def change(self, info: strawberry.Info, to: int, fail: bool = False) -> int:
        info.context.append(f"begin {to}")
        await asyncio.sleep(0)
        if fail:
            raise ValueError("meant")
        info.context.append(f"end {to}")
        return to


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def counts(self, above: int) -> AsyncIterator[Counted]:
        yield Counted(count=above)


SCHEMA = strawberry.Schema(Query, Mutation, Subscription)._schema


def parts_of(text: str, name: str | None = None) -> tuple[DocumentNode, OperationDefinitionNode]:
    document = parse(text)
    assert not validate(SCHEMA, document)
    operations = [part for part in document.definitions if isinstance(part, OperationDefinitionNode)]
    return document, next(one for one in operations if name is None or (one.name and one.name.value == name))


async def outcome(plans: Plans, text: str, context: Any = None, operation: str | None = None, **variables: Any) -> Any:
    """Data and messages of a document's execution; None where it is left to graphql-core."""
    result: Any = plans.execute(*parts_of(text, operation), variables, [] if context is None else context)
    if result is not None and not isinstance(result, ExecutionResult):
        result = await result
    return None if result is None else (result.data, [error.message for error in result.errors or ()])


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("{ __schema { queryType { name } } }", {}),
        ('{ __type(name: "Query") { name } }', {}),
        ("{ secret }", {}),
        ("{ hello loud }", {}),
        ('{ hello named(tree: {name: "x"}) }', {}),
        ("query($tree: Tree!) { hello named(tree: $tree) }", {"tree": {"name": "x"}}),
        ("query($a: Boolean!, $b: Boolean!, $c: Boolean!, $d: Boolean!) { hello @skip(if: $a) "
         "... @skip(if: $b) { hello } ... @skip(if: $c) { hello } ... @skip(if: $d) { hello } }",
         dict.fromkeys("abcd", False)),
        ("query($name: String!) { hello(name: $name) }", {}),
        ("query($name: String!) { hello(name: $name) }", {"name": 1}),
        ("query($on: Boolean = true) { hello @include(if: $on) }", {"on": None}),
    ],
)  # fmt: skip
async def test_what_only_graphql_core_does_is_left_to_it_before_anything_is_executed(
    text: str, variables: dict[str, Any]
) -> None:
    ran: list[str] = []
    assert await outcome(Plans(SCHEMA), text, ran, **variables) is None
    assert ran == []


async def test_switched_off_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def execute_never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Plans, "execute", execute_never)
    operations = Operations(SCHEMA, Limits(), compiled=False)
    runnable = operations.runnable(GraphQLRequest("{ hello }", None, {}, {}), None)
    assert await operations.answer(runnable, [], "") == {"data": {"hello": "hello you"}}
    with pytest.raises(AssertionError):
        await Operations(SCHEMA, Limits()).answer(runnable, [], "")


async def test_a_plan_takes_other_variables_each_time() -> None:
    plans = Plans(SCHEMA)
    text = 'query($name: String = "ann", $times: Int) { hello(name: $name, times: $times) }'
    document, operation = parts_of(text)

    def data(**variables: Any) -> Any:
        result: Any = plans.execute(document, operation, variables, [])
        return result.data or result.errors[0].message

    assert data() == {"hello": "hello ann"}
    assert data(name="bob", times=2) == {"hello": "hello bobhello bob"}
    assert data(name="cy", unknown=1) == {"hello": "hello cy"}
    assert (
        data(times=None)
        == execute(SCHEMA, document, context_value=[], variable_values={"times": None}).errors[0].message
    )


async def test_conditions_select_other_fields_each_time() -> None:
    plans = Plans(SCHEMA)
    text = "query($a: Boolean!) { x: hello @include(if: $a) counted @skip(if: $a) { count } __typename }"
    document, operation = parts_of(text)
    for given, keys in ((True, ["x", "__typename"]), (False, ["counted", "__typename"]), (True, ["x", "__typename"])):
        result: Any = plans.execute(document, operation, {"a": given}, [])
        assert list(result.data) == keys


async def test_each_mutation_is_executed_once_and_after_the_one_before() -> None:
    ran: list[str] = []
    text = "mutation { a: change(to: 1) b: change(to: 2, fail: true) c: change(to: 3) }"
    assert await outcome(Plans(SCHEMA), text, ran) == (None, ["meant"])
    assert ran == ["begin 1", "end 1", "begin 2"]


async def test_one_operation_of_several_is_executed() -> None:
    text = "query One { hello } mutation Two { change(to: 2) }"
    assert await outcome(Plans(SCHEMA), text, operation="Two") == ({"change": 2}, [])
    assert await outcome(Plans(SCHEMA), text, operation="One") == ({"hello": "hello you"}, [])


async def test_an_event_of_a_subscription_is_executed_without_its_source() -> None:
    document, operation = parts_of("subscription { counts(above: 1) { count waited } }")
    result: Any = Plans(SCHEMA).execute(document, operation, {}, [], Counted(count=7))
    assert (await result).data == {"counts": {"count": 7, "waited": 7}}


async def test_siblings_are_awaited_together() -> None:
    assert await outcome(Plans(SCHEMA), "{ counted { waited count } }") == (
        {"counted": [{"waited": number, "count": number} for number in range(3)]},
        [],
    )


async def test_more_fields_than_are_compiled_are_left_to_graphql_core() -> None:
    def text(fields: int) -> str:
        return "{" + " ".join(f"a{number}: hello" for number in range(fields)) + "}"

    assert await outcome(Plans(SCHEMA), text(FIELDS_MAX)) is not None
    assert await outcome(Plans(SCHEMA), text(FIELDS_MAX + 1)) is None


async def test_fragments_spread_in_fragments_are_compiled_once_for_each_place_or_not_at_all() -> None:
    # Each level spreads the one below twice: 2 ** 20 fields, were they not merged.
    levels = " ".join(f"fragment F{level} on Query {{ ...F{level + 1} ...F{level + 1} }}" for level in range(20))
    text = f"{{ ...F0 }} {levels} fragment F20 on Query {{ hello }}"
    assert await outcome(Plans(SCHEMA), text) == ({"hello": "hello you"}, [])


async def test_plans_take_no_more_than_their_room() -> None:
    plans = Plans(build_schema()._schema)

    def plan(number: int) -> None:
        fields = " ".join(f"a{number}_{alias}: viewer {{ scopes }}" for alias in range(40))
        document = parse(f"query($none: Boolean) {{ {fields} viewer @skip(if: true) {{ scopes }} }}")
        plans.execute(document, document.definitions[0], {"none": 1}, None)  # type: ignore[arg-type]

    plan(0)
    tracemalloc.start()
    for number in range(1, 21):
        plan(number)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < plans.kept_bytes < 3 * taken
    for number in range(21, 81):
        plan(number)
    assert KEPT_BYTES_MAX / 2 < plans.kept_bytes <= KEPT_BYTES_MAX
