"""Selecting by consent as bits: where each contact point stands at each level, kept by following the log.

A contact point's bit is the log position of its first event, so pages follow the order in which contact points came up, and
any question is an operation on chunks of 8,192 bits: a million contact points are some hundred chunks.

    kind        about                     a set bit says
    PRESENT     the contact point         it is there, and nobody asked to erase it
    RETURNED    the contact point         its address has a suppression, left by one that was erased
    BOUNCED     the contact point         a hard bounce suppresses everything there
    OPTED_IN    purpose[, topic], unit    the record that counts in that unit says so, and has not expired
    OPTED_OUT   purpose[, topic], unit    the record that counts in that unit says so
    NOT_SET     purpose[, topic], unit    there is a record, and it is a reset or has expired by `expired_to`

What changed at a contact point is computed anew from the inline read models, never added up, so an entry may be applied any
number of times, in any state of these at least as late as the entry. A reader corrects for what is not applied yet.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import asyncpg

from domain.consent import ConsentValue
from domain.events import CONTACT_POINT_TYPES, EventType
from domain.upcasting import upcast
from eventstore.personal.vault import Connected
from projections.happened import Happened

CHUNK_BITS = 8192
_CHUNK_BYTES = CHUNK_BITS // 8
NAME = "selection"
_EXPIRED_MAX = 5_000

LevelKey = tuple[str, str]
"""A purpose and a topic of it ('' is the purpose itself), by their keys."""


class Kind(StrEnum):
    """What a set bit says; the values of consent are kinds of a level, the others of the contact point."""

    PRESENT = "PRESENT"
    RETURNED = "RETURNED"
    BOUNCED = "BOUNCED"
    OPTED_IN = "OPTED_IN"
    OPTED_OUT = "OPTED_OUT"
    NOT_SET = "NOT_SET"


_OF_VALUE: Mapping[str, Kind] = {
    ConsentValue.OPTED_IN: Kind.OPTED_IN,
    ConsentValue.OPTED_OUT: Kind.OPTED_OUT,
    ConsentValue.NOT_SET: Kind.NOT_SET,
}
LEVEL_KINDS = tuple(_OF_VALUE.values())
_ERASING = frozenset((EventType.CONTACT_POINT_ERASURE_REQUESTED, EventType.CONTACT_POINT_ERASED))


class BitsKey(NamedTuple):
    """One row of selection_bits, by its key."""

    channel: str
    purpose: str
    topic: str
    unit: str
    kind: Kind
    chunk: int


@dataclass(slots=True)
class Change:
    """Which bits of a row are to be set, and which cleared."""

    set: int = 0
    clear: int = 0


@dataclass(slots=True)
class Touched:
    """At which levels something happened at a contact point; everywhere where it is being erased."""

    levels: set[LevelKey] = field(default_factory=set[LevelKey])
    everywhere: bool = False


def chunk_of(position: int) -> int:
    """The chunk that holds the bit of a position."""
    return position // CHUNK_BITS


def mask_of(position: int) -> int:
    """The bit of a position in its chunk, as a number; PostgreSQL counts bits from the left."""
    return 1 << (CHUNK_BITS - 1 - position % CHUNK_BITS)


def positions_in(chunk: int, bits: asyncpg.BitString) -> Iterator[int]:
    """The positions whose bits are set, in order."""
    digits = f"{int.from_bytes(bits.bytes, 'big'):0{CHUNK_BITS}b}"
    at = digits.find("1")
    while at >= 0:
        yield chunk * CHUNK_BITS + at
        at = digits.find("1", at + 1)


class SelectionBits:
    """The follower that keeps the bits. Whom one may write to rests on them: it goes on without no event."""

    name = NAME
    may_leave_out = False

    async def take(self, connection: Connected, tenant: int, entries: Sequence[Happened]) -> None:
        """Take account of entries, in the caller's transaction; one writer a tenant at a time."""
        touched: dict[UUID, Touched] = defaultdict(Touched)
        for entry in entries:
            if entry.type not in CONTACT_POINT_TYPES:
                continue
            at = touched[UUID(str(entry.stream))]
            if entry.type == EventType.CONSENT_CAPTURED:
                data = upcast(entry.type, entry.version, entry.data)
                at.levels.add((data["purpose"], data.get("topic") or ""))
            elif entry.type in _ERASING:
                at.everywhere = True
        await settle(connection, tenant, touched)


