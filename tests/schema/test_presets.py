"""Applying presets, and recording under what they set, as a client meets it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.addresses import Channel
from domain.consent import ConsentSource, ConsentValue
from domain.opt_in_rules import RequiredEvidence
from domain.presets import PresetKey
from ledger import catalogue
from ledger.assembly import Caller, Tenant
from ledger.check import Question, check
from ledger.choosing import Shown, one_click_opt_out, save
from ledger.inbound_sms import receive_sms
from ledger.links import MessageLink
from ledger.preferences import SeenThen
from schema.schema import Schema
from tests.conftest import Clock
from tests.schema.conftest import ALL_SCOPES, Asker

ADA = "ada@example.org"
EVIDENCE = {"noticeText": "We write monthly. Agree?", "method": "unchecked box ticked"}
EVERYTHING: dict[str, Any] = {
    "evidence": EVIDENCE,
    "legalBasis": "express",
    "jurisdiction": "CA",
    "validUntil": "2100-01-01T00:00:00Z",
}
APPLY = """mutation ($preset: CompliancePresetKey!, $profile: String! = "default") {
  applyCompliancePreset(profile: $profile, preset: $preset) {
    complianceProfile { presets doubleOptIn purposes { key requiredEvidence optInExpiry { legalBasis months }
      enforcement { channel model } } }
    errors { code path }
  }
}"""

SEEN = SeenThen(size=10**6, contact_point=None, erasures=0)


@pytest.fixture
def clocked(schema: Schema, clocked_tenant: Tenant) -> Asker:
    return Asker(schema, clocked_tenant, ALL_SCOPES)


async def test_a_preset_is_applied_as_events_that_say_who_and_when(ask: Asker) -> None:
    [gdpr] = [
        preset
        for preset in (await ask.data("{ compliancePresets { key about settings { what value why source } } }"))[
            "compliancePresets"
        ]
        if preset["key"] == "GDPR"
    ]
    assert gdpr["settings"][0]["value"] == "RESTRICTIVE"
    profile = (await ask.data(APPLY, preset="GDPR"))["applyCompliancePreset"]["complianceProfile"]
    assert (profile["presets"], profile["doubleOptIn"]) == (["GDPR"], "EVERY_SUBMISSION")
    commercial = next(purpose for purpose in profile["purposes"] if purpose["key"] == "commercial")
    assert commercial["requiredEvidence"] == ["NOTICE_TEXT", "METHOD"]
    assert {"channel": "EMAIL", "model": "RESTRICTIVE"} in commercial["enforcement"]
    events = (
        await ask.data(
            """{ consentEvents(filter: {types: ["CompliancePresetApplied", "PurposeOptInRulesSet", "PurposeUpdated"]}) {
                 nodes { type data application { key } actor { kind } recordedAt purpose { key } } } }"""
        )
    )["consentEvents"]["nodes"]
    assert [event["type"] for event in events] == [
        "CompliancePresetApplied", "PurposeUpdated", "PurposeOptInRulesSet", "PurposeUpdated",
    ]  # fmt: skip
    assert events[0]["data"] == {"profile": "default", "preset": "GDPR"}
    assert events[0]["actor"] == {"kind": "USER"}
    assert events[2]["purpose"] == {"key": "commercial"}
    assert not (
        await ask.data('{ checkConsent(input: {address: "a@example.org", purpose: "commercial"}) { allowed } }')
    )["checkConsent"]["allowed"]


async def test_every_setting_of_a_preset_can_be_changed_afterwards(ask: Asker) -> None:
    await ask.data(APPLY, preset="CASL")
    changed = await ask.data(
        """mutation { updatePurpose(input: {
             ref: "commercial", requiredEvidence: [JURISDICTION], optInExpiry: [{legalBasis: "Implied Inquiry", months: 3}],
             enforcement: [{channel: EMAIL, model: NON_RESTRICTIVE}]
           }) { purpose { requiredEvidence optInExpiry { legalBasis months } } errors { code path } } }"""
    )
    assert changed["updatePurpose"] == {
        "purpose": {
            "requiredEvidence": ["JURISDICTION"],
            "optInExpiry": [{"legalBasis": "implied-inquiry", "months": 3}],
        },
        "errors": [],
    }
    refused = await ask.data(
        """mutation { updatePurpose(input: {ref: "commercial", optInExpiry: [{legalBasis: "a", months: 0}]}) {
             errors { code path } } }"""
    )
    assert refused["updatePurpose"]["errors"] == [{"code": "INVALID", "path": ["optInExpiry", "0", "months"]}]
    cleared = await ask.data(
        """mutation { updatePurpose(input: {ref: "commercial", optInExpiry: null, requiredEvidence: null}) {
             purpose { requiredEvidence optInExpiry { months } } } }"""
    )
    assert cleared["updatePurpose"]["purpose"] == {"requiredEvidence": [], "optInExpiry": []}


async def test_an_unknown_profile_is_not_found(ask: Asker) -> None:
    refused = await ask.data(APPLY, preset="GDPR", profile="nothing")
    assert refused["applyCompliancePreset"]["errors"] == [{"code": "NOT_FOUND", "path": ["profile"]}]


@pytest.mark.parametrize(
    ("missing", "without", "path"),
    [
        ("NOTICE_TEXT", {"evidence": {"method": "button", "noticeText": "  "}}, ["evidence", "noticeText"]),
        ("METHOD", {"evidence": {"noticeText": "Agree?"}}, ["evidence", "method"]),
        ("METHOD", {"evidence": None}, ["evidence", "method"]),
        ("LEGAL_BASIS", {"legalBasis": " "}, ["legalBasis"]),
        ("JURISDICTION", {"jurisdiction": None}, ["jurisdiction"]),
        ("VALID_UNTIL", {"validUntil": None}, ["validUntil"]),
    ],
)
async def test_an_opt_in_without_required_evidence_is_refused_and_an_opt_out_never_is(
    ask: Asker, missing: str, without: dict[str, Any], path: list[str]
) -> None:
    await catalogue.update_purpose(
        ask.tenant, ask.caller, ref="commercial", required_evidence=[RequiredEvidence(missing)]
    )
    refused = await ask.record(ADA, "OPTED_IN", **{**EVERYTHING, **without})
    assert [(error["code"], error["path"]) for error in refused["errors"]] == [("INVALID", path)]
    assert refused["event"] is None
    assert (await ask.record(ADA, "OPTED_IN", **EVERYTHING))["errors"] == []
    for value in ("OPTED_OUT", "NOT_SET"):
        assert (await ask.record(ADA, value))["errors"] == []
    assert (await ask.record(ADA, "OPTED_IN", purpose="transactional"))["errors"] == []


async def test_the_basis_of_a_purpose_stands_in_where_an_opt_in_says_none(ask: Asker) -> None:
    await ask.data(APPLY, preset="CASL")
    method = {"evidence": {"method": "order"}}
    assert (await ask.record(ADA, "OPTED_IN", **method))["errors"][0]["path"] == ["legalBasis"]
    await catalogue.update_purpose(ask.tenant, ask.caller, ref="commercial", legal_basis="implied transaction")
    assert (await ask.record(ADA, "OPTED_IN", **method))["errors"] == []
    event = await ask.data("{ consentEvents(last: 1) { nodes { data } } }")
    assert "validUntil" in event["consentEvents"]["nodes"][0]["data"]


@pytest.mark.parametrize("way", ["out", "one click", "everything", "page", "STOP"])
async def test_every_way_out_stays_open_whatever_is_required(ask: Asker, way: str) -> None:
    tenant, caller = ask.tenant, ask.caller
    for preset in PresetKey:
        await catalogue.apply_preset(tenant, caller, profile="default", preset=preset)
    await catalogue.update_purpose(tenant, caller, ref="commercial", required_evidence=list(RequiredEvidence))
    channel, address = (Channel.SMS, "+15005550006") if way == "STOP" else (Channel.EMAIL, ADA)
    opted_in = await ask.record(address, "OPTED_IN", channel=str(channel), **EVERYTHING)
    assert opted_in["errors"] == []
    link = MessageLink(
        channel=channel, address=address, profile="default", purpose="commercial", topic=None, message_id=None,
        made_on=tenant.ledger.clock().date(),
    )  # fmt: skip
    match way:
        case "out":
            assert (await ask.record(ADA, "OPTED_OUT"))["errors"] == []
        case "one click":
            await one_click_opt_out(tenant, link)
        case "everything":
            answered = await ask.data(
                'mutation { optOutOfAll(input: {address: "ada@example.org"}) { errors { code } } }'
            )
            assert answered["optOutOfAll"]["errors"] == []
        case "page":
            shown = Shown(form="1", button="save", seen=SEEN, text="The page", locale="en", method="boxes")
            saved = await save(tenant, link, {("commercial", None): ConsentValue.OPTED_OUT}, shown)
            assert not saved.not_saved
        case _:
            received = await receive_sms(tenant, caller, sender=address, text="STOP")
            assert received.recorded == 1
    [answer] = await check(tenant, Question(channel=channel, addresses=[address], purpose="commercial"))
    assert not answer.decision.allowed
    assert answer.decision.reasons[0].code == "OPTED_OUT"


@pytest.mark.parametrize(
    ("basis", "months_later", "still"),
    [
        ("implied-inquiry", (2026, 12, 1), "2026-12-01T12:00:00.000000Z"),
        ("Implied transaction", (2028, 6, 1), "2028-06-01T12:00:00.000000Z"),
        ("express", None, None),
    ],
)
async def test_implied_consent_ends_at_an_instant_that_is_recorded_in_its_event(
    clocked: Asker, clock: Clock, basis: str, months_later: tuple[int, int, int] | None, still: str | None
) -> None:
    await clocked.data(APPLY, preset="CASL")
    recorded = await clocked.record(ADA, "OPTED_IN", legalBasis=basis, evidence={"method": "order"})
    assert recorded["errors"] == []
    event = (await clocked.data("{ consentEvents(last: 1) { nodes { data } } }"))["consentEvents"]["nodes"][0]
    assert event["data"].get("validUntil") == still

    async def allowed() -> bool:
        asked = '{ checkConsent(input: {address: "ada@example.org", purpose: "commercial"}) { allowed } }'
        answered: bool = (await clocked.data(asked))["checkConsent"]["allowed"]
        return answered

    assert await allowed()
    if months_later is None:
        clock.now = datetime(2099, 1, 1, tzinfo=UTC)
        assert await allowed()
        return
    end = datetime(*months_later, 12, tzinfo=UTC)
    clock.now = end - timedelta(microseconds=1)
    assert await allowed()
    clock.now = end
    assert not await allowed()
    # The next transaction begins the time anew.
    await clocked.record(ADA, "OPTED_IN", legalBasis=basis, evidence={"method": "order"})
    assert await allowed()


async def test_the_time_runs_from_when_it_was_effective_and_an_earlier_end_of_its_own_stays(clocked: Asker) -> None:
    await clocked.data(APPLY, preset="CASL")
    given = {"legalBasis": "implied-inquiry", "evidence": {"method": "form"}}
    await clocked.record(ADA, "OPTED_IN", effectiveAt="2026-01-31T12:00:00Z", **given)
    await clocked.record("bob@example.org", "OPTED_IN", effectiveAt="2020-01-01T00:00:00Z", **given)
    await clocked.record("cy@example.org", "OPTED_IN", validUntil="2026-07-01T00:00:00Z", **given)
    await clocked.record("di@example.org", "OPTED_IN", validUntil="2099-07-01T00:00:00Z", **given)
    events = (await clocked.data("{ consentEvents(last: 4) { nodes { data } } }"))["consentEvents"]["nodes"]
    assert [event["data"]["validUntil"] for event in events] == [
        "2026-07-31T12:00:00.000000Z", "2020-07-01T00:00:00.000000Z", "2026-07-01T00:00:00.000000Z",
        "2026-12-01T12:00:00.000000Z",
    ]  # fmt: skip
    answered = await clocked.data(
        '{ checkConsent(input: {address: "bob@example.org", purpose: "commercial"}) { allowed reasons { code } } }'
    )
    assert answered["checkConsent"] == {
        "allowed": False,
        "reasons": [{"code": "CONSENT_EXPIRED"}, {"code": "NOT_SET_BLOCKED"}],
    }


async def test_a_submission_brings_what_is_required_with_its_request(ask: Asker) -> None:
    await ask.data(APPLY, preset="GDPR")
    document = """mutation ($input: RequestDoubleOptInInput!) { requestDoubleOptIn(input: $input) {
      token errors { code path } } }"""
    asked = {"address": ADA, "purpose": "commercial"}
    refused = (await ask.data(document, input=asked))["requestDoubleOptIn"]
    assert refused == {"token": None, "errors": [{"code": "INVALID", "path": ["evidence", "noticeText"]}]}
    requested = (await ask.data(document, input={**asked, "evidence": EVIDENCE}))["requestDoubleOptIn"]
    assert requested["errors"] == []
    confirmed = await ask.data(
        "mutation ($token: String!) { confirmDoubleOptIn(token: $token) { recorded errors { code } } }",
        token=requested["token"],
    )
    assert confirmed["confirmDoubleOptIn"] == {"recorded": 1, "errors": []}
    [answer] = await check(ask.tenant, Question(channel=Channel.EMAIL, addresses=[ADA], purpose="commercial"))
    assert answer.decision.allowed


async def test_the_persons_own_page_brings_what_gdpr_requires(ask: Asker, caller: Caller) -> None:
    await catalogue.apply_preset(ask.tenant, caller, profile="default", preset=PresetKey.GDPR)
    link = MessageLink(
        channel=Channel.EMAIL, address=ADA, profile="default", purpose="commercial", topic=None, message_id=None,
        made_on=ask.tenant.ledger.clock().date(),
    )  # fmt: skip
    shown = Shown(form="1", button="save", seen=SEEN, text="The page", locale="en", method="boxes")
    saved = await save(ask.tenant, link, {("commercial", None): ConsentValue.OPTED_IN}, shown)
    assert not saved.not_saved
    event = (await ask.data("{ consentEvents(last: 1) { nodes { source value } } }"))["consentEvents"]["nodes"][0]
    assert event == {"source": str(ConsentSource.PREFERENCE_CENTER), "value": "OPTED_IN"}


async def test_implied_consent_does_not_turn_an_opt_out(ask: Asker) -> None:
    await ask.data(APPLY, preset="CASL")
    document = """mutation ($input: RecordConsentInput!) {
      recordConsent(input: $input) { event { id } consent { value } errors { code path } } }"""

    async def record(value: str, **given: Any) -> Any:
        one = {"address": "ada@example.org", "purpose": "commercial", "value": value, **given}
        return (await ask.data(document, input={**one, "evidence": {"method": "till"}}))["recordConsent"]

    assert (await record("OPTED_IN", legalBasis="implied-transaction"))["errors"] == []
    await record("OPTED_OUT")
    for basis in ("implied-transaction", "Implied transaction.", "unheard of"):
        refused = await record("OPTED_IN", legalBasis=basis)
        assert refused == {"event": None, "consent": None, "errors": [{"code": "INVALID", "path": ["legalBasis"]}]}
    # What was before the opt-out is evidence, and changes nothing.
    before = await record("OPTED_IN", legalBasis="implied-inquiry", effectiveAt="2020-01-01T00:00:00Z")
    assert (before["errors"], before["consent"]["value"]) == ([], "OPTED_OUT")
    # Nor does it where the sender says that the person stands behind it.
    for basis in ("implied-transaction", "Implied (purchase)"):
        said = await record("OPTED_IN", legalBasis=basis, actor={"kind": "RECIPIENT"})
        assert said["errors"] == [{"code": "INVALID", "path": ["legalBasis"]}]
    assert (await record("OPTED_IN", legalBasis="express"))["consent"]["value"] == "OPTED_IN"
    assert (await record("OPTED_IN", legalBasis="implied-transaction"))["errors"] == []
