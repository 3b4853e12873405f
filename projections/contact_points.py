"""Contact points as a read model: what is not personal of them, by id or blind index."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.addresses import Channel
from eventstore.personal.vault import Connected


@dataclass(frozen=True, slots=True)
class ContactPoint:
    """Where a message goes, without its address. `erasing` from the request of its erasure on, `erased_at` once complete."""

    id: UUID
    channel: Channel
    created_at: datetime
    first_position: int
    erasing: bool = False
    erased_at: datetime | None = None


async def by_blind_index(connection: Connected, tenant: int, blind_index: bytes) -> ContactPoint | None:
    """The contact point with this address; an erased one has none."""
    row = await connection.fetchrow(
        "SELECT contact_point, channel, created_at, first_position, erasing FROM vault_subjects"
        " WHERE tenant = $1 AND blind_index = $2",
        tenant,
        blind_index,
    )
    return None if row is None else ContactPoint(row[0], Channel(row[1]), row[2], row[3], row[4])


async def was_erased(connection: Connected, tenant: int, blind_index: bytes) -> bool:
    """Whether a contact point with this address was erased and left a suppression: of others nothing is known any more."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM suppressions WHERE tenant = $1 AND blind_index = $2)", tenant, blind_index
    )
    return found


async def by_ids(connection: Connected, tenant: int, ids: Sequence[UUID]) -> dict[UUID, ContactPoint]:
    """Those that are there or were, by id; one statement for any number of them."""
    rows = await connection.fetch(
        "SELECT contact_point, channel, created_at, first_position, erasing, NULL::timestamptz FROM vault_subjects"
        " WHERE tenant = $1 AND contact_point = ANY($2::uuid[])"
        " UNION ALL"
        " SELECT contact_point, channel, created_at, first_position, true, erased_at FROM erasures"
        " WHERE tenant = $1 AND contact_point = ANY($2::uuid[]) AND erased_at IS NOT NULL",
        tenant,
        ids,
    )
    return {row[0]: ContactPoint(row[0], Channel(row[1]), row[2], row[3], row[4], row[5]) for row in rows}


async def with_consent_in(connection: Connected, tenant: int, ids: Sequence[UUID], units: Sequence[str]) -> set[UUID]:
    """Those at which there is consent of one of these business units."""
    rows = await connection.fetch(
        "SELECT DISTINCT contact_point FROM current_consent"
        " WHERE tenant = $1 AND contact_point = ANY($2::uuid[]) AND unit = ANY($3::text[])",
        tenant,
        ids,
        units,
    )
    return {row[0] for row in rows}


async def erased_among(connection: Connected, tenant: int, ids: Sequence[UUID]) -> set[UUID]:
    """Those whose erasure was asked for: nothing personal of them is shown."""
    rows = await connection.fetch(
        "SELECT contact_point FROM erasures WHERE tenant = $1 AND contact_point = ANY($2::uuid[])", tenant, ids
    )
    return {row[0] for row in rows}
