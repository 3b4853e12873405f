"""Moving the bits of a selection on as consent expires, so that few contact points have to be looked at one by one.

Nothing rests on it: whoever reads the bits takes expiry into account up to the very instant.
"""

from ledger.assembly import Ledger
from projections import selection
from projections.follower import locked_checkpoint

# waiting: the tenants where consent has expired that the bits do not say yet.
_WAITING = """
SELECT head.tenant FROM log_heads head
LEFT JOIN selection_expiry moved ON moved.tenant = head.tenant
WHERE EXISTS (
    SELECT FROM current_consent c
    WHERE c.tenant = head.tenant AND c.valid_until <= $1
      AND (moved.expired_to IS NULL OR c.valid_until > moved.expired_to)
)
"""


async def expire_selections(ledger: Ledger) -> None:
    """Take account of everything that has expired by now, in every tenant. Raises StoreUnavailable."""
    now = ledger.clock()
    async with ledger.connection() as connection:
        tenants = [row[0] for row in await connection.fetch(_WAITING, now)]
    for tenant in tenants:
        done = False
        while not done:
            async with ledger.connection() as connection, connection.transaction():
                # The follower's own lock: one writer of a tenant's bits at a time.
                await locked_checkpoint(connection, tenant, selection.SELECTION)
                done = await selection.expire(connection, tenant, now)
