"""Rows of a file, recorded; those that say no to messages also where they were recorded before and then erased.

What a row's key stands for outlives an erasure. So an opt-out that comes again in a file, after an erasure that left no
suppression, would be unchanged and count for nothing. It is recorded anew, as of when it was recorded first, and with nothing
personal but the address. What a suppression blocks stays unknown: no opt-out of before the erasure outlasts that.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from domain import dynamics_codes
from domain.consent import ConsentValue
from domain.refusals import Refusal
from domain.standing import NOTHING_KNOWN
from domain.suppression import is_suppressed
from eventstore import read
from eventstore.command import SeenRecords
from eventstore.personal.vault import Connected
from eventstore.read import StoredEntry
from ledger.assembly import Caller, Tenant
from ledger.import_outcomes import Done
from ledger.import_rows import IMPORT_APPLICATION
from ledger.record import Actor, Capture, record_consents, rehearse_consents, subject_of_address
from projections import contact_points, current_consent
from projections.inline import captured


async def record_rows(
    tenant: Tenant, caller: Caller, captures: Sequence[Capture], rehearsed: SeenRecords | None
) -> list[Done]:
    """What became of each capture, in this order; where there is `rehearsed`, nothing is written. Raises StoreUnavailable."""

    async def write(some: Sequence[Capture]) -> Sequence[Done]:
        if rehearsed is None:
            return await record_consents(tenant, caller, some)
        return await rehearse_consents(tenant, caller, some, rehearsed)

    done = list(await write(captures))
    asked: Mapping[int, Capture] = {
        number: capture
        for number, capture in enumerate(captures)
        # A key of the sender's own answers what it did first, as everywhere.
        if capture.value is ConsentValue.OPTED_OUT and capture.key_application == IMPORT_APPLICATION
    }
    # A row may have been recorded and erased more than once.
    while asked := await _lost(tenant, asked, done):
        for number, answer in zip(asked, await write(list(asked.values())), strict=True):
            done[number] = answer
    return done


async def _lost(tenant: Tenant, asked: Mapping[int, Capture], done: Sequence[Done]) -> dict[int, Capture]:
    """Of the captures those that were erased and count for nothing now, as they are to be recorded anew."""
    positions = {number: before for number in asked if (before := _recorded_before(done[number]))}
    if not positions:
        return {}
    async with tenant.ledger.connection() as connection:
        events = await erased_events(
            connection, tenant, {position for before in positions.values() for position in before}
        )
        erased = {
            number: {place: events[position] for place, position in enumerate(before) if position in events}
            for number, before in positions.items()
        }
        lost = {number: before for number, before in erased.items() if before}
        blocked = await _blocked(connection, tenant, {number: asked[number] for number in lost}, lost)
    return {number: _anew(asked[number], before) for number, before in lost.items() if number not in blocked}


async def erased_events(connection: Connected, tenant: Tenant, positions: Collection[int]) -> dict[int, StoredEntry]:
    """Of the events at these positions those whose contact points were erased."""
    events = await read.at_positions(connection, tenant.id, list(positions))
    streams = list({event.entry.stream for event in events.values()})
    points = await contact_points.by_ids(connection, tenant.id, streams)
    return {position: event for position, event in events.items() if points[event.entry.stream].erased_at is not None}


def _recorded_before(done: Done) -> Sequence[int]:
    """Where each row of a capture that led to nothing was recorded before; nothing if it led to an event."""
    if isinstance(done, Refusal) or (done.existing is not None and done.events):
        return ()
    if done.existing is not None:
        return [one.position for one in done.existing.known if one is not None]
    return [done.position] if done.repeated and done.position is not None else ()


async def _blocked(
    connection: Connected, tenant: Tenant, asked: Mapping[int, Capture], lost: Mapping[int, Mapping[int, StoredEntry]]
) -> set[int]:
    """Those at whose level a suppression blocks the address."""
    if not asked:
        return set()
    keys = {
        number: subject_of_address(tenant, capture.channel, capture.address).blind_index
        for number, capture in asked.items()
    }
    blind_indexes = list(set(keys.values()))
    catalogue = tenant.catalogue
    _, found = await current_consent.by_blind_index(
        connection, tenant.id, blind_indexes, list(catalogue.purposes), ["", *catalogue.topics]
    )
    standings = {blind_indexes[number]: one.standing() for number, one in found.items()}
    blocked: set[int] = set()
    for number, key in keys.items():
        capture = captured(next(iter(lost[number].values())).entry)
        standing = standings.get(key, NOTHING_KNOWN)
        if capture is not None and is_suppressed(
            standing.suppressions, standing.opt_ins, catalogue.purposes[capture.purpose], capture.topic
        ):
            blocked.add(number)
    return blocked


def _anew(capture: Capture, erased: Mapping[int, StoredEntry]) -> Capture:
    """An opt-out that was recorded as these events, by the place of its row, without what is personal of it."""
    first = [one.entry.effective_at for one in erased.values() if one.entry.effective_at is not None]
    label = None if capture.reason is None else dynamics_codes.reason_label(capture.reason)
    return replace(
        capture,
        effective_at=capture.effective_at or max(first, default=None),
        reason=label,
        reason_description=None,
        message_id=None,
        evidence=None,
        actor=Actor(kind=capture.actor.kind),
        dynamics_id=None,
        # Keys of this life of the address: so it is recorded once in it, however often it comes.
        idempotency_key=None
        if capture.idempotency_key is None
        else key_after(capture.idempotency_key, next(iter(erased.values()))),
        row_keys=tuple(
            key_after(key, erased[place]) if place in erased else key for place, key in enumerate(capture.row_keys)
        ),
    )


def key_after(key: str, erased: StoredEntry) -> str:
    """What a row's key is in the life of its address that began after this event's was erased."""
    return f"after:{hashlib.sha256(f'{key} {erased.entry.stream}'.encode()).hexdigest()}"
