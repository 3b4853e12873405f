"""Records for people and authorities: every mandatory field is there or named as missing, none is made up, each has its proof."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.addresses import Channel
from domain.bounces import Bounce
from domain.catalogue import EnforcementModel
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.preference_center import PreferenceCenterPatch
from domain.presets import PresetKey
from domain.refusals import Refusal, RefusalCode
from ledger.assembly import Caller, Tenant
from ledger.bounces import record_bounce
from ledger.catalogue import (
    add_purpose_to_profile,
    apply_preset,
    create_profile,
    create_topic,
    update_profile,
    update_purpose,
    update_topic,
)
from ledger.erasure import erase_contact_point
from ledger.given_evidence import Evidence
from ledger.log_export import log_lines
from ledger.record import Actor, Capture, record_consent
from ledger.records.facts import Facts, facts_of
from ledger.records.iso_27560 import iso_27560
from ledger.records.kantara import kantara
from ledger.records.subject_access import nothing_known, subject_access
from tests.conftest import Clock
from tlog.checkpoint import open_checkpoint
from tlog.hashing import leaf_hash
from tlog.note import VerifierKey, decode_base64
from tlog.verify import verify_inclusion

ADA = "ada@example.org"
RECIPIENT = Actor(kind=ActorKind.RECIPIENT)
EVIDENCE = Evidence(
    notice_text="We write monthly.\nYes?",
    notice_version="7",
    locale="en",
    url="https://a.example/form",
    method="box ticked",
)
NOW = datetime(2026, 6, 10, tzinfo=UTC)


async def capture(tenant: Tenant, caller: Caller, value: str, **given: Any) -> None:
    fields = {"channel": Channel.EMAIL, "address": ADA, "purpose": "commercial", "value": ConsentValue(value), **given}
    await record_consent(tenant, caller, Capture(**fields))


async def facts(tenant: Tenant, **given: Any) -> Facts:
    return await facts_of(tenant, Channel.EMAIL, ADA, **given)


def iso(known: Facts, now: datetime = NOW) -> dict[str, Any]:
    return iso_27560(known, receipt_id=uuid.UUID(int=4), now=now)


def proven(known: Facts, proof: Any, entries: dict[int, bytes]) -> None:
    """That the proof leads from the very entry to the checkpoint, checked as a stranger does."""
    position = proof["position"]
    keys = [VerifierKey.parse(text) for text in known.catalogue.verifier_keys]
    checkpoint, _ = open_checkpoint(proof["checkpoint"], keys)
    assert decode_base64(proof["leafHash"]) == leaf_hash(entries[position])
    hashes = [decode_base64(node) for node in proof["inclusion"]]
    verify_inclusion(position, checkpoint.size, leaf_hash(entries[position]), hashes, checkpoint.root)


@pytest.fixture
async def full(tenant: Tenant, caller: Caller) -> Tenant:
    await update_profile(tenant, caller, ref="default", company_address="1 Main Street, Dublin")
    await create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    await capture(
        tenant, caller, "OPTED_IN", evidence=EVIDENCE, jurisdiction="IE", legal_basis="consent", actor=RECIPIENT,
        source=ConsentSource.FORM, valid_until=datetime(2200, 1, 1, tzinfo=UTC),
        effective_at=datetime(2026, 5, 1, 12, tzinfo=UTC),
    )  # fmt: skip
    await capture(tenant, caller, "OPTED_IN", topic="news")
    await capture(tenant, caller, "OPTED_OUT", source=ConsentSource.ONE_CLICK_UNSUBSCRIBE, actor=RECIPIENT)
    return tenant


async def test_a_record_of_iso_27560_holds_what_was_recorded(full: Tenant) -> None:
    known = await facts(full)
    receipt = iso(known)
    assert receipt["dct:conformsTo"] == "https://w3id.org/dpv/schema/dpv-27560#receipt"
    assert receipt["dct:identifier"] == str(uuid.UUID(int=4))
    first = receipt["dct:hasPart"][0]
    assert first["dct:conformsTo"] == "https://w3id.org/dpv/schema/dpv-27560#record"
    assert first["dpv:hasDataSubject"]["@id"] == f"urn:uuid:{known.contact_point}"
    assert first["dpv:hasDataController"]["dpv:hasName"] == "Test"
    assert first["dpv:hasDataController"]["dpv:hasAddress"] == "1 Main Street, Dublin"
    assert first["dpv:hasNotice"]["dct:description"] == "We write monthly.\nYes?"
    assert first["dpv:hasNotice"]["dct:hasVersion"] == "7"
    assert (first["dct:language"], first["dpv:hasJurisdiction"], first["dpv:hasLegalBasis"]) == ("en", "IE", "consent")
    assert first["dpv:hasProcess"]["dpv:hasPurpose"]["dct:title"] == "Commercial"
    assert first["dpv:hasProcess"]["dpv:hasPersonalData"] == {"@type": "pd:EmailAddress", "rdf:value": ADA}
    [state] = first["dpv:hasConsentStatus"]
    assert state["@type"] == "dpv:ConsentGiven"
    assert state["dpv:isIndicatedAtTime"]["@value"] == "2026-05-01T12:00:00.000000Z"
    assert state["dpv:isIndicatedBy"] == "dpv:DataSubject"
    assert state["dpv:hasDuration"]["@type"] == "dpv:UntilTimeDuration"
    # A vocabulary that is not declared would make it no JSON-LD.
    prefixes = {
        name.split(":")[0]
        for name in json.dumps(receipt).replace('"', " ").split()
        if name.startswith(("dpv:", "dct:", "pd:"))
    }
    assert prefixes <= set(receipt["@context"])


async def test_what_nobody_recorded_is_named_and_not_made_up(tenant: Tenant, caller: Caller) -> None:
    await capture(tenant, caller, "OPTED_IN")
    receipt = iso(await facts(tenant))
    [record] = receipt["dct:hasPart"]
    named = {one["field"] for one in receipt["consentry:missing"]}
    assert named == {
        "party address", "party contact", "storage locations", "retention", "recipients", "notice", "language",
        "jurisdiction", "event type", "validity duration", "lawful basis", "rights", "authority",
    }  # fmt: skip
    for absent in ("dpv:hasNotice", "dct:language", "dpv:hasJurisdiction", "dpv:hasLegalBasis"):
        assert absent not in record
    assert "dpv:hasDuration" not in record["dpv:hasConsentStatus"][0]
    assert {one["record"] for one in receipt["consentry:missing"]} == {record["dct:identifier"]}
    [kept] = kantara(await facts(tenant), now=NOW)["receipts"]
    assert {one["field"] for one in kept["missing"]} == {
        "jurisdiction", "policyUrl", "sensitive", "spiCat", "piiControllers.address", "piiControllers.contact",
        "piiControllers.email", "piiControllers.phone", "services.purposes.termination",
        "services.purposes.consentType", "services.purposes.thirdPartyDisclosure", "services.purposes.piiCategory",
    }  # fmt: skip
    for one in kept["missing"]:
        assert one["field"].split(".")[-1] not in json.dumps(kept["receipt"])


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ([("OPTED_IN", {})], "ConsentGiven"),
        ([("OPTED_OUT", {})], "ConsentRefused"),
        ([("OPTED_IN", {}), ("OPTED_OUT", {"actor": RECIPIENT})], "ConsentWithdrawn"),
        ([("OPTED_IN", {}), ("OPTED_OUT", {"source": ConsentSource.SMS_KEYWORD})], "ConsentWithdrawn"),
        ([("OPTED_IN", {}), ("OPTED_OUT", {"source": ConsentSource.OPERATOR})], "ConsentRevoked"),
        ([("OPTED_IN", {}), ("NOT_SET", {})], "ConsentUnknown"),
        ([("OPTED_IN", {}), ("NOT_SET", {}), ("OPTED_OUT", {"actor": RECIPIENT})], "ConsentRefused"),
    ],
)
async def test_the_state_is_one_that_the_vocabulary_defines(
    tenant: Tenant, caller: Caller, given: list[tuple[str, dict[str, Any]]], state: str
) -> None:
    for value, fields in given:
        await capture(tenant, caller, value, **fields)
    record = iso(await facts(tenant))["dct:hasPart"][-1]
    assert record["dpv:hasConsentStatus"][-1]["@type"] == f"dpv:{state}"


async def test_records_of_one_purpose_are_a_chain_and_those_of_another_are_not(full: Tenant) -> None:
    records = iso(await facts(full))["dct:hasPart"]
    of_purpose = [record for record in records if "consentry:topic" not in record["dpv:hasProcess"]]
    assert "dcat:isVersionOf" not in of_purpose[0]
    assert of_purpose[1]["dcat:isVersionOf"] == {"@id": of_purpose[0]["@id"]}
    [of_topic] = [record for record in records if "consentry:topic" in record["dpv:hasProcess"]]
    assert "dcat:isVersionOf" not in of_topic


async def test_an_expired_opt_in_is_told_as_expired(clocked_tenant: Tenant, caller: Caller, clock: Clock) -> None:
    await capture(clocked_tenant, caller, "OPTED_IN", valid_until=clock.now + timedelta(days=1))
    known = await facts(clocked_tenant)
    for days, states in ((0, ["dpv:ConsentGiven"]), (1, ["dpv:ConsentGiven", "dpv:ConsentExpired"])):
        now = clock.now + timedelta(days=days)
        [record] = iso(known, now)["dct:hasPart"]
        assert [state["@type"] for state in record["dpv:hasConsentStatus"]] == states
        assert kantara(known, now=now)["receipts"][0]["stillStands"] is (days == 0)


CONTROLLER = {
    "name": "Acme Ltd", "contact": "Privacy desk", "email": "privacy@acme.example", "phone": "+35316000000",
    "policyUrl": "https://acme.example/privacy/7", "jurisdiction": "IE", "consentType": "EXPRESSED",
    "termination": "when it is withdrawn", "retention": "3 years after the last message", "storageLocations": ["Ireland"],
    "recipients": ["Mailer Ltd"], "piiCategories": ["Contact"], "sensitive": False,
    "rights": ["access", "erasure"], "authority": "Data Protection Commission", "dataProtectionOfficer": "dpo@acme.example",
}  # fmt: skip


async def set_up(tenant: Tenant, caller: Caller, **changed: Any) -> None:
    await update_profile(
        tenant, caller, ref="default", company_address="1 Main Street, Dublin", controller={**CONTROLLER, **changed}
    )


async def complete(tenant: Tenant, caller: Caller) -> None:
    """An opt-in of which nothing is left out but what the profile's settings hold."""
    await capture(
        tenant, caller, "OPTED_IN", evidence=EVIDENCE, legal_basis="consent", actor=RECIPIENT, source=ConsentSource.FORM
    )


