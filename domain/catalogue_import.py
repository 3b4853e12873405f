"""A catalogue file: units, profiles, purposes and topics, with the GUIDs that they have elsewhere. Makes what is missing, by key.

{"businessUnits": [{"key", "name"?, "parent"?}],
 "profiles": [{"key", "name"?, "businessUnit"?, "trackingPurpose"?, "companyAddress"?, "externalLink"?, "doubleOptIn"?,
               "active"?, "preferenceCenter"?, "controller"?, "presets"?}],
 "purposes": [{"key", "guid"?, "name"?, "description"?, "type"?, "legalBasis"?, "enforcement"?, "profiles"?, "active"?,
               "businessUnit"?, "optInExpiry"?, "requiredEvidence"?}],
 "topics":   [{"key", "purpose", "guid"?, "name"?, "description"?, "active"?}],
 "overwrite": false}

What can never change (a type, a unit, a tracking purpose, a topic's purpose) is said as it is there, or left out. What else
is there by its key is left as it is, but for its GUID, unless the file says `overwrite`; `as_said` tells what that leaves
out. A purpose that is new is held to the presets that its profiles have and the file does not name for them: the file was
written without knowing of these.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar, cast

from domain.addresses import Channel
from domain.catalogue import DEFAULT_PROFILE, Catalogue, DoubleOptInMode, EnforcementModel, PurposeType, by_key
from domain.catalogue_commands import (
    UNCHANGED,
    Unchanged,
    add_purpose_to_profile,
    create_business_unit,
    create_profile,
    create_purpose,
    create_topic,
    update_profile,
    update_purpose,
    update_topic,
)
from domain.catalogue_fold import apply
from domain.events import CatalogueDraft, CatalogueEvent, EventType
from domain.opt_in_rules import RequiredEvidence
from domain.preference_center import PreferenceCenterPatch
from domain.presets import PRESETS, PresetKey, apply_preset, raised
from domain.refusals import Refusal, RefusalCode
from domain.text import GUID_FORM
from domain.time import EPOCH

_UNIT_MEMBERS = frozenset(("key", "name", "parent"))
_PURPOSE_MEMBERS = frozenset(
    (
        *("key", "guid", "name", "description", "type", "legalBasis", "enforcement", "profiles", "active"),
        *("businessUnit", "optInExpiry", "requiredEvidence"),
    )
)
_TOPIC_MEMBERS = frozenset(("key", "guid", "name", "description", "purpose", "active"))
_PROFILE_MEMBERS = frozenset(
    (
        *(
            "key",
            "name",
            "trackingPurpose",
            "companyAddress",
            "externalLink",
            "doubleOptIn",
            "active",
            "preferenceCenter",
        ),
        "businessUnit",
        "controller",
        "presets",
    )
)

Member = TypeVar("Member", bound=StrEnum)


def import_catalogue(catalogue: Catalogue, document: object) -> list[CatalogueDraft]:
    """The events that bring a catalogue in line with a file; none where it is. Raises Refusal with the path in the file."""
    return [draft for drafts in changes_by_item(catalogue, document) for draft in drafts]


def as_said(catalogue: Catalogue, document: object) -> Catalogue:
    """The catalogue as it would be if all of it became as a file says, whether or not that says `overwrite`.

    Raises Refusal with the path in the file.
    """
    changes = _changes(catalogue, _members(document), overwrite=True)
    return after_drafts(catalogue, [draft for drafts in changes for draft in drafts])


def changes_by_item(catalogue: Catalogue, document: object) -> list[list[CatalogueDraft]]:
    """For each item of a file the events that bring a catalogue in line with it; none where it is.

    Raises Refusal with the path in the file.
    """
    members = _members(document)
    overwrite = members.get("overwrite", False)
    if not isinstance(overwrite, bool):
        raise Refusal(RefusalCode.INVALID, "overwrite is true or false", ("overwrite",))
    return _changes(catalogue, members, overwrite=overwrite)


def _members(document: object) -> Mapping[str, object]:
    if not isinstance(document, dict):
        raise Refusal(RefusalCode.INVALID, "a catalogue file holds an object with business units, purposes and topics")
    members = cast(Mapping[str, object], document)
    _only(members, frozenset(("overwrite", *(name for name, _ in _SECTIONS))), ())
    return members


def _changes(catalogue: Catalogue, members: Mapping[str, object], *, overwrite: bool) -> list[list[CatalogueDraft]]:
    # What the file makes is made as the file says it; what was there is changed only if that is asked for.
    there = {
        "businessUnits": frozenset(catalogue.units),
        "profiles": frozenset(catalogue.profiles),
        "purposes": frozenset(catalogue.purposes),
        "topics": frozenset(catalogue.topics),
    }
    changes: list[list[CatalogueDraft]] = []
    presets_named: dict[str, set[PresetKey]] = {}
    for name, steps in _SECTIONS:
        for number, item in _in_order(name, members):
            path = (name, str(number))
            if not isinstance(item, dict):
                raise Refusal(RefusalCode.INVALID, f"each of {name} is an object", path)
            given = cast(Mapping[str, object], item)
            drafts: list[CatalogueDraft] = []
            try:
                for step in steps:
                    new = step(catalogue, given)
                    catalogue = after_drafts(catalogue, new)
                    drafts += new
                    if not overwrite and _optional(given, "key") in there[name]:
                        break
                if name == "purposes" and _optional(given, "key") not in there[name]:
                    new = _held_to_presets(catalogue, given, presets_named)
                    catalogue = after_drafts(catalogue, new)
                    drafts += new
            except Refusal as refusal:
                raise refusal.under(*path) from refusal
            if name == "profiles":
                presets_named[_required(given, "key")] = set(_presets(given))
            changes.append(drafts)
    return changes


def after_drafts(catalogue: Catalogue, drafts: Iterable[CatalogueDraft]) -> Catalogue:
    """A catalogue as these events will leave it."""
    for draft in drafts:
        event = CatalogueEvent(type=draft.type, data=draft.data, recorded_at=EPOCH, position=catalogue.position)
        catalogue = apply(catalogue, event)
    return catalogue


def _in_order(name: str, members: Mapping[str, object]) -> list[tuple[int, object]]:
    """The items of a list, by their place in the file; a unit after its parent, wherever the file has that."""
    items: list[tuple[int, object]] = list(enumerate(_list(members.get(name), (name,))))
    if name != "businessUnits":
        return items
    units: list[Mapping[str, object]] = [
        cast(Mapping[str, object], item) if isinstance(item, dict) else {} for _, item in items
    ]
    parents = {key: unit.get("parent") for unit in units if isinstance(key := unit.get("key"), str)}
    depths: list[tuple[int, int]] = []
    for number, unit in enumerate(units):
        above: set[str] = set()
        key = unit.get("key")
        while isinstance(key, str) and key in parents:
            if key in above:
                raise Refusal(
                    RefusalCode.INVALID, "a business unit cannot be below itself", (name, str(number), "parent")
                )
            above.add(key)
            key = parents[key]
        depths.append((len(above), number))
    return [items[number] for _, number in sorted(depths)]


def _unit(catalogue: Catalogue, item: Mapping[str, object]) -> Sequence[CatalogueDraft]:
    _only(item, _UNIT_MEMBERS, ())
    key, parent = _required(item, "key"), _optional(item, "parent")
    held = catalogue.units.get(key)
    if held is None:
        return create_business_unit(catalogue, key=key, name=_optional(item, "name") or _title(key), parent=parent)
    if parent is not None and parent != held.parent:
        raise Refusal(
            RefusalCode.INVALID, f"business unit {key} is elsewhere in the tree, and stays there", ("parent",)
        )
    return []


def _profile(catalogue: Catalogue, item: Mapping[str, object]) -> Sequence[CatalogueDraft]:
    """Make a profile that is missing: with purposes of its own, or with those of the profile whose tracking it shares."""
    _only(item, _PROFILE_MEMBERS, ())
    key, unit = _required(item, "key"), _optional(item, "businessUnit")
    tracking = _optional(item, "trackingPurpose")
    if key in catalogue.profiles:
        held = catalogue.profiles[key]
        _stays(f"profile {key}", held.unit, unit)
        if tracking and tracking != held.tracking_purpose:
            raise Refusal(
                RefusalCode.INVALID,
                f"profile {key} tracks by {held.tracking_purpose}, and goes on to",
                ("trackingPurpose",),
            )
        return []
    shared = next((one.key for one in catalogue.profiles.values() if one.tracking_purpose == tracking), None)
    if tracking is not None and shared is None and tracking != f"{key}-tracking":
        raise Refusal(
            RefusalCode.NOT_FOUND,
            "it is the profile's own KEY-tracking, or that of a profile before",
            ("trackingPurpose",),
        )
    return create_profile(
        catalogue,
        key=key,
        name=_optional(item, "name") or _title(key),
        share_purposes_of=shared,
        business_unit=unit,
    )


def _stays(what: str, held: str, said: str | None) -> None:
    """An owning unit is permanent: opt-outs would stay behind."""
    if said is not None and said != held:
        raise Refusal(RefusalCode.INVALID, f"{what} belongs to unit {held}, and stays there", ("businessUnit",))


def _same_type(key: str, held: PurposeType, said: str | None) -> None:
    """A type is permanent, and a file that says another means another purpose: its opt-outs would stop nothing here."""
    if said and _member(PurposeType, said, "type") is not held:
        raise Refusal(
            RefusalCode.INVALID,
            f"purpose {key} is {held}, and stays that: say this type, or another key for another purpose",
            ("type",),
        )


def _profile_presets(catalogue: Catalogue, item: Mapping[str, object]) -> Sequence[CatalogueDraft]:
    """Raise a profile to the presets that it lacks; what the file says of its settings comes after, lower or not."""
    key = _required(item, "key")
    drafts: list[CatalogueDraft] = []
    for given in _presets(item):
        if given not in catalogue.profiles[key].presets:
            new = apply_preset(catalogue, profile=key, preset=given)
            catalogue = after_drafts(catalogue, new)
            drafts += new
    return drafts


def _presets(item: Mapping[str, object]) -> list[PresetKey]:
    named = [
        _member(PresetKey, _as_text(one, "presets"), "presets") for one in _list(item.get("presets"), ("presets",))
    ]
    return list(dict.fromkeys(named))


def _profile_settings(catalogue: Catalogue, item: Mapping[str, object]) -> Sequence[CatalogueDraft]:
    page = item.get("preferenceCenter")
    if page is not None and not isinstance(page, dict):
        raise Refusal(RefusalCode.INVALID, "preferenceCenter must be an object", ("preferenceCenter",))
    controller = item.get("controller", UNCHANGED)
    if controller is not None and not isinstance(controller, dict | Unchanged):
        raise Refusal(RefusalCode.INVALID, "controller must be an object", ("controller",))
    mode = _optional(item, "doubleOptIn")
    return update_profile(
        catalogue,
        ref=_required(item, "key"),
        **_given(item, {"name": "name", "companyAddress": "company_address", "externalLink": "external_link"}),
        double_opt_in=UNCHANGED if mode is None else _member(DoubleOptInMode, mode, "doubleOptIn"),
        active=_flag(item, "active"),
        preference_center=None if page is None else _page(cast(Mapping[str, object], page)),
        controller=cast(Mapping[str, object] | None | Unchanged, controller),
    )


def _page(page: Mapping[str, object]) -> PreferenceCenterPatch:
    try:
        _only(page, frozenset(("title", "locale", "brandColor", "logoUrl", "showTracking")), ())
        return PreferenceCenterPatch(
            title=_optional(page, "title"),
            locale=_optional(page, "locale"),
            brand_color=_optional(page, "brandColor"),
            logo_url=_optional(page, "logoUrl"),
            show_tracking=_flag(page, "showTracking"),
        )
    except Refusal as refusal:
        raise refusal.under("preferenceCenter") from refusal


def _purpose_profiles(catalogue: Catalogue, item: Mapping[str, object]) -> Sequence[CatalogueDraft]:
    key = _required(item, "key")
    drafts: list[CatalogueDraft] = []
    for profile in _list(item.get("profiles"), ("profiles",)):
        new = add_purpose_to_profile(catalogue, profile=_as_text(profile, "profiles"), purpose=by_key(key))
        catalogue = after_drafts(catalogue, new)
        drafts += new
    return drafts


def _purpose_settings(catalogue: Catalogue, item: Mapping[str, object]) -> Sequence[CatalogueDraft]:
    return update_purpose(
        catalogue,
        ref=by_key(_required(item, "key")),
        **_given(item, {"name": "name", "description": "description", "legalBasis": "legal_basis"}),
        enforcement=_enforcement(item.get("enforcement")),
        active=_flag(item, "active"),
        opt_in_expiry=_expiries(item),
        required_evidence=_required_evidence(item),
    )


def _held_to_presets(
    catalogue: Catalogue, item: Mapping[str, object], named: Mapping[str, set[PresetKey]]
) -> Sequence[CatalogueDraft]:
    """Raise a new purpose to the presets of its profiles that the file does not name, whatever it says of the purpose."""
    key = _required(item, "key")
    settings = [
        setting
        for profile in catalogue.profiles_of(key)
        for preset in map(PresetKey, profile.presets)
        if preset not in named.get(profile.key, ())
        for setting in PRESETS[preset].settings
    ]
    return raised(catalogue.purposes[key], settings)


def _expiries(item: Mapping[str, object]) -> list[tuple[str, int]] | Unchanged:
    if "optInExpiry" not in item:
        return UNCHANGED
    found: list[tuple[str, int]] = []
    for number, given in enumerate(_list(item["optInExpiry"], ("optInExpiry",))):
        path = ("optInExpiry", str(number))
        if not isinstance(given, dict):
            raise Refusal(RefusalCode.INVALID, "each of optInExpiry is an object", path)
        one = cast(Mapping[str, object], given)
        _only(one, frozenset(("legalBasis", "months")), path)
        months = one.get("months")
        if not isinstance(months, int) or isinstance(months, bool):
            raise Refusal(RefusalCode.INVALID, "months is a whole number", (*path, "months"))
        found.append((_required(one, "legalBasis"), months))
    return found


def _required_evidence(item: Mapping[str, object]) -> list[RequiredEvidence] | Unchanged:
    if "requiredEvidence" not in item:
        return UNCHANGED
    return [
        _member(RequiredEvidence, _as_text(one, "requiredEvidence"), "requiredEvidence")
        for one in _list(item["requiredEvidence"], ("requiredEvidence",))
    ]


def _topic_settings(catalogue: Catalogue, item: Mapping[str, object]) -> Sequence[CatalogueDraft]:
    return update_topic(
        catalogue,
        ref=by_key(_required(item, "key")),
        **_given(item, {"name": "name", "description": "description"}),
        active=_flag(item, "active"),
    )


def _given(item: Mapping[str, object], names: Mapping[str, str]) -> dict[str, Any]:
    """The members that are there, by the names of a command's fields."""
    return {field: _optional(item, name) for name, field in names.items() if name in item}


