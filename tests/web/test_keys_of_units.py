"""A key that is bound to a business unit sees it and those below, over HTTP: what is another's is not there for it."""

from dataclasses import dataclass

import asyncpg
import pytest
from units import App, app_of

from domain.refusals import Refusal, RefusalCode
from ledger.api_keys import SCOPES, create_key, list_keys
from ledger.assembly import Caller, Tenant
from ledger.catalogue import import_catalogue
from schema.schema import build_schema

ADA, BOB, CY = "ada@example.org", "bob@example.org", "cy@example.org"
UNIT_SCOPES = ("check", "read", "read:personal", "write", "admin")


@dataclass(frozen=True)
class Company:
    """A tenant with units EMEA (and DACH below it) and APAC; who has a key to it all, and who to one of them."""

    tenant: Tenant
    whole: App
    emea: App
    apac: App


@pytest.fixture
async def company(tenant: Tenant) -> Company:
    whole = await app_of(tenant, "whole", *SCOPES)
    await whole.data(
        """mutation {
          a: createBusinessUnit(key: "emea", name: "EMEA") { errors { code } }
          b: createBusinessUnit(key: "dach", name: "DACH", parent: "emea") { errors { code } }
          c: createBusinessUnit(key: "apac", name: "APAC") { errors { code } }
          d: createComplianceProfile(input: {key: "sales", name: "S", businessUnit: "emea"}) { errors { code } }
          e: createComplianceProfile(input: {key: "wien", name: "W", businessUnit: "dach"}) { errors { code } }
          f: createComplianceProfile(input: {key: "tokyo", name: "T", businessUnit: "apac"}) { errors { code } }
          g: createComplianceProfile(input: {key: "joint", name: "J", businessUnit: "emea", sharePurposesOf: "default"}) {
            errors { code } }
          h: createTopic(input: {key: "tokyo-news", name: "N", purpose: "tokyo-commercial"}) { errors { code } }
        }"""
    )
    return Company(
        tenant,
        whole,
        await app_of(tenant, "emea-app", *UNIT_SCOPES, unit="emea"),
        await app_of(tenant, "apac-app", *UNIT_SCOPES, unit="apac"),
    )


async def test_the_catalogue_lists_its_own_and_what_is_shared_with_its_profiles(company: Company) -> None:
    document = """{
      businessUnits { key parent { key } }
      complianceProfiles { totalCount nodes { key businessUnit { key }
        purposes { key businessUnit { key name } profiles { key } } } }
      viewer { scopes businessUnit { key } }
    }"""
    seen = await company.emea.data(document)
    assert seen["businessUnits"] == [{"key": "emea", "parent": None}, {"key": "dach", "parent": {"key": "emea"}}]
    assert [profile["key"] for profile in seen["complianceProfiles"]["nodes"]] == ["sales", "wien", "joint"]
    assert seen["complianceProfiles"]["totalCount"] == 3
    joint = seen["complianceProfiles"]["nodes"][2]
    commercial = next(purpose for purpose in joint["purposes"] if purpose["key"] == "commercial")
    # Owned by the root, which it does not see, and which is not named; of its profiles those that it sees are.
    assert commercial == {
        "key": "commercial",
        "businessUnit": {"key": "", "name": "(another business unit)"},
        "profiles": [{"key": "joint"}],
    }
    owner = await company.emea.data('{ purpose(ref: "commercial") { businessUnit { id parent { key } } } }')
    root = await company.whole.data('{ purpose(ref: "commercial") { businessUnit { id } } }')
    assert owner["purpose"]["businessUnit"]["parent"] is None
    assert owner["purpose"]["businessUnit"]["id"] != root["purpose"]["businessUnit"]["id"]
    nodes = "query ($id: ID!) { node(id: $id) { id } }"
    assert (await company.emea.data(nodes, id=owner["purpose"]["businessUnit"]["id"]))["node"] is None
    assert seen["viewer"] == {"scopes": sorted(UNIT_SCOPES), "businessUnit": {"key": "emea"}}
    assert [unit["key"] for unit in (await company.whole.data(document))["businessUnits"]] == [
        "root", "emea", "dach", "apac",
    ]  # fmt: skip


