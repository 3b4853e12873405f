"""Runs followers, for every tenant, in any number of processes: each step is some process's, under the lease of its tenant.

A runner looks for tenants where a follower is behind: when a log has grown, each second besides, and once a work is done.
Whoever gets the lease works until the follower is level, and gives it back; others find it taken, and look again. A process
that stops gives back what it holds; what a killed one held is free when its lease expires (`lease.DURATION_S`).
"""

import asyncio
import logging
from collections.abc import Sequence

import asyncpg

from eventstore.database import StoreUnavailable, store_errors
from eventstore.wakeup import Wakeup, wait
from projections.follower import STEP_ENTRIES, Stopped, behind, lease_name, step
from projections.known import FOLLOWERS
from projections.lease import DURATION_S, LeaseLost, held
from projections.projection import Follower

# Few, since each takes a connection of the process's pool from those who ask.
_AT_ONCE = 2
_ROUND_PAUSE_S = 0.2
_TAKEN_PAUSE_S = 0.5
# A tenant that writes all the time leaves its place to others now and then.
_STEPS_IN_A_ROW = 200
_TURN_PAUSE_S = 0.3
_FAILED_PAUSE_S = 10.0
_log = logging.getLogger("consentry.projections.runner")


class Runner:
    """The followers of one process."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        wakeup: Wakeup,
        projections: Sequence[Follower] = FOLLOWERS,
        *,
        lease_s: float = DURATION_S,
        step_entries: int = STEP_ENTRIES,
    ) -> None:
        self._pool = pool
        self._wakeup = wakeup
        self._projections = projections
        self._lease_s = lease_s
        self._step_entries = step_entries
        self._works: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._not_before_s: dict[tuple[str, int], float] = {}

    async def run(self) -> None:
        """Follow until cancelled; then give back the leases."""
        try:
            while True:
                growth = self._wakeup.any_growth()
                try:
                    await self._start_works(growth)
                except StoreUnavailable:
                    _log.warning("the store does not answer; followers go on once it does")
                except Exception as error:  # noqa: BLE001 - the loop has to outlive whatever one round meets
                    _log.error("looking for what followers have to do failed", exc_info=error)
                await wait(growth)
                # A log that grows all the time is looked at now and then, not at every flush.
                await asyncio.sleep(_ROUND_PAUSE_S)
        finally:
            works = list(self._works.values())
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)

    async def _start_works(self, again: asyncio.Event) -> None:
        """Start on what is behind; a work that is done sets `again`, since another may be waiting for its place."""
        for projection in self._projections:
            if len(self._works) >= _AT_ONCE:
                return
            with store_errors():
                async with self._pool.acquire() as connection:
                    tenants = await behind(connection, projection)
            now_s = asyncio.get_running_loop().time()
            for tenant in tenants:
                place = (projection.name, tenant)
                if len(self._works) >= _AT_ONCE or place in self._works or self._not_before_s.get(place, 0.0) > now_s:
                    continue
                work = asyncio.create_task(self._work(projection, tenant), name=f"follow-{projection.name}")
                self._works[place] = work
                work.add_done_callback(lambda _, place=place: (self._works.pop(place, None), again.set()))

    async def _work(self, projection: Follower, tenant: int) -> None:
        """Bring one follower level with one tenant's log, if no other worker is at it."""
        place = (projection.name, tenant)
        pause_s = 0.0
        try:
            async with held(self._pool, tenant, lease_name(projection), duration_s=self._lease_s) as lease:
                if lease is None:
                    pause_s = _TAKEN_PAUSE_S
                    return
                for _ in range(_STEPS_IN_A_ROW):
                    taken = await step(self._pool, lease, projection, entries_max=self._step_entries)
                    # What came in meanwhile waits for the next round: a busy log would be followed in steps of a few
                    # entries, each a transaction. A step of one may have parked it, with more behind it.
                    if taken != 1 and taken < self._step_entries:
                        return
                    # Others of this process get their turn between two steps.
                    await asyncio.sleep(0)
                pause_s = _TURN_PAUSE_S
        except LeaseLost:
            _log.warning("another worker may have taken over", extra={"fields": {"projection": projection.name}})
        except StoreUnavailable:
            pause_s = _TAKEN_PAUSE_S
        except Stopped:
            pause_s = _FAILED_PAUSE_S  # and was logged where it happened
        except Exception as error:  # noqa: BLE001 - one follower's trouble must not end the others
            pause_s = _FAILED_PAUSE_S
            _log.error("a follower failed", exc_info=error, extra={"fields": {"projection": projection.name}})
        finally:
            self._not_before_s.pop(place, None)
            if pause_s:
                self._not_before_s[place] = asyncio.get_running_loop().time() + pause_s
