"""One JSON object a line, with the field names of RecordConsentInput; what `export --format ndjson` writes.

`position`, `id`, `recordedAt` and `application` of an export are ignored: the events get new ones here. A line with the member
`suppression` is no capture: it says what blocks an address, since when, and what shows it (`channel`, `address`, `since`,
`status`, `evidence`), or what of it an erasure's covers (`covers`); an address that is not known any more is named by
`blindIndex` and `blindIndexKey`, in base64.
"""

import binascii
import json
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, TypeVar, cast

from domain.addresses import Channel
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.json_members import each_once
from domain.refusals import Refusal, RefusalCode
from domain.time import parse_instant
from eventstore.personal.blind_index import BLIND_INDEX_BYTES
from ledger.bounces import is_status
from ledger.file_encoding import Decoder
from ledger.given_evidence import ATTRIBUTES_CHARS_MAX, Evidence, check_attributes
from ledger.import_contact_point_consents import row_key
from ledger.import_rows import IMPORT_APPLICATION, FileUnusable, HardBounceRow, Row, SuppressionRow, refused_as
from ledger.record import SYSTEM, Actor, Capture

FORMAT = "ndjson"
_LINE_BYTES_MAX = 1_000_000
_IGNORED = frozenset(("position", "id", "recordedAt", "application"))
_EVIDENCE = {
    "noticeText": "notice_text",
    "noticeVersion": "notice_version",
    "locale": "locale",
    "url": "url",
    "method": "method",
    "ipAddress": "ip_address",
    "userAgent": "user_agent",
}
_FIELDS = frozenset(
    ("channel", "address", "purpose", "topic", "value", "effectiveAt", "validUntil", "source", "reason",
     "reasonDescription", "legalBasis", "jurisdiction", "actor", "evidence", "messageId", "idempotencyKey")
)  # fmt: skip

Member = TypeVar("Member", bound=StrEnum)
Beside = TypeVar("Beside")


class SuppressionKind(StrEnum):
    """What blocks an address, as a line names it."""

    HARD_BOUNCE = "HARD_BOUNCE"
    ERASURE = "ERASURE"


class NdjsonRows:
    """Rows of one file; blank lines are none."""

    def __init__(self) -> None:
        self._line = 0
        self._rest = b""
        self._too_long = False

    def feed(self, data: bytes) -> Iterator[Row]:
        """See RowReader."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for raw in lines:
            yield from self._row(raw)
        if len(self._rest) > _LINE_BYTES_MAX:
            self._too_long, self._rest = True, b""

    def end(self) -> Iterator[Row]:
        """See RowReader."""
        if self._rest or self._too_long:
            yield from self._row(self._rest)

    def _row(self, raw: bytes) -> Iterator[Row]:
        self._line += 1
        if self._line == 1:
            self._check_encoding(raw)
        if self._too_long or len(raw) > _LINE_BYTES_MAX:
            self._too_long = False
            yield Row(self._line, _untold(f"the line is longer than {_LINE_BYTES_MAX} bytes"))
        elif raw.strip():
            try:
                row = _read(self._line, raw)
            except RecursionError:
                row = Row(self._line, _untold("the line is nested too deep"))
            yield row

    @staticmethod
    def _check_encoding(raw: bytes) -> None:
        encoding = Decoder(raw).name
        if encoding == "UTF-16":
            raise FileUnusable("the file is UTF-16: JSON lines are UTF-8")


def _read(line: int, raw: bytes) -> Row:
    members = _members(raw)
    if isinstance(members, Refusal):
        return Row(line, members)
    try:
        content = _suppression(members) if _SUPPRESSION in members else _capture(members)
    except Refusal as refusal:
        return Row(line, refused_as(refusal, opt_out=_may_say_no(members)))
    if isinstance(content, SuppressionRow) or not _says_no(members):
        return Row(line, content)
    attributes, left_out = _attributes(members.get("evidence"))
    if left_out is not None and content.evidence is not None:
        content = replace(content, evidence=replace(content.evidence, attributes=attributes))
    return Row(line, content, left_out)


def _attributes(evidence: object) -> tuple[Mapping[str, object] | None, Refusal | None]:
    """Those attributes of an opt-out that can be kept; and, if not all can, what is left out and why."""
    given = cast(Mapping[str, object], evidence).get("attributes") if isinstance(evidence, dict) else None
    if given is None:
        return None, None
    path = ("evidence", "attributes")
    if not isinstance(given, dict):
        return None, _refusal(path, "left out, since they are no object")
    attributes = cast(Mapping[str, object], given)
    kept = {name: value for name, value in attributes.items() if _can_be_kept({name: value})}
    if not _can_be_kept(kept):
        kept = {}
    if len(kept) == len(attributes):
        return attributes, None
    lost = len(attributes) - len(kept)
    return kept or None, _refusal(
        path,
        f"left out {lost} of {len(attributes)}: they must be valid text and finite numbers, all together of at most"
        f" {ATTRIBUTES_CHARS_MAX} characters of JSON",
    )


def _can_be_kept(attributes: Mapping[str, object]) -> bool:
    try:
        check_attributes(attributes)
    except Refusal:
        return False
    return True


def _members(raw: bytes) -> Mapping[str, object] | Refusal:
    """The members of a line's object, or why they cannot be read."""
    try:
        text, is_utf8 = raw.decode("utf-8-sig"), True
    except UnicodeDecodeError:
        text, is_utf8 = raw.decode("utf-8-sig", "replace"), False
    try:
        item: object = json.loads(text, object_pairs_hook=each_once)
    except (ValueError, RecursionError):
        return _untold("the line is not JSON, each member once" if is_utf8 else "the line is not UTF-8")
    if not isinstance(item, dict):
        return _untold("the line is not a JSON object")
    members = cast(Mapping[str, object], item)
    if not (is_utf8 or _says_no_readably(members)):
        return refused_as(_refusal((), "the line is not UTF-8"), opt_out=_may_say_no(members))
    return members