async def test_its_own_purpose_does_not_take_over_the_guid_of_anothers(company: Company) -> None:
    guid = "10000000-0000-4000-8000-000000000003"
    root = Caller("whole", frozenset(SCOPES))
    await import_catalogue(company.tenant, root, {"purposes": [{"key": "commercial", "guid": guid}]})
    making = """mutation ($key: String!) {
      createPurpose(input: {key: $key, name: "P", type: TRANSACTIONAL, profiles: ["sales"]}) {
        purpose { key } errors { code path } } }"""
    refused = (await company.emea.data(making, key=guid))["createPurpose"]
    assert refused == {"purpose": None, "errors": [{"code": "INVALID", "path": ["key"]}]}
    assert (await company.whole.record(ADA, "OPTED_OUT", guid))["errors"] == []
    assert not (await company.whole.check(ADA, "commercial"))["allowed"]


async def test_it_sees_the_agents_that_send_for_its_profiles(company: Company) -> None:
    made = await company.whole.data(
        """mutation {
          a: createAgent(input: {key: "seller", name: "S", profile: "sales", purpose: "sales-commercial"}) { errors { code } }
          b: createAgent(input: {key: "tokyo-seller", name: "T", profile: "tokyo", purpose: "tokyo-commercial"}) {
            errors { code } }
        }"""
    )
    assert made == {"a": {"errors": []}, "b": {"errors": []}}
    assert await company.emea.data("{ agents { key } }") == {"agents": [{"key": "seller"}]}
    assert len((await company.whole.data("{ agents { key } }"))["agents"]) == 2


@pytest.mark.parametrize(
    "document",
    [
        '{ complianceProfile(ref: "tokyo") { key } }',
        '{ purpose(ref: "tokyo-commercial") { key } }',
        '{ topic(ref: "tokyo-news") { key } }',
        '{ checkConsent(input: {address: "ada@example.org", profile: "tokyo", purpose: "tokyo-commercial"}) { allowed } }',
        '{ checkConsent(input: {address: "ada@example.org", profile: "sales", purpose: "tokyo-commercial"}) { allowed } }',
        '{ checkConsent(input: {address: "ada@example.org", profile: "sales", purpose: "sales-commercial",'
        ' businessUnit: "apac"}) { allowed } }',
        '{ checkConsents(input: {addresses: [], profile: "sales", purpose: "sales-commercial", businessUnit: "root"})'
        " { allowed } }",
        '{ contactPoints(filter: {profile: "tokyo", purpose: "tokyo-commercial"}) { nodes { id } } }',
        '{ consentEvents(filter: {purpose: "tokyo-commercial"}) { nodes { id } } }',
    ],
)
async def test_another_units_thing_is_not_found_as_one_that_is_not_there(company: Company, document: str) -> None:
    answered = await company.emea.answer(document)
    [error] = answered["errors"]
    assert error["extensions"]["code"] == "NOT_FOUND"
    for key in ("tokyo-commercial", "tokyo-news", "tokyo", '"apac"', '"root"'):
        nothing = '"nothing"' if key.startswith('"') else "nothing"
        document = document.replace(key, nothing)
    nothing = await company.emea.answer(document)
    assert nothing["errors"][0]["message"] == error["message"]
    assert nothing["errors"][0]["extensions"] == error["extensions"]


async def test_ids_of_another_units_things_find_nothing(company: Company) -> None:
    await company.whole.record(ADA, "OPTED_OUT", "tokyo-commercial")
    ids = await company.whole.data(
        """{ complianceProfile(ref: "tokyo") { id businessUnit { id } } purpose(ref: "tokyo-commercial") { id }
             topic(ref: "tokyo-news") { id } contactPoint(address: "ada@example.org") { id }
             consentEvents(last: 1) { nodes { id } } first: consentEvents(first: 1) { nodes { id } } }"""
    )
    every = [
        ids["complianceProfile"]["id"], ids["complianceProfile"]["businessUnit"]["id"], ids["purpose"]["id"],
        ids["topic"]["id"], ids["contactPoint"]["id"], ids["consentEvents"]["nodes"][0]["id"],
        ids["first"]["nodes"][0]["id"],
    ]  # fmt: skip
    document = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert (await company.emea.data(document, ids=every))["nodes"] == [None] * len(every)
    assert all((await company.whole.data(document, ids=every))["nodes"])
    assert all((await company.apac.data(document, ids=every[:6]))["nodes"])


