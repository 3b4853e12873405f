"""Consent receipts after Kantara 1.1: one for each opt-in, beside its proof and the report of what is missing.

The form knows consent that was given, and nothing of its end: whether an opt-in still stands is said beside the receipt.
"""

from datetime import datetime
from typing import Any

from domain.consent import ConsentValue
from domain.controller import ConsentType
from ledger.records.facts import Fact, Facts, Missing
from ledger.records.responsible import Responsible

VERSION = "KI-CR-v1.1.0"


def kantara(facts: Facts, *, now: datetime) -> dict[str, Any]:
    """The receipts of the contact point."""
    return {
        "format": "kantara-consent-receipt",
        "version": VERSION,
        "receipts": [
            _with_proof(facts, fact, stands=facts.stands(fact, now))
            for fact in facts.captures
            if fact.value is ConsentValue.OPTED_IN
        ],
    }


def _with_proof(facts: Facts, fact: Fact, *, stands: bool) -> dict[str, Any]:
    missing: list[Missing] = []

    def lacks(name: str, why: str) -> None:
        missing.append(Missing(name, why, fact.id))

    receipt = _receipt(facts, fact, lacks)
    return {
        "receipt": receipt,
        "stillStands": stands,
        "proof": fact.proof,
        "missing": [one.to_json() for one in missing],
    }


def _receipt(facts: Facts, fact: Fact, lacks: Any) -> dict[str, Any]:
    told = facts.responsible(fact)
    receipt: dict[str, Any] = {
        "version": VERSION,
        "consentTimestamp": int(datetime.fromisoformat(fact.chosen_at).timestamp()),
        "collectionMethod": ": ".join(filter(None, (str(fact.source), fact.personal.get("method")))),
        "consentReceiptID": fact.id,
        "piiPrincipalId": facts.address,
        "piiControllers": [_controller(told, lacks)],
        "services": [_service(facts, fact, told, lacks)],
    }
    jurisdiction, held = facts.jurisdiction(fact), told.controller
    if jurisdiction is None:
        lacks("jurisdiction", f"the capture names none, and {told.had_no('jurisdiction')}")
    else:
        receipt["jurisdiction"] = jurisdiction
    if "locale" in fact.personal:
        receipt["language"] = fact.personal["locale"]
    policy = told.controller_then.policy_url
    if policy is None:
        lacks("policyUrl", told.had_no("controller's policyUrl"))
    else:
        receipt["policyUrl"] = policy
    if held.sensitive is None:
        lacks("sensitive", told.has_no("word on whether sensitive data is processed"))
    else:
        receipt["sensitive"] = held.sensitive
    if held.sensitive_categories or held.sensitive is False:
        receipt["spiCat"] = list(held.sensitive_categories or ())
    else:
        lacks("spiCat", told.has_no("word on which sensitive data is processed"))
    return receipt


def _controller(told: Responsible, lacks: Any) -> dict[str, Any]:
    controller: dict[str, Any] = {}
    if told.name is None:
        lacks("piiControllers.piiController", told.has_no("controller's name"))
    else:
        controller["piiController"] = told.name
    if told.company_address is None:
        lacks("piiControllers.address", told.has_no("companyAddress"))
    else:
        controller["address"] = {"streetAddress": told.company_address}
    held = told.controller
    for name, value in (("contact", held.contact), ("email", held.email), ("phone", held.phone)):
        if value is None:
            lacks(f"piiControllers.{name}", told.has_no(f"controller's {name}"))
        else:
            controller[name] = value
    return controller


def _service(facts: Facts, fact: Fact, told: Responsible, lacks: Any) -> dict[str, Any]:
    purposes = [_purpose(facts, fact, told, lacks)]
    if told.service is None:
        lacks("services.service", told.has_no("name"))
        return {"purposes": purposes}
    return {"service": told.service, "purposes": purposes}


def _purpose(facts: Facts, fact: Fact, told: Responsible, lacks: Any) -> dict[str, Any]:
    purpose, topic = facts.purpose(fact), facts.topic(fact)
    described: dict[str, Any] = {
        "purpose": purpose.name if topic is None else f"{purpose.name}: {topic.name}",
        "purposeCategory": [str(purpose.type)],
    }
    then, held = told.controller_then, told.controller
    if held.pii_categories:
        described["piiCategory"] = list(held.pii_categories)
    else:
        lacks("services.purposes.piiCategory", told.has_no("controller's piiCategories"))
    ends = fact.data.get("validUntil") or then.termination
    if ends is None:
        lacks(
            "services.purposes.termination",
            "the opt-in has no validUntil, and " + told.had_no("controller's termination"),
        )
    else:
        described["termination"] = ends
    consent_type = facts.consent_type_then(fact)
    if consent_type is None:
        lacks("services.purposes.consentType", told.had_no("controller's consentType"))
    else:
        described["consentType"] = "IMPLICIT" if consent_type is ConsentType.IMPLIED else "EXPLICIT"
    if held.recipients is None:
        lacks("services.purposes.thirdPartyDisclosure", told.has_no("controller's recipients"))
    else:
        described["thirdPartyDisclosure"] = bool(held.recipients)
        if held.recipients:
            described["thirdPartyName"] = ", ".join(held.recipients)
    return described
