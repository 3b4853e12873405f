"""Trends: how many captures of each value took effect on each day, in UTC, for each purpose; a follower keeps the counts.

By effectiveAt, the day on which the person chose: an import of old records then fills the past, where they belong, and is no
peak of today; so the past may still change. Captures for a purpose and for its topics count alike, each once, those that changed
nothing included: what is counted is choices made, not contact points. Erasing somebody takes nothing away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from domain.consent import ConsentValue
from domain.events import EventType
from domain.upcasting import upcast
from eventstore.array_literal import array_literal
from eventstore.personal.vault import Connected
from projections.happened import Happened
from projections.projection import Projection

_CTES = """
, counted AS (
    INSERT INTO {table} AS held (tenant, purpose, day, opted_in, opted_out, reset)
    SELECT moved.tenant, u.* FROM moved,
        unnest(${}::text::text[], ${}::text::date[], ${}::text::bigint[], ${}::text::bigint[], ${}::text::bigint[]) AS u
    ON CONFLICT (tenant, purpose, day) DO UPDATE
    SET opted_in = held.opted_in + excluded.opted_in, opted_out = held.opted_out + excluded.opted_out,
        reset = held.reset + excluded.reset
)
"""
_COLUMNS = {ConsentValue.OPTED_IN: 0, ConsentValue.OPTED_OUT: 1, ConsentValue.NOT_SET: 2}


def _fold(entries: Sequence[Happened]) -> list[Any]:
    counts: dict[tuple[str, date], list[int]] = {}
    for entry in entries:
        if entry.type != EventType.CONSENT_CAPTURED:
            continue
        data = upcast(entry.type, entry.version, entry.data)
        if entry.effective_at is None:
            raise ValueError("a capture without effectiveAt")
        count = counts.setdefault((data["purpose"], entry.effective_at.date()), [0, 0, 0])
        count[_COLUMNS[ConsentValue(data["value"])]] += 1
    return [
        array_literal([purpose for purpose, _ in counts]),
        array_literal([day for _, day in counts]),
        *(array_literal([count[column] for count in counts.values()]) for column in _COLUMNS.values()),
    ]


# A count decides nothing: one event that cannot be read is better left out, and shown, than all that come after it.
CONSENT_TREND = Projection(
    name="consent_trend",
    key=("purpose", "day"),
    group=("purpose", "text"),
    ctes=_CTES,
    parameters=5,
    fold=_fold,
    inline=False,
    may_leave_out=True,
)


@dataclass(frozen=True, slots=True)
class Counts:
    """What took effect on one day."""

    opted_in: int = 0
    opted_out: int = 0
    reset: int = 0


@dataclass(frozen=True, slots=True)
class Trend:
    """The counts of the days that have any, as of `position`, where the log is at `head`."""

    head: int
    position: int
    days: dict[date, Counts]


_TREND = """
SELECT head.size - 1, coalesce(reached.position, -1), counted.*
FROM log_heads head
LEFT JOIN projection_checkpoints reached ON reached.tenant = head.tenant AND reached.projection = 'consent_trend'
LEFT JOIN LATERAL (
    SELECT t.day, sum(t.opted_in)::bigint, sum(t.opted_out)::bigint, sum(t.reset)::bigint
    FROM consent_trend t
    WHERE t.tenant = $1 AND t.day BETWEEN $2 AND $3 AND ($4::text[] IS NULL OR t.purpose = ANY($4::text[]))
    GROUP BY t.day
) AS counted ON true
WHERE head.tenant = $1
"""


async def trend(
    connection: Connected, tenant: int, *, first: date, last: date, purposes: Sequence[str] | None
) -> Trend:
    """The counts of these purposes (None: all) from one day to another, both included; in one snapshot with the positions."""
    rows = await connection.fetch(_TREND, tenant, first, last, purposes)
    if not rows:
        raise LookupError("a tenant without a log")
    return Trend(rows[0][0], rows[0][1], {row[2]: Counts(*row[3:6]) for row in rows if row[2] is not None})
