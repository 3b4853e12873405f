"""What one request may ask for: each limit is met exactly, and one more is refused with its name and numbers."""

import time

import pytest
from graphql import get_introspection_query
from toy import asking, toy_app, toy_schema

from web.app import _LIMITS, executable_schema
from web.graphql_documents import DocumentRefused, Documents
from web.graphql_limits import LimitReached, Limits

IN_WORDS = {
    "spreads": "fragment spreads",
    "same_name": "fields of one name in one place",
    "spread_out": "fields with all fragments spread out",
}


def nested(depth: int) -> str:
    return "{ item " + "{ child " * (depth - 2) + "{ name }" + " }" * (depth - 2) + " }"


def refused(limits: Limits, query: str, variables: dict[str, object] | None = None) -> LimitReached | None:
    try:
        document = Documents(toy_schema(), limits).prepared(query)
        for operation in document.operations.values():
            operation.price.check(variables or {})
    except LimitReached as reached:
        return reached
    return None


@pytest.mark.parametrize(
    ("limit", "allowed", "fits", "too_much"),
    [
        ("depth", 5, nested(5), nested(6)),
        ("depth", 3, "{ ...A } fragment A on Query { item { child { name } } }",
         "{ ...A } fragment A on Query { item { child { child { name } } } }"),
        ("aliases", 2, "{ a: hello b: hello }", "{ a: hello b: hello ... { c: hello } }"),
        ("fields", 3, "{ hello item { name } }", "{ hello ...A } fragment A on Query { hello item { name } }"),
        ("directives", 1, "{ hello @skip(if: false) }", "{ hello @skip(if: false) ... @skip(if: false) { hello } }"),
        ("fragments", 1, "{ ...A } fragment A on Query { hello }",
         "{ ...A ...B } fragment A on Query { hello } fragment B on Query { hello }"),
        ("spreads", 1, "{ ... { hello } }", "{ ... { ...A } } fragment A on Query { hello }"),
        ("same_name", 2, "{ hello hello item { name } }", "{ hello ... { hello ...A } } fragment A on Query { hello }"),
        ("same_name", 2, "{ item { name } ...A } fragment A on Query { item { name } }",
         "{ item { name } ...A } fragment A on Query { item { ...B ... { name } } } fragment B on Item { name }"),
        ("spread_out", 8, "{ a: item { ...A } } fragment A on Item { name child { name } }",
         "{ a: item { ...A } b: item { ...A } } fragment A on Item { name child { name } }"),
        ("tokens", 6, "{ a: hello } # c", '{ a: hello(name: "b") }'),
        ("comments", 1, "# a\n{ hello }", "# a\n# b\n{ hello }"),
    ],
)  # fmt: skip
def test_a_limit_is_met_and_no_more(limit: str, allowed: int, fits: str, too_much: str) -> None:
    limits = Limits(**{limit: allowed})
    assert refused(limits, fits) is None
    reached = refused(limits, too_much)
    assert reached is not None
    assert (reached.limit, reached.allowed) == (IN_WORDS.get(limit, limit), allowed)