async def test_contact_points_consent_and_events_are_those_of_its_records(company: Company) -> None:
    await company.whole.record(ADA, "OPTED_OUT", "tokyo-commercial", reason="a word")
    await company.whole.record(BOB, "OPTED_IN", "sales-commercial")
    await company.whole.record(BOB, "OPTED_OUT", "tokyo-commercial")
    await company.whole.record(CY, "OPTED_OUT", "wien-commercial")
    await company.whole.record(CY, "OPTED_OUT", "commercial")
    one = (
        "query ($a: String!) { contactPoint(address: $a) { address history { totalCount nodes { purpose { key } } } } }"
    )
    assert (await company.emea.data(one, a=ADA))["contactPoint"] is None
    assert (await company.emea.data(one, a="nobody@example.org"))["contactPoint"] is None
    assert (await company.emea.data(one, a=BOB))["contactPoint"] == {
        "address": BOB,
        "history": {"totalCount": 1, "nodes": [{"purpose": {"key": "sales-commercial"}}]},
    }
    log = "{ consentEvents { totalCount nodes { type purpose { key } data contactPoint { address } } } }"
    assert [
        (event["type"], event["purpose"]["key"], event["contactPoint"]["address"])
        for event in (await company.emea.data(log))["consentEvents"]["nodes"]
    ] == [("ConsentCaptured", "sales-commercial", BOB), ("ConsentCaptured", "wien-commercial", CY)]
    assert (await company.apac.data(log))["consentEvents"]["totalCount"] == 2
    assert (await company.emea.data(log.replace("{ totalCount", '(filter: {types: ["PurposeCreated"]}) { totalCount')))[
        "consentEvents"
    ]["totalCount"] == 0
    selected = """query ($p: String!, $q: String!, $v: ConsentValue) {
      contactPoints(filter: {profile: $p, purpose: $q, value: $v}) { totalCount nodes { address } } }"""
    found = await company.emea.data(selected, p="sales", q="sales-commercial")
    assert found["contactPoints"]["totalCount"] == 2
    assert {node["address"] for node in found["contactPoints"]["nodes"]} == {BOB, CY}
    everyone = await company.whole.data(selected, p="sales", q="sales-commercial")
    assert everyone["contactPoints"]["totalCount"] == 3


async def test_since_when_an_address_is_known_is_since_its_own_first_record(company: Company) -> None:
    await company.whole.record(ADA, "OPTED_IN", "transactional")
    await company.apac.record(ADA, "OPTED_IN", "tokyo-commercial")
    await company.emea.record(ADA, "OPTED_IN", "sales-commercial")
    await company.emea.record(ADA, "OPTED_OUT", "sales-commercial")
    document = """{
      contactPoint(address: "ada@example.org") { id createdAt history { nodes { recordedAt contactPoint { createdAt } } } }
      contactPoints(filter: {profile: "PROFILE", purpose: "PROFILE-commercial"}) { nodes { createdAt } }
    }"""
    told: list[str] = []
    for app, profile in ((company.apac, "tokyo"), (company.emea, "sales")):
        found = await app.data(document.replace("PROFILE", profile))
        events = found["contactPoint"]["history"]["nodes"]
        [listed] = found["contactPoints"]["nodes"]
        node = "query ($id: ID!) { node(id: $id) { ... on ContactPoint { createdAt } } }"
        by_id = (await app.data(node, id=found["contactPoint"]["id"]))["node"]
        said = [found["contactPoint"], listed, by_id, *(event["contactPoint"] for event in events)]
        assert {one["createdAt"] for one in said} == {events[0]["recordedAt"]}
        told.append(events[0]["recordedAt"])
    whole = await company.whole.data('{ contactPoint(address: "ada@example.org") { createdAt } }')
    assert whole["contactPoint"]["createdAt"] < told[0] < told[1]


async def test_every_opt_out_that_the_rule_finds_is_honoured_whoever_can_see_its_record(company: Company) -> None:
    """The root's opt-out of a shared purpose blocks; its event is not shown."""
    await company.whole.record(ADA, "OPTED_OUT", "commercial")
    await company.whole.record(ADA, "OPTED_IN", "sales-commercial")
    decision = await company.emea.check(ADA, "commercial", "joint")
    assert not decision["allowed"]
    assert decision["reasons"] == [
        {"code": "OPTED_OUT", "value": "OPTED_OUT", "purpose": {"key": "commercial"}, "event": None}
    ]
    held = await company.emea.data(
        """{ contactPoint(address: "ada@example.org") {
             consent(purpose: "commercial") { value effectiveAt source event { id } businessUnit { key } }
             contactability(profile: "joint") { purpose { key } value contactability } } }"""
    )
    # The value as a check has it, not NOT_SET, which would read like a permission; nothing of the record.
    assert held["contactPoint"]["consent"] == {
        "value": "OPTED_OUT", "effectiveAt": None, "source": None, "event": None, "businessUnit": None,
    }  # fmt: skip
    rows = {row["purpose"]["key"]: row for row in held["contactPoint"]["contactability"]}
    assert rows["commercial"]["contactability"] == "WILL_NOT_SEND"
    assert decision["receipt"]


