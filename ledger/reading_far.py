"""Reading the whole log: every event after a place, up to the end as it was at the start, in pages that cost the same anywhere.

A page is one look-up by position, bounded in events and in how much of the log it looks through, and holds no connection once
it is read: who reads slowly costs a page of memory.
"""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from domain.refusals import Refusal, RefusalCode
from eventstore import read
from eventstore.read import EntryFilter, StoredText
from ledger.assembly import Tenant
from ledger.history import EventFilter, cursor_position, entry_filter

PAGE_EVENTS = 256
# What a page looks through at most: a filter that hardly anything passes must not become one statement over all of it.
_LOOKED_THROUGH = 20_000
_POSITION = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """The events to read: greater than `after`, up to `last`, which was the log's last one; and which of them."""

    after: int
    last: int
    wanted: EntryFilter


async def span(tenant: Tenant, after: str | None, event_filter: EventFilter) -> Span:
    """What a reader asks for by a cursor, a position, or (None) from the start.

    Raises Refusal INVALID (no cursor of this tenant, no such type), NOT_FOUND (purpose, and a place beyond the log's end),
    StoreUnavailable.
    """
    start = -1
    if after is not None:
        start = int(after) if _POSITION.fullmatch(after) else cursor_position(tenant, after, "after")
    wanted = entry_filter(await tenant.latest_catalogue(), event_filter)
    async with tenant.ledger.connection() as connection:
        last = (await read.head(connection, tenant.id)).size - 1
    if start > last:
        raise Refusal(
            RefusalCode.NOT_FOUND, f"after names position {start}, and the log ends at position {last}", ("after",)
        )
    return Span(start, last, wanted)


async def pages(tenant: Tenant, asked: Span) -> AsyncIterator[Sequence[StoredText]]:
    """The events of a span, oldest first, one page after the other; none is empty. Raises StoreUnavailable."""
    after = asked.after
    while after < asked.last:
        end = min(asked.last, after + _LOOKED_THROUGH)
        within = replace(asked.wanted, to_position=end)
        async with tenant.ledger.connection() as connection:
            page = await read.forward_text(connection, tenant.id, within, after=after, limit=PAGE_EVENTS)
        if page:
            yield page
        after = page[-1].position if len(page) == PAGE_EVENTS else end
