"""Instants: read from RFC 3339 with an offset, written in UTC with microseconds."""

import re
from datetime import UTC, datetime

from domain.refusals import Refusal, RefusalCode

_FORM = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_NAIVE = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?)?", re.ASCII)


def parse_instant(text: str, *, field: str) -> datetime:
    """The instant in UTC that `text` names; digits beyond microseconds are cut. Raises Refusal INVALID."""
    wanted = "an instant with date, time and offset, such as 2026-03-01T12:00:00Z or 2026-03-01T13:00:00+01:00"
    if _FORM.fullmatch(text) is None:
        why = "has no offset from UTC" if _NAIVE.fullmatch(text) else "cannot be read"
        raise Refusal(RefusalCode.INVALID, f"{field} {why}; it must be {wanted}", (field,))
    try:
        return datetime.fromisoformat(text.upper().replace(" ", "T")).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Refusal(
            RefusalCode.INVALID, f"{field} is no date of the calendar; it must be {wanted}", (field,)
        ) from error


def format_instant(instant: datetime) -> str:
    """`YYYY-MM-DDTHH:MM:SS.ffffffZ`, the one spelling of an aware instant."""
    if instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    return instant.isoformat(timespec="microseconds")[:-6] + "Z"


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
