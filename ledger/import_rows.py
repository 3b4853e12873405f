"""Rows of an import, whatever their format: what a reader gives, and what becomes of each."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from domain.refusals import Refusal
from ledger.record import Capture


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line on which it starts, counted from 1, and the capture that it is, or why it is none."""

    line: int
    capture: Capture | Refusal


class Outcome(StrEnum):
    """What became of a row."""

    RECORDED = "recorded"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(slots=True)
class Totals:
    """Of an import: rows = recorded + unchanged + refused, and the events that the recorded ones led to."""

    rows: int = 0
    recorded: int = 0
    unchanged: int = 0
    refused: int = 0
    events: int = 0


class FileUnusable(Exception):
    """The file as a whole cannot be imported; says why, and names columns."""


class Report(Protocol):
    """Is told of each row that was not recorded, in order."""

    def __call__(self, line: int, outcome: Outcome, code: str, message: str) -> None: ...


Rows = Iterable[Row]
