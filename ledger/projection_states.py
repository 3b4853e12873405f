"""How the projections are: how far each is in each tenant's log, what it had to leave out, and what stops it."""

from dataclasses import dataclass

from ledger.assembly import Ledger
from projections.inline import INLINE
from projections.known import FOLLOWERS

# One statement, so positions and heads are of one snapshot and no lag is negative.
_STATES = """
SELECT t.key, p.projection, p.inline, head.size - 1,
       CASE WHEN p.inline THEN head.size - 1 ELSE coalesce(reached.position, -1) END,
       (SELECT count(*) FROM parked_events e WHERE e.tenant = head.tenant AND e.projection = p.projection),
       reached.stopped
FROM log_heads head
JOIN tenants t ON t.tenant = head.tenant
CROSS JOIN unnest($1::text[], $2::boolean[]) WITH ORDINALITY AS p (projection, inline, number)
LEFT JOIN projection_checkpoints reached ON reached.tenant = head.tenant AND reached.projection = p.projection
WHERE $3::text IS NULL OR t.key = $3
ORDER BY p.number, t.key
"""


@dataclass(frozen=True, slots=True)
class ProjectionState:
    """One projection of one tenant. `stopped` says why it cannot take account of the event after `position`."""

    tenant: str
    projection: str
    inline: bool
    head: int
    position: int
    parked: int
    stopped: str | None

    @property
    def lag(self) -> int:
        """How many events of the log it has not taken account of."""
        return self.head - self.position


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that a projection went on without, and why."""

    tenant: str
    projection: str
    position: int
    reason: str


async def projection_states(ledger: Ledger, tenant: str | None = None) -> list[ProjectionState]:
    """Every projection of one tenant or of all. Raises StoreUnavailable."""
    names = [known.name for known in (*INLINE, *FOLLOWERS)]
    inline = [True] * len(INLINE) + [False] * len(FOLLOWERS)
    async with ledger.connection() as connection:
        rows = await connection.fetch(_STATES, names, inline, tenant)
    return [ProjectionState(*row) for row in rows]


async def parked_events(ledger: Ledger, tenant: str | None = None) -> list[ParkedEvent]:
    """The parked events of one tenant or of all. Raises StoreUnavailable."""
    async with ledger.connection() as connection:
        rows = await connection.fetch(
            "SELECT t.key, e.projection, e.position, e.reason FROM parked_events e JOIN tenants t ON t.tenant = e.tenant"
            " WHERE $1::text IS NULL OR t.key = $1 ORDER BY 2, 1, 3",
            tenant,
        )
    return [ParkedEvent(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class FollowerTotals:
    """A follower over all tenants: the greatest lag, how many events are parked, and where it is stopped."""

    projection: str
    lag: int
    parked: int
    stopped: int


# The sums of the above, made where the rows are: there is one a tenant.
_TOTALS = """
SELECT p.projection, coalesce(max(head.size - 1 - coalesce(reached.position, -1)), 0),
       (SELECT count(*) FROM parked_events e WHERE e.projection = p.projection),
       count(reached.stopped)
FROM unnest($1::text[]) WITH ORDINALITY AS p (projection, number)
LEFT JOIN log_heads head ON true
LEFT JOIN projection_checkpoints reached ON reached.tenant = head.tenant AND reached.projection = p.projection
GROUP BY p.projection, p.number ORDER BY p.number
"""


async def follower_totals(ledger: Ledger) -> list[FollowerTotals]:
    """Every follower, for metrics. Raises StoreUnavailable."""
    names = [follower.name for follower in FOLLOWERS]
    async with ledger.connection() as connection:
        rows = await connection.fetch(_TOTALS, names)
    return [FollowerTotals(*row) for row in rows]
