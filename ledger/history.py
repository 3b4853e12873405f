"""History: contact points, and the events of a contact point or of the whole log, page by page in log order."""

import asyncio
import re
from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from domain.addresses import Channel, normalise
from domain.catalogue import Catalogue
from domain.events import EventType
from domain.refusals import Refusal, RefusalCode
from domain.text import clean_key
from eventstore import read
from eventstore.personal import vault
from eventstore.personal.vault import Connected
from eventstore.read import EntryFilter, StoredEntry
from ledger.assembly import Tenant
from ledger.first_seen import since_first_seen
from ledger.pages import Page, cursor, no_cursor, page_size, place_of
from projections import contact_points
from projections.contact_points import ContactPoint

EVENTS = "event"
_POSITION = re.compile(r"[0-9]{1,18}", re.ASCII)


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
    await _with_purposes_of_now(tenant)
    async with tenant.ledger.connection() as connection:
        held = await contact_points.by_blind_index(connection, tenant.id, blind_index)
        return None if held is None else (await _seen(connection, tenant, {held.id: held})).get(held.id)


async def contact_points_by_id(tenant: Tenant, ids: Sequence[UUID]) -> dict[UUID, ContactPoint]:
    """The contact points that are there, and that whoever asks sees, by id."""
    await _with_purposes_of_now(tenant)
    async with tenant.ledger.connection() as connection:
        return await _seen(connection, tenant, await contact_points.by_ids(connection, tenant.id, ids))


async def _with_purposes_of_now(tenant: Tenant) -> None:
    """Where what is seen depends on who owns a purpose, one that another process has just made is known."""
    if tenant.own_units is not None:
        await tenant.latest_catalogue()


async def _seen(connection: Connected, tenant: Tenant, held: dict[UUID, ContactPoint]) -> dict[UUID, ContactPoint]:
    """Those that whoever asks sees: with consent of its units, since the first of it."""
    if tenant.own_units is None or not held:
        return held
    seen = await contact_points.with_consent_in(connection, tenant.id, list(held), tenant.own_units)
    return await since_first_seen(connection, tenant, {key: one for key, one in held.items() if key in seen})


async def addresses(tenant: Tenant, ids: Sequence[UUID]) -> dict[UUID, str]:
    """The addresses of contact points, opened."""
    async with tenant.ledger.connection() as connection:
        return await vault.open_addresses(connection, tenant.ledger.keyring, tenant.id, ids)


@dataclass(frozen=True, slots=True)
class KeptBeside:
    """Where the evidence of an event is: sealed in the vault, or a notice's text under its digest, or both, or nowhere."""

    position: int
    stream: UUID
    is_sealed: bool
    notice_digest: bytes | None


async def evidence(tenant: Tenant, events: Sequence[StoredEntry]) -> dict[int, dict[str, Any]]:
    """The evidence of events, opened, by position: what is personal, and the notice's text by its digest."""
    kept = [
        KeptBeside(
            event.position,
            event.entry.stream,
            vault.EVIDENCE in event.entry.personal,
            b64decode(event.entry.data["noticeDigest"]) if "noticeDigest" in event.entry.data else None,
        )
        for event in events
    ]
    return await evidence_beside(tenant, kept)


async def evidence_beside(tenant: Tenant, kept: Sequence[KeptBeside]) -> dict[int, dict[str, Any]]:
    """The same for who knows where it is kept."""
    noticed = [(one, one.notice_digest) for one in kept if one.notice_digest is not None]
    async with tenant.ledger.connection() as connection:
        opened = await vault.open_evidence(
            connection,
            tenant.ledger.keyring,
            tenant.id,
            [(one.stream, one.position) for one in kept if one.is_sealed],
        )
        if not noticed:
            return opened
        notices = await vault.notice_texts(connection, tenant.id, list({digest for _, digest in noticed}))
        erased = await contact_points.erased_among(connection, tenant.id, list({one.stream for one in kept}))
    for one, digest in noticed:
        if one.stream not in erased:
            opened[one.position] = {**opened.get(one.position, {}), "noticeText": notices[digest]}
    return opened


async def events_at(tenant: Tenant, positions: Sequence[int]) -> dict[int, StoredEntry]:
    """The events at these positions that whoever asks sees."""
    async with tenant.ledger.connection() as connection:
        found = await read.at_positions(connection, tenant.id, positions)
    return {position: event for position, event in found.items() if tenant.sees(event)}


async def events(
    tenant: Tenant,
    event_filter: EventFilter,
    *,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
) -> Page[StoredEntry]:
    """A page of the log, in log order: the `first` after a cursor, or the `last` before one.

    Raises Refusal NOT_FOUND (purpose, topic), INVALID (cursors, first beside last), LimitExceeded, StoreUnavailable.
    """
    span = _span(tenant, first, after, last, before)
    wanted = tenant.narrowed(entry_filter(await tenant.latest_catalogue(), event_filter))
    async with tenant.ledger.connection() as connection:
        if span.backward:
            within = replace(wanted, from_position=_at_least(wanted, span.low + 1))
            found = await read.backward(connection, tenant.id, within, before=span.high, limit=span.size + 1)
        else:
            within = replace(wanted, to_position=_below(wanted, span.high))
            found = await read.forward(connection, tenant.id, within, after=span.low, limit=span.size + 1)
        others = False
        # The cursor's own event, most likely of this very list, is found at once; what else there is may be far away.
        for beyond in (span.at_cursor(wanted), span.beyond(wanted)):
            others = others or (beyond is not None and bool(await read.forward(connection, tenant.id, beyond, limit=1)))

    async def total_count() -> int:
        async with tenant.ledger.connection() as connection:
            return await read.count(connection, tenant.id, wanted)

    return span.page(tenant, found, total_count, others=others)


