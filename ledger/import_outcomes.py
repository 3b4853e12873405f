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


IsNew = Callable[[bytes], bool]
"""Whether a row of an import that can be resumed is met for the first time, by its key."""


def recorded_before(done: Done) -> Sequence[int]:
    """Where what led to nothing was recorded before, row by row; nothing if it led to an event, or is a resumed import's own."""
    if isinstance(done, Refusal) or (done.existing is not None and done.events):
        return ()
    if isinstance(done, Recorded) and done.own:
        return ()
    return rows_there(done)


def rows_there(done: Recorded | Rehearsed) -> Sequence[int]:
    """Where the rows that were there already are, whoever recorded them."""
    if done.existing is not None:
        return [one.position for one in done.existing.known if one is not None]
    return [done.position] if done.repeated and done.position is not None else ()


def outcomes(work: Work, done: Sequence[Done], is_new: IsNew) -> tuple[list[RowTold], int]:
    """(what became of each row, the number of events that they led to)."""
    settled = [_settle(capture, one, is_new) for capture, one in zip(work.captures, done, strict=True)]
    lacking = next((one.lacking for one in done if not isinstance(one, Refusal) and one.lacking is not None), None)
    told: list[RowTold] = []
    met: dict[int, RowTold] = {}
    for line, key in zip(work.lines, work.keys, strict=True):
        # The same row twice at one address: it led to the event once, or is refused as often as it stands there.
        before = met.get(key)
        if before is None:
            row = _together(line, [of_key[key] for of_key, _ in settled])
        else:
            row = replace(before, line=line) if before.outcome is Outcome.REFUSED else _before(line)
        unread = work.unread.get(line, lacking)
        if unread is not None and row.outcome is not Outcome.REFUSED:
            row = _in_part(line, row.outcome, unread)
        told.append(row)
        met.setdefault(key, row)
    return told, sum(events for _, events in settled)


_Settled = Refusal | ConsentKept | bool
"""Of one row key in one capture: refused, kept from it, or whether it led to the event (else it was there before)."""


def _settle(
    capture: Capture | HardBounceRow | SuppressionRow, done: Done, is_new: IsNew
) -> tuple[Sequence[_Settled], int]:
    # As the file has them: what is recorded anew has others.
    keys = (
        (capture.row_keys or (capture.idempotency_key or "",)) if isinstance(capture, Capture) else (capture.row_key,)
    )
    if isinstance(done, Refusal):
        says_no = not isinstance(capture, Capture) or capture.value is ConsentValue.OPTED_OUT
        return [OptOutRefused.of(done) if says_no else done] * len(keys), 0
    events = done.events if isinstance(done, Rehearsed) else len(done.events)
    own = done.own if isinstance(done, Recorded) and done.own else (None,) * len(keys)
    existing = done.existing
    if existing is None:
        first = is_new(keys[0].encode())
        led = not done.repeated or (first and own[0] is not None)
        return [led], events if led else 0
    settled: list[_Settled] = []
    own_events: dict[int, int] = {}
    for key, known, recorded in zip(keys, existing.known, own, strict=True):
        first = is_new(key.encode())
        if known is None:
            settled.append(True if events else existing.kept or False)
        elif recorded is not None and first:
            settled.append(True)
            own_events[recorded.position] = recorded.events
        else:
            settled.append(False)
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
