"""viewer, node and nodes."""

from uuid import uuid4

import pytest

from ledger.api_keys import create_key
from ledger.assembly import Ledger
from ledger.tenants import create_tenant
from schema.node_ids import event_node_id
from schema.schema import Schema
from tests.schema.conftest import ALL_SCOPES, Asker

NODE = "query($id: ID!) { node(id: $id) { __typename id } }"


async def test_the_viewer_is_the_application_behind_the_key(ask: Asker) -> None:
    await create_key(ask.tenant, "tests", ["write", "check"])
    await create_key(ask.tenant, "tests", ["read:personal"])
    data = await ask.with_scopes("check", "read").data(
        "{ viewer { actor scopes application { key name scopes } tenant { key name unitScoping } } }"
    )
    assert data["viewer"] == {
        "actor": None,
        "scopes": ["check", "read"],
        "application": {"key": "tests", "name": "tests", "scopes": ["check", "read:personal", "write"]},
        "tenant": {"key": ask.tenant.key, "name": "Test", "unitScoping": True},
    }


async def test_every_node_is_found_by_its_id(ask: Asker) -> None:
    await create_key(ask.tenant, "tests", ["read"])
    await ask.data(
        'mutation { createTopic(input: {key: "news", name: "News", purpose: "commercial"}) { errors { code } } }'
    )
    await ask.record("ann@example.org", "OPTED_IN", topic="news")
    data = await ask.data(
        """{ viewer { application { id } } purpose(ref: "commercial") { id topics { id } profiles { id } }
             consentEvents(last: 1) { nodes { id contactPoint { id } } } }"""
    )
    event = data["consentEvents"]["nodes"][0]
    ids = {
        "Application": data["viewer"]["application"]["id"],
        "Purpose": data["purpose"]["id"],
        "Topic": data["purpose"]["topics"][0]["id"],
        "ComplianceProfile": data["purpose"]["profiles"][0]["id"],
        "ConsentEvent": event["id"],
        "ContactPoint": event["contactPoint"]["id"],
    }
    for type_name, node_id in ids.items():
        assert await ask.data(NODE, id=node_id) == {"node": {"__typename": type_name, "id": node_id}}
    nodes = await ask.data(
        "query($ids: [ID!]!) { nodes(ids: $ids) { __typename } }", ids=[*ids.values(), "nope", event["id"]]
    )
    assert nodes["nodes"] == [*({"__typename": name} for name in ids), None, {"__typename": "ConsentEvent"}]


async def test_ids_of_another_tenant_and_garbage_find_nothing(ask: Asker, schema: Schema, ledger: Ledger) -> None:
    await ask.record("ann@example.org", "OPTED_IN")
    data = await ask.data(
        '{ purpose(ref: "commercial") { id } consentEvents(last: 1) { nodes { id contactPoint { id } } } }'
    )
    event = data["consentEvents"]["nodes"][0]
    stranger = Asker(schema, await create_tenant(ledger, f"{ask.tenant.key}-other", "Other"), ALL_SCOPES)
    for node_id in (data["purpose"]["id"], event["id"], event["contactPoint"]["id"]):
        assert await stranger.data(NODE, id=node_id) == {"node": None}
    refusal = await stranger.refused("query($ref: String!) { purpose(ref: $ref) { id } }", ref=data["purpose"]["id"])
    assert refusal.path == ("ref",)
    for garbage in ("", "nope", "\x00", "\ud800", "RWWWWWWWW", "Q" * 10_000):
        assert await ask.data(NODE, id=garbage) == {"node": None}


async def test_an_events_id_names_that_very_event(ask: Asker) -> None:
    assert await ask.data(NODE, id=event_node_id(ask.tenant.id, 0, uuid4())) == {"node": None}
    assert await ask.data(NODE, id=event_node_id(ask.tenant.id, 2**62, uuid4())) == {"node": None}
    assert await ask.data(NODE, id=event_node_id(ask.tenant.id, 2**64 - 1, uuid4())) == {"node": None}


async def test_one_node_that_may_not_be_read_leaves_the_others(ask: Asker) -> None:
    await ask.record("ann@example.org", "OPTED_IN")
    data = await ask.data('{ purpose(ref: "commercial") { id } consentEvents(last: 1) { nodes { id } } }')
    ids = [data["purpose"]["id"], data["consentEvents"]["nodes"][0]["id"]]
    answered = await ask.with_scopes("check")("query($ids: [ID!]!) { nodes(ids: $ids) { __typename } }", ids=ids)
    assert answered.data == {"nodes": [{"__typename": "Purpose"}, None]}
    assert [error.path for error in answered.errors] == [["nodes", 1]]


@pytest.mark.parametrize("count", [1_001])
async def test_at_most_1_000_nodes_at_once(ask: Asker, count: int) -> None:
    limit = await ask.over_limit("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=["x"] * count)
    assert (limit.limit, limit.allowed, limit.given) == ("ids", 1_000, count)
