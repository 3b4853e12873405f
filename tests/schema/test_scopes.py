"""Scopes: none implies another; without one a field is forbidden, or, where it is personal, null."""

from typing import Any

import pytest
from graphql import FieldNode, OperationDefinitionNode, parse

from schema.schema import Schema
from tests.schema.conftest import ALL_SCOPES, Asker

CONSENT = 'address: "ann@example.org", purpose: "commercial"'
ERRORS = "{ errors { code } }"

# What needs a scope: the scope, and a document that asks for it.
NEEDS = {
    "check": [
        f"{{ checkConsent(input: {{{CONSENT}}}) {{ allowed }} }}",
        '{ checkConsents(input: {addresses: ["ann@example.org"], purpose: "commercial"}) { allowed } }',
        '{ checkAgentConsent(agent: "sqa", address: "ann@example.org") { allowed } }',
    ],
    "read": [
        '{ contactPoint(address: "ann@example.org") { id } }',
        '{ contactPoints(filter: {purpose: "commercial"}) { nodes { id } } }',
        "{ consentEvents { nodes { id } } }",
        "{ webhooks { id } }",
        "{ propagation { nodes { overdue } } }",
        f"mutation {{ acknowledge(position: 1) {ERRORS} }}",
        '{ previewEnforcement(purpose: "commercial", channel: EMAIL, model: DISABLED) { toBlock } }',
    ],
    "write": [
        f"mutation {{ recordConsent(input: {{{CONSENT}, value: OPTED_IN}}) {ERRORS} }}",
        f"mutation {{ recordConsents(input: {{consents: [{{{CONSENT}, value: OPTED_IN}}]}}) {ERRORS} }}",
        f'mutation {{ optOutOfAll(input: {{address: "ann@example.org"}}) {ERRORS} }}',
        f"mutation {{ requestDoubleOptIn(input: {{{CONSENT}}}) {ERRORS} }}",
        f'mutation {{ confirmDoubleOptIn(token: "none") {ERRORS} }}',
    ],
    "audit": [
        "{ checkpoint { note } }",
        '{ inclusionProof(eventId: "$EVENT") { text } }',
        "{ consistencyProof(from: 1) { hashes } }",
        '{ evidence(address: "ann@example.org") { eventCount } }',
    ],
    "erase": [
        f'mutation {{ eraseContactPoint(input: {{address: "nobody@example.org", reason: "asked"}}) {ERRORS} }}',
    ],
    "admin": [
        "{ preferenceCenterPreview }",
        f'mutation {{ createComplianceProfile(input: {{key: "a", name: "A"}}) {ERRORS} }}',
        f'mutation {{ updateComplianceProfile(input: {{ref: "default", name: "A"}}) {ERRORS} }}',
        'mutation { createPurpose(input: {key: "a", name: "A", type: COMMERCIAL, profiles: ["default"]})'
        f" {ERRORS} }}",
        f'mutation {{ updatePurpose(input: {{ref: "commercial", name: "A"}}) {ERRORS} }}',
        f'mutation {{ addPurposeToProfile(profile: "default", purpose: "commercial") {ERRORS} }}',
        f'mutation {{ createTopic(input: {{key: "a", name: "A", purpose: "commercial"}}) {ERRORS} }}',
        f'mutation {{ updateTopic(input: {{ref: "news", name: "A"}}) {ERRORS} }}',
        f'mutation {{ applyCompliancePreset(profile: "default", preset: GDPR) {ERRORS} }}',
        f'mutation {{ createBusinessUnit(key: "a", name: "A") {ERRORS} }}',
        f'mutation {{ updateTenant(name: "A") {ERRORS} }}',
        f'mutation {{ createAgent(input: {{key: "a", name: "A", purpose: "commercial"}}) {ERRORS} }}',
        f'mutation {{ updateAgent(input: {{ref: "none", name: "A"}}) {ERRORS} }}',
    ],
}
# These need two scopes, or a webhook that is there: tests/schema/test_webhooks.py.
OF_WEBHOOKS = {
    "createWebhook", "updateWebhook", "rotateWebhookSecret", "redeliverWebhook", "deleteWebhook", "webhookDeliveries",
}  # fmt: skip
CASES = [(scope, document) for scope, documents in NEEDS.items() for document in documents]
ANY_KEY = [
    "{ viewer { scopes tenant { name } application { name } } }",
    "{ complianceProfiles { nodes { name purposes { name topics { name } } } } }",
    "{ agents { key profile { name } purpose { name } } }",
    '{ complianceProfile(ref: "default") { name } purpose(ref: "commercial") { name } topic(ref: "news") { name } }',
    "{ compliancePresets { key settings { what value why source } } }",
    "{ businessUnits { key name parent { key } } }",
    "{ __schema { types { name } } }",
]
FIELDS = """
  type value recordedAt data evidence reason actor { kind id } contactPoint { id channel createdAt address }
  purpose { name }
"""
EVENT = f"event {{ {FIELDS} }}"


