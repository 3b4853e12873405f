"""How the store is: whether it answers, whether it is at the version that this code knows, how much it holds."""

from dataclasses import dataclass

from eventstore.migrate import is_current
from ledger.assembly import Ledger

_COUNTS = "SELECT count(*), coalesce(sum(size), 0)::bigint FROM log_heads"


@dataclass(frozen=True, slots=True)
class StoreState:
    """What health checks and metrics say of the store."""

    current: bool
    tenants: int
    events: int


async def store_state(ledger: Ledger) -> StoreState:
    """The state of the store. Raises StoreUnavailable."""
    async with ledger.connection() as connection:
        [row] = await connection.fetch(_COUNTS)
        current = await is_current(connection)
    return StoreState(current, row[0], row[1])
