"""recordConsent, recordConsents, optOutOfAll: what a payload says of what was recorded and of what was refused."""

from typing import Any

import pytest

from ledger.assembly import Tenant
from schema.schema import Schema
from tests.conftest import Clock
from tests.schema.conftest import ALL_SCOPES, Asker

RECORD = """
mutation($input: RecordConsentInput!) {
  recordConsent(input: $input) {
    event {
      id position type recordedAt effectiveAt value source reason evidence data entry leafHash
      actor { kind id } purpose { key } topic { key } contactPoint { address channel } application { key }
    }
    consent {
      value effectiveAt recordedAt validUntil source reason
      purpose { key } topic { key } application { key } event { position }
    }
    position
    errors { code message path }
  }
}
"""
RECORDS = """
mutation($input: RecordConsentsInput!) {
  recordConsents(input: $input) {
    results { position event { value } consent { value } errors { code path } }
    position recorded refused errors { code path }
  }
}
"""
OPT_OUT = """
mutation($input: OptOutOfAllInput!) {
  optOutOfAll(input: $input) {
    results { position event { value source reason purpose { key } topic { key } } errors { code } }
    position recorded refused errors { code path message }
  }
}
"""
GIVEN: dict[str, Any] = {"address": "Ann@Example.org", "purpose": "commercial", "value": "OPTED_IN"}


async def test_everything_that_a_capture_carries_comes_back(ask: Asker) -> None:
    given = {
        **GIVEN,
        "effectiveAt": "2026-01-02T03:04:05+01:00",
        "validUntil": "2096-01-01T00:00:00Z",
        "source": "FORM",
        "reason": "because I like it",
        "reasonDescription": "found on the fair",
        "legalBasis": "consent",
        "jurisdiction": "DE",
        "actor": {"kind": "RECIPIENT", "id": "ann"},
        "evidence": {
            "noticeText": "We write to you.",
            "noticeVersion": "3",
            "locale": "de",
            "url": "https://example.org/form",
            "method": "unchecked box ticked",
            "ipAddress": "192.0.2.7",
            "userAgent": "Browser/1",
            "attributes": {"campaign": {"id": 7, "ratio": 0.5, "tags": ["a", None]}},
        },
    }
    payload = (await ask.data(RECORD, input=given))["recordConsent"]
    event = payload["event"]
    assert payload["errors"] == []
    assert payload["position"] == event["position"]
    assert event["type"] == "ConsentCaptured"
    assert event["effectiveAt"] == "2026-01-02T02:04:05.000000Z"
    assert (event["value"], event["source"], event["reason"]) == ("OPTED_IN", "FORM", "because I like it")
    assert event["actor"] == {"kind": "RECIPIENT", "id": "ann"}
    assert event["contactPoint"] == {"address": "ann@example.org", "channel": "EMAIL"}
    assert event["evidence"] == {
        **given["evidence"],
        "reason": "because I like it",
        "reasonDescription": "found on the fair",
        "actorId": "ann",
    }
    assert event["data"]["legalBasis"] == "consent"
    assert "because" not in str(event["data"])
    assert payload["consent"] == {
        "value": "OPTED_IN",
        "effectiveAt": event["effectiveAt"],
        "recordedAt": event["recordedAt"],
        "validUntil": "2096-01-01T00:00:00.000000Z",
        "source": "FORM",
        "reason": "because I like it",
        "purpose": {"key": "commercial"},
        "topic": None,
        "application": None,
        "event": {"position": event["position"]},
    }


async def test_an_older_choice_is_recorded_and_does_not_override(ask: Asker) -> None:
    await ask.record("ann@example.org", "OPTED_OUT")
    older = await ask.record("ann@example.org", "OPTED_IN", effectiveAt="2020-01-01T00:00:00Z")
    assert older["errors"] == []
    assert older["consent"] == {"value": "OPTED_OUT"}


async def test_each_of_many_stands_or_falls_alone(ask: Asker) -> None:
    consents = [
        GIVEN,
        {**GIVEN, "purpose": "nope"},
        {**GIVEN, "address": "no address", "channel": "SMS"},
        {**GIVEN, "value": "OPTED_OUT"},
        {**GIVEN, "evidence": {"attributes": [1]}},
        {**GIVEN, "actor": {"kind": "USER", "id": "a\x00b"}},
        {**GIVEN, "value": "OPTED_OUT", "validUntil": "2096-01-01T00:00:00Z"},
    ]
    payload = (await ask.data(RECORDS, input={"consents": consents}))["recordConsents"]
    assert (payload["recorded"], payload["refused"]) == (2, 5)
    results = payload["results"]
    assert [bool(result["errors"]) for result in results] == [False, True, True, False, True, True, True]
    assert [result["errors"][0]["path"] for result in results if result["errors"]] == [
        ["consents", "1", "purpose"],
        ["consents", "2", "address"],
        ["consents", "4", "evidence", "attributes"],
        ["consents", "5", "actor", "id"],
        ["consents", "6", "validUntil"],
    ]
    assert payload["position"] == results[3]["position"]
    assert payload["errors"] == [error for result in results for error in result["errors"]]
    assert results[1]["event"] is None
    assert results[1]["consent"] is None
    assert results[3]["consent"] == {"value": "OPTED_OUT"}


