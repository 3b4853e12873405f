"""What follows the log, caught up in bulk: the bits of selection by their own rebuild, trends by long steps."""

from eventstore import read
from ledger.assembly import Tenant
from projections.checkpoints import followed_to
from projections.follower import lease_name, step
from projections.known import FOLLOWERS
from projections.lease import held
from projections.selection import NAME, SELECTION
from projections.selection_rebuild import rebuild_selection

_STEP_ENTRIES = 10_000
# Above that, telling all chunks anew is quicker than following entry by entry.
_FAR_ENTRIES = 500
_AT_THE_END = """
INSERT INTO projection_checkpoints (tenant, projection, position)
SELECT tenant, $2, size - 1 FROM log_heads WHERE tenant = $1
ON CONFLICT (tenant, projection) DO UPDATE SET position = excluded.position
"""


async def _far_behind(tenant: Tenant) -> bool:
    async with tenant.ledger.connection() as connection:
        size = (await read.head(connection, tenant.id)).size
        return size - 1 - await followed_to(connection, tenant.id, NAME) > _FAR_ENTRIES


async def catch_up(tenant: Tenant) -> None:
    """Bring every follower's table to the end of the log; nobody else may follow meanwhile."""
    pool = tenant.ledger.pool
    for follower in FOLLOWERS:
        async with held(pool, tenant.id, lease_name(follower)) as lease:
            if lease is None:
                raise RuntimeError("another process follows")
            if follower is SELECTION and await _far_behind(tenant):
                async with tenant.ledger.connection() as connection:
                    await connection.execute(_AT_THE_END, tenant.id, NAME)
                await rebuild_selection(pool, tenant.id, accept=True, progress=lambda *_: None)
            while await step(pool, lease, follower, entries_max=_STEP_ENTRIES):
                pass
