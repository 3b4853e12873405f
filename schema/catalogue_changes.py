"""Changing the catalogue and the tenant's settings. Nothing is ever deleted; each change is an event."""

from collections.abc import Sequence
from typing import TypeVar

import strawberry

from domain.catalogue import ComplianceProfile as HeldProfile
from domain.catalogue import Purpose as HeldPurpose
from domain.catalogue import Topic as HeldTopic
from domain.catalogue_commands import Unchanged
from domain.controller import MEMBERS
from domain.preference_center import PreferenceCenterPatch
from domain.refusals import Refusal
from ledger import catalogue
from ledger.catalogue import Changed
from schema.catalogue import BusinessUnit, CatalogueView, ComplianceProfile, Purpose, Topic
from schema.context import Info, RequestContext
from schema.enums import Channel, ConsentType, DoubleOptInMode, EnforcementModel, PurposeType, RequiredEvidence
from schema.inputs import LEFT_OUT, change, given
from schema.node_ids import NodeKind, ref
from schema.refusals import UserError, user_error
from schema.viewer import Tenant, shown_tenant

T = TypeVar("T")

IDEMPOTENCY_KEY = "The same key and the same input give the first answer again."
OWNING_UNIT = "The business unit that owns it, for good; by default the root, or the one that the key is bound to."
EXPECTED_VERSION = "The version that was read; where it is another by now, nothing changes."


@strawberry.input(description="What a purpose enforces on one channel; a channel that is not named stays as it is.")
class ChannelEnforcementInput:
    channel: Channel
    model: EnforcementModel


@strawberry.input(description="A profile with default purposes of its own, or with another profile's.")
class CreateComplianceProfileInput:
    key: str = strawberry.field(description="Permanent: 1 to 64 lower-case letters, digits, - and _.")
    name: str
    business_unit: str | None = strawberry.field(default=LEFT_OUT, description=OWNING_UNIT)
    company_address: str | None = LEFT_OUT
    external_link: str | None = LEFT_OUT
    double_opt_in: DoubleOptInMode = DoubleOptInMode.OFF
    share_purposes_of: str | None = strawberry.field(
        default=LEFT_OUT,
        description=("Use previously captured consent: share this profile's purposes, its tracking purpose included."),
    )
    idempotency_key: str | None = strawberry.field(default=LEFT_OUT, description=IDEMPOTENCY_KEY)


@strawberry.input(description="Changes of a profile's hosted page: what is left out stays, null clears.")
class PreferenceCenterInput:
    title: str | None = LEFT_OUT
    locale: str | None = strawberry.field(default=LEFT_OUT, description="One of en, de, fr, es, ar.")
    brand_color: str | None = strawberry.field(default=LEFT_OUT, description="Such as #0a5fb4.")
    logo_url: str | None = strawberry.field(
        default=LEFT_OUT, description="An image as a data: URL (png, jpeg, gif or webp in base64)."
    )
    show_tracking: bool | None = LEFT_OUT


@strawberry.input(
    description="Changes of who is responsible and what becomes of the data: what is left out stays, null clears, an empty list "
    "says that there are none. It stays in the log for ever: name a post or department, not a person."
)
class ControllerInput:
    name: str | None = LEFT_OUT
    contact: str | None = LEFT_OUT
    email: str | None = LEFT_OUT
    phone: str | None = LEFT_OUT
    policy_url: str | None = LEFT_OUT
    jurisdiction: str | None = LEFT_OUT
    consent_type: ConsentType | None = LEFT_OUT
    termination: str | None = LEFT_OUT
    retention: str | None = LEFT_OUT
    storage_locations: list[str] | None = LEFT_OUT
    recipients: list[str] | None = LEFT_OUT
    pii_categories: list[str] | None = LEFT_OUT
    sensitive: bool | None = LEFT_OUT
    sensitive_categories: list[str] | None = LEFT_OUT
    rights: list[str] | None = LEFT_OUT
    authority: str | None = LEFT_OUT
    data_protection_officer: str | None = LEFT_OUT


@strawberry.input(description="Changes of a profile: what is left out stays, null clears.")
class UpdateComplianceProfileInput:
    ref: str
    expected_version: int | None = strawberry.field(default=LEFT_OUT, description=EXPECTED_VERSION)
    name: str | None = LEFT_OUT
    company_address: str | None = LEFT_OUT
    external_link: str | None = LEFT_OUT
    double_opt_in: DoubleOptInMode | None = LEFT_OUT
    active: bool | None = LEFT_OUT
    preference_center: PreferenceCenterInput | None = LEFT_OUT
    controller: ControllerInput | None = strawberry.field(default=LEFT_OUT, description="Null clears all of it.")
    idempotency_key: str | None = strawberry.field(default=LEFT_OUT, description=IDEMPOTENCY_KEY)