def _untold(message: str) -> Refusal:
    """The refusal of a line of which nobody can tell what it says: that may be an opt-out."""
    return refused_as(_refusal((), message), opt_out=True)


def _may_say_no(item: Mapping[str, object]) -> bool:
    """Whether a line says no, or what it says cannot be told."""
    return _SUPPRESSION in item or item.get("value") not in (ConsentValue.OPTED_IN, ConsentValue.NOT_SET)


def _says_no(item: Mapping[str, object]) -> bool:
    return item.get("value") == ConsentValue.OPTED_OUT or _SUPPRESSION in item


def _says_no_readably(item: Mapping[str, object]) -> bool:
    """Whether a line with characters that could not be read says no, and has none of them where it matters."""
    return _says_no(item) and not any("\N{REPLACEMENT CHARACTER}" in str(item.get(name)) for name in _DECIDING)


def _heard(item: Mapping[str, object]) -> Mapping[str, object]:
    """An opt-out without what is wrong with it and decides nothing: it is not refused for that, as with any other way in."""
    kept = {name: value for name, value in item.items() if name in _FIELDS}
    for name in ("actor", "evidence"):
        members = kept.get(name)
        if isinstance(members, dict):
            kept[name] = _known(name, cast(Mapping[str, object], members))
    for name, read in _BESIDE.items():
        try:
            read(kept)
        except Refusal:
            del kept[name]
    return kept


def _suppression(line: Mapping[str, object]) -> HardBounceRow | SuppressionRow:
    """What blocks an address; it is not refused for what is beside that, as no opt-out is."""
    match _member(SuppressionKind, line, _SUPPRESSION):
        case SuppressionKind.HARD_BOUNCE:
            return _hard_bounce(line)
        case SuppressionKind.ERASURE:
            return _of_erasure(line)
        case None:
            raise _refusal((_SUPPRESSION,), f"{_SUPPRESSION} is one of {', '.join(SuppressionKind)}")


def _of_erasure(line: Mapping[str, object]) -> SuppressionRow:
    since, address = line.get("since"), _text(line, "address")
    return SuppressionRow(
        channel=_member(Channel, line, "channel") or Channel.EMAIL,
        address=address,
        blind_index=_bytes(line, "blindIndex") if address is None else None,
        blind_index_key=_bytes(line, "blindIndexKey") if address is None else None,
        since=_readable(lambda: parse_instant(since, field="since")) if isinstance(since, str) else None,
        covers=line.get("covers"),
        row_key=row_key(FORMAT, line),
    )


def _bytes(line: Mapping[str, object], name: str) -> bytes:
    try:
        decoded = b64decode(_required(line, name), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) != BLIND_INDEX_BYTES:
        raise _refusal((name,), f"{name} must be {BLIND_INDEX_BYTES} bytes in base64")
    return decoded


def _hard_bounce(line: Mapping[str, object]) -> HardBounceRow:
    evidence = line.get("evidence")
    given = _known("evidence", cast(Mapping[str, object], evidence)) if isinstance(evidence, dict) else None
    since, status = line.get("since"), line.get("status")
    return HardBounceRow(
        channel=_member(Channel, line, "channel") or Channel.EMAIL,
        address=_required(line, "address"),
        since=_readable(lambda: parse_instant(since, field="since")) if isinstance(since, str) else None,
        status=status if isinstance(status, str) and is_status(status) else None,
        evidence=_evidence(given),
        row_key=row_key(FORMAT, line),
    )


