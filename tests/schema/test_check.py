"""checkConsent and checkConsents: the decision with its reasons, its times, its position."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from domain.addresses import Channel
from domain.refusals import RefusalCode
from ledger import receipts
from ledger.answers import Answer, explain
from ledger.assembly import Tenant
from ledger.check import Question
from ledger.check import check as ask_ledger
from schema import check
from schema.schema import Schema
from tests.conftest import Clock
from tests.schema.conftest import ALL_SCOPES, Asker

CHECK = """
query($input: CheckConsentInput!) {
  checkConsent(input: $input) {
    address allowed trackingAllowed position decidedAt
    reasons {
      code message value enforcement purpose { key name } topic { key }
      event { position type value source effectiveAt contactPoint { channel address } }
    }
  }
}
"""
CHECKS = """
query($input: CheckConsentsInput!) {
  checkConsents(input: $input) { address allowed position reasons { code event { position } } }
}
"""


async def test_a_decision_says_what_was_found_and_which_event_set_it(ask: Asker) -> None:
    recorded = await ask.record("ann@example.org", "OPTED_OUT")
    decision = (await ask.data(CHECK, input={"address": " Ann@Example.org ", "purpose": "commercial"}))["checkConsent"]
    assert decision["address"] == " Ann@Example.org ", "exactly as asked"
    assert decision["allowed"] is False
    assert decision["trackingAllowed"] is True
    assert decision["position"] == recorded["position"]
    assert decision["decidedAt"].endswith("Z")
    assert decision["reasons"] == [
        {
            "code": "OPTED_OUT",
            "message": "Opted out of purpose commercial.",
            "value": "OPTED_OUT",
            "enforcement": "NON_RESTRICTIVE",
            "purpose": {"key": "commercial", "name": "Commercial"},
            "topic": None,
            "event": {
                "position": recorded["position"],
                "type": "ConsentCaptured",
                "value": "OPTED_OUT",
                "source": "API",
                "effectiveAt": decision["reasons"][0]["event"]["effectiveAt"],
                "contactPoint": {"channel": "EMAIL", "address": "ann@example.org"},
            },
        }
    ]


async def test_answers_come_in_the_order_asked_each_address_as_given(ask: Asker) -> None:
    await ask.record("out@example.org", "OPTED_OUT")
    asked = ["none", "OUT@example.org", "new@example.org", "out@example.org", "a\ud800@example.org", "\x00", ""]
    answers = (await ask.data(CHECKS, input={"addresses": asked, "purpose": "commercial"}))["checkConsents"]
    assert [answer["address"] for answer in answers] == asked
    assert [answer["allowed"] for answer in answers] == [False, False, True, False, False, False, False]
    assert [answer["reasons"][0]["code"] for answer in answers] == [
        "INVALID_ADDRESS",
        "OPTED_OUT",
        "NOT_SET_ALLOWED",
        "OPTED_OUT",
        "INVALID_ADDRESS",
        "INVALID_ADDRESS",
        "INVALID_ADDRESS",
    ]
    assert len({answer["position"] for answer in answers}) == 1


async def test_both_kinds_of_time(schema: Schema, clocked_tenant: Tenant, clock: Clock) -> None:
    ask = Asker(schema, clocked_tenant, ALL_SCOPES)
    clock.now = clock.now.replace(hour=12)
    await ask.record("ann@example.org", "OPTED_IN", effectiveAt="2026-05-01T00:00:00Z")
    clock.now = clock.now.replace(hour=14)
    await ask.record("ann@example.org", "OPTED_OUT", effectiveAt="2026-05-15T00:00:00+02:00")

    async def code(**times: str) -> str:
        data = await ask.data(CHECK, input={"address": "ann@example.org", "purpose": "commercial", **times})
        return data["checkConsent"]["reasons"][0]["code"]

    assert await code() == "OPTED_OUT"
    assert await code(knownAt="2026-06-01T13:00:00Z") == "OPTED_IN"
    assert await code(asOf="2026-05-10T00:00:00Z") == "OPTED_IN"
    assert await code(asOf="2026-04-01T00:00:00Z") == "NOT_SET_ALLOWED"


async def test_refs_are_keys_or_ids(ask: Asker) -> None:
    ids = await ask.data('{ purpose(ref: "commercial") { id } complianceProfile(ref: "default") { id } }')
    asked = {"address": "a@example.org", "purpose": ids["purpose"]["id"], "profile": ids["complianceProfile"]["id"]}
    assert (await ask.data(CHECK, input=asked))["checkConsent"]["allowed"] is True


@pytest.mark.parametrize(
    ("named", "code", "path"),
    [
        ({"profile": "nope"}, RefusalCode.NOT_FOUND, ("profile",)),
        ({"purpose": "nope"}, RefusalCode.NOT_FOUND, ("purpose",)),
        ({"purpose": ""}, RefusalCode.NOT_FOUND, ("purpose",)),
        ({"topic": "nope"}, RefusalCode.NOT_FOUND, ("topic",)),
        ({"topic": ""}, RefusalCode.NOT_FOUND, ("topic",)),
        ({"topic": "\x00"}, RefusalCode.NOT_FOUND, ("topic",)),
        ({"purpose": "\ud800"}, RefusalCode.NOT_FOUND, ("purpose",)),
        ({"profile": "RWWW\ud800"}, RefusalCode.NOT_FOUND, ("profile",)),
        ({"topic": "news", "purpose": "transactional"}, RefusalCode.TOPIC_OUTSIDE_PURPOSE, ("topic",)),
        ({"purpose": "elsewhere-commercial"}, RefusalCode.PURPOSE_OUTSIDE_PROFILE, ("purpose",)),
        ({"topic": "old"}, RefusalCode.INACTIVE, ("topic",)),
    ],
)
async def test_what_a_message_names_must_be_there_active_and_its_own(
    ask: Asker, named: dict[str, Any], code: RefusalCode, path: tuple[str, ...]
) -> None:
    await ask.data(
        """mutation {
          createTopic(input: {key: "news", name: "News", purpose: "commercial"}) { errors { code } }
          old: createTopic(input: {key: "old", name: "Old", purpose: "commercial"}) { errors { code } }
          updateTopic(input: {ref: "old", active: false}) { errors { code } }
          createComplianceProfile(input: {key: "elsewhere", name: "Elsewhere"}) { errors { code } }
        }"""
    )
    for document, address in ((CHECK, {"address": "a@example.org"}), (CHECKS, {"addresses": ["a@example.org"]})):
        refusal = await ask.refused(document, input={"purpose": "commercial", **address, **named})
        assert (refusal.code, refusal.path) == (code, path)


async def test_a_batch_has_at_most_10_000_addresses(ask: Asker) -> None:
    limit = await ask.over_limit(CHECKS, input={"addresses": ["a@example.org"] * 10_001, "purpose": "commercial"})
    assert (limit.limit, limit.allowed, limit.given) == ("addresses", 10_000, 10_001)
    assert (await ask.data(CHECKS, input={"addresses": [], "purpose": "commercial"})) == {"checkConsents": []}


async def test_a_position_can_be_waited_for(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.assembly.WAIT_FOR_POSITION_S", 0.05)
    recorded = await ask.record("ann@example.org", "OPTED_OUT")
    asked = {"address": "ann@example.org", "purpose": "commercial"}
    seen = await ask.data(CHECK, input={**asked, "minPosition": recorded["position"]})
    assert seen["checkConsent"]["position"] == recorded["position"]
    seen = await ask.data(CHECK, input={**asked, "minPosition": str(recorded["position"])})
    assert seen["checkConsent"]["position"] == recorded["position"]
    later = recorded["position"] + 1
    assert await ask.not_yet(CHECK, input={**asked, "minPosition": later}) == later


async def test_what_was_known_then_is_shown_as_it_was_then(
    schema: Schema, clocked_tenant: Tenant, clock: Clock
) -> None:
    ask = Asker(schema, clocked_tenant, ALL_SCOPES)
    before = clock.now.replace(hour=13)
    clock.now = clock.now.replace(hour=14)
    await ask.data('mutation { updatePurpose(input: {ref: "commercial", name: "Offers"}) { errors { code } } }')
    asked = {"address": "a@example.org", "purpose": "commercial"}
    then = await ask.data(CHECK, input={**asked, "knownAt": before.isoformat()})
    now = await ask.data(CHECK, input=asked)
    assert then["checkConsent"]["reasons"][0]["purpose"]["name"] == "Commercial"
    assert now["checkConsent"]["reasons"][0]["purpose"]["name"] == "Offers"


@pytest.mark.parametrize(
    ("selection", "explained"),
    [
        ("address allowed trackingAllowed position", 0),
        ("allowed why: reasons { code }", 3),
        ("allowed ...Why", 3),
        ("... on ConsentDecision { reasons { code } }", 3),
    ],
)
async def test_the_reasons_of_a_batch_are_made_while_others_go_on_and_only_where_they_are_asked_for(
    ask: Asker, monkeypatch: pytest.MonkeyPatch, selection: str, explained: int
) -> None:
    made: list[int] = []

    async def noted(answers: Sequence[Answer]) -> None:
        made.append(len(answers))
        await explain(answers)

    monkeypatch.setattr(check, "explain", noted)
    fragment = "fragment Why on ConsentDecision { reasons { message } }" if "Why" in selection else ""
    document = f"query($input: CheckConsentsInput!) {{ checkConsents(input: $input) {{ {selection} }} }} {fragment}"
    addresses = ["a@example.org", "b@example.org", "none"]
    await ask.data(document, input={"addresses": addresses, "purpose": "commercial"})
    assert sum(made) == explained


async def test_others_go_on_while_reasons_are_made(tenant: Tenant, ask: Asker) -> None:
    many = [f"a{number}@example.org" for number in range(1_100)]
    await ask.record(many[0], "OPTED_OUT")
    answers = await ask_ledger(tenant, Question(channel=Channel.EMAIL, addresses=many, purpose="commercial"))
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    await explain(answers)
    counting.cancel()
    assert turns
    made = [answer.decision for answer in answers]
    assert all(answer.decision is one for answer, one in zip(answers, made, strict=True))


async def test_others_go_on_while_the_decisions_of_receipts_are_made(
    tenant: Tenant, ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained: list[int] = []

    async def noted(answers: Sequence[Answer]) -> None:
        explained.append(len(answers))
        await explain(answers)

    monkeypatch.setattr(receipts, "explain", noted)
    addresses = ["a@example.org", "b@example.org", "none"]
    for address in addresses[:2]:
        await ask.record(address, "OPTED_OUT")
    document = "query($input: CheckConsentsInput!) { checkConsents(input: $input) { receipt } }"
    await ask.data(document, input={"addresses": addresses, "purpose": "commercial"})
    assert set(explained) == {3}  # both ways in which a test has it executed
