"""Rows of a file, recorded; one that says no to messages also where it was recorded before and counts for nothing now.

A row is recorded once however often it comes, and what its key stands for outlives an erasure and an opt-in. An opt-out that
comes again after either would be unchanged, and lost.
"""

from collections.abc import Mapping, Sequence

from domain.consent import ConsentValue
from domain.refusals import Refusal
from eventstore.command import SeenRecords
from ledger.assembly import Caller, Tenant
from ledger.erased_rows import lost_to_erasure
from ledger.import_outcomes import Done
from ledger.import_rows import IMPORT_APPLICATION
from ledger.overruled_rows import after_event, overruled
from ledger.record import Capture, record_consents, rehearse_consents
from ledger.repeated_opt_outs import opts_out_as_of_now
from ledger.seen_keys import SeenKeys


async def record_rows(
    tenant: Tenant,
    caller: Caller,
    captures: Sequence[Capture],
    rehearsed: SeenRecords | None,
    *,
    recorded_since: int | None = None,
) -> list[Done]:
    """What became of each capture, in this order; where there is `rehearsed`, nothing is written. Raises StoreUnavailable.

    What was recorded from the position `recorded_since` on is this import's own, and counts as it was recorded.
    """

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
    latest = dict(asked)
    # A row may have been recorded, and erased or overruled, more than once.
    while asked := await _lost(tenant, asked, done, recorded_since):
        latest.update(asked)
        for number, answer in zip(asked, await write(list(asked.values())), strict=True):
            done[number] = answer
    if recorded_since is not None:
        while latest := await _recorded_anew(tenant, caller, latest, done, recorded_since):
            for number, answer in zip(latest, await write(list(latest.values())), strict=True):
                done[number] = answer
    return done


async def _lost(
    tenant: Tenant, asked: Mapping[int, Capture], done: Sequence[Done], recorded_since: int | None
) -> dict[int, Capture]:
    """Of the captures those that were recorded before and count for nothing now, as they are to be recorded anew."""
    positions = {
        number: before
        for number in asked
        # What this import recorded itself and was erased since, it does not bring back.
        if (before := _recorded_before(done[number])) and (recorded_since is None or max(before) < recorded_since)
    }
    if not positions:
        return {}
    async with tenant.ledger.connection() as connection:
        erased = await lost_to_erasure(connection, tenant, asked, positions)
        there = {
            number: max(before)
            for number, before in positions.items()
            if number not in erased and opts_out_as_of_now(asked[number])
        }
        lost = await overruled(connection, tenant, asked, there)
    return {**{number: anew for number, anew in erased.items() if anew is not None}, **lost}


async def _recorded_anew(
    tenant: Tenant, caller: Caller, latest: Mapping[int, Capture], done: Sequence[Done], recorded_since: int
) -> dict[int, Capture]:
    """Of the captures that stand as recorded before this import those that it recorded anew when it ran first, as it did."""
    anew = {
        number: after_event(capture, max(before))
        for number, capture in latest.items()
        if opts_out_as_of_now(capture) and (before := _recorded_before(done[number])) and max(before) < recorded_since
    }
    if not anew:
        return {}
    with SeenKeys() as nothing_seen:
        asked = await rehearse_consents(tenant, caller, list(anew.values()), nothing_seen)
    return {
        number: capture for (number, capture), one in zip(anew.items(), asked, strict=True) if _recorded_before(one)
    }


def _recorded_before(done: Done) -> Sequence[int]:
    """Where each row of a capture that led to nothing was recorded before; nothing if it led to an event."""
    if isinstance(done, Refusal) or (done.existing is not None and done.events):
        return ()
    if done.existing is not None:
        return [one.position for one in done.existing.known if one is not None]
    return [done.position] if done.repeated and done.position is not None else ()