async def test_at_most_1_000_consents_at_once(ask: Asker) -> None:
    limit = await ask.over_limit(RECORDS, input={"consents": [GIVEN] * 1_001})
    assert (limit.limit, limit.allowed, limit.given) == ("consents", 1_000, 1_001)
    payload = (await ask.data(RECORDS, input={"consents": []}))["recordConsents"]
    assert payload == {"results": [], "position": None, "recorded": 0, "refused": 0, "errors": []}


async def test_out_of_everything_commercial(ask: Asker) -> None:
    await ask.data(
        """mutation { createPurpose(input: {key: "fairs", name: "Fairs", type: COMMERCIAL, profiles: ["default"]})
             { errors { code } } }"""
    )
    given = {"address": "ann@example.org", "source": "OPERATOR", "reason": "Opt-out - Privacy concerns"}
    payload = (await ask.data(OPT_OUT, input=given))["optOutOfAll"]
    assert (payload["recorded"], payload["refused"], payload["errors"]) == (2, 0, [])
    assert payload["position"] == payload["results"][-1]["position"]
    assert [result["event"] for result in payload["results"]] == [
        {
            "value": "OPTED_OUT",
            "source": "OPERATOR",
            "reason": "Opt-out - Privacy concerns",
            "purpose": {"key": key},
            "topic": None,
        }
        for key in ("commercial", "fairs")
    ]


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ({"profile": "nope"}, "NOT_FOUND", ["profile"]),
        ({"address": "nope"}, "INVALID_ADDRESS", ["address"]),
        ({"effectiveAt": "2999-01-01T00:00:00Z"}, "EFFECTIVE_IN_FUTURE", ["effectiveAt"]),
        ({"idempotencyKey": "\x00"}, "INVALID", ["idempotencyKey"]),
    ],
)
async def test_opting_out_of_all_refuses_with_the_inputs_path(
    ask: Asker, given: dict[str, Any], code: str, path: list[str]
) -> None:
    payload = (await ask.data(OPT_OUT, input={"address": "ann@example.org", **given}))["optOutOfAll"]
    assert [(error["code"], error["path"]) for error in payload["errors"]] == [(code, path)]
    assert (payload["results"], payload["recorded"]) == ([], 0)


async def test_what_counts_after_a_capture_is_judged_then(schema: Schema, clocked_tenant: Tenant, clock: Clock) -> None:
    ask = Asker(schema, clocked_tenant, ALL_SCOPES)
    given = {**GIVEN, "validUntil": "2026-06-01T12:30:00Z", "idempotencyKey": "k"}
    first = await ask.data(RECORD, input=given)
    clock.now = clock.now.replace(hour=13)
    await ask.record("ann@example.org", "OPTED_OUT")
    again = await ask.data(RECORD, input=given)
    assert again == first
    assert again["recordConsent"]["consent"]["value"] == "OPTED_IN"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("no\x07 more", "no\N{REPLACEMENT CHARACTER} more"),
        ("\ud800", "\N{REPLACEMENT CHARACTER}"),
        ("x" * 501, "x" * 499 + "…"),
    ],
)
async def test_an_opt_out_is_not_refused_for_its_reason(ask: Asker, given: str, shown: str) -> None:
    one = {"address": "ann@example.org", "purpose": "commercial", "value": "OPTED_OUT", "reason": given}
    recorded = (await ask.data(RECORD, input={**one, "idempotencyKey": "k"}))["recordConsent"]
    assert (recorded["errors"], recorded["event"]["reason"]) == ([], shown)
    assert (await ask.data(RECORD, input={**one, "idempotencyKey": "k"}))["recordConsent"]["event"] == recorded["event"]
    everything = (await ask.data(OPT_OUT, input={"address": "bob@example.org", "reason": given}))["optOutOfAll"]
    assert [result["event"]["reason"] for result in everything["results"]] == [shown]
    opt_in = (await ask.data(RECORD, input={**one, "value": "OPTED_IN"}))["recordConsent"]
    assert [error["path"] for error in opt_in["errors"]] == [["reason"]]


