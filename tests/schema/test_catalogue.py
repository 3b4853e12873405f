"""Profiles, purposes and topics: read, listed, made and changed; what is refused and how."""

from typing import Any

import pytest

from domain.refusals import RefusalCode
from tests.schema.conftest import Asker

PROFILES = """
query($all: Boolean! = false, $first: Int, $after: String) {
  complianceProfiles(includeInactive: $all, first: $first, after: $after) {
    totalCount nodes { key } pageInfo { hasNextPage hasPreviousPage endCursor }
  }
}
"""
CREATE_PROFILE = """
mutation($input: CreateComplianceProfileInput!) { createComplianceProfile(input: $input) {
  complianceProfile {
    id key name active companyAddress externalLink version purposes { key } trackingPurpose { key type }
  }
  errors { code path message } } }
"""
UPDATE_PROFILE = """
mutation($input: UpdateComplianceProfileInput!) { updateComplianceProfile(input: $input) {
  complianceProfile { name active companyAddress externalLink version } errors { code path } } }
"""
CREATE_PURPOSE = """
mutation($input: CreatePurposeInput!) { createPurpose(input: $input) {
  purpose { id key name description type active legalBasis version enforcement { channel model } topics { key }
            profiles { key } }
  errors { code path } } }
"""
UPDATE_PURPOSE = """
mutation($input: UpdatePurposeInput!) { updatePurpose(input: $input) {
  purpose { name description legalBasis active version enforcement { channel model } } errors { code path } } }
"""
ADD = """
mutation($profile: String!, $purpose: String!) { addPurposeToProfile(profile: $profile, purpose: $purpose) {
  complianceProfile { key version purposes { key } } errors { code path } } }
"""
CREATE_TOPIC = """
mutation($input: CreateTopicInput!) { createTopic(input: $input) {
  topic { id key name description active version purpose { key topics { key } } } errors { code path } } }
"""
UPDATE_TOPIC = """
mutation($input: UpdateTopicInput!) { updateTopic(input: $input) {
  topic { name description active version } errors { code path } } }
"""
UPDATE_TENANT = """
mutation($name: String, $scoping: Boolean) { updateTenant(name: $name, unitScoping: $scoping) {
  tenant { key name unitScoping } errors { code path } } }
"""


async def payload(ask: Asker, document: str, **variables: Any) -> Any:
    (answer,) = (await ask.data(document, **variables)).values()
    return answer


async def test_a_profile_with_default_purposes_of_its_own(ask: Asker) -> None:
    given = {"key": "brand", "name": "Brand", "companyAddress": "Street 1", "externalLink": "https://example.org/p"}
    made = await payload(ask, CREATE_PROFILE, input=given)
    assert made["errors"] == []
    assert made["complianceProfile"] == {
        "id": made["complianceProfile"]["id"],
        "key": "brand",
        "name": "Brand",
        "active": True,
        "companyAddress": "Street 1",
        "externalLink": "https://example.org/p",
        "version": 1,
        "purposes": [{"key": f"brand-{key}"} for key in ("commercial", "transactional", "tracking")],
        "trackingPurpose": {"key": "brand-tracking", "type": "TRACKING"},
    }


async def test_a_profile_that_shares_anothers_purposes(ask: Asker) -> None:
    default = await ask.data('{ complianceProfile(ref: "default") { id } }')
    given = {"key": "brand", "name": "Brand", "sharePurposesOf": default["complianceProfile"]["id"]}
    made = await payload(ask, CREATE_PROFILE, input=given)
    assert made["complianceProfile"]["trackingPurpose"] == {"key": "tracking", "type": "TRACKING"}


async def test_what_is_left_out_of_an_update_stays_and_null_clears(ask: Asker) -> None:
    given = {"key": "brand", "name": "Brand", "companyAddress": "Street 1", "externalLink": "https://example.org/p"}
    made = await payload(ask, CREATE_PROFILE, input=given)
    profile_id = made["complianceProfile"]["id"]
    changed = await payload(ask, UPDATE_PROFILE, input={"ref": profile_id, "companyAddress": None, "name": "Brand 2"})
    assert changed["complianceProfile"] == {
        "name": "Brand 2",
        "active": True,
        "companyAddress": None,
        "externalLink": "https://example.org/p",
        "version": 2,
    }


async def test_a_purpose_with_its_enforcement(ask: Asker) -> None:
    given = {
        "key": "fairs",
        "name": "Fairs",
        "description": "Where we are",
        "type": "COMMERCIAL",
        "profiles": ["default"],
        "legalBasis": "consent",
        "enforcement": [{"channel": "EMAIL", "model": "RESTRICTIVE"}],
    }
    made = await payload(ask, CREATE_PURPOSE, input=given)
    assert made["errors"] == []
    assert made["purpose"]["enforcement"] == [
        {"channel": channel, "model": "RESTRICTIVE"} for channel in ("EMAIL", "SMS", "VOICE", "PUSH", "CUSTOM")
    ]
    assert made["purpose"]["profiles"] == [{"key": "default"}]
    assert (made["purpose"]["description"], made["purpose"]["legalBasis"]) == ("Where we are", "consent")
    change = {"ref": "fairs", "enforcement": [{"channel": "SMS", "model": "DISABLED"}], "description": None}
    changed = await payload(ask, UPDATE_PURPOSE, input=change)
    assert [pair["model"] for pair in changed["purpose"]["enforcement"]] == [
        "RESTRICTIVE",
        "DISABLED",
        "RESTRICTIVE",
        "RESTRICTIVE",
        "RESTRICTIVE",
    ]
    assert (changed["purpose"]["description"], changed["purpose"]["legalBasis"]) == (None, "consent")
    assert changed["purpose"]["version"] == 2