SELECTION = SelectionBits()


async def expire(connection: Connected, tenant: int, now: datetime) -> bool:
    """Take account of consent that has expired by `now`; whether that is all of it. In the caller's transaction."""
    since = await expired_to(connection, tenant)
    rows = await connection.fetch(_EXPIRED, tenant, since, now, _EXPIRED_MAX)
    until = now if len(rows) < _EXPIRED_MAX else rows[-1][3]
    await connection.execute(_MOVE_EXPIRY, tenant, until)
    touched: dict[UUID, Touched] = defaultdict(Touched)
    for contact_point, purpose, topic, _ in rows:
        touched[contact_point].levels.add((purpose, topic))
    await settle(connection, tenant, touched)
    return len(rows) < _EXPIRED_MAX


async def expired_to(connection: Connected, tenant: int) -> datetime | None:
    """Up to when the bits take account of expiry; None before that was ever done."""
    instant: datetime | None = await connection.fetchval(
        "SELECT expired_to FROM selection_expiry WHERE tenant = $1", tenant
    )
    return instant


# expired: what expired after $2, up to $3; all that expired at the last of these instants comes along.
_EXPIRED = """
SELECT contact_point, purpose, topic, valid_until FROM current_consent
WHERE tenant = $1 AND valid_until <= $3 AND ($2::timestamptz IS NULL OR valid_until > $2)
ORDER BY valid_until FETCH FIRST $4 ROWS WITH TIES
"""
_MOVE_EXPIRY = """
INSERT INTO selection_expiry (tenant, expired_to) VALUES ($1, $2)
ON CONFLICT (tenant) DO UPDATE SET expired_to = greatest(selection_expiry.expired_to, excluded.expired_to)
"""

# contact_points: of each, its channel and first position, whether it is there, and what blocks it as a whole.
_CONTACT_POINTS = """
SELECT asked.contact_point, coalesce(there.channel, gone.channel), coalesce(there.first_position, gone.first_position),
       there.contact_point IS NOT NULL AND NOT there.erasing,
       EXISTS (SELECT FROM bounces b
               WHERE b.tenant = $1 AND b.contact_point = asked.contact_point AND b.ended_at IS NULL),
       EXISTS (SELECT FROM suppressions p WHERE p.tenant = $1 AND p.blind_index = there.blind_index)
FROM unnest($2::uuid[]) AS asked (contact_point)
LEFT JOIN LATERAL (
    SELECT s.* FROM vault_subjects s WHERE s.tenant = $1 AND s.contact_point = asked.contact_point LIMIT 1
) AS there ON true
LEFT JOIN LATERAL (
    SELECT e.* FROM erasures e WHERE e.tenant = $1 AND e.contact_point = asked.contact_point LIMIT 1
) AS gone ON true
"""

# records: all records that count at these contact points.
_RECORDS = """
SELECT asked.contact_point, held.purpose, held.topic, held.unit, held.value, held.valid_until
FROM unnest($2::uuid[]) AS asked (contact_point)
CROSS JOIN LATERAL (
    SELECT c.purpose, c.topic, c.unit, c.value, c.valid_until FROM current_consent c
    WHERE c.tenant = $1 AND c.contact_point = asked.contact_point OFFSET 0
) AS held
"""

