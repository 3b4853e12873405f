"""Reading current consent: the record that counts for each contact point, purpose, topic and unit, with the log's head.

What is written here is written by `inline`; this module only reads, and compares nothing but what was made there.
"""

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from types import MappingProxyType
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


_NO_OPT_INS: Mapping[Level, datetime] = MappingProxyType({})
_NO_REQUESTS: Mapping[Level, Request] = MappingProxyType({})


Rows = Sequence[Record]
"""What the statements here gave of one address or contact point; none where nothing is known of it."""


class Found:
    """What was found of an address or a contact point: its current records by level and unit, and what blocks it.

    `contact_point` is None where nothing but a suppression is known of the address.
    """

    __slots__ = ("bounced", "contact_point", "erasing", "opt_ins", "records", "requests", "suppressions")

    def __init__(self, rows: Rows) -> None:
        self.contact_point: UUID | None = None
        self.erasing = False
        self.records: dict[Level, dict[str, ConsentRecord]] = {}
        # Rarely any: all that have none share them.
        self.suppressions: tuple[Suppression, ...] = ()
        self.opt_ins = _NO_OPT_INS
        self.requests = _NO_REQUESTS
        self.bounced = False
        for row in rows:
            self._add(row)

    def _add(self, row: Record) -> None:
        (
            _, contact_point, purpose, topic, unit, value, effective_at, recorded_at, valid_until, position, erasing,
            _, since, covers, opt_ins,
        ) = row  # fmt: skip
        self.contact_point = self.contact_point or contact_point
        self.erasing = self.erasing or erasing
        if value is not None:
            topic = topic or None
            record = ConsentRecord(
                purpose,
                topic,
                unit,
                _VALUES[value],
                _instant(effective_at),
                _instant(recorded_at),
                position,
                None if valid_until is None else _instant(valid_until),
            )
            self.records.setdefault((purpose, topic), {})[unit] = record
        elif since is not None:
            self.suppressions = (*self.suppressions, Suppression.from_data(json.loads(covers), _instant(since)))
            if opt_ins is not None:
                self.opt_ins = {
                    (opted_into, of or None): datetime.fromisoformat(opted_in_at)
                    for opted_into, of, opted_in_at in json.loads(opt_ins)
                }
        elif purpose == "":
            # No purpose at all: a bounce, which is about all of them.
            self.bounced = True
        elif purpose is not None:
            # A request has no value: it is what a confirmation is awaited for.
            self.requests = {
                **self.requests,
                (purpose, topic or None): Request(_instant(effective_at), position, _instant(valid_until)),
            }

    def standing(self) -> Standing:
        """What a decision rests on."""
        if not (self.suppressions or self.erasing or self.requests or self.bounced):
            return Standing(self.records)
        return Standing(self.records, self.erasing, self.suppressions, self.opt_ins, self.requests, self.bounced)


# The places of columns in a row.
_NUMBER, _PURPOSE, _TOPIC, _VALUE, _SINCE = 0, 2, 3, 5, 12
_DECIDING = itemgetter(_PURPOSE, _TOPIC, 4, _VALUE, 8, 10, _SINCE)  # and unit, valid_until, erasing


def what_decides(rows: Rows) -> Hashable:
    """What alone says whether one may send or track, where `is_all_that_decides`: of each row its level, unit, value and expiry,
    and whether the contact point is being erased.
    """
    return tuple(map(_DECIDING, rows))


def is_all_that_decides(rows: Rows) -> bool:
    """Whether rows are records and at most one of each level; it is the same for all rows with the same `what_decides`.

    Which of several units' records counts, what awaits a confirmation and what blocks is not told by that.
    """
    if any(row[_VALUE] is None and (row[_PURPOSE] is not None or row[_SINCE] is not None) for row in rows):
        return False
    return len({(row[_PURPOSE], row[_TOPIC]) for row in rows}) == len(rows)


_VALUES = {str(value): value for value in ConsentValue}
_EPOCH_OF_SENT = datetime(2000, 1, 1, tzinfo=UTC)


def _instant(sent: bytes) -> datetime:
    """An instant as PostgreSQL sends it: microseconds since the year 2000."""
    return _EPOCH_OF_SENT + timedelta(0, 0, int.from_bytes(sent, "big", signed=True))