@pytest.mark.parametrize(
    ("cost", "query", "variables"),
    [
        (1, "{ hello }", {}),
        (3, "{ item { child { name } } }", {}),
        # A plain list counts as ten, a page as fifty where nothing else is said.
        (1 + 10 * 1 + 1, "{ item { children { name } } }", {}),
        (1 + 1 + 1 + 50 * 1, "{ item { page { nodes { name } } } }", {}),
        (1 + 1 + 1 + 7 * 1, "{ item { page(first: 7) { nodes { name } } } }", {}),
        (1 + 1 + 1 + 8 * 1, "query($n: Int) { item { page(last: $n) { nodes { name } } } }", {"n": 8}),
        (1 + 1 + 1 + 9 * 1, "query($n: Int = 9) { item { page(first: $n) { nodes { name } } } }", {}),
        # Beyond the largest page the field itself refuses, in its own words.
        (1 + 1 + 1 + 1000, "{ item { page(first: 2000000000) { nodes { name } } } }", {}),
        (1 + 1 + 1 + 0, "{ item { page(first: -5) { nodes { name } } } }", {}),
        (1 + 1 + 1 + 50, "query($n: Int) { item { page(first: $n) { nodes { name } } } }", {"n": None}),
        (1 + 1 + 1 + 50, "query($n: Int) { item { page(first: $n) { nodes { name } } } }", {"n": "x"}),
        (1 + 3, '{ items(wanted: {names: ["a", "b", "c"]}) { name } }', {}),
        (1 + 2, "query($w: Wanted!) { items(wanted: $w) { name } }", {"w": {"names": ["a", "b"]}}),
        (1 + 2, "query($n: [String!]!) { items(wanted: {names: $n}) { name } }", {"n": ["a", "b"]}),
        (1 + 4 * (1 + 1 + 50), "query($w: Wanted!) { items(wanted: $w) { page { nodes { name } } } }",
         {"w": {"names": list("abcd")}}),
        (6, "{ ...A ...A } fragment A on Query { item { child { name } } }", {}),
        (3, "{ __schema { queryType { name } } }", {}),
        (1, "{ __typename }", {}),
    ],
)  # fmt: skip
def test_the_price_is_the_number_of_fields_answered(cost: int, query: str, variables: dict[str, object]) -> None:
    reached = refused(Limits(cost=0), query, variables)
    assert reached is not None
    assert (reached.limit, reached.given) == ("cost", cost)
    assert refused(Limits(cost=cost), query, variables) is None


def test_a_field_that_is_dear_costs_more_and_what_is_below_it_as_ever() -> None:
    limits = Limits(cost=0, dear_fields={"Item.child": 7, "Item.name": 3})
    for query, cost in (
        ("{ item { child { name } } }", 1 + 7 + 3),
        ("query($n: [String!]!) { items(wanted: {names: $n}) { child { name } } }", 1 + 4 * (7 + 3)),
        ("{ ...A } fragment A on Query { item { n: name m: name } }", 1 + 3 + 3),
    ):
        reached = refused(limits, query, {"n": list("abcd")})
        assert reached is not None
        assert reached.given == cost


EVERYTHING = """address allowed reasons { code }
    unsubscribe(messageId: "m") { preferenceCenterUrl oneClickUrl headers { name value } } receipt"""


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ("address allowed", True),
        ("address allowed decidedAt reasons { code value enforcement message purpose { key name } topic { key name } }",
         True),
        ("address allowed position decidedAt reasons { code value message } receipt", True),
        (EVERYTHING, True),
        ("a: receipt b: receipt", False),
        (" ".join(f"u{n}: unsubscribe {{ oneClickUrl }}" for n in range(6)), False),
    ],
)  # fmt: skip
def test_a_batch_of_ten_thousand_is_priced_by_what_is_asked_of_each(fields: str, fits: bool) -> None:
    query = f'query($a: [String!]!) {{ checkConsents(input: {{addresses: $a, purpose: "p"}}) {{ {fields} }} }}'
    (operation,) = Documents(executable_schema(), _LIMITS).prepared(query).operations.values()
    variables = {"a": ["x@example.com"] * 10_000}
    if fits:
        operation.price.check(variables)
    else:
        with pytest.raises(LimitReached, match="cost"):
            operation.price.check(variables)


def test_each_request_is_priced_by_its_own_variables() -> None:
    query = """query($w: Wanted!, $n: Int) {
        items(wanted: $w) { name } item { page(first: $n) { nodes { name } } } other: items(wanted: {names: ["a"]}) { name }
    }"""
    (operation,) = Documents(toy_schema(), Limits()).prepared(query).operations.values()
    for names, first in ((2, 3), (2, 3), (4, 3), (4, 5), (2, 3), (0, 0)):
        given = operation.price.check({"w": {"names": ["x"] * names}, "n": first})
        assert given == (1 + names) + (1 + 1 + 1 + first) + (1 + 1), (names, first)