def _flag(item: Mapping[str, object], name: str) -> bool | None:
    value = item.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refusal(RefusalCode.INVALID, f"{name} is true or false", (name,))
    return value


def _purpose(catalogue: Catalogue, item: Mapping[str, object]) -> Sequence[CatalogueDraft]:
    _only(item, _PURPOSE_MEMBERS, ())
    key, guid, unit = _required(item, "key"), _guid(item), _optional(item, "businessUnit")
    _unowned(catalogue.purposes, catalogue.purpose_guids, guid, key)
    held = catalogue.purposes.get(key)
    if held is None:
        return create_purpose(
            catalogue,
            key=key,
            name=_optional(item, "name") or _title(key),
            type=_member(PurposeType, _optional(item, "type") or "COMMERCIAL", "type"),
            profiles=[
                _as_text(profile, "profiles")
                for profile in _list(item.get("profiles", [DEFAULT_PROFILE]), ("profiles",))
            ],
            description=_optional(item, "description"),
            legal_basis=_optional(item, "legalBasis"),
            enforcement=_enforcement(item.get("enforcement")),
            guid=guid,
            business_unit=unit,
        )
    _stays(f"purpose {key}", held.unit, unit)
    _same_type(key, held.type, _optional(item, "type"))
    if guid is None or guid == held.guid:
        return []
    _not_other(held.guid)
    return [CatalogueDraft(EventType.PURPOSE_UPDATED, {"key": key, "guid": guid})]


