"""What plans take: accounted for as long as they are kept, whatever was executed, and never more than the room."""

import pytest
from graphql import parse
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.plans import plans as module
from schema.plans.plans import KEPT_BYTES_MAX, Plans
from tests.web.toy import toy_schema
from web.graphql_limits import Limits
from web.graphql_operations import Operations
from web.graphql_request import GraphQLRequest

_SCHEMA = toy_schema()
_FIELDS = " ".join(f"a{number}: __typename" for number in range(199))


def _grows(comment: int) -> str:
    return f"query($x: Boolean!) {{ {_FIELDS} z: __typename @include(if: $x) }} #" + "x" * comment


def _check(plans: Plans) -> None:
    assert plans.kept_bytes == sum(kept.bytes for kept in plans._kept.values())
    assert 0 <= plans.kept_bytes <= module.KEPT_BYTES_MAX


@given(
    st.lists(st.sampled_from([0, 3, 5, 7, 20]), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=20),
    st.integers(1, 12),
)
@settings(deadline=None, max_examples=60)
def test_what_is_accounted_for_is_what_is_kept(
    comments: list[int], executed: list[tuple[int, bool]], room: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "KEPT_BYTES_MAX", room * 4_000)
        documents = [
            parse(f"query($x: Boolean!) {{ a: __typename b: __typename @include(if: $x) }} #{'x' * 40 * comment}")
            for comment in comments
        ]
        plans = Plans(_SCHEMA)
        for number, on in executed:
            document = documents[number % len(documents)]
            assert plans.execute(document, document.definitions[0], {"x": on}, None) is not None  # type: ignore[arg-type]
            _check(plans)


def test_what_is_larger_than_all_the_room_is_never_kept_and_flushes_nothing() -> None:
    plans = Plans(_SCHEMA)
    small = parse("{ __typename }")
    plans.execute(small, small.definitions[0], {}, None)  # type: ignore[arg-type]
    before = plans.kept_bytes
    for number in range(30):
        large = parse(_grows(140_000))
        result = plans.execute(large, large.definitions[0], {"x": number % 2 == 0}, None)  # type: ignore[arg-type]
        assert result is not None
        assert plans.kept_bytes == before < KEPT_BYTES_MAX
    assert id(small.definitions[0]) in plans._kept
    _check(plans)


async def test_a_document_that_is_not_kept_has_no_plan_kept() -> None:
    operations = Operations(_SCHEMA, Limits())
    plans = operations._plans
    assert plans is not None

    async def data(text: str) -> dict[str, object]:
        runnable = operations.runnable(GraphQLRequest(text, None, {"x": True}, {}), "tenant")
        return (await operations.answer(runnable, None, ""))["data"]

    short = await data(_grows(0))
    kept, taken = list(plans._kept), plans.kept_bytes
    assert len(kept) == 1
    assert await data(_grows(30_000)) == short
    assert (list(plans._kept), plans.kept_bytes) == (kept, taken)
