"""Bringing the database up to date: numbered files, forward only, one process at a time.

Needs the role that owns the tables. Where that role may not make the service's role, an administrator does so once; the
error says how.
"""

import re
from importlib.resources import files

import asyncpg

from eventstore.database import SCHEMA, SERVICE_ROLE, DatabaseAddress, store_errors
from eventstore.personal.vault import Connected

_LOCK = 0x636F6E73656E7473
_SERVER_MAJOR_MIN = 15
_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


class DatabaseTooNew(Exception):
    """A newer Consentry has migrated this database: running older code on it could lose what that one keeps."""


class DatabaseUnusable(Exception):
    """The database cannot be worked with; says what to do about it."""


def migrations() -> list[tuple[int, str, str]]:
    """(number, name, SQL) of every migration, in order."""
    found = [
        (int(match[1]), match[2], file.read_text(encoding="utf-8"))
        for file in files("eventstore").joinpath("migrations").iterdir()
        if (match := _FILE.fullmatch(file.name))
    ]
    return sorted(found)


async def migrate(address: DatabaseAddress) -> list[str]:
    """Apply what is missing; the names of what was applied. Each migration is a transaction of its own.

    Raises DatabaseTooNew, DatabaseUnusable, StoreUnavailable.
    """
    known = migrations()
    with store_errors():
        try:
            connection = await asyncpg.connect(**address.owner, timeout=10)
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError, ValueError) as error:
            raise DatabaseUnusable(f"the database cannot be opened: {error}") from error
        try:
            version = connection.get_server_version()
            if version.major < _SERVER_MAJOR_MIN:
                raise DatabaseUnusable(f"PostgreSQL {_SERVER_MAJOR_MIN} or newer is needed, this is {version.major}")
            # Read first: a service that finds its database up to date needs no right to change it.
            present = await _present(connection)
            if present is not None and present >= known[-1][0]:
                _refuse_newer(present, known[-1][0])
                return []
            await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
            return await _apply(connection, known)
        except asyncpg.InsufficientPrivilegeError as error:
            raise DatabaseUnusable(
                f"the database role lacks a right that migrating needs: {error}; as an administrator:"
                f" CREATE ROLE {SERVICE_ROLE} NOLOGIN; GRANT {SERVICE_ROLE} TO the role of --database-url"
            ) from error
        finally:
            connection.terminate()


async def _apply(connection: asyncpg.Connection, known: list[tuple[int, str, str]]) -> list[str]:
    await _make_role(connection)
    async with connection.transaction():
        await connection.execute(
            f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}; GRANT USAGE ON SCHEMA {SCHEMA} TO {SERVICE_ROLE};"
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (version int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());"
            f"GRANT SELECT ON schema_migrations TO {SERVICE_ROLE}"
        )
    present = await _present(connection) or 0
    _refuse_newer(present, known[-1][0])
    applied: list[str] = []
    for number, name, sql in known:
        if number > present:
            async with connection.transaction():
                await connection.execute(sql)
                await connection.execute("INSERT INTO schema_migrations (version, name) VALUES ($1, $2)", number, name)
            applied.append(f"{number:04} {name}")
    return applied


async def _make_role(connection: asyncpg.Connection) -> None:
    """The service's role, which may log in only where the socket's directory keeps strangers out (the embedded one)."""
    for _ in range(3):
        if await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", SERVICE_ROLE):
            break
        superuser = await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        try:
            login = "LOGIN" if superuser else "NOLOGIN"
            await connection.execute(f"CREATE ROLE {SERVICE_ROLE} {login}")
        except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
            continue  # roles belong to the cluster: another database's migration was first
    # Since PostgreSQL 16 whoever makes a role may not act as it without being granted that.
    right = "SET" if connection.get_server_version().major >= 16 else "MEMBER"
    if not await connection.fetchval("SELECT pg_has_role(current_user, $1, $2)", SERVICE_ROLE, right):
        await connection.execute(f"GRANT {SERVICE_ROLE} TO CURRENT_USER")


async def _present(connection: Connected) -> int | None:
    if await connection.fetchval("SELECT to_regclass($1)", f"{SCHEMA}.schema_migrations") is None:
        return None
    version: int | None = await connection.fetchval("SELECT max(version) FROM schema_migrations")
    return version


def _refuse_newer(present: int, newest: int) -> None:
    if present > newest:
        raise DatabaseTooNew(
            f"the database is at version {present}, this Consentry knows up to {newest}: use a newer Consentry"
        )


async def is_current(connection: Connected) -> bool:
    """Whether the database is at the version that this code knows."""
    return await _present(connection) == migrations()[-1][0]