async def test_of_a_profile_that_is_fully_set_up_nothing_is_missing(tenant: Tenant, caller: Caller) -> None:
    await set_up(tenant, caller)
    await complete(tenant, caller)
    known = await facts(tenant)
    receipt = iso(known)
    assert receipt["consentry:missing"] == []
    [record] = receipt["dct:hasPart"]
    controller = record["dpv:hasDataController"]
    assert controller["dpv:hasName"] == "Acme Ltd"
    assert controller["dpv:hasContact"] == ["Privacy desk", "privacy@acme.example", "+35316000000"]
    assert controller["dpv:hasAuthority"]["dpv:hasName"] == "Data Protection Commission"
    assert controller["dpv:hasDataProtectionOfficer"]["dpv:hasContact"] == "dpo@acme.example"
    process = record["dpv:hasProcess"]
    assert process["dpv:hasStorageCondition"] == [
        {"@type": "dpv:StorageLocation", "dct:title": "Ireland"},
        {"@type": "dpv:StorageDuration", "dct:description": "3 years after the last message"},
    ]
    assert process["dpv:hasRecipient"] == [{"@type": "dpv:Recipient", "dpv:hasName": "Mailer Ltd"}]
    [state] = record["dpv:hasConsentStatus"]
    assert state["dpv:hasLegalBasis"] == "dpv:ExpressedConsent"
    assert state["dpv:hasDuration"] == {"@type": "dpv:UntilEventDuration", "dct:description": "when it is withdrawn"}
    assert (record["dpv:hasJurisdiction"], record["dpv:hasRight"]) == ("IE", ["access", "erasure"])
    [kept] = kantara(known, now=NOW)["receipts"]
    assert kept["missing"] == []
    assert kept["receipt"]["policyUrl"] == "https://acme.example/privacy/7"
    assert (kept["receipt"]["sensitive"], kept["receipt"]["spiCat"]) == (False, [])
    assert kept["receipt"]["piiControllers"] == [
        {
            "piiController": "Acme Ltd", "address": {"streetAddress": "1 Main Street, Dublin"}, "contact": "Privacy desk",
            "email": "privacy@acme.example", "phone": "+35316000000",
        }
    ]  # fmt: skip
    [purpose] = kept["receipt"]["services"][0]["purposes"]
    assert (purpose["consentType"], purpose["termination"]) == ("EXPLICIT", "when it is withdrawn")
    assert (purpose["thirdPartyDisclosure"], purpose["thirdPartyName"]) == (True, "Mailer Ltd")


