"""Every mutation takes an idempotency key: the same input gives the first answer again, another input is a conflict."""

from collections.abc import Mapping
from typing import Any

import pytest
from graphql import GraphQLObjectType

from schema.schema import Schema
from tests.schema.conftest import Asker
from tests.schema.test_webhooks import WEBHOOK_MUTATIONS

CAPTURE = {"address": "ann@example.org", "purpose": "commercial", "value": "OPTED_IN"}
PROFILE = "complianceProfile { name version purposes { name version } }"
PURPOSE = "purpose { name version profiles { name } topics { name } }"

# mutation -> (declarations of variables, arguments, selection, variables, what a different input changes)
MUTATIONS: Mapping[str, tuple[str, str, str, dict[str, Any], dict[str, Any]]] = {
    "acknowledge": (
        "$position: Long!, $key: String",
        "position: $position, idempotencyKey: $key",
        "position at",
        {"position": 2},
        {"position": 3},
    ),
    "recordConsent": (
        "$input: RecordConsentInput!",
        "input: $input",
        "event { id position recordedAt } consent { value recordedAt } position",
        {"input": CAPTURE},
        {"value": "OPTED_OUT"},
    ),
    "optOutOfAll": (
        "$input: OptOutOfAllInput!",
        "input: $input",
        "results { event { id } consent { value } position } recorded refused position",
        {"input": {"address": "ann@example.org"}},
        {"profile": "default"},
    ),
    "requestDoubleOptIn": (
        "$input: RequestDoubleOptInInput!",
        "input: $input",
        "token confirmationUrl expiresAt",
        {"input": {"address": "ann@example.org", "profile": "prepared", "purpose": "prepared-commercial"}},
        {"evidence": {"method": "another form"}},
    ),
    "eraseContactPoint": (
        "$input: EraseContactPointInput!",
        "input: $input",
        "erasedEvents certificate { id position data }",
        {"input": {"address": "ann@example.org", "reason": "asked for it"}},
        {"keepSuppression": False},
    ),
    "createComplianceProfile": (
        "$input: CreateComplianceProfileInput!",
        "input: $input",
        PROFILE,
        {"input": {"key": "brand", "name": "Brand"}},
        {"name": "Another"},
    ),
    "updateComplianceProfile": (
        "$input: UpdateComplianceProfileInput!",
        "input: $input",
        PROFILE,
        {"input": {"ref": "default", "name": "Renamed"}},
        {"companyAddress": None},
    ),
    "createAgent": (
        "$input: CreateAgentInput!",
        "input: $input",
        "agent { key name version purpose { name } }",
        {"input": {"key": "sqa", "name": "Sales", "purpose": "commercial"}},
        {"channel": "SMS"},
    ),
    "updateAgent": (
        "$input: UpdateAgentInput!",
        "input: $input",
        "agent { key name version purpose { name } }",
        {"input": {"ref": "prepared", "name": "Renamed"}},
        {"active": False},
    ),
    "createPurpose": (
        "$input: CreatePurposeInput!",
        "input: $input",
        PURPOSE,
        {"input": {"key": "fairs", "name": "Fairs", "type": "COMMERCIAL", "profiles": ["default"]}},
        {"enforcement": [{"channel": "SMS", "model": "DISABLED"}]},
    ),
    "updatePurpose": (
        "$input: UpdatePurposeInput!",
        "input: $input",
        PURPOSE,
        {"input": {"ref": "commercial", "name": "Renamed"}},
        {"active": True},
    ),
    "addPurposeToProfile": (
        "$profile: String!, $purpose: String!, $key: String",
        "profile: $profile, purpose: $purpose, idempotencyKey: $key",
        PROFILE,
        {"profile": "prepared", "purpose": "commercial"},
        {"purpose": "transactional"},
    ),
    "createTopic": (
        "$input: CreateTopicInput!",
        "input: $input",
        "topic { name version purpose { name topics { name } } }",
        {"input": {"key": "offers", "name": "Offers", "purpose": "commercial"}},
        {"description": "All of them"},
    ),
    "updateTopic": (
        "$input: UpdateTopicInput!",
        "input: $input",
        "topic { name version active purpose { name topics { name } } }",
        {"input": {"ref": "news", "name": "Renamed"}},
        {"name": None},
    ),
    "applyCompliancePreset": (
        "$profile: String!, $preset: CompliancePresetKey!, $key: String",
        "profile: $profile, preset: $preset, idempotencyKey: $key",
        "complianceProfile { presets version doubleOptIn purposes { requiredEvidence } }",
        {"profile": "prepared", "preset": "GDPR"},
        {"preset": "CASL"},
    ),
    "createBusinessUnit": (
        "$unit: String!, $name: String!, $key: String",
        "key: $unit, name: $name, idempotencyKey: $key",
        "businessUnit { key name parent { key } }",
        {"unit": "emea", "name": "EMEA"},
        {"name": "Another"},
    ),
    "updateTenant": (
        "$name: String, $key: String",
        "name: $name, idempotencyKey: $key",
        "tenant { name unitScoping }",
        {"name": "Renamed"},
        {"name": "Another"},
    ),
}


def with_key(variables: dict[str, Any], **changed: Any) -> dict[str, Any]:
    if "input" in variables:
        return {"input": {**variables["input"], **changed, "idempotencyKey": "a-key"}}
    return {**variables, **changed, "key": "a-key"}


