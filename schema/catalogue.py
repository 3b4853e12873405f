"""Compliance profiles, purposes and topics as GraphQL shows them.

All of them in one answer come from one catalogue, a value: what a purpose's topics name is what was read with it.
"""

from typing import Any

import strawberry

from domain.catalogue import Catalogue
from domain.controller import MEMBERS
from ledger.assembly import Tenant
from schema.enums import (
    Channel,
    ConsentType,
    DoubleOptInMode,
    EnforcementModel,
    PresetKey,
    PurposeType,
    RequiredEvidence,
)
from schema.node_ids import NodeKind, key_node_id
from schema.nodes import Node

# The name of a unit that whoever asks does not see. Its key is empty, which no unit's is.
_BEYOND = "(another business unit)"


@strawberry.type(description="A node in the tenant's tree of units, which own profiles, purposes and consent.")
class BusinessUnit(Node):
    view: strawberry.Private["CatalogueView"]
    key: str
    name: str

    @strawberry.field(description="The unit above; null for the root, and where the key does not see it.")
    def parent(self) -> "BusinessUnit | None":
        held = self.view.catalogue.units.get(self.key)
        return None if held is None else self.view.unit_if_seen(held.parent)


@strawberry.type(description="What a purpose enforces on one channel.")
class ChannelEnforcement:
    channel: Channel
    model: EnforcementModel


@strawberry.type(description="When an opt-in that rests on a legal basis runs out by itself.")
class OptInExpiry:
    legal_basis: str
    months: int = strawberry.field(description="After its effectiveAt.")


@strawberry.type(description="The hosted page where a person sees and changes what they chose.")
class PreferenceCenter:
    url: str = strawberry.field(description="A base: each person's link adds a token of its own.")
    title: str
    locale: str = strawberry.field(
        description="The language of the page where the browser asks for none that there is."
    )
    brand_color: str | None
    logo_url: str | None = strawberry.field(
        description="Shown where it is a data: URL: the page asks no other host for anything."
    )
    show_tracking: bool


@strawberry.type(
    description="Who is responsible for a profile's data, and what becomes of it, as records for people and authorities say it. "
    "Null is not set; an empty list says that there are none."
)
class Controller:
    name: str | None = strawberry.field(description="Null: the tenant's name.")
    contact: str | None
    email: str | None
    phone: str | None
    policy_url: str | None
    jurisdiction: str | None = strawberry.field(description="Of records whose capture names none.")
    consent_type: ConsentType | None
    termination: str | None = strawberry.field(description="When an opt-in ends that has no validUntil.")
    retention: str | None
    storage_locations: list[str] | None
    recipients: list[str] | None
    pii_categories: list[str] | None
    sensitive: bool | None
    sensitive_categories: list[str] | None
    rights: list[str] | None
    authority: str | None
    data_protection_officer: str | None


@strawberry.type(
    description="The hub for a brand, region or line of business: its company address, its link, its purposes."
)
class ComplianceProfile(Node):
    view: strawberry.Private["CatalogueView"]
    key: str
    name: str
    active: bool
    company_address: str | None
    external_link: str | None = strawberry.field(
        description="A page of one's own; placeholders: {{messageid}}, {{purposeid}}, {{topicid}}, attributes."
    )
    double_opt_in: DoubleOptInMode
    version: int = strawberry.field(description="The version to give as expectedVersion when changing it.")

    @strawberry.field(description="The unit that owns it: its records count after those of the purpose's unit.")
    def business_unit(self) -> BusinessUnit:
        return self.view.unit(self.view.catalogue.profiles[self.key].unit)

    @strawberry.field(description="Null where the profile has an external link instead.")
    def preference_center(self) -> PreferenceCenter | None:
        held = self.view.catalogue.profiles[self.key]
        if held.external_link is not None:
            return None
        page = held.preference_center
        return PreferenceCenter(
            url=f"{self.view.public_url}/p/",
            title=page.title or held.name,
            locale=page.locale,
            brand_color=page.brand_color,
            logo_url=page.logo_url,
            show_tracking=page.show_tracking,
        )

    @strawberry.field(description="Who is responsible, and what becomes of the data.")
    def controller(self) -> Controller:
        held = self.view.catalogue.profiles[self.key].controller
        shown: dict[str, Any] = {member.name: getattr(held, member.name) for member in MEMBERS.values()}
        return Controller(**shown)

    @strawberry.field(
        description="The presets that it was raised to, in that order; its settings may be others by now."
    )
    def presets(self) -> list[PresetKey]:
        return [PresetKey(preset) for preset in self.view.catalogue.profiles[self.key].presets]

    @strawberry.field(description="Its purposes, the tracking purpose included.")
    def purposes(self) -> list["Purpose"]:
        return [self.view.purpose(key) for key in self.view.catalogue.profiles[self.key].purposes]

    @strawberry.field(description="Its one purpose of type TRACKING: its own, or another profile's.")
    def tracking_purpose(self) -> "Purpose":
        return self.view.purpose(self.view.catalogue.profiles[self.key].tracking_purpose)


