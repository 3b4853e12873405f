"""A lease: at most one worker at a time for a (tenant, name), and what a worker that lost it still writes, nobody sees.

Who is authoritative. The row in `leases`, and the database's clock: nothing else in this project asks that clock. A worker
takes a lease that is free or has expired by it; each taking raises `fence`, which never goes back.

How long a worker may trust it. A renewal sets `expires_at` to the database's clock at that moment, plus the duration. The
worker cannot know that moment, only that it came after it had asked. So it trusts a renewal from when it asked, by its own
monotonic clock, for the duration less a tenth, and never from when the answer came: then its trust has ended before the lease
expires, as long as its clock runs within a tenth as fast as the database's. A renewal without an answer prolongs nothing.
`held` ends the work when the trust does, and that is what work with effects outside of the database (a request sent) has to
rely on: one that was on its way may still arrive, so receivers must bear a repeat.

Why that is not enough for what is written. A process can stand still between any two of its instructions, and go on when
another has long had the lease. So an effect in the database proves, in its own transaction, that the fence is still its own
(`prove`): the row is then locked against taking until that transaction ends. Either another took it before, and the proof
fails and nothing is written; or the effect is committed before another can take it, and whoever takes it sees the effect.

What a worker that stands still inside of such a transaction holds up. Nobody can take the lease meanwhile; the database
itself ends a transaction that idles longer than the lease lasts, and then it is free. Taking skips a row that is locked,
and waits for nobody.

What a late release cannot do. Release, like renewal, names the fence: after another took the lease it matches no row.
A renewal that comes after the expiry but before another taking is good: with the fence unchanged nobody worked in between.

After a stop the lease is free at once; after a kill, or where the database was away, once it has expired.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import asyncpg

from eventstore.database import StoreUnavailable, store_errors
from eventstore.personal.vault import Connected

DURATION_S = 10.0
# In the place of a tenant, for work on all of them: no tenant has this number.
ALL_TENANTS = 0
_TRUSTED_PART = 0.9
_RENEWALS_IN_A_DURATION = 4
_RELEASE_S = 2.0

_MAKE = """
INSERT INTO leases (tenant, name, fence, expires_at)
VALUES ($1, $2, 1, clock_timestamp() + make_interval(secs => $3)) ON CONFLICT DO NOTHING RETURNING fence
"""
# FOR UPDATE, which a plain UPDATE of this row is not, collides with the proof of an effect that is not committed yet.
_TAKE = """
WITH free AS (
    SELECT tenant, name FROM leases WHERE tenant = $1 AND name = $2 AND expires_at <= clock_timestamp()
    FOR UPDATE SKIP LOCKED
)
UPDATE leases SET fence = fence + 1, expires_at = clock_timestamp() + make_interval(secs => $3)
FROM free WHERE leases.tenant = free.tenant AND leases.name = free.name
RETURNING fence
"""
_RENEW = """
UPDATE leases SET expires_at = clock_timestamp() + make_interval(secs => $4)
WHERE tenant = $1 AND name = $2 AND fence = $3 RETURNING true
"""
_RELEASE = "UPDATE leases SET expires_at = '-infinity' WHERE tenant = $1 AND name = $2 AND fence = $3"
# FOR KEY SHARE collides with taking, not with renewing, so a worker's own renewals go on beside its effects.
_PROVE = """
SELECT set_config('idle_in_transaction_session_timeout', $4, true) FROM leases
WHERE tenant = $1 AND name = $2 AND fence = $3 FOR KEY SHARE
"""


class LeaseLost(Exception):
    """The lease is another's, or may be by now: stop, and write nothing more under it."""