async def test_it_records_for_what_it_sees_and_for_nothing_else(company: Company) -> None:
    mine = await company.emea.record(ADA, "OPTED_IN", "sales-commercial")
    assert mine["errors"] == []
    assert mine["event"]["contactPoint"] is not None
    shared = await company.emea.record(ADA, "OPTED_OUT", "commercial")
    assert shared["errors"] == []
    assert not (await company.whole.check(ADA, "commercial"))["allowed"]
    size = (await company.whole.data("{ consentEvents { totalCount } }"))["consentEvents"]["totalCount"]
    others = await company.emea.record(ADA, "OPTED_IN", "tokyo-commercial")
    nothing = await company.emea.record(ADA, "OPTED_IN", "nothing")
    assert others == nothing == {
        "event": None, "consent": None, "errors": [{"code": "NOT_FOUND", "path": ["purpose"]}],
    }  # fmt: skip
    requested = await company.emea.data(
        """mutation { requestDoubleOptIn(input: {address: "a@example.org", profile: "tokyo", purpose: "tokyo-commercial"}) {
             token errors { code path } } }"""
    )
    assert requested["requestDoubleOptIn"] == {"token": None, "errors": [{"code": "NOT_FOUND", "path": ["profile"]}]}
    assert (await company.whole.data("{ consentEvents { totalCount } }"))["consentEvents"]["totalCount"] == size


async def test_out_of_everything_is_out_of_everything_that_it_sees(company: Company) -> None:
    answered = await company.emea.data(
        """mutation { optOutOfAll(input: {address: "ada@example.org"}) {
             recorded results { event { purpose { key } } } errors { code } } }"""
    )
    out = {result["event"]["purpose"]["key"] for result in answered["optOutOfAll"]["results"]}
    assert out == {"commercial", "sales-commercial", "wien-commercial"}
    assert (await company.whole.check(ADA, "tokyo-commercial", "tokyo"))["allowed"]


async def test_an_idempotency_key_of_the_same_application_does_not_tell_what_another_unit_recorded(
    company: Company,
) -> None:
    for_all = await app_of(company.tenant, "emea-app", "write", "read")
    given = {"idempotencyKey": "k"}
    assert (await for_all.record(ADA, "OPTED_OUT", "tokyo-commercial", **given))["errors"] == []
    again = await company.emea.record(ADA, "OPTED_OUT", "tokyo-commercial", **given)
    assert again["event"] is None
    assert again["errors"][0]["code"] == "IDEMPOTENCY_CONFLICT"


async def test_what_it_makes_is_its_own_units_and_it_changes_nothing_else(company: Company) -> None:
    made = await company.emea.data(
        """mutation {
          createBusinessUnit(key: "nordics", name: "Nordics") { businessUnit { key parent { key } } errors { code } }
          createComplianceProfile(input: {key: "oslo", name: "Oslo"}) {
            complianceProfile { businessUnit { key } } errors { code } }
          createPurpose(input: {key: "surveys", name: "S", type: COMMERCIAL, profiles: ["sales"]}) {
            purpose { businessUnit { key } } errors { code } }
        }"""
    )
    assert made["createBusinessUnit"]["businessUnit"] == {"key": "nordics", "parent": {"key": "emea"}}
    assert made["createComplianceProfile"]["complianceProfile"]["businessUnit"] == {"key": "emea"}
    assert made["createPurpose"]["purpose"]["businessUnit"] == {"key": "emea"}
    refused = await company.emea.data(
        """mutation {
          a: updateComplianceProfile(input: {ref: "tokyo", name: "X"}) { errors { code } }
          b: updatePurpose(input: {ref: "tokyo-commercial", name: "X"}) { errors { code } }
          c: updatePurpose(input: {ref: "commercial", enforcement: [{channel: EMAIL, model: DISABLED}]}) { errors { code } }
          d: createTopic(input: {key: "x", name: "X", purpose: "commercial"}) { errors { code } }
          e: createBusinessUnit(key: "x", name: "X", parent: "root") { errors { code } }
          f: createComplianceProfile(input: {key: "x", name: "X", businessUnit: "apac"}) { errors { code } }
          g: addPurposeToProfile(profile: "tokyo", purpose: "surveys") { errors { code } }
        }"""
    )
    codes = {alias: payload["errors"][0]["code"] for alias, payload in refused.items()}
    assert codes == {
        "a": "NOT_FOUND", "b": "NOT_FOUND", "c": "INVALID", "d": "INVALID", "e": "NOT_FOUND", "f": "NOT_FOUND",
        "g": "NOT_FOUND",
    }  # fmt: skip


