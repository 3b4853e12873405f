"""Importing: rows in, one outcome each. Streams; a run that was stopped halfway is simply run again.

Each row has an idempotency key made of all its columns, written in the transaction of its event: so a row is recorded once
however often it comes, and "unchanged" is what the log itself says, not what a progress file claims.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import BinaryIO

from domain.addresses import Channel
from domain.refusals import Refusal
from ledger.assembly import Caller, Tenant
from ledger.import_bounces import record_bounce_rows
from ledger.import_formats import Reading, Target, reading
from ledger.import_outcomes import Done, IsNew, Work, outcomes, refused
from ledger.import_rows import (
    IMPORT_APPLICATION,
    HardBounceRow,
    LoadedRow,
    Outcome,
    Report,
    Row,
    RowTold,
    SuppressionRow,
    Totals,
)
from ledger.import_suppressions import record_suppression_rows
from ledger.load_groups import LoadGroups
from ledger.record import Capture
from ledger.recording_rows import record_rows
from ledger.run_marks import RunMarks
from ledger.seen_keys import SeenKeys

IMPORTER = Caller(IMPORT_APPLICATION, frozenset())
NO_TARGET = Target()
_BATCH_CAPTURES = 512
_BATCHES_IN_FLIGHT = 2
_ROWS_PER_TURN = 32
_PIECE_BYTES = 64 * 1024


async def import_consents(
    tenant: Tenant,
    file: BinaryIO,
    *,
    format: str,
    report: Report,
    progress: Callable[[Totals], None],
    target: Target = NO_TARGET,
    dry_run: bool = False,
) -> Totals:
    """Import a file of consents; `report` is told of each row that was not recorded, or not all of it.

    Raises FileUnusable, Refusal for the target, and StoreUnavailable: then what is recorded is recorded, and the same
    import goes on from there.
    """

    def told(row: RowTold) -> None:
        report(row.line, row.outcome, row.code, _in_words(row))

    return await run_import(
        tenant,
        IMPORTER,
        _pieces(file),
        reading(await tenant.latest_catalogue(), format, target, tenant.ledger.clock),
        told=told,
        progress=progress,
        dry_run=dry_run,
    )


def _in_words(row: RowTold) -> str:
    """The message of a row in a report: what it is about, once, and what is wrong with it."""
    path = ".".join(row.path)
    message = f"{path}: {row.message.removeprefix(f'{path} ')}" if path else row.message
    return f"{message}; it is an opt-out, or may be one" if row.opt_out else message


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := file.read(_PIECE_BYTES):
        yield piece


async def run_import(
    tenant: Tenant,
    caller: Caller,
    pieces: AsyncIterable[bytes],
    asked: Reading,
    *,
    told: Callable[[RowTold], None],
    progress: Callable[[Totals], None],
    dry_run: bool = False,
    run: RunMarks | None = None,
) -> Totals:
    """Import what comes in pieces; `told` of each row that was not recorded, or not all of it, in the order of the file, but by
    address of a load.

    `dry_run` writes nothing, and tells what would become of each row now. What was recorded under the marks of the same `run`
    counts as recorded by this one: so an import that was cut off and resumed is told as one.
    """
    with ExitStack() as files:
        is_new = _nothing_is_told_twice if run is None else files.enter_context(SeenKeys()).is_new
        rehearsed = files.enter_context(SeenKeys()) if dry_run else None
        groups = None if asked.load is None else files.enter_context(LoadGroups(len(asked.load.columns)))
        going = _Run(tenant, caller, asked.columns, told, progress, rehearsed, run, is_new)
        try:
            async for piece in pieces:
                await going.rows(asked.reader.feed(piece), groups)
            await going.rows(asked.reader.end(), groups)
            if groups is not None and asked.load is not None:
                async for group in groups.groups():
                    captures = tuple(asked.load.captures(group))
                    await going.take(Work(group.lines, captures, group.keys, asked.load.unread(group)))
            await going.finish()
        finally:
            await going.settled()
        return going.totals


def _nothing_is_told_twice(_: bytes) -> bool:
    """Of an import that is not resumed no row that is there already is its own, the first time or the second."""
    return False


class _Run:
    """One run: what waits to be written, what is being written, and the totals so far."""

    def __init__(
        self,
        tenant: Tenant,
        caller: Caller,
        columns: Mapping[str, str],
        told: Callable[[RowTold], None],
        progress: Callable[[Totals], None],
        rehearsed: SeenKeys | None,
        run: RunMarks | None,
        is_new: IsNew,
    ) -> None:
        self.totals = Totals()
        self._tenant = tenant
        self._caller = caller
        self._columns = columns
        self._told = told
        self._progress = progress
        self._rehearsed = rehearsed
        self._run = run
        self._is_new = is_new
        self._batch: list[Work | RowTold] = []
        self._captures = 0
        # What is rehearsed next must know what was rehearsed before.
        self._in_flight_max = _BATCHES_IN_FLIGHT if rehearsed is None else 1
        self._in_flight: deque[asyncio.Task[list[tuple[Work | RowTold, list[Done]]]]] = deque()

    async def rows(self, rows: Iterator[Row], groups: LoadGroups | None) -> None:
        """Take rows as they are read."""
        loaded: list[tuple[bytes, int, LoadedRow]] = []
        for number, row in enumerate(rows):
            if number % _ROWS_PER_TURN == 0:
                # What is being written goes on meanwhile: the next group is on its way as soon as the database has answered.
                await asyncio.sleep(0)
            content = row.content
            match content:
                case Refusal():
                    await self.take(refused(row.line, content))
                case LoadedRow():
                    loaded.append((self._tenant.blind_index(Channel.EMAIL, content.address), row.line, content))
                    if content.refused is not None and not content.counts:
                        await self.take(refused(row.line, content.refused))
                case Capture() | HardBounceRow() | SuppressionRow():
                    left_out = {} if row.left_out is None else {row.line: row.left_out}
                    await self.take(Work((row.line,), (content,), unread=left_out))
        if groups is not None:
            await groups.add(loaded)

    async def take(self, work: Work | RowTold) -> None:
        """Take one piece of work; a batch is written while the next is read."""
        self._batch.append(work)
        self._captures += len(work.captures) if isinstance(work, Work) else 0
        if max(self._captures, len(self._batch)) >= _BATCH_CAPTURES:
            await self._send()

    async def finish(self) -> None:
        """Write and count what is left."""
        await self._send()
        while self._in_flight:
            await self._count_next()

    async def settled(self) -> None:
        """Wait for what is being written: it is, whatever happened to the rest."""
        for task in self._in_flight:
            await asyncio.wait([task])

    async def _send(self) -> None:
        while len(self._in_flight) >= self._in_flight_max:
            await self._count_next()
        batch, self._batch, self._captures = self._batch, [], 0
        self._in_flight.append(asyncio.create_task(self._write(batch)))
        await asyncio.sleep(0)

    async def _write(self, batch: list[Work | RowTold]) -> list[tuple[Work | RowTold, list[Done]]]:
        asked = [one for work in batch if isinstance(work, Work) for one in work.captures]
        captures = [one for one in asked if isinstance(one, Capture)]
        done: list[Done] = []
        for start in range(0, len(captures), _BATCH_CAPTURES):
            part = captures[start : start + _BATCH_CAPTURES]
            done += await record_rows(self._tenant, self._caller, part, self._rehearsed, run=self._run)
        bounces = [one for one in asked if isinstance(one, HardBounceRow)]
        bounced = iter(await record_bounce_rows(self._tenant, self._caller, bounces, self._rehearsed, run=self._run))
        suppressions = [one for one in asked if isinstance(one, SuppressionRow)]
        suppressed = iter(
            await record_suppression_rows(self._tenant, self._caller, suppressions, self._rehearsed, run=self._run)
        )
        settled = {Capture: iter(done), HardBounceRow: bounced, SuppressionRow: suppressed}
        return [
            (
                work,
                [next(settled[type(one)]) for one in work.captures] if isinstance(work, Work) else [],
            )
            for work in batch
        ]

    async def _count_next(self) -> None:
        for work, done in await self._in_flight.popleft():
            if isinstance(work, RowTold):
                self._count(work)
                continue
            told, events = outcomes(work, done, self._is_new)
            self.totals.events += events
            for row in told:
                self._count(row)
        self._progress(self.totals)

    def _count(self, row: RowTold) -> None:
        self.totals.rows += 1
        match row.outcome:
            case Outcome.RECORDED:
                self.totals.recorded += 1
                if not row.message:
                    return
            case Outcome.UNCHANGED:
                self.totals.unchanged += 1
            case Outcome.REFUSED:
                self.totals.refused += 1
        self.totals.partly_refused += row.partly
        self.totals.refused_opt_outs += row.opt_out
        self._told(replace(row, path=tuple(self._columns.get(name, name) for name in row.path)))
