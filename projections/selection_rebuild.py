"""The bits of `selection` made anew: chunk by chunk, from the log and the inline read models, while reads and writes go on.

A chunk is told whole from the contact points that began in it, so what no event accounts for is found, too. It is held against
the chunk as kept, under the lock of the follower's checkpoint; contact points at which something happened that the follower
has not come to are no difference. A chunk that is put right is right from then on, so there is nothing to resume.
"""

from collections.abc import Callable, Sequence

import asyncpg
from asyncpg import Record

from domain.events import CONTACT_POINT_TYPES
from eventstore.database import store_errors
from eventstore.personal.vault import Connected
from projections.follower import locked_checkpoint
from projections.rebuild import Compared, Rebuilt
from projections.selection import (
    CHUNK_BITS,
    NAME,
    SELECTION,
    BitsKey,
    Kind,
    Touched,
    held_bits,
    mask_of,
    said_of,
    write_bits,
)

# kinds: every kind of bits that is kept, whatever the chunk.
_KINDS = "SELECT DISTINCT channel, purpose, topic, unit, kind FROM selection_bits WHERE tenant = $1"
# began: the contact points whose first event is in a chunk.
_BEGAN = """
SELECT stream FROM log_entries
WHERE tenant = $1 AND position >= $2 AND position < $3 AND number = 0 AND type = ANY($4::text[])
"""
# moved: where in the chunk the contact points began at which something happened after the follower's checkpoint, up to the
# end of the log. By position, one by one, as in `ledger.selection`.
MOVED_IN_CHUNK = """
SELECT DISTINCT began.first_position
FROM log_heads head
CROSS JOIN generate_series($2::bigint + 1, head.size - 1) AS late (position)
CROSS JOIN LATERAL (
    SELECT e.stream FROM log_entries e WHERE e.tenant = $1 AND e.position = late.position LIMIT 1
) AS event
CROSS JOIN LATERAL (
    (SELECT s.first_position FROM vault_subjects s
     WHERE s.tenant = $1 AND s.contact_point = event.stream LIMIT 1)
    UNION ALL
    (SELECT g.first_position FROM erasures g
     WHERE g.tenant = $1 AND g.contact_point = event.stream LIMIT 1)
) AS began
WHERE head.tenant = $1 AND began.first_position >= $3 AND began.first_position < $4
"""


async def rebuild_selection(
    pool: asyncpg.Pool, tenant: int, *, accept: bool, progress: Callable[[str, int, int], None]
) -> Rebuilt:
    """Hold every chunk against the log, and, if `accept`, put right what differs. Raises StoreUnavailable."""
    rows = told_rows = differing = 0
    first: str | None = None
    chunk = position = 0
    with store_errors():
        async with pool.acquire() as connection:
            kinds = await connection.fetch(_KINDS, tenant)
        while True:
            async with pool.acquire() as connection, connection.transaction():
                position = await locked_checkpoint(connection, tenant, SELECTION)
                kept, told, wrong = await _compare(connection, tenant, chunk, position, kinds)
                if accept:
                    await write_bits(connection, tenant, {key: told.get(key, 0) for key in wrong})
            rows += sum(bits != 0 for bits in kept.values())
            told_rows += sum(bits != 0 for bits in told.values())
            differing += len(wrong)
            first = first or next((_shown(key) for key in wrong), None)
            chunk += 1
            progress(f"{NAME}: looking", min(chunk * CHUNK_BITS, position + 1), position + 1)
            if chunk * CHUNK_BITS > position:
                break
    compared = Compared(position, rows, told_rows, differing, first)
    return Rebuilt(resumed_after=-1, compared=compared, swapped=accept and differing > 0)


async def _compare(
    connection: Connected, tenant: int, chunk: int, position: int, kinds: Sequence[Record]
) -> tuple[dict[BitsKey, int], dict[BitsKey, int], list[BitsKey]]:
    """A chunk as kept, as told by the log, and the rows in which they differ."""
    low, high = chunk * CHUNK_BITS, (chunk + 1) * CHUNK_BITS
    began = await connection.fetch(_BEGAN, tenant, low, min(high, position + 1), list(CONTACT_POINT_TYPES))
    said = await said_of(connection, tenant, {row[0]: Touched(everywhere=True) for row in began})
    told = {key: change.set for key, change in said.items()}
    keys = list(
        dict.fromkeys([*(BitsKey(row[0], row[1], row[2], row[3], Kind(row[4]), chunk) for row in kinds), *told])
    )
    kept = dict(zip(keys, await held_bits(connection, tenant, keys), strict=True))
    aside = 0
    for row in await connection.fetch(MOVED_IN_CHUNK, tenant, position, low, high):
        aside |= mask_of(row[0])
    return kept, told, [key for key in keys if (kept[key] ^ told.get(key, 0)) & ~aside]


def _shown(key: BitsKey) -> str:
    return "/".join((key.channel, key.purpose, key.topic, key.unit, key.kind, f"chunk {key.chunk}"))