async def test_topics_and_sharing(ask: Asker) -> None:
    made = await payload(ask, CREATE_TOPIC, input={"key": "news", "name": "News", "purpose": "commercial"})
    assert made["topic"]["purpose"] == {"key": "commercial", "topics": [{"key": "news"}]}
    changed = await payload(ask, UPDATE_TOPIC, input={"ref": made["topic"]["id"], "active": False})
    assert changed["topic"] == {"name": "News", "description": None, "active": False, "version": 2}
    await payload(ask, CREATE_PROFILE, input={"key": "brand", "name": "Brand"})
    added = await payload(ask, ADD, profile="brand", purpose="commercial")
    assert added["complianceProfile"]["purposes"][-1] == {"key": "commercial"}
    tenant = await payload(ask, UPDATE_TENANT, name="New", scoping=False)
    assert tenant["tenant"] == {"key": ask.tenant.key, "name": "New", "unitScoping": False}


async def test_pages_of_profiles_and_inactive_ones(ask: Asker) -> None:
    for key in ("a", "b", "c"):
        await payload(ask, CREATE_PROFILE, input={"key": key, "name": key, "sharePurposesOf": "default"})
    first = await payload(ask, PROFILES, first=2)
    assert [node["key"] for node in first["nodes"]] == ["default", "a"]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (4, True)
    await payload(ask, UPDATE_PROFILE, input={"ref": "a", "active": False})
    rest = await payload(ask, PROFILES, after=first["pageInfo"]["endCursor"])
    assert [node["key"] for node in rest["nodes"]] == ["b", "c"], "a cursor of what is inactive by now works"
    assert rest["totalCount"] == 3
    assert rest["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": True,
        "endCursor": rest["pageInfo"]["endCursor"],
    }
    everything = await payload(ask, PROFILES, all=True)
    assert [node["key"] for node in everything["nodes"]] == ["default", "a", "b", "c"]
    refusal = await ask.refused(PROFILES, after="nope")
    assert (refusal.code, refusal.path) == (RefusalCode.INVALID, ("after",))
    assert (await ask.refused(PROFILES, first=-1)).path == ("first",)
    assert (await ask.over_limit(PROFILES, first=1_001)).limit == "first"


@pytest.mark.parametrize("field", ["complianceProfile", "purpose", "topic"])
@pytest.mark.parametrize("ref", ["nope", "", "\x00", "\ud800", "DEFAULT"])
async def test_a_ref_that_names_nothing_is_an_error(ask: Asker, field: str, ref: str) -> None:
    refusal = await ask.refused(f"query($ref: String!) {{ {field}(ref: $ref) {{ id }} }}", ref=ref)
    assert (refusal.code, refusal.path) == (RefusalCode.NOT_FOUND, ("ref",))


NEW_PURPOSE = {"key": "new", "name": "New", "type": "COMMERCIAL", "profiles": ["default"]}