def _topic(catalogue: Catalogue, item: Mapping[str, object]) -> Sequence[CatalogueDraft]:
    _only(item, _TOPIC_MEMBERS, ())
    key, guid = _required(item, "key"), _guid(item)
    _unowned(catalogue.topics, catalogue.topic_guids, guid, key)
    purpose = catalogue.purpose(_required(item, "purpose"))
    held = catalogue.topics.get(key)
    if held is None:
        return create_topic(
            catalogue,
            key=key,
            name=_optional(item, "name") or _title(key),
            purpose=purpose.key,
            description=_optional(item, "description"),
            guid=guid,
        )
    if held.purpose != purpose.key:
        raise Refusal(RefusalCode.TOPIC_OUTSIDE_PURPOSE, f"topic {key} belongs to purpose {held.purpose}", ("purpose",))
    if guid is None or guid == held.guid:
        return []
    _not_other(held.guid)
    return [CatalogueDraft(EventType.TOPIC_UPDATED, {"key": key, "purpose": held.purpose, "guid": guid})]


def _title(key: str) -> str:
    return key.replace("-", " ").replace("_", " ").capitalize()


def _only(item: Mapping[str, object], allowed: frozenset[str], path: tuple[str, ...]) -> None:
    unknown = [name for name in item if name not in allowed]
    if unknown:
        raise Refusal(
            RefusalCode.INVALID, f"unknown member; there are {', '.join(sorted(allowed))}", (*path, unknown[0][:64])
        )