# Closed unless opened: whatever nobody has narrowed to a unit refuses a key that is bound to one.

# What a bound key may ask; every other field of the schema must refuse it.
NARROWED = {
    "node", "nodes", "viewer", "checkConsent", "checkConsents", "contactPoint", "contactPoints", "complianceProfile",
    "complianceProfiles", "purpose", "topic", "businessUnits", "consentEvents", "recordConsent", "recordConsents",
    "optOutOfAll", "requestDoubleOptIn", "createComplianceProfile", "updateComplianceProfile", "createPurpose",
    "updatePurpose", "addPurposeToProfile", "createTopic", "updateTopic", "createBusinessUnit",
    "compliancePresets", "applyCompliancePreset", "agents", "checkAgentConsent",
}  # fmt: skip
REFUSED = {
    "checkpoint": "{ checkpoint { note } }",
    "inclusionProof": '{ inclusionProof(eventId: "x") { text } }',
    "consistencyProof": "{ consistencyProof(from: 1) { hashes } }",
    "evidence": '{ evidence(address: "ada@example.org") { eventCount } }',
    "preferenceCenterPreview": "{ preferenceCenterPreview }",
    "confirmDoubleOptIn": 'mutation { confirmDoubleOptIn(token: "x") { errors { code } } }',
    "eraseContactPoint": 'mutation { eraseContactPoint(input: {address: "ada@example.org", reason: "x"}) { errors { code } } }',
    "previewEnforcement": '{ previewEnforcement(purpose: "x", channel: EMAIL, model: DISABLED) { toBlock } }',
    "consentTrend": '{ consentTrend(from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z") { day } }',
    "createAgent": 'mutation { createAgent(input: {key: "x", name: "X", purpose: "commercial"}) { errors { code } } }',
    "updateAgent": 'mutation { updateAgent(input: {ref: "x", name: "X"}) { errors { code } } }',
    "webhooks": "{ webhooks { id } }",
    "propagation": "{ propagation { nodes { overdue } } }",
    "webhookDeliveries": '{ webhookDeliveries(webhook: "x") { nodes { state } } }',
    "createWebhook": 'mutation { createWebhook(input: {url: "https://example.org/"}) { errors { code } } }',
    "updateWebhook": 'mutation { updateWebhook(input: {webhook: "x"}) { errors { code } } }',
    "rotateWebhookSecret": 'mutation { rotateWebhookSecret(webhook: "x") { errors { code } } }',
    "redeliverWebhook": 'mutation { redeliverWebhook(webhook: "x", fromPosition: 1) { errors { code } } }',
    "deleteWebhook": 'mutation { deleteWebhook(webhook: "x") { errors { code } } }',
    "acknowledge": "mutation { acknowledge(position: 1) { errors { code } } }",
    "updateTenant": "mutation { updateTenant(unitScoping: false) { errors { code } } }",
}


def test_every_field_is_narrowed_or_refused() -> None:
    graphql = build_schema()._schema
    assert graphql.query_type is not None
    assert graphql.mutation_type is not None
    assert {*graphql.query_type.fields, *graphql.mutation_type.fields} == NARROWED | REFUSED.keys()


@pytest.mark.parametrize("document", REFUSED.values(), ids=REFUSED)
async def test_what_is_about_the_whole_tenant_is_forbidden(company: Company, document: str) -> None:
    assert await company.emea.refused(document) == "FORBIDDEN"


async def test_entries_and_leaf_hashes_are_forbidden(company: Company) -> None:
    await company.emea.record(ADA, "OPTED_IN", "sales-commercial")
    for field in ("entry", "leafHash"):
        assert await company.emea.refused(f"{{ consentEvents {{ nodes {{ {field} }} }} }}") == "FORBIDDEN"


async def test_files_are_for_the_whole_tenant_and_a_key_of_a_unit_is_told_so(company: Company) -> None:
    for method, path in (("POST", "/import/ndjson"), ("GET", "/export/ndjson"), ("GET", "/export/catalogue")):
        response = await company.emea.client.request(method, path, headers=company.emea.headers)
        assert response.status_code == 403, path
        assert "bound to no business unit" in response.json()["errors"][0]["message"]


