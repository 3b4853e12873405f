"""What became of rows, told from what became of the captures that they led to: pure, but for the keys met before."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from domain.consent import ConsentValue
from domain.refusals import Refusal
from ledger.existing_consent import ConsentKept
from ledger.import_rows import HardBounceRow, OptOutRefused, Outcome, RowTold, SuppressionRow
from ledger.record import Capture, Recorded, Rehearsed

Done = Recorded | Rehearsed | Refusal

_KEPT = {
    ConsentKept.OPTED_OUT: "an opt-out is there, which a load or a list never turns",
    ConsentKept.SUPPRESSED: "the address is suppressed, which a load or a list does not end",
    ConsentKept.BOUNCED: "a hard bounce stands there already",
    ConsentKept.SUPPRESSION_KNOWN: "the same suppression stands there already",
    ConsentKept.BOUNCE_ENDED: "the bounce is known here, or what they said since has ended it",
}


@dataclass(frozen=True, slots=True)
class Work:
    """Rows that are settled together, and the captures (or what blocks the address) that they lead to; `keys` says which row key
    is each row's.

    `unread` says by its line why not all of a row could be read.
    """

    lines: tuple[int, ...]
    captures: tuple[Capture | HardBounceRow | SuppressionRow, ...]
    keys: tuple[int, ...] = (0,)
    unread: Mapping[int, Refusal] = field(default_factory=dict[int, Refusal])


@dataclass(frozen=True, slots=True)
class Resumed:
    """An import that goes on: what was recorded from a position on is its own, each row once. `is_new` of a key."""

    since: int
    is_new: Callable[[bytes], bool]

    def own(self, key: bytes, position: int | None) -> bool:
        """Whether a row that is there already was recorded by this import, and is met for the first time."""
        return self.is_new(key) and position is not None and position >= self.since


def outcomes(work: Work, done: Sequence[Done], resumed: Resumed | None) -> tuple[list[RowTold], int]:
    """(what became of each row, the number of events that they led to)."""
    settled = [_settle(capture, one, resumed) for capture, one in zip(work.captures, done, strict=True)]
    told: list[RowTold] = []
    met: dict[int, RowTold] = {}
    for line, key in zip(work.lines, work.keys, strict=True):
        # The same row twice at one address: it led to the event once, or is refused as often as it stands there.
        before = met.get(key)
        if before is None:
            row = _together(line, [of_key[key] for of_key, _ in settled])
        else:
            row = replace(before, line=line) if before.outcome is Outcome.REFUSED else _before(line)
        unread = work.unread.get(line)
        if unread is not None and row.outcome is not Outcome.REFUSED:
            row = _in_part(line, row.outcome, unread)
        told.append(row)
        met.setdefault(key, row)
    return told, sum(events for _, events in settled)


_Settled = Refusal | ConsentKept | bool
"""Of one row key in one capture: refused, kept from it, or whether it led to the event (else it was there before)."""


def _settle(
    capture: Capture | HardBounceRow | SuppressionRow, done: Done, resumed: Resumed | None
) -> tuple[Sequence[_Settled], int]:
    count = max(len(capture.row_keys), 1) if isinstance(capture, Capture) else 1
    if isinstance(done, Refusal):
        says_no = not isinstance(capture, Capture) or capture.value is ConsentValue.OPTED_OUT
        return [OptOutRefused.of(done) if says_no else done] * count, 0
    events = done.events if isinstance(done, Rehearsed) else len(done.events)
    existing = done.existing
    if existing is None:
        position = done.position if isinstance(done, Recorded) else None
        key = (capture.idempotency_key or "" if isinstance(capture, Capture) else capture.row_key).encode()
        own = resumed is not None and resumed.own(key, position)
        led = own or not done.repeated
        return [led], events if led else 0
    settled: list[_Settled] = []
    own_events: dict[int, int] = {}
    for part, known in zip(existing.parts, existing.known, strict=True):
        own = resumed is not None and resumed.own(part.key_hash, None if known is None else known.position)
        if known is None:
            settled.append(True if events else existing.kept or False)
        else:
            settled.append(own)
            if own:
                own_events[known.position] = known.events
    return settled, events + sum(own_events.values())


def _together(line: int, settled: Sequence[_Settled]) -> RowTold:
    refusals = [one for one in settled if isinstance(one, Refusal)]
    refusal = next((one for one in refusals if isinstance(one, OptOutRefused)), refusals[0] if refusals else None)
    if any(one is True for one in settled):
        return RowTold(line, Outcome.RECORDED) if refusal is None else _in_part(line, Outcome.RECORDED, refusal)
    if refusal is not None:
        return refused(line, refusal)
    for one in settled:
        if isinstance(one, ConsentKept):
            return RowTold(line, Outcome.UNCHANGED, one, (), _KEPT[one])
    return _before(line)


def refused(line: int, refusal: Refusal) -> RowTold:
    """A row that is refused."""
    opt_out = isinstance(refusal, OptOutRefused)
    return RowTold(line, Outcome.REFUSED, refusal.code, refusal.path, refusal.message, opt_out)


def _in_part(line: int, outcome: Outcome, refusal: Refusal) -> RowTold:
    """A row of which a part is refused, and the rest is not."""
    opt_out = isinstance(refusal, OptOutRefused)
    return RowTold(line, outcome, refusal.code, refusal.path, refusal.message, opt_out, partly=True)


def _before(line: int) -> RowTold:
    return RowTold(line, Outcome.UNCHANGED, "", (), "imported before")