async def histories(
    tenant: Tenant,
    contact_points: Sequence[UUID],
    event_filter: EventFilter,
    *,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
) -> dict[UUID, Page[StoredEntry]]:
    """The same page of the history of each contact point; the same statements for any number of them."""
    span = _span(tenant, first, after, last, before)
    wanted = tenant.narrowed(entry_filter(await tenant.latest_catalogue(), event_filter))
    within = replace(wanted, from_position=_at_least(wanted, span.low + 1), to_position=_below(wanted, span.high))
    async with tenant.ledger.connection() as connection:
        found = await read.pages_of_streams(
            connection, tenant.id, contact_points, within, limit=span.size + 1, backward=span.backward
        )
        beyond = span.beyond(wanted)
        others = (
            {}
            if beyond is None
            else await read.pages_of_streams(connection, tenant.id, contact_points, beyond, limit=1, backward=False)
        )
    counting: asyncio.Task[dict[UUID, int]] | None = None

    async def count_all() -> dict[UUID, int]:
        async with tenant.ledger.connection() as connection:
            return await read.counts_of_streams(connection, tenant.id, contact_points, wanted)

    async def total_count(contact_point: UUID) -> int:
        nonlocal counting
        if counting is None:
            counting = asyncio.create_task(count_all())
        return (await asyncio.shield(counting)).get(contact_point, 0)

    return {
        contact_point: span.page(
            tenant, found[contact_point], partial(total_count, contact_point), others=bool(others.get(contact_point))
        )
        for contact_point in contact_points
    }


def event_cursor(tenant: Tenant, event: StoredEntry) -> str:
    """The cursor of an event, in every list of events."""
    return cursor(tenant, EVENTS, str(event.position))


@dataclass(frozen=True, slots=True)
class _Span:
    """Which part of a list was asked for: `size` items between the positions `low` and `high`, neither included."""

    backward: bool
    size: int
    low: int
    high: int | None

    def at_cursor(self, wanted: EntryFilter) -> EntryFilter | None:
        """The event of the cursor that the page starts from, if it passes the filter; None where it starts at an end."""
        at = self.high if self.backward else self.low
        if at is None or at < 0:
            return None
        return replace(wanted, from_position=_at_least(wanted, at), to_position=_below(wanted, at + 1))

    def beyond(self, wanted: EntryFilter) -> EntryFilter | None:
        """What lies on the far side of the cursor that the page starts from; None where it starts at an end."""
        if self.backward:
            return None if self.high is None else replace(wanted, from_position=_at_least(wanted, self.high))
        return None if self.low < 0 else replace(wanted, to_position=_below(wanted, self.low + 1))

    def page(
        self,
        tenant: Tenant,
        found: Sequence[StoredEntry],
        total_count: Callable[[], Awaitable[int]],
        *,
        others: bool,
    ) -> Page[StoredEntry]:
        """The page, from `found` in the order read, one more than asked for where there are more."""
        more = len(found) > self.size
        shown = found[: self.size]
        items = [(event_cursor(tenant, event), event) for event in (reversed(shown) if self.backward else shown)]
        has_next, has_previous = (others, more) if self.backward else (more, others)
        return Page(items, has_next, has_previous, total_count)


def _span(tenant: Tenant, first: int | None, after: str | None, last: int | None, before: str | None) -> _Span:
    if first is not None and last is not None:
        raise Refusal(RefusalCode.INVALID, "give first or last, not both", ("last",))
    backward = last is not None or (before is not None and first is None)
    return _Span(
        backward,
        page_size("last", last) if backward else page_size("first", first),
        -1 if after is None else cursor_position(tenant, after, "after"),
        None if before is None else cursor_position(tenant, before, "before"),
    )


def cursor_position(tenant: Tenant, text: str, field: str) -> int:
    """The position of the event whose cursor this is. Raises Refusal INVALID for what is none of this tenant."""
    place = place_of(tenant, EVENTS, text, field=field)
    if _POSITION.fullmatch(place) is None:
        raise no_cursor(field)
    return int(place)


def _at_least(wanted: EntryFilter, low: int) -> int:
    return low if wanted.from_position is None else max(low, wanted.from_position)


def _below(wanted: EntryFilter, high: int | None) -> int | None:
    if high is None:
        return wanted.to_position
    return high - 1 if wanted.to_position is None else min(high - 1, wanted.to_position)


def entry_filter(catalogue: Catalogue, asked: EventFilter) -> EntryFilter:
    """The filter as the log takes it. Raises Refusal NOT_FOUND (purpose, topic), INVALID (a type that there is not)."""
    return EntryFilter(
        types=None if asked.types is None else [_type(name) for name in asked.types],
        channel=asked.channel,
        purpose=None if asked.purpose is None else catalogue.purpose(asked.purpose).key,
        topic=None if asked.topic is None else catalogue.topic(asked.topic).key,
        values=asked.values,
        sources=asked.sources,
        application=None if asked.application is None else clean_key(asked.application, field="application"),
        recorded_from=asked.recorded_from,
        recorded_to=asked.recorded_to,
        from_position=asked.from_position,
        to_position=asked.to_position,
    )


def _type(name: str) -> EventType:
    try:
        return EventType(name)
    except ValueError as error:
        known = ", ".join(EventType)
        raise Refusal(
            RefusalCode.INVALID, f"there is no event type of this name; there are {known}", ("types",)
        ) from error
