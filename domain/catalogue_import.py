"""A catalogue file: units, purposes and topics, with the GUIDs that these have elsewhere. Makes what is missing, by key.

{"businessUnits": [{"key", "name"?, "parent"?}],
 "purposes": [{"key", "guid"?, "name"?, "description"?, "type"?, "legalBasis"?, "enforcement"?, "profiles"?, "businessUnit"?}],
 "topics":   [{"key", "purpose", "guid"?, "name"?, "description"?}]}
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar, cast

from domain.addresses import Channel
from domain.catalogue import DEFAULT_PROFILE, Catalogue, EnforcementModel, PurposeType
from domain.catalogue_commands import create_business_unit, create_purpose, create_topic
from domain.catalogue_fold import apply
from domain.events import CatalogueDraft, CatalogueEvent, EventType
from domain.refusals import Refusal, RefusalCode
from domain.time import EPOCH

_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UNIT_MEMBERS = frozenset(("key", "name", "parent"))
_PURPOSE_MEMBERS = frozenset(
    ("key", "guid", "name", "description", "type", "legalBasis", "enforcement", "profiles", "businessUnit")
)
_TOPIC_MEMBERS = frozenset(("key", "guid", "name", "description", "purpose"))
_LISTS = ("businessUnits", "purposes", "topics")

Member = TypeVar("Member", bound=StrEnum)


def import_catalogue(catalogue: Catalogue, document: object) -> list[CatalogueDraft]:
    """The events that bring a catalogue in line with a file; none where it is. Raises Refusal with the path in the file."""
    if not isinstance(document, dict):
        raise Refusal(RefusalCode.INVALID, "a catalogue file holds an object with business units, purposes and topics")
    members = cast(Mapping[str, object], document)
    _only(members, frozenset(_LISTS), ())
    drafts: list[CatalogueDraft] = []
    for name, import_item in zip(_LISTS, (_unit, _purpose, _topic), strict=True):
        for number, item in _in_order(name, members):
            path = (name, str(number))
            if not isinstance(item, dict):
                raise Refusal(RefusalCode.INVALID, f"each of {name} is an object", path)
            try:
                new = import_item(catalogue, cast(Mapping[str, object], item))
            except Refusal as refusal:
                raise refusal.under(*path) from refusal
            for draft in new:
                event = CatalogueEvent(type=draft.type, data=draft.data, recorded_at=EPOCH, position=catalogue.position)
                catalogue = apply(catalogue, event)
            drafts += new
    return drafts


def items_of(document: object) -> int:
    """How many units, purposes and topics a file has that `import_catalogue` has accepted."""
    members = cast(Mapping[str, Sequence[object] | None], document)
    return sum(len(members.get(name) or ()) for name in _LISTS)


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


def _purpose(catalogue: Catalogue, item: Mapping[str, object]) -> Sequence[CatalogueDraft]:
    _only(item, _PURPOSE_MEMBERS, ())
    key, guid, unit = _required(item, "key"), _guid(item), _optional(item, "businessUnit")
    _unowned(catalogue.purpose_guids, guid, key)
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
    if unit is not None and unit != held.unit:
        raise Refusal(
            RefusalCode.INVALID, f"purpose {key} belongs to unit {held.unit}, and stays there", ("businessUnit",)
        )
    if guid is None or guid == held.guid:
        return []
    _not_other(held.guid)
    return [CatalogueDraft(EventType.PURPOSE_UPDATED, {"key": key, "guid": guid})]


def _topic(catalogue: Catalogue, item: Mapping[str, object]) -> Sequence[CatalogueDraft]:
    _only(item, _TOPIC_MEMBERS, ())
    key, guid = _required(item, "key"), _guid(item)
    _unowned(catalogue.topic_guids, guid, key)
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
    if _GUID.fullmatch(guid) is None:
        raise Refusal(RefusalCode.INVALID, "guid must look like 10000000-0000-4000-8000-000000000003", ("guid",))
    return guid


def _unowned(owners: Mapping[str, str], guid: str | None, key: str) -> None:
    owner = owners.get(guid or "")
    if owner is not None and owner != key:
        raise Refusal(RefusalCode.ALREADY_EXISTS, f"this GUID belongs to {owner}", ("guid",))


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
