"""Rows that say no to messages, and were recorded before and then erased.

What a row's key stands for outlives an erasure. So an opt-out that comes again in a file, after an erasure that left no
suppression, would be unchanged and count for nothing. It is recorded anew, with nothing personal but the
address. What a suppression blocks stays unknown: no opt-out of before the erasure outlasts that.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from domain import dynamics_codes
from domain.standing import NOTHING_KNOWN
from domain.suppression import is_suppressed
from eventstore import read
from eventstore.personal.vault import Connected
from eventstore.read import StoredEntry
from ledger.assembly import Tenant
from ledger.record import Actor, Capture, subject_of_address
from projections import contact_points, current_consent
from projections.inline import captured


async def lost_to_erasure(
    connection: Connected, tenant: Tenant, asked: Mapping[int, Capture], positions: Mapping[int, Sequence[int]]
) -> dict[int, Capture | None]:
    """Of the captures, each with where its rows were recorded before, those that were erased: as each is to be recorded anew,
    or None where a suppression blocks the address at its level.
    """
    events = await erased_events(connection, tenant, {one for before in positions.values() for one in before})
    erased = {
        number: {place: events[one] for place, one in enumerate(before) if one in events}
        for number, before in positions.items()
    }
    lost = {number: before for number, before in erased.items() if before}
    blocked = await _blocked(connection, tenant, {number: asked[number] for number in lost}, lost)
    return {number: None if number in blocked else _anew(asked[number], before) for number, before in lost.items()}


async def erased_events(connection: Connected, tenant: Tenant, positions: Collection[int]) -> dict[int, StoredEntry]:
    """Of the events at these positions those whose contact points were erased."""
    events = await read.at_positions(connection, tenant.id, list(positions))
    streams = list({event.entry.stream for event in events.values()})
    points = await contact_points.by_ids(connection, tenant.id, streams)
    return {position: event for position, event in events.items() if points[event.entry.stream].erased_at is not None}


async def _blocked(
    connection: Connected, tenant: Tenant, asked: Mapping[int, Capture], lost: Mapping[int, Mapping[int, StoredEntry]]
) -> set[int]:
    """Those at whose level a suppression of after the opt-out blocks the address. One that was brought in can be older: what
    ends it need not end the opt-out.
    """
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
        events = [one.entry for one in lost[number].values()]
        capture = captured(events[0])
        opted_out_at = max(one.effective_at or one.recorded_at for one in events)
        standing = standings.get(key, NOTHING_KNOWN)
        later = [one for one in standing.suppressions if one.since >= opted_out_at]
        if capture is not None and is_suppressed(
            later, standing.opt_ins, catalogue.purposes[capture.purpose], capture.topic
        ):
            blocked.add(number)
    return blocked


def _anew(capture: Capture, erased: Mapping[int, StoredEntry]) -> Capture:
    """An opt-out that was recorded as these events, by the place of its row, without what is personal of it."""
    label = None if capture.reason is None else dynamics_codes.reason_label(capture.reason)
    return replace(
        capture,
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
