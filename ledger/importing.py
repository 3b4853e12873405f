"""Importing: rows in, one outcome each. Streams; a run that was stopped halfway is simply run again.

Each row has an idempotency key made of all its columns, written in the transaction of its event: so a row is recorded once
however often it comes, and "unchanged" is what the log itself says, not what a progress file claims.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import BinaryIO

from domain.addresses import normalise
from domain.consent import check_valid_until, effective_instant
from domain.refusals import Refusal
from ledger import import_contact_point_consents, import_ndjson
from ledger.assembly import Caller, Tenant
from ledger.import_rows import Outcome, Report, Row, Totals
from ledger.record import Capture, Recorded, record_consents

IMPORTER = Caller("import", frozenset())
READERS: Mapping[str, Callable[[BinaryIO], Iterator[Row]]] = {
    import_contact_point_consents.FORMAT: import_contact_point_consents.rows,
    import_ndjson.FORMAT: import_ndjson.rows,
}
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    import_contact_point_consents.FORMAT: import_contact_point_consents.COLUMN_OF_FIELD
}
_BATCH_ROWS = 512
_BATCHES_IN_FLIGHT = 2


async def import_consents(
    tenant: Tenant,
    file: BinaryIO,
    *,
    format: str,
    report: Report,
    progress: Callable[[Totals], None],
    dry_run: bool = False,
) -> Totals:
    """Import a file of consents; `report` is told of each row that was not recorded, in the order of the file.

    `dry_run` records nothing and says "recorded" of each row that would be accepted, known or not.
    Raises FileUnusable, and StoreUnavailable: then what is recorded is recorded, and the same import goes on from there.
    """
    totals = Totals()
    await tenant.latest_catalogue()
    rows = READERS[format](file)
    columns = _COLUMNS.get(format, {})
    in_flight: deque[asyncio.Task[list[tuple[Row, Recorded | Refusal | None]]]] = deque()
    try:
        while True:
            # Reading and parsing a batch takes the time in which the one before it is written.
            batch = list(islice(rows, _BATCH_ROWS))
            if batch:
                in_flight.append(asyncio.create_task(_import_batch(tenant, batch, dry_run=dry_run)))
                await asyncio.sleep(0)
            while in_flight and (not batch or len(in_flight) >= _BATCHES_IN_FLIGHT):
                _count(await in_flight.popleft(), totals, columns, report)
                progress(totals)
            if not batch:
                return totals
    finally:
        for task in in_flight:
            await asyncio.wait([task])


async def _import_batch(
    tenant: Tenant, batch: list[Row], *, dry_run: bool
) -> list[tuple[Row, Recorded | Refusal | None]]:
    captures = [row.capture for row in batch if isinstance(row.capture, Capture)]
    if dry_run:
        outcomes = iter([_would_refuse(tenant, capture) for capture in captures])
    else:
        outcomes = iter(await record_consents(tenant, IMPORTER, captures))
    return [(row, row.capture if isinstance(row.capture, Refusal) else next(outcomes)) for row in batch]


def _would_refuse(tenant: Tenant, capture: Capture) -> Refusal | None:
    try:
        normalise(capture.channel, capture.address)
        tenant.catalogue.capture_subject(
            capture.purpose, capture.topic, value=capture.value, allow_inactive=capture.allow_inactive
        )
        effective = effective_instant(capture.effective_at, tenant.ledger.clock())
        check_valid_until(capture.value, effective, capture.valid_until)
    except Refusal as refusal:
        return refusal
    return None


def _count(
    outcomes: list[tuple[Row, Recorded | Refusal | None]],
    totals: Totals,
    columns: Mapping[str, str],
    report: Report,
) -> None:
    for row, outcome in outcomes:
        totals.rows += 1
        if isinstance(outcome, Refusal):
            totals.refused += 1
            path = ".".join(columns.get(name, name) for name in outcome.path)
            message = f"{path}: {outcome.message}" if path else outcome.message
            report(row.line, Outcome.REFUSED, outcome.code, message)
        elif outcome is not None and outcome.repeated:
            totals.unchanged += 1
            report(row.line, Outcome.UNCHANGED, "", "imported before, all columns the same")
        else:
            totals.recorded += 1
            totals.events += 0 if outcome is None else len(outcome.events)
