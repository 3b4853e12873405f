"""Rows of a file, recorded; one that says no to messages also where it was recorded before and counts for nothing now.

A row is recorded once however often it comes, and what its key stands for outlives an erasure and an opt-in. An opt-out that
comes again after either would be unchanged, and lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from domain.consent import ConsentValue
from eventstore.command import SeenRecords
from eventstore.idempotency import IdempotencyKey
from ledger.assembly import Caller, Tenant
from ledger.ended_opt_ins import ended, kept_out, told
from ledger.erased_rows import lost_to_erasure
from ledger.import_outcomes import Done, recorded_before
from ledger.import_rows import IMPORT_APPLICATION
from ledger.overruled_rows import overruled
from ledger.record import Capture, record_consents, rehearse_consents
from ledger.repeated_opt_outs import opts_out_as_of_now
from ledger.run_marks import RunMarks


async def record_rows(
    tenant: Tenant,
    caller: Caller,
    captures: Sequence[Capture],
    rehearsed: SeenRecords | None,
    *,
    run: RunMarks | None = None,
) -> list[Done]:
    """What became of each capture, in this order; where there is `rehearsed`, nothing is written. Raises StoreUnavailable.

    What the `run` has recorded is this import's own, and counts as it was recorded.
    """

    async def write(some: Sequence[Capture]) -> Sequence[Done]:
        if rehearsed is None:
            return await record_consents(tenant, caller, some)
        return await rehearse_consents(tenant, caller, some, rehearsed)

    if run is not None:
        captures = [replace(capture, marks=_marks(run, capture)) for capture in captures]
    done = list(await write(captures))
    hiding = ended(captures, done)
    if hiding:
        answers = dict(zip(hiding, await write(list(hiding.values())), strict=True))
        if out := kept_out(hiding, answers):
            answers.update(zip(out, await write(list(out.values())), strict=True))
            hiding.update(out)
        for number, answer in answers.items():
            done[number] = told(hiding[number], answer, done[number])
    if run is not None:
        await run.tell_own(dict(enumerate(captures)), done)
    asked: Mapping[int, Capture] = {
        number: capture
        for number, capture in enumerate(captures)
        # A key of the sender's own answers what it did first, as everywhere.
        if capture.value is ConsentValue.OPTED_OUT and capture.key_application == IMPORT_APPLICATION
    }
    # A row may have been recorded, and erased or overruled, more than once.
    while asked := await _lost(tenant, asked, done):
        for number, answer in zip(asked, await write(list(asked.values())), strict=True):
            done[number] = answer
        if run is not None:
            await run.tell_own(asked, done)
    if run is not None:
        # The same import may run twice at once: what the other recorded anew meanwhile counts, and is its own, too.
        await run.tell_own(dict(enumerate(captures)), done)
    return done


def _marks(run: RunMarks, capture: Capture) -> tuple[IdempotencyKey, ...]:
    key = capture.idempotency_key
    return run.of(capture.key_application, capture.row_keys or (() if key is None else (key,)))


async def _lost(tenant: Tenant, asked: Mapping[int, Capture], done: Sequence[Done]) -> dict[int, Capture]:
    """Of the captures those that were recorded before and count for nothing now, as they are to be recorded anew.

    What this import recorded itself is none of them: it brings nothing back that was erased or overruled since.
    """
    positions = {number: before for number in asked if (before := recorded_before(done[number]))}
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
