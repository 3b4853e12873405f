"""Rows of an import, whatever their format: what a reader gives, and what becomes of each."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.addresses import Channel
from domain.refusals import Refusal
from eventstore.idempotency import IdempotencyKey
from ledger.given_evidence import Evidence
from ledger.idempotency import APPLICATION_OF_ROWS
from ledger.record import Capture

# Rows are the same by whatever way a file comes in, and whoever brings it.
IMPORT_APPLICATION = APPLICATION_OF_ROWS


@dataclass(frozen=True, slots=True)
class LoadedRow:
    """A contact or lead: its address, normalised; for each column whether it allows, None if that cannot be read; and, if not
    all of it can be read, why it is `refused`.

    What a refused row says no to is recorded where its date can be read; the rest of it records nothing. It is kept where its
    address can be read: what it does not allow, or cannot be read, no other row of that address allows.
    """

    address: str = field(repr=False)
    allows: tuple[bool | None, ...]
    modified_on: datetime | None
    digest: bytes
    refused: Refusal | None = None
    modified_latest: datetime | None = None
    """What its date means at the latest, if not what `modified_on` says: an opt-out counts from then."""

    @property
    def counts(self) -> bool:
        """Whether something of it is to be recorded."""
        return self.refused is None or (self.modified_on is not None and False in self.allows)


@dataclass(frozen=True, slots=True, kw_only=True)
class HardBounceRow:
    """A message to an address bounced for good: since when, as far as that is known, and what shows it."""

    channel: Channel
    address: str = field(repr=False)
    since: datetime | None
    status: str | None
    evidence: Evidence | None = field(repr=False)
    row_key: str
    marks: tuple[IdempotencyKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressionRow:
    """An address that an erasure left suppressed: since when, as far as that can be read, and what is covered there.

    It is named by the address, where that came up again, or else by a blind index, made with the key of this id.
    """

    channel: Channel
    address: str | None = field(repr=False)
    blind_index: bytes | None
    blind_index_key: bytes | None
    since: datetime | None
    covers: object
    row_key: str
    marks: tuple[IdempotencyKey, ...] = ()


class OptOutRefused(Refusal):
    """The refusal of a row that says that nobody must be written to there, or may say so: of all that can be lost, the worst."""

    @classmethod
    def of(cls, refusal: Refusal) -> "OptOutRefused":
        """The same refusal, of such a row."""
        return cls(refusal.code, refusal.message, refusal.path)


def refused_as(refusal: Refusal, *, opt_out: bool) -> Refusal:
    """The refusal of a row that says or may say an opt-out, or does not."""
    return OptOutRefused.of(refusal) if opt_out else refusal


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line on which it starts, counted from 1, and what it says, or why it says nothing; and what of it is
    `left_out`, if anything, and why.
    """

    line: int
    content: Capture | LoadedRow | HardBounceRow | SuppressionRow | Refusal
    left_out: Refusal | None = None


class RowReader(Protocol):
    """Makes rows of a file that comes piece by piece, in bounded memory."""

    def feed(self, data: bytes) -> Iterator[Row]:
        """The rows that are complete now. Raises FileUnusable."""
        ...

    def end(self) -> Iterator[Row]:
        """The rows that are left, since nothing follows. Raises FileUnusable."""
        ...


class Outcome(StrEnum):
    """What became of a row."""

    RECORDED = "recorded"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RowTold:
    """What became of one row, and why; `path` names the columns or fields that it is about. Holds no address.

    A row that was recorded has a message only where not all of it could be read.
    """

    line: int
    outcome: Outcome
    code: str = ""
    path: tuple[str, ...] = ()
    message: str = ""
    opt_out: bool = False
    """Of what was refused: whether it says that a person opted out, or may say so."""
    partly: bool = False
    """Whether only a part of the row was refused."""


@dataclass(slots=True)
class Totals:
    """Of an import: rows = recorded + unchanged + refused, and the events that the recorded ones led to."""

    rows: int = 0
    recorded: int = 0
    unchanged: int = 0
    refused: int = 0
    events: int = 0
    refused_opt_outs: int = 0
    """Of how many rows what was refused says that a person opted out, or may say so: it cannot be read whether it does."""
    partly_refused: int = 0
    """How many of the other rows have a part that was refused, or left out."""

    def to_json(self) -> dict[str, int]:
        """The totals as they are told; what is to be mended first only where there is any."""
        said = {
            "rows": self.rows,
            "recorded": self.recorded,
            "unchanged": self.unchanged,
            "refused": self.refused,
            "events": self.events,
        }
        first = {"partlyRefused": self.partly_refused, "refusedOptOuts": self.refused_opt_outs}
        return {**said, **{name: count for name, count in first.items() if count}}


def of_catalogue(items: int, changed: int, events: int) -> Totals:
    """The totals of a catalogue file."""
    return Totals(rows=items, recorded=changed, unchanged=items - changed, events=events)


class FileUnusable(Exception):
    """The file as a whole cannot be imported; says why, and names columns."""


class Report(Protocol):
    """Is told of each row that was not recorded, or not all of it."""

    def __call__(self, line: int, outcome: Outcome, code: str, message: str) -> None: ...
