"""Clocks in the schema: who knew of an opt-out and by when each had to, page by page, without a name or an address."""

from typing import Any

import pytest

from domain.refusals import RefusalCode
from ledger.api_keys import create_key
from tests.schema.conftest import Asker

PAGE = """query($filter: OptOutPropagationFilter, $first: Int, $after: String) {
  propagation(filter: $filter, first: $first, after: $after) {
    edges { cursor }
    nodes {
      event { position type source contactPoint { address } } startsAt overdue
      deadlines { limit name rule source dueAt }
      applications { application { key } expected acknowledgedAt by seconds overdue limits { limit inTime } }
    }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  } }"""


@pytest.fixture
async def asking(ask: Asker) -> Asker:
    await create_key(ask.tenant, "tests", ["read"])
    return ask


async def page(ask: Asker, **asked: Any) -> Any:
    return (await ask.data(PAGE, **asked))["propagation"]


async def test_an_opt_out_with_its_limits_and_who_knew(asking: Asker) -> None:
    await asking.record("ann@example.org", "OPTED_IN")
    out = await asking.record("ann@example.org", "OPTED_OUT", source="COMPLAINT", effectiveAt="2026-01-05T12:00:00Z",
                              jurisdiction="US-NY")  # fmt: skip
    [before] = (await page(asking))["nodes"]
    assert (before["applications"], before["overdue"]) == ([], False)
    await asking.data(f"mutation {{ acknowledge(position: {out['position']}) {{ at errors {{ code }} }} }}")
    [shown] = (await page(asking))["nodes"]
    assert shown["event"] == {
        "position": out["position"], "type": "ConsentCaptured", "source": "COMPLAINT",
        "contactPoint": {"address": "ann@example.org"},
    }  # fmt: skip
    assert shown["startsAt"] == "2026-01-05T12:00:00.000000Z"
    due = {deadline["limit"]: deadline["dueAt"] for deadline in shown["deadlines"]}
    assert due == {
        "CAN_SPAM": "2026-01-19T12:00:00.000000Z", "GMAIL": "2026-01-07T12:00:00.000000Z",
        "YAHOO": "2026-01-07T12:00:00.000000Z",
    }  # fmt: skip
    assert all(deadline["source"] and deadline["rule"] and deadline["name"] for deadline in shown["deadlines"])
    [known] = shown["applications"]
    assert (known["application"], known["expected"], known["by"], known["overdue"]) == (
        {"key": "tests"}, True, "CURSOR", False,
    )  # fmt: skip
    assert known["seconds"] >= 0
    # It was long due when it came.
    assert {one["limit"]: one["inTime"] for one in known["limits"]} == dict.fromkeys(due, False)


async def test_who_does_not_read_what_is_personal_sees_no_address(asking: Asker) -> None:
    await asking.record("ann@example.org", "OPTED_OUT")
    [shown] = (await page(asking.with_scopes("read")))["nodes"]
    assert shown["event"]["contactPoint"] == {"address": None}


async def test_pages_and_filters(asking: Asker) -> None:
    await asking.data("mutation { acknowledge(position: 1) { at } }")
    out = [
        (await asking.record(f"a{number}@example.org", "OPTED_OUT", effectiveAt="2026-01-05T12:00:00Z"))["position"]
        for number in range(5)
    ]
    await asking.data(f"mutation {{ acknowledge(position: {out[1]}) {{ at }} }}")
    first = await page(asking, first=2)
    assert [node["event"]["position"] for node in first["nodes"]] == out[:2]
    assert (first["pageInfo"]["hasNextPage"], first["pageInfo"]["hasPreviousPage"]) == (True, False)
    assert first["pageInfo"]["endCursor"] == first["edges"][1]["cursor"]
    count = "query($filter: OptOutPropagationFilter) { propagation(filter: $filter, first: 1) { totalCount } }"
    events = "query($at: Long!) { consentEvents(filter: {fromPosition: $at}, first: 1) { nodes { recordedAt } } }"
    middle = (await asking.data(events, at=out[1]))["consentEvents"]["nodes"][0]["recordedAt"]
    for given, expected in (
        (None, 5),
        ({"recordedTo": middle}, 2),
        ({"recordedFrom": middle}, 4),
        ({"overdue": True}, None),
        ({"notAcknowledgedBy": "tests"}, None),
    ):
        assert (await asking.data(count, filter=given))["propagation"]["totalCount"] == expected, given
    rest = await page(asking, after=first["pageInfo"]["endCursor"])
    assert [node["event"]["position"] for node in rest["nodes"]] == out[2:]
    assert (rest["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasPreviousPage"]) == (False, True)
    for wanted in ({"overdue": True}, {"notAcknowledgedBy": "tests"}):
        found = await page(asking, filter=wanted)
        assert [node["event"]["position"] for node in found["nodes"]] == out[2:]
    node = await asking.data("{ viewer { application { id } } }")
    by_id = await page(asking, filter={"notAcknowledgedBy": node["viewer"]["application"]["id"]})
    assert len(by_id["nodes"]) == 3
    assert (await page(asking, filter={"recordedTo": "2026-01-01T00:00:00Z"}))["nodes"] == []


async def test_an_application_or_a_cursor_that_is_none_is_refused(asking: Asker) -> None:
    refused = await asking.refused(PAGE, filter={"notAcknowledgedBy": "nobody"})
    assert (refused.code, refused.path) == (RefusalCode.NOT_FOUND, ("notAcknowledgedBy",))
    assert (await asking.refused(PAGE, after="nothing")).path == ("after",)
    assert (await asking.over_limit(PAGE, first=1_001)).limit == "first"
