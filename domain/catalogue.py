"""The catalogue: compliance profiles, purposes, topics and business units, and how refs find them.

A Catalogue is a value, replaced as a whole. Keys are permanent; nothing is ever deleted. A ref is a GUID before it is a key, and
`key:KEY` is a key whatever it looks like. `catalogue_fold` makes it from
events, `catalogue_commands` decides on changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeVar

from domain.addresses import Channel
from domain.agents import SendingAgent
from domain.consent import ConsentValue
from domain.controller import NOBODY, Controller
from domain.opt_in_rules import NO_RULES, OptInRules
from domain.preference_center import PreferenceCenter
from domain.refusals import Refusal, RefusalCode
from domain.text import GUID_FORM

DEFAULT_PROFILE: Final = "default"
# No key and no GUID has a colon.
_BY_KEY: Final = "key:"


class PurposeType(StrEnum):
    """Why one communicates."""

    COMMERCIAL = "COMMERCIAL"
    TRANSACTIONAL = "TRANSACTIONAL"
    TRACKING = "TRACKING"


class EnforcementModel(StrEnum):
    """How a purpose treats the values: see the table in `decision`."""

    RESTRICTIVE = "RESTRICTIVE"
    NON_RESTRICTIVE = "NON_RESTRICTIVE"
    DISABLED = "DISABLED"


class DoubleOptInMode(StrEnum):
    """When a profile asks for a confirmation."""

    OFF = "OFF"
    EVERY_SUBMISSION = "EVERY_SUBMISSION"
    NEW_CONTACT_POINTS = "NEW_CONTACT_POINTS"


# Rule 3 of The decision: what a purpose starts with.
DEFAULT_ENFORCEMENT: Mapping[PurposeType, Mapping[Channel, EnforcementModel]] = {
    PurposeType.COMMERCIAL: {
        Channel.EMAIL: EnforcementModel.NON_RESTRICTIVE,
        Channel.SMS: EnforcementModel.RESTRICTIVE,
        Channel.VOICE: EnforcementModel.RESTRICTIVE,
        Channel.PUSH: EnforcementModel.RESTRICTIVE,
        Channel.CUSTOM: EnforcementModel.RESTRICTIVE,
    },
    PurposeType.TRANSACTIONAL: {
        Channel.EMAIL: EnforcementModel.DISABLED,
        Channel.SMS: EnforcementModel.DISABLED,
        Channel.VOICE: EnforcementModel.DISABLED,
        Channel.PUSH: EnforcementModel.DISABLED,
        Channel.CUSTOM: EnforcementModel.DISABLED,
    },
    PurposeType.TRACKING: {
        Channel.EMAIL: EnforcementModel.NON_RESTRICTIVE,
        Channel.SMS: EnforcementModel.NON_RESTRICTIVE,
        Channel.VOICE: EnforcementModel.NON_RESTRICTIVE,
        Channel.PUSH: EnforcementModel.NON_RESTRICTIVE,
        Channel.CUSTOM: EnforcementModel.NON_RESTRICTIVE,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """Why one communicates, with the enforcement of each channel. Shared by any number of profiles."""

    key: str
    name: str
    description: str | None
    type: PurposeType
    active: bool
    legal_basis: str | None
    enforcement: Mapping[Channel, EnforcementModel]
    unit: str
    guid: str | None
    version: int
    opt_in: OptInRules = NO_RULES


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A finer choice inside exactly one purpose, whose enforcement it inherits."""

    key: str
    name: str
    description: str | None
    active: bool
    purpose: str
    guid: str | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplianceProfile:
    """The hub for a brand, region or line of business. `purposes` includes its one tracking purpose."""

    key: str
    name: str
    active: bool
    unit: str
    company_address: str | None
    external_link: str | None
    double_opt_in: DoubleOptInMode
    preference_center: PreferenceCenter
    purposes: tuple[str, ...]
    tracking_purpose: str
    version: int
    presets: tuple[str, ...] = ()
    controller: Controller = NOBODY


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessUnit:
    """A node in a tenant's tree of units."""

    key: str
    name: str
    parent: str | None


