"""Reading an entry, slow and obvious: each member looked at by hand, the whole proven canonical, then written again."""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from tlog import canonical_json
from tlog.entry import ENTRY_BYTES_MAX, ENTRY_FORMAT, Entry, MalformedEntry, encode, instant_text


def _instant(text: object) -> datetime:
    if not isinstance(text, str):
        raise MalformedEntry("an instant is not text")
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise MalformedEntry("an instant cannot be read") from error
    if instant.tzinfo is not UTC or instant_text(instant) != text:
        raise MalformedEntry("an instant is not in its one spelling")
    return instant


_REQUIRED = frozenset(
    ("actor", "data", "format", "id", "number", "position", "recordedAt", "stream", "tenant", "type", "version")
)
_OPTIONAL = frozenset(("application", "effectiveAt", "personal", "previous"))


def decode(raw: bytes) -> Entry:
    """What the bytes of an entry say, member by member."""
    if len(raw) > ENTRY_BYTES_MAX:
        raise MalformedEntry("longer than an entry can be")
    try:
        members = canonical_json.decode(raw)
    except canonical_json.NotCanonical as error:
        raise MalformedEntry(str(error)) from error
    names = members.keys()
    if not names >= _REQUIRED or not names <= _REQUIRED | _OPTIONAL:
        raise MalformedEntry("its members are not those of an entry")
    if members["format"] != ENTRY_FORMAT:
        raise MalformedEntry("a format that is not known here")
    try:
        entry = Entry(
            event_id=UUID(_text(members, "id")),
            tenant=_text(members, "tenant"),
            type=_text(members, "type"),
            version=_whole(members, "version"),
            stream=UUID(_text(members, "stream")),
            number=_whole(members, "number"),
            previous=_whole(members, "previous") if "previous" in members else None,
            position=_whole(members, "position"),
            recorded_at=_instant(members["recordedAt"]),
            effective_at=_instant(members["effectiveAt"]) if "effectiveAt" in members else None,
            application=_text(members, "application") if "application" in members else None,
            actor=_text(members, "actor"),
            data=_object(members, "data"),
            personal={
                name: b64decode(cast(str, digest), validate=True)
                for name, digest in _object(members, "personal").items()
            }
            if "personal" in members
            else {},
        )
    except (Base64Error, ValueError, TypeError) as error:
        raise MalformedEntry(str(error)) from error
    if encode(entry) != raw:
        raise MalformedEntry("not the one spelling of its members")
    return entry


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members[name]
    if not isinstance(value, str):
        raise MalformedEntry(f"{name} is not text")
    return value


def _whole(members: Mapping[str, Any], name: str) -> int:
    value = members[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise MalformedEntry(f"{name} is not a whole number")
    return value


def _object(members: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = members[name]
    if not isinstance(value, dict):
        raise MalformedEntry(f"{name} is not an object")
    return cast(Mapping[str, Any], value)
