"""Times as a program shows them on the clock of its user, such as 11/24/2026 3:05 PM: without an offset from UTC.

They say something only together with the zone of that clock; a date such as 3/5/2026 only with the order of its parts. An
instant with its offset needs neither, and is read as `time` does. What can be meant in two ways is refused, but for a time
that the clock showed twice or jumped over: it has two readings, and the value of the record chooses (`counts`).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from domain.consent import ConsentValue
from domain.refusals import Refusal, RefusalCode
from domain.time import parse_instant

ORDERS: Final = {"mdy": "month, day, year", "dmy": "day, month, year", "ymd": "year, month, day"}
DATE_FORMATS = tuple(order + hours for hours in ("", "12", "24") for order in ORDERS)
"""The order of a date's parts, and perhaps the hours of a time: 12 is with AM and PM, 24 without; without either, both are."""

# Blanks as the programs write them, narrow ones too; digits of ASCII alone.
_LOCAL = re.compile(
    r"([0-9]{1,4})([./-])\s?([0-9]{1,2})\2\s?([0-9]{1,4})\.?"
    r"(?:(?:,?\s+|[Tt])([0-9]{1,2})[:.]([0-9]{2})(?:[:.]([0-9]{2})(?:[.,]([0-9]{1,9}))?)?(?:\s?([AaPp])\.?\s?[Mm]\.?)?)?"
)
_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*", re.ASCII)
_ZONE_CHARS_MAX = 64
# A clock without seconds shows the same minute for so long.
_MINUTE = timedelta(seconds=59, microseconds=999_999)
# Files beside the zones: of the machine's own, of no place, and with leap seconds, which the clocks of programs do not show.
_NO_ZONES = re.compile(r"(localtime|posixrules|Factory|(right|posix)/.*)")


class Readings(NamedTuple):
    """The instants that a time can mean: from `earliest` to `latest`, which are the same but where a clock is put forward or
    back, or shows no seconds.

    `local` is whether it was said without an offset. A named tuple: an import makes two for each row.
    """

    earliest: datetime
    latest: datetime
    local: bool

    def counts(self, value: ConsentValue, now: datetime) -> datetime:
        """Which of them a record of this value is given: no opt-out is passed by what may have been before it.

        An OPTED_OUT has the latest, as far as that has come, everything else the earliest.
        """
        return min(self.latest, max(self.earliest, now)) if value is ConsentValue.OPTED_OUT else self.earliest


@dataclass(frozen=True, slots=True)
class LocalTimes:
    """How the local times of a file are to be read: in which zone, and in which order; None where that was not said."""

    zone: ZoneInfo | None
    order: str | None
    hours: str

    @classmethod
    def of(cls, zone: str | None, date_format: str | None) -> "LocalTimes":
        """Raises Refusal INVALID with `timeZone` or `dateFormat` as its path."""
        if date_format is not None and date_format not in DATE_FORMATS:
            raise _refusal(f"there is no such date format; there are {', '.join(DATE_FORMATS)}", "dateFormat")
        if date_format is not None and zone is None:
            raise _refusal("a date format is of local times: say their zone too, such as Europe/Berlin", "timeZone")
        found = None if zone is None else _zone(zone)
        return cls(found, date_format and date_format[:3], "" if date_format is None else date_format[3:])

    def read(self, text: str, *, field: str) -> Readings:
        """What `text` can mean. Raises Refusal INVALID."""
        found = None if text.endswith(("Z", "z")) else _LOCAL.fullmatch(text)
        if found is None:
            instant = parse_instant(text, field=field)
            return Readings(instant, instant, local=False)
        first, _, second, third, hour, minute, second_of_minute, fraction, half = found.groups()
        if hour is None:
            raise _refusal("it is a date without a time; which of two choices counts can be a matter of hours", field)
        if self.zone is None:
            raise _refusal(
                "it has no offset from UTC: say the zone of its clock with --time-zone, as Europe/Berlin (over HTTP timeZone);"
                " or write an instant, such as 2026-03-01T12:00:00Z or 2026-03-01T13:00:00+01:00",
                field,
            )
        year, month, day = self._date(first, second, third, field)
        hours = self._hours(int(hour), half, field)
        try:
            local = datetime(
                year,
                month,
                day,
                hours,
                int(minute),
                int(second_of_minute or 0),
                int((fraction or "")[:6].ljust(6, "0")),
                self.zone,
            )
            instants = [local.replace(fold=fold).astimezone(UTC) for fold in (0, 1)]
        except (ValueError, OverflowError) as error:
            how = "" if self.order is None else f" in the order {ORDERS[self.order]}"
            raise _refusal(f"it is no date and time of the calendar{how}", field) from error
        shown_within = _MINUTE if second_of_minute is None else timedelta(0)
        return Readings(min(instants), max(instants) + shown_within, local=True)

    def _date(self, first: str, second: str, third: str, field: str) -> tuple[int, int, int]:
        if (len(first) == 4) is (len(third) == 4):
            raise _refusal("a date has one year, of four digits, at its beginning or its end", field)
        one, two, three = int(first), int(second), int(third)
        order = "ymd" if len(first) == 4 else self.order or _order(one, two, field)
        if self.order not in (None, order) or (order == "ymd") is not (len(first) == 4):
            raise _refusal(f"its date is not in the order that was given: {ORDERS[self.order or order]}", field)
        match order:
            case "ymd":
                return one, two, three
            case "mdy":
                return three, one, two
            case _:
                return three, two, one

    def _hours(self, hour: int, half: str | None, field: str) -> int:
        if half is None:
            if self.hours == "12":
                raise _refusal("it has neither AM nor PM, and its hours are said to be 12", field)
            return hour
        if self.hours == "24":
            raise _refusal("it has AM or PM, and its hours are said to be 24", field)
        if not 1 <= hour <= 12:
            raise _refusal("with AM or PM an hour is 1 to 12", field)
        return hour % 12 + (12 if half in "Pp" else 0)


def _order(one: int, two: int, field: str) -> str:
    if one == two or two > 12 >= one:
        return "mdy"
    if one > 12 >= two:
        return "dmy"
    raise _refusal(
        "its date can be month, day, year or day, month, year: say which with --date-format, mdy or dmy (over HTTP dateFormat)",
        field,
    )


def _zone(name: str) -> ZoneInfo:
    try:
        if len(name) <= _ZONE_CHARS_MAX and _ZONE_NAME.fullmatch(name) and not _NO_ZONES.fullmatch(name):
            return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        # A name that no zone has, or that of a folder of them.
        pass
    raise _refusal(
        "there is no such time zone; one has its name in the IANA database, such as Europe/Berlin or UTC", "timeZone"
    )


def _refusal(message: str, field: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, message, (field,))
