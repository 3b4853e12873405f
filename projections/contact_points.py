"""Contact points as a read model: what is not personal of them, by id or blind index."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.addresses import Channel
from eventstore.personal.vault import Connected


@dataclass(frozen=True, slots=True)
class ContactPoint:
    """Where a message goes, without its address."""

    id: UUID
    channel: Channel
    created_at: datetime
    first_position: int


_COLUMNS = "contact_point, channel, created_at, first_position"


async def by_blind_index(connection: Connected, tenant: int, blind_index: bytes) -> ContactPoint | None:
    """The contact point with this address."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM vault_subjects WHERE tenant = $1 AND blind_index = $2",  # noqa: S608 - a constant
        tenant,
        blind_index,
    )
    return None if row is None else ContactPoint(row[0], Channel(row[1]), row[2], row[3])


async def by_ids(connection: Connected, tenant: int, ids: Sequence[UUID]) -> dict[UUID, ContactPoint]:
    """Those that are there, by id; one statement for any number of them."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM vault_subjects WHERE tenant = $1 AND contact_point = ANY($2::uuid[])",  # noqa: S608 - a constant
        tenant,
        ids,
    )
    return {row[0]: ContactPoint(row[0], Channel(row[1]), row[2], row[3]) for row in rows}
