"""An entry of the log: the bytes that a leaf commits to, and what they say. Knows the form of an entry, no driver.

An entry is canonical JSON (`canonical_json`) of at most 65,535 bytes (the length prefix of a C2SP entry bundle has
16 bits). Members, each left out where it has no value:

    actor        kind of who was behind it (RECIPIENT, USER, AGENT, SYSTEM)
    application  key of the application that wrote it
    data         what the event's type adds
    effectiveAt  instant from which it counts
    format       1, of this form
    id           UUIDv7 of the event
    number       0, 1, 2 ... in its stream
    personal     name -> base64 of SHA-256(salt || bytes), bytes and salt being in the vault
    position     in the tenant's log
    previous     position of the stream's event before, so that a stream shown in full shows that it has no hole
    recordedAt   instant given by the log, never decreasing
    stream       UUID
    tenant       key
    type, version

Instants are `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from binascii import b2a_base64
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, cast
from uuid import UUID

from tlog import canonical_json

ENTRY_FORMAT = 1
ENTRY_BYTES_MAX = 65_535


class MalformedEntry(ValueError):
    """The bytes are not an entry of a form known here."""


class EntryTooLarge(ValueError):
    """The entry would be longer than ENTRY_BYTES_MAX."""


class Entry(NamedTuple):
    """One event as it stands in the log. Holds nothing personal: `personal` has commitments only.

    A named tuple, which is made several times faster than a frozen dataclass: one is made for every event written or read.
    """

    event_id: UUID
    tenant: str
    type: str
    version: int
    stream: UUID
    number: int
    previous: int | None
    position: int
    recorded_at: datetime
    effective_at: datetime | None
    application: str | None
    actor: str
    data: Mapping[str, Any]
    personal: Mapping[str, bytes] = MappingProxyType({})


@lru_cache(maxsize=1_024)
def instant_text(instant: datetime) -> str:
    """The one spelling of an instant in an entry; `instant` is aware and in UTC."""
    text = instant.isoformat(timespec="microseconds")
    return text[:-6] + "Z"


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


def encode(entry: Entry) -> bytes:
    """The bytes of an entry. Raises EntryTooLarge, and NotCanonical where `data` holds what has no canonical form.

    Written member by member in their sorted order. Kind, keys, type, ids and instants hold no character that JSON escapes:
    they come from enumerations, from `domain.text.KEY_FORM` and from here.
    """
    application = "" if entry.application is None else f'"application":"{entry.application}",'
    effective_at = "" if entry.effective_at is None else f'"effectiveAt":"{instant_text(entry.effective_at)}",'
    personal = ""
    if entry.personal:
        digests = ",".join(
            [
                f'"{name}":"{b2a_base64(digest, newline=False).decode()}"'
                for name, digest in sorted(entry.personal.items())
            ]
        )
        personal = f'"personal":{{{digests}}},'
    previous = "" if entry.previous is None else f'"previous":{entry.previous},'
    raw = (
        f'{{"actor":"{entry.actor}",{application}"data":{canonical_json.encode(entry.data).decode()},{effective_at}'
        f'"format":{ENTRY_FORMAT},"id":"{entry.event_id}","number":{entry.number},{personal}"position":{entry.position},'
        f'{previous}"recordedAt":"{instant_text(entry.recorded_at)}","stream":"{entry.stream}","tenant":"{entry.tenant}",'
        f'"type":"{entry.type}","version":{entry.version}}}'
    ).encode()
    if len(raw) > ENTRY_BYTES_MAX:
        raise EntryTooLarge(f"an entry has at most {ENTRY_BYTES_MAX} bytes, this would have {len(raw)}")
    return raw


_REQUIRED = frozenset(
    ("actor", "data", "format", "id", "number", "position", "recordedAt", "stream", "tenant", "type", "version")
)
_OPTIONAL = frozenset(("application", "effectiveAt", "personal", "previous"))


def decode(raw: bytes) -> Entry:
    """What the bytes of an entry say. Raises MalformedEntry unless encoding it again would give the same bytes."""
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


def read(raw: bytes) -> Entry:
    """The same for bytes that come from our own table: `verify` proves them, so reading need not prove them again."""
    members = canonical_json.loads(raw)
    instant = datetime.fromisoformat
    effective_at = members.get("effectiveAt")
    return Entry(
        event_id=UUID(members["id"]),
        tenant=members["tenant"],
        type=members["type"],
        version=members["version"],
        stream=UUID(members["stream"]),
        number=members["number"],
        previous=members.get("previous"),
        position=members["position"],
        recorded_at=instant(members["recordedAt"]),
        effective_at=None if effective_at is None else instant(effective_at),
        application=members.get("application"),
        actor=members["actor"],
        data=members["data"],
        personal={name: b64decode(digest) for name, digest in members.get("personal", {}).items()},
    )


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
