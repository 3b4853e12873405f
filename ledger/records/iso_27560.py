"""Consent records after ISO/IEC TS 27560, as JSON-LD in the words of the Data Privacy Vocabulary 2.3.

One record for each capture; a later one of the same purpose and topic names the one before it. The names are those that the
vocabulary and its schema define: `#record` and `#receipt`, and ConsentRevoked where someone else than the person ended it.
A mandatory field that nobody recorded is left out, and named in the report.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.addresses import Channel
from domain.catalogue import PurposeType
from domain.clocks import OptOutLimit, laws_of
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.controller import ConsentType
from domain.presets import PresetKey
from domain.time import format_instant
from ledger.records.facts import Fact, Facts, Missing
from ledger.records.responsible import Responsible

SCHEMA = "https://w3id.org/dpv/schema/dpv-27560"
_CONTEXT = {
    "consentry": "urn:consentry:",
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "dpv": "https://w3id.org/dpv#",
    "pd": "https://w3id.org/dpv/pd#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
_PERSONAL_DATA: Mapping[Channel, str] = {
    Channel.EMAIL: "pd:EmailAddress",
    Channel.SMS: "pd:TelephoneNumber",
    Channel.VOICE: "pd:TelephoneNumber",
}
_CONSENT_TYPES: Mapping[ConsentType, str] = {
    ConsentType.EXPLICIT: "dpv:ExplicitlyExpressedConsent",
    ConsentType.EXPRESSED: "dpv:ExpressedConsent",
    ConsentType.IMPLIED: "dpv:ImpliedConsent",
}
# By these the person speaks; by the others somebody else does.
_OF_THE_PERSON = frozenset(
    (
        ConsentSource.FORM,
        ConsentSource.PREFERENCE_CENTER,
        ConsentSource.ONE_CLICK_UNSUBSCRIBE,
        ConsentSource.SMS_KEYWORD,
        ConsentSource.EMAIL_REPLY,
        ConsentSource.VOICE,
        ConsentSource.PAPER,
        ConsentSource.COMPLAINT,
        ConsentSource.AGENT,
    )
)


def iso_27560(facts: Facts, *, receipt_id: UUID, now: datetime) -> dict[str, Any]:
    """A receipt that holds every record of the contact point, and the report of what is missing."""
    missing: list[Missing] = []
    records: list[dict[str, Any]] = []
    before: dict[tuple[str, str | None, str], Fact] = {}
    for fact in facts.captures:
        records.append(_record(facts, fact, before.get(fact.level), now, missing))
        before[fact.level] = fact
    return {
        "@context": _CONTEXT,
        "@id": f"urn:uuid:{receipt_id}",
        "@type": "dpv:ConsentReceipt",
        "dct:conformsTo": f"{SCHEMA}#receipt",
        "dct:identifier": str(receipt_id),
        "dct:created": _instant(format_instant(now)),
        "dct:hasPart": records,
        "consentry:missing": [one.to_json() for one in missing],
    }


def _controller(facts: Facts, told: Responsible, lacks: Any) -> dict[str, Any]:
    # Two profiles have two controllers, which one name would make one.
    controller: dict[str, Any] = {
        "@id": f"urn:consentry:tenant:{facts.tenant_key}:{told.id}",
        "@type": "dpv:DataController",
    }
    _put(controller, "dpv:hasName", told.name)
    if told.name is None:
        lacks("party name", told.has_no("controller's name"))
    _put(controller, "dpv:hasAddress", told.company_address)
    if told.company_address is None:
        lacks("party address", told.has_no("companyAddress"))
    held = told.controller
    contacts = [one for one in (held.contact, held.email, held.phone) if one is not None]
    if contacts:
        controller["dpv:hasContact"] = contacts
    else:
        lacks("party contact", told.has_no("controller's contact, email or phone"))
    if held.data_protection_officer is not None:
        controller["dpv:hasDataProtectionOfficer"] = {
            "@type": "dpv:DataProtectionOfficer",
            "dpv:hasContact": held.data_protection_officer,
        }
    if held.authority is not None:
        controller["dpv:hasAuthority"] = {"@type": "dpv:DataProtectionAuthority", "dpv:hasName": held.authority}
    return controller


def _record(facts: Facts, fact: Fact, before: Fact | None, now: datetime, missing: list[Missing]) -> dict[str, Any]:
    def lacks(name: str, why: str) -> None:
        missing.append(Missing(name, why, fact.id))

    told = facts.responsible(fact)
    purpose, topic = facts.purpose(fact), facts.topic(fact)
    process: dict[str, Any] = {
        "@type": "dpv:Process",
        "dpv:hasPurpose": _named("purpose", purpose.key, purpose.name, purpose.description),
        "dpv:hasPersonalData": _personal_data(facts, told, lacks),
        **_handling(told, lacks),
    }
    if topic is not None:
        process["consentry:topic"] = _named("topic", topic.key, topic.name, topic.description)
    record: dict[str, Any] = {
        "@id": f"urn:uuid:{fact.id}",
        "@type": "dpv:ConsentRecord",
        "dct:conformsTo": f"{SCHEMA}#record",
        "dct:identifier": fact.id,
        "dpv:hasDataSubject": {"@id": f"urn:uuid:{facts.contact_point}", "@type": "dpv:DataSubject"},
        "dpv:hasDataController": _controller(facts, told, lacks),
        "dpv:hasProcess": process,
        "dpv:hasConsentStatus": _states(facts, fact, before, told, now, lacks),
        "consentry:proof": fact.proof,
    }
    _put(record, "consentry:withdrawal", _withdrawal(facts.channel, purpose.type, told, lacks))
    if fact.value is ConsentValue.OPTED_IN:
        record["consentry:stillStands"] = facts.stands(fact, now)
    if before is not None:
        record["dcat:isVersionOf"] = {"@id": f"urn:uuid:{before.id}"}
    _put(record, "dpv:hasNotice", _notice(fact, lacks))
    _put(record, "dct:language", fact.personal.get("locale"))
    if "locale" not in fact.personal:
        lacks("language", "the capture names no locale")
    jurisdiction = facts.jurisdiction(fact)
    _put(record, "dpv:hasJurisdiction", jurisdiction)
    if jurisdiction is None:
        lacks("jurisdiction", f"the capture names none, and {told.had_no('jurisdiction')}")
    _put(record, "dpv:hasLegalBasis", facts.legal_basis(fact))
    _put(record, "dpv:hasRight", _listed(told.controller.rights))
    if _gdpr_may_apply(told, jurisdiction):
        for name, there in (
            ("lawful basis", "dpv:hasLegalBasis" in record),
            ("rights", bool(told.controller.rights)),
            ("authority", told.controller.authority is not None),
        ):
            if not there:
                lacks(name, f"the GDPR asks for it, the capture does not say it, and {told.has_no(name)}")
    return record


def _gdpr_may_apply(told: Responsible, jurisdiction: str | None) -> bool:
    """Where it is not known which law applies, it may."""
    laws = None if jurisdiction is None else laws_of(jurisdiction)
    return laws is None or OptOutLimit.GDPR in laws or any(PresetKey.GDPR in one.presets for one in told.now)


def _handling(told: Responsible, lacks: Any) -> dict[str, Any]:
    """Where data is kept, how long, and who receives it."""
    held = told.controller
    handling: dict[str, Any] = {}
    conditions = [{"@type": "dpv:StorageLocation", "dct:title": place} for place in held.storage_locations or ()]
    if not conditions:
        lacks("storage locations", told.has_no("controller's storageLocations"))
    if held.retention is None:
        lacks("retention", told.has_no("controller's retention"))
    else:
        conditions.append({"@type": "dpv:StorageDuration", "dct:description": held.retention})
    if conditions:
        handling["dpv:hasStorageCondition"] = conditions
    if held.recipients is None:
        lacks("recipients", told.has_no("controller's recipients"))
    else:
        handling["dpv:hasRecipient"] = [{"@type": "dpv:Recipient", "dpv:hasName": one} for one in held.recipients]
    return handling


def _personal_data(facts: Facts, told: Responsible, lacks: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"rdf:value": facts.address}
    categories = _listed(told.controller.pii_categories)
    _put(data, "dct:subject", categories)
    kind = _PERSONAL_DATA.get(facts.channel)
    if kind is None and not categories:
        lacks("PII type", f"an address of the channel {facts.channel} may be of any type")
    _put(data, "@type", kind)
    return data


def _notice(fact: Fact, lacks: Any) -> dict[str, Any] | None:
    text, digest = fact.personal.get("noticeText"), fact.data.get("noticeDigest")
    if digest is None and text is None:
        lacks("notice", "the capture has no text of a notice")
        return None
    notice: dict[str, Any] = {"@type": "dpv:ConsentNotice"}
    _put(notice, "dct:description", text)
    _put(notice, "consentry:sha256", digest)
    _put(notice, "dct:hasVersion", fact.personal.get("noticeVersion"))
    _put(notice, "dct:source", fact.personal.get("url"))
    return notice


def _states(
    facts: Facts, fact: Fact, before: Fact | None, told: Responsible, now: datetime, lacks: Any
) -> list[dict[str, Any]]:
    by_the_person = fact.stored.entry.actor == ActorKind.RECIPIENT or fact.source in _OF_THE_PERSON
    state: dict[str, Any] = {
        "@type": f"dpv:{_state(fact, before, by_the_person=by_the_person)}",
        "dpv:isIndicatedAtTime": _instant(fact.chosen_at),
        "dpv:hasIndicationMethod": fact.personal.get("method", str(fact.source)),
    }
    if by_the_person:
        state["dpv:isIndicatedBy"] = "dpv:DataSubject"
    elif fact.stored.entry.application is not None:
        state["dpv:isIndicatedBy"] = f"urn:consentry:application:{fact.stored.entry.application}"
    else:
        lacks("event entity", "recorded from the command line, which names no application")
    if fact.value is not ConsentValue.OPTED_IN:
        return [state]
    then = told.controller_then
    consent_type = facts.consent_type_then(fact)
    if consent_type is None:
        lacks("event type", told.had_no("controller's consentType"))
    else:
        state["dpv:hasLegalBasis"] = _CONSENT_TYPES[consent_type]
    until = fact.data.get("validUntil")
    if until is None:
        if then.termination is None:
            lacks("validity duration", "the opt-in has no validUntil, and " + told.had_no("controller's termination"))
        else:
            state["dpv:hasDuration"] = {"@type": "dpv:UntilEventDuration", "dct:description": then.termination}
        return [state]
    state["dpv:hasDuration"] = {"@type": "dpv:UntilTimeDuration", "rdf:value": _instant(until)}
    if datetime.fromisoformat(until) > now:
        return [state]
    return [state, {"@type": "dpv:ConsentExpired", "dpv:isIndicatedAtTime": _instant(until)}]


def _state(fact: Fact, before: Fact | None, *, by_the_person: bool) -> str:
    if fact.value is ConsentValue.OPTED_IN:
        return "ConsentGiven"
    if fact.value is ConsentValue.NOT_SET:
        return "ConsentUnknown"
    if before is None or before.value is not ConsentValue.OPTED_IN:
        return "ConsentRefused"
    return "ConsentWithdrawn" if by_the_person else "ConsentRevoked"


def _withdrawal(channel: Channel, purpose: PurposeType, told: Responsible, lacks: Any) -> str | None:
    """How consent is ended, by what the ledger gives with each message: the header goes with commercial mail alone."""
    if not told.now or (purpose is PurposeType.TRACKING and not told.shows_tracking):
        lacks("withdrawal method", told.has_no("page that is known to offer it"))
        return None
    with_header = purpose is PurposeType.COMMERCIAL and channel is Channel.EMAIL
    ways = "the link and the one-click header" if with_header else "the link"
    return f"by {ways} of each message" + ("" if told.external_link is None else f", or at {told.external_link}")


def _named(kind: str, key: str, name: str, description: str | None) -> dict[str, Any]:
    named: dict[str, Any] = {"@id": f"urn:consentry:{kind}:{key}", "dct:title": name}
    _put(named, "dct:description", description)
    return named


def _listed(items: tuple[str, ...] | None) -> list[str] | None:
    return None if items is None else list(items)


def _instant(text: str) -> dict[str, str]:
    return {"@type": "xsd:dateTime", "@value": text}


def _put(into: dict[str, Any], name: str, value: object) -> None:
    if value is not None:
        into[name] = value
