"""Reading current consent: the record that counts for each contact point, purpose, topic and unit, with the log's head.

What is written here is written by `inline`; this module only reads, and compares nothing but what was made there.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from asyncpg import Record

from domain.consent import ConsentRecord, ConsentValue
from domain.double_opt_in import Request
from domain.standing import Standing
from domain.suppression import Level, Suppression
from eventstore.personal.vault import Connected


@dataclass(frozen=True, slots=True)
class HeadSeen:
    """The head of the log in the snapshot that an answer was taken from."""

    size: int
    recorded_at: datetime
    catalogue_position: int


@dataclass(slots=True)
class Found:
    """What was found of an address or a contact point: its current records by level and unit, and what blocks it.

    `contact_point` is None where nothing but a suppression is known of the address.
    """

    contact_point: UUID | None
    erasing: bool
    records: dict[Level, dict[str, ConsentRecord]]
    suppressions: list[Suppression] = field(default_factory=list[Suppression])
    opt_ins: dict[Level, datetime] = field(default_factory=dict[Level, datetime])
    requests: dict[Level, Request] = field(default_factory=dict[Level, Request])
    bounced: bool = False

    def standing(self) -> Standing:
        """What a decision rests on."""
        if not (self.suppressions or self.erasing or self.requests or self.bounced):
            return Standing(self.records)
        return Standing(self.records, self.erasing, tuple(self.suppressions), self.opt_ins, self.requests, self.bounced)


_VALUES = {str(value): value for value in ConsentValue}

# What suppresses an address, with the opt-ins of the contact point that it has now: one row each, rarely any.
_SUPPRESSIONS = """
    SELECT {number}, {contact_point}, NULL::text AS purpose, NULL::text AS topic, NULL::text AS unit, NULL::text AS value,
           NULL::timestamptz AS effective_at, NULL::timestamptz AS recorded_at, NULL::timestamptz AS valid_until,
           NULL::bigint AS position, false AS erasing, blocked.since, blocked.covers,
           (SELECT json_agg(json_build_array(o.purpose, o.topic, o.effective_at))
            FROM (SELECT s.contact_point FROM vault_subjects s
                  WHERE s.tenant = $1 AND s.blind_index = {blind_index} LIMIT 1) AS present
            JOIN persons_opt_ins o ON o.tenant = $1 AND o.contact_point = present.contact_point) AS opt_ins
"""

# check: what counts for each asked blind index, for the purposes and topics asked ('' is the purpose itself), and what
# suppresses it. LATERAL with LIMIT or OFFSET keeps each look-up an index probe, whatever the planner knows of the tables,
# and the head comes along even where nothing is found. The topics stand outside: inside, PostgreSQL 18 makes a search of
# each of them.
CHECK = (
    """
SELECT head.size, head.recorded_at, head.catalogue_position, found.*
FROM log_heads head
LEFT JOIN LATERAL (
    SELECT asked.number, subject.contact_point, consent.*, subject.erasing,
           NULL::timestamptz AS since, NULL::jsonb AS covers, NULL::json AS opt_ins
    FROM unnest($2::bytea[]) WITH ORDINALITY AS asked (blind_index, number)
    CROSS JOIN LATERAL (
        SELECT s.contact_point, s.erasing FROM vault_subjects s
        WHERE s.tenant = $1 AND s.blind_index = asked.blind_index LIMIT 1
    ) AS subject
    LEFT JOIN LATERAL (
        SELECT c.purpose, c.topic, c.unit, c.value, c.effective_at, c.recorded_at, c.valid_until, c.position
        FROM current_consent c
        WHERE c.tenant = $1 AND c.contact_point = subject.contact_point AND c.purpose = ANY($3::text[])
        UNION ALL
        SELECT r.purpose, r.topic, '', NULL, r.requested_at, NULL, r.expires_at, r.position
        FROM double_opt_in_requests r
        WHERE r.tenant = $1 AND r.contact_point = subject.contact_point AND r.purpose = ANY($3::text[])
        UNION ALL
        SELECT '', '', '', NULL, b.bounced_at, NULL, NULL, b.position
        FROM bounces b
        WHERE b.tenant = $1 AND b.contact_point = subject.contact_point AND b.ended_at IS NULL OFFSET 0
    ) AS consent ON consent.topic = ANY($4::text[])
    UNION ALL
"""
    + _SUPPRESSIONS.format(number="asked.number", contact_point="NULL::uuid", blind_index="asked.blind_index")
    + """
    FROM unnest($2::bytea[]) WITH ORDINALITY AS asked (blind_index, number)
    CROSS JOIN LATERAL (
        SELECT p.since, p.covers FROM suppressions p
        WHERE p.tenant = $1 AND p.blind_index = asked.blind_index OFFSET 0
    ) AS blocked
) AS found ON true
WHERE head.tenant = $1
"""
)

# consent_of: the same for contact points named by id; one that is being erased, or is erased, is told as such.
CONSENT_OF = (
    """
