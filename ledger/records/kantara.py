"""Consent receipts after Kantara 1.1: one for each opt-in, beside its proof and the report of what is missing.

The form knows consent that was given, and nothing of its end: whether an opt-in still stands is said beside the receipt.
"""

from datetime import datetime
from typing import Any

from domain.consent import ConsentValue
from domain.controller import ConsentType
from ledger.records.facts import Fact, Facts, Missing

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
    receipt: dict[str, Any] = {
        "version": VERSION,
        "consentTimestamp": int(datetime.fromisoformat(fact.chosen_at).timestamp()),
        "collectionMethod": ": ".join(filter(None, (str(fact.source), fact.personal.get("method")))),
        "consentReceiptID": fact.id,
        "piiPrincipalId": facts.address,
        "piiControllers": [_controller(facts, lacks)],
        "services": [{"service": facts.profile.name, "purposes": [_purpose(facts, fact, lacks)]}],
    }
    jurisdiction, held, key = facts.jurisdiction(fact), facts.controller, facts.profile.key
    if jurisdiction is None:
        lacks("jurisdiction", "the capture names none, and its profile named none then")
    else:
        receipt["jurisdiction"] = jurisdiction
    if "locale" in fact.personal:
        receipt["language"] = fact.personal["locale"]
    policy = facts.controller_then(fact).policy_url
    if policy is None:
        lacks("policyUrl", f"profile {key} had no controller's policyUrl when it was recorded")
    else:
        receipt["policyUrl"] = policy
    if held.sensitive is None:
        lacks("sensitive", f"profile {key} does not say whether sensitive data is processed")
    else:
        receipt["sensitive"] = held.sensitive
    if held.sensitive_categories or held.sensitive is False:
        receipt["spiCat"] = list(held.sensitive_categories or ())
    else:
        lacks("spiCat", f"profile {key} does not say which sensitive data is processed")
    return receipt


def _controller(facts: Facts, lacks: Any) -> dict[str, Any]:
    controller: dict[str, Any] = {"piiController": facts.controller.name or facts.catalogue.tenant_name}
    address = facts.profile.company_address
    if address is None:
        lacks("piiControllers.address", f"profile {facts.profile.key} has no companyAddress")
    else:
        controller["address"] = {"streetAddress": address}
    held = facts.controller
    for name, value in (("contact", held.contact), ("email", held.email), ("phone", held.phone)):
        if value is None:
            lacks(f"piiControllers.{name}", f"profile {facts.profile.key} has no controller's {name}")
        else:
            controller[name] = value
    return controller


def _purpose(facts: Facts, fact: Fact, lacks: Any) -> dict[str, Any]:
    purpose, topic = facts.purpose(fact), facts.topic(fact)
    described: dict[str, Any] = {
        "purpose": purpose.name if topic is None else f"{purpose.name}: {topic.name}",
        "purposeCategory": [str(purpose.type)],
        # The address itself is what is processed, whatever else is.
        "piiCategory": list(facts.controller.pii_categories or ("Contact",)),
    }
    then, held, key = facts.controller_then(fact), facts.controller, facts.profile.key
    ends = fact.data.get("validUntil") or then.termination
    if ends is None:
        lacks(
            "services.purposes.termination",
            "the opt-in has no validUntil, and its profile had no controller's termination",
        )
    else:
        described["termination"] = ends
    consent_type = facts.consent_type_then(fact)
    if consent_type is None:
        lacks("services.purposes.consentType", f"profile {key} had no controller's consentType when it was recorded")
    else:
        described["consentType"] = "IMPLICIT" if consent_type is ConsentType.IMPLIED else "EXPLICIT"
    if held.recipients is None:
        lacks("services.purposes.thirdPartyDisclosure", f"profile {key} has no controller's recipients")
    else:
        described["thirdPartyDisclosure"] = bool(held.recipients)
        if held.recipients:
            described["thirdPartyName"] = ", ".join(held.recipients)
    return described
