"""A commit of unknown outcome is settled here: the connection was lost between sending a group and its answer.

The group may be durable, may have been rolled back, or may still be on its way in a server process that outlived the
connection. Raising the head's epoch waits for whoever holds the head's row, and makes a statement that comes later match
no row. After that, whether the log holds our first entry is the whole answer: a group is written whole or not at all.
"""

import asyncio

import asyncpg

from eventstore.database import StoreUnavailable
from eventstore.read import StoredEntry

_TRIES = 20
_PAUSE_S = 0.25

# SQLSTATE classes after which the server may have committed: connection exceptions, and operator intervention, which
# can end a session between its commit and its answer.
_UNKNOWN_CLASSES = ("08", "57")


def outcome_is_known(error: BaseException) -> bool:
    """Whether the server said by this error that the transaction is rolled back."""
    sqlstate = error.sqlstate if isinstance(error, asyncpg.PostgresError) else None
    return sqlstate is not None and not sqlstate.startswith(_UNKNOWN_CLASSES)


async def committed(pool: asyncpg.Pool, tenant: int, first: StoredEntry) -> bool:
    """Whether the group that starts with `first` is in the log; if not, it can never get there any more.

    Raises StoreUnavailable where the database stays away: then its callers learn that the outcome is unknown, and their
    idempotency keys settle it.
    """
    for _ in range(_TRIES):
        try:
            async with pool.acquire() as connection:
                await connection.execute("UPDATE log_heads SET epoch = epoch + 1 WHERE tenant = $1", tenant)
                # Fenced: from here on a late statement of ours finds another epoch and writes nothing.
                stored = await connection.fetchval(
                    "SELECT entry FROM log_entries WHERE tenant = $1 AND position = $2", tenant, first.position
                )
                return stored == first.raw
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
            await asyncio.sleep(_PAUSE_S)
    raise StoreUnavailable("the database went away during a commit; ask again with the same idempotency key")
