"""What a fold needs to know of an entry, and reading very many of them at once, for followers and rebuilds.

An `Entry` says it; `Read` says it at half the price, as it is made for nothing else: the stream stays text, and what only the
log itself needs (the event's id, numbers, commitments) is not looked at. All entries of a group are of one of the two kinds.
"""

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from domain.events import CURRENT_VERSIONS, EventType
from domain.upcasting import UnknownEventVersion
from tlog import canonical_json

_KNOWN = {(str(name), version) for name in EventType for version in range(1, CURRENT_VERSIONS[name] + 1)}


class Happened(Protocol):
    """An event as a fold sees it. `stream` is the contact point, as its UUID or the text of that."""

    @property
    def type(self) -> str: ...  # noqa: D102 - the fields of an entry, described there
    @property
    def version(self) -> int: ...  # noqa: D102
    @property
    def stream(self) -> Hashable: ...  # noqa: D102
    @property
    def position(self) -> int: ...  # noqa: D102
    @property
    def recorded_at(self) -> datetime: ...  # noqa: D102
    @property
    def effective_at(self) -> datetime | None: ...  # noqa: D102
    @property
    def actor(self) -> str: ...  # noqa: D102
    @property
    def data(self) -> Mapping[str, Any]: ...  # noqa: D102


class Read(NamedTuple):
    """An event as read for a fold."""

    type: str
    version: int
    stream: str
    position: int
    recorded_at: datetime
    effective_at: datetime | None
    actor: str
    data: Mapping[str, Any]


def read_all(raws: Sequence[bytes]) -> list[Read]:
    """The events that entries hold, from their bytes, which come from our own table: `verify` proves them.

    Raises UnknownEventVersion: what is not known must not pass for what does not count.
    """
    # One document for all: the parser then makes each member's name once.
    members: Any = canonical_json.loads(b"[" + b",".join(raws) + b"]")
    if len(members) != len(raws):
        raise ValueError("an entry that is more than one object")
    instant = datetime.fromisoformat
    recorded_text, recorded_at = "", instant("0001-01-01T00:00:00Z")
    found: list[Read] = []
    for one in members:
        kind, version = one["type"], one["version"]
        if (kind, version) not in _KNOWN:
            raise UnknownEventVersion(f"version {version} of {kind} is not known here")
        if one["recordedAt"] != recorded_text:
            # A group that was appended together has one.
            recorded_text = one["recordedAt"]
            recorded_at = instant(recorded_text)
        effective_text = one.get("effectiveAt")
        effective_at = None if effective_text is None else instant(effective_text)
        found.append(
            Read(kind, version, one["stream"], one["position"], recorded_at, effective_at, one["actor"], one["data"])
        )
    return found