# Instants come as they are sent (`timestamptz_send`): made into datetimes, as the driver does, they were a fifth of what a
# batch takes, and most of them nobody looks at.
# The head is a row of its own, whose number is 0, and is there even where nothing is found: what stands in every row is
# read for every row, and a batch has thousands.
_HEAD = """
SELECT 0 AS number, NULL::uuid AS contact_point, NULL::text AS purpose, NULL::text AS topic, NULL::text AS unit,
       NULL::text AS value, NULL::bytea AS effective_at, timestamptz_send(recorded_at) AS recorded_at, NULL::bytea AS valid_until,
       size AS position, false AS erasing, catalogue_position, NULL::bytea AS since, NULL::jsonb AS covers,
       NULL::json AS opt_ins
FROM log_heads WHERE tenant = $1
UNION ALL
"""

# What suppresses an address, with the opt-ins of the contact point that it has now: one row each, rarely any.
_SUPPRESSIONS = """
    SELECT {number}, {contact_point}, NULL::text AS purpose, NULL::text AS topic, NULL::text AS unit, NULL::text AS value,
           NULL::bytea AS effective_at, NULL::bytea AS recorded_at, NULL::bytea AS valid_until,
           NULL::bigint AS position, false AS erasing, NULL::bigint AS catalogue_position,
           timestamptz_send(blocked.since) AS since, blocked.covers,
           (SELECT json_agg(json_build_array(o.purpose, o.topic, o.effective_at))
            FROM (SELECT s.contact_point FROM vault_subjects s
                  WHERE s.tenant = $1 AND s.blind_index = {blind_index} LIMIT 1) AS present
            JOIN persons_opt_ins o ON o.tenant = $1 AND o.contact_point = present.contact_point) AS opt_ins
"""

# check: what counts for each asked blind index, for the purposes and topics asked ('' is the purpose itself), and what
# suppresses it. LATERAL with LIMIT or OFFSET keeps each look-up an index probe, whatever the planner knows of the tables.
# The topics stand outside: inside, PostgreSQL 18 makes a search of each of them.
CHECK = (
    _HEAD
    + """
    SELECT asked.number, subject.contact_point, consent.*, subject.erasing, NULL::bigint,
           NULL::bytea AS since, NULL::jsonb AS covers, NULL::json AS opt_ins
    FROM unnest((SELECT $2::bytea[])) WITH ORDINALITY AS asked (blind_index, number)
    CROSS JOIN LATERAL (
        SELECT s.contact_point, s.erasing FROM vault_subjects s
        WHERE s.tenant = $1 AND s.blind_index = asked.blind_index LIMIT 1
    ) AS subject
    LEFT JOIN LATERAL (
        SELECT c.purpose, c.topic, c.unit, c.value, timestamptz_send(c.effective_at), timestamptz_send(c.recorded_at),
               timestamptz_send(c.valid_until), c.position
        FROM current_consent c
        WHERE c.tenant = $1 AND c.contact_point = subject.contact_point AND c.purpose = ANY((SELECT $3::text[])::text[])
        UNION ALL
        SELECT r.purpose, r.topic, '', NULL, timestamptz_send(r.requested_at), NULL, timestamptz_send(r.expires_at), r.position
        FROM double_opt_in_requests r
        WHERE r.tenant = $1 AND r.contact_point = subject.contact_point AND r.purpose = ANY((SELECT $3::text[])::text[])
        UNION ALL
        SELECT '', '', '', NULL, timestamptz_send(b.bounced_at), NULL, NULL, b.position
        FROM bounces b
        WHERE b.tenant = $1 AND b.contact_point = subject.contact_point AND b.ended_at IS NULL OFFSET 0
    ) AS consent ON consent.topic = ANY((SELECT $4::text[])::text[])
    UNION ALL
"""
    + _SUPPRESSIONS.format(number="asked.number", contact_point="NULL::uuid", blind_index="asked.blind_index")
    + """
    FROM unnest((SELECT $2::bytea[])) WITH ORDINALITY AS asked (blind_index, number)
    CROSS JOIN LATERAL (
        SELECT p.since, p.covers FROM suppressions p
        WHERE p.tenant = $1 AND p.blind_index = asked.blind_index OFFSET 0
    ) AS blocked
"""
)

