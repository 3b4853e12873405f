"""Suppressions that erasures left elsewhere, recorded so that they block the same here: since when, and what, as the file says.

An address that came up again is named in the file. One that did not is known to nobody: the file has its blind index, which
says something only to a tenant with the same key (`create_tenant` makes one). Any other tenant refuses the row, as an opt-out
that is lost; nothing is guessed.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from domain.addresses import Channel
from domain.catalogue import Catalogue
from domain.consent import ActorKind
from domain.events import CURRENT_VERSIONS, EventType
from domain.refusals import Refusal, RefusalCode
from domain.suppression import Suppression, brought, everything
from domain.time import format_instant
from eventstore.command import Command, Draft, IndexColumns, SeenRecords
from ledger.assembly import Caller, Tenant
from ledger.existing_consent import ExistingSuppression
from ledger.import_outcomes import Done
from ledger.import_rows import IMPORT_APPLICATION, SuppressionRow
from ledger.record import record_commands, rehearse_commands, row_parts, subject_of_address
from ledger.run_marks import RunMarks


async def record_suppression_rows(
    tenant: Tenant,
    caller: Caller,
    rows: Sequence[SuppressionRow],
    rehearsed: SeenRecords | None,
    *,
    run: RunMarks | None = None,
) -> list[Done]:
    """What became of each, in this order; where there is `rehearsed`, nothing is written. Raises StoreUnavailable.

    What the `run` has recorded is this import's own.
    """
    if not rows:
        return []
    if run is not None:
        rows = [replace(row, marks=run.of(IMPORT_APPLICATION, (row.row_key,))) for row in rows]
    commands = [_command_or_refusal(tenant, caller, row) for row in rows]
    if rehearsed is not None:
        return list(await rehearse_commands(tenant, commands, rehearsed))
    done: list[Done] = list(await record_commands(tenant, commands))
    if run is not None:
        await run.tell_own(dict(enumerate(rows)), done)
    return done


def _command_or_refusal(tenant: Tenant, caller: Caller, row: SuppressionRow) -> Command | Refusal:
    try:
        blind_index = _blind_index(tenant, row)
    except Refusal as refusal:
        return refusal
    existing = ExistingSuppression(parts=row_parts(tenant, IMPORT_APPLICATION, (row.row_key,)), blind_index=blind_index)

    def decide(recorded_at: datetime) -> list[Draft]:
        said = None if row.since is None else _covered(tenant.catalogue, row.covers, row.since)
        if existing.all_known or existing.keeps(said):
            return []
        # Since when cannot be read, or lies in the future: from now on, and nothing that the person said by now ends it.
        since = recorded_at if row.since is None else min(row.since, recorded_at)
        return [_draft(row.channel, _covered(tenant.catalogue, row.covers, since))]

    return Command(
        decide=decide,
        application=caller.application,
        circumstances=existing,
        suppresses=blind_index,
        marks=row.marks,
    )


def _blind_index(tenant: Tenant, row: SuppressionRow) -> bytes:
    if row.address is not None:
        return subject_of_address(tenant, row.channel, row.address).blind_index
    if row.blind_index is None or row.blind_index_key != tenant.blind_index.key_id:
        raise Refusal(
            RefusalCode.INVALID,
            "names an erased address by a blind index of another key than this tenant's: it can NOT be suppressed here. A tenant"
            " made with --blind-index-of or --blind-index-key can import it",
            ("blindIndexKey",),
        )
    return row.blind_index


def _covered(catalogue: Catalogue, covers: object, since: datetime) -> Suppression:
    """What is covered, by the keys of this catalogue; a level that names nothing in it may be any: everything, then."""
    said = brought(covers, since)
    try:
        levels = [
            (purpose := catalogue.purpose(ref), catalogue.topic_of(purpose, topic_ref))
            for ref, topic_ref in said.levels
        ]
    except Refusal:
        return everything(since)
    return replace(
        said, levels=frozenset((purpose.key, None if topic is None else topic.key) for purpose, topic in levels)
    )


def _draft(channel: Channel, covered: Suppression) -> Draft:
    return Draft(
        type=EventType.CONTACT_POINT_SUPPRESSED,
        version=CURRENT_VERSIONS[EventType.CONTACT_POINT_SUPPRESSED],
        data={
            "channel": str(channel),
            "since": format_instant(covered.since),
            "suppression": covered.to_data(),
        },
        effective_at=None,
        actor=ActorKind.SYSTEM,
        columns=IndexColumns(channel=channel),
    )