@pytest.fixture
async def prepared(ask: Asker) -> Asker:
    await ask.data(
        """mutation {
          createTopic(input: {key: "news", name: "News", purpose: "commercial"}) { errors { code } }
          createAgent(input: {key: "sqa", name: "Sales", purpose: "commercial"}) { errors { code } }
          recordConsent(input: {
            address: "ann@example.org", purpose: "commercial", value: OPTED_OUT, reason: "my own words",
            actor: {kind: USER, id: "bob"}, evidence: {ipAddress: "192.0.2.7"}
          }) { errors { code } }
        }"""
    )
    return ask


@pytest.mark.parametrize(("scope", "document"), CASES)
async def test_a_scope_is_enough_for_what_needs_it(prepared: Asker, scope: str, document: str) -> None:
    event = (await prepared.data("{ consentEvents(last: 1) { nodes { id } } }"))["consentEvents"]["nodes"][0]
    document = document.replace("$EVENT", event["id"])
    await prepared.with_scopes(scope).data(document)


@pytest.mark.parametrize(("scope", "document"), CASES)
async def test_all_other_scopes_together_are_not(prepared: Asker, scope: str, document: str) -> None:
    others = [other for other in ALL_SCOPES if other != scope]
    events = (await prepared.data("{ consentEvents { totalCount } }"))["consentEvents"]
    assert await prepared.with_scopes(*others).forbidden(document) == scope
    assert (await prepared.data("{ consentEvents { totalCount } }"))["consentEvents"] == events


def test_every_query_and_mutation_is_tested_here(schema: Schema) -> None:
    graphql = schema._schema
    assert graphql.query_type is not None
    assert graphql.mutation_type is not None
    tested = {
        selection.name.value
        for document in (*(document for _, document in CASES), *ANY_KEY)
        for operation in parse(document).definitions
        if isinstance(operation, OperationDefinitionNode)
        for selection in operation.selection_set.selections
        if isinstance(selection, FieldNode)
    }
    untested = {*graphql.query_type.fields, *graphql.mutation_type.fields} - tested
    assert untested == {"node", "nodes", "consentTrend"} | OF_WEBHOOKS, "in the last test, and the tests of each"


@pytest.mark.parametrize("document", ANY_KEY)
async def test_any_valid_key_may_read_the_catalogue(prepared: Asker, document: str) -> None:
    await prepared.with_scopes("erase").data(document)


def personal_of(event: Any) -> list[Any]:
    return [event["contactPoint"]["address"], event["evidence"], event["actor"]["id"], event["reason"]]


HIDDEN = [None, None, None, None]


async def test_check_shows_everything_but_what_is_personal(prepared: Asker) -> None:
    document = f"{{ checkConsent(input: {{{CONSENT}}}) {{ address reasons {{ code value {EVENT} }} }} }}"
    decision = (await prepared.with_scopes("check").data(document))["checkConsent"]
    event = decision["reasons"][0]["event"]
    assert decision["address"] == "ann@example.org", "echoed as asked"
    assert (event["type"], event["value"], event["actor"]["kind"]) == ("ConsentCaptured", "OPTED_OUT", "USER")
    assert event["contactPoint"]["channel"] == "EMAIL"
    assert personal_of(event) == HIDDEN


async def test_read_shows_what_is_personal_only_with_read_personal(prepared: Asker) -> None:
    document = f"{{ consentEvents(last: 1) {{ nodes {{ {FIELDS} }} }} }}"
    (hidden,) = (await prepared.with_scopes("read").data(document))["consentEvents"]["nodes"]
    assert personal_of(hidden) == HIDDEN
    assert hidden["data"]["value"] == "OPTED_OUT"
    (shown,) = (await prepared.with_scopes("read", "read:personal").data(document))["consentEvents"]["nodes"]
    assert personal_of(shown) == [
        "ann@example.org",
        {"actorId": "bob", "ipAddress": "192.0.2.7", "reason": "my own words"},
        "bob",
        "my own words",
    ]


