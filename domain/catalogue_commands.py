"""Changes of the catalogue: each command is handed the present catalogue and gives the events, or refuses.

Fields have the names of the contract's inputs. In an update a field that was not given is UNCHANGED, and None clears.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from domain.addresses import Channel
from domain.catalogue import (
    DEFAULT_ENFORCEMENT,
    DEFAULT_PROFILE,
    Catalogue,
    DoubleOptInMode,
    EnforcementModel,
    PurposeType,
)
from domain.controller import controller_changes
from domain.events import CatalogueDraft, EventType
from domain.external_links import external_link as external_link_of
from domain.opt_in_rules import NO_RULES, OptInRules, RequiredEvidence, checked_expiries
from domain.preference_center import PreferenceCenterPatch
from domain.presets import opt_in_rules_draft, raised, raised_enforcement, raised_rules, settings_of
from domain.refusals import Refusal, RefusalCode
from domain.text import clean_catalogue_key, clean_text
from domain.upcasting import ROOT_UNIT


class Unchanged:
    """The type of UNCHANGED."""

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = Unchanged()

NAME_CHARS_MAX = 200
DESCRIPTION_CHARS_MAX = 2_000
LEGAL_BASIS_CHARS_MAX = 200
COMPANY_ADDRESS_CHARS_MAX = 500

EnforcementPatch = Sequence[tuple[Channel, EnforcementModel]]

_DEFAULT_PURPOSES: Mapping[PurposeType, tuple[str, str]] = {
    PurposeType.COMMERCIAL: ("commercial", "Commercial"),
    PurposeType.TRANSACTIONAL: ("transactional", "Transactional"),
    PurposeType.TRACKING: ("tracking", "Tracking"),
}


def create_tenant(name: str) -> list[CatalogueDraft]:
    """A tenant's first events: its settings, its root unit and the default profile (rule 3 of The decision)."""
    return [
        CatalogueDraft(EventType.TENANT_CREATED, {"name": name, "unitScoping": True}),
        CatalogueDraft(EventType.BUSINESS_UNIT_CREATED, {"key": ROOT_UNIT, "name": name}),
        *_profile_with_default_purposes(
            {"key": DEFAULT_PROFILE, "name": "Default", "unit": ROOT_UNIT, "doubleOptIn": str(DoubleOptInMode.OFF)},
            prefix="",
        ),
    ]


def update_tenant(
    catalogue: Catalogue, *, name: str | None | Unchanged = UNCHANGED, unit_scoping: bool | None | Unchanged = UNCHANGED
) -> list[CatalogueDraft]:
    """Rename a tenant, or change whether consent of other units counts. Raises Refusal INVALID."""
    changes = {
        **_renamed(name, catalogue.tenant_name),
        **_switched("unitScoping", unit_scoping, now=catalogue.unit_scoping),
    }
    return [CatalogueDraft(EventType.TENANT_UPDATED, changes)] if changes else []


def create_business_unit(
    catalogue: Catalogue, *, key: str, name: str, parent: str | None = None
) -> list[CatalogueDraft]:
    """A unit below another, by default below the root. A parent is there before its child, and stays: no cycle can be.

    Raises Refusal ALREADY_EXISTS, NOT_FOUND, INVALID.
    """
    _new(catalogue.units, clean_catalogue_key(key, field="key"), "business unit")
    above = ROOT_UNIT if parent is None else catalogue.unit(parent, field="parent").key
    return [CatalogueDraft(EventType.BUSINESS_UNIT_CREATED, {"key": key, "name": _name(name), "parent": above})]


def create_profile(
    catalogue: Catalogue,
    *,
    key: str,
    name: str,
    business_unit: str | None = None,
    company_address: str | None = None,
    external_link: str | None = None,
    double_opt_in: DoubleOptInMode = DoubleOptInMode.OFF,
    share_purposes_of: str | None = None,
) -> list[CatalogueDraft]:
    """A profile with default purposes of its own, or with another profile's, its tracking purpose included.

    Raises Refusal ALREADY_EXISTS, NOT_FOUND, INVALID.
    """
    _new(catalogue.profiles, clean_catalogue_key(key, field="key"), "compliance profile")
    data: dict[str, Any] = {
        "key": key,
        "name": _name(name),
        "unit": _unit(catalogue, business_unit),
        "doubleOptIn": str(double_opt_in),
        **_text("companyAddress", company_address, COMPANY_ADDRESS_CHARS_MAX, multiline=True),
        **_link(external_link),
    }
    if share_purposes_of is not None:
        shared = catalogue.profile(share_purposes_of, field="sharePurposesOf")
        data |= {"purposes": list(shared.purposes), "trackingPurpose": shared.tracking_purpose}
        return [CatalogueDraft(EventType.COMPLIANCE_PROFILE_CREATED, data)]
    for purpose_key, _ in _DEFAULT_PURPOSES.values():
        _new(catalogue.purposes, clean_catalogue_key(f"{key}-{purpose_key}", field="key"), "purpose")
    return _profile_with_default_purposes(data, prefix=f"{key}-")


