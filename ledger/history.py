"""History: contact points, and the events of a contact point or of the whole log, page by page in log order."""

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.addresses import Channel, normalise
from domain.catalogue import Catalogue
from domain.refusals import Refusal, RefusalCode
from eventstore import read
from eventstore.personal import vault
from eventstore.read import EntryFilter, StoredEntry
from ledger.assembly import Tenant
from ledger.pages import Page, cursor, page_size, place_of
from projections import contact_points
from projections.contact_points import ContactPoint

EVENTS = "event"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events, in the words of the contract; purposes and topics are refs."""

    types: Sequence[str] | None = None
    channel: Channel | None = None
    purpose: str | None = None
    topic: str | None = None
    values: Sequence[str] | None = None
    sources: Sequence[str] | None = None
    application: str | None = None
    recorded_from: datetime | None = None
    recorded_to: datetime | None = None
    from_position: int | None = None
    to_position: int | None = None


async def find_contact_point(tenant: Tenant, channel: Channel, address: str) -> ContactPoint | None:
    """The contact point with this address. Raises Refusal INVALID_ADDRESS, StoreUnavailable."""
    blind_index = tenant.blind_index(channel, normalise(channel, address))
    async with tenant.ledger.connection() as connection:
        return await contact_points.by_blind_index(connection, tenant.id, blind_index)


async def contact_points_by_id(tenant: Tenant, ids: Sequence[UUID]) -> dict[UUID, ContactPoint]:
    """The contact points that are there, by id."""
    async with tenant.ledger.connection() as connection:
        return await contact_points.by_ids(connection, tenant.id, ids)


async def addresses(tenant: Tenant, ids: Sequence[UUID]) -> dict[UUID, str]:
    """The addresses of contact points, opened."""
    async with tenant.ledger.connection() as connection:
        return await vault.open_addresses(connection, tenant.ledger.keyring, tenant.id, ids)


async def evidence(tenant: Tenant, events: Sequence[StoredEntry]) -> dict[int, dict[str, Any]]:
    """The evidence of events, opened, by position: what is personal, and the notice's text by its digest."""
    digests = {
        event.position: b64decode(event.entry.data["noticeDigest"])
        for event in events
        if "noticeDigest" in event.entry.data
    }
    async with tenant.ledger.connection() as connection:
        opened = await vault.open_evidence(
            connection,
            tenant.ledger.keyring,
            tenant.id,
            [(event.entry.stream, event.position) for event in events if vault.EVIDENCE in event.entry.personal],
        )
        notices = await vault.notice_texts(connection, tenant.id, list(set(digests.values()))) if digests else {}
    for position, digest in digests.items():
        opened[position] = {**opened.get(position, {}), "noticeText": notices[digest]}
    return opened


async def events_at(tenant: Tenant, positions: Sequence[int]) -> dict[int, StoredEntry]:
    """The events at these positions."""
    async with tenant.ledger.connection() as connection:
        return await read.at_positions(connection, tenant.id, positions)


async def events(
    tenant: Tenant,
    event_filter: EventFilter,
    *,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
    stream: UUID | None = None,
) -> Page[StoredEntry]:
    """A page of events in log order: the `first` after a cursor, or the `last` before one; of one stream if given.

    Raises Refusal NOT_FOUND (purpose, topic), INVALID (cursors, first beside last), LimitExceeded, StoreUnavailable.
    """
    if first is not None and last is not None:
        raise Refusal(RefusalCode.INVALID, "give first or last, not both", ("last",))
    backward = last is not None or (before is not None and first is None)
    size = page_size("last", last) if backward else page_size("first", first)
    low = int(place_of(tenant, EVENTS, after, field="after")) if after is not None else -1
    high = int(place_of(tenant, EVENTS, before, field="before")) if before is not None else None
    wanted = _entry_filter(await tenant.latest_catalogue(), event_filter, stream)
    async with tenant.ledger.connection() as connection:
        if backward:
            bounded = _bounded(wanted, low + 1, None)
            found = await read.backward(connection, tenant.id, bounded, before=high, limit=size + 1)
            more = len(found) > size
            page = found[:size][::-1]
            has_previous, has_next = more, high is not None and await _any(tenant, wanted, after=high - 1)
        else:
            bounded = _bounded(wanted, None, None if high is None else high - 1)
            found = await read.forward(connection, tenant.id, bounded, after=low, limit=size + 1)
            more = len(found) > size
            page = found[:size]
            has_next, has_previous = more, low >= 0 and await _any(tenant, wanted, before=low + 1)

    async def total_count() -> int:
        async with tenant.ledger.connection() as connection:
            return await read.count(connection, tenant.id, wanted)

    return Page([(event_cursor(tenant, event), event) for event in page], has_next, has_previous, total_count)


def event_cursor(tenant: Tenant, event: StoredEntry) -> str:
    """The cursor of an event, in every list of events."""
    return cursor(tenant, EVENTS, str(event.position))


async def _any(tenant: Tenant, wanted: EntryFilter, *, after: int = -1, before: int | None = None) -> bool:
    async with tenant.ledger.connection() as connection:
        if before is None:
            return bool(await read.forward(connection, tenant.id, wanted, after=after, limit=1))
        return bool(await read.backward(connection, tenant.id, wanted, before=before, limit=1))


def _bounded(wanted: EntryFilter, low: int | None, high: int | None) -> EntryFilter:
    lows = [bound for bound in (wanted.from_position, low) if bound is not None]
    highs = [bound for bound in (wanted.to_position, high) if bound is not None]
    return replace(wanted, from_position=max(lows, default=None), to_position=min(highs, default=None))


def _entry_filter(catalogue: Catalogue, asked: EventFilter, stream: UUID | None) -> EntryFilter:
    return EntryFilter(
        types=asked.types,
        channel=asked.channel,
        purpose=None if asked.purpose is None else catalogue.purpose(asked.purpose).key,
        topic=None if asked.topic is None else catalogue.topic(asked.topic).key,
        values=asked.values,
        sources=asked.sources,
        application=asked.application,
        stream=stream,
        recorded_from=asked.recorded_from,
        recorded_to=asked.recorded_to,
        from_position=asked.from_position,
        to_position=asked.to_position,
    )
