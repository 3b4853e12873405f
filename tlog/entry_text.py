"""The members of an entry as they stand in its bytes, and its data as the JSON that it is: for who hands on a great many.

An entry has one spelling (`entry`), so its members are found by their place: before `data` and after it nothing stands that
JSON escapes. Only bytes that `entry.encode` wrote are read so; `verify` proves that those of our own table are.
"""

import re
from typing import NamedTuple

from tlog.entry import ENTRY_FORMAT, MalformedEntry

_HEAD = re.compile(r'\{"actor":"([^"]+)",(?:"application":"([^"]+)",)?"data":')
# The last one: after data no member holds such text, and inside of data's own strings its quotes are escaped.
_AFTER_DATA = f',"format":{ENTRY_FORMAT},"id":"'
_TAIL = re.compile(
    r'([^"]+)","number":[0-9]+,(?:"personal":(\{[^}]*\}),)?"position":([0-9]+),(?:"previous":[0-9]+,)?'
    r'"recordedAt":"([^"]+)","stream":"([^"]+)","tenant":"[^"]+","type":"([^"]+)","version":([0-9]+)\}'
)
_EFFECTIVE_AT = ',"effectiveAt":"'
_INSTANT_CHARS = len("2026-01-01T00:00:00.000000Z")


class EntryText(NamedTuple):
    """What `entry.Entry` has, in the entry's own spelling; `personal` is JSON as `data` is, or empty."""

    actor: str
    application: str | None
    data: str
    effective_at: str | None
    event_id: str
    personal: str
    position: int
    recorded_at: str
    stream: str
    type: str
    version: int


def read_text(raw: bytes) -> EntryText:
    """The members of an entry that `entry.encode` wrote. Raises MalformedEntry for bytes that have not its form."""
    text = raw.decode()
    head = _HEAD.match(text)
    end = text.rfind(_AFTER_DATA)
    tail = _TAIL.fullmatch(text, end + len(_AFTER_DATA)) if end >= 0 else None
    if head is None or tail is None:
        raise MalformedEntry("not the form of an entry")
    actor, application = head.groups()
    event_id, personal, position, recorded_at, stream, type_name, version = tail.groups()
    effective_at = None
    # Data ends with a brace: a quote before the format is the end of an instant.
    if text[end - 1] == '"':
        effective_at = text[end - 1 - _INSTANT_CHARS : end - 1]
        end -= len(_EFFECTIVE_AT) + _INSTANT_CHARS + 1
    return EntryText(
        actor, application, text[head.end() : end], effective_at, event_id, personal or "", int(position),
        recorded_at, stream, type_name, int(version),
    )  # fmt: skip
