"""What a replay needs of an entry, read quickly: a million entries are decoded this way in seconds instead of a minute.

`tlog.entry.decode` says what an entry is. Here one pattern has the form that nearly all entries have; what it matches is an
entry, its data being canonical, and everything else is left to `decode`.
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from tlog import canonical_json
from tlog.canonical_json import NotCanonical
from tlog.entry import ENTRY_BYTES_MAX, Entry, instant_text

_WORD = r"[A-Za-z0-9._-]+"
_INSTANT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z"
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# Fifteen digits are below 2^53.
_WHOLE = r"0|[1-9][0-9]{0,14}"
# 32 bytes; the last digit has only bits that count.
_HASH = r'"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="'
_PERSONAL = rf'(?:"address":{_HASH}(?:,"evidence":{_HASH})?|"evidence":{_HASH})'

_ENTRY = re.compile(
    (
        rf'\{{"actor":"{_WORD}",(?:"application":"{_WORD}",)?"data":(\{{.*?\}}),(?:"effectiveAt":"({_INSTANT})",)?'
        rf'"format":1,"id":"{_UUID}","number":({_WHOLE}),(?:"personal":\{{{_PERSONAL}\}},)?"position":({_WHOLE}),'
        rf'(?:"previous":({_WHOLE}),)?"recordedAt":"({_INSTANT})","stream":"({_UUID})","tenant":"({_WORD})",'
        rf'"type":"({_WORD})","version":({_WHOLE})\}}'
    ).encode()
)
_DATA_BYTES_HELD_MAX = 1_000


class Gist(NamedTuple):
    """What the rules between entries look at. Instants in their one spelling sort as text."""

    position: int
    number: int
    previous: int | None
    stream: bytes
    recorded_at: bytes
    tenant: bytes
    type: str
    version: int


def gist_of(entry: Entry) -> Gist:
    """The same of a decoded entry."""
    return Gist(
        entry.position,
        entry.number,
        entry.previous,
        str(entry.stream).encode(),
        instant_text(entry.recorded_at).encode(),
        entry.tenant.encode(),
        entry.type,
        entry.version,
    )


def read_gist(raw: bytes) -> Gist | None:
    """What `raw` says if it is an entry in its usual form; None does not mean that it is none."""
    match = _ENTRY.fullmatch(raw)
    if match is None or len(raw) > ENTRY_BYTES_MAX:
        return None
    data, effective_at, number, position, previous, recorded_at, stream, tenant, type_name, version = match.groups()
    if not (_is_canonical_held if len(data) <= _DATA_BYTES_HELD_MAX else _is_canonical)(data):
        return None
    if not _is_instant_held(recorded_at) or (effective_at is not None and not _is_instant(effective_at)):
        return None
    return Gist(
        int(position),
        int(number),
        None if previous is None else int(previous),
        stream,
        recorded_at,
        tenant,
        type_name.decode(),
        int(version),
    )


def _is_canonical(data: bytes) -> bool:
    try:
        canonical_json.decode(data)
    except NotCanonical:
        return False
    return True


def _is_instant(text: bytes) -> bool:
    try:
        datetime.fromisoformat(text.decode())
    except ValueError:
        return False
    return True


# Many events say the same, and those of one group are recorded at one instant.
_is_canonical_held = lru_cache(maxsize=4_096)(_is_canonical)
_is_instant_held = lru_cache(maxsize=16)(_is_instant)