def _profile_with_default_purposes(data: dict[str, Any], *, prefix: str) -> list[CatalogueDraft]:
    keys = {purpose_type: prefix + key for purpose_type, (key, _) in _DEFAULT_PURPOSES.items()}
    return [
        *(
            CatalogueDraft(
                EventType.PURPOSE_CREATED,
                {
                    "key": keys[purpose_type],
                    "name": name,
                    "type": str(purpose_type),
                    "enforcement": _spelled(DEFAULT_ENFORCEMENT[purpose_type]),
                    "unit": data["unit"],
                    "profiles": [data["key"]],
                },
            )
            for purpose_type, (_, name) in _DEFAULT_PURPOSES.items()
        ),
        CatalogueDraft(
            EventType.COMPLIANCE_PROFILE_CREATED,
            {**data, "purposes": list(keys.values()), "trackingPurpose": keys[PurposeType.TRACKING]},
        ),
    ]


def update_profile(
    catalogue: Catalogue,
    *,
    ref: str,
    expected_version: int | None = None,
    name: str | None | Unchanged = UNCHANGED,
    company_address: str | None | Unchanged = UNCHANGED,
    external_link: str | None | Unchanged = UNCHANGED,
    double_opt_in: DoubleOptInMode | None | Unchanged = UNCHANGED,
    active: bool | None | Unchanged = UNCHANGED,
    preference_center: PreferenceCenterPatch | None = None,
    controller: Mapping[str, object] | None | Unchanged = UNCHANGED,
) -> list[CatalogueDraft]:
    """Change a profile; of the `controller` what is named, by wire names, and None clears all of it.

    Raises Refusal NOT_FOUND, VERSION_CONFLICT, INVALID.
    """
    held = catalogue.profile(ref, field="ref")
    _expect(expected_version, held.version)
    changes = {
        **_renamed(name, held.name),
        **_retold("companyAddress", company_address, held.company_address, COMPANY_ADDRESS_CHARS_MAX, multiline=True),
        **_switched("active", active, now=held.active),
    }
    if not isinstance(external_link, Unchanged):
        link = _link(external_link).get("externalLink", "")
        changes |= {"externalLink": link} if link != (held.external_link or "") else {}
    if isinstance(double_opt_in, DoubleOptInMode) and double_opt_in is not held.double_opt_in:
        changes["doubleOptIn"] = str(double_opt_in)
    if preference_center is not None:
        try:
            page = preference_center.to_data(held.preference_center)
        except Refusal as refusal:
            raise refusal.under("preferenceCenter") from refusal
        changes |= {"preferenceCenter": page} if page else {}
    if not isinstance(controller, Unchanged):
        given = dict.fromkeys(held.controller.to_data()) if controller is None else controller
        try:
            responsible = controller_changes(held.controller, given)
        except Refusal as refusal:
            raise refusal.under("controller") from refusal
        changes |= {"controller": responsible} if responsible else {}
    return [CatalogueDraft(EventType.COMPLIANCE_PROFILE_UPDATED, {"key": held.key, **changes})] if changes else []