def _list(value: object, path: tuple[str, ...]) -> Sequence[object]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise Refusal(RefusalCode.INVALID, f"{path[-1]} must be a list", path)
    return cast(Sequence[object], value)


def _as_text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise Refusal(RefusalCode.INVALID, f"{name} must be text", (name,))
    return value


def _optional(item: Mapping[str, object], name: str) -> str | None:
    value = item.get(name)
    return None if value is None else _as_text(value, name)


def _required(item: Mapping[str, object], name: str) -> str:
    value = _optional(item, name)
    if not value:
        raise Refusal(RefusalCode.INVALID, f"{name} is missing", (name,))
    return value


def _guid(item: Mapping[str, object]) -> str | None:
    value = _optional(item, "guid")
    if value is None:
        return None
    guid = value.strip().strip("{}").lower()
    if GUID_FORM.fullmatch(guid) is None:
        raise Refusal(RefusalCode.INVALID, "guid must look like 10000000-0000-4000-8000-000000000003", ("guid",))
    return guid


def _unowned(held: Mapping[str, object], owners: Mapping[str, str], guid: str | None, key: str) -> None:
    owner = owners.get(guid or "")
    if owner is not None and owner != key:
        raise Refusal(RefusalCode.ALREADY_EXISTS, f"this GUID belongs to {owner}", ("guid",))
    if guid in held and guid != key:
        # So old a key is one that refs may have named: they would all mean this item from here on.
        raise Refusal(RefusalCode.ALREADY_EXISTS, "this GUID is the key of another", ("guid",))


