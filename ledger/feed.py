"""The live feed: every event of a tenant that passes a filter, in log order, each once, from a position on, for ever.

A feed keeps two positions apart: `received`, up to where it has looked, and what its reader has sent, which is the reader's
own. Its states:

    catching up --all that was held is read--> live     reads pages from the store, by the filter, as the reader asks
    live --more came than is held--> catching up        takes entries from the tail that all feeds of the process share
    catching up, live --the reader leaves--> ended

Nothing is read before the reader asks for it, so a slow reader costs one page. Between the states nothing is missed and
nothing repeated: both read "after `received`", and a position, once visible, has all before it visible.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from domain.refusals import Refusal, RefusalCode
from eventstore import read
from eventstore.database import StoreUnavailable
from eventstore.read import EntryFilter, StoredEntry
from eventstore.tail import TenantTail
from ledger.assembly import Tenant
from ledger.history import EventFilter, cursor_position, entry_filter

_AGAIN_S = 0.5
# How far one statement looks for events that pass: so that no statement runs long, and feeds that began apart meet again.
_STRIDE_POSITIONS = 8_192
_PAGE_BYTES_MAX = 512 * 1024


class FeedState(StrEnum):
    """Where a feed reads from; one that has ended reads no more, and so has none."""

    CATCHING_UP = "catching up"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class FeedStart:
    """A feed that may begin: which events, and after which position."""

    tenant: Tenant
    entry_filter: EntryFilter
    after: int
    size: int


@dataclass(frozen=True, slots=True)
class FeedPage:
    """The next events that pass, possibly none, and the position up to which there are no others."""

    events: Sequence[StoredEntry]
    received: int


async def feed_start(
    tenant: Tenant,
    event_filter: EventFilter,
    *,
    after: str | None = None,
    after_position: int | None = None,
    from_position: int | None = None,
) -> FeedStart:
    """Where a feed begins: after a cursor, after a position, with one, or with what is recorded from now on.

    A cursor or position beyond the log's end is refused: it is of another log, perhaps of this one before its database was
    restored from a copy, and what comes at the positions before it would be missed. Raises Refusal INVALID, NOT_FOUND;
    StoreUnavailable.
    """
    places = {"after": after, "afterPosition": after_position, "fromPosition": from_position}
    given = [name for name, place in places.items() if place is not None]
    if len(given) > 1:
        raise Refusal(RefusalCode.INVALID, f"give {' or '.join(given)}, not both", (given[-1],))
    position = after_position
    if after is not None:
        position = cursor_position(tenant, after, "after")
    elif from_position is not None:
        position = from_position - 1
    wanted = entry_filter(await tenant.latest_catalogue(), event_filter)
    size = await tenant.ledger.tails.size(tenant.id)
    if position is None:
        position = size - 1
    elif position >= size:
        raise Refusal(
            RefusalCode.INVALID,
            f"{given[0]} is beyond the end of the log, whose last position is {size - 1}; it was not given out by this log",
            (given[0],),
        )
    return FeedStart(tenant, wanted, position, size)


class Feed:
    """One feed; `tail` is the end of its tenant's log, watched for as long as the feed is used."""

    def __init__(self, start: FeedStart, tail: TenantTail) -> None:
        self._tenant = start.tenant
        self._filter = start.entry_filter
        self._tail = tail

    def state_at(self, position: int) -> FeedState:
        """Where a reader that has received up to `position` reads from."""
        return FeedState.LIVE if position >= self._tail.low - 1 else FeedState.CATCHING_UP

    async def after(self, position: int, events_max: int) -> FeedPage:
        """What follows `position`: waits until the log goes on beyond it, and for a database that is away."""
        while True:
            growth = self._tail.growth()
            if self.state_at(position) is FeedState.CATCHING_UP:
                try:
                    return await self._from_store(position, events_max)
                except StoreUnavailable:
                    await asyncio.sleep(_AGAIN_S)
                    continue
            page = self._from_tail(position, events_max)
            if page.received > position:
                return page
            await growth.wait()

    async def _from_store(self, position: int, events_max: int) -> FeedPage:
        # Strides end at multiples, whatever they began with; what the tail holds is not asked of the store.
        until = min(self._tail.size - 1, (position // _STRIDE_POSITIONS + 1) * _STRIDE_POSITIONS - 1)
        if until <= position:
            until = min(self._tail.size - 1, position + _STRIDE_POSITIONS)
        bound = until if self._filter.to_position is None else min(until, self._filter.to_position)
        ledger = self._tenant.ledger
        async with ledger.feed_reading, ledger.connection() as connection:
            found = await read.forward(
                connection,
                self._tenant.id,
                replace(self._filter, to_position=bound),
                after=position,
                limit=events_max,
            )
        shown = _within_bytes(found)
        whole = len(shown) == len(found) and len(found) < events_max
        return FeedPage(shown, until if whole else shown[-1].position)

    def _from_tail(self, position: int, events_max: int) -> FeedPage:
        passing: list[StoredEntry] = []
        for indexed in self._tail.after(position, _STRIDE_POSITIONS):
            if len(passing) == events_max:
                break
            position = indexed.stored.position
            if self._filter.passes(indexed):
                passing.append(indexed.stored)
        shown = _within_bytes(passing)
        return FeedPage(shown, position if len(shown) == len(passing) else shown[-1].position)


def _within_bytes(found: Sequence[StoredEntry]) -> Sequence[StoredEntry]:
    """As many of the first as fit into a page, one at least."""
    total = 0
    for number, stored in enumerate(found):
        total += len(stored.raw)
        if total > _PAGE_BYTES_MAX and number:
            return found[:number]
    return found