# held_bits: the rows that are there, of those that a change is about.
_HELD_BITS = """
SELECT asked.number, held.bits
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[])
    WITH ORDINALITY AS asked (channel, purpose, topic, unit, kind, chunk, number)
CROSS JOIN LATERAL (
    SELECT b.bits FROM selection_bits b
    WHERE b.tenant = $1 AND b.channel = asked.channel AND b.purpose = asked.purpose AND b.topic = asked.topic
      AND b.unit = asked.unit AND b.kind = asked.kind AND b.chunk = asked.chunk LIMIT 1
) AS held
"""
_WRITE_BITS = """
INSERT INTO selection_bits (tenant, channel, purpose, topic, unit, kind, chunk, bits)
SELECT $1, u.* FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bit(8192)[]) AS u
ON CONFLICT (tenant, channel, purpose, topic, unit, kind, chunk) DO UPDATE SET bits = excluded.bits
"""


async def settle(connection: Connected, tenant: int, touched: Mapping[UUID, Touched]) -> None:
    """Make the bits of these contact points, at the levels that were touched, say what the inline read models say."""
    if touched:
        await _write(connection, tenant, await said_of(connection, tenant, touched))


async def said_of(connection: Connected, tenant: int, touched: Mapping[UUID, Touched]) -> Mapping[BitsKey, Change]:
    """What the inline read models say of these contact points, as bits to set and to clear."""
    changes: dict[BitsKey, Change] = defaultdict(Change)

    def say(row: BitsKey, position: int, *, holds: bool) -> None:
        change = changes[row]
        if holds:
            change.set |= mask_of(position)
        else:
            change.clear |= mask_of(position)

    ids = list(touched)
    places: dict[UUID, tuple[str, int, bool]] = {}
    for contact_point, channel, position, present, bounced, returned in await connection.fetch(
        _CONTACT_POINTS, tenant, ids
    ):
        places[contact_point] = (channel, position, present)
        whole = ((Kind.PRESENT, present), (Kind.BOUNCED, present and bounced), (Kind.RETURNED, present and returned))
        for kind, holds in whole:
            say(BitsKey(channel, "", "", "", kind, chunk_of(position)), position, holds=holds)
    expired_by = await expired_to(connection, tenant)
    for contact_point, purpose, topic, unit, value, valid_until in await connection.fetch(_RECORDS, tenant, ids):
        at = touched[contact_point]
        if not at.everywhere and (purpose, topic) not in at.levels:
            continue
        channel, position, present = places[contact_point]
        expired = valid_until is not None and expired_by is not None and valid_until <= expired_by
        counts = Kind.NOT_SET if expired else _OF_VALUE[value]
        for kind in LEVEL_KINDS:
            row = BitsKey(channel, purpose, topic, unit, kind, chunk_of(position))
            say(row, position, holds=present and kind is counts)
    return changes


async def held_bits(connection: Connected, tenant: int, rows: Sequence[BitsKey]) -> list[int]:
    """The bits of these rows, as numbers; 0 of one that is not there."""
    held = [0] * len(rows)
    if not rows:
        return held
    for number, bits in await connection.fetch(_HELD_BITS, tenant, *_columns(rows)):
        held[number - 1] = int.from_bytes(bits.bytes, "big")
    return held


async def write_bits(connection: Connected, tenant: int, rows: Mapping[BitsKey, int]) -> None:
    """Write these rows whole."""
    if rows:
        texts = [asyncpg.BitString.frombytes(bits.to_bytes(_CHUNK_BYTES, "big"), CHUNK_BITS) for bits in rows.values()]
        await connection.execute(_WRITE_BITS, tenant, *_columns(list(rows)), texts)


async def _write(connection: Connected, tenant: int, changes: Mapping[BitsKey, Change]) -> None:
    rows = list(changes)
    written: dict[BitsKey, int] = {}
    for row, before in zip(rows, await held_bits(connection, tenant, rows), strict=True):
        after = before & ~changes[row].clear | changes[row].set
        if after != before:
            written[row] = after
    await write_bits(connection, tenant, written)


def _columns(rows: Sequence[BitsKey]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
