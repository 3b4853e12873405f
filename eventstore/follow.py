"""Following a log: every entry after a position, in order, each once, first what is there and then what comes.

    behind --page is full--> behind        read the next page at once
    behind --page is short--> level        nothing more is there: wait for a hint, or a second, and read again

It cannot miss or repeat: positions are given under the head's lock and become visible with the head, in order, so the
entries after position p that a reader sees are p+1, p+2 ... without a hole; the reader moves by the last position it saw.
"""

from collections.abc import AsyncIterator

import asyncpg

from eventstore import read
from eventstore.database import StoreUnavailable, store_errors
from eventstore.read import EVERYTHING, EntryFilter, StoredEntry
from eventstore.wakeup import Wakeup, wait

PAGE_ENTRIES = 500


async def follow(
    pool: asyncpg.Pool,
    wakeup: Wakeup,
    tenant: int,
    *,
    after: int,
    entry_filter: EntryFilter = EVERYTHING,
) -> AsyncIterator[StoredEntry]:
    """Every entry with a position greater than `after` that passes the filter, for ever; survives the database's restart."""
    while True:
        growth = wakeup.growth(tenant)
        try:
            with store_errors():
                async with pool.acquire() as connection:
                    # The size is read first: entries up to it are all visible to the statement that follows.
                    size = (await read.head(connection, tenant)).size
                    page = await read.forward(connection, tenant, entry_filter, after=after, limit=PAGE_ENTRIES)
        except StoreUnavailable:
            await wait(growth)
            continue
        for stored in page:
            yield stored
            after = stored.position
        if len(page) < PAGE_ENTRIES:
            after = max(after, size - 1)
            await wait(growth)
