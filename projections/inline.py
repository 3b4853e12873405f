"""The inline projection: current consent, written in the append's own transaction.

So what was recorded is what the next check sees. The group is folded here first: one statement may touch a row only once.
The row that is there gives way only to a greater precedence (effectiveAt, restrictiveness, position), the one that
`domain.consent` defines, so the outcome does not depend on the order of arrival.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from domain.consent import RESTRICTIVENESS, ConsentRecord, join
from domain.events import ConsentCaptured, EventType
from domain.upcasting import upcast
from eventstore.entry import Entry

_CTES = """
, projected AS (
    INSERT INTO current_consent AS held
        (tenant, contact_point, channel, purpose, topic, unit, value, restrictiveness, effective_at, recorded_at,
         valid_until, position)
    SELECT moved.tenant, u.*
    FROM moved, unnest(${}::uuid[], ${}::text[], ${}::text[], ${}::text[], ${}::text[], ${}::text[], ${}::smallint[],
                       ${}::timestamptz[], ${}::timestamptz[], ${}::timestamptz[], ${}::bigint[]) AS u
    ON CONFLICT (tenant, contact_point, purpose, topic, unit) DO UPDATE
    SET value = excluded.value, restrictiveness = excluded.restrictiveness, effective_at = excluded.effective_at,
        recorded_at = excluded.recorded_at, valid_until = excluded.valid_until, position = excluded.position
    WHERE (excluded.effective_at, excluded.restrictiveness, excluded.position)
        > (held.effective_at, held.restrictiveness, held.position)
)
"""
_PARAMETERS = 11


def captured(entry: Entry) -> ConsentCaptured | None:
    """The consent that an entry captured, or None for an entry of another type."""
    if entry.type != EventType.CONSENT_CAPTURED:
        return None
    if entry.effective_at is None:
        raise ValueError("a capture without effectiveAt")
    return ConsentCaptured.from_data(upcast(entry.type, entry.version, entry.data), entry.effective_at)


def consent_record(entry: Entry) -> ConsentRecord | None:
    """The record of consent that an entry made, or None for an entry of another type."""
    capture = captured(entry)
    return None if capture is None else capture.record(entry.position, entry.recorded_at)


class InlineCurrentConsent:
    """Keeps the table current_consent; an `eventstore.append.InlineProjection`."""

    def ctes(self, first_parameter: int) -> str:
        """The statement, with parameters numbered from `first_parameter`."""
        return _CTES.format(*range(first_parameter, first_parameter + _PARAMETERS))

    def arguments(self, entries: Sequence[Entry]) -> list[Any]:
        """The columns of the rows that a group of entries leads to, one row a (contact point, purpose, topic, unit)."""
        best: dict[tuple[UUID, str, str, str], tuple[str, ConsentRecord]] = {}
        for entry in entries:
            capture = captured(entry)
            if capture is None:
                continue
            record = capture.record(entry.position, entry.recorded_at)
            key = (entry.stream, record.purpose, record.topic or "", record.unit)
            held = best.get(key)
            winner = record if held is None else join(held[1], record)
            if winner is record:
                best[key] = (capture.channel, record)
        rows = [
            (
                contact_point,
                channel,
                purpose,
                topic,
                unit,
                record.value,
                RESTRICTIVENESS[record.value],
                record.effective_at,
                record.recorded_at,
                record.valid_until,
                record.position,
            )
            for (contact_point, purpose, topic, unit), (channel, record) in best.items()
        ]
        return [[row[index] for row in rows] for index in range(_PARAMETERS)]
