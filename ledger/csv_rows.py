"""CSV files as they come, whatever they hold: rows from pieces of a file, one reader for every CSV format.

Encoding, unless it is told, and delimiter (comma, semicolon, tab) are seen from the beginning; columns are found by their
names, in any order and case. A row that is wrong is refused alone, whatever is wrong with it.
"""

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from domain.refusals import Refusal, RefusalCode
from ledger.csv_quotes import QuotedLines, every_cell_quoted, says_no
from ledger.dynamics_columns import AS_THEY_ARE, ColumnNames
from ledger.file_encoding import HEAD_BYTES, Decoder, Encoding
from ledger.import_rows import FileUnusable, LoadedRow, OptOutRefused, Row, refused_as
from ledger.record import Capture

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
_FIELD_CHARS_MAX = 10_000
_RECORD_CHARS_MAX = 1_000_000
_SURROGATE = re.compile("[\ud800-\udfff]")
# Where a line ends; a last CR may be half of a CRLF. Ends alone: a pattern for whole lines would try each place of an
# unfinished one anew, which takes the square of its length.
_LINE_END = re.compile(r"\r\n|\n|\r(?!\Z)")
_SEPARATOR_LINE = re.compile(r"sep=(.)\s*")

csv.field_size_limit(_RECORD_CHARS_MAX)

ReadRow = Callable[[Mapping[str, str]], Capture | LoadedRow]
MaySayNo = Callable[[Mapping[str, str] | None], bool]
"""Whether a row says an opt-out, or may: None is one whose columns cannot be told."""


class _MoreNeeded(Exception):
    """The lines at hand are used up, and the file goes on."""


class _TooLong(Exception):
    """The record goes on beyond all measure: a quote that nobody closes, or no line end."""


class _Lines:
    """Lines for the csv module; `taken` are those of the present record, together `chars` long."""

    def __init__(self) -> None:
        self.waiting: deque[str] = deque()
        self.taken: list[str] = []
        self.chars = 0
        self.ended = False

    def begin(self) -> None:
        """Begin the next record."""
        self.taken.clear()
        self.chars = 0

    def give_back(self) -> None:
        """The record is not complete yet: its lines are read again from its beginning."""
        self.waiting.extendleft(reversed(self.taken))

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if not self.waiting:
            raise StopIteration if self.ended else _MoreNeeded
        line = self.waiting.popleft()
        self.taken.append(line)
        self.chars += len(line)
        if self.chars > _RECORD_CHARS_MAX:
            raise _TooLong
        return line


