"""Migrations: forward only, one process at a time, and a database from the future is left alone."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from eventstore.database import DatabaseAddress
from eventstore.migrate import DatabaseTooNew, is_current, migrate, migrations

SCHEMA_OF = """
SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
WHERE table_schema = 'consentry' ORDER BY 1, 2
"""


def named(arguments: Any, database: str) -> dict[str, Any]:
    """The same way to connect, to another database of the cluster."""
    if "dsn" in arguments:
        return {**arguments, "dsn": urlunsplit(urlsplit(arguments["dsn"])._replace(path=f"/{database}"))}
    return {**arguments, "database": database}


@pytest.fixture
async def empty(database: DatabaseAddress) -> AsyncIterator[DatabaseAddress]:
    """A new database in the same cluster, where the service's role exists already."""
    name = f"migrate_{secrets.token_hex(4)}"
    owner = await asyncpg.connect(**database.owner)
    await owner.execute(f"CREATE DATABASE {name}")
    yield DatabaseAddress(owner=named(database.owner, name), service=named(database.service, name))
    await owner.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await owner.close()


@contextlib.asynccontextmanager
async def connected(arguments: Any) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(**arguments)
    try:
        yield connection
    finally:
        await connection.close()


async def test_several_processes_migrate_once(empty: DatabaseAddress, database: DatabaseAddress) -> None:
    applied = await asyncio.gather(*(migrate(empty) for _ in range(4)))
    assert sorted(name for one in applied for name in one) == [
        f"{number:04} {name}" for number, name, _ in migrations()
    ]
    assert await migrate(empty) == []
    async with connected(empty.owner) as here, connected(database.owner) as there:
        assert await here.fetch(SCHEMA_OF) == await there.fetch(SCHEMA_OF)
        assert await is_current(here)


async def test_a_database_that_is_up_to_date_needs_no_owner(empty: DatabaseAddress) -> None:
    await migrate(empty)
    assert await migrate(DatabaseAddress(owner=empty.service, service=empty.service)) == []


async def test_a_newer_database_is_refused_in_plain_words(empty: DatabaseAddress) -> None:
    await migrate(empty)
    async with connected(empty.owner) as connection:
        await connection.execute("INSERT INTO schema_migrations (version, name) VALUES (9999, 'tomorrow')")
        assert not await is_current(connection)
    with pytest.raises(DatabaseTooNew, match="version 9999.*newer Consentry"):
        await migrate(empty)


async def test_numbers_run_without_a_gap() -> None:
    assert [number for number, _, _ in migrations()] == list(range(1, len(migrations()) + 1))


async def test_the_services_role_can_do_no_more_than_it_must(database: DatabaseAddress) -> None:
    allowed = """
    SELECT table_name || ' ' || privilege_type FROM information_schema.role_table_grants
    WHERE grantee = 'consentry_service' AND table_schema = 'consentry' ORDER BY 1
    """
    async with connected(database.owner) as connection:
        granted = [row[0] for row in await connection.fetch(allowed)]
    more = {
        f"{table} UPDATE"
        for table in (
            "log_heads",
            "current_consent",
            "persons_opt_ins",
            "double_opt_in_requests",
            "bounces",
            "projection_checkpoints",
            "consent_trend",
            "selection_bits",
            "selection_expiry",
            "selection_versions",
            "selection_chunks",
        )
    }
    more |= {f"{table} DELETE" for table in ("vault_subjects", "vault_items")}
    # A secret that was replaced is destroyed, and what waited is no longer waiting.
    more |= {f"{table} DELETE" for table in ("webhook_secrets", "webhook_unfinished")}
    for grant in granted:
        assert grant.endswith((" SELECT", " INSERT")) or grant in more, grant
    async with connected(database.service) as connection:
        for statement in (
            "CREATE TABLE t (x int)",
            "DROP TABLE log_entries",
            "DELETE FROM suppressions",
            "UPDATE api_keys SET scopes = '{}'",
            "UPDATE checkpoints SET note = ''",
            "UPDATE vault_subjects SET blind_index = ''",
            "ALTER TABLE log_entries DISABLE TRIGGER ALL",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