async def test_a_contact_points_address_is_null_without_read_personal_and_the_rest_answers(prepared: Asker) -> None:
    document = """{
      contactPoint(address: "ann@example.org") { address consent(purpose: "commercial") { value reason } }
      contactPoints(filter: {purpose: "commercial"}) { nodes { address channel } }
    }"""
    assert await prepared.with_scopes("read").data(document) == {
        "contactPoint": {"address": None, "consent": {"value": "OPTED_OUT", "reason": None}},
        "contactPoints": {"nodes": [{"address": None, "channel": "EMAIL"}]},
    }


async def test_a_label_is_not_personal(prepared: Asker) -> None:
    await prepared.record("ann@example.org", "OPTED_OUT", reason="Opt-out - Privacy concerns")
    document = '{ contactPoint(address: "ann@example.org") { consent(purpose: "commercial") { reason } } }'
    found = await prepared.with_scopes("read").data(document)
    assert found["contactPoint"]["consent"] == {"reason": "Opt-out - Privacy concerns"}


async def test_who_only_writes_sees_the_event_just_recorded(prepared: Asker) -> None:
    document = f"""mutation {{ recordConsent(input: {{{CONSENT}, value: OPTED_IN, reason: "mine"}}) {{
      {EVENT.replace("createdAt", "erasedAt")} position errors {{ code }} }} }}"""
    payload = (await prepared.with_scopes("write").data(document))["recordConsent"]
    assert payload["event"]["value"] == "OPTED_IN"
    assert payload["event"]["purpose"] == {"name": "Commercial"}
    assert personal_of(payload["event"]) == HIDDEN


@pytest.mark.parametrize("chosen", ["", ', effectiveAt: "2020-01-01T00:00:00Z"'])
@pytest.mark.parametrize("field", ["consent { value }", "event { contactPoint { createdAt } }"])
async def test_whether_others_recorded_anything_there_is_not_told_to_who_only_writes(
    prepared: Asker, field: str, chosen: str
) -> None:
    """Not even by whether it is refused: an older choice than theirs, one that is later, and none at all are answered alike."""
    document = f"""mutation($address: String!) {{ recordConsent(input: {{
      address: $address, purpose: "commercial", value: OPTED_IN{chosen}}}) {{ {field} errors {{ code }} }} }}"""
    others = [scope for scope in ALL_SCOPES if scope != "read" and ("createdAt" not in field or scope != "check")]
    for address in ("ann@example.org", "new@example.org"):
        assert await prepared.with_scopes(*others).forbidden(document, address=address) == "read"
    payload = (await prepared.with_scopes("write", "read").data(document, address="ann@example.org"))["recordConsent"]
    assert (payload["errors"], None in payload.values()) == ([], False)


@pytest.mark.parametrize(
    "field", ['consent(purpose: "commercial") { value }', "contactability { value }", "history { totalCount }"]
)
@pytest.mark.parametrize("scope", ["check", "write"])
async def test_what_else_happened_there_needs_read(prepared: Asker, scope: str, field: str) -> None:
    document = {
        "check": f"{{ checkConsent(input: {{{CONSENT}}}) {{ reasons {{ event {{ contactPoint {{ {field} }} }} }} }} }}",
        "write": f"mutation {{ recordConsent(input: {{{CONSENT}, value: OPTED_OUT}})"
        f" {{ event {{ contactPoint {{ {field} }} }} }} }}",
    }[scope]
    assert await prepared.with_scopes(scope).forbidden(document) == "read"


@pytest.mark.parametrize("field", ["entry", "leafHash"])
async def test_the_logs_own_bytes_need_audit(prepared: Asker, field: str) -> None:
    document = f"{{ consentEvents(last: 1) {{ nodes {{ {field} }} }} }}"
    others = [other for other in ALL_SCOPES if other != "audit"]
    assert await prepared.with_scopes(*others).forbidden(document) == "audit"
    assert (await prepared.with_scopes("read", "audit").data(document))["consentEvents"]["nodes"][0][field]


async def test_nodes_need_what_the_thing_itself_needs(prepared: Asker) -> None:
    data = await prepared.data("{ consentEvents(last: 1) { nodes { id contactPoint { id } } } }")
    event = data["consentEvents"]["nodes"][0]
    for node_id in (event["id"], event["contactPoint"]["id"]):
        document = "query($id: ID!) { node(id: $id) { id } }"
        others = [other for other in ALL_SCOPES if other != "read"]
        assert await prepared.with_scopes(*others).forbidden(document, id=node_id) == "read"