async def test_an_opt_out_is_not_refused_for_anything_beside_it(ask: Asker) -> None:
    wrong = "\x00" + "x" * 60_000
    texts = ("noticeText", "noticeVersion", "locale", "url", "method", "ipAddress", "userAgent")
    given = {
        "address": "ann@example.org", "purpose": "commercial", "value": "OPTED_OUT",
        "reason": wrong, "reasonDescription": wrong, "legalBasis": "of ann@example.org", "jurisdiction": wrong,
        "actor": {"kind": "USER", "id": wrong},
        "evidence": {**dict.fromkeys(texts, wrong), "attributes": {"a": "\ud800"}},
    }  # fmt: skip
    payload = (await ask.data(RECORD, input=given))["recordConsent"]
    assert (payload["errors"], payload["consent"]["value"]) == ([], "OPTED_OUT")


TEXTS = {
    "address": "INVALID_ADDRESS",
    "purpose": "NOT_FOUND",
    "topic": "NOT_FOUND",
    "reason": "INVALID",
    "reasonDescription": "INVALID",
    "legalBasis": "INVALID",
    "jurisdiction": "INVALID",
    "idempotencyKey": "INVALID",
    "actor.id": "INVALID",
    "evidence.noticeText": "INVALID",
    "evidence.noticeVersion": "INVALID",
    "evidence.locale": "INVALID",
    "evidence.url": "INVALID",
    "evidence.method": "INVALID",
    "evidence.ipAddress": "INVALID",
    "evidence.userAgent": "INVALID",
}


@pytest.mark.parametrize("broken", ["a\x00b", "a\ud800b", "\x00", "\udfff"])
@pytest.mark.parametrize("field", TEXTS)
async def test_no_text_may_hold_nul_or_half_a_surrogate_pair(ask: Asker, field: str, broken: str) -> None:
    outer, _, inner = field.partition(".")
    value: Any = {inner: broken} if inner else broken
    if outer == "actor":
        value["kind"] = "USER"
    payload = (await ask.data(RECORD, input={**GIVEN, outer: value}))["recordConsent"]
    assert [(error["code"], error["path"]) for error in payload["errors"]] == [(TEXTS[field], field.split("."))]
    assert payload["event"] is None
    assert payload["position"] is None
    assert broken not in payload["errors"][0]["message"]


async def test_attributes_may_not_hold_half_a_surrogate_pair(ask: Asker) -> None:
    given = {**GIVEN, "evidence": {"attributes": {"a": "\ud800"}}}
    payload = (await ask.data(RECORD, input=given))["recordConsent"]
    assert [error["path"] for error in payload["errors"]] == [["evidence", "attributes"]]


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ({"purpose": "nope"}, "NOT_FOUND", ["purpose"]),
        ({"topic": "nope"}, "NOT_FOUND", ["topic"]),
        ({"topic": "news", "purpose": "transactional"}, "TOPIC_OUTSIDE_PURPOSE", ["topic"]),
        ({"topic": "old"}, "INACTIVE", ["topic"]),
        ({"address": "none"}, "INVALID_ADDRESS", ["address"]),
        ({"address": "12345", "channel": "SMS"}, "INVALID_ADDRESS", ["address"]),
        ({"effectiveAt": "2999-01-01T00:00:00Z"}, "EFFECTIVE_IN_FUTURE", ["effectiveAt"]),
        ({"validUntil": "2000-01-01T00:00:00Z"}, "INVALID", ["validUntil"]),
        ({"value": "NOT_SET", "validUntil": "2999-01-01T00:00:00Z"}, "INVALID", ["validUntil"]),
        ({"reasonDescription": "x" * 501}, "INVALID", ["reasonDescription"]),
        ({"legalBasis": "ann@example.org"}, "INVALID", ["legalBasis"]),
        ({"idempotencyKey": "k" * 201}, "INVALID", ["idempotencyKey"]),
    ],
)
async def test_a_capture_is_refused_with_the_inputs_path(
    ask: Asker, given: dict[str, Any], code: str, path: list[str]
) -> None:
    await ask.data(
        """mutation {
          createTopic(input: {key: "news", name: "News", purpose: "commercial"}) { errors { code } }
          old: createTopic(input: {key: "old", name: "Old", purpose: "commercial"}) { errors { code } }
          updateTopic(input: {ref: "old", active: false}) { errors { code } }
        }"""
    )
    payload = (await ask.data(RECORD, input={**GIVEN, **given}))["recordConsent"]
    assert [(error["code"], error["path"]) for error in payload["errors"]] == [(code, path)]
    assert payload["event"] is None
    assert payload["consent"] is None


@pytest.mark.parametrize("field", ["effectiveAt", "validUntil"])
async def test_a_naive_instant_is_an_error_that_names_the_field(ask: Asker, field: str) -> None:
    answered = await ask(RECORD, input={**GIVEN, field: "2026-01-01T00:00:00"})
    assert answered.data is None
    assert answered.errors[0].extensions == {"code": "BAD_USER_INPUT"}
    assert f".{field}" in answered.errors[0].message
    assert "has no offset from UTC" in answered.errors[0].message
