"""What entries of the log say, one by one: decoded strictly, of a known type and version, their data as it has to be."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from domain.catalogue import EMPTY, Catalogue
from domain.catalogue_fold import apply, fold
from domain.consent import ConsentRecord
from domain.events import CATALOGUE_TYPES, CatalogueEvent, ConsentCaptured, EventType
from domain.time import format_instant
from domain.upcasting import UnknownEventVersion, upcast
from tlog import entry as entry_form
from tlog.entry import Entry
from tlog.hashing import HASH_BYTES
from tlog.note import decode_base64
from verifier.report import NotProven

CATALOGUE_STREAM = UUID("ca7a106e-0000-8000-8000-000000000000")
END_OF_TIME = datetime.max.replace(tzinfo=UTC)

# What the rules raise for data that no ledger writes: a member missing, of another type, or naming what is not there.
BROKEN_DATA = (KeyError, ValueError, TypeError, AttributeError)


def decoded(raw: bytes, where: str) -> Entry:
    """What an entry says. Raises NotProven unless the bytes are the one spelling of it, and its type is known here."""
    try:
        entry = entry_form.decode(raw)
    except ValueError as error:
        raise NotProven(f"{where}: entry: {error}") from None
    for name, commitment in entry.personal.items():
        if len(commitment) != HASH_BYTES:
            raise NotProven(f"{where}: personal.{name}: a commitment has {HASH_BYTES} bytes")
    check_type(entry.type, entry.version, where, in_catalogue=entry.stream == CATALOGUE_STREAM)
    return entry


def check_type(type_name: str, version: int, where: str, *, in_catalogue: bool) -> None:
    """Raises NotProven for a type or version that is not known here, or in a stream where it has no place."""
    wrong = _wrong_of_type(type_name, version, in_catalogue)
    if wrong is not None:
        raise NotProven(f"{where}: {wrong}")


@lru_cache(maxsize=64)
def _wrong_of_type(type_name: str, version: int, in_catalogue: bool) -> str | None:  # noqa: FBT001 - cached by place
    nothing: dict[str, Any] = {}
    try:
        upcast(type_name, version, nothing)
    except UnknownEventVersion as error:
        return f"type: {error}"
    if (EventType(type_name) in CATALOGUE_TYPES) != in_catalogue:
        return f"stream: {type_name} has no place in {'the catalogue' if in_catalogue else 'a contact point'}'s stream"
    return None


def capture_of(entry: Entry) -> ConsentCaptured | None:
    """The change of consent that an entry holds, None for another event. Raises NotProven for data that no capture has."""
    if entry.type != EventType.CONSENT_CAPTURED:
        return None
    where = f"position {entry.position}"
    if entry.effective_at is None:
        raise NotProven(f"{where}: effectiveAt: missing")
    data = upcast(entry.type, entry.version, entry.data)
    for name in ("purpose", "topic", "unit", "trust", "reason", "validUntil", "noticeDigest", "claimedEffectiveAt"):
        if name in data and not isinstance(data[name], str):
            raise NotProven(f"{where}: data.{name}: not text")
    try:
        captured = ConsentCaptured.from_data(data, entry.effective_at)
    except BROKEN_DATA as error:
        raise NotProven(f"{where}: data: {_broken(error)}") from None
    for instant in (captured.valid_until, captured.claimed_effective_at):
        if instant is not None and instant.tzinfo is not UTC:
            raise NotProven(f"{where}: data: an instant is not in UTC")
    return captured


def notice_of(entry: Entry) -> bytes | None:
    """The SHA-256 of the notice that a capture, a request for a confirmation or that itself names; None where it names none."""
    if entry.type in (EventType.DOUBLE_OPT_IN_REQUESTED, EventType.DOUBLE_OPT_IN_CONFIRMED):
        try:
            text = entry.data.get("noticeDigest")
            return None if text is None else decode_base64(text)
        except BROKEN_DATA as error:
            raise NotProven(f"position {entry.position}: data.noticeDigest: {error}") from None
    captured = capture_of(entry)
    return None if captured is None else captured.notice_digest


def record_of(entry: Entry) -> ConsentRecord | None:
    """The record of consent that an entry makes, if it makes one. Raises NotProven as `capture_of` does."""
    captured = capture_of(entry)
    return None if captured is None else captured.record(entry.position, entry.recorded_at)


def catalogue_of(entries: Iterable[Entry], *, known_at: datetime | None = None) -> Catalogue:
    """The catalogue that these entries of its stream lead to, or as known at an instant. Raises NotProven."""
    events = [
        CatalogueEvent(
            type=EventType(entry.type),
            data=upcast(entry.type, entry.version, entry.data),
            recorded_at=entry.recorded_at,
            position=entry.position,
        )
        for entry in entries
    ]
    catalogue = EMPTY
    for event in events:
        try:
            catalogue = apply(catalogue, event)
        except BROKEN_DATA as error:
            raise NotProven(f"position {event.position}: data: {_broken(error)}") from None
    return catalogue if known_at is None else fold(events, known_at=known_at)


def described(entry: Entry, stream_name: str) -> str:
    """An event in words."""
    words = [f"event {entry.position} (number {entry.number} of {stream_name}): {entry.type}"]
    captured = capture_of(entry)
    if captured is not None:
        topic = "" if captured.topic is None else f", topic {captured.topic}"
        words.append(f" {captured.value} for purpose {captured.purpose}{topic}, source {captured.source}")
        if captured.valid_until is not None:
            words.append(f", valid until {format_instant(captured.valid_until)}")
    words.append(f", actor {entry.actor}")
    if entry.application is not None:
        words.append(f", application {entry.application}")
    if entry.effective_at is not None:
        words.append(f", effective {format_instant(entry.effective_at)}")
    words.append(f"; recorded {format_instant(entry.recorded_at)}")
    return "".join(words)


def _broken(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing, or named and not there"
    return "not as this type of event has it"
