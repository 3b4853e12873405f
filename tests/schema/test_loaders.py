"""No query runs SQL per item: a page of 50 with everything selected takes the statements of a page of 5.

Where two fields of one document need the same loader, their batches fall together or not as the database answers: a few
statements more or less. One statement an item would be 45 more.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from graphql import (
    GraphQLField,
    GraphQLNamedType,
    get_named_type,
    is_interface_type,
    is_leaf_type,
    is_object_type,
)

from ledger.api_keys import create_key
from ledger.assembly import Ledger
from schema.schema import Schema
from tests.schema.conftest import Asker

# Arguments of fields that need some; lists are kept short enough to be answered in a moment.
ARGUMENTS = {
    "consent": '(purpose: "commercial", topic: "news")',
    "history": "(last: 3)",
}
DEPTH = 6


def everything(named: GraphQLNamedType, depth: int = DEPTH, above: tuple[str, ...] = ()) -> str:
    """A selection of every field of a type, `depth` deep, that goes through no type twice."""
    if not (is_object_type(named) or is_interface_type(named)):
        return ""
    selections = [selected(name, field, depth, (*above, named.name)) for name, field in named.fields.items()]
    return "{ __typename " + " ".join(selection for selection in selections if selection) + " }"


def selected(name: str, field: GraphQLField, depth: int, above: tuple[str, ...]) -> str:
    of = get_named_type(field.type)
    if is_leaf_type(of):
        return name
    if depth == 0 or of.name in above:
        return ""
    return f"{name}{ARGUMENTS.get(name, '')} {everything(of, depth - 1, above)}"


@pytest.fixture
async def statements(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that the ledger ran since this list was cleared."""
    ran: list[str] = []
    connect = ledger.connection

    def note(query: Any) -> None:
        ran.append(query.query)

    @contextlib.asynccontextmanager
    async def connection() -> AsyncIterator[Any]:
        async with connect() as connection:
            with connection.query_logger(note):
                yield connection

    monkeypatch.setattr(ledger, "connection", connection)
    return ran


@pytest.fixture
async def prepared(ask: Asker) -> Asker:
    await create_key(ask.tenant, "tests", ["read"])
    await ask.data(
        'mutation { createTopic(input: {key: "news", name: "News", purpose: "commercial"}) { errors { code } } }'
    )
    consents = [
        {
            "address": f"p{number}@example.org",
            "purpose": "commercial",
            "topic": topic,
            "value": value,
            "reason": "words of one's own",
            "evidence": {"ipAddress": "192.0.2.7", "noticeText": f"Notice {number}"},
            "actor": {"kind": "USER", "id": "bob"},
        }
        for number in range(50)
        for topic, value in ((None, "OPTED_IN"), ("news", "OPTED_OUT"), ("news", "OPTED_IN"))
    ]
    document = "mutation($i: RecordConsentsInput!) { recordConsents(input: $i) { refused } }"
    assert (await ask.data(document, i={"consents": consents}))["recordConsents"] == {"refused": 0}
    return ask


def assert_flat(counts: list[int]) -> None:
    """Of 5 and 50 items."""
    assert abs(counts[1] - counts[0]) < 20, counts
    assert max(counts) < 70, counts


PAGES = {
    "contactPoints": '(filter: {purpose: "commercial"}, first: %d)',
    "consentEvents": "(last: %d)",
    "complianceProfiles": "(first: %d)",
}


@pytest.mark.parametrize("field", PAGES)
async def test_a_page_of_50_takes_the_statements_of_a_page_of_5(
    prepared: Asker, schema: Schema, statements: list[str], field: str
) -> None:
    query = schema._schema.query_type
    assert query is not None
    selection = everything(get_named_type(query.fields[field].type))
    counts: list[int] = []
    # The first one of a process counts what is kept then.
    await prepared.data(f"{{ {field}{PAGES[field] % 5} {selection} }}")
    for size in (5, 50):
        statements.clear()
        data = await prepared.data(f"{{ {field}{PAGES[field] % size} {selection} }}")
        counts.append(len(statements))
        assert len(data[field]["edges"]) == (1 if field == "complianceProfiles" else size)
    assert_flat(counts)


@pytest.mark.parametrize("times", ["", ', knownAt: "2096-01-01T00:00:00Z"'])
async def test_a_batch_of_50_takes_the_statements_of_a_batch_of_5(
    prepared: Asker, schema: Schema, statements: list[str], times: str
) -> None:
    query = schema._schema.query_type
    assert query is not None
    selection = everything(get_named_type(query.fields["checkConsents"].type))
    document = f"""query($a: [String!]!) {{
      checkConsents(input: {{addresses: $a, purpose: "commercial", topic: "news"{times}}}) {selection} }}"""
    counts: list[int] = []
    for size in (5, 50):
        statements.clear()
        await prepared.data(document, a=[f"p{number}@example.org" for number in range(size)])
        counts.append(len(statements))
    assert_flat(counts)


async def test_50_nodes_take_the_statements_of_5(prepared: Asker, schema: Schema, statements: list[str]) -> None:
    page = await prepared.data(
        '{ contactPoints(filter: {purpose: "commercial"}, first: 50) { nodes { id } } consentEvents { nodes { id } } }'
    )
    ids = [node["id"] for field in page.values() for node in field["nodes"]]
    types = schema._schema.type_map
    document = f"""query($ids: [ID!]!) {{ nodes(ids: $ids) {{
      ... on ContactPoint {everything(types["ContactPoint"])}
      ... on ConsentEvent {everything(types["ConsentEvent"])}
    }} }}"""
    counts: list[int] = []
    for size in (5, 50):
        statements.clear()
        await prepared.data(document, ids=ids[:size] + ids[50 : 50 + size])
        counts.append(len(statements))
    assert_flat(counts)


async def test_the_answers_of_a_bulk_are_read_together(prepared: Asker, statements: list[str]) -> None:
    document = """mutation($i: RecordConsentsInput!) { recordConsents(input: $i) { results {
      event { evidence purpose { name } contactPoint { address } application { name } }
      consent { value source reason event { position } application { name } } } } }"""
    counts: list[int] = []
    for size in (5, 50):
        statements.clear()
        consents = [
            {"address": f"q{number}@example.org", "purpose": "commercial", "value": "OPTED_IN", "reason": "mine"}
            for number in range(size)
        ]
        await prepared.data(document, i={"consents": consents})
        counts.append(len(statements))
    assert_flat(counts)


async def test_the_total_is_counted_only_where_it_is_asked_for(prepared: Asker, statements: list[str]) -> None:
    for selection, counted in (("nodes { id }", False), ("totalCount", True)):
        for document in (
            f'{{ contactPoints(filter: {{purpose: "commercial"}}) {{ {selection} }} }}',
            f'{{ consentEvents(filter: {{purpose: "commercial"}}) {{ {selection} }} }}',
            f'{{ contactPoint(address: "p1@example.org") {{ history {{ {selection} }} }} }}',
        ):
            statements.clear()
            await prepared.data(document)
            assert any("count(*)" in statement for statement in statements) is counted, document
