"""A table of a projection's shape, for a follower that keeps there what appends keep in the projection's own."""

import contextlib
import secrets
from collections.abc import AsyncIterator

import asyncpg


@contextlib.asynccontextmanager
async def copied(owner: asyncpg.Connection, table: str) -> AsyncIterator[str]:
    name = f"followed_{secrets.token_hex(4)}"
    await owner.execute(
        f"CREATE TABLE {name} (LIKE {table} INCLUDING INDEXES); GRANT SELECT, INSERT, UPDATE ON {name} TO consentry_service"
    )
    try:
        yield name
    finally:
        await owner.execute(f"DROP TABLE {name}")