SELECT head.size, head.recorded_at, head.catalogue_position, found.*
FROM log_heads head
LEFT JOIN LATERAL (
    SELECT asked.number, asked.contact_point, consent.*,
           EXISTS (SELECT FROM erasures e WHERE e.tenant = $1 AND e.contact_point = asked.contact_point) AS erasing,
           NULL::timestamptz AS since, NULL::jsonb AS covers, NULL::json AS opt_ins
    FROM unnest($2::uuid[]) WITH ORDINALITY AS asked (contact_point, number)
    LEFT JOIN LATERAL (
        SELECT c.purpose, c.topic, c.unit, c.value, c.effective_at, c.recorded_at, c.valid_until, c.position
        FROM current_consent c
        WHERE c.tenant = $1 AND c.contact_point = asked.contact_point AND c.purpose = ANY($3::text[])
        UNION ALL
        SELECT r.purpose, r.topic, '', NULL, r.requested_at, NULL, r.expires_at, r.position
        FROM double_opt_in_requests r
        WHERE r.tenant = $1 AND r.contact_point = asked.contact_point AND r.purpose = ANY($3::text[])
        UNION ALL
        SELECT '', '', '', NULL, b.bounced_at, NULL, NULL, b.position
        FROM bounces b
        WHERE b.tenant = $1 AND b.contact_point = asked.contact_point AND b.ended_at IS NULL OFFSET 0
    ) AS consent ON true
    UNION ALL
"""
    + _SUPPRESSIONS.format(
        number="asked.number", contact_point="asked.contact_point", blind_index="subject.blind_index"
    )
    + """
    FROM unnest($2::uuid[]) WITH ORDINALITY AS asked (contact_point, number)
    CROSS JOIN LATERAL (
        SELECT s.blind_index FROM vault_subjects s
        WHERE s.tenant = $1 AND s.contact_point = asked.contact_point LIMIT 1
    ) AS subject
    CROSS JOIN LATERAL (
        SELECT p.since, p.covers FROM suppressions p
        WHERE p.tenant = $1 AND p.blind_index = subject.blind_index OFFSET 0
    ) AS blocked
) AS found ON true
WHERE head.tenant = $1
"""
)


async def by_blind_index(
    connection: Connected,
    tenant: int,
    blind_indexes: Sequence[bytes],
    purposes: Sequence[str],
    topics: Sequence[str],
    *,
    timeout_s: float | None = None,
) -> tuple[HeadSeen, dict[int, Found]]:
    """The head, and what is found for each blind index, by its place in `blind_indexes`; from one snapshot."""
    return _found(await connection.fetch(CHECK, tenant, blind_indexes, purposes, topics, timeout=timeout_s))


async def by_contact_point(
    connection: Connected, tenant: int, contact_points: Sequence[UUID], purposes: Sequence[str]
) -> tuple[HeadSeen, dict[int, Found]]:
    """The same for contact points, by id."""
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
            held = found[number] = Found(None, False, {})  # noqa: FBT003 - the fields are named in the class
        held.contact_point = held.contact_point or row[4]
        held.erasing = held.erasing or row[13]
        if row[14] is not None:
            held.suppressions.append(Suppression.from_data(json.loads(row[15]), row[14]))
            if row[16] is not None:
                held.opt_ins = {
                    (purpose, topic or None): datetime.fromisoformat(effective_at)
                    for purpose, topic, effective_at in json.loads(row[16])
                }
        elif row[5] == "":
            # No purpose at all: a bounce, which is about all of them.
            held.bounced = True
        elif row[5] is not None and row[8] is None:
            # A request has no value: it is what a confirmation is awaited for.
            held.requests[row[5], row[6] or None] = Request(row[9], row[12], row[11])
        elif row[5] is not None:
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