@pytest.mark.parametrize(
    ("document", "given", "code", "path"),
    [
        (CREATE_PROFILE, {"key": "default", "name": "x"}, "ALREADY_EXISTS", ["key"]),
        (CREATE_PROFILE, {"key": "Bad Key", "name": "x"}, "INVALID", ["key"]),
        (CREATE_PROFILE, {"key": "a\x00", "name": "x"}, "INVALID", ["key"]),
        (CREATE_PROFILE, {"key": "a", "name": " "}, "INVALID", ["name"]),
        (CREATE_PROFILE, {"key": "a", "name": "\ud800"}, "INVALID", ["name"]),
        (CREATE_PROFILE, {"key": "a", "name": "x", "companyAddress": "\x00"}, "INVALID", ["companyAddress"]),
        (CREATE_PROFILE, {"key": "a", "name": "x", "externalLink": "javascript:x"}, "INVALID", ["externalLink"]),
        (CREATE_PROFILE, {"key": "a", "name": "x", "externalLink": "http://\ud800"}, "INVALID", ["externalLink"]),
        (CREATE_PROFILE, {"key": "a", "name": "x", "sharePurposesOf": "nope"}, "NOT_FOUND", ["sharePurposesOf"]),
        (CREATE_PROFILE, {"key": "a", "name": "x", "sharePurposesOf": ""}, "NOT_FOUND", ["sharePurposesOf"]),
        (CREATE_PROFILE, {"key": "a", "name": "x", "idempotencyKey": "\ud800"}, "INVALID", ["idempotencyKey"]),
        (UPDATE_PROFILE, {"ref": "nope"}, "NOT_FOUND", ["ref"]),
        (UPDATE_PROFILE, {"ref": "default", "expectedVersion": 2}, "VERSION_CONFLICT", ["expectedVersion"]),
        (UPDATE_PROFILE, {"ref": "default", "name": None}, "INVALID", ["name"]),
        (UPDATE_PROFILE, {"ref": "default", "companyAddress": "\udfff"}, "INVALID", ["companyAddress"]),
        (CREATE_PURPOSE, {**NEW_PURPOSE, "key": "commercial"}, "ALREADY_EXISTS", ["key"]),
        (CREATE_PURPOSE, {**NEW_PURPOSE, "type": "TRACKING"}, "INVALID", ["type"]),
        (CREATE_PURPOSE, {**NEW_PURPOSE, "profiles": []}, "INVALID", ["profiles"]),
        (CREATE_PURPOSE, {**NEW_PURPOSE, "profiles": ["default", "nope"]}, "NOT_FOUND", ["profiles", "1"]),
        (CREATE_PURPOSE, {**NEW_PURPOSE, "description": "\x00"}, "INVALID", ["description"]),
        (CREATE_PURPOSE, {**NEW_PURPOSE, "legalBasis": "\ud800"}, "INVALID", ["legalBasis"]),
        (
            CREATE_PURPOSE,
            {**NEW_PURPOSE, "enforcement": [{"channel": "SMS", "model": "DISABLED"}] * 2},
            "INVALID",
            ["enforcement"],
        ),
        (UPDATE_PURPOSE, {"ref": "nope"}, "NOT_FOUND", ["ref"]),
        (UPDATE_PURPOSE, {"ref": "commercial", "expectedVersion": 7}, "VERSION_CONFLICT", ["expectedVersion"]),
        (UPDATE_PURPOSE, {"ref": "commercial", "name": "x" * 201}, "INVALID", ["name"]),
        (CREATE_TOPIC, {"key": "a", "name": "x", "purpose": "nope"}, "NOT_FOUND", ["purpose"]),
        (CREATE_TOPIC, {"key": "a", "name": "x", "purpose": "tracking"}, "INVALID", ["purpose"]),
        (CREATE_TOPIC, {"key": "a", "name": "\x00", "purpose": "commercial"}, "INVALID", ["name"]),
        (UPDATE_TOPIC, {"ref": "nope"}, "NOT_FOUND", ["ref"]),
        (UPDATE_TOPIC, {"ref": "\ud800"}, "NOT_FOUND", ["ref"]),
    ],
)
async def test_a_change_is_refused_with_the_inputs_path(
    ask: Asker, document: str, given: dict[str, Any], code: str, path: list[str]
) -> None:
    answer = await payload(ask, document, input=given)
    assert [(error["code"], error["path"]) for error in answer["errors"]] == [(code, path)]
    assert [value for name, value in answer.items() if name != "errors"] == [None]


@pytest.mark.parametrize(
    ("variables", "code", "path"),
    [
        ({"profile": "nope", "purpose": "commercial"}, "NOT_FOUND", ["profile"]),
        ({"profile": "default", "purpose": "nope"}, "NOT_FOUND", ["purpose"]),
        ({"profile": "brand", "purpose": "tracking"}, "INVALID", ["purpose"]),
    ],
)
async def test_sharing_a_purpose_is_refused_with_the_arguments_path(
    ask: Asker, variables: dict[str, str], code: str, path: list[str]
) -> None:
    await payload(ask, CREATE_PROFILE, input={"key": "brand", "name": "Brand"})
    answer = await payload(ask, ADD, **variables)
    assert [(error["code"], error["path"]) for error in answer["errors"]] == [(code, path)]


async def test_the_tenants_name_must_be_text(ask: Asker) -> None:
    for name in ("", "\x00", "\ud800", None):
        answer = await payload(ask, UPDATE_TENANT, name=name)
        assert [(error["code"], error["path"]) for error in answer["errors"]] == [("INVALID", ["name"])]


async def test_a_later_change_of_one_document_sees_the_earlier_ones(ask: Asker) -> None:
    data = await ask.data(
        """mutation {
          one: createTopic(input: {key: "one", name: "One", purpose: "commercial"}) { topic { ...Siblings } }
          two: createTopic(input: {key: "two", name: "Two", purpose: "commercial"}) { topic { ...Siblings } }
          recordConsent(input: {address: "a@example.org", purpose: "commercial", topic: "two", value: OPTED_IN})
            { event { topic { ...Siblings } } }
        }
        fragment Siblings on Topic { purpose { topics { key } } }"""
    )
    assert data["one"]["topic"]["purpose"]["topics"] == [{"key": "one"}]
    both = [{"key": "one"}, {"key": "two"}]
    assert data["two"]["topic"]["purpose"]["topics"] == both
    assert data["recordConsent"]["event"]["topic"]["purpose"]["topics"] == both