# What each setting fills: in the record, and in the receipt.
FILLS = {
    "contact": (set[str](), {"piiControllers.contact"}),
    "email": (set[str](), {"piiControllers.email"}),
    "phone": (set[str](), {"piiControllers.phone"}),
    "policyUrl": (set[str](), {"policyUrl"}),
    "jurisdiction": ({"jurisdiction"}, {"jurisdiction"}),
    "consentType": ({"event type"}, {"services.purposes.consentType"}),
    "termination": ({"validity duration"}, {"services.purposes.termination"}),
    "retention": ({"retention"}, set[str]()),
    "storageLocations": ({"storage locations"}, set[str]()),
    "piiCategories": (set[str](), {"services.purposes.piiCategory"}),
    "recipients": ({"recipients"}, {"services.purposes.thirdPartyDisclosure"}),
    "sensitive": (set[str](), {"sensitive", "spiCat"}),
    "rights": ({"rights"}, set[str]()),
    "authority": ({"authority"}, set[str]()),
    # Others say it too, or nobody has to have one.
    "name": (set[str](), set[str]()),
    "dataProtectionOfficer": (set[str](), set[str]()),
}


@pytest.mark.parametrize("name", FILLS)
async def test_each_setting_that_is_not_there_is_named(tenant: Tenant, caller: Caller, name: str) -> None:
    assert set(FILLS) == set(CONTROLLER)
    await set_up(tenant, caller, **{name: None})
    await complete(tenant, caller)
    known = await facts(tenant)
    in_record, in_receipt = FILLS[name]
    assert {one["field"] for one in iso(known)["consentry:missing"]} == in_record
    [kept] = kantara(known, now=NOW)["receipts"]
    assert {one["field"] for one in kept["missing"]} == in_receipt