def create_purpose(
    catalogue: Catalogue,
    *,
    key: str,
    name: str,
    type: PurposeType,
    profiles: Sequence[str],
    description: str | None = None,
    legal_basis: str | None = None,
    enforcement: EnforcementPatch | None = None,
    business_unit: str | None = None,
    guid: str | None = None,
) -> list[CatalogueDraft]:
    """A further COMMERCIAL or TRANSACTIONAL purpose, in at least one profile; at least what their presets set.

    Raises Refusal ALREADY_EXISTS, NOT_FOUND, INVALID: a profile's one TRACKING purpose is made with it.
    """
    _new(catalogue.purposes, clean_catalogue_key(key, field="key"), "purpose")
    if type is PurposeType.TRACKING:
        raise Refusal(
            RefusalCode.INVALID, "a profile has exactly one TRACKING purpose, which is made with it", ("type",)
        )
    if not profiles:
        raise Refusal(RefusalCode.INVALID, "a purpose belongs to at least one profile", ("profiles",))
    owners = dict.fromkeys(_owner(catalogue, ref, number) for number, ref in enumerate(profiles))
    preset = settings_of(catalogue.profiles[owner] for owner in owners)
    enforced = {**DEFAULT_ENFORCEMENT[type], **_patch(enforcement)}
    rules = raised_rules(type, NO_RULES, preset)
    data = {
        "key": key,
        "name": _name(name),
        "type": str(type),
        "enforcement": _spelled({**enforced, **raised_enforcement(type, enforced, preset)}),
        "unit": _unit(catalogue, business_unit),
        "profiles": list(owners),
        **_text("description", description, DESCRIPTION_CHARS_MAX, multiline=True),
        **_text("legalBasis", legal_basis, LEGAL_BASIS_CHARS_MAX),
        **({} if guid is None else {"guid": guid}),
    }
    return [
        CatalogueDraft(EventType.PURPOSE_CREATED, data),
        *([] if rules == NO_RULES else [opt_in_rules_draft(key, rules)]),
    ]


def update_purpose(
    catalogue: Catalogue,
    *,
    ref: str,
    expected_version: int | None = None,
    name: str | None | Unchanged = UNCHANGED,
    description: str | None | Unchanged = UNCHANGED,
    legal_basis: str | None | Unchanged = UNCHANGED,
    enforcement: EnforcementPatch | None | Unchanged = UNCHANGED,
    active: bool | None | Unchanged = UNCHANGED,
    opt_in_expiry: Sequence[tuple[str, int]] | None | Unchanged = UNCHANGED,
    required_evidence: Sequence[RequiredEvidence] | None | Unchanged = UNCHANGED,
) -> list[CatalogueDraft]:
    """Change a purpose, in every profile that shares it; a channel that `enforcement` does not name stays.

    Expiries by legal basis, and what an opt-in has to bring, are each replaced as a whole. Raises Refusal NOT_FOUND,
    VERSION_CONFLICT, INVALID.
    """
    held = catalogue.purpose(ref, field="ref")
    _expect(expected_version, held.version)
    changes = {
        **_renamed(name, held.name),
        **_retold("description", description, held.description, DESCRIPTION_CHARS_MAX, multiline=True),
        **_retold("legalBasis", legal_basis, held.legal_basis, LEGAL_BASIS_CHARS_MAX),
        **_switched("active", active, now=held.active),
    }
    patch = {} if enforcement is None or isinstance(enforcement, Unchanged) else _patch(enforcement)
    changed = {channel: model for channel, model in patch.items() if held.enforcement[channel] is not model}
    if changed:
        changes["enforcement"] = _spelled(changed)
    rules = OptInRules(
        held.opt_in.expiry_months if isinstance(opt_in_expiry, Unchanged) else checked_expiries(opt_in_expiry or ()),
        held.opt_in.required if isinstance(required_evidence, Unchanged) else frozenset(required_evidence or ()),
    )
    return [
        *([CatalogueDraft(EventType.PURPOSE_UPDATED, {"key": held.key, **changes})] if changes else []),
        *([opt_in_rules_draft(held.key, rules)] if rules != held.opt_in else []),
    ]


def add_purpose_to_profile(catalogue: Catalogue, *, profile: str, purpose: str) -> list[CatalogueDraft]:
    """Share a purpose with a further profile, whose presets raise it. Raises Refusal NOT_FOUND, INVALID for a second TRACKING."""
    held_profile, held_purpose = catalogue.profile(profile), catalogue.purpose(purpose)
    if held_purpose.key in held_profile.purposes:
        return []
    if held_purpose.type is PurposeType.TRACKING:
        raise Refusal(
            RefusalCode.INVALID, f"profile {held_profile.key} has its one TRACKING purpose already", ("purpose",)
        )
    added = CatalogueDraft(
        EventType.PURPOSE_ADDED_TO_PROFILE, {"profile": held_profile.key, "purpose": held_purpose.key}
    )
    return [added, *raised(held_purpose, settings_of((held_profile,)))]