async def prepare(ask: Asker) -> None:
    await ask.data(
        """mutation {
          createComplianceProfile(input: {key: "prepared", name: "Prepared", doubleOptIn: EVERY_SUBMISSION}) { errors { code } }
          createTopic(input: {key: "news", name: "News", purpose: "commercial"}) { errors { code } }
          createAgent(input: {key: "prepared", name: "Prepared", purpose: "commercial"}) { errors { code } }
          recordConsent(input: {address: "ann@example.org", purpose: "tracking", value: OPTED_OUT}) { errors { code } }
        }"""
    )


async def change_everything(ask: Asker) -> None:
    await ask.data(
        """mutation {
          updateTenant(name: "Changed", unitScoping: false) { errors { code } }
          one: updateComplianceProfile(input: {ref: "default", name: "Changed"}) { errors { code } }
          two: updateComplianceProfile(input: {ref: "prepared", name: "Changed"}) { errors { code } }
          updatePurpose(input: {ref: "commercial", name: "Changed"}) { errors { code } }
          updateTopic(input: {ref: "news", name: "Changed"}) { errors { code } }
          updateAgent(input: {ref: "prepared", name: "Changed"}) { errors { code } }
          recordConsent(input: {address: "ann@example.org", purpose: "commercial", value: NOT_SET}) { errors { code } }
        }"""
    )


@pytest.mark.parametrize("name", MUTATIONS)
async def test_the_same_input_gives_the_first_answer_again(ask: Asker, name: str) -> None:
    declarations, arguments, selection, variables, _ = MUTATIONS[name]
    document = f"mutation({declarations}) {{ {name}({arguments}) {{ {selection} errors {{ code path message }} }} }}"
    await prepare(ask)
    first = await ask.data(document, **with_key(variables))
    assert first[name]["errors"] == []
    await change_everything(ask)
    size = (await ask.data("{ consentEvents(first: 0) { totalCount } }"))["consentEvents"]
    assert await ask.data(document, **with_key(variables)) == first
    assert (await ask.data("{ consentEvents(first: 0) { totalCount } }"))["consentEvents"] == size


@pytest.mark.parametrize("name", MUTATIONS)
async def test_another_input_under_the_same_key_is_a_conflict(ask: Asker, name: str) -> None:
    declarations, arguments, selection, variables, changed = MUTATIONS[name]
    document = f"mutation({declarations}) {{ {name}({arguments}) {{ {selection} errors {{ code path }} }} }}"
    await prepare(ask)
    await ask.data(document, **with_key(variables))
    answer = (await ask.data(document, **with_key(variables, **changed)))[name]
    assert answer["errors"] == [{"code": "IDEMPOTENCY_CONFLICT", "path": ["idempotencyKey"]}]


async def test_the_items_of_a_bulk_have_keys_of_their_own(ask: Asker) -> None:
    document = """mutation($input: RecordConsentsInput!) { recordConsents(input: $input) {
        results { event { id } errors { code path } } recorded refused } }"""
    consents = [{**CAPTURE, "idempotencyKey": "a"}, {**CAPTURE, "value": "OPTED_OUT", "idempotencyKey": "b"}]
    first = await ask.data(document, input={"consents": consents})
    assert await ask.data(document, input={"consents": consents}) == first
    consents[1]["value"] = "NOT_SET"
    answer = (await ask.data(document, input={"consents": consents}))["recordConsents"]
    assert (answer["recorded"], answer["refused"]) == (1, 1)
    assert answer["results"][1]["errors"] == [
        {"code": "IDEMPOTENCY_CONFLICT", "path": ["consents", "1", "idempotencyKey"]}
    ]


async def test_a_refused_input_leaves_its_key_free(ask: Asker) -> None:
    wrong = await ask.record("none", "OPTED_IN", idempotencyKey="k")
    assert wrong["errors"][0]["code"] == "INVALID_ADDRESS"
    right = await ask.record("ann@example.org", "OPTED_IN", idempotencyKey="k")
    assert right["errors"] == []


async def test_a_ref_is_the_same_input_by_key_and_by_id(ask: Asker) -> None:
    purpose = (await ask.data('{ purpose(ref: "commercial") { id } }'))["purpose"]["id"]
    first = await ask.record("ann@example.org", "OPTED_IN", idempotencyKey="k")
    assert await ask.record("ann@example.org", "OPTED_IN", purpose=purpose, idempotencyKey="k") == first


def test_every_mutation_is_tested_here(schema: Schema) -> None:
    mutation = schema._schema.mutation_type
    assert isinstance(mutation, GraphQLObjectType)
    of_webhooks = {"createWebhook", *WEBHOOK_MUTATIONS}
    assert set(mutation.fields) == {*MUTATIONS, *of_webhooks, "recordConsents", "confirmDoubleOptIn"}


async def test_an_opt_outs_key_stands_for_its_texts_as_they_were_given_and_not_as_they_were_mended(ask: Asker) -> None:
    opt_out = {
        "address": "ann@example.com",
        "purpose": "commercial",
        "value": "OPTED_OUT",
        "idempotencyKey": "as-given",
    }
    document = "mutation ($i: RecordConsentInput!) { recordConsent(input: $i) { position errors { code } } }"
    given = opt_out | {"reason": "Because\u0007 "}
    first = (await ask.data(document, i=given))["recordConsent"]
    assert first["errors"] == []
    assert (await ask.data(document, i=given))["recordConsent"] == first
    other = (await ask.data(document, i=opt_out | {"reason": "Because\u0008 "}))["recordConsent"]
    assert [error["code"] for error in other["errors"]] == ["IDEMPOTENCY_CONFLICT"]