class Lease:
    """A lease as its worker holds it. `fence` is greater than that of everybody who held it before."""

    def __init__(
        self, pool: asyncpg.Pool, tenant: int, name: str, fence: int, *, asked_at_s: float, duration_s: float
    ) -> None:
        self._pool = pool
        self.tenant = tenant
        self.name = name
        self.fence = fence
        self._duration_s = duration_s
        self._trusted_until_s = asked_at_s + duration_s * _TRUSTED_PART

    @property
    def trusted_until_s(self) -> float:
        """Until when, by the event loop's clock, no other can have it."""
        return self._trusted_until_s

    @property
    def renew_every_s(self) -> float:
        """How often to renew: several tries fit into a duration."""
        return self._duration_s / _RENEWALS_IN_A_DURATION

    async def renew(self) -> None:
        """Prolong it. Raises LeaseLost, and StoreUnavailable, after which it may or may not have been prolonged."""
        asked_at_s = _now_s()
        with store_errors():
            renewed = await self._pool.fetchval(_RENEW, self.tenant, self.name, self.fence, self._duration_s)
        if not renewed:
            raise LeaseLost(self.name)
        self._trusted_until_s = max(self._trusted_until_s, asked_at_s + self._duration_s * _TRUSTED_PART)

    async def prove(self, connection: Connected) -> None:
        """Make the transaction that `connection` is in commit only while the lease is ours. Raises LeaseLost.

        To be called first in the transaction: what it reads after that, no other worker changes before it ends.
        """
        if not connection.is_in_transaction():
            raise RuntimeError("a lease is proven in the transaction of its effect")
        idle_ms = str(max(1, round(self._duration_s * 1000)))
        if await connection.fetchval(_PROVE, self.tenant, self.name, self.fence, idle_ms) is None:
            raise LeaseLost(self.name)

    async def release(self) -> None:
        """Let the next one take it at once; does nothing where another has it. Raises StoreUnavailable."""
        with store_errors():
            await self._pool.execute(_RELEASE, self.tenant, self.name, self.fence)


async def take(pool: asyncpg.Pool, tenant: int, name: str, *, duration_s: float = DURATION_S) -> Lease | None:
    """The lease, or None while another has it. Raises StoreUnavailable."""
    asked_at_s = _now_s()
    with store_errors():
        async with pool.acquire() as connection:
            fence = await connection.fetchval(_TAKE, tenant, name, duration_s)
            if fence is None:
                fence = await connection.fetchval(_MAKE, tenant, name, duration_s)
    if fence is None:
        return None
    return Lease(pool, tenant, name, fence, asked_at_s=asked_at_s, duration_s=duration_s)


@contextlib.asynccontextmanager
async def held(
    pool: asyncpg.Pool, tenant: int, name: str, *, duration_s: float = DURATION_S
) -> AsyncGenerator[Lease | None]:
    """Take the lease, keep it renewed until the end of the context, and release it; None while another has it.

    Ends the context's work with LeaseLost once the lease cannot be trusted any more. Raises StoreUnavailable.
    """
    lease = await take(pool, tenant, name, duration_s=duration_s)
    if lease is None:
        yield None
        return
    try:
        trust = asyncio.timeout_at(lease.trusted_until_s)
        try:
            async with trust:
                renewing = asyncio.create_task(_keep(lease, trust), name=f"lease-{name}")
                try:
                    yield lease
                finally:
                    renewing.cancel()
                    await asyncio.gather(renewing, return_exceptions=True)
        except TimeoutError:
            if trust.expired():
                raise LeaseLost(name) from None
            raise
    finally:
        # Where this fails it expires: the next worker waits that long, and nothing is wrong.
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(_RELEASE_S):
                await lease.release()


async def _keep(lease: Lease, trust: asyncio.Timeout) -> None:
    """Renew again and again, and move the end of the trust; end it now where another has the lease."""
    while True:
        await asyncio.sleep(lease.renew_every_s)
        try:
            await lease.renew()
        except StoreUnavailable:
            continue
        except LeaseLost:
            if not trust.expired():
                trust.reschedule(_now_s())
            return
        if not trust.expired():
            trust.reschedule(lease.trusted_until_s)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