# consent_of: the same for contact points named by id; one that is being erased, or is erased, is told as such.
CONSENT_OF = (
    _HEAD
    + """
    SELECT asked.number, asked.contact_point, consent.*,
           EXISTS (SELECT FROM erasures e WHERE e.tenant = $1 AND e.contact_point = asked.contact_point) AS erasing,
           NULL::bigint, NULL::bytea AS since, NULL::jsonb AS covers, NULL::json AS opt_ins
    FROM unnest((SELECT $2::uuid[])) WITH ORDINALITY AS asked (contact_point, number)
    LEFT JOIN LATERAL (
        SELECT c.purpose, c.topic, c.unit, c.value, timestamptz_send(c.effective_at), timestamptz_send(c.recorded_at),
               timestamptz_send(c.valid_until), c.position
        FROM current_consent c
        WHERE c.tenant = $1 AND c.contact_point = asked.contact_point AND c.purpose = ANY((SELECT $3::text[])::text[])
        UNION ALL
        SELECT r.purpose, r.topic, '', NULL, timestamptz_send(r.requested_at), NULL, timestamptz_send(r.expires_at), r.position
        FROM double_opt_in_requests r
        WHERE r.tenant = $1 AND r.contact_point = asked.contact_point AND r.purpose = ANY((SELECT $3::text[])::text[])
        UNION ALL
        SELECT '', '', '', NULL, timestamptz_send(b.bounced_at), NULL, NULL, b.position
        FROM bounces b
        WHERE b.tenant = $1 AND b.contact_point = asked.contact_point AND b.ended_at IS NULL OFFSET 0
    ) AS consent ON true
    UNION ALL
"""
    + _SUPPRESSIONS.format(
        number="asked.number", contact_point="asked.contact_point", blind_index="subject.blind_index"
    )
    + """
    FROM unnest((SELECT $2::uuid[])) WITH ORDINALITY AS asked (contact_point, number)
    CROSS JOIN LATERAL (
        SELECT s.blind_index FROM vault_subjects s
        WHERE s.tenant = $1 AND s.contact_point = asked.contact_point LIMIT 1
    ) AS subject
    CROSS JOIN LATERAL (
        SELECT p.since, p.covers FROM suppressions p
        WHERE p.tenant = $1 AND p.blind_index = subject.blind_index OFFSET 0
    ) AS blocked
"""
)


async def rows_by_blind_index(
    connection: Connected,
    tenant: int,
    blind_indexes: Sequence[bytes],
    purposes: Sequence[str],
    topics: Sequence[str],
    *,
    timeout_s: float | None = None,
) -> tuple[HeadSeen, list[Rows]]:
    """The head, and what is held of each blind index, in their order; from one snapshot."""
    rows = await connection.fetch(CHECK, tenant, blind_indexes, purposes, topics, timeout=timeout_s)
    return _by_number(rows, len(blind_indexes))


async def by_blind_index(
    connection: Connected, tenant: int, blind_indexes: Sequence[bytes], purposes: Sequence[str], topics: Sequence[str]
) -> tuple[HeadSeen, dict[int, Found]]:
    """The head, and what is found of each blind index, by its place in `blind_indexes`; from one snapshot."""
    head, held = await rows_by_blind_index(connection, tenant, blind_indexes, purposes, topics)
    return head, _found(held)


async def by_contact_point(
    connection: Connected, tenant: int, contact_points: Sequence[UUID], purposes: Sequence[str]
) -> tuple[HeadSeen, dict[int, Found]]:
    """The same for contact points, by id."""
    rows = await connection.fetch(CONSENT_OF, tenant, contact_points, purposes)
    head, held = _by_number(rows, len(contact_points))
    return head, _found(held)


def _by_number(rows: Sequence[Record], asked: int) -> tuple[HeadSeen, list[Rows]]:
    head: HeadSeen | None = None
    held: list[list[Record] | None] = [None] * asked
    for row in rows:
        number: int = row[_NUMBER]
        if number == 0:
            head = HeadSeen(row["position"], _instant(row["recorded_at"]), row["catalogue_position"])
            continue
        before = held[number - 1]
        if before is None:
            held[number - 1] = [row]
        else:
            before.append(row)
    if head is None:
        raise LookupError("a tenant without a log")
    return head, [() if one is None else one for one in held]


def _found(held: Sequence[Rows]) -> dict[int, Found]:
    return {number: Found(rows) for number, rows in enumerate(held) if rows}