async def test_what_was_said_then_is_not_what_a_later_setting_says(tenant: Tenant, caller: Caller) -> None:
    await complete(tenant, caller)
    await set_up(tenant, caller)
    known = await facts(tenant)
    assert {one["field"] for one in iso(known)["consentry:missing"]} == {
        "jurisdiction",
        "event type",
        "validity duration",
    }
    [kept] = kantara(known, now=NOW)["receipts"]
    assert {one["field"] for one in kept["missing"]} == {
        "jurisdiction", "policyUrl", "services.purposes.termination", "services.purposes.consentType",
    }  # fmt: skip
    await complete(tenant, caller)
    await set_up(tenant, caller, policyUrl="https://acme.example/privacy/8")
    first, second = (one["receipt"] for one in kantara(await facts(tenant), now=NOW)["receipts"])
    assert "policyUrl" not in first
    assert second["policyUrl"] == "https://acme.example/privacy/7"


async def test_nobody_receives_data_is_an_answer_and_sensitive_data_is_named(tenant: Tenant, caller: Caller) -> None:
    await set_up(tenant, caller, recipients=[], sensitive=True, sensitiveCategories=["Health"], consentType="IMPLIED")
    await complete(tenant, caller)
    known = await facts(tenant)
    assert iso(known)["consentry:missing"] == []
    [kept] = kantara(known, now=NOW)["receipts"]
    assert kept["missing"] == []
    [purpose] = kept["receipt"]["services"][0]["purposes"]
    assert purpose["thirdPartyDisclosure"] is False
    assert "thirdPartyName" not in purpose
    assert purpose["consentType"] == "IMPLICIT"
    assert kept["receipt"]["spiCat"] == ["Health"]
    await set_up(tenant, caller, sensitive=True, sensitiveCategories=[])
    [kept] = kantara(await facts(tenant), now=NOW)["receipts"]
    assert [one["field"] for one in kept["missing"]] == ["spiCat"]


async def test_what_the_gdpr_asks_for_is_missing_where_it_may_apply(tenant: Tenant, caller: Caller) -> None:
    await set_up(tenant, caller, rights=None, authority=None, jurisdiction="US")
    await complete(tenant, caller)
    assert iso(await facts(tenant))["consentry:missing"] == []
    await apply_preset(tenant, caller, profile="default", preset=PresetKey.GDPR)
    assert [one["field"] for one in iso(await facts(tenant))["consentry:missing"]] == ["rights", "authority"]


