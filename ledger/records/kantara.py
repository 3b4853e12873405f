"""Consent receipts after Kantara 1.1: one for each opt-in, beside its proof and the report of what is missing.

The form knows consent that was given, and nothing of its end: whether an opt-in still stands is said beside the receipt.
"""

from datetime import datetime
from typing import Any

from domain.consent import ConsentValue
from ledger.records.facts import Fact, Facts, Missing

VERSION = "KI-CR-v1.1.0"


def kantara(facts: Facts, *, now: datetime) -> dict[str, Any]:
    """The receipts of the contact point."""
    captures = facts.captures
    last = {fact.level: fact for fact in captures}
    return {
        "format": "kantara-consent-receipt",
        "version": VERSION,
        "receipts": [
            _with_proof(facts, fact, stands=last[fact.level] is fact and not _expired(fact, now))
            for fact in captures
            if fact.value is ConsentValue.OPTED_IN
        ],
    }


def _expired(fact: Fact, now: datetime) -> bool:
    until = fact.data.get("validUntil")
    return until is not None and datetime.fromisoformat(until) <= now


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
    if "jurisdiction" in fact.data:
        receipt["jurisdiction"] = fact.data["jurisdiction"]
    else:
        lacks("jurisdiction", "the capture names none")
    if "locale" in fact.personal:
        receipt["language"] = fact.personal["locale"]
    lacks("policyUrl", "no setting holds the policy as it was in force then")
    lacks("sensitive", "nothing says whether sensitive data is processed")
    lacks("spiCat", "nothing says whether sensitive data is processed")
    return receipt


def _controller(facts: Facts, lacks: Any) -> dict[str, Any]:
    controller: dict[str, Any] = {"piiController": facts.catalogue.tenant_name}
    address = facts.profile.company_address
    if address is None:
        lacks("piiControllers.address", f"profile {facts.profile.key} has no companyAddress")
    else:
        controller["address"] = {"streetAddress": address}
    for name in ("contact", "email", "phone"):
        lacks(f"piiControllers.{name}", "no setting holds it")
    return controller


def _purpose(facts: Facts, fact: Fact, lacks: Any) -> dict[str, Any]:
    purpose, topic = facts.purpose(fact), facts.topic(fact)
    described: dict[str, Any] = {
        "purpose": purpose.name if topic is None else f"{purpose.name}: {topic.name}",
        "purposeCategory": [str(purpose.type)],
        # The address itself is what is processed.
        "piiCategory": ["Contact"],
    }
    until = fact.data.get("validUntil")
    if until is None:
        lacks("services.purposes.termination", "the opt-in has no validUntil")
    else:
        described["termination"] = until
    lacks("services.purposes.consentType", "no type of consent (explicit, implicit) is recorded")
    lacks("services.purposes.thirdPartyDisclosure", "no setting holds who receives data")
    return described
