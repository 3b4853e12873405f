"""Who is responsible for a profile's data, and what becomes of it: what records for people and authorities have to say.

Settings of the profile, none of which is made up where it is not set. In an event, as in a catalogue file, each stands by its
wire name; what clears is an empty text. They stay in the log for ever: a post or a department is named, not a person.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, cast

from domain.addresses import Channel, normalise
from domain.refusals import Refusal, RefusalCode
from domain.text import clean_text, clean_url

TEXT_CHARS_MAX = 500
ITEM_CHARS_MAX = 200
ITEMS_MAX = 50
URL_CHARS_MAX = 2_000


class ConsentType(StrEnum):
    """How an opt-in under a profile is given, where its forms are all of one kind."""

    EXPLICIT = "EXPLICIT"
    EXPRESSED = "EXPRESSED"
    IMPLIED = "IMPLIED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """The settings; None is not set. An empty list says that there are none, which is something else."""

    name: str | None = None
    contact: str | None = None
    email: str | None = None
    phone: str | None = None
    policy_url: str | None = None
    jurisdiction: str | None = None
    consent_type: ConsentType | None = None
    termination: str | None = None
    retention: str | None = None
    storage_locations: tuple[str, ...] | None = None
    recipients: tuple[str, ...] | None = None
    pii_categories: tuple[str, ...] | None = None
    sensitive: bool | None = None
    sensitive_categories: tuple[str, ...] | None = None
    rights: tuple[str, ...] | None = None
    authority: str | None = None
    data_protection_officer: str | None = None

    def changed(self, data: Mapping[str, Any]) -> "Controller":
        """The settings after the changes that an event holds."""
        changes: dict[str, Any] = {}
        for wire, value in data.items():
            if wire not in MEMBERS:
                continue  # of a later version: it is no setting here
            name = MEMBERS[wire].name
            changes[name] = None if value == "" else _held(name, value)
        return replace(self, **changes)

    def to_data(self) -> dict[str, Any]:
        """All that is set, by wire names: what a change from nothing is."""
        found = {wire: getattr(self, member.name) for wire, member in MEMBERS.items()}
        return {wire: _written(value) for wire, value in found.items() if value is not None}


NOBODY: Final = Controller()


def controller_changes(held: Controller, given: Mapping[str, object]) -> dict[str, Any]:
    """What changes, as an event holds it, of what was given by wire names; None and an empty text clear.

    Raises Refusal INVALID with the member's name.
    """
    unknown = [name for name in given if name not in MEMBERS]
    if unknown:
        raise Refusal(RefusalCode.INVALID, f"unknown member; there are {', '.join(MEMBERS)}", (unknown[0][:64],))
    changes: dict[str, Any] = {}
    for wire, value in given.items():
        member = MEMBERS[wire]
        cleaned = None if value is None or value == "" else member.clean(wire, value)
        if cleaned != getattr(held, member.name):
            changes[wire] = "" if cleaned is None else _written(cleaned)
    return changes


def _held(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(cast(list[str], value))
    return ConsentType(value) if name == "consent_type" else value


def _written(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(cast(tuple[str, ...], value))
    return str(value) if isinstance(value, ConsentType) else value


def _text(wire: str, value: object) -> str | None:
    return clean_text(_text_of(wire, value), field=wire, chars_max=TEXT_CHARS_MAX, multiline=True)


def _url(wire: str, value: object) -> str | None:
    return clean_url(_text_of(wire, value), field=wire, chars_max=URL_CHARS_MAX)


def _text_of(wire: str, value: object) -> str:
    if not isinstance(value, str):
        raise Refusal(RefusalCode.INVALID, f"{wire} must be text", (wire,))
    return value


def _address(channel: Channel) -> Callable[[str, object], str]:
    def clean(wire: str, value: object) -> str:
        try:
            return normalise(channel, _text_of(wire, value))
        except Refusal as refusal:
            raise Refusal(RefusalCode.INVALID, f"{wire}: {refusal.message}", (wire,)) from refusal

    return clean


def _list(wire: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise Refusal(RefusalCode.INVALID, f"{wire} must be a list", (wire,))
    items = list(cast(list[object], value))
    if len(items) > ITEMS_MAX:
        raise Refusal(RefusalCode.INVALID, f"{wire} has at most {ITEMS_MAX} items", (wire,))
    cleaned: list[str] = []
    for number, item in enumerate(items):
        try:
            text = clean_text(_text_of(wire, item), field=wire, chars_max=ITEM_CHARS_MAX, required=True)
        except Refusal as refusal:
            raise Refusal(RefusalCode.INVALID, refusal.message, (wire, str(number))) from refusal
        cleaned.append(text or "")
    return tuple(dict.fromkeys(cleaned))


def _flag(wire: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise Refusal(RefusalCode.INVALID, f"{wire} is true or false", (wire,))
    return value


def _consent_type(wire: str, value: object) -> ConsentType:
    try:
        return ConsentType(_text_of(wire, value).upper())
    except ValueError as error:
        raise Refusal(RefusalCode.INVALID, f"{wire} is one of {', '.join(ConsentType)}", (wire,)) from error


@dataclass(frozen=True, slots=True)
class Member:
    """A setting: its field here, and how what was given becomes it."""

    name: str
    clean: Callable[[str, object], Any]


# By wire name, which the contract and a catalogue file have, too.
MEMBERS: Mapping[str, Member] = {
    "name": Member("name", _text),
    "contact": Member("contact", _text),
    "email": Member("email", _address(Channel.EMAIL)),
    "phone": Member("phone", _address(Channel.VOICE)),
    "policyUrl": Member("policy_url", _url),
    "jurisdiction": Member("jurisdiction", _text),
    "consentType": Member("consent_type", _consent_type),
    "termination": Member("termination", _text),
    "retention": Member("retention", _text),
    "storageLocations": Member("storage_locations", _list),
    "recipients": Member("recipients", _list),
    "piiCategories": Member("pii_categories", _list),
    "sensitive": Member("sensitive", _flag),
    "sensitiveCategories": Member("sensitive_categories", _list),
    "rights": Member("rights", _list),
    "authority": Member("authority", _text),
    "dataProtectionOfficer": Member("data_protection_officer", _text),
}
