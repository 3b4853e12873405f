"""The events: their types, and the wire form of what each adds to an entry (`data`).

`data` holds strings, integers, booleans, lists and objects; no null and no float, since the entry is hashed. Nothing in it
names a person. Wire forms never change: a change makes a new version of the type, and `upcasting` reads the old ones.

    type                      data
    TenantCreated             name, unitScoping
    TenantUpdated             name?, unitScoping?
    BusinessUnitCreated       key, name, parent?
    ComplianceProfileCreated  key, name, unit, purposes, trackingPurpose, companyAddress?, externalLink?, doubleOptIn
    ComplianceProfileUpdated  key, name?, companyAddress?, externalLink?, doubleOptIn?, active?, preferenceCenter?,
                              controller? (what changes of it, see controller.MEMBERS)
    PurposeCreated            key, name, description?, type, legalBasis?, enforcement, unit, profiles, guid?
    PurposeUpdated            key, name?, description?, legalBasis?, enforcement?, active?, guid?
    PurposeOptInRulesSet      key, expiry (a list of legalBasis, months), required: all that the purpose asks of an opt-in
    PurposeAddedToProfile     profile, purpose
    CompliancePresetApplied   profile, preset; what it changed follows it
    TopicCreated              key, name, description?, purpose, guid?
    TopicUpdated              key, purpose, name?, description?, active?, guid?
    SigningKeyAdded           verifierKey: from here on checkpoints are signed with this key
    AgentConfigured           key, name, message: {profile, purpose, topic?, channel}
    AgentUpdated              key, name?, message? (whole), active?
    ConsentCaptured           see ConsentCaptured.to_data
    DoubleOptInRequested      channel, profile, purpose, topics?, expiresAt, legalBasis?, jurisdiction?, validUntil?
    DoubleOptInConfirmed      channel, purpose, requested (position); the captures that it leads to follow it
    ContactPointBounced       channel, bounce (HARD or SOFT), status?: a message could not be delivered
    ContactPointErasureRequested  channel, reason, keepSuppression
    ContactPointErased        channel, requested (position), events (how many there were), suppression?
    ContactPointSuppressed    channel, since, suppression: what an erasure left elsewhere, brought in with a file

In an update a member that is there changes, and an empty text clears.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from domain.addresses import Channel
from domain.consent import ConsentRecord, ConsentSource, ConsentValue
from domain.time import format_instant


class EventType(StrEnum):
    """Every type of event. A name, once in a log, stays."""

    TENANT_CREATED = "TenantCreated"
    TENANT_UPDATED = "TenantUpdated"
    BUSINESS_UNIT_CREATED = "BusinessUnitCreated"
    COMPLIANCE_PROFILE_CREATED = "ComplianceProfileCreated"
    COMPLIANCE_PROFILE_UPDATED = "ComplianceProfileUpdated"
    PURPOSE_CREATED = "PurposeCreated"
    PURPOSE_UPDATED = "PurposeUpdated"
    PURPOSE_OPT_IN_RULES_SET = "PurposeOptInRulesSet"
    PURPOSE_ADDED_TO_PROFILE = "PurposeAddedToProfile"
    COMPLIANCE_PRESET_APPLIED = "CompliancePresetApplied"
    TOPIC_CREATED = "TopicCreated"
    TOPIC_UPDATED = "TopicUpdated"
    SIGNING_KEY_ADDED = "SigningKeyAdded"
    AGENT_CONFIGURED = "AgentConfigured"
    AGENT_UPDATED = "AgentUpdated"
    CONSENT_CAPTURED = "ConsentCaptured"
    DOUBLE_OPT_IN_REQUESTED = "DoubleOptInRequested"
    DOUBLE_OPT_IN_CONFIRMED = "DoubleOptInConfirmed"
    CONTACT_POINT_BOUNCED = "ContactPointBounced"
    CONTACT_POINT_ERASURE_REQUESTED = "ContactPointErasureRequested"
    CONTACT_POINT_ERASED = "ContactPointErased"
    CONTACT_POINT_SUPPRESSED = "ContactPointSuppressed"


# The version in which each type is written today.
CURRENT_VERSIONS: Mapping[EventType, int] = {
    EventType.TENANT_CREATED: 1,
    EventType.TENANT_UPDATED: 1,
    EventType.BUSINESS_UNIT_CREATED: 1,
    EventType.COMPLIANCE_PROFILE_CREATED: 1,
    EventType.COMPLIANCE_PROFILE_UPDATED: 1,
    EventType.PURPOSE_CREATED: 1,
    EventType.PURPOSE_UPDATED: 1,
    EventType.PURPOSE_OPT_IN_RULES_SET: 1,
    EventType.PURPOSE_ADDED_TO_PROFILE: 1,
    EventType.COMPLIANCE_PRESET_APPLIED: 1,
    EventType.TOPIC_CREATED: 1,
    EventType.TOPIC_UPDATED: 1,
    EventType.SIGNING_KEY_ADDED: 1,
    EventType.AGENT_CONFIGURED: 1,
    EventType.AGENT_UPDATED: 1,
    EventType.CONSENT_CAPTURED: 2,
    EventType.DOUBLE_OPT_IN_REQUESTED: 1,
    EventType.DOUBLE_OPT_IN_CONFIRMED: 1,
    EventType.CONTACT_POINT_BOUNCED: 1,
    EventType.CONTACT_POINT_ERASURE_REQUESTED: 1,
    EventType.CONTACT_POINT_ERASED: 1,
    EventType.CONTACT_POINT_SUPPRESSED: 1,
}

# What happens at a contact point stands in that contact point's stream, everything else in the catalogue's.
CONTACT_POINT_TYPES = frozenset(
    (
        EventType.CONSENT_CAPTURED,
        EventType.DOUBLE_OPT_IN_REQUESTED,
        EventType.DOUBLE_OPT_IN_CONFIRMED,
        EventType.CONTACT_POINT_BOUNCED,
        EventType.CONTACT_POINT_ERASURE_REQUESTED,
        EventType.CONTACT_POINT_ERASED,
        EventType.CONTACT_POINT_SUPPRESSED,
    )
)
CATALOGUE_TYPES = frozenset(EventType) - CONTACT_POINT_TYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEvent:
    """An event of the catalogue as read from the log, its data in the current version."""

    type: EventType
    data: Mapping[str, Any]
    recorded_at: datetime
    position: int


@dataclass(frozen=True, slots=True)
class CatalogueDraft:
    """An event of the catalogue that a command decided on."""

    type: EventType
    data: Mapping[str, Any]


class ConsentCaptured(NamedTuple):
    """One change of consent at one contact point. A named tuple, since one is made for every event written or read."""

    channel: Channel
    purpose: str
    topic: str | None
    unit: str
    value: ConsentValue
    source: ConsentSource
    effective_at: datetime
    trust: str
    valid_until: datetime | None = None
    reason: str | None = None
    legal_basis: str | None = None
    jurisdiction: str | None = None
    notice_digest: bytes | None = None
    claimed_effective_at: datetime | None = None
    dynamics: Mapping[str, Any] | None = None

    def to_data(self) -> dict[str, Any]:
        """The wire form, version 2. `reason` is a label of the Dynamics reasons; words of one's own are personal."""
        data: dict[str, Any] = {
            "channel": str(self.channel),
            "purpose": self.purpose,
            "source": str(self.source),
            "trust": self.trust,
            "unit": self.unit,
            "value": str(self.value),
        }
        if self.topic is not None:
            data["topic"] = self.topic
        if self.valid_until is not None:
            data["validUntil"] = format_instant(self.valid_until)
        if self.reason is not None:
            data["reason"] = self.reason
        if self.legal_basis is not None:
            data["legalBasis"] = self.legal_basis
        if self.jurisdiction is not None:
            data["jurisdiction"] = self.jurisdiction
        if self.notice_digest is not None:
            data["noticeDigest"] = b64encode(self.notice_digest).decode()
        if self.claimed_effective_at is not None:
            data["claimedEffectiveAt"] = format_instant(self.claimed_effective_at)
        if self.dynamics:
            data["dynamics"] = self.dynamics
        return data

    @staticmethod
    def from_data(data: Mapping[str, Any], effective_at: datetime) -> "ConsentCaptured":
        """What the wire form of the current version says."""
        digest = data.get("noticeDigest")
        return ConsentCaptured(
            channel=Channel(data["channel"]),
            purpose=data["purpose"],
            topic=data.get("topic"),
            unit=data["unit"],
            value=ConsentValue(data["value"]),
            source=ConsentSource(data["source"]),
            effective_at=effective_at,
            trust=data["trust"],
            valid_until=_instant(data.get("validUntil")),
            reason=data.get("reason"),
            legal_basis=data.get("legalBasis"),
            jurisdiction=data.get("jurisdiction"),
            notice_digest=None if digest is None else b64decode(digest),
            claimed_effective_at=_instant(data.get("claimedEffectiveAt")),
            dynamics=data.get("dynamics"),
        )

    def record(self, position: int, recorded_at: datetime) -> ConsentRecord:
        """The record of consent that this event makes."""
        return ConsentRecord(
            purpose=self.purpose,
            topic=self.topic,
            unit=self.unit,
            value=self.value,
            effective_at=self.effective_at,
            recorded_at=recorded_at,
            position=position,
            valid_until=self.valid_until,
        )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
