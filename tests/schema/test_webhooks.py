"""Webhooks and acknowledgements in the schema: what is shown to whom, what is refused, and what a key used again answers."""

import json
from typing import Any

import pytest

from ledger.api_keys import create_key
from ledger.history import events_at
from ledger.webhook_worker import WebhookWorker
from schema.webhook_payload import compose
from tests.schema.conftest import Asker

URL = "https://hooks.invalid/secret-path"
CREATE = """mutation($input: CreateWebhookInput!) { createWebhook(input: $input) {
  secret webhook { id url origin status version includesPersonal filter position application { key } }
  errors { code message path } } }"""
UPDATE = """mutation($input: UpdateWebhookInput!) { updateWebhook(input: $input) {
  webhook { id url origin status version includesPersonal filter } errors { code message path } } }"""


@pytest.fixture
async def asking(ask: Asker) -> Asker:
    await create_key(ask.tenant, "tests", ["read"])
    return ask


async def make(ask: Asker, **fields: Any) -> Any:
    return (await ask.data(CREATE, input={"url": URL, **fields}))["createWebhook"]


async def update(ask: Asker, webhook: Any, **fields: Any) -> Any:
    return (await ask.data(UPDATE, input={"webhook": webhook["id"], **fields}))["updateWebhook"]


async def test_a_webhook_is_made_listed_found_changed_and_deleted(asking: Asker) -> None:
    made = await make(asking, filter={"values": ["OPTED_OUT"], "purpose": "commercial"}, reason="the new mailer")
    webhook = made["webhook"]
    assert made["secret"].startswith("whsec_")
    assert (webhook["url"], webhook["origin"], webhook["status"]) == (URL, "https://hooks.invalid", "ACTIVE")
    assert webhook["filter"] == {"values": ["OPTED_OUT"], "purpose": "commercial"}
    assert webhook["application"] == {"key": "tests"}
    changed = await update(asking, webhook, status="PAUSED", filter=None, expectedVersion=1, reason="moves house")
    assert changed["errors"] == []
    assert (changed["webhook"]["status"], changed["webhook"]["filter"], changed["webhook"]["version"]) == (
        "PAUSED", {}, 2,
    )  # fmt: skip
    listed = await asking.data(
        "{ webhooks { id lag heldBecause secrets { validUntil } changes { kind reason details application { key } } } }"
    )
    [shown] = listed["webhooks"]
    assert shown["id"] == webhook["id"]
    assert shown["lag"] == 0
    assert shown["secrets"] == [{"validUntil": None}]
    assert [(change["kind"], change["reason"]) for change in shown["changes"]] == [
        ("CREATED", "the new mailer"), ("UPDATED", "moves house"),
    ]  # fmt: skip
    assert "secret-path" not in json.dumps(listed)
    node = "query($id: ID!) { node(id: $id) { ... on Webhook { origin } } }"
    assert (await asking.data(node, id=webhook["id"]))["node"] == {"origin": "https://hooks.invalid"}
    delete = "mutation($id: ID!) { deleteWebhook(webhook: $id) { deleted errors { code } } }"
    assert (await asking.data(delete, id=webhook["id"]))["deleteWebhook"] == {"deleted": True, "errors": []}
    assert (await asking.data("{ webhooks { id } }"))["webhooks"] == []
    assert (await asking.data(node, id=webhook["id"]))["node"] is None
    again = (await asking.data(delete, id=webhook["id"]))["deleteWebhook"]
    assert (again["deleted"], again["errors"]) == (False, [{"code": "NOT_FOUND"}])


async def test_nothing_of_a_url_or_a_secret_is_stored_in_the_clear(asking: Asker) -> None:
    made = await make(asking)
    async with asking.tenant.ledger.connection() as connection:
        rows = [
            await connection.fetchval(f"SELECT string_agg(t::text, ' ') FROM {table} t WHERE tenant = $1", tenant)
            for table in ("webhooks", "webhook_secrets", "webhook_changes")
            for tenant in (asking.tenant.id,)
        ]
    stored = " ".join(rows)
    for text in ("secret-path", made["secret"]):
        assert text not in stored
        assert text.encode().hex() not in stored


