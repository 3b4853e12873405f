"""Replaying: the state as it was, rebuilt from the log's entries alone. No read model is asked, so it can be held to them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.addresses import Channel
from domain.consent import ConsentRecord, ConsentValue, join
from domain.events import EventType
from domain.refusals import Refusal, RefusalCode
from eventstore import read, tree
from ledger.assembly import Tenant
from projections.inline import captured
from tlog.compact_range import EMPTY
from tlog.hashing import leaf_hash

_PAGE_ENTRIES = 2_000


class ReplayMismatch(Exception):
    """The entries do not lead to the root that the log's tree has: one of the two was changed."""


@dataclass(frozen=True, slots=True)
class ReplayedConsent:
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
    held: dict[tuple[UUID, str, str | None, str], ConsentRecord] = {}
    channels: dict[UUID, Channel] = {}
    erased: set[UUID] = set()
    rehashed = EMPTY
    recorded_at: datetime | None = None
    while True:
        async with tenant.ledger.connection() as connection:
            page = await read.forward(connection, tenant.id, after=rehashed.size - 1, limit=_PAGE_ENTRIES)
        wanted = [
            stored
            for stored in page
            if (until_position is None or stored.position <= until_position)
            and (until is None or stored.entry.recorded_at <= until)
        ]
        rehashed = rehashed.append_many([leaf_hash(stored.raw) for stored in wanted])
        for stored in wanted:
            entry = stored.entry
            recorded_at = entry.recorded_at
            capture = captured(entry)
            if capture is None:
                if entry.type == EventType.CONTACT_POINT_ERASURE_REQUESTED:
                    erased.add(entry.stream)
                continue
            channels[entry.stream] = capture.channel
            if as_of is None or capture.effective_at <= as_of:
                key = (entry.stream, capture.purpose, capture.topic, capture.unit)
                record = join(held.get(key), capture.record(entry.position, entry.recorded_at))
                if record is not None:
                    held[key] = record
        progress(rehashed.size)
        if len(wanted) < _PAGE_ENTRIES:
            break
    async with tenant.ledger.connection() as connection:
        if await tree.root_at(connection, tenant.id, rehashed.size) != rehashed.root():
            raise ReplayMismatch(f"the first {rehashed.size} entries do not lead to the root of the log's tree")
    judged = as_of or until or (recorded_at if until_position is not None else None) or tenant.ledger.clock()
    rows = [
        ReplayedConsent(
            key[0],
            channels[key[0]],
            ConsentValue.NOT_SET if record.expired_at(judged) else record.value,
            record,
            key[0] in erased,
        )
        for key, record in sorted(held.items(), key=lambda item: (item[0][0], item[0][1], item[0][2] or "", item[0][3]))
    ]
    return Replayed(rows, rehashed.size, rehashed.root(), judged)
