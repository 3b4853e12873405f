"""A quote that opens in a CSV file and is not closed swallows the rows after it: what is made of the lines of such a record.

Each line is told by itself, so that the count of refused rows is the count of what was lost. What says no to messages is
taken; anything else is refused, for it may be the text of a cell, which anybody may have written.
"""

import csv
from collections.abc import Callable, Iterator, Sequence

from domain.consent import ConsentValue
from domain.refusals import Refusal, RefusalCode
from ledger.import_rows import LoadedRow, Row
from ledger.record import Capture

Content = Capture | LoadedRow | Refusal


class QuotedLines:
    """Looks into records of several lines. `content` is what the cells of a line say, as a row of its own."""

    def __init__(self, delimiter: str, columns: int, content: Callable[[Sequence[str]], Content]) -> None:
        self._delimiter = delimiter
        self._columns = columns
        self._content = content

    def swallowed(self, lines: Sequence[str]) -> bool:
        """Whether a line within a record of several is a row itself: then its quote was closed by another's."""
        return any(self._row(line) is not None for line in lines[1:])

    def rows(self, line: int, lines: Sequence[str]) -> Iterator[Row]:
        """The rows of the lines of a broken record that begins on `line`."""
        last = line + len(lines) - 1
        for number, text in enumerate(lines, line):
            found = self._row(text)
            if found is not None and says_no(found):
                yield Row(number, found)
            elif number == line:
                yield Row(
                    number, _refusal(f"a quote that opens here is not closed in this row; lines to {last} are in it")
                )
            elif text.strip():
                said = f"the line is within a quote that opens on line {line}; only what says no to messages is taken of it"
                yield Row(number, _refusal(said))

    def _row(self, line: str) -> Capture | LoadedRow | None:
        try:
            cells = next(csv.reader([line], delimiter=self._delimiter))
        except (csv.Error, StopIteration):
            return None
        if len(cells) != self._columns:
            return None
        found = self._content(cells)
        return None if isinstance(found, Refusal) else found


def says_no(content: Capture | LoadedRow) -> bool:
    """Whether a row forbids anything."""
    return content.value is ConsentValue.OPTED_OUT if isinstance(content, Capture) else not all(content.allows)


def _refusal(message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, message)