@strawberry.input(description="A further COMMERCIAL or TRANSACTIONAL purpose, in at least one profile.")
class CreatePurposeInput:
    key: str = strawberry.field(description="Permanent: 1 to 64 lower-case letters, digits, - and _.")
    name: str
    description: str | None = LEFT_OUT
    type: PurposeType
    profiles: list[str]
    legal_basis: str | None = LEFT_OUT
    enforcement: list[ChannelEnforcementInput] | None = strawberry.field(
        default=LEFT_OUT, description="Where it differs from the default of its type."
    )
    business_unit: str | None = strawberry.field(default=LEFT_OUT, description=OWNING_UNIT)
    idempotency_key: str | None = strawberry.field(default=LEFT_OUT, description=IDEMPOTENCY_KEY)


@strawberry.input(description="When an opt-in that rests on a legal basis runs out by itself.")
class OptInExpiryInput:
    legal_basis: str = strawberry.field(description="However it is spelled: case, blanks, - and _ make no difference.")
    months: int = strawberry.field(description="After its effectiveAt.")


@strawberry.input(
    description="Changes of a purpose, in every profile that shares it: what is left out stays, null clears."
)
class UpdatePurposeInput:
    ref: str
    expected_version: int | None = strawberry.field(default=LEFT_OUT, description=EXPECTED_VERSION)
    name: str | None = LEFT_OUT
    description: str | None = LEFT_OUT
    legal_basis: str | None = LEFT_OUT
    enforcement: list[ChannelEnforcementInput] | None = strawberry.field(
        default=LEFT_OUT, description="A channel that is not named stays as it is."
    )
    active: bool | None = LEFT_OUT
    opt_in_expiry: list[OptInExpiryInput] | None = strawberry.field(
        default=LEFT_OUT, description="All of them: what is not named goes. Opt-ins recorded before keep their end."
    )
    required_evidence: list[RequiredEvidence] | None = strawberry.field(
        default=LEFT_OUT, description="All that an opt-in has to bring from now on."
    )
    idempotency_key: str | None = strawberry.field(default=LEFT_OUT, description=IDEMPOTENCY_KEY)


@strawberry.input(description="A topic inside a COMMERCIAL or TRANSACTIONAL purpose.")
class CreateTopicInput:
    key: str = strawberry.field(description="Permanent: 1 to 64 lower-case letters, digits, - and _.")
    name: str
    description: str | None = LEFT_OUT
    purpose: str
    idempotency_key: str | None = strawberry.field(default=LEFT_OUT, description=IDEMPOTENCY_KEY)


@strawberry.input(description="Changes of a topic: what is left out stays, null clears.")
class UpdateTopicInput:
    ref: str
    expected_version: int | None = strawberry.field(default=LEFT_OUT, description=EXPECTED_VERSION)
    name: str | None = LEFT_OUT
    description: str | None = LEFT_OUT
    active: bool | None = LEFT_OUT
    idempotency_key: str | None = strawberry.field(default=LEFT_OUT, description=IDEMPOTENCY_KEY)


@strawberry.type(description="The profile after the change, or why there was none.")
class ComplianceProfilePayload:
    compliance_profile: ComplianceProfile | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type(description="The purpose after the change, or why there was none.")
class PurposePayload:
    purpose: Purpose | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type(description="The topic after the change, or why there was none.")
class TopicPayload:
    topic: Topic | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type(description="The business unit after the change, or why there was none.")
class BusinessUnitPayload:
    business_unit: BusinessUnit | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type(description="The tenant after the change, or why there was none.")