async def test_a_receipt_of_kantara_is_one_opt_in(full: Tenant) -> None:
    whole = kantara(await facts(full), now=NOW)
    first, news = whole["receipts"]
    receipt = first["receipt"]
    assert receipt["version"] == "KI-CR-v1.1.0"
    assert receipt["consentTimestamp"] == 1_777_636_800
    assert isinstance(receipt["consentTimestamp"], int)
    assert receipt["collectionMethod"] == "FORM: box ticked"
    assert (receipt["jurisdiction"], receipt["language"], receipt["piiPrincipalId"]) == ("IE", "en", ADA)
    assert receipt["piiControllers"] == [
        {"piiController": "Test", "address": {"streetAddress": "1 Main Street, Dublin"}}
    ]
    [service] = receipt["services"]
    assert service["purposes"][0]["purposeCategory"] == ["COMMERCIAL"]
    assert service["purposes"][0]["termination"] == "2200-01-01T00:00:00.000000Z"
    assert news["receipt"]["services"][0]["purposes"][0]["purpose"] == "Commercial: News"
    # The purpose was opted out of since: that ends its topics, too.
    assert (first["stillStands"], news["stillStands"]) == (False, False)


def standing(known: Facts) -> list[bool]:
    stands = [one["stillStands"] for one in kantara(known, now=NOW)["receipts"]]
    of_iso = [one.get("consentry:stillStands") for one in iso(known)["dct:hasPart"]]
    assert [one for one in of_iso if one is not None] == stands
    return stands


async def test_consent_at_an_address_that_is_not_written_to_does_not_stand(tenant: Tenant, caller: Caller) -> None:
    await create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    await capture(tenant, caller, "OPTED_IN")
    await capture(tenant, caller, "OPTED_IN", topic="news")
    assert standing(await facts(tenant)) == [True, True]
    await record_bounce(tenant, caller, channel=Channel.EMAIL, address=ADA, bounce=Bounce.HARD)
    assert standing(await facts(tenant)) == [False, False]
    await capture(tenant, caller, "OPTED_IN", actor=RECIPIENT)
    assert standing(await facts(tenant)) == [False, True, True]


async def test_consent_that_does_not_end_a_suppression_does_not_stand(tenant: Tenant, caller: Caller) -> None:
    await capture(tenant, caller, "OPTED_IN")
    await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address=ADA, reason="asked")
    await capture(tenant, caller, "OPTED_IN")
    await capture(tenant, caller, "OPTED_IN", purpose="transactional")
    assert standing(await facts(tenant)) == [False, True]
    await capture(tenant, caller, "OPTED_IN", actor=RECIPIENT)
    assert standing(await facts(tenant)) == [False, True, True]


@pytest.mark.parametrize("purposes_own", ["expired", "reset", "never"])
async def test_an_opt_in_to_a_topic_does_not_stand_where_its_purpose_blocks_it(
    clocked_tenant: Tenant, caller: Caller, clock: Clock, purposes_own: str
) -> None:
    await create_topic(clocked_tenant, caller, key="news", name="News", purpose="commercial")
    await update_purpose(
        clocked_tenant, caller, ref="commercial", enforcement=[(Channel.EMAIL, EnforcementModel.RESTRICTIVE)]
    )
    if purposes_own != "never":
        await capture(clocked_tenant, caller, "OPTED_IN", valid_until=clock.now + timedelta(days=1))
    await capture(clocked_tenant, caller, "OPTED_IN", topic="news")
    if purposes_own == "reset":
        clock.now += timedelta(minutes=1)
        await capture(clocked_tenant, caller, "NOT_SET")
    clock.now += timedelta(days=2)
    known = await facts(clocked_tenant)
    assert not any(known.stands(fact, clock.now) for fact in known.captures)
    await capture(clocked_tenant, caller, "OPTED_IN")
    known = await facts(clocked_tenant)
    assert sum(known.stands(fact, clock.now) for fact in known.captures) == 2


async def test_what_is_inactive_does_not_stand(tenant: Tenant, caller: Caller) -> None:
    await capture(tenant, caller, "OPTED_IN")
    assert standing(await facts(tenant)) == [True]
    await update_purpose(tenant, caller, ref="commercial", active=False)
    assert standing(await facts(tenant)) == [False]