@pytest.mark.parametrize(
    ("fields", "code", "path"),
    [
        ({"url": "http://plain.invalid/"}, "INVALID", ["url"]),
        ({"application": "nobody"}, "INVALID", ["application"]),
        ({"filter": {"types": ["Nothing"]}}, "INVALID", ["filter", "types"]),
        ({"filter": {"purpose": "nothing"}}, "NOT_FOUND", ["filter"]),
        ({"fromPosition": 10_000}, "INVALID", ["fromPosition"]),
        ({"after": "nonsense"}, "INVALID", ["after"]),
        ({"after": "nonsense", "fromPosition": 0}, "INVALID", ["fromPosition"]),
        ({"reason": "x" * 501}, "INVALID", ["reason"]),
    ],
)
async def test_what_is_wrong_is_named(asking: Asker, fields: Any, code: str, path: list[str]) -> None:
    refused = await make(asking, **fields)
    [error] = refused["errors"]
    assert error["code"] == code
    assert error["path"][: len(path)] == path
    assert refused["secret"] is None
    assert (await asking.data("{ webhooks { id } }"))["webhooks"] == []


async def test_only_an_application_itself_says_where_deliveries_go_that_count_as_its_knowledge(asking: Asker) -> None:
    await create_key(asking.tenant, "mailer", ["read"])
    other = Asker(asking.schema, asking.tenant, asking.caller.scopes, application="mailer")
    refused = await make(asking, application="mailer")
    assert [(error["code"], error["path"]) for error in refused["errors"]] == [("INVALID", ["application"])]
    assert "only a key of mailer" in refused["errors"][0]["message"]
    made = (await make(other, application="mailer"))["webhook"]
    assert made["application"] == {"key": "mailer"}
    for fields in ({"url": "https://elsewhere.invalid/"}, {"status": "PAUSED"}, {"filter": {"values": ["OPTED_IN"]}}):
        error = [{"code": "INVALID", "path": ["webhook"]}]
        refused = (await update(asking, made, **fields))["errors"]
        assert [{name: one[name] for name in ("code", "path")} for one in refused] == error
    for change in (
        "redeliverWebhook(webhook: $id, fromPosition: 0) { webhook { id }",
        "rotateWebhookSecret(webhook: $id, revokeOld: true) { secret",
        "deleteWebhook(webhook: $id) { deleted",
    ):
        document = f"mutation($id: ID!) {{ {change} errors {{ code path }} }} }}"
        [answer] = (await asking.data(document, id=made["id"])).values()
        assert answer.pop("errors") == error
        assert not any(answer.values())
    # It sees where the webhook stands, without what its URL may hold.
    query = "{ webhooks { url origin status version secrets { validUntil } } }"
    [seen] = (await asking.data(query))["webhooks"]
    [own] = (await other.data(query))["webhooks"]
    assert (seen.pop("url"), own.pop("url")) == (None, URL)
    assert seen == own
    assert (own["status"], own["version"], own["secrets"]) == ("ACTIVE", 1, [{"validUntil": None}])
    moved = await update(other, made, url="https://elsewhere.invalid/")
    assert moved["webhook"]["origin"] == "https://elsewhere.invalid"


async def test_an_update_on_another_version_or_to_held_changes_nothing(asking: Asker) -> None:
    webhook = (await make(asking))["webhook"]
    for fields, code in (
        ({"expectedVersion": 7, "status": "PAUSED"}, "VERSION_CONFLICT"),
        ({"status": "HELD"}, "INVALID"),
        ({"url": None}, "INVALID"),
        ({"status": None}, "INVALID"),
    ):
        assert [error["code"] for error in (await update(asking, webhook, **fields))["errors"]] == [code]
    assert (await asking.data("{ webhooks { version } }"))["webhooks"] == [{"version": 1}]


