"""Quotes in CSV files that leave open where a row ends: what is made of the lines of such a record.

A quote that opens and is not closed swallows the rows after it, and may be closed by a quote of another row: then cells of
two rows stand in one. Such a record is told from one whose text has several lines by a line in it with delimiters for as many
columns as the header has, whatever they say. Both readings count then: what says no to messages is taken, from the record and
from each of its lines; anything else is refused, for it may be another row's cell, or text, which anybody may have written.
Each line is told by itself, so that the count of refused rows is the count of what was lost.

In a file of which every cell is quoted, as exports write it, the quotes of a text are doubled, so no line of a text is such a
row. There a record is what it says, and says no once.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from domain.consent import ConsentValue
from domain.refusals import Refusal, RefusalCode
from ledger.import_rows import LoadedRow, OptOutRefused, Row, refused_as
from ledger.record import Capture

Content = Capture | LoadedRow | Refusal
_QUOTED = r'"[^"]*+(?:""[^"]*+)*+"'


class RowWriter(Protocol):
    """Writes one row after the other."""

    def writerow(self, row: Sequence[str], /) -> Any:
        """Write one."""
        ...


class _Output(Protocol):
    def write(self, text: str, /) -> Any: ...


def writer(output: _Output) -> RowWriter:
    """Writes rows with every cell quoted, so that they are read as they were written, whatever texts are in them."""
    return csv.writer(output, quoting=csv.QUOTE_ALL)


def every_cell_quoted(text: str, delimiter: str) -> bool:
    """Whether a record is written so."""
    pattern = rf"{_QUOTED}(?:{re.escape(delimiter)}{_QUOTED})*+(?:\r\n|\r|\n)?"
    return re.fullmatch(pattern, text) is not None


class QuotedLines:
    """Reads records of several lines, and lines that are no CSV. `content` is what the cells of a row say, and `may_say_no`
    whether they may be of an opt-out.

    `quoted` says that every cell of the file's header is quoted.
    """

    def __init__(
        self,
        delimiter: str,
        columns: int,
        *,
        quoted: bool,
        content: Callable[[Sequence[str]], Content],
        may_say_no: Callable[[Sequence[str]], bool],
    ) -> None:
        self._delimiter = delimiter
        self._columns = columns
        self._quoted = quoted
        self._content = content
        self._may_say_no = may_say_no

    def broken_line(self, line: int, text: str, why: str) -> Row:
        """A line that is no CSV: for a quote in a text nobody's no is refused, where the columns can be told."""
        cells = self._cells(text)
        return Row(line, self._no(cells) or _refusal(why, opt_out=self._may_say_no(cells)))

    def rows(self, line: int, lines: Sequence[str], cells: Sequence[str] | None) -> Iterator[Row]:
        """The rows of a record that begins on `line` and has several lines; `cells` if it is CSV."""
        whole = self._content(cells) if cells is not None and len(cells) == self._columns else None
        if whole is not None:
            if not any(self._may_be_row(text) for text in lines[1:]):
                yield Row(line, whole)
                return
            if self._quoted and every_cell_quoted("".join(lines), self._delimiter):
                yield Row(line, self._said_in_quotes(whole, lines))
                return
        yield from self._each(line, lines, whole)

    def _may_be_row(self, text: str) -> bool:
        """Whether a line is a row under any reading of its quotes."""
        return bool(text.strip()) and text.count(self._delimiter) >= self._columns - 1

    def _said_in_quotes(self, whole: Content, lines: Sequence[str]) -> Content:
        """What a record says of which every cell is quoted; a yes only where no line is a row that somebody did not quote."""
        if isinstance(whole, Refusal) or says_no(whole):
            return whole
        within = [cells for cells in map(self._cells, lines[1:]) if len(cells) == self._columns]
        if within:
            return _refusal(
                "a line within a cell is a row by itself: of such a row only a no to messages is taken",
                opt_out=any(map(self._may_say_no, within)),
            )
        return whole

    def _each(self, line: int, lines: Sequence[str], whole: Content | None) -> Iterator[Row]:
        last = line + len(lines) - 1
        for number, text in enumerate(lines, line):
            cells = self._cells(text)
            found = self._no(cells)
            opt_out = self._may_say_no(cells)
            if number == line:
                opt_out = opt_out or isinstance(whole, OptOutRefused)
                found = found or (None if whole is None or isinstance(whole, Refusal) or not says_no(whole) else whole)
                said = f"a quote that opens here is not closed in this row; lines to {last} are in it"
            else:
                said = f"the line is within a quote that opens on line {line}; only what says no to messages is taken of it"
            if found is not None:
                yield Row(number, found)
            elif number == line or text.strip():
                yield Row(number, _refusal(said, opt_out=opt_out))

    def _cells(self, line: str) -> Sequence[str]:
        """The cells of a line by itself, wherever quotes are in it."""
        try:
            return next(csv.reader([line], delimiter=self._delimiter))
        except (csv.Error, StopIteration):
            return ()

    def _no(self, cells: Sequence[str]) -> Capture | LoadedRow | None:
        """What cells say if they are a row that says no."""
        if len(cells) != self._columns:
            return None
        found = self._content(cells)
        return None if isinstance(found, Refusal) or not says_no(found) else found


def says_no(content: Capture | LoadedRow) -> bool:
    """Whether a row forbids anything; what cannot be read of a contact may."""
    return content.value is ConsentValue.OPTED_OUT if isinstance(content, Capture) else not all(content.allows)


def _refusal(message: str, *, opt_out: bool) -> Refusal:
    return refused_as(Refusal(RefusalCode.INVALID, message), opt_out=opt_out)