@dataclass(frozen=True, slots=True)
class MessageSubject:
    """What a message names: a profile, a purpose of it, and perhaps a topic of that purpose.

    `asked_unit` is the business unit that a check names to stand for the profile's.
    """

    profile: ComplianceProfile
    purpose: Purpose
    topic: Topic | None
    asked_unit: str | None = None

    @property
    def unit(self) -> str:
        """The unit whose records count after those of the purpose's unit."""
        return self.profile.unit if self.asked_unit is None else self.asked_unit


Item = TypeVar("Item", Purpose, Topic, ComplianceProfile, BusinessUnit, SendingAgent)


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """A tenant's catalogue and settings as of one position of its log (-1: before its first event).

    `verifier_keys` are those of the log's checkpoints, oldest first; the last one's owner signs.
    """

    tenant_name: str = ""
    unit_scoping: bool = True
    position: int = -1
    units: Mapping[str, BusinessUnit] = field(default_factory=dict[str, BusinessUnit])
    profiles: Mapping[str, ComplianceProfile] = field(default_factory=dict[str, ComplianceProfile])
    purposes: Mapping[str, Purpose] = field(default_factory=dict[str, Purpose])
    topics: Mapping[str, Topic] = field(default_factory=dict[str, Topic])
    purpose_guids: Mapping[str, str] = field(default_factory=_nothing)
    topic_guids: Mapping[str, str] = field(default_factory=_nothing)
    verifier_keys: tuple[str, ...] = ()
    agents: Mapping[str, SendingAgent] = field(default_factory=dict[str, SendingAgent])
    # Whether opt-ins of some purpose run out by their legal basis: only then can one be implied.
    has_opt_in_expiry: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        expires = any(purpose.opt_in.expiry_months for purpose in self.purposes.values())
        object.__setattr__(self, "has_opt_in_expiry", expires)

    def profile(self, ref: str, *, field: str = "profile") -> ComplianceProfile:
        """The profile that `ref` names. Raises Refusal NOT_FOUND."""
        return _found(self.profiles, ref, None, "compliance profile", field)

    def purpose(self, ref: str, *, field: str = "purpose") -> Purpose:
        """The purpose that `ref`, a key or GUID, names. Raises Refusal NOT_FOUND."""
        return _found(self.purposes, ref, self.purpose_guids, "purpose", field)

    def topic(self, ref: str, *, field: str = "topic") -> Topic:
        """The topic that `ref`, a key or GUID, names. Raises Refusal NOT_FOUND."""
        return _found(self.topics, ref, self.topic_guids, "topic", field)

    def agent(self, ref: str, *, field: str = "agent") -> SendingAgent:
        """The sending agent with this key. Raises Refusal NOT_FOUND."""
        return _found(self.agents, ref, None, "agent", field)

    def unit(self, ref: str, *, field: str = "businessUnit") -> BusinessUnit:
        """The business unit that `ref` names. Raises Refusal NOT_FOUND."""
        return _found(self.units, ref, None, "business unit", field)

    def topics_of(self, purpose: str) -> list[Topic]:
        """The topics of a purpose, in the order in which they were made."""
        return [topic for topic in self.topics.values() if topic.purpose == purpose]

    def profiles_of(self, purpose: str) -> list[ComplianceProfile]:
        """The profiles that share a purpose."""
        return [profile for profile in self.profiles.values() if purpose in profile.purposes]

    def topic_of(self, purpose: Purpose, topic_ref: str | None) -> Topic | None:
        """The topic of this very purpose. Raises Refusal NOT_FOUND, TOPIC_OUTSIDE_PURPOSE."""
        if topic_ref is None:
            return None
        topic = self.topic(topic_ref)
        if topic.purpose != purpose.key:
            raise Refusal(
                RefusalCode.TOPIC_OUTSIDE_PURPOSE,
                f"topic {topic.key} belongs to purpose {topic.purpose}, not to {purpose.key}",
                ("topic",),
            )
        return topic

    def message(
        self, profile_ref: str, purpose_ref: str, topic_ref: str | None, unit_ref: str | None = None
    ) -> MessageSubject:
        """What a new message names (rule 1 of The decision), and perhaps the unit that stands for the profile's.

        Raises Refusal NOT_FOUND, INACTIVE, PURPOSE_OUTSIDE_PROFILE, TOPIC_OUTSIDE_PURPOSE.
        """
        profile = self.profile(profile_ref)
        purpose = self._purpose_of(profile, purpose_ref)
        topic = self.topic_of(purpose, topic_ref)
        for item, name in ((profile, "profile"), (purpose, "purpose"), (topic, "topic")):
            if item is not None and not item.active:
                raise _inactive(name, item.key)
        return MessageSubject(profile, purpose, topic, None if unit_ref is None else self.unit(unit_ref).key)

    def capture_subject(
        self, purpose_ref: str, topic_ref: str | None, *, value: ConsentValue, allow_inactive: bool = False
    ) -> tuple[Purpose, Topic | None]:
        """What a capture is about. A message sent with what is inactive now can still be unsubscribed from, so only an
        OPTED_IN is refused there, and not even that where `allow_inactive` (records from elsewhere).

        Raises Refusal NOT_FOUND, INACTIVE, TOPIC_OUTSIDE_PURPOSE.
        """
        purpose = self.purpose(purpose_ref)
        topic = self.topic_of(purpose, topic_ref)
        if value is ConsentValue.OPTED_IN and not allow_inactive:
            if not purpose.active:
                raise _inactive("purpose", purpose.key)
            if topic is not None and not topic.active:
                raise _inactive("topic", topic.key)
        return purpose, topic

    def capture_subject_of(
        self, profile: ComplianceProfile, purpose_ref: str, topic_ref: str | None, *, value: ConsentValue
    ) -> tuple[Purpose, Topic | None]:
        """What a capture for a profile is about: as `capture_subject`, and OPTED_IN is refused for an inactive profile, too.

        Raises Refusal NOT_FOUND, INACTIVE, PURPOSE_OUTSIDE_PROFILE, TOPIC_OUTSIDE_PURPOSE.
        """
        purpose = self._purpose_of(profile, purpose_ref)
        if value is ConsentValue.OPTED_IN and not profile.active:
            raise _inactive("profile", profile.key)
        return self.capture_subject(by_key(purpose.key), topic_ref, value=value)

    def _purpose_of(self, profile: ComplianceProfile, purpose_ref: str) -> Purpose:
        purpose = self.purpose(purpose_ref)
        if purpose.key not in profile.purposes:
            raise Refusal(
                RefusalCode.PURPOSE_OUTSIDE_PROFILE,
                f"purpose {purpose.key} does not belong to profile {profile.key}",
                ("purpose",),
            )
        return purpose