async def test_implied_consent_is_never_told_as_explicit(tenant: Tenant, caller: Caller) -> None:
    await set_up(tenant, caller, consentType="EXPRESSED")
    await capture(tenant, caller, "OPTED_IN", legal_basis="Implied (inquiry)")
    await apply_preset(tenant, caller, profile="default", preset=PresetKey.CASL)
    evidence = Evidence(method="box ticked")
    for basis in ("implied-inquiry", "a purchase", "express"):
        await capture(tenant, caller, "OPTED_IN", legal_basis=basis, evidence=evidence)
    known = await facts(tenant)
    told = [one["receipt"]["services"][0]["purposes"][0]["consentType"] for one in kantara(known, now=NOW)["receipts"]]
    assert told == ["IMPLICIT", "IMPLICIT", "IMPLICIT", "EXPLICIT"]
    states = [record["dpv:hasConsentStatus"][0]["dpv:hasLegalBasis"] for record in iso(known)["dct:hasPart"]]
    assert states == ["dpv:ImpliedConsent"] * 3 + ["dpv:ExpressedConsent"]


async def test_a_record_says_of_the_purpose_what_was_said_then(tenant: Tenant, caller: Caller) -> None:
    await create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    await update_purpose(tenant, caller, ref="commercial", name="Offers", description="Ours", legal_basis="consent")
    await capture(tenant, caller, "OPTED_IN", topic="news")
    await update_purpose(
        tenant, caller, ref="commercial", name="All", description="And partners'", legal_basis="legitimate interest"
    )
    await update_topic(tenant, caller, ref="news", name="Everything")
    known = await facts(tenant)
    [record] = iso(known)["dct:hasPart"]
    process = record["dpv:hasProcess"]
    assert (process["dpv:hasPurpose"]["dct:title"], process["dpv:hasPurpose"]["dct:description"]) == ("Offers", "Ours")
    assert (process["consentry:topic"]["dct:title"], record["dpv:hasLegalBasis"]) == ("News", "consent")
    [receipt] = kantara(known, now=NOW)["receipts"]
    assert receipt["receipt"]["services"][0]["purposes"][0]["purpose"] == "Offers: News"


async def test_an_old_opt_in_that_comes_late_does_not_stand(tenant: Tenant, caller: Caller) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    await capture(tenant, caller, "OPTED_OUT", effective_at=at)
    await capture(tenant, caller, "OPTED_IN", effective_at=at)
    await capture(tenant, caller, "OPTED_IN", effective_at=at - timedelta(days=1))
    assert [one["stillStands"] for one in kantara(await facts(tenant), now=NOW)["receipts"]] == [False, False]


async def test_each_record_leads_to_its_proof(full: Tenant) -> None:
    known = await facts(full)
    lines = [json.loads(line) async for line in log_lines(full)][1:]
    entries = {line["position"]: decode_base64(line["entry"]) for line in lines}
    for record in iso(known)["dct:hasPart"]:
        proven(known, record["consentry:proof"], entries)
    for one in kantara(known, now=NOW)["receipts"]:
        proven(known, one["proof"], entries)


async def test_subject_access_tells_everything_in_words(full: Tenant) -> None:
    known = await facts(full)
    text = await subject_access(full, known)
    for said in (
        ADA, "Default:", "Commercial: we will not write to you. You said no. [OPTED_OUT, WILL_NOT_SEND, OPTED_OUT]",
        "Commercial, News: we will not write to you. ", "yes to Commercial, News, from an application; recorded",
        "no to Commercial, by the unsubscribe button of a mail program; recorded", ", done by you\n",
        '"We write monthly.\\nYes?"', '"https://a.example/form"', '"actor": "RECIPIENT"', "Who recorded it\n  tests\n",
        known.checkpoint.note.splitlines()[0],
    ):  # fmt: skip
        assert said in text
    assert all(f"  {fact.stored.position}: " in text for fact in known.events)


async def test_what_is_unknown_or_erased_is_told_as_such(full: Tenant, caller: Caller) -> None:
    await erase_contact_point(full, caller, channel=Channel.EMAIL, address=ADA, reason="asked")
    with pytest.raises(Refusal) as refused:
        await facts(full)
    assert refused.value.code is RefusalCode.NOT_FOUND
    assert "has recorded nothing" in await nothing_known(full, ADA)
    with pytest.raises(Refusal) as refused:
        await facts_of(full, Channel.EMAIL, "none")
    assert refused.value.code is RefusalCode.INVALID_ADDRESS