class TenantPayload:
    tenant: Tenant | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class CatalogueMutation:
    @strawberry.mutation(description="Make a profile.")
    async def create_compliance_profile(
        self, info: Info, input: CreateComplianceProfileInput
    ) -> ComplianceProfilePayload:
        context = admin_within_unit(info)
        shared = given(input.share_purposes_of)
        try:
            changed = await catalogue.create_profile(
                context.tenant,
                context.caller,
                key=input.key,
                name=input.name,
                business_unit=_unit_ref(context, input.business_unit),
                company_address=given(input.company_address),
                external_link=given(input.external_link),
                double_opt_in=input.double_opt_in,
                share_purposes_of=None
                if shared is None
                else ref(context.tenant.id, NodeKind.COMPLIANCE_PROFILE, shared),
                idempotency_key=given(input.idempotency_key),
            )
        except Refusal as refusal:
            return ComplianceProfilePayload(errors=[user_error(refusal)])
        return profile_payload(context, changed)

    @strawberry.mutation(description="Change a profile, deactivate it or activate it again.")
    async def update_compliance_profile(
        self, info: Info, input: UpdateComplianceProfileInput
    ) -> ComplianceProfilePayload:
        context = admin_within_unit(info)
        try:
            changed = await catalogue.update_profile(
                context.tenant,
                context.caller,
                ref=ref(context.tenant.id, NodeKind.COMPLIANCE_PROFILE, input.ref),
                expected_version=given(input.expected_version),
                name=change(input.name),
                company_address=change(input.company_address),
                external_link=change(input.external_link),
                double_opt_in=change(input.double_opt_in),
                active=change(input.active),
                preference_center=page_patch(given(input.preference_center)),
                controller=_controller(change(input.controller)),
                idempotency_key=given(input.idempotency_key),
            )
        except Refusal as refusal:
            return ComplianceProfilePayload(errors=[user_error(refusal)])
        return profile_payload(context, changed)

    @strawberry.mutation(description="Make a purpose.")
    async def create_purpose(self, info: Info, input: CreatePurposeInput) -> PurposePayload:
        context = admin_within_unit(info)
        try:
            changed = await catalogue.create_purpose(
                context.tenant,
                context.caller,
                key=input.key,
                name=input.name,
                description=given(input.description),
                type=input.type,
                profiles=[ref(context.tenant.id, NodeKind.COMPLIANCE_PROFILE, profile) for profile in input.profiles],
                legal_basis=given(input.legal_basis),
                enforcement=_pairs(given(input.enforcement)),
                business_unit=_unit_ref(context, input.business_unit),
                idempotency_key=given(input.idempotency_key),
            )
        except Refusal as refusal:
            return PurposePayload(errors=[user_error(refusal)])
        return _purpose(context, changed)

    @strawberry.mutation(description="Change a purpose, deactivate it or activate it again.")
    async def update_purpose(self, info: Info, input: UpdatePurposeInput) -> PurposePayload:
        context = admin_within_unit(info)
        enforcement = change(input.enforcement)
        try:
            changed = await catalogue.update_purpose(
                context.tenant,
                context.caller,
                ref=ref(context.tenant.id, NodeKind.PURPOSE, input.ref),
                expected_version=given(input.expected_version),
                name=change(input.name),
                description=change(input.description),
                legal_basis=change(input.legal_basis),
                enforcement=enforcement if isinstance(enforcement, Unchanged) else _pairs(enforcement),
                active=change(input.active),
                opt_in_expiry=_expiries(change(input.opt_in_expiry)),
                required_evidence=change(input.required_evidence),
                idempotency_key=given(input.idempotency_key),
            )
        except Refusal as refusal:
            return PurposePayload(errors=[user_error(refusal)])
        return _purpose(context, changed)

    @strawberry.mutation(description="Share a purpose with a further profile.")
    async def add_purpose_to_profile(
        self, info: Info, profile: str, purpose: str, idempotency_key: str | None = LEFT_OUT
    ) -> ComplianceProfilePayload:
        context = admin_within_unit(info)
        try:
            changed = await catalogue.add_purpose_to_profile(
                context.tenant,
                context.caller,
                profile=ref(context.tenant.id, NodeKind.COMPLIANCE_PROFILE, profile),
                purpose=ref(context.tenant.id, NodeKind.PURPOSE, purpose),
                idempotency_key=given(idempotency_key),
            )
        except Refusal as refusal:
            return ComplianceProfilePayload(errors=[user_error(refusal)])
        return profile_payload(context, changed)

    @strawberry.mutation(description="Make a topic.")
    async def create_topic(self, info: Info, input: CreateTopicInput) -> TopicPayload:
        context = admin_within_unit(info)
        try:
            changed = await catalogue.create_topic(
                context.tenant,
                context.caller,
                key=input.key,
                name=input.name,
                description=given(input.description),
                purpose=ref(context.tenant.id, NodeKind.PURPOSE, input.purpose),
                idempotency_key=given(input.idempotency_key),
            )
        except Refusal as refusal:
            return TopicPayload(errors=[user_error(refusal)])
        return _topic(context, changed)

    @strawberry.mutation(description="Change a topic, deactivate it or activate it again.")
    async def update_topic(self, info: Info, input: UpdateTopicInput) -> TopicPayload:
        context = admin_within_unit(info)
        try:
            changed = await catalogue.update_topic(
                context.tenant,
                context.caller,
                ref=ref(context.tenant.id, NodeKind.TOPIC, input.ref),
                expected_version=given(input.expected_version),
                name=change(input.name),
                description=change(input.description),
                active=change(input.active),
                idempotency_key=given(input.idempotency_key),
            )
        except Refusal as refusal:
            return TopicPayload(errors=[user_error(refusal)])
        return _topic(context, changed)

    @strawberry.mutation(
        description="Make a business unit, below another for good; by default below the root, or the key's own unit."
    )
    async def create_business_unit(
        self,
        info: Info,
        key: str,
        name: str,
        parent: str | None = LEFT_OUT,
        idempotency_key: str | None = LEFT_OUT,
    ) -> BusinessUnitPayload:
        context = admin_within_unit(info)
        try:
            changed = await catalogue.create_business_unit(
                context.tenant,
                context.caller,
                key=key,
                name=name,
                parent=_unit_ref(context, parent),
                idempotency_key=given(idempotency_key),
            )
        except Refusal as refusal:
            return BusinessUnitPayload(errors=[user_error(refusal)])
        return BusinessUnitPayload(
            business_unit=CatalogueView(context.tenant, changed.catalogue).unit(changed.item.key)
        )

    @strawberry.mutation(description="Rename the tenant, or change whether consent of other business units counts.")
    async def update_tenant(
        self,
        info: Info,
        *,
        name: str | None = LEFT_OUT,
        unit_scoping: bool | None = LEFT_OUT,
        idempotency_key: str | None = LEFT_OUT,
    ) -> TenantPayload:
        context = _admin_of_tenant(info)
        try:
            after = await catalogue.update_tenant(
                context.tenant,
                context.caller,
                name=change(name),
                unit_scoping=change(unit_scoping),
                idempotency_key=given(idempotency_key),
            )
        except Refusal as refusal:
            return TenantPayload(errors=[user_error(refusal)])
        return TenantPayload(tenant=shown_tenant(context, after))


