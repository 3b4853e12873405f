"""Hard bounces of a file, recorded as what they are: everything at the address is suppressed, as where they come from.

A bounce counts from when it is recorded here, so nothing that the file says besides can end it. It is not recorded where it
stands already, and not where it is known and has ended, or the person has opted in since: a file does not bring it back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from domain.bounces import Bounce
from domain.refusals import Refusal
from eventstore.command import Command, Draft, SeenRecords, Subject
from ledger.assembly import Caller, Tenant
from ledger.bounces import bounce_draft
from ledger.erased_rows import erased_events, key_after
from ledger.existing_consent import ExistingBounce
from ledger.given_evidence import given_evidence, mended_evidence
from ledger.import_outcomes import Done, recorded_before
from ledger.import_rows import IMPORT_APPLICATION, HardBounceRow
from ledger.record import record_commands, rehearse_commands, row_parts, subject_of_address
from ledger.run_marks import RunMarks

# known: by blind index what a _Known has.
_KNOWN = """
SELECT s.blind_index, b.bounced_at, b.ended_at,
       (SELECT max(o.effective_at) FROM persons_opt_ins o WHERE o.tenant = s.tenant AND o.contact_point = s.contact_point)
FROM vault_subjects s LEFT JOIN bounces b ON b.tenant = s.tenant AND b.contact_point = s.contact_point
WHERE s.tenant = $1 AND s.blind_index = ANY($2::bytea[])
"""


class _Known(NamedTuple):
    """What is known of an address: the latest hard bounce, when it ended, and the latest opt-in that came from the person."""

    bounced_at: datetime | None = None
    ended_at: datetime | None = None
    opted_in_at: datetime | None = None

    def ends(self, since: datetime) -> bool:
        """Whether a bounce of `since` is known already, or is over."""
        return (self.bounced_at is not None and self.bounced_at >= since) or any(
            at is not None and at > since for at in (self.ended_at, self.opted_in_at)
        )


_NOTHING = _Known()


async def record_bounce_rows(
    tenant: Tenant,
    caller: Caller,
    rows: Sequence[HardBounceRow],
    rehearsed: SeenRecords | None,
    *,
    run: RunMarks | None = None,
) -> list[Done]:
    """What became of each, in this order; where there is `rehearsed`, nothing is written. Raises StoreUnavailable.

    What the `run` has recorded is this import's own, and is not brought back once it was erased.
    """

    async def write(some: Sequence[HardBounceRow]) -> Sequence[Done]:
        commands = await _commands(tenant, caller, some)
        if rehearsed is None:
            return await record_commands(tenant, commands)
        return await rehearse_commands(tenant, commands, rehearsed)

    if not rows:
        return []
    if run is not None:
        rows = [replace(row, marks=run.of(IMPORT_APPLICATION, (row.row_key,))) for row in rows]
    done = list(await write(rows))
    asked: Mapping[int, HardBounceRow] = dict(enumerate(rows))
    while asked := await _of_erased(tenant, asked, done, run):
        for number, answer in zip(asked, await write(list(asked.values())), strict=True):
            done[number] = answer
    return done


async def _commands(tenant: Tenant, caller: Caller, rows: Sequence[HardBounceRow]) -> list[Command | Refusal]:
    subjects = [_subject(tenant, row) for row in rows]
    blind_indexes = [one.blind_index for one in subjects if isinstance(one, Subject)]
    async with tenant.ledger.connection() as connection:
        found = await connection.fetch(_KNOWN, tenant.id, blind_indexes)
    known = {row[0]: _Known(*row[1:]) for row in found}
    return [
        _command_or_refusal(tenant, caller, row, subject, known.get(subject.blind_index, _NOTHING))
        if isinstance(subject, Subject)
        else subject
        for row, subject in zip(rows, subjects, strict=True)
    ]


def _subject(tenant: Tenant, row: HardBounceRow) -> Subject | Refusal:
    try:
        return subject_of_address(tenant, row.channel, row.address)
    except Refusal as refusal:
        return refusal


def _command_or_refusal(
    tenant: Tenant, caller: Caller, row: HardBounceRow, subject: Subject, known: _Known
) -> Command | Refusal:
    try:
        evidence, _ = given_evidence(mended_evidence(row.evidence), {}, row.address, subject.address)
    except Refusal as refusal:
        return refusal
    draft = bounce_draft(row.channel, Bounce.HARD, row.status, evidence)
    existing = ExistingBounce(
        parts=row_parts(tenant, IMPORT_APPLICATION, (row.row_key,)),
        blind_index=subject.blind_index,
        ended=row.since is not None and known.ends(row.since),
    )

    def decide(_: datetime) -> list[Draft]:
        return [] if existing.all_known or existing.keeps() else [draft]

    return Command(
        decide=decide, application=caller.application, subject=subject, circumstances=existing, marks=row.marks
    )


async def _of_erased(
    tenant: Tenant, asked: Mapping[int, HardBounceRow], done: list[Done], run: RunMarks | None
) -> dict[int, HardBounceRow]:
    """Those that were recorded before at a contact point that was erased since, as rows of the address's present life."""
    if run is not None:
        await run.tell_own(asked, done)
    positions = {number: before[0] for number in asked if (before := recorded_before(done[number]))}
    if not positions:
        return {}
    async with tenant.ledger.connection() as connection:
        erased = await erased_events(connection, tenant, set(positions.values()))
    return {
        number: replace(asked[number], row_key=key_after(asked[number].row_key, erased[position]))
        for number, position in positions.items()
        if position in erased
    }