async def test_a_profile_that_is_not_there_is_refused(full: Tenant) -> None:
    with pytest.raises(Refusal) as refused:
        await facts(full, profile="none")
    assert (refused.value.code, refused.value.path) == (RefusalCode.NOT_FOUND, ("profile",))


APAC = {
    **CONTROLLER, "name": "Apac Pty", "phone": "+61200000000", "policyUrl": "https://apac.example/privacy",
    "jurisdiction": "AU", "consentType": "IMPLIED", "retention": "1 year",
}  # fmt: skip


async def set_up_apac(tenant: Tenant, caller: Caller, controller: dict[str, Any] | None = None) -> None:
    """A second profile with a purpose of its own, beside the default one that is fully set up."""
    await create_profile(tenant, caller, key="apac", name="Apac Brand")
    await set_up(tenant, caller)
    if controller is not None:
        await update_profile(tenant, caller, ref="apac", company_address="2 George Street", controller=controller)


@pytest.mark.parametrize("asked", [None, "default", "apac"])
async def test_a_profile_without_the_purpose_says_nothing_of_a_capture(
    tenant: Tenant, caller: Caller, asked: str | None
) -> None:
    await set_up_apac(tenant, caller)
    await capture(tenant, caller, "OPTED_IN", purpose="apac-commercial", evidence=EVIDENCE, legal_basis="consent")
    known = await facts(tenant, profile=asked)
    [kept] = kantara(known, now=NOW)["receipts"]
    assert kept["receipt"]["services"][0]["service"] == "Apac Brand"
    assert {one["field"] for one in kept["missing"]} == {
        "jurisdiction", "policyUrl", "sensitive", "spiCat", "piiControllers.address", "piiControllers.contact",
        "piiControllers.email", "piiControllers.phone", "services.purposes.termination", "services.purposes.piiCategory",
        "services.purposes.consentType", "services.purposes.thirdPartyDisclosure",
    }  # fmt: skip
    assert all("profile apac " in one["why"] for one in kept["missing"])
    whole = iso(known)
    assert {one["field"] for one in whole["consentry:missing"]} == {
        "party address", "party contact", "storage locations", "retention", "recipients", "jurisdiction", "event type",
        "validity duration", "rights", "authority",
    }  # fmt: skip
    for told in (json.dumps(kept["receipt"]), json.dumps(whole["dct:hasPart"])):
        assert not [said for said in CONTROLLER.values() if isinstance(said, str) and f'"{said}"' in told]
        assert "1 Main Street" not in told


async def test_of_a_shared_purpose_only_what_its_profiles_say_alike_is_told(tenant: Tenant, caller: Caller) -> None:
    await set_up_apac(tenant, caller, APAC)
    await add_purpose_to_profile(tenant, caller, profile="apac", purpose="commercial")
    await complete(tenant, caller)
    known = await facts(tenant)
    [kept] = kantara(known, now=NOW)["receipts"]
    assert kept["receipt"]["piiControllers"] == [{"contact": "Privacy desk", "email": "privacy@acme.example"}]
    assert {one["field"]: one["why"] for one in kept["missing"]} == {
        "piiControllers.piiController": "profiles default and apac share purpose commercial and have no controller's name"
        " that is the same: name one of them",
        "piiControllers.address": "profiles default and apac share purpose commercial and have no companyAddress that is"
        " the same: name one of them",
        "piiControllers.phone": "profiles default and apac share purpose commercial and have no controller's phone that is"
        " the same: name one of them",
        "services.service": "profiles default and apac share purpose commercial and have no name that is the same: name one"
        " of them",
        "jurisdiction": "the capture names none, and profiles default and apac shared purpose commercial and had no"
        " jurisdiction that was the same when it was recorded: name one of them",
        "policyUrl": "profiles default and apac shared purpose commercial and had no controller's policyUrl that was the"
        " same when it was recorded: name one of them",
        "services.purposes.consentType": "profiles default and apac shared purpose commercial and had no controller's"
        " consentType that was the same when it was recorded: name one of them",
    }
    assert {one["field"] for one in iso(known)["consentry:missing"]} == {
        "party name", "party address", "jurisdiction", "event type", "retention",
    }  # fmt: skip
    for profile, service, policy in (
        ("default", "Default", "https://acme.example/privacy/7"),
        ("apac", "Apac Brand", "https://apac.example/privacy"),
    ):
        known = await facts(tenant, profile=profile)
        [kept] = kantara(known, now=NOW)["receipts"]
        assert (kept["missing"], iso(known)["consentry:missing"]) == ([], [])
        assert (kept["receipt"]["services"][0]["service"], kept["receipt"]["policyUrl"]) == (service, policy)


