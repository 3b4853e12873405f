"""What a verification finds, line by line: what is proven, what is only claimed, what needs a witness, what failed."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

SHOWN_CHARS_MAX = 2_000


class Unusable(Exception):
    """The input cannot be read, or is none of the formats known here, or a key is none; says why."""


class NotProven(Exception):
    """Something is wrong; says what, with position and field. The first such thing ends a verification."""


class Verdict(StrEnum):
    """What a line is worth."""

    PROVEN = "PROVEN"
    CLAIMED = "CLAIMED"
    NEEDS_WITNESS = "NEEDS A WITNESS"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Line:
    """One finding, in words."""

    verdict: Verdict
    text: str

    def __str__(self) -> str:
        return f"{self.verdict:<7} {self.text}"


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, in the order in which they were made."""

    lines: Sequence[Line]

    @property
    def proven(self) -> bool:
        """Whether something is proven, and nothing failed."""
        verdicts = {line.verdict for line in self.lines}
        return Verdict.PROVEN in verdicts and Verdict.FAILED not in verdicts

    @property
    def failure(self) -> str | None:
        """The first thing that is wrong."""
        return next((line.text for line in self.lines if line.verdict is Verdict.FAILED), None)


class Findings:
    """Collects the lines of a report."""

    def __init__(self) -> None:
        # In the order of the findings, and fast to look up: a bundle may lead to a line for each of many events.
        self._lines: dict[Line, None] = {}

    def proven(self, text: str) -> None:
        """This follows from hashes and from signatures of trusted keys."""
        self._add(Verdict.PROVEN, text)

    def claimed(self, text: str) -> None:
        """Somebody says this, and nothing here proves it."""
        self._add(Verdict.CLAIMED, text)

    def needs_witness(self, text: str) -> None:
        """Only a witness that somebody else runs could show this."""
        self._add(Verdict.NEEDS_WITNESS, text)

    def failed(self, text: str) -> None:
        """This is wrong."""
        self._add(Verdict.FAILED, text)

    def report(self) -> Report:
        """What was found so far."""
        return Report(tuple(self._lines))

    def _add(self, verdict: Verdict, text: str) -> None:
        # Once: a file and the log that it is held against may show the same.
        self._lines.setdefault(Line(verdict, plain(text)))


def plain(text: str) -> str:
    """`text` on one line, what a terminal would obey or hide spelled out: files come from strangers."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def quoted(text: str) -> str:
    """`text` between quotes, cut where it is very long."""
    cut = text if len(text) <= SHOWN_CHARS_MAX else f"{text[:SHOWN_CHARS_MAX]}... ({len(text)} characters)"
    return f'"{plain(cut)}"'


def counted(number: int, what: str, many: str = "") -> str:
    """`number` things, in the singular where it is one."""
    return f"{number} {what if number == 1 else many or what + 's'}"
