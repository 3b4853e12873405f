"""Each scalar: what it reads, what it refuses and in which words, what it writes."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from graphql import GraphQLError, parse, validate

from schema.scalars import JSON, LONG_MAX, SCALARS, Bytes, Long
from schema.schema import build_schema

INSTANT, LONG, BYTES = SCALARS[datetime], SCALARS[Long], SCALARS[Bytes]


def read(scalar: Any, value: Any) -> Any:
    return scalar.parse_value(value)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01t13:00:00.25+01:00", datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)),
        ("2026-03-01T12:00:00.000001-00:00", datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC)),
    ],
)
def test_an_instant_is_read_with_its_offset(text: str, instant: datetime) -> None:
    assert read(INSTANT, text) == instant


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("2026-03-01T12:00:00", "has no offset from UTC"),
        ("2026-03-01", "has no offset from UTC"),
        ("2026-02-30T12:00:00Z", "no date of the calendar"),
        ("soon", "cannot be read"),
        (1_772_366_400, "is text such as"),
        ("2026-03-01T12:00:00Z\x00", "cannot be read"),
        ("\ud800", "cannot be read"),
    ],
)
def test_what_is_no_instant_is_refused_with_what_would_be_right(value: object, words: str) -> None:
    with pytest.raises(GraphQLError) as refused:
        read(INSTANT, value)
    assert words in refused.value.message
    assert "2026-03-01T12:00:00Z" in refused.value.message
    assert refused.value.extensions == {"code": "BAD_USER_INPUT"}


def test_an_instant_is_written_in_utc_with_microseconds() -> None:
    berlin = datetime(2026, 3, 1, 13, tzinfo=timezone(timedelta(hours=1)))
    assert INSTANT.serialize is not None
    assert INSTANT.serialize(berlin) == "2026-03-01T12:00:00.000000Z"


@pytest.mark.parametrize(("given", "number"), [(0, 0), ("0", 0), (LONG_MAX, LONG_MAX), (str(LONG_MAX), LONG_MAX)])
def test_a_long_is_read_as_number_or_text(given: object, number: int) -> None:
    assert read(LONG, given) == number


@pytest.mark.parametrize(
    "given", [-1, LONG_MAX + 1, str(LONG_MAX + 1), "-1", "01", "1.0", 1.5, True, "", "1_0", "١", "9" * 5_000, None]
)
def test_what_is_no_long_is_refused(given: object) -> None:
    with pytest.raises(GraphQLError, match="whole number from 0 to"):
        read(LONG, given)


def test_bytes_are_base64_with_padding() -> None:
    assert BYTES.serialize is not None
    assert BYTES.serialize(b"\xfb\xff") == "+/8="
    assert read(BYTES, "+/8=") == b"\xfb\xff"
    for malformed in ("-_8=", "+/8", "+/8=\n", 5, "\u00e9"):
        with pytest.raises(GraphQLError):
            read(BYTES, malformed)


def test_every_scalar_has_a_description() -> None:
    assert all(SCALARS[scalar].description for scalar in (datetime, Long, Bytes, JSON))


@pytest.mark.parametrize(
    ("literal", "message"),
    [
        (
            'checkConsent(input: {address: "a@example.org", purpose: "p", asOf: "2026-01-01T00:00:00"}) { allowed }',
            "offset",
        ),
        ("consentEvents(filter: {fromPosition: -1}) { totalCount }", "a Long is a whole number"),
    ],
)
def test_what_is_wrong_in_the_document_is_told_by_its_place(literal: str, message: str) -> None:
    [error] = validate(build_schema()._schema, parse(f"{{ {literal} }}"))
    assert message in error.message
    assert error.locations is not None
    [location] = error.locations
    assert literal[location.column - 3 :].startswith(('"2026', "-1"))
