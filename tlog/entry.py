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

from binascii import b2a_base64
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from msgspec import UNSET, DecodeError, Meta, Struct, UnsetType, ValidationError, field
from msgspec.json import Decoder as JsonDecoder

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


_Instant = Annotated[datetime, Meta(tz=True)]
_Whole = Annotated[int, Meta(ge=0, le=canonical_json.INTEGER_MAX)]


class _Members(Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """The members of an entry, each of its kind: what reads them refuses any others."""

    event_id: UUID = field(name="id")
    tenant: str
    type: str
    version: _Whole
    stream: UUID
    number: _Whole
    position: _Whole
    recorded_at: _Instant
    actor: str
    data: dict[str, Any]
    format: Literal[1]
    previous: _Whole | UnsetType = UNSET
    effective_at: _Instant | UnsetType = UNSET
    application: str | UnsetType = UNSET
    personal: dict[str, bytes] | UnsetType = UNSET


_members = JsonDecoder(_Members).decode


def decode(raw: bytes) -> Entry:
    """What the bytes of an entry say. Raises MalformedEntry unless encoding it again would give the same bytes."""
    if len(raw) > ENTRY_BYTES_MAX:
        raise MalformedEntry("longer than an entry can be")
    try:
        entry = read(raw)
        canonical_json.check(entry.data)
        canonical_json.check(dict.fromkeys(entry.personal, ""))
        # Before anything remembers how an instant is spelled: another offset's would be taken for the one in UTC.
        in_utc = all(instant is None or instant.tzinfo is UTC for instant in (entry.recorded_at, entry.effective_at))
        same = in_utc and encode(entry) == raw
    except ValidationError as error:
        raise MalformedEntry(f"its members are not those of an entry: {error}") from error
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEntry("not JSON") from error
    except ValueError as error:
        raise MalformedEntry(str(error)) from error
    if not same:
        raise MalformedEntry("not the canonical spelling of its members")
    return entry


def read(raw: bytes) -> Entry:
    """The same for bytes that come from our own table: `verify` proves them, so reading need not prove them again."""
    members = _members(raw)
    return Entry(
        members.event_id,
        members.tenant,
        members.type,
        members.version,
        members.stream,
        members.number,
        None if members.previous is UNSET else members.previous,
        members.position,
        members.recorded_at,
        None if members.effective_at is UNSET else members.effective_at,
        None if members.application is UNSET else members.application,
        members.actor,
        members.data,
        {} if members.personal is UNSET else members.personal,
    )