def _admin_of_tenant(info: Info) -> RequestContext:
    context = info.context
    context.require("admin")
    context.after_a_change()
    return context


def admin_within_unit(info: Info) -> RequestContext:
    """The context of a change of the catalogue, which the ledger keeps within the unit of a key that has one."""
    context = info.context
    context.require_in_unit("admin")
    context.after_a_change()
    return context


def _unit_ref(context: RequestContext, unit: str | None) -> str | None:
    named = given(unit)
    return None if named is None else ref(context.tenant.id, NodeKind.BUSINESS_UNIT, named)


def _expiries(
    expiries: list[OptInExpiryInput] | None | Unchanged,
) -> list[tuple[str, int]] | None | Unchanged:
    if expiries is None or isinstance(expiries, Unchanged):
        return expiries
    return [(expiry.legal_basis, expiry.months) for expiry in expiries]


def _pairs(
    enforcement: Sequence[ChannelEnforcementInput] | None,
) -> list[tuple[Channel, EnforcementModel]] | None:
    return None if enforcement is None else [(pair.channel, pair.model) for pair in enforcement]


def page_patch(input: PreferenceCenterInput | None) -> PreferenceCenterPatch | None:
    """What an update says of the page: what was given as null is cleared, or goes back to what it is by default."""
    if input is None:
        return None
    return PreferenceCenterPatch(
        title=_cleared(input.title, ""),
        locale=_cleared(input.locale, "en"),
        brand_color=_cleared(input.brand_color, ""),
        logo_url=_cleared(input.logo_url, ""),
        show_tracking=_cleared(input.show_tracking, False),  # noqa: FBT003 - what null stands for
    )


def _controller(input: ControllerInput | None | Unchanged) -> dict[str, object] | None | Unchanged:
    if input is None or isinstance(input, Unchanged):
        return input
    wanted = {wire: change(getattr(input, member.name)) for wire, member in MEMBERS.items()}
    return {wire: value for wire, value in wanted.items() if not isinstance(value, Unchanged)}


def _cleared(value: T | None, cleared: T) -> T | None:
    changed = change(value)
    if isinstance(changed, Unchanged):
        return None
    return cleared if changed is None else changed


def profile_payload(context: RequestContext, changed: Changed[HeldProfile]) -> ComplianceProfilePayload:
    """A profile as it was right after a change."""
    view = CatalogueView(context.tenant, changed.catalogue)
    return ComplianceProfilePayload(compliance_profile=view.profile(changed.item.key))


def _purpose(context: RequestContext, changed: Changed[HeldPurpose]) -> PurposePayload:
    return PurposePayload(purpose=CatalogueView(context.tenant, changed.catalogue).purpose(changed.item.key))


def _topic(context: RequestContext, changed: Changed[HeldTopic]) -> TopicPayload:
    return TopicPayload(topic=CatalogueView(context.tenant, changed.catalogue).topic(changed.item.key))
