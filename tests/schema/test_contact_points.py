"""contactPoint, contactPoints: consent, contactability, history, filters and pages."""

from typing import Any

import pytest

from domain.refusals import RefusalCode
from tests.schema.conftest import Asker

PAGE = """
query($filter: ContactPointFilter!, $first: Int, $after: String) {
  contactPoints(filter: $filter, first: $first, after: $after) {
    totalCount nodes { address } edges { cursor node { address } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""


async def test_an_address_is_found_however_it_is_spelled(ask: Asker) -> None:
    await ask.record("ann@example.org", "OPTED_IN")
    data = await ask.data('{ contactPoint(address: " ANN@example.ORG") { channel address createdAt erasedAt } }')
    assert data["contactPoint"]["address"] == "ann@example.org"
    assert data["contactPoint"]["channel"] == "EMAIL"
    assert data["contactPoint"]["erasedAt"] is None
    assert await ask.data('{ contactPoint(address: "bob@example.org") { id } }') == {"contactPoint": None}
    assert await ask.data('{ contactPoint(channel: CUSTOM, address: "ann@example.org") { id } }') == {
        "contactPoint": None
    }


@pytest.mark.parametrize("address", ["none", "", "\x00@example.org", "\ud800@example.org"])
async def test_what_is_no_address_is_refused(ask: Asker, address: str) -> None:
    refusal = await ask.refused("query($a: String!) { contactPoint(address: $a) { id } }", a=address)
    assert (refusal.code, refusal.path) == (RefusalCode.INVALID_ADDRESS, ("address",))


async def test_consent_for_a_purpose_and_for_a_topic(ask: Asker) -> None:
    await ask.data(
        'mutation { createTopic(input: {key: "news", name: "News", purpose: "commercial"}) { errors { code } } }'
    )
    first = await ask.record("ann@example.org", "OPTED_IN", effectiveAt="2026-01-01T00:00:00Z", topic="news")
    await ask.record("ann@example.org", "OPTED_OUT", topic="news", source="FORM", reason="too much")
    data = await ask.data(
        """query($then: DateTime!) { contactPoint(address: "ann@example.org") {
          purpose: consent(purpose: "commercial") {
            value topic { key } effectiveAt source event { id } application { key }
          }
          topic: consent(purpose: "commercial", topic: "news") { value topic { key } source reason }
          then: consent(purpose: "commercial", topic: "news", asOf: $then) { value event { position } }
          known: consent(purpose: "commercial", topic: "news", knownAt: "2020-01-01T00:00:00Z") { value }
        } }""",
        then="2026-01-01T00:00:00Z",
    )
    assert data["contactPoint"] == {
        "purpose": {
            "value": "NOT_SET",
            "topic": None,
            "effectiveAt": None,
            "source": None,
            "event": None,
            "application": None,
        },
        "topic": {"value": "OPTED_OUT", "topic": {"key": "news"}, "source": "FORM", "reason": "too much"},
        "then": {"value": "OPTED_IN", "event": {"position": first["position"]}},
        "known": {"value": "NOT_SET"},
    }


@pytest.mark.parametrize(
    ("arguments", "code", "path"),
    [
        ('purpose: "nope"', RefusalCode.NOT_FOUND, ("purpose",)),
        ('purpose: "commercial", topic: "nope"', RefusalCode.NOT_FOUND, ("topic",)),
        ('purpose: "transactional", topic: "news"', RefusalCode.TOPIC_OUTSIDE_PURPOSE, ("topic",)),
    ],
)
async def test_consent_refuses_what_is_not_there_and_the_rest_answers(
    ask: Asker, arguments: str, code: RefusalCode, path: tuple[str, ...]
) -> None:
    await ask.data(
        'mutation { createTopic(input: {key: "news", name: "News", purpose: "commercial"}) { errors { code } } }'
    )
    await ask.record("ann@example.org", "OPTED_IN")
    answered = await ask(
        '{ good: contactPoint(address: "ann@example.org") { consent(purpose: "commercial") { value } }'
        f'  bad: contactPoint(address: "ann@example.org") {{ consent({arguments}) {{ value }} }} }}'
    )
    assert answered.data == {"good": {"consent": {"value": "OPTED_IN"}}, "bad": None}
    assert [error.path for error in answered.errors] == [["bad", "consent"]]
    cause = answered.cause
    assert (getattr(cause, "code", None), getattr(cause, "path", None)) == (code, path)


async def test_contactability_has_a_row_for_each_purpose_and_topic(ask: Asker) -> None:
    await ask.data(
        'mutation { createTopic(input: {key: "news", name: "News", purpose: "commercial"}) { errors { code } } }'
    )
    await ask.record("ann@example.org", "OPTED_OUT")
    data = await ask.data(
        """{ contactPoint(address: "ann@example.org") { contactability {
          purpose { key } topic { key } value contactability reasons { code topic { key } event { value } } } } }"""
    )
    out = {"code": "OPTED_OUT", "topic": None, "event": {"value": "OPTED_OUT"}}
    blocks = {"code": "PURPOSE_BLOCKS_TOPIC", "topic": {"key": "news"}, "event": None}

    def row(purpose: str, topic: str | None, value: str, contactability: str, *reasons: Any) -> Any:
        return {
            "purpose": {"key": purpose},
            "topic": topic and {"key": topic},
            "value": value,
            "contactability": contactability,
            "reasons": list(reasons),
        }

    disabled = {"code": "ENFORCEMENT_DISABLED", "topic": None, "event": None}
    not_set = {"code": "NOT_SET_ALLOWED", "topic": None, "event": None}
    assert data["contactPoint"]["contactability"] == [
        row("commercial", None, "OPTED_OUT", "WILL_NOT_SEND", out),
        row("commercial", "news", "NOT_SET", "WILL_NOT_SEND", out, blocks),
        row("transactional", None, "NOT_SET", "WILL_SEND", disabled),
        row("tracking", None, "NOT_SET", "WILL_TRACK", not_set),
    ]


async def test_history_is_what_happened_here_in_log_order(ask: Asker) -> None:
    for value in ("OPTED_IN", "OPTED_OUT", "NOT_SET"):
        await ask.record("ann@example.org", value)
        await ask.record("bob@example.org", value)
    data = await ask.data(
        """{ contactPoint(address: "ann@example.org") {
          all: history { totalCount nodes { value position } pageInfo { hasNextPage hasPreviousPage } }
          last: history(last: 1) { totalCount nodes { value } pageInfo { hasNextPage hasPreviousPage } }
          out: history(filter: {values: [OPTED_OUT]}) { totalCount nodes { value } }
          none: history(first: 0) { totalCount nodes { value } pageInfo { hasNextPage endCursor } }
        } }"""
    )
    found = data["contactPoint"]
    assert [event["value"] for event in found["all"]["nodes"]] == ["OPTED_IN", "OPTED_OUT", "NOT_SET"]
    assert found["all"]["totalCount"] == 3
    assert found["all"]["pageInfo"] == {"hasNextPage": False, "hasPreviousPage": False}
    assert found["last"] == {
        "totalCount": 3,
        "nodes": [{"value": "NOT_SET"}],
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": True},
    }
    assert found["out"] == {"totalCount": 1, "nodes": [{"value": "OPTED_OUT"}]}
    assert found["none"] == {"totalCount": 3, "nodes": [], "pageInfo": {"hasNextPage": True, "endCursor": None}}


async def test_pages_of_a_selection_go_through_all_of_it_once(ask: Asker) -> None:
    addresses = {f"p{number}@example.org" for number in range(7)}
    for address in addresses:
        await ask.record(address, "OPTED_OUT")
    await ask.record("in@example.org", "OPTED_IN")
    seen: list[str] = []
    after = None
    while True:
        asked = {"purpose": "commercial", "contactability": "WILL_NOT_SEND"}
        page = (await ask.data(PAGE, filter=asked, first=3, after=after))["contactPoints"]
        assert page["totalCount"] == 7
        assert page["nodes"] == [edge["node"] for edge in page["edges"]]
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        assert page["pageInfo"]["endCursor"] == page["edges"][-1]["cursor"]
        seen += [node["address"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert len(seen) == 7
    assert set(seen) == addresses


@pytest.mark.parametrize(
    ("asked", "address"),
    [
        ({"value": "OPTED_IN"}, "in@example.org"),
        ({"value": "OPTED_OUT"}, "out@example.org"),
        ({"value": "NOT_SET"}, "reset@example.org"),
        ({"contactability": "WILL_NOT_SEND"}, "out@example.org"),
        ({"contactability": "WILL_SEND", "value": "NOT_SET"}, "reset@example.org"),
    ],
)
async def test_whom_one_will_reach_and_who_has_opted(ask: Asker, asked: dict[str, str], address: str) -> None:
    await ask.record("in@example.org", "OPTED_IN")
    await ask.record("out@example.org", "OPTED_OUT")
    await ask.record("reset@example.org", "NOT_SET")
    page = (await ask.data(PAGE, filter={"purpose": "commercial", **asked}))["contactPoints"]
    assert page["nodes"] == [{"address": address}]
    assert page["totalCount"] == 1


@pytest.mark.parametrize(
    ("variables", "code", "path"),
    [
        ({"filter": {"purpose": "nope"}}, RefusalCode.NOT_FOUND, ("purpose",)),
        ({"filter": {"purpose": "commercial", "profile": "nope"}}, RefusalCode.NOT_FOUND, ("profile",)),
        ({"filter": {"purpose": "commercial", "topic": "\x00"}}, RefusalCode.NOT_FOUND, ("topic",)),
        (
            {"filter": {"purpose": "commercial", "contactability": "WILL_TRACK"}},
            RefusalCode.INVALID,
            ("contactability",),
        ),
        ({"filter": {"purpose": "commercial"}, "after": "nope"}, RefusalCode.INVALID, ("after",)),
        ({"filter": {"purpose": "commercial"}, "after": "\ud800"}, RefusalCode.INVALID, ("after",)),
        ({"filter": {"purpose": "commercial"}, "first": -1}, RefusalCode.INVALID, ("first",)),
    ],
)
async def test_a_selection_is_refused_with_the_inputs_path(
    ask: Asker, variables: dict[str, Any], code: RefusalCode, path: tuple[str, ...]
) -> None:
    refusal = await ask.refused(PAGE, **variables)
    assert (refusal.code, refusal.path) == (code, path)


async def test_a_page_has_at_most_1_000_items(ask: Asker) -> None:
    limit = await ask.over_limit(PAGE, filter={"purpose": "commercial"}, first=1_001)
    assert (limit.limit, limit.allowed, limit.given) == ("first", 1_000, 1_001)