async def test_a_key_used_again_makes_one_webhook_and_gives_its_secret_again(asking: Asker) -> None:
    first = await make(asking, idempotencyKey="once")
    assert await make(asking, idempotencyKey="once") == first
    conflict = await make(asking, idempotencyKey="once", includePersonal=True)
    assert conflict["errors"][0]["code"] == "IDEMPOTENCY_CONFLICT"
    assert len((await asking.data("{ webhooks { id } }"))["webhooks"]) == 1
    rotate = """mutation($id: ID!, $key: String) { rotateWebhookSecret(webhook: $id, idempotencyKey: $key) {
      secret errors { code } } }"""
    ids = {"id": first["webhook"]["id"], "key": "turn"}
    second = (await asking.data(rotate, **ids))["rotateWebhookSecret"]
    assert second["secret"] not in (None, first["secret"])
    assert (await asking.data(rotate, **ids))["rotateWebhookSecret"] == second
    # What was replaced is given to nobody any more.
    assert (await make(asking, idempotencyKey="once"))["secret"] is None


# mutation -> (what is asked, and what else under the same key), $W being the webhook.
WEBHOOK_MUTATIONS = {
    "updateWebhook": (
        'input: {webhook: "$W", idempotencyKey: "k", status: PAUSED}',
        'input: {webhook: "$W", idempotencyKey: "k", status: ACTIVE}',
    ),
    "rotateWebhookSecret": (
        'webhook: "$W", idempotencyKey: "k"',
        'webhook: "$W", idempotencyKey: "k", revokeOld: true',
    ),
    "redeliverWebhook": (
        'webhook: "$W", idempotencyKey: "k", fromPosition: 1',
        'webhook: "$W", idempotencyKey: "k", fromPosition: 0',
    ),
    "deleteWebhook": (
        'webhook: "$W", idempotencyKey: "k"',
        'webhook: "$W", idempotencyKey: "k", reason: "other"',
    ),
}


@pytest.mark.parametrize("name", WEBHOOK_MUTATIONS)
async def test_a_change_under_one_key_happens_once(asking: Asker, name: str) -> None:
    webhook = (await make(asking))["webhook"]
    same, other = (
        f"mutation {{ {name}({arguments.replace('$W', webhook['id'])}) {{ {shown} errors {{ code path }} }} }}"
        for arguments in WEBHOOK_MUTATIONS[name]
        for shown in ("deleted" if name == "deleteWebhook" else "webhook { id version status }",)
    )
    first = await asking.data(same)
    assert first[name]["errors"] == []
    assert await asking.data(same) == first
    refused = (await asking.data(other))[name]["errors"]
    assert refused == [{"code": "IDEMPOTENCY_CONFLICT", "path": ["idempotencyKey"]}]


async def test_one_key_stands_for_one_command_whatever_it_writes(asking: Asker) -> None:
    await make(asking, idempotencyKey="mine")
    assert (await asking.record("ann@example.org", "OPTED_OUT", idempotencyKey="mine"))["errors"][0]["code"] == (
        "IDEMPOTENCY_CONFLICT"
    )
    await asking.record("ann@example.org", "OPTED_OUT", idempotencyKey="yours")
    assert (await make(asking, idempotencyKey="yours"))["errors"][0]["code"] == "IDEMPOTENCY_CONFLICT"


async def test_managing_needs_admin_and_read_listing_read_and_the_url_admin(asking: Asker) -> None:
    webhook = (await make(asking))["webhook"]
    id = webhook["id"]
    for document in (
        f'mutation {{ createWebhook(input: {{url: "{URL}"}}) {{ secret }} }}',
        f'mutation {{ updateWebhook(input: {{webhook: "{id}"}}) {{ errors {{ code }} }} }}',
        f'mutation {{ rotateWebhookSecret(webhook: "{id}") {{ secret }} }}',
        f'mutation {{ redeliverWebhook(webhook: "{id}", fromPosition: 0) {{ errors {{ code }} }} }}',
        f'mutation {{ deleteWebhook(webhook: "{id}") {{ deleted }} }}',
    ):
        assert await asking.with_scopes("read", "read:personal", "write").forbidden(document) == "admin"
        assert await asking.with_scopes("admin", "audit").forbidden(document) == "read"
    assert await asking.with_scopes("admin").forbidden("{ webhooks { id } }") == "read"
    assert (
        await asking.with_scopes("admin").forbidden(f'{{ webhookDeliveries(webhook: "{id}") {{ totalCount }} }}')
        == "read"
    )
    shown = await asking.with_scopes("read").data("{ webhooks { url origin } }")
    assert shown["webhooks"] == [{"url": None, "origin": "https://hooks.invalid"}]
    refused = await make(asking.with_scopes("admin", "read"), includePersonal=True)
    assert refused["errors"][0]["path"] == ["includePersonal"]