async def test_a_profile_that_came_to_share_a_purpose_later_was_not_shown_then(tenant: Tenant, caller: Caller) -> None:
    await set_up_apac(tenant, caller, APAC)
    await complete(tenant, caller)
    await add_purpose_to_profile(tenant, caller, profile="apac", purpose="commercial")
    [kept] = kantara(await facts(tenant), now=NOW)["receipts"]
    assert kept["receipt"]["policyUrl"] == CONTROLLER["policyUrl"]
    [kept] = kantara(await facts(tenant, profile="apac"), now=NOW)["receipts"]
    assert {one["field"]: one["why"] for one in kept["missing"]}["policyUrl"] == (
        "profile apac did not have purpose commercial when it was recorded"
    )


async def test_two_controllers_are_two_nodes(tenant: Tenant, caller: Caller) -> None:
    await set_up_apac(tenant, caller, APAC)
    await complete(tenant, caller)
    await capture(tenant, caller, "OPTED_IN", purpose="apac-commercial")
    controllers = [record["dpv:hasDataController"] for record in iso(await facts(tenant))["dct:hasPart"]]
    assert [(one["@id"], one["dpv:hasName"]) for one in controllers] == [
        (f"urn:consentry:tenant:{tenant.key}:profile:default", "Acme Ltd"),
        (f"urn:consentry:tenant:{tenant.key}:profile:apac", "Apac Pty"),
    ]


async def test_a_shared_purpose_stands_where_every_active_profile_lets_it_go(tenant: Tenant, caller: Caller) -> None:
    await set_up_apac(tenant, caller, APAC)
    await add_purpose_to_profile(tenant, caller, profile="apac", purpose="commercial")
    await complete(tenant, caller)
    await update_profile(tenant, caller, ref="apac", active=False)
    assert standing(await facts(tenant)) == [True]
    assert standing(await facts(tenant, profile="apac")) == [False]
    await update_profile(tenant, caller, ref="default", active=False)
    assert standing(await facts(tenant)) == [False]


@pytest.mark.parametrize("channel", [Channel.PUSH, Channel.EMAIL])
async def test_what_data_is_processed_is_not_made_up(tenant: Tenant, caller: Caller, channel: Channel) -> None:
    await set_up(tenant, caller, piiCategories=[])
    await capture(tenant, caller, "OPTED_IN", channel=channel)
    [kept] = kantara(await facts_of(tenant, channel, ADA), now=NOW)["receipts"]
    assert "piiCategory" not in kept["receipt"]["services"][0]["purposes"][0]
    assert "services.purposes.piiCategory" in {one["field"] for one in kept["missing"]}


WITH_HEADER = "by the link and the one-click header of each message"
BY_LINK = "by the link of each message"


@pytest.mark.parametrize(
    ("channel", "purpose", "told"),
    [
        (Channel.EMAIL, "commercial", WITH_HEADER),
        (Channel.EMAIL, "transactional", BY_LINK),
        (Channel.EMAIL, "tracking", None),
        (Channel.SMS, "commercial", BY_LINK),
        (Channel.PUSH, "commercial", BY_LINK),
        (Channel.PUSH, "transactional", BY_LINK),
    ],
)
async def test_how_consent_is_ended_is_what_a_message_of_its_kind_has(
    tenant: Tenant, caller: Caller, channel: Channel, purpose: str, told: str | None
) -> None:
    address = "+353861234567" if channel is Channel.SMS else ADA
    await capture(tenant, caller, "OPTED_IN", channel=channel, address=address, purpose=purpose)

    async def ending() -> tuple[str | None, bool]:
        whole = iso(await facts_of(tenant, channel, address))
        return whole["dct:hasPart"][0].get("consentry:withdrawal"), "withdrawal method" in {
            one["field"] for one in whole["consentry:missing"]
        }

    assert await ending() == (told, told is None)
    shown = PreferenceCenterPatch(show_tracking=True)
    await update_profile(tenant, caller, ref="default", preference_center=shown)
    assert await ending() == (told or BY_LINK, False)
    await update_profile(tenant, caller, ref="default", external_link="https://a.example/p")
    assert await ending() == (None if told is None else f"{told}, or at https://a.example/p", told is None)