class CsvRows:
    """Rows of one file. `read` makes what a row says of its cells, by column; it raises Refusal.

    A row that is refused, by whatever, is an OptOutRefused if `may_say_no`: what nobody can tell may be an opt-out.
    `identifying` are the columns that say whose consent a row is, and to what: no row is taken where they may say another.
    """

    def __init__(
        self,
        required: Sequence[str],
        read: ReadRow,
        names: ColumnNames = AS_THEY_ARE,
        *,
        identifying: Sequence[str],
        encoding: Encoding | None,
        may_say_no: MaySayNo,
    ) -> None:
        self._required = required
        self._identifying = identifying
        self._encoding = encoding
        self._read = read
        self._names = names
        self._row_may_say_no = may_say_no
        self._head = bytearray()
        self._decoder: Decoder | None = None
        # The line that is not complete yet, in pieces, and how long it is.
        self._rest: list[str] = []
        self._rest_chars = 0
        self._skipping = False
        # How much must have come before a record that was not complete is read again; and how much of that came.
        self._wanted_chars = 0
        self._come_chars = 0
        self._lines = _Lines()
        self._line = 0
        self._header: list[str] = []
        self._records = csv.reader(self._lines)
        self._quotes = QuotedLines(",", 0, quoted=False, content=self._content, may_say_no=self._may_say_no)

    def feed(self, data: bytes) -> Iterator[Row]:
        """See RowReader."""
        if self._decoder is None:
            self._head += data
            if len(self._head) < HEAD_BYTES:
                return
            data = self._begin()
        yield from self._rows(self._decoded(data))

    def end(self) -> Iterator[Row]:
        """See RowReader."""
        text = ""
        if self._decoder is None:
            self._lines.ended = True
            text = self._decoded(self._begin())
        text += "" if self._decoder is None else self._decoder.end()
        self._lines.ended = True
        yield from self._rows(text)

    def _begin(self) -> bytes:
        """Tell the encoding; what was read so far is to be decoded."""
        if not self._head.strip():
            raise FileUnusable("the file is empty")
        head = bytes(self._head)
        self._decoder = Decoder(head, self._encoding)
        self._head.clear()
        return head

    def _decoded(self, data: bytes) -> str:
        return "" if self._decoder is None else self._decoder.decode(data)

    def _rows(self, text: str) -> Iterator[Row]:
        self._take(text)
        if not self._header:
            self._read_header()
        lines, why = self._lines, ""
        self._come_chars += len(text)
        if self._come_chars < self._wanted_chars and not lines.ended:
            return
        self._wanted_chars = 0
        while True:
            lines.begin()
            cells: list[str] | None = None
            why = ""
            try:
                cells = next(self._records)
            except _MoreNeeded:
                # Read again once as much has come again, and not at each piece: that would take the square of its length.
                lines.give_back()
                self._wanted_chars, self._come_chars = lines.chars, 0
                return
            except StopIteration:
                return
            except _TooLong:
                why = f"the row is longer than {_RECORD_CHARS_MAX:,} characters, or a quote in it is not closed"
            except csv.Error as error:
                why = f"the row is no CSV: {error}"
            line = self._line + 1
            self._line += len(lines.taken)
            if len(lines.taken) > 1:
                yield from self._quotes.rows(line, lines.taken, cells)
            elif cells is None:
                yield self._quotes.broken_line(line, lines.taken[0], why)
            elif cells:
                yield Row(line, self._content(cells))

    def _take(self, text: str) -> None:
        """Cut text into lines. A line beyond all measure is cut short, and so refused; the rest of it is no row of its own."""
        ends = "\n" in text or "\r" in text or (bool(self._rest) and self._rest[-1].endswith("\r"))
        if not (ends or self._lines.ended) and self._rest_chars + len(text) <= _RECORD_CHARS_MAX:
            # Put together once it ends: done at each piece, that would take the square of its length.
            if text:
                self._rest.append(text)
                self._rest_chars += len(text)
            return
        text = "".join((*self._rest, text))
        end = 0
        for found in _LINE_END.finditer(text):
            start, end = end, found.end()
            if self._skipping:
                self._skipping = False
            else:
                self._lines.waiting.append(text[start:end])
        rest = text[end:]
        if self._lines.ended:
            if rest and not self._skipping:
                self._lines.waiting.append(rest)
            rest = ""
        elif len(rest) > _RECORD_CHARS_MAX:
            if not self._skipping:
                self._lines.waiting.append(rest + "\n")
            self._skipping = True
            # A CR may be half of the line end.
            rest = rest[-1] if rest.endswith("\r") else ""
        self._rest = [rest] if rest else []
        self._rest_chars = len(rest)

    def _read_header(self) -> None:
        lines = self._lines.waiting
        if not lines:
            raise FileUnusable(f"the first line is no CSV header: it does not end within {HEAD_BYTES} bytes")
        first = lines.popleft()
        self._line += 1
        separator = _SEPARATOR_LINE.fullmatch(first)
        if separator is not None and lines:
            # As Excel writes it, for itself.
            first = lines.popleft()
            self._line += 1
        delimiters = [separator[1]] if separator is not None else list(DELIMITERS)
        headers = {delimiter: self._names.of(_cells(first, delimiter)) for delimiter in delimiters}
        delimiter = max(headers, key=lambda one: (len(set(self._required) & set(headers[one])), len(headers[one])))
        header = headers[delimiter]
        missing = [self._names.shown(name) for name in self._required if name not in header]
        if missing:
            raise FileUnusable(
                f"the header lacks the columns {', '.join(missing)}; columns are found by"
                " these names and separated by comma, semicolon or tab"
            )
        twice = [name for number, name in enumerate(header) if name in header[:number]]
        if twice:
            raise FileUnusable(f"the header names a column twice: {twice[0][:100] or '(one without a name)'}")
        self._header = header
        self._records = csv.reader(self._lines, delimiter=delimiter, strict=True)
        self._quotes = QuotedLines(
            delimiter,
            len(header),
            quoted=every_cell_quoted(first, delimiter),
            content=self._content,
            may_say_no=self._may_say_no,
        )

    def _may_say_no(self, cells: Sequence[str]) -> bool:
        """Whether a row of these cells says an opt-out, or may; none at all are of a line that cannot be read."""
        if cells and not any(cell.strip() for cell in cells):
            return False
        whole = len(cells) == len(self._header)
        return self._row_may_say_no(dict(zip(self._header, cells, strict=True)) if whole else None)

    def _content(self, cells: Sequence[str]) -> Capture | LoadedRow | Refusal:
        content = self._said(cells)
        if isinstance(content, Refusal) and not isinstance(content, OptOutRefused):
            return refused_as(content, opt_out=self._may_say_no(cells))
        return content

    def _said(self, cells: Sequence[str]) -> Capture | LoadedRow | Refusal:
        header = self._header
        if len(cells) != len(header):
            return _refusal((), f"the row has {len(cells)} columns, the header {len(header)}")
        row = dict(zip(header, cells, strict=True))
        if self._decoder is not None and self._decoder.doubtful:
            for name in self._identifying:
                doubt = self._decoder.doubt(row.get(name, ""))
                if doubt is not None:
                    return _refusal((name,), f"{name} {doubt}")
        everything = "".join(cells)
        if len(everything) > _FIELD_CHARS_MAX or "\x00" in everything or _SURROGATE.search(everything):
            refusal = self._unreadable(row)
            if refusal is not None:
                return self._opt_out_of(row) or refusal
        try:
            return self._read(row)
        except Refusal as refusal:
            return refusal

    def _opt_out_of(self, row: Mapping[str, str]) -> Capture | LoadedRow | None:
        """The row if it says no to messages at an address that can be read: for that, other columns can be as they may."""
        shown = {
            name: _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value[:_FIELD_CHARS_MAX]).replace(
                "\x00", "\N{REPLACEMENT CHARACTER}"
            )
            for name, value in row.items()
        }
        try:
            content = self._read(shown)
        except Refusal:
            return None
        return content if says_no(content) and "\N{REPLACEMENT CHARACTER}" not in content.address else None

    def _unreadable(self, row: Mapping[str, str]) -> Refusal | None:
        unreadable = "" if self._decoder is None else self._decoder.unreadable()
        for name, value in row.items():
            if _SURROGATE.search(value):
                return _refusal((name,), f"{name} {unreadable}")
            if "\x00" in value:
                return _refusal((name,), f"{name} holds NUL")
            if len(value) > _FIELD_CHARS_MAX:
                return _refusal((name,), f"{name} is longer than {_FIELD_CHARS_MAX} characters")
        return None


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration):
        return []


def _refusal(path: tuple[str, ...], message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, message, path)
