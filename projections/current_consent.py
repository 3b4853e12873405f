"""Reading current consent: the record that counts for each contact point, purpose, topic and unit, with the log's head.

What is written here is written by `inline`; this module only reads, and compares nothing but what was made there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from asyncpg import Record

from domain.consent import ConsentRecord, ConsentValue
from eventstore.personal.vault import Connected

Level = tuple[str, str | None]
"""A purpose, or a topic of it."""


@dataclass(frozen=True, slots=True)
class HeadSeen:
    """The head of the log in the snapshot that an answer was taken from."""

    size: int
    recorded_at: datetime
    catalogue_position: int


@dataclass(frozen=True, slots=True)
class Found:
    """A contact point and its current records, by level and then by unit."""

    contact_point: UUID
    records: dict[Level, dict[str, ConsentRecord]]


_VALUES = {str(value): value for value in ConsentValue}

# check: what counts for each asked blind index, for the purposes and topics asked ('' is the purpose itself). LATERAL
# with LIMIT or OFFSET keeps each look-up an index probe, whatever the planner knows of the tables, and the head comes
# along even where nothing is found. The topics stand outside: inside, PostgreSQL 18 makes a search of each of them.
CHECK = """
SELECT head.size, head.recorded_at, head.catalogue_position,
       found.number, found.contact_point, found.purpose, found.topic, found.unit, found.value, found.effective_at,
       found.recorded_at, found.valid_until, found.position
FROM log_heads head
LEFT JOIN LATERAL (
    SELECT asked.number, subject.contact_point, consent.*
    FROM unnest($2::bytea[]) WITH ORDINALITY AS asked (blind_index, number)
    CROSS JOIN LATERAL (
        SELECT s.contact_point FROM vault_subjects s
        WHERE s.tenant = $1 AND s.blind_index = asked.blind_index LIMIT 1
    ) AS subject
    LEFT JOIN LATERAL (
        SELECT c.purpose, c.topic, c.unit, c.value, c.effective_at, c.recorded_at, c.valid_until, c.position
        FROM current_consent c
        WHERE c.tenant = $1 AND c.contact_point = subject.contact_point AND c.purpose = ANY($3::text[]) OFFSET 0
    ) AS consent ON consent.topic = ANY($4::text[])
) AS found ON true
WHERE head.tenant = $1
"""

# consent_of: the same for contact points named by id.
CONSENT_OF = """
SELECT head.size, head.recorded_at, head.catalogue_position,
       found.number, found.contact_point, found.purpose, found.topic, found.unit, found.value, found.effective_at,
       found.recorded_at, found.valid_until, found.position
FROM log_heads head
LEFT JOIN LATERAL (
    SELECT asked.number, asked.contact_point, consent.*
    FROM unnest($2::uuid[]) WITH ORDINALITY AS asked (contact_point, number)
    CROSS JOIN LATERAL (
        SELECT c.purpose, c.topic, c.unit, c.value, c.effective_at, c.recorded_at, c.valid_until, c.position
        FROM current_consent c
        WHERE c.tenant = $1 AND c.contact_point = asked.contact_point AND c.purpose = ANY($3::text[]) OFFSET 0
    ) AS consent
) AS found ON true
WHERE head.tenant = $1
"""


async def by_blind_index(
    connection: Connected,
    tenant: int,
    blind_indexes: Sequence[bytes],
    purposes: Sequence[str],
    topics: Sequence[str],
) -> tuple[HeadSeen, dict[int, Found]]:
    """The head, and what is found for each blind index, by its place in `blind_indexes`; from one snapshot."""
    return _found(await connection.fetch(CHECK, tenant, blind_indexes, purposes, topics))


async def by_contact_point(
    connection: Connected, tenant: int, contact_points: Sequence[UUID], purposes: Sequence[str]
) -> tuple[HeadSeen, dict[int, Found]]:
    """The same for contact points; those without a record of these purposes are left out."""
    return _found(await connection.fetch(CONSENT_OF, tenant, contact_points, purposes))


def _found(rows: Sequence[Record]) -> tuple[HeadSeen, dict[int, Found]]:
    if not rows:
        raise LookupError("a tenant without a log")
    first = rows[0]
    found: dict[int, Found] = {}
    for row in rows:
        if row[3] is None:
            continue
        number = row[3] - 1
        held = found.get(number)
        if held is None:
            held = found[number] = Found(row[4], {})
        if row[5] is not None:
            record = ConsentRecord(
                purpose=row[5],
                topic=row[6] or None,
                unit=row[7],
                value=_VALUES[row[8]],
                effective_at=row[9],
                recorded_at=row[10],
                valid_until=row[11],
                position=row[12],
            )
            held.records.setdefault((record.purpose, record.topic), {})[record.unit] = record
    return HeadSeen(first[0], first[1], first[2]), found