def _readable(read: Callable[[], Beside]) -> Beside | None:
    try:
        return read()
    except Refusal:
        return None


def _known(name: str, members: Mapping[str, object]) -> Mapping[str, object]:
    """The members of an object of an opt-out that there are, and that are of their type."""
    types = {"kind": str, "id": str} if name == "actor" else {**dict.fromkeys(_EVIDENCE, str), "attributes": dict}
    return {member: members[member] for member, type in types.items() if isinstance(members.get(member), type)}


def _capture(line: Mapping[str, object]) -> Capture:
    value = _member(ConsentValue, line, "value")
    item = _heard(line) if value is ConsentValue.OPTED_OUT else line
    unknown = item.keys() - _FIELDS - _IGNORED
    if unknown:
        raise _refusal((min(unknown)[:64],), "there is no such field in RecordConsentInput")
    effective_at, valid_until = _text(item, "effectiveAt"), _text(item, "validUntil")
    own_key = _text(item, "idempotencyKey")
    return Capture(
        channel=_member(Channel, item, "channel") or Channel.EMAIL,
        address=_required(item, "address"),
        purpose=_required(item, "purpose"),
        topic=_text(item, "topic"),
        value=value or _missing("value"),
        effective_at=None if effective_at is None else parse_instant(effective_at, field="effectiveAt"),
        valid_until=None if valid_until is None else parse_instant(valid_until, field="validUntil"),
        source=_member(ConsentSource, item, "source") or ConsentSource.IMPORT,
        reason=_text(item, "reason"),
        reason_description=_text(item, "reasonDescription"),
        legal_basis=_text(item, "legalBasis"),
        jurisdiction=_text(item, "jurisdiction"),
        actor=_actor(item.get("actor")),
        evidence=_evidence(item.get("evidence")),
        message_id=_text(item, "messageId"),
        idempotency_key=own_key or row_key(FORMAT, line),
        # A key of one's own is the sender's.
        key_application=None if own_key else IMPORT_APPLICATION,
        allow_inactive=True,
    )


def _actor(value: object) -> Actor:
    if value is None:
        return SYSTEM
    members = _object(value, "actor")
    try:
        unknown = members.keys() - {"kind", "id"}
        if unknown:
            raise _refusal((min(unknown)[:64],), "there is no such field in ActorInput")
        return Actor(kind=_member(ActorKind, members, "kind") or _missing("kind"), id=_text(members, "id"))
    except Refusal as refusal:
        raise refusal.under("actor") from refusal


def _evidence(value: object) -> Evidence | None:
    if value is None:
        return None
    members = _object(value, "evidence")
    try:
        unknown = members.keys() - _EVIDENCE.keys() - {"attributes"}
        if unknown:
            raise _refusal((min(unknown)[:64],), "there is no such field in EvidenceInput")
        attributes = members.get("attributes")
        given: dict[str, Any] = {name: _text(members, field) for field, name in _EVIDENCE.items()}
        return Evidence(**given, attributes=None if attributes is None else _object(attributes, "attributes"))
    except Refusal as refusal:
        raise refusal.under("evidence") from refusal


_SUPPRESSION = "suppression"
# What says who or what is meant, when, or that it was recorded before.
_DECIDING = (
    _SUPPRESSION,
    "channel",
    "address",
    "blindIndex",
    "blindIndexKey",
    "purpose",
    "topic",
    "effectiveAt",
    "validUntil",
    "idempotencyKey",
)
_BESIDE: Mapping[str, Callable[[Mapping[str, object]], object]] = {
    "source": lambda item: _member(ConsentSource, item, "source"),
    "actor": lambda item: _actor(item.get("actor")),
    "evidence": lambda item: _evidence(item.get("evidence")),
    **{
        name: lambda item, name=name: _text(item, name)
        for name in ("reason", "reasonDescription", "legalBasis", "jurisdiction", "messageId")
    },
}


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _refusal((name,), f"{name} must be an object")
    return cast(Mapping[str, Any], value)


def _text(item: Mapping[str, object], name: str) -> str | None:
    value = item.get(name)
    if value is not None and not isinstance(value, str):
        raise _refusal((name,), f"{name} must be text")
    return value


def _required(item: Mapping[str, object], name: str) -> str:
    value = _text(item, name)
    return _missing(name) if value is None else value


def _missing(name: str) -> Any:
    raise _refusal((name,), f"{name} is missing")


def _member(members: type[Member], item: Mapping[str, object], name: str) -> Member | None:
    value = _text(item, name)
    if value is None:
        return None
    try:
        return members(value)
    except ValueError as error:
        raise _refusal((name,), f"{name} is one of {', '.join(members)}") from error


def _refusal(path: tuple[str, ...], message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, message, path)
