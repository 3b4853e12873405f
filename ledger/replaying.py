"""Replaying: the state as it was, rebuilt from the log's entries alone. No read model is asked, so it can be held to them."""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from domain.addresses import Channel
from domain.consent import RESTRICTIVENESS, ConsentRecord, ConsentValue
from domain.events import CURRENT_VERSIONS, EventType
from domain.refusals import Refusal, RefusalCode
from domain.upcasting import upcast
from eventstore import read, tree
from ledger.assembly import Tenant
from projections.happened import Read, read_all
from tlog.compact_range import EMPTY
from tlog.hashing import leaf_hash

_PAGE_ENTRIES = 2_000
_CAPTURED = str(EventType.CONSENT_CAPTURED)
_CURRENT = CURRENT_VERSIONS[EventType.CONSENT_CAPTURED]


class ReplayMismatch(Exception):
    """The entries do not lead to the root that the log's tree has: one of the two was changed."""


class ReplayedConsent(NamedTuple):
    """What counted at one contact point, for a purpose or topic in a unit; `value` is NOT_SET once it expired.

    It is `erased` from the request for the erasure on, as it is to every check.
    """

    contact_point: UUID
    channel: Channel
    value: ConsentValue
    record: ConsentRecord
    erased: bool


@dataclass(frozen=True, slots=True)
class Replayed:
    """The state after `entries` entries, as of an instant, and the root of the tree over exactly these."""

    rows: list[ReplayedConsent]
    entries: int
    root: bytes
    as_of: datetime


async def replay(
    tenant: Tenant,
    *,
    until_position: int | None = None,
    until: datetime | None = None,
    as_of: datetime | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Replayed:
    """The state from all entries up to a position, or recorded by an instant (both inclusive), or from all there are.

    `as_of` is by default that instant, or when the last of the entries was recorded, or now: so with `until` this is what a
    check with `knownAt` answers from. Raises Refusal INVALID for a position beyond the log, ReplayMismatch,
    StoreUnavailable.
    """
    if until_position is not None:
        async with tenant.ledger.connection() as connection:
            size = (await read.head(connection, tenant.id)).size
        # The head's state is not the answer: whoever names a position wants the state with that event in it.
        if until_position >= size:
            raise Refusal(RefusalCode.INVALID, f"the log has {size} events", ("until_position",))
    state = _State(as_of)
    rehashed = EMPTY
    reading = asyncio.create_task(_page(tenant, -1))
    try:
        while True:
            raws = await reading
            after = rehashed.size + len(raws) - 1
            # The next page is read while this one is folded.
            reading = asyncio.create_task(_page(tenant, after))
            await asyncio.sleep(0)
            events = read_all(raws)
            wanted = _up_to(events, until_position, until)
            rehashed = rehashed.append_many(map(leaf_hash, raws[:wanted]))
            state.take(events[:wanted])
            progress(rehashed.size)
            if wanted < _PAGE_ENTRIES:
                break
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    async with tenant.ledger.connection() as connection:
        if await tree.root_at(connection, tenant.id, rehashed.size) != rehashed.root():
            raise ReplayMismatch(f"the first {rehashed.size} entries do not lead to the root of the log's tree")
    judged = as_of or until or (state.recorded_at if until_position is not None else None) or tenant.ledger.clock()
    return Replayed(state.rows(judged), rehashed.size, rehashed.root(), judged)


async def _page(tenant: Tenant, after: int) -> list[bytes]:
    async with tenant.ledger.connection() as connection:
        page = await read.raw_forward(connection, tenant.id, after=after, limit=_PAGE_ENTRIES)
    return [raw for _, raw in page]


def _up_to(events: Sequence[Read], position: int | None, instant: datetime | None) -> int:
    """How many of these events are to be taken account of: neither positions nor times of recording ever decrease."""
    count = len(events)
    if position is not None:
        count = bisect_right(events, position, hi=count, key=lambda event: event.position)
    if instant is not None:
        count = bisect_right(events, instant, hi=count, key=lambda event: event.recorded_at)
    return count


_Key = tuple[str, str, str, str]
"""Contact point, purpose, topic ('' is the purpose itself) and unit: as text they sort as they do in the tables."""


class _State:
    """What the events so far lead to, of those effective by `as_of`: the fold of `domain.consent`, on plain tuples."""

    def __init__(self, as_of: datetime | None) -> None:
        self._as_of = as_of
        # (precedence, value, recordedAt, validUntil): plain values, which nothing has to look through for garbage.
        self._held: dict[_Key, tuple[tuple[datetime, int, int], str, datetime, str | None]] = {}
        self._channels: dict[str, str] = {}
        self._erased: set[str] = set()
        self.recorded_at: datetime | None = None

    def take(self, events: Sequence[Read]) -> None:
        """Take account of further events, in log order."""
        held, channels, as_of = self._held, self._channels, self._as_of
        for event in events:
            if event.type != _CAPTURED:
                if event.type == EventType.CONTACT_POINT_ERASURE_REQUESTED:
                    self._erased.add(event.stream)
                continue
            data = event.data if event.version == _CURRENT else upcast(event.type, event.version, event.data)
            effective_at = event.effective_at
            if effective_at is None:
                raise ValueError(f"the capture at position {event.position} has no effectiveAt")
            channels[event.stream] = data["channel"]
            if as_of is not None and effective_at > as_of:
                continue
            key = event.stream, data["purpose"], data.get("topic") or "", data["unit"]
            precedence = effective_at, RESTRICTIVENESS[data["value"]], event.position
            there = held.get(key)
            if there is None or precedence > there[0]:
                held[key] = precedence, data["value"], event.recorded_at, data.get("validUntil")
        if events:
            self.recorded_at = events[-1].recorded_at

    def rows(self, judged: datetime) -> list[ReplayedConsent]:
        """What counted at each contact point, expiry judged at an instant."""
        found: list[ReplayedConsent] = []
        values = {str(value): value for value in ConsentValue}
        channels = {stream: Channel(channel) for stream, channel in self._channels.items()}
        for key, (precedence, value, recorded_at, valid_until) in sorted(self._held.items()):
            contact_point, purpose, topic, unit = key
            effective_at, _, position = precedence
            record = ConsentRecord(
                purpose,
                topic or None,
                unit,
                values[value],
                effective_at,
                recorded_at,
                position,
                None if valid_until is None else datetime.fromisoformat(valid_until),
            )
            found.append(
                ReplayedConsent(
                    UUID(contact_point),
                    channels[contact_point],
                    ConsentValue.NOT_SET if record.expired_at(judged) else record.value,
                    record,
                    contact_point in self._erased,
                )
            )
        return found
