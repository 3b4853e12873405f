"""Counts of selections that are kept: of each question, how many it holds in each chunk, so that only what changed is counted,
and a page finds whom it lists, however few they are, without looking where nobody is.

What a mask holds is told by its chunks' rows of `selection_bits` and nothing else: enforcement, units and whatever else of the
catalogue a question rests on is in its statement and arguments, by which its counts are kept; whom the bits cannot tell of is
left to the caller, each time. So a chunk's count holds as long as its bits do. Each change of bits has a number, a tenant's
own, and the database notes by which each chunk was changed last. In the snapshot of whoever asks:

    nothing kept                            every chunk is counted, and kept with the snapshot's number
    kept with a number up to the snapshot's the chunks that were changed after it are counted anew, in place of what was kept
    kept with a later number                every chunk is counted: what was kept is of a snapshot that is not this one's past
    kept from another run of the server     forgotten: one that was restored, or stands in for it, may give numbers again

An answer is that of the whole count, always. Memory is bounded; what was not asked for longest goes first.
"""

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice, takewhile

from asyncpg import BitString

from eventstore.personal.vault import Connected
from projections.selection import chunk_of, positions_in
from projections.selection_masks import NEXT_CHUNKS, Mask, Masks

_CHUNKS_MAX = 64
KEPT_BYTES_MAX = 8 * 1024 * 1024
_BYTES_A_COUNT = 2
_BYTES_BESIDE = 400
_VERSION_MAX = 2**63 - 1

# changed: the number of the last change of bits, which run of which database says so, and the chunks changed after $2.
CHANGED = """
SELECT coalesce((SELECT v.version FROM selection_versions v WHERE v.tenant = $1), 0),
       (pg_postmaster_start_time(), (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))::text,
       ARRAY(SELECT c.chunk FROM selection_chunks c WHERE c.tenant = $1 AND c.version > $2)
"""


@dataclass(frozen=True, slots=True)
class Counted:
    """How many contact points a question holds, in all and in each chunk, after a change of bits by its number."""

    run: str
    version: int
    by_chunk: Sequence[int]
    total: int

    def holding(self, chunk: int) -> Iterable[int]:
        """The chunks that hold anyone, from this one on, in order."""
        return (chunk + number for number, count in enumerate(islice(self.by_chunk, chunk, None)) if count)

    def with_chunks(self, version: int, counts: Iterable[tuple[int, int]]) -> "Counted":
        """With these chunks' counts in place of what they were."""
        by_chunk = array("H", self.by_chunk)
        total = self.total
        for chunk, count in counts:
            if chunk >= len(by_chunk):
                by_chunk.extend([0] * (chunk + 1 - len(by_chunk)))
            total += count - by_chunk[chunk]
            by_chunk[chunk] = count
        return Counted(self.run, version, by_chunk, total)

    @property
    def size_bytes(self) -> int:
        """About what it takes to keep this."""
        return len(self.by_chunk) * _BYTES_A_COUNT + _BYTES_BESIDE


class KeptCounts:
    """The counts that this process keeps, of all tenants."""

    def __init__(self, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        # By question; what was asked for last is last.
        self._kept: OrderedDict[bytes, Counted] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        return self._bytes

    async def of(self, connection: Connected, masks: Masks, mask: Mask) -> Counted:
        """How many a mask holds in the caller's snapshot: its transaction must be one (REPEATABLE READ)."""
        question = _named(masks, mask)
        kept = self._kept.get(question)
        since = _VERSION_MAX if kept is None else kept.version
        [(version, run, changed)] = await connection.fetch(CHANGED, masks.tenant, since)
        if kept is None or kept.run != run or kept.version > version:
            nothing = Counted(run, version, array("H"), 0)
            counted = nothing.with_chunks(version, await masks.counts(connection, mask))
        elif kept.version == version:
            counted = kept
        else:
            # A chunk of which nothing is left has no row to be counted.
            found = dict.fromkeys(changed, 0) | dict(await masks.counts(connection, mask, chunks=changed))
            counted = kept.with_chunks(version, found.items())
        self._keep(question, counted)
        return counted

    async def positions(
        self,
        connection: Connected,
        masks: Masks,
        mask: Mask,
        *,
        after: int,
        until: int | None = None,
        limit: int,
        without: frozenset[int] = frozenset(),
    ) -> list[int]:
        """The first `limit` positions greater than `after`, and not greater than `until`, that a mask holds, in order.

        In the snapshot of a transaction, as `of`. Who is among many is in the next chunks; else the counts tell where.
        """
        found: list[int] = []

        def take(rows: Sequence[tuple[int, BitString]]) -> None:
            for chunk, bits in rows:
                there = (at for at in positions_in(chunk, bits) if at > after and at not in without)
                found.extend(islice(there, limit - len(found)))

        rows = await masks.next_chunks(connection, mask, chunk=chunk_of(max(after, 0)))
        take(rows)
        last = None if until is None else chunk_of(until)
        if len(rows) == NEXT_CHUNKS and len(found) < limit and (last is None or rows[-1][0] < last):
            holding = (await self.of(connection, masks, mask)).holding(rows[-1][0] + 1)
            among = iter(holding if last is None else takewhile(lambda chunk: chunk <= last, holding))
            while len(found) < limit and (chunks := list(islice(among, min(limit, _CHUNKS_MAX)))):
                take(await masks.chunks(connection, mask, chunks))
        return [at for at in found if until is None or at <= until]

    def _keep(self, question: bytes, counted: Counted) -> None:
        """Keep these, unless others have kept later ones meanwhile."""
        there = self._kept.get(question)
        if there is not None and there.run == counted.run and there.version > counted.version:
            counted = there
        if there is not None:
            self._bytes -= self._kept.pop(question).size_bytes
        self._kept[question] = counted
        self._bytes += counted.size_bytes
        while self._bytes > self._bytes_max:
            self._bytes -= self._kept.popitem(last=False)[1].size_bytes


def _named(masks: Masks, mask: Mask) -> bytes:
    """A question by all that its answer rests on besides the bits; short, whatever its length."""
    return sha256(repr((masks.tenant, masks.arguments, mask.bits, masks.joined(mask))).encode()).digest()
