"""What a fold needs to know of an entry, and reading very many of them at once, for followers and rebuilds.

An `Entry` says it; `Read` says it at half the price, as it is made for nothing else: the stream stays text, and what only the
log itself needs (the event's id, numbers, commitments) is not looked at. All entries of a group are of one of the two kinds.
"""

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol

from msgspec import Meta, Struct
from msgspec.json import Decoder

from domain.events import CURRENT_VERSIONS, EventType
from domain.upcasting import UnknownEventVersion

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


class Read(Struct, rename="camel", frozen=True, gc=False):
    """An event as read for a fold."""

    type: str
    version: int
    stream: str
    position: int
    recorded_at: Annotated[datetime, Meta(tz=True)]
    actor: str
    data: dict[str, Any]
    effective_at: Annotated[datetime, Meta(tz=True)] | None = None


_events = Decoder(list[Read]).decode


def read_all(raws: Sequence[bytes]) -> list[Read]:
    """The events that entries hold, from their bytes, which come from our own table: `verify` proves them.

    Raises UnknownEventVersion: what is not known must not pass for what does not count.
    """
    # One document for all: the decoder is called once, and looks at nothing but what an event has.
    found = _events(b"[" + b",".join(raws) + b"]")
    if len(found) != len(raws):
        raise ValueError("an entry that is more than one object")
    for one in found:
        if (one.type, one.version) not in _KNOWN:
            raise UnknownEventVersion(f"version {one.version} of {one.type} is not known here")
    return found