@strawberry.type(
    description="Why one communicates. Shared by any number of profiles, with one enforcement in all of them."
)
class Purpose(Node):
    view: strawberry.Private["CatalogueView"]
    key: str
    name: str
    description: str | None
    type: PurposeType
    active: bool = strawberry.field(description="Inactive ones are refused in new messages; records keep them.")
    legal_basis: str | None
    version: int = strawberry.field(description="The version to give as expectedVersion when changing it.")

    @strawberry.field(description="How consent is enforced, channel by channel; its topics inherit it.")
    def enforcement(self) -> list[ChannelEnforcement]:
        enforcement = self.view.catalogue.purposes[self.key].enforcement
        return [ChannelEnforcement(channel=channel, model=enforcement[channel]) for channel in Channel]

    @strawberry.field(
        description="When opt-ins that rest on a legal basis, and say no validUntil, run out by themselves."
    )
    def opt_in_expiry(self) -> list[OptInExpiry]:
        months = self.view.catalogue.purposes[self.key].opt_in.expiry_months
        return [OptInExpiry(legal_basis=basis, months=months[basis]) for basis in sorted(months)]

    @strawberry.field(description="What an opt-in has to bring; an opt-out is never refused for lack of it.")
    def required_evidence(self) -> list[RequiredEvidence]:
        required = self.view.catalogue.purposes[self.key].opt_in.required
        return [one for one in RequiredEvidence if one in required]

    @strawberry.field(description="Its topics, in the order in which they were made.")
    def topics(self) -> list["Topic"]:
        return [self.view.topic(topic.key) for topic in self.view.catalogue.topics_of(self.key)]

    @strawberry.field(
        description="The unit that owns it and its records; its key is empty where it is beyond the key's own unit."
    )
    def business_unit(self) -> BusinessUnit:
        return self.view.unit(self.view.catalogue.purposes[self.key].unit)

    @strawberry.field(description="The profiles that share it.")
    def profiles(self) -> list[ComplianceProfile]:
        return [self.view.profile(profile.key) for profile in self.view.catalogue.profiles_of(self.key)]


@strawberry.type(description="A finer choice inside exactly one purpose, whose enforcement it inherits.")
class Topic(Node):
    view: strawberry.Private["CatalogueView"]
    key: str
    name: str
    description: str | None
    active: bool = strawberry.field(description="Inactive ones are refused in new messages; records keep them.")
    version: int = strawberry.field(description="The version to give as expectedVersion when changing it.")

    @strawberry.field
    def purpose(self) -> Purpose:
        return self.view.purpose(self.view.catalogue.topics[self.key].purpose)


class CatalogueView:
    """A catalogue as GraphQL shows it; each of its items is made once, however many answers name it."""

    __slots__ = ("_profiles", "_purposes", "_topics", "_units", "catalogue", "public_url", "tenant")

    def __init__(self, tenant: Tenant, catalogue: Catalogue) -> None:
        self.tenant = tenant.id
        self.public_url = tenant.ledger.public_url
        self.catalogue = catalogue
        self._profiles: dict[str, ComplianceProfile] = {}
        self._purposes: dict[str, Purpose] = {}
        self._topics: dict[str, Topic] = {}
        self._units: dict[str, BusinessUnit] = {}

    def unit(self, key: str) -> BusinessUnit:
        """The business unit with this key."""
        shown = self._units.get(key)
        if shown is None:
            # A purpose that is shared with a profile of the caller's unit may be owned by one beyond it.
            held = self.catalogue.units.get(key)
            told = "" if held is None else key
            shown = self._units[key] = BusinessUnit(
                id=key_node_id(self.tenant, NodeKind.BUSINESS_UNIT, told),
                view=self,
                key=told,
                name=_BEYOND if held is None else held.name,
            )
        return shown

    def unit_if_seen(self, key: str | None) -> BusinessUnit | None:
        """The same, or None where the catalogue as the caller sees it has none of this key."""
        return None if key is None or key not in self.catalogue.units else self.unit(key)

    def profile(self, key: str) -> ComplianceProfile:
        """The profile with this key."""
        shown = self._profiles.get(key)
        if shown is None:
            held = self.catalogue.profiles[key]
            shown = self._profiles[key] = ComplianceProfile(
                id=key_node_id(self.tenant, NodeKind.COMPLIANCE_PROFILE, key),
                view=self,
                key=key,
                name=held.name,
                active=held.active,
                company_address=held.company_address,
                external_link=held.external_link,
                double_opt_in=held.double_opt_in,
                version=held.version,
            )
        return shown

    def purpose(self, key: str) -> Purpose:
        """The purpose with this key."""
        shown = self._purposes.get(key)
        if shown is None:
            held = self.catalogue.purposes[key]
            shown = self._purposes[key] = Purpose(
                id=key_node_id(self.tenant, NodeKind.PURPOSE, key),
                view=self,
                key=key,
                name=held.name,
                description=held.description,
                type=held.type,
                active=held.active,
                legal_basis=held.legal_basis,
                version=held.version,
            )
        return shown

    def topic(self, key: str) -> Topic:
        """The topic with this key."""
        shown = self._topics.get(key)
        if shown is None:
            held = self.catalogue.topics[key]
            shown = self._topics[key] = Topic(
                id=key_node_id(self.tenant, NodeKind.TOPIC, key),
                view=self,
                key=key,
                name=held.name,
                description=held.description,
                active=held.active,
                version=held.version,
            )
        return shown
