"""The role that owns the tables, as who corrupts them, and what a projection's table holds."""

from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from eventstore.database import DatabaseAddress
from ledger.assembly import Tenant
from projections.follower import lease_name, step
from projections.lease import held
from projections.projection import Projection


@pytest.fixture
async def owner(database: DatabaseAddress) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(**database.owner)
    yield connection
    await connection.close()


async def rows_of(owner: asyncpg.Connection, tenant: Tenant, table: str) -> list[str]:
    """Every row of the tenant in a table, as text, in one order."""
    rows = await owner.fetch(f"SELECT row::text FROM {table} row WHERE tenant = $1 ORDER BY 1", tenant.id)
    return [row[0] for row in rows]


async def follow(
    tenant: Tenant, projection: Projection, *, entries_max: int = 500, until: Callable[[], bool] = lambda: False
) -> None:
    """Bring a follower level with the log."""
    async with held(tenant.ledger.pool, tenant.id, lease_name(projection)) as lease:
        assert lease is not None
        while not until() and await step(tenant.ledger.pool, lease, projection, entries_max=entries_max):
            pass
