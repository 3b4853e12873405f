"""A follower takes one step: some entries after its checkpoint, their effect and the checkpoint, in one transaction.

    behind --step--> behind | level     effect and checkpoint are durable together, or neither is: a crash repeats the step
    behind --an event that cannot be taken account of--> parked, and on   where the projection may leave it out
                                                     --> stopped          where it may not, or this code is too old for it

The transaction proves the worker's lease first, so a stale worker's step writes nothing (see `lease`), and then locks the
checkpoint, so what replaces the table's rows (see `rebuild`) comes before a step or after it.

A step that fails is tried again with half as many entries, down to the one that is to blame. That one is parked: recorded
with the kind of error, counted, shown (`consentry projections`, metrics), and left out of the table until a rebuild. Only a
projection on which no decision rests may go on like this. Any other stops there, and shows why, and tries again: a wrong "may
send" from a table that lacks an opt-out is the worst there is, an old table says itself how old it is. An event of a type or
version that this code does not know is never parked: newer code, in a process beside this one perhaps, can read it.
"""

import logging
from collections.abc import Sequence

import asyncpg

from domain.upcasting import UnknownEventVersion
from eventstore import read
from eventstore.database import StoreUnavailable, store_errors
from eventstore.personal.vault import Connected
from projections.happened import read_all
from projections.lease import Lease, LeaseLost
from projections.projection import Follower

STEP_ENTRIES = 500
_log = logging.getLogger("consentry.projections.follower")

_MAKE_CHECKPOINT = """
INSERT INTO projection_checkpoints (tenant, projection, position) VALUES ($1, $2, -1) ON CONFLICT DO NOTHING
"""
_LOCK_CHECKPOINT = "SELECT position FROM projection_checkpoints WHERE tenant = $1 AND projection = $2 FOR UPDATE"
_MOVE_CHECKPOINT = """
UPDATE projection_checkpoints SET position = $3, stopped = $4 WHERE tenant = $1 AND projection = $2
"""
_PARK = """
INSERT INTO parked_events (tenant, projection, position, reason) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""


class Stopped(Exception):
    """The projection cannot take account of the event at `position`, nor may it go on without it."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"stopped before the event at position {position}: {reason}")
        self.position = position
        self.reason = reason


def lease_name(projection: Follower) -> str:
    """The lease under which one worker at a time keeps the projection."""
    return f"projection {projection.name}"


async def step(pool: asyncpg.Pool, lease: Lease, projection: Follower, *, entries_max: int = STEP_ENTRIES) -> int:
    """Take account of up to `entries_max` more entries; how many it were, 0 where nothing more is there.

    Raises LeaseLost, Stopped, StoreUnavailable.
    """
    limit = entries_max
    while True:
        try:
            return await _advance(pool, lease, projection, limit)
        except (LeaseLost, StoreUnavailable):
            raise
        except Exception as error:  # noqa: BLE001 - whatever one event does to fold or table, it is found and named
            if limit == 1:
                return await _poisoned(pool, lease, projection, error)
            limit = max(1, limit // 2)


async def locked_checkpoint(connection: Connected, tenant: int, projection: Follower) -> int:
    """The position of the follower's last step, which makes no other until this transaction ends."""
    await connection.execute(_MAKE_CHECKPOINT, tenant, projection.name)
    position: int = await connection.fetchval(_LOCK_CHECKPOINT, tenant, projection.name)
    return position


async def _advance(pool: asyncpg.Pool, lease: Lease, projection: Follower, limit: int) -> int:
    with store_errors():
        async with pool.acquire() as connection, connection.transaction():
            await lease.prove(connection)
            position = await locked_checkpoint(connection, lease.tenant, projection)
            page = await read.raw_forward(connection, lease.tenant, after=position, limit=limit)
            if page:
                await projection.take(connection, lease.tenant, read_all([raw for _, raw in page]))
                await connection.execute(_MOVE_CHECKPOINT, lease.tenant, projection.name, page[-1][0], None)
    # Durable now: effect and checkpoint. A process that ends here has lost nothing but the knowledge of it.
    return len(page)


async def _poisoned(pool: asyncpg.Pool, lease: Lease, projection: Follower, error: Exception) -> int:
    """Park the next event, or stop before it."""
    reason = reason_of(error)
    parks = projection.may_leave_out and _is_the_events_fault(error)
    with store_errors():
        async with pool.acquire() as connection, connection.transaction():
            await lease.prove(connection)
            position = await locked_checkpoint(connection, lease.tenant, projection)
            if parks:
                await connection.execute(_PARK, lease.tenant, projection.name, position + 1, reason)
                await connection.execute(_MOVE_CHECKPOINT, lease.tenant, projection.name, position + 1, None)
            else:
                await connection.execute(_MOVE_CHECKPOINT, lease.tenant, projection.name, position, reason)
    _log.error(
        "an event is parked" if parks else "a projection is stopped",
        extra={
            "fields": {"projection": projection.name, "tenant": lease.tenant, "position": position + 1, "why": reason}
        },
    )
    if not parks:
        raise Stopped(position + 1, reason)
    return 1


def _is_the_events_fault(error: Exception) -> bool:
    """Whether this very event is to blame: a fold is pure, so what it cannot take is in the entry. What the database refuses,
    a missing right or table, it would refuse for all others too."""
    return not isinstance(error, UnknownEventVersion | asyncpg.PostgresError | asyncpg.InterfaceError)


def reason_of(error: Exception) -> str:
    """Why, as it is kept and shown: the kind of error. Its words may quote what the event holds; only ours do not."""
    if isinstance(error, UnknownEventVersion):
        return str(error)
    if isinstance(error, asyncpg.PostgresError):
        return f"the database refused it: {type(error).__name__}"
    return f"it cannot be read: {type(error).__name__}"


# behind: the tenants whose log has entries that the follower has not taken account of.
_BEHIND = """
SELECT head.tenant FROM log_heads head
LEFT JOIN projection_checkpoints reached ON reached.tenant = head.tenant AND reached.projection = $1
WHERE head.size - 1 > coalesce(reached.position, -1)
"""


async def behind(connection: Connected, projection: Follower) -> Sequence[int]:
    """The tenants where the follower has something to do."""
    return [row[0] for row in await connection.fetch(_BEHIND, projection.name)]
