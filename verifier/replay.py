"""Going through a whole log, entry by entry: every rule of its form checked, and what a question needs of it kept.

Where the entries come from (an export, tiles) and that each is in the tree is for those modules; what entries have to be
among themselves is here. Memory does not grow with the log but for one number a stream.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from tlog.checkpoint import Checkpoint
from tlog.compact_range import EMPTY
from tlog.entry import Entry
from tlog.hashing import leaf_hash
from tlog.note import encode_base64
from verifier.entries import CATALOGUE_STREAM, check_type, decoded
from verifier.gist import Gist, gist_of, read_gist
from verifier.report import Findings, NotProven

# Hashes are added to the tree in groups, which is cheaper than one by one.
_GROUP = 1024
_CATALOGUE = str(CATALOGUE_STREAM).encode()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a replay is asked to keep: the events of these streams, and the roots of the tree at these sizes."""

    streams: frozenset[UUID] = frozenset()
    sizes: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Replay:
    """A log that was gone through whole, and what was kept of it."""

    checkpoint: Checkpoint
    streams: Mapping[UUID, Sequence[tuple[Entry, bytes]]]
    roots: Mapping[int, bytes]

    def stream(self, stream: UUID, size: int) -> Sequence[tuple[Entry, bytes]]:
        """The events of a stream that was wanted, as of a size."""
        return [(entry, raw) for entry, raw in self.streams.get(stream, ()) if entry.position < size]

    def root_at(self, origin: str, size: int, what: str) -> bytes:
        """The root at a size that was wanted. Raises NotProven for another log, and for one that is too short."""
        if self.checkpoint.origin != origin:
            raise NotProven(f"the log at hand is {self.checkpoint.origin}, and {what} is of {origin}")
        if self.checkpoint.size < size:
            raise NotProven(
                f"the log at hand has {self.checkpoint.size} events, too few to replay {what} at size {size}"
            )
        return self.roots[size]


class Log(Protocol):
    """A whole log at hand: goes through it and keeps what is wanted. Raises NotProven, Unusable."""

    def __call__(self, wanted: Wanted, findings: Findings, /) -> Replay: ...


class Replayer:
    """Takes the entries of a log in order. Each method raises NotProven for the first thing that is wrong."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._size = 0
        self._tenant: bytes | None = None
        self._recorded_at = b""
        # The number and the position of each stream's last event.
        self._last: dict[bytes, tuple[int, int]] = {}
        self._wanted_streams = {str(stream).encode(): stream for stream in wanted.streams}
        self._kept: dict[UUID, list[tuple[Entry, bytes]]] = {stream: [] for stream in wanted.streams}
        self._tree = EMPTY
        self._group: list[bytes] = []
        self._roots: dict[int, bytes] = {0: EMPTY.root()} if 0 in wanted.sizes else {}

    def take(self, raw: bytes) -> bytes:
        """Check the next entry against all before; its leaf hash."""
        position = self._size
        where = f"position {position}"
        gist = read_gist(raw)
        if gist is None:
            gist = gist_of(decoded(raw, where))
        if gist.position != position:
            raise NotProven(f"{where}: position: the entry's own is {gist.position}")
        if gist.tenant != self._tenant:
            if self._tenant is not None:
                raise NotProven(f"{where}: tenant: is {gist.tenant.decode()}, not {self._tenant.decode()}")
            self._tenant = gist.tenant
        if gist.recorded_at < self._recorded_at:
            raise NotProven(f"{where}: recordedAt: is before that of position {position - 1}")
        self._recorded_at = gist.recorded_at
        check_type(gist.type, gist.version, where, in_catalogue=gist.stream == _CATALOGUE)
        self._check_chain(gist, where)
        wanted = self._wanted_streams.get(gist.stream)
        if wanted is not None:
            self._kept[wanted].append((decoded(raw, where), raw))
        leaf = leaf_hash(raw)
        self._group.append(leaf)
        self._size += 1
        if len(self._group) == _GROUP or self._size in self._wanted.sizes:
            self._grow()
        return leaf

    def _check_chain(self, gist: Gist, where: str) -> None:
        number, previous = self._last.get(gist.stream, (-1, None))
        if gist.number != number + 1:
            raise NotProven(f"{where}: number: is {gist.number}, where number {number + 1} of its stream has to follow")
        if gist.previous != previous:
            raise NotProven(f"{where}: previous: is {gist.previous}, and its stream's event before is at {previous}")
        self._last[gist.stream] = gist.number, gist.position

    def _grow(self) -> None:
        self._tree = self._tree.append_many(self._group)
        self._group = []
        if self._size in self._wanted.sizes:
            self._roots[self._size] = self._tree.root()

    def finish(self, checkpoint: Checkpoint) -> Replay:
        """What was kept, if all the entries of the checkpoint were taken and lead to its root."""
        self._grow()
        if self._size != checkpoint.size:
            raise NotProven(f"position {self._size}: missing; the checkpoint is over {checkpoint.size} events")
        root = self._tree.root()
        if root != checkpoint.root:
            raise NotProven(f"checkpoint: its root is not {encode_base64(root)}, the root of the {self._size} entries")
        return Replay(checkpoint, self._kept, self._roots)

    @property
    def size(self) -> int:
        """How many entries were taken."""
        return self._size

    @property
    def streams(self) -> int:
        """How many streams they are of."""
        return len(self._last)
