"""Rows of a CSV file are the same however it is cut into pieces, and no record, however long, costs more than its length."""

import io
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.refusals import Refusal
from ledger import csv_quotes, csv_rows
from ledger.csv_rows import CsvRows
from ledger.import_rows import LoadedRow, Row

LIMIT = 60


def reader() -> CsvRows:
    def read(row: Mapping[str, str]) -> LoadedRow:
        return LoadedRow(row["a"], (), None, repr(dict(row)).encode())

    return CsvRows(("a", "b"), read, identifying=("a",), encoding=None, may_say_no=lambda _: True)


def said(rows: Sequence[Row]) -> list[tuple[int, object]]:
    return [(row.line, row.content.message if isinstance(row.content, Refusal) else row.content) for row in rows]


def read_in(pieces: Sequence[bytes]) -> list[tuple[int, object]]:
    rows = reader()
    found = [row for piece in pieces for row in rows.feed(piece)]
    return said([*found, *rows.end()])


@pytest.fixture
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "_RECORD_CHARS_MAX", LIMIT)
    monkeypatch.setattr(csv_rows, "HEAD_BYTES", 4)


@pytest.mark.usefixtures("_small_limits")
@settings(max_examples=300)
@given(st.text('xy,"\r\n', max_size=300), st.lists(st.integers(0, 300), max_size=40))
def test_rows_do_not_depend_on_how_a_file_is_cut(text: str, cuts: list[int]) -> None:
    raw = b"a,b\n" + text.encode()
    at = [0, *sorted(4 + cut for cut in cuts), len(raw)]
    pieces = [raw[start:end] for start, end in zip(at, at[1:], strict=False)]
    whole = read_in([raw])
    assert read_in(pieces) == whole
    assert read_in([raw[number : number + 1] for number in range(len(raw))]) == whole


@pytest.mark.usefixtures("_small_limits")
@pytest.mark.parametrize(
    "record",
    ['"' + "x\n" * 31, "x" * 61, '"' + "x" * 61, 'y,"' + "x\n" * 29, "x," * 31],
    ids=["a quote not closed", "one line", "one quoted line", "a quote in a later column", "many columns"],
)
def test_a_record_beyond_all_measure_is_refused_by_its_line_and_the_limit(record: str) -> None:
    content = ("a,b\ny,z\n" + record + "\n").encode()
    for pieces in ([content], [content[number : number + 1] for number in range(len(content))]):
        [good, refused, *_] = read_in(pieces)
        assert good[0] == 2
        assert refused[0] == 3
        told = (
            "a quote that opens here is not closed in this row; lines to"
            if "\n" in record
            else "the row is longer than 60 characters, or a quote in it is not closed"
        )
        assert str(refused[1]).startswith(told)


@pytest.mark.usefixtures("_small_limits")
def test_a_record_as_long_as_the_limit_is_read() -> None:
    record = 'y,"' + "x\n" * 28 + '"'
    assert len(record) == LIMIT
    assert [line for line, _ in read_in([f"a,b\n{record}".encode()])] == [2]


@pytest.mark.parametrize(
    "unit", ["x\n", "x" * 50 + "\n", "x", "\r\n", "\r"], ids=["short lines", "lines", "no line", "CRLF", "CR"]
)
@pytest.mark.parametrize("piece_bytes", [1, 7, 1_000])
def test_an_unclosed_quote_costs_its_length_and_not_the_square_of_it(
    monkeypatch: pytest.MonkeyPatch, unit: str, piece_bytes: int
) -> None:
    looked_at = 0

    class Counted(csv_rows._Lines):
        def __next__(self) -> str:
            nonlocal looked_at
            line = super().__next__()
            looked_at += len(line)
            return line

    monkeypatch.setattr(csv_rows, "HEAD_BYTES", 16)
    monkeypatch.setattr(csv_rows, "_Lines", Counted)
    rows = reader()
    content = b'a,b\n"' + unit.encode() * (20_000 // len(unit))
    held = 0
    for start in range(0, len(content), piece_bytes):
        assert not list(rows.feed(content[start : start + piece_bytes]))
        held = max(held, sum(map(len, rows._lines.waiting)) + rows._rest_chars if start % 1_000 == 0 else 0)
    list(rows.end())
    assert looked_at <= 4 * len(content)
    assert held <= 2 * len(content)


def read_all(content: str, *, no: bool) -> list[Row]:
    """A file of two columns, of which every row says no, or every row says yes."""

    def read(row: Mapping[str, str]) -> LoadedRow:
        return LoadedRow(row["a"], (not no,), None, repr((row["a"], row["b"])).encode())

    rows = CsvRows(("a", "b"), read, identifying=("a",), encoding=None, may_say_no=lambda _: True)
    return [*rows.feed(content.encode()), *rows.end()]


@settings(max_examples=300)
@given(st.lists(st.tuples(*[st.text('xy,"\r\n', max_size=12)] * 2), max_size=6))
def test_what_is_written_with_every_cell_quoted_is_read_as_written_whatever_lines_its_texts_have(
    written: list[tuple[str, str]],
) -> None:
    output = io.StringIO(newline="")
    writer = csv_quotes.writer(output)
    for row in [("a", "b"), *written]:
        writer.writerow(row)
    found = [row.content for row in read_all(output.getvalue(), no=True)]
    assert [one.digest if isinstance(one, LoadedRow) else one for one in found] == [
        repr(row).encode() for row in written
    ]


@pytest.mark.parametrize(
    "record",
    ['x,"Bob\n,Al"', 'x,"Bob\ny,"', 'x,"Bob\n,y",z'],
    ids=["a stray quote closes it", "a cell that is a quote", "a row of three columns"],
)
@pytest.mark.parametrize("header", ["a,b", '"a","b"'])
def test_a_record_in_which_a_line_may_be_a_row_says_yes_for_nobody(header: str, record: str) -> None:
    found = read_all(f"{header}\n{record}\n", no=False)
    assert [row.line for row in found] == [2, 3]
    assert all(isinstance(row.content, Refusal) for row in found)


def test_a_file_that_quotes_its_header_and_not_each_cell_says_yes_only_where_no_line_is_a_row() -> None:
    [row] = read_all('"a","b"\n"x","Bob\ny,z\n"\n', no=False)
    assert isinstance(row.content, Refusal)
    [row] = read_all('"a","b"\n"x","Bob\nis my name\n"\n', no=False)
    assert not isinstance(row.content, Refusal)


@pytest.mark.parametrize(
    ("header", "read"),
    [
        ("_a_value,B", {"a": "1", "b": "2"}),
        ("a,b,_c_value", {"a": "1", "b": "2", "c": "3"}),
        ("a,b,_a_value", {"a": "1", "b": "2", "_a_value": "3"}),
    ],
)
def test_a_lookup_may_be_named_as_dataverse_names_it(header: str, read: dict[str, str]) -> None:
    cells = ",".join("123"[: header.count(",") + 1])
    [(_, row)] = read_in([f"{header}\n{cells}\n".encode()])
    assert row == LoadedRow("1", (), None, repr(read).encode())
