"""The end of every log that somebody in this process watches, in memory: each entry is read once, whoever waits for it.

One task reads for all tenants, over one connection at a time, when a hint says that a log has grown, and each second.
What it holds of a tenant is without a hole: the entries from `low` up to `size`, exclusive; older ones are in the store.
It cannot miss or repeat, for the reason that `follow` gives. A database that is away is waited for.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from itertools import islice
from time import time

import asyncpg

from eventstore import read
from eventstore.database import StoreUnavailable, store_errors
from eventstore.read import IndexedEntry
from eventstore.wakeup import Wakeup, wait

_PAGE_ENTRIES = 500
_log = logging.getLogger("consentry.eventstore.tail")
# About a second of the fastest log: whoever is further behind than this reads from the store.
_HELD_ENTRIES_MAX = 10_000
_HELD_BYTES_MAX = 8 * 1024 * 1024


class TenantTail:
    """The end of one tenant's log, as far as it was read."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.watchers = 0
        # Where the last event of each type was, of those read since the watching began.
        self.last_of_type: dict[str, int] = {}
        self._held: deque[IndexedEntry] = deque()
        self._held_bytes = 0
        self._grown = asyncio.Event()

    @property
    def low(self) -> int:
        """The position of the oldest entry held; `size` where none is."""
        return self.size - len(self._held)

    def growth(self) -> asyncio.Event:
        """Set once `size` is greater than now."""
        return self._grown

    def after(self, position: int, limit: int) -> list[IndexedEntry]:
        """Up to `limit` entries held after `position`, which must be at least `low` - 1."""
        start = position + 1 - self.low
        if start < 0:
            raise LookupError("older than what is held")
        return list(islice(self._held, start, start + limit))

    def grow(self, entries: list[IndexedEntry]) -> None:
        """Take the entries that follow."""
        for indexed in entries:
            if indexed.stored.position != self.size:
                raise RuntimeError("the log has a hole, or entries out of order")
            self._held.append(indexed)
            self._held_bytes += len(indexed.stored.raw)
            self.last_of_type[indexed.stored.entry.type] = self.size
            self.size += 1
        while self._held and (len(self._held) > _HELD_ENTRIES_MAX or self._held_bytes > _HELD_BYTES_MAX):
            self._held_bytes -= len(self._held.popleft().stored.raw)
        self._grown.set()
        self._grown = asyncio.Event()


class LogTails:
    """The ends of all logs that are watched in this process."""

    def __init__(
        self, pool: asyncpg.Pool, wakeup: Wakeup, *, observe_lag_s: Callable[[float], None] = lambda _lag_s: None
    ) -> None:
        self._pool = pool
        self._wakeup = wakeup
        self._tails: dict[int, TenantTail] = {}
        self.observe_lag_s = observe_lag_s

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Read for as long as the context lasts."""
        task = asyncio.create_task(self._read_on(), name="log-tails")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def size(self, tenant: int) -> int:
        """How many entries the tenant's log has now. Raises StoreUnavailable."""
        with store_errors():
            async with self._pool.acquire() as connection:
                return (await read.head(connection, tenant)).size

    @contextlib.contextmanager
    def watching(self, tenant: int, size: int) -> Generator[TenantTail]:
        """The end of the tenant's log from `size` on, or from where it is read to already, for as long as the context lasts."""
        tail = self._tails.get(tenant)
        if tail is None:
            tail = self._tails[tenant] = TenantTail(size)
        tail.watchers += 1
        try:
            yield tail
        finally:
            tail.watchers -= 1
            if not tail.watchers:
                self._tails.pop(tenant, None)

    async def _read_on(self) -> None:
        while True:
            growth = self._wakeup.any_growth()
            try:
                while self._tails and await self._read_once():
                    pass
            except StoreUnavailable:
                pass  # tried again in a moment
            except Exception as error:  # noqa: BLE001 - loudly, and again: who waits here hears nothing until it passes
                _log.error("reading the ends of the logs failed", exc_info=error)
            await wait(growth)

    async def _read_once(self) -> bool:
        """Read a page of each tenant that has grown; whether there may be more."""
        more = False
        with store_errors():
            async with self._pool.acquire() as connection:
                # Sizes are read first: entries below them are all visible to the statements that follow.
                sizes = await read.sizes(connection, list(self._tails))
                for tenant, size in sizes.items():
                    tail = self._tails.get(tenant)
                    if tail is None or size <= tail.size:
                        continue
                    page = await read.forward_indexed(
                        connection, tenant, after=tail.size - 1, limit=min(_PAGE_ENTRIES, size - tail.size)
                    )
                    tail.grow(page)
                    more = more or tail.size < size
                    self.observe_lag_s(max(0.0, time() - page[0].stored.entry.recorded_at.timestamp()))
        return more
