"""What of an export blocks an address, and is no record of consent: suppressions that erasures left, and hard bounces."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from domain.addresses import Channel
from domain.catalogue import Catalogue
from domain.standing import Standing
from domain.suppression import Level, Suppression, is_suppressed
from eventstore.read import StoredEntry
from ledger import history
from ledger.assembly import Tenant
from projections import current_consent

_PAGE = 1_000

# blocked: the contact points whose address a suppression names, or where a message bounced for good.
_BLOCKED = """
SELECT contact_point FROM (
    SELECT s.contact_point FROM suppressions p
    JOIN vault_subjects s ON s.tenant = p.tenant AND s.blind_index = p.blind_index WHERE p.tenant = $1
    UNION
    SELECT b.contact_point FROM bounces b WHERE b.tenant = $1 AND b.ended_at IS NULL
) AS blocked
WHERE contact_point > $2 ORDER BY contact_point LIMIT $3
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """A level that is suppressed at an address, and since when, as far as that is known."""

    contact_point: UUID
    channel: Channel
    address: str = field(repr=False)
    standing: Standing
    level: Level
    since: datetime


async def blocked_levels(tenant: Tenant, catalogue: Catalogue) -> AsyncIterator[Blocked]:
    """Every level that is suppressed at an address that is there, whether or not anything is recorded of it."""
    after = UUID(int=0)
    while True:
        async with tenant.ledger.connection() as connection:
            ids = [row[0] for row in await connection.fetch(_BLOCKED, tenant.id, after, _PAGE)]
            _, found = await current_consent.by_contact_point(connection, tenant.id, ids, list(catalogue.purposes))
        if not ids:
            return
        points = await history.contact_points_by_id(tenant, ids)
        addresses = await history.addresses(tenant, ids)
        for one in found.values():
            point = None if one.contact_point is None else points.get(one.contact_point)
            if point is None or point.id not in addresses:
                continue
            standing = one.standing()
            for level, since in _suppressed(catalogue, standing):
                yield Blocked(
                    contact_point=point.id,
                    channel=point.channel,
                    address=addresses[point.id],
                    standing=standing,
                    level=level,
                    since=since or point.created_at,
                )
        after = ids[-1]


def _suppressed(catalogue: Catalogue, standing: Standing) -> list[tuple[Level, datetime | None]]:
    """The levels at which an address is suppressed, and since when, as far as that is known."""
    if not (standing.bounced or standing.suppressions):
        return []
    levels = [
        *((purpose, None) for purpose in catalogue.purposes.values()),
        *((catalogue.purposes[topic.purpose], topic.key) for topic in catalogue.topics.values()),
    ]
    since = max((one.since for one in standing.suppressions), default=None)
    return [
        ((purpose.key, topic), since)
        for purpose, topic in levels
        if (standing.bounced and topic is None)
        or is_suppressed(standing.suppressions, standing.opt_ins, purpose, topic)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounced:
    """A hard bounce that blocks an address, its event, and since when."""

    address: str = field(repr=False)
    event: StoredEntry
    since: datetime


_BOUNCED = """
SELECT contact_point, position, bounced_at FROM bounces
WHERE tenant = $1 AND ended_at IS NULL AND contact_point > $2 ORDER BY contact_point LIMIT $3
"""


async def hard_bounces(tenant: Tenant) -> AsyncIterator[list[Bounced]]:
    """Each hard bounce that blocks an address that is there, by pages."""
    after = UUID(int=0)
    while True:
        async with tenant.ledger.connection() as connection:
            rows = await connection.fetch(_BOUNCED, tenant.id, after, _PAGE)
        if not rows:
            return
        addresses = await history.addresses(tenant, [row[0] for row in rows])
        events = await history.events_at(tenant, [row[1] for row in rows])
        yield [
            Bounced(address=addresses[contact_point], event=events[position], since=bounced_at)
            for contact_point, position, bounced_at in rows
            if contact_point in addresses and position in events
        ]
        after = rows[-1][0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """A suppression that an erasure left, and of which address: None where that did not come up again."""

    channel: Channel
    blind_index: bytes
    address: str | None = field(repr=False)
    suppression: Suppression


# suppressed: each suppression, the channel of whom it was left of, and the contact point that has the address now.
_SUPPRESSED = """
SELECT p.blind_index, p.contact_point, p.since, p.covers, coalesce(p.covers ->> 'channel', e.channel), s.contact_point
FROM suppressions p
LEFT JOIN erasures e ON e.tenant = p.tenant AND e.contact_point = p.contact_point
LEFT JOIN vault_subjects s ON s.tenant = p.tenant AND s.blind_index = p.blind_index
WHERE p.tenant = $1 AND (p.blind_index, p.contact_point) > ($2, $3)
ORDER BY p.blind_index, p.contact_point LIMIT $4
"""


async def suppressions(tenant: Tenant) -> AsyncIterator[Suppressed]:
    """Every suppression that an erasure left, here or where it was brought from, one with each address."""
    after = b"", UUID(int=0)
    while True:
        async with tenant.ledger.connection() as connection:
            rows = await connection.fetch(_SUPPRESSED, tenant.id, *after, _PAGE)
        if not rows:
            return
        addresses = await history.addresses(tenant, [row[5] for row in rows if row[5] is not None])
        for blind_index, _, since, covers, channel, present in rows:
            yield Suppressed(
                channel=Channel(channel),
                blind_index=blind_index,
                address=addresses.get(present),
                suppression=Suppression.from_data(json.loads(covers), since),
            )
        after = rows[-1][0], rows[-1][1]


# erased_suppressions: addresses that a suppression names and no contact point has any more.
_ERASED_SUPPRESSIONS = """
SELECT count(DISTINCT p.blind_index) FROM suppressions p WHERE p.tenant = $1
AND NOT EXISTS (SELECT FROM vault_subjects s WHERE s.tenant = p.tenant AND s.blind_index = p.blind_index)
"""


async def erased_suppressions(tenant: Tenant) -> int:
    """How many addresses that were erased stay suppressed."""
    async with tenant.ledger.connection() as connection:
        count: int = await connection.fetchval(_ERASED_SUPPRESSIONS, tenant.id)
    return count