async def test_an_id_of_something_else_names_no_webhook(asking: Asker) -> None:
    application = (await asking.data("{ viewer { application { id } } }"))["viewer"]["application"]["id"]
    for id in (application, "nonsense", "tests"):
        assert (await update(asking, {"id": id}))["errors"][0]["code"] == "NOT_FOUND"


DELIVERED = """{ consentEvents { edges { cursor node {
  id position type recordedAt effectiveAt contactPoint { id channel address } purpose { id key } topic { id key }
  value source reason application { id key } actor { kind id } evidence data
} } } }"""


@pytest.mark.parametrize("personal", [False, True])
async def test_what_is_sent_is_what_graphql_shows(asking: Asker, *, personal: bool) -> None:
    await asking.record(
        "ann@example.org",
        "OPTED_OUT",
        reason="my own words",
        actor={"kind": "USER", "id": "bob"},
        evidence={"ipAddress": "192.0.2.7", "noticeText": "Shall we?"},
    )
    await asking.record("ann@example.org", "OPTED_IN", reason="Opt-in - Events")
    await asking.data(
        """mutation { createTopic(input: {key: "news", name: "N", purpose: "commercial"}) { errors { code } }
        eraseContactPoint(input: {address: "ann@example.org", reason: "asked"}) { errors { code } } }"""
    )
    await asking.record(
        "bea@example.org", "OPTED_OUT", reason="more words", topic="news", evidence={"method": "button"}
    )
    scopes = ("read", "read:personal") if personal else ("read",)
    edges = (await asking.with_scopes(*scopes).data(DELIVERED))["consentEvents"]["edges"]
    events = await events_at(asking.tenant, range(len(edges)))
    for edge in edges:
        message = await compose(asking.tenant, events[edge["node"]["position"]], personal)
        body = json.loads(message.body)
        shown = {**edge["node"], "cursor": edge["cursor"]}
        assert body == {"type": shown["type"], "timestamp": shown["recordedAt"], "data": shown}
        assert message.id == shown["id"]


async def test_acknowledging_shows_on_the_event(asking: Asker) -> None:
    recorded = await asking.record("ann@example.org", "OPTED_OUT")
    acknowledge = """mutation($position: Long!, $key: String) { acknowledge(position: $position, idempotencyKey: $key) {
      position at errors { code path } } }"""
    known = (await asking.with_scopes("read").data(acknowledge, position=recorded["position"]))["acknowledge"]
    assert known["errors"] == []
    shown = """{ consentEvents(last: 2) { nodes { position acknowledgements { application { key } at by } } } }"""
    nodes = (await asking.data(shown))["consentEvents"]["nodes"]
    assert [node["acknowledgements"] for node in nodes] == [
        [{"application": {"key": "tests"}, "at": known["at"], "by": "CURSOR"}]
    ] * 2
    for position, code in ((recorded["position"] - 1, "INVALID"), (recorded["position"] + 1, "INVALID")):
        refused = (await asking.data(acknowledge, position=position))["acknowledge"]
        assert refused == {"position": None, "at": None, "errors": [{"code": code, "path": ["position"]}]}
    others = asking.with_scopes("check", "write", "admin", "audit", "erase", "read:personal")
    assert await others.forbidden("mutation { acknowledge(position: 0) { position } }") == "read"


async def test_what_a_worker_has_not_sent_yet_is_told(asking: Asker) -> None:
    webhook = (await make(asking, fromPosition=0))["webhook"]
    await asking.record("ann@example.org", "OPTED_OUT")
    assert WebhookWorker(asking.tenant.ledger, compose)
    shown = (await asking.data("{ webhooks { position lag delivered } }"))["webhooks"]
    size = len((await asking.data("{ consentEvents { nodes { id } } }"))["consentEvents"]["nodes"])
    assert shown == [{"position": None, "lag": size, "delivered": 0}]
    page = await asking.data(
        f'{{ webhookDeliveries(webhook: "{webhook["id"]}") {{ totalCount nodes {{ position }} }} }}'
    )
    assert page["webhookDeliveries"] == {"totalCount": 0, "nodes": []}