def test_fragments_that_double_at_each_step_are_priced_at_once() -> None:
    steps = "".join(
        f"fragment F{n} on Item {{ a: child {{...F{n + 1}}} b: child {{...F{n + 1}}} }} " for n in range(12)
    )
    started = time.process_time()
    reached = refused(Limits(cost=1000), "{ item { ...F0 } } " + steps + "fragment F12 on Item { name }")
    assert reached is not None
    assert reached.given is not None
    assert reached.given > 2**12
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "query",
    [
        "{" + "hello " * 1000 + "}",
        "{" + "".join(f"...F{n} " for n in range(500)) + "}"
        + "".join(f"fragment F{n} on Query {{ hello }} " for n in range(500)),
        "{" + "item {" * 5000 + "}" * 5000 + "}",
        "{ hello " + "@include(if: true) " * 3000 + "}",
        "{ " + "nothing " * 1000 + "}",
        "{ hello(name: " + "[" * 7000 + "]" * 7000 + ") }",
        "{ hello }" + "#\n" * 200_000,
    ],
)  # fmt: skip
async def test_hostile_documents_are_dealt_with_quickly(query: str) -> None:
    async with asking(toy_app()) as client:
        started = time.process_time()
        response = await client.post("/graphql", json={"query": query})
        assert time.process_time() - started < 3
        assert response.status_code == 200
        assert len(response.json().get("errors", [])) <= 11


FRAGMENTS = "".join(f"fragment F{n} on Query {{ item {{ name }} }} " for n in range(490))


@pytest.mark.parametrize(
    ("limit", "query"),
    [
        ("fields of one name in one place", "{" + "item { child { name } } " * 330 + "}"),
        ("fields of one name in one place", "{" + "... on Query { item { name } } " * 200 + "}"),
        ("fragment spreads", "{" + "... on Query { item { name } } " * 450 + "}"),
        ("fragments", "{" + " ".join(f"...F{n}" for n in range(490)) + "}" + FRAGMENTS),
    ],
)  # fmt: skip
def test_what_validation_would_compare_pairwise_is_refused_before_it(
    limit: str, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.graphql_documents.validate", None)
    reached = refused(Limits(), query)
    assert reached is not None
    assert reached.limit == limit


@pytest.mark.parametrize(
    "query",
    [
        "{ ...A } fragment A on Query { item { ...B } } fragment B on Item { child { ...B } }",
        "{ ...A } fragment A on Query { ...A }",
        "{ ...Nowhere }",
    ],
)
def test_a_document_that_is_invalid_is_told_so(query: str) -> None:
    with pytest.raises(DocumentRefused) as told:
        Documents(toy_schema(), Limits()).prepared(query)
    assert told.value.code == "GRAPHQL_VALIDATION_FAILED"


def test_the_introspection_that_tools_send_fits() -> None:
    query = get_introspection_query(
        input_value_deprecation=True, specified_by_url=True, directive_is_repeatable=True, schema_description=True
    )
    assert refused(Limits(), query) is None


async def test_a_limit_is_a_graphql_error_with_its_numbers() -> None:
    async with asking(toy_app(limits=Limits(depth=2))) as client:
        response = await client.post(
            "/graphql", json={"query": nested(5)}, headers={"accept": "application/graphql-response+json"}
        )
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["extensions"] == {"code": "LIMIT_EXCEEDED", "limit": "depth", "allowed": 2, "given": 5}


def test_documents_are_kept_by_their_text_and_their_length_is_bounded() -> None:
    documents = Documents(toy_schema(), Limits())
    first = documents.prepared("{ hello }")
    assert documents.prepared("{ hello }") is first
    for number in range(200):
        documents.prepared(f"{{ hello }} # {number} " + "x" * 2_000)
    assert documents._kept_chars <= 200_000
    assert sum(map(len, documents._kept)) == documents._kept_chars
    assert documents.prepared("{ hello }") is not first