async def test_the_log_and_what_people_send_back_are_forbidden(company: Company) -> None:
    for method, path in (
        ("GET", f"/log/{company.tenant.key}/checkpoint"),
        ("GET", f"/log/{company.tenant.key}/tile/entries/000.p/1"),
        ("GET", f"/log/{company.tenant.key}/events.ndjson"),
        ("POST", "/inbound/sms"),
        ("POST", "/inbound/email"),
    ):
        response = await company.emea.client.request(method, path, headers=company.emea.headers)
        assert response.status_code == 403, path


async def test_no_key_of_a_unit_has_a_scope_of_the_whole_tenant(company: Company) -> None:
    for scope in ("audit", "erase"):
        with pytest.raises(Refusal) as refused:
            await create_key(company.tenant, "app", ["check", scope], unit="emea")
        assert (refused.value.code, refused.value.path) == (RefusalCode.INVALID, ("scope",))
        async with company.tenant.ledger.connection() as connection:
            with pytest.raises(asyncpg.CheckViolationError):
                await connection.execute(
                    "INSERT INTO api_keys (tenant, key_id, application, secret_hash, scopes, created_at, unit)"
                    " VALUES ($1, 'x', 'app', '', $2, now(), 'emea')",
                    company.tenant.id,
                    ["check", scope],
                )
    with pytest.raises(Refusal) as refused:
        await create_key(company.tenant, "app", ["check"], unit="nowhere")
    assert (refused.value.code, refused.value.path) == (RefusalCode.NOT_FOUND, ("unit",))
    assert {key.unit for key in await list_keys(company.tenant)} == {None, "emea", "apac"}


async def test_times_that_are_past_are_narrowed_too(company: Company) -> None:
    await company.whole.record(ADA, "OPTED_OUT", "tokyo-commercial")
    await company.emea.record(ADA, "OPTED_IN", "sales-commercial")
    now = company.tenant.ledger.clock().isoformat()
    assert (await company.emea.check(ADA, "sales-commercial", "sales", knownAt=now))["allowed"]
    document = f"""{{ checkConsent(input: {{address: "{ADA}", profile: "tokyo", purpose: "tokyo-commercial",
        knownAt: "{now}"}}) {{ allowed }} }}"""
    assert await company.emea.refused(document) == "NOT_FOUND"


async def test_a_past_catalogue_and_one_after_a_change_are_narrowed_too(company: Company) -> None:
    purpose = "purpose { profiles { key } topics { key } }"
    now = company.tenant.ledger.clock().isoformat()
    asked = f"""{{ checkConsent(input: {{address: "{ADA}", profile: "joint", purpose: "commercial", knownAt: "{now}"}}) {{
        reasons {{ {purpose} }} }} }}"""
    [reason] = (await company.emea.data(asked))["checkConsent"]["reasons"]
    assert reason["purpose"]["profiles"] == [{"key": "joint"}]
    changed = await company.emea.data(
        """mutation { updateComplianceProfile(input: {ref: "joint", name: "J2"}) {
             complianceProfile { trackingPurpose { profiles { key } } } } }"""
    )
    profile = changed["updateComplianceProfile"]["complianceProfile"]
    assert profile["trackingPurpose"]["profiles"] == [{"key": "joint"}]


async def test_an_answer_follows_the_catalogue_as_it_changes(company: Company) -> None:
    """What is made in a unit after the key first asked is seen; what is shared with it from then on, too."""
    await company.emea.check(ADA, "sales-commercial", "sales")
    await company.whole.data(
        """mutation {
          a: createBusinessUnit(key: "at", name: "AT", parent: "dach") { errors { code } }
          b: createComplianceProfile(input: {key: "graz", name: "G", businessUnit: "at"}) { errors { code } }
          c: addPurposeToProfile(profile: "graz", purpose: "tokyo-commercial") { errors { code } }
        }"""
    )
    assert (await company.emea.check(ADA, "tokyo-commercial", "graz"))["allowed"]
    assert [unit["key"] for unit in (await company.emea.data("{ businessUnits { key } }"))["businessUnits"]] == [
        "emea", "dach", "at",
    ]  # fmt: skip
    await company.apac.record(ADA, "OPTED_OUT", "tokyo-commercial")
    assert not (await company.emea.check(ADA, "tokyo-commercial", "graz"))["allowed"]