EMPTY = Catalogue()


def by_key(key: str) -> str:
    """The ref of what has this key, which is none by itself where it looks like a GUID: a log may hold such keys."""
    return _BY_KEY + key if GUID_FORM.fullmatch(key) is not None else key


def by_keys(level: tuple[str, str | None]) -> tuple[str, str | None]:
    """The refs of a purpose and perhaps a topic, which are named by their keys."""
    purpose, topic = level
    return by_key(purpose), None if topic is None else by_key(topic)


def _found(items: Mapping[str, Item], ref: str, guids: Mapping[str, str] | None, what: str, field_name: str) -> Item:
    # A key that is another's GUID must not divert what is said of that: not even a unit's own key may do so to the tenant's.
    item = items.get(guids.get(ref.lower(), "")) if guids else None
    if item is None:
        item = items.get(ref.removeprefix(_BY_KEY))
    if item is None:
        by = "key or id; GUIDs are kept of purposes and topics alone" if guids is None else "key, id or GUID"
        raise Refusal(RefusalCode.NOT_FOUND, f"there is no {what} with this {by}", (field_name,))
    return item


def _inactive(name: str, key: str) -> Refusal:
    return Refusal(RefusalCode.INACTIVE, f"{name} {key} is inactive: nothing new can be sent or asked with it", (name,))
