"""Local times: read in a zone that was said, never guessed, and where a clock is put forward or back not in favour of a yes."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.consent import ConsentValue
from domain.local_time import DATE_FORMATS, LocalTimes
from domain.refusals import Refusal, RefusalCode

OUT, IN, NOT_SET = ConsentValue.OPTED_OUT, ConsentValue.OPTED_IN, ConsentValue.NOT_SET
AFTERNOON = datetime(2026, 11, 24, 14, 5, tzinfo=UTC)
MINUTE = timedelta(seconds=59, microseconds=999_999)
LATER = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "date_format", "instant"),
    [
        ("11/24/2026 3:05 PM", None, AFTERNOON),
        ("11/24/2026 3:05 PM", "mdy", AFTERNOON),
        ("11/24/2026, 3:05\N{NARROW NO-BREAK SPACE}pm", "mdy12", AFTERNOON),
        ("24/11/2026 3:05 p.m.", "dmy", AFTERNOON),
        ("24.11.2026 15:05", None, AFTERNOON),
        ("24.11.2026 15.05", "dmy24", AFTERNOON),
        ("24. 11. 2026 15:05:00", "dmy", AFTERNOON),
        ("2026. 11. 24. 15:05", "ymd", AFTERNOON),
        ("2026-11-24 15:05", None, AFTERNOON),
        ("2026-11-24T15:05:00.000000999", "ymd24", AFTERNOON),
        ("2026-11-24T14:05:00Z", "dmy", AFTERNOON),
        ("2026-11-24T15:05:00+01:00", None, AFTERNOON),
        ("24.11.2026 15:05:01.25", None, AFTERNOON + timedelta(seconds=1, milliseconds=250)),
        ("11/24/2026 12:05 AM", None, AFTERNOON - timedelta(hours=15)),
        ("11/24/2026 12:05 PM", None, AFTERNOON - timedelta(hours=3)),
        ("3/5/2026 15:05", "mdy", datetime(2026, 3, 5, 14, 5, tzinfo=UTC)),
        ("3/5/2026 15:05", "dmy", datetime(2026, 5, 3, 13, 5, tzinfo=UTC)),
        ("5/5/2026 15:05", None, datetime(2026, 5, 5, 13, 5, tzinfo=UTC)),
        ("2026-03-05 15:05", None, datetime(2026, 3, 5, 14, 5, tzinfo=UTC)),
    ],
)
def test_a_local_time_is_the_instant_at_which_the_clock_of_the_zone_shows_it(
    text: str, date_format: str | None, instant: datetime
) -> None:
    readings = LocalTimes.of("Europe/Berlin", date_format).read(text, field="modifiedon")
    # Where no seconds are shown, it may have been at the end of that minute.
    within = (
        MINUTE
        if text.count(":05") + text.count(".05") == 1 and ":00" not in text and ":01" not in text
        else timedelta(0)
    )
    assert (readings.earliest, readings.latest) == (instant, instant + within)


@pytest.mark.parametrize(
    ("text", "date_format", "says"),
    [
        ("3/5/2026 15:05", None, "--date-format"),
        ("12/11/2026 15:05", None, "--date-format"),
        ("11/24/2026 3:05 PM", "dmy", "no date and time of the calendar in the order day, month, year"),
        ("24.11.2026 15:05", "mdy", "no date and time of the calendar"),
        ("24.11.2026 15:05", "ymd", "not in the order that was given: year, month, day"),
        ("2026-11-24 15:05", "dmy", "not in the order that was given: day, month, year"),
        ("11/24/2026 3:05 PM", "mdy24", "AM or PM"),
        ("11/24/2026 15:05", "mdy12", "neither AM nor PM"),
        ("11/24/2026 15:05 PM", "mdy", "1 to 12"),
        ("11/24/2026 0:05 AM", "mdy", "1 to 12"),
        ("11/24/2026", "mdy", "without a time"),
        ("11/24/26 3:05 PM", "mdy", "four digits"),
        ("13/13/2026 15:05", None, "calendar"),
        ("30.2.2026 15:05", None, "calendar"),
        ("24.11.2026 24:05", None, "calendar"),
        ("1.1.0001 00:05", None, "calendar"),
        ("24.11/2026 15:05", None, "cannot be read"),
        ("yesterday", None, "cannot be read"),
    ],
)
def test_what_cannot_be_read_in_one_way_alone_is_refused(text: str, date_format: str | None, says: str) -> None:
    with pytest.raises(Refusal) as refused:
        LocalTimes.of("Europe/Berlin", date_format).read(text, field="modifiedon")
    assert (refused.value.code, refused.value.path) == (RefusalCode.INVALID, ("modifiedon",))
    assert says in refused.value.message


@pytest.mark.parametrize("text", ["11/24/2026 3:05 PM", "24.11.2026 15:05", "2026-11-24 15:05", "2026-11-24T15:05:00"])
def test_a_local_time_without_a_zone_is_refused_and_the_option_named(text: str) -> None:
    with pytest.raises(Refusal, match="--time-zone.*timeZone"):
        LocalTimes.of(None, None).read(text, field="modifiedon")


@pytest.mark.parametrize(
    ("zone", "text", "earliest", "hours"),
    [
        # Put back at 3:00: shown twice, from 00:30Z and from 01:30Z.
        ("Europe/Berlin", "25.10.2026 02:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC), 1),
        ("America/New_York", "11/1/2026 1:30 AM", datetime(2026, 11, 1, 5, 30, tzinfo=UTC), 1),
        # Put forward at 2:00: no clock has shown it; 00:30Z by the summer's offset, 01:30Z by the winter's.
        ("Europe/Berlin", "29.3.2026 02:30", datetime(2026, 3, 29, 0, 30, tzinfo=UTC), 1),
        ("Australia/Lord_Howe", "4/10/2026 2:15", datetime(2026, 10, 3, 15, 15, tzinfo=UTC), 0.5),
    ],
)
def test_where_a_clock_is_put_forward_or_back_an_opt_out_is_the_latest_and_all_else_the_earliest(
    zone: str, text: str, earliest: datetime, hours: float
) -> None:
    order = "mdy" if "New_York" in zone else "dmy"
    readings = LocalTimes.of(zone, order).read(text, field="modifiedon")
    latest = earliest + timedelta(hours=hours) + MINUTE
    assert (readings.earliest, readings.latest) == (earliest, latest)
    assert {value: readings.counts(value, LATER) for value in ConsentValue} == {
        OUT: latest,
        IN: earliest,
        NOT_SET: earliest,
    }


def test_an_opt_out_of_the_minute_that_is_shown_is_no_earlier_than_an_opt_in_within_it() -> None:
    times = LocalTimes.of("Europe/Berlin", None)
    opted_out = times.read("11/24/2026 3:05 PM", field="modifiedon").counts(OUT, LATER)
    assert opted_out > times.read("11/24/2026 3:05:59 PM", field="modifiedon").counts(IN, LATER)


def test_an_opt_out_of_this_very_hour_is_not_put_into_the_future_where_it_would_be_refused() -> None:
    readings = LocalTimes.of("Europe/Berlin", "dmy").read("25.10.2026 02:30", field="modifiedon")
    during_the_first = datetime(2026, 10, 25, 0, 40, tzinfo=UTC)
    assert readings.counts(OUT, during_the_first) == during_the_first
    assert readings.counts(OUT, readings.earliest - timedelta(hours=1)) == readings.earliest
    assert readings.counts(OUT, readings.latest) == readings.latest


@pytest.mark.parametrize(
    "zone",
    ["", "Europe", "Europe/Nowhere", "W. Europe Standard Time", "+01:00", "../UTC", "/etc/localtime", "localtime", "right/UTC",
     "posixrules", "x" * 300, "Europe/Berlin\x00", "Europe/Berlin\n"],
)  # fmt: skip
def test_a_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(Refusal, match="Europe/Berlin") as refused:
        LocalTimes.of(zone, None)
    assert refused.value.path == ("timeZone",)


@pytest.mark.parametrize(
    ("zone", "date_format", "path"),
    [
        ("UTC", "myd", "dateFormat"),
        ("UTC", "%d.%m.%Y", "dateFormat"),
        ("UTC", "", "dateFormat"),
        (None, "dmy", "timeZone"),
    ],
)
def test_a_date_format_is_one_of_those_that_are_documented_and_needs_a_zone(
    zone: str | None, date_format: str, path: str
) -> None:
    with pytest.raises(Refusal) as refused:
        LocalTimes.of(zone, date_format)
    assert refused.value.path == (path,)
    assert len(DATE_FORMATS) == 9
