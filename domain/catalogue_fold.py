"""The catalogue as a fold of its events."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from domain.addresses import Channel
from domain.agents import AgentMessage, SendingAgent
from domain.catalogue import (
    EMPTY,
    BusinessUnit,
    Catalogue,
    ComplianceProfile,
    DoubleOptInMode,
    EnforcementModel,
    Purpose,
    PurposeType,
    Topic,
)
from domain.events import CatalogueEvent, EventType
from domain.opt_in_rules import OptInRules, RequiredEvidence, basis_key
from domain.preference_center import PreferenceCenter

_CREATIONS = frozenset(
    (
        EventType.TENANT_CREATED,
        EventType.BUSINESS_UNIT_CREATED,
        EventType.COMPLIANCE_PROFILE_CREATED,
        EventType.PURPOSE_CREATED,
        EventType.TOPIC_CREATED,
        EventType.AGENT_CONFIGURED,
    )
)


def fold(events: Iterable[CatalogueEvent], *, known_at: datetime | None = None) -> Catalogue:
    """The catalogue that these events, in log order, lead to.

    With `known_at`: as recorded by then, and what was made later as it was made (SEMANTICS.md, "Which record counts").
    """
    catalogue = EMPTY
    for event in events:
        if known_at is None or event.recorded_at <= known_at or is_creation(event.type):
            catalogue = apply(catalogue, event)
    return catalogue


def is_creation(event_type: str) -> bool:
    """Whether an event of this type makes something: that stands as it was made at any time, whatever is known then."""
    return event_type in _CREATIONS


def apply(catalogue: Catalogue, event: CatalogueEvent) -> Catalogue:
    """The catalogue after one more event."""
    return replace(_APPLY[event.type](catalogue, event.data), position=event.position)


Data = Mapping[str, Any]


def _tenant_created(catalogue: Catalogue, data: Data) -> Catalogue:
    return replace(catalogue, tenant_name=data["name"], unit_scoping=data["unitScoping"])


def _tenant_updated(catalogue: Catalogue, data: Data) -> Catalogue:
    return replace(
        catalogue,
        tenant_name=data.get("name", catalogue.tenant_name),
        unit_scoping=data.get("unitScoping", catalogue.unit_scoping),
    )


def _unit_created(catalogue: Catalogue, data: Data) -> Catalogue:
    unit = BusinessUnit(key=data["key"], name=data["name"], parent=data.get("parent"))
    return replace(catalogue, units={**catalogue.units, unit.key: unit})


def _profile_created(catalogue: Catalogue, data: Data) -> Catalogue:
    profile = ComplianceProfile(
        key=data["key"],
        name=data["name"],
        active=True,
        unit=data["unit"],
        company_address=data.get("companyAddress"),
        external_link=data.get("externalLink"),
        double_opt_in=DoubleOptInMode(data["doubleOptIn"]),
        preference_center=PreferenceCenter(),
        purposes=tuple(data["purposes"]),
        tracking_purpose=data["trackingPurpose"],
        version=1,
    )
    return replace(catalogue, profiles={**catalogue.profiles, profile.key: profile})


def _profile_updated(catalogue: Catalogue, data: Data) -> Catalogue:
    held = catalogue.profiles[data["key"]]
    profile = replace(
        held,
        name=data.get("name", held.name),
        active=data.get("active", held.active),
        company_address=data.get("companyAddress", held.company_address) or None,
        external_link=data.get("externalLink", held.external_link) or None,
        double_opt_in=DoubleOptInMode(data.get("doubleOptIn", held.double_opt_in)),
        preference_center=held.preference_center.changed(data.get("preferenceCenter", {})),
        controller=held.controller.changed(data.get("controller", {})),
        version=held.version + 1,
    )
    return replace(catalogue, profiles={**catalogue.profiles, profile.key: profile})


def _purpose_created(catalogue: Catalogue, data: Data) -> Catalogue:
    purpose = Purpose(
        key=data["key"],
        name=data["name"],
        description=data.get("description"),
        type=PurposeType(data["type"]),
        active=True,
        legal_basis=data.get("legalBasis"),
        enforcement=_enforcement(data["enforcement"]),
        unit=data["unit"],
        guid=data.get("guid"),
        version=1,
    )
    catalogue = replace(
        catalogue,
        purposes={**catalogue.purposes, purpose.key: purpose},
        purpose_guids=_with_guid(catalogue.purpose_guids, purpose.key, purpose.guid),
    )
    for profile in data.get("profiles", ()):
        catalogue = _shared(catalogue, profile, purpose.key)
    return catalogue


def _purpose_updated(catalogue: Catalogue, data: Data) -> Catalogue:
    held = catalogue.purposes[data["key"]]
    purpose = replace(
        held,
        name=data.get("name", held.name),
        description=data.get("description", held.description) or None,
        legal_basis=data.get("legalBasis", held.legal_basis) or None,
        active=data.get("active", held.active),
        enforcement={**held.enforcement, **_enforcement(data.get("enforcement", {}))},
        guid=data.get("guid", held.guid),
        version=held.version + 1,
    )
    return replace(
        catalogue,
        purposes={**catalogue.purposes, purpose.key: purpose},
        purpose_guids=_with_guid(catalogue.purpose_guids, purpose.key, purpose.guid),
    )


def _opt_in_rules_set(catalogue: Catalogue, data: Data) -> Catalogue:
    held = catalogue.purposes[data["key"]]
    expiry_months: dict[str, int] = {}
    for expiry in data["expiry"]:
        # Older events have keys of a comparison that told more spellings apart.
        basis = basis_key(expiry["legalBasis"])
        expiry_months[basis] = min(expiry["months"], expiry_months.get(basis, expiry["months"]))
    rules = OptInRules(
        expiry_months,
        frozenset(RequiredEvidence(one) for one in data["required"]),
    )
    purpose = replace(held, opt_in=rules, version=held.version + 1)
    return replace(catalogue, purposes={**catalogue.purposes, purpose.key: purpose})


def _preset_applied(catalogue: Catalogue, data: Data) -> Catalogue:
    held = catalogue.profiles[data["profile"]]
    presets = tuple(dict.fromkeys((*held.presets, data["preset"])))
    profile = replace(held, presets=presets, version=held.version + 1)
    return replace(catalogue, profiles={**catalogue.profiles, profile.key: profile})


def _purpose_added(catalogue: Catalogue, data: Data) -> Catalogue:
    catalogue = _shared(catalogue, data["profile"], data["purpose"])
    held = catalogue.profiles[data["profile"]]
    return replace(catalogue, profiles={**catalogue.profiles, held.key: replace(held, version=held.version + 1)})


def _topic_created(catalogue: Catalogue, data: Data) -> Catalogue:
    topic = Topic(
        key=data["key"],
        name=data["name"],
        description=data.get("description"),
        active=True,
        purpose=data["purpose"],
        guid=data.get("guid"),
        version=1,
    )
    return replace(
        catalogue,
        topics={**catalogue.topics, topic.key: topic},
        topic_guids=_with_guid(catalogue.topic_guids, topic.key, topic.guid),
    )


def _topic_updated(catalogue: Catalogue, data: Data) -> Catalogue:
    held = catalogue.topics[data["key"]]
    topic = replace(
        held,
        name=data.get("name", held.name),
        description=data.get("description", held.description) or None,
        active=data.get("active", held.active),
        guid=data.get("guid", held.guid),
        version=held.version + 1,
    )
    return replace(
        catalogue,
        topics={**catalogue.topics, topic.key: topic},
        topic_guids=_with_guid(catalogue.topic_guids, topic.key, topic.guid),
    )


def _signing_key_added(catalogue: Catalogue, data: Data) -> Catalogue:
    return replace(catalogue, verifier_keys=(*catalogue.verifier_keys, data["verifierKey"]))


def _agent_configured(catalogue: Catalogue, data: Data) -> Catalogue:
    agent = SendingAgent(
        key=data["key"], name=data["name"], active=True, message=AgentMessage.from_data(data["message"]), version=1
    )
    return replace(catalogue, agents={**catalogue.agents, agent.key: agent})


def _agent_updated(catalogue: Catalogue, data: Data) -> Catalogue:
    held = catalogue.agents[data["key"]]
    agent = replace(
        held,
        name=data.get("name", held.name),
        active=data.get("active", held.active),
        message=AgentMessage.from_data(data["message"]) if "message" in data else held.message,
        version=held.version + 1,
    )
    return replace(catalogue, agents={**catalogue.agents, agent.key: agent})


def _shared(catalogue: Catalogue, profile_key: str, purpose_key: str) -> Catalogue:
    held = catalogue.profiles.get(profile_key)
    if held is None or purpose_key in held.purposes:
        return catalogue  # made together: the profile's own event names it
    profile = replace(held, purposes=(*held.purposes, purpose_key))
    return replace(catalogue, profiles={**catalogue.profiles, profile.key: profile})


def _enforcement(data: Mapping[str, str]) -> dict[Channel, EnforcementModel]:
    return {Channel(channel): EnforcementModel(model) for channel, model in data.items()}


def _with_guid(guids: Mapping[str, str], key: str, guid: str | None) -> Mapping[str, str]:
    return guids if guid is None else {**guids, guid: key}


_APPLY = {
    EventType.TENANT_CREATED: _tenant_created,
    EventType.TENANT_UPDATED: _tenant_updated,
    EventType.BUSINESS_UNIT_CREATED: _unit_created,
    EventType.COMPLIANCE_PROFILE_CREATED: _profile_created,
    EventType.COMPLIANCE_PROFILE_UPDATED: _profile_updated,
    EventType.PURPOSE_CREATED: _purpose_created,
    EventType.PURPOSE_UPDATED: _purpose_updated,
    EventType.PURPOSE_OPT_IN_RULES_SET: _opt_in_rules_set,
    EventType.PURPOSE_ADDED_TO_PROFILE: _purpose_added,
    EventType.COMPLIANCE_PRESET_APPLIED: _preset_applied,
    EventType.TOPIC_CREATED: _topic_created,
    EventType.TOPIC_UPDATED: _topic_updated,
    EventType.SIGNING_KEY_ADDED: _signing_key_added,
    EventType.AGENT_CONFIGURED: _agent_configured,
    EventType.AGENT_UPDATED: _agent_updated,
}
