"""consentEvents: everything that happened, forward and backward, by filters; and what each event shows."""

from base64 import b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any

import pytest

from domain.refusals import RefusalCode
from ledger.api_keys import create_key
from tests.schema.conftest import Asker

EVENTS = """
query($filter: ConsentEventFilter, $first: Int, $after: String, $last: Int, $before: String) {
  consentEvents(filter: $filter, first: $first, after: $after, last: $last, before: $before) {
    totalCount nodes { position } edges { cursor }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""
CREATION = 7  # events of a new tenant: tenant, unit, three purposes, profile, signing key


def positions(page: Any) -> list[int]:
    return [node["position"] for node in page["nodes"]]


async def page_of(ask: Asker, **variables: Any) -> Any:
    return (await ask.data(EVENTS, **variables))["consentEvents"]


async def test_forward_and_backward_meet_every_event_once(ask: Asker) -> None:
    for number in range(5):
        await ask.record(f"p{number}@example.org", "OPTED_IN")
    everything = list(range(CREATION + 5))
    forward: list[int] = []
    after = None
    while True:
        page = await page_of(ask, first=4, after=after)
        assert page["pageInfo"]["hasPreviousPage"] is bool(forward)
        forward += positions(page)
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    backward: list[int] = []
    before = None
    while True:
        page = await page_of(ask, last=4, before=before)
        assert page["pageInfo"]["hasNextPage"] is bool(backward)
        backward = positions(page) + backward
        before = page["pageInfo"]["startCursor"]
        if not page["pageInfo"]["hasPreviousPage"]:
            break
    assert forward == backward == everything
    assert page["totalCount"] == len(everything)
    between = await page_of(ask, first=3, after=after_of(await page_of(ask, first=2)), before=before_of(page))
    assert positions(between) == []


def after_of(page: Any) -> str:
    return page["pageInfo"]["endCursor"]


def before_of(page: Any) -> str:
    return page["pageInfo"]["startCursor"]


async def test_a_cursor_works_with_any_filter(ask: Asker) -> None:
    await ask.record("a@example.org", "OPTED_IN")
    cursor = (await page_of(ask, last=1))["edges"][0]["cursor"]
    await ask.record("a@example.org", "OPTED_OUT")
    page = await page_of(ask, after=cursor, filter={"values": ["OPTED_IN", "OPTED_OUT"]})
    assert positions(page) == [CREATION + 1]
    assert page["totalCount"] == 2


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"types": ["ConsentCaptured"]}, [7, 8, 9]),
        ({"types": ["PurposeCreated", "TenantCreated"]}, [0, 2, 3, 4]),
        ({"types": []}, []),
        ({"channel": "SMS"}, [9]),
        ({"purpose": "transactional"}, [3, 8]),
        ({"values": ["OPTED_OUT"]}, [8]),
        ({"sources": ["FORM"]}, [9]),
        ({"application": "tests", "types": ["ConsentCaptured"]}, [7, 8, 9]),
        ({"application": "another"}, []),
        ({"fromPosition": 8}, [8, 9]),
        ({"toPosition": "1"}, [0, 1]),
        ({"fromPosition": 9007199254740991}, []),
        ({"recordedTo": "2020-01-01T00:00:00Z"}, []),
        ({"recordedFrom": "2020-01-01T00:00:00Z", "fromPosition": 9}, [9]),
    ],
)
async def test_filters(ask: Asker, asked: dict[str, Any], found: list[int]) -> None:
    await ask.record("a@example.org", "OPTED_IN")
    await ask.record("a@example.org", "OPTED_OUT", purpose="transactional")
    await ask.record("+4930123456", "OPTED_IN", channel="SMS", source="FORM")
    page = await page_of(ask, filter=asked)
    assert positions(page) == found
    assert page["totalCount"] == len(found)


@pytest.mark.parametrize(
    ("variables", "code", "path"),
    [
        ({"first": 1, "last": 1}, RefusalCode.INVALID, ("last",)),
        ({"first": -1}, RefusalCode.INVALID, ("first",)),
        ({"last": -1}, RefusalCode.INVALID, ("last",)),
        ({"after": "nope"}, RefusalCode.INVALID, ("after",)),
        ({"before": "\x00"}, RefusalCode.INVALID, ("before",)),
        ({"before": "\ud800"}, RefusalCode.INVALID, ("before",)),
        ({"filter": {"purpose": "nope"}}, RefusalCode.NOT_FOUND, ("purpose",)),
        ({"filter": {"topic": "\ud800"}}, RefusalCode.NOT_FOUND, ("topic",)),
        ({"filter": {"types": ["Nope"]}}, RefusalCode.INVALID, ("types",)),
        ({"filter": {"types": ["\x00"]}}, RefusalCode.INVALID, ("types",)),
        ({"filter": {"application": "a\x00"}}, RefusalCode.INVALID, ("application",)),
        ({"filter": {"application": "\ud800"}}, RefusalCode.INVALID, ("application",)),
    ],
)
async def test_a_page_is_refused_with_the_arguments_path(
    ask: Asker, variables: dict[str, Any], code: RefusalCode, path: tuple[str, ...]
) -> None:
    refusal = await ask.refused(EVENTS, **variables)
    assert (refusal.code, refusal.path) == (code, path)


@pytest.mark.parametrize("place", ["", "x", "-1", "1" * 19, "1.0", "\u0661"])
async def test_a_cursor_that_was_made_up_is_refused(ask: Asker, place: str) -> None:
    made_up = urlsafe_b64encode(f"1:event:{ask.tenant.key}:{place}".encode()).rstrip(b"=").decode()
    refusal = await ask.refused(EVENTS, after=made_up)
    assert (refusal.code, refusal.path) == (RefusalCode.INVALID, ("after",))


@pytest.mark.parametrize("argument", ["first", "last"])
async def test_a_page_has_at_most_1_000_items(ask: Asker, argument: str) -> None:
    limit = await ask.over_limit(EVENTS, **{argument: 1_001})
    assert (limit.limit, limit.allowed, limit.given) == (argument, 1_000, 1_001)


async def test_events_of_the_catalogue_say_what_they_are_about(ask: Asker) -> None:
    await create_key(ask.tenant, "tests", ["read"])
    await ask.data(
        """mutation {
          createTopic(input: {key: "news", name: "News", purpose: "commercial"}) { errors { code } }
          updatePurpose(input: {ref: "tracking", active: false}) { errors { code } }
        }"""
    )
    page = await ask.data(
        """{ consentEvents(last: 2) { nodes { type contactPoint { id } purpose { key } topic { key } value source reason
             effectiveAt evidence data actor { kind id } application { key name scopes } } } }"""
    )
    nothing = {"contactPoint": None, "value": None, "source": None, "reason": None, "effectiveAt": None}
    by = {
        "evidence": None,
        "actor": {"kind": "USER", "id": None},
        "application": {"key": "tests", "name": "tests", "scopes": ["read"]},
    }
    assert page["consentEvents"]["nodes"] == [
        {
            "type": "TopicCreated",
            "purpose": {"key": "commercial"},
            "topic": {"key": "news"},
            "data": {"key": "news", "name": "News", "purpose": "commercial"},
            **nothing,
            **by,
        },
        {
            "type": "PurposeUpdated",
            "purpose": {"key": "tracking"},
            "topic": None,
            "data": {"key": "tracking", "active": False},
            **nothing,
            **by,
        },
    ]


async def test_the_leaf_hash_is_that_of_the_entrys_bytes(ask: Asker) -> None:
    data = await ask.data("{ consentEvents { nodes { entry leafHash } } }")
    for event in data["consentEvents"]["nodes"]:
        leaf = sha256(b"\x00" + b64decode(event["entry"], validate=True)).digest()
        assert leaf == b64decode(event["leafHash"], validate=True)