def create_topic(
    catalogue: Catalogue,
    *,
    key: str,
    name: str,
    purpose: str,
    description: str | None = None,
    guid: str | None = None,
) -> list[CatalogueDraft]:
    """A topic inside a COMMERCIAL or TRANSACTIONAL purpose. Raises Refusal ALREADY_EXISTS, NOT_FOUND, INVALID."""
    _new(catalogue.topics, clean_catalogue_key(key, field="key"), "topic")
    owner = catalogue.purpose(purpose)
    if owner.type is PurposeType.TRACKING:
        raise Refusal(RefusalCode.INVALID, "a TRACKING purpose has no topics", ("purpose",))
    data = {
        "key": key,
        "name": _name(name),
        "purpose": owner.key,
        **_text("description", description, DESCRIPTION_CHARS_MAX, multiline=True),
        **({} if guid is None else {"guid": guid}),
    }
    return [CatalogueDraft(EventType.TOPIC_CREATED, data)]


def update_topic(
    catalogue: Catalogue,
    *,
    ref: str,
    expected_version: int | None = None,
    name: str | None | Unchanged = UNCHANGED,
    description: str | None | Unchanged = UNCHANGED,
    active: bool | None | Unchanged = UNCHANGED,
) -> list[CatalogueDraft]:
    """Change a topic. Raises Refusal NOT_FOUND, VERSION_CONFLICT, INVALID."""
    held = catalogue.topic(ref, field="ref")
    _expect(expected_version, held.version)
    changes = {
        **_renamed(name, held.name),
        **_retold("description", description, held.description, DESCRIPTION_CHARS_MAX, multiline=True),
        **_switched("active", active, now=held.active),
    }
    if not changes:
        return []
    return [CatalogueDraft(EventType.TOPIC_UPDATED, {"key": held.key, "purpose": held.purpose, **changes})]


def _new(held: Mapping[str, object], key: str, what: str) -> None:
    if key in held:
        raise Refusal(RefusalCode.ALREADY_EXISTS, f"there is a {what} {key} already", ("key",))


def _expect(expected: int | None, version: int) -> None:
    if expected is not None and expected != version:
        raise Refusal(
            RefusalCode.VERSION_CONFLICT,
            f"it was changed meanwhile: its version is {version}, not {expected}; read it again",
            ("expectedVersion",),
        )


def _unit(catalogue: Catalogue, ref: str | None) -> str:
    return ROOT_UNIT if ref is None else catalogue.unit(ref).key


def _owner(catalogue: Catalogue, ref: str, number: int) -> str:
    try:
        return catalogue.profile(ref, field=str(number)).key
    except Refusal as refusal:
        raise refusal.under("profiles") from refusal


def _name(name: str | None) -> str:
    return clean_text(name, field="name", chars_max=NAME_CHARS_MAX, required=True) or ""


def _text(member: str, value: str | None, chars_max: int, *, multiline: bool = False) -> dict[str, str]:
    text = clean_text(value, field=member, chars_max=chars_max, multiline=multiline)
    return {} if text is None else {member: text}


def _link(value: str | None) -> dict[str, str]:
    link = external_link_of(value)
    return {} if link is None else {"externalLink": link}


def _renamed(name: str | None | Unchanged, held: str) -> dict[str, Any]:
    if isinstance(name, Unchanged):
        return {}
    cleaned = _name(name)
    return {"name": cleaned} if cleaned != held else {}


def _retold(
    member: str, value: str | None | Unchanged, held: str | None, chars_max: int, *, multiline: bool = False
) -> dict[str, Any]:
    if isinstance(value, Unchanged):
        return {}
    text = clean_text(value, field=member, chars_max=chars_max, multiline=multiline)
    return {member: text or ""} if text != held else {}


def _switched(member: str, value: object, *, now: bool) -> dict[str, Any]:
    return {member: value} if isinstance(value, bool) and value != now else {}


def _patch(pairs: Iterable[tuple[Channel, EnforcementModel]] | None) -> dict[Channel, EnforcementModel]:
    patch: dict[Channel, EnforcementModel] = {}
    for channel, model in pairs or ():
        if channel in patch:
            raise Refusal(RefusalCode.INVALID, f"enforcement names {channel} twice", ("enforcement",))
        patch[channel] = model
    return patch


def _spelled(enforcement: Mapping[Channel, EnforcementModel]) -> dict[str, str]:
    return {str(channel): str(model) for channel, model in enforcement.items()}