def _not_other(held: str | None) -> None:
    # Records imported under the old GUID stay with this item, so a second one would be ambiguous.
    if held is not None:
        raise Refusal(RefusalCode.ALREADY_EXISTS, "it has another GUID already, which is permanent", ("guid",))


def _member(members: type[Member], value: str, name: str) -> Member:
    try:
        return members(value.upper())
    except ValueError as error:
        raise Refusal(RefusalCode.INVALID, f"{name} is one of {', '.join(members)}", (name,)) from error


def _enforcement(value: object) -> list[tuple[Channel, EnforcementModel]] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Refusal(RefusalCode.INVALID, "enforcement maps channels to models", ("enforcement",))
    pairs = cast(Mapping[str, Any], value)
    return [
        (
            _member(Channel, channel, "enforcement"),
            _member(EnforcementModel, _as_text(model, "enforcement"), "enforcement"),
        )
        for channel, model in pairs.items()
    ]


_Step = Callable[[Catalogue, Mapping[str, object]], Sequence[CatalogueDraft]]
# Of each section: what makes an item or gives it its GUID, then what sets it as the file says.
_SECTIONS: tuple[tuple[str, tuple[_Step, ...]], ...] = (
    ("businessUnits", (_unit,)),
    ("profiles", (_profile, _profile_presets, _profile_settings)),
    ("purposes", (_purpose, _purpose_profiles, _purpose_settings)),
    ("topics", (_topic, _topic_settings)),
)
