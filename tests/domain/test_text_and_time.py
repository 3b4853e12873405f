"""Text and instants as callers give them: clean, or refused with the field's name and what would be right."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.refusals import Refusal
from domain.text import clean_text
from domain.time import format_instant, parse_instant


@pytest.mark.parametrize("text", ["a\x00b", "\x00", "a\ud800", "a\x1bb", "a\nb", "x" * 11])
def test_unclean_text_names_its_field(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        clean_text(text, field="reason", chars_max=10)
    assert refused.value.path == ("reason",)


def test_clean_text() -> None:
    assert clean_text("  a b ", field="f", chars_max=10) == "a b"
    assert clean_text("  ", field="f", chars_max=10) is None
    assert clean_text(None, field="f", chars_max=10) is None
    assert clean_text("a\n\tb", field="f", chars_max=10, multiline=True) == "a\n\tb"
    assert clean_text("👩‍💻", field="f", chars_max=10) == "👩‍💻"
    with pytest.raises(Refusal):
        clean_text(" ", field="f", chars_max=10, required=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01t12:00:00z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01 13:00:00+01:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00.5Z", datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-03-01T12:00:00.123456789Z", datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)),
        ("2026-03-01T00:30:00-00:45", datetime(2026, 3, 1, 1, 15, tzinfo=UTC)),
    ],
)
def test_instants(text: str, expected: datetime) -> None:
    assert parse_instant(text, field="asOf") == expected


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-03-01", "2026-03-01T12:00:00", "31/02/2024", "2026-02-31T00:00:00Z", "2026-03-01T25:00:00Z",
     "2026-03-01T12:00:60Z", "0001-01-01T00:00:00+14:00",
     "9999-12-31T23:59:59-14:00", "2026-3-1T12:00:00Z", "٢٠٢٦-03-01T12:00:00Z"],
)  # fmt: skip
def test_what_is_no_instant_says_what_would_be_right(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse_instant(text, field="asOf")
    assert refused.value.path == ("asOf",)
    assert "2026-03-01T12:00:00Z" in refused.value.message
    if text == "2026-03-01T12:00:00":
        assert "offset" in refused.value.message


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda i: i.replace(tzinfo=UTC)))  # noqa: DTZ001
def test_an_instant_has_one_spelling(instant: datetime) -> None:
    assert parse_instant(format_instant(instant), field="f") == instant
    assert len(format_instant(instant)) == 27
