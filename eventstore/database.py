"""Reaching the database: the embedded one or the one that a URL names, its two roles, and its errors in our own words."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from eventstore.embedded import EmbeddedDatabaseFailed, EmbeddedPostgres

SERVICE_ROLE = "consentry_service"
SCHEMA = "consentry"
COMMAND_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5.0
# For the end of a statement that was given up; then its connection is closed.
GIVING_BACK_S = 1.0
_WATCH_S = 1.0

# Every statement here is probes of an index, or a walk along one. A bitmap of a tenant's rows, sorted, is what a planner
# without statistics takes for cheaper than that walk: then each page of a log would read all that comes after it. A plan that
# was made while a table was small, and read all of it, would be kept until that is analysed anew, a minute after it has grown.
_SETTINGS = {
    "search_path": SCHEMA,
    "jit": "off",
    "enable_bitmapscan": "off",
    "enable_seqscan": "off",
    "application_name": "consentry",
    "timezone": "UTC",
}


class StoreUnavailable(Exception):
    """The store does not answer. Nothing was acknowledged; whoever asked may ask again with the same idempotency key."""


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """How to connect, as arguments of asyncpg.connect: as the role that owns and migrates, and as the service's."""

    owner: Mapping[str, Any] = field(repr=False)
    service: Mapping[str, Any] = field(repr=False)


def address_of_url(database_url: str) -> DatabaseAddress:
    """The address that a PostgreSQL URL names. Its user owns and migrates; the service works as `consentry_service`."""
    return DatabaseAddress(
        owner={"dsn": database_url, "server_settings": dict(_SETTINGS)},
        service={"dsn": database_url, "server_settings": {**_SETTINGS, "role": SERVICE_ROLE}},
    )


@contextlib.asynccontextmanager
async def open_database(
    *, data_dir: Path, database_url: str | None, settings: Mapping[str, str] | None = None
) -> AsyncGenerator[DatabaseAddress]:
    """The database that `database_url` names, or else the embedded one in `data_dir`, kept running for this process.

    Raises StoreUnavailable where the embedded one does not start.
    """
    if database_url is not None:
        yield address_of_url(database_url)
        return
    embedded = EmbeddedPostgres(data_dir, settings)
    try:
        await asyncio.to_thread(embedded.__enter__)
    except (EmbeddedDatabaseFailed, OSError) as error:
        raise StoreUnavailable(str(error)) from error
    watch = asyncio.create_task(_keep_running(embedded), name="embedded-database")
    try:
        yield DatabaseAddress(
            owner={**embedded.connect_arguments("postgres"), "server_settings": dict(_SETTINGS)},
            service={**embedded.connect_arguments(SERVICE_ROLE), "server_settings": dict(_SETTINGS)},
        )
    finally:
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
        await asyncio.to_thread(embedded.__exit__)


async def _keep_running(embedded: EmbeddedPostgres) -> None:
    while True:
        await asyncio.sleep(_WATCH_S)
        with contextlib.suppress(EmbeddedDatabaseFailed, OSError):
            await asyncio.to_thread(embedded.ensure_running)


class _InOneLine(logging.Filter):
    """That the pool cannot connect is nothing to trace: whoever needs the store says that it is away."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        return True


logging.getLogger("asyncpg.pool").addFilter(_InOneLine())


async def open_pool(address: DatabaseAddress, *, min_size: int, max_size: int) -> asyncpg.Pool:
    """Connections of the service's role. Raises StoreUnavailable."""
    with store_errors():
        return await asyncpg.create_pool(
            **address.service,
            min_size=min_size,
            max_size=max_size,
            command_timeout=COMMAND_TIMEOUT_S,
            timeout=CONNECT_TIMEOUT_S,
            max_inactive_connection_lifetime=0,
            connection_class=_PlainConnection,
        )


class _PlainConnection(asyncpg.Connection):
    """A pooled connection that is given back as it is: ours never keep session state, so no round trip resets it.

    Only what a caller who left, or failed, may have left open is closed before another gets it.
    """

    # How many statements had been executed when the last was looked up, and perhaps prepared.
    _executed_before_last: int = -1

    async def _get_statement(self, *args: Any, **options: Any) -> Any:
        self._executed_before_last = self._protocol.queries_count
        return await super()._get_statement(*args, **options)  # pyright: ignore - no part of its stubs

    def _may_be_unsynced(self) -> bool:
        # A statement is prepared without a Sync, which comes with its execution. Who is cancelled in the turn in which it was
        # prepared, or brings arguments that cannot be encoded, leaves a transaction open that asyncpg knows nothing of.
        return bool(self._protocol.queries_count == self._executed_before_last)

    def get_reset_query(self) -> str:
        return "SELECT 1" if self._may_be_unsynced() else ""

    async def reset(self, *, timeout: float | None = None) -> None:
        if timeout is None and (self._top_xact is not None or self.is_in_transaction() or self._may_be_unsynced()):
            timeout = GIVING_BACK_S
        await super().reset(timeout=timeout)

    async def _cancel(self, *waiters: Any) -> None:
        # asyncpg waits for as long as for a statement until the database heeds a cancellation; who was cancelled has waited.
        async with asyncio.timeout(GIVING_BACK_S) as limit:
            await super()._cancel(*waiters)  # pyright: ignore - no part of its stubs
        if limit.expired():
            self.terminate()


# Insufficient resources, operator intervention, system errors, connection exceptions, and lost races that may be tried again.
# The last is a transaction that stood idle for longer than it said it would.
_AWAY_CLASSES = ("53", "57", "58", "08", "40", "25P03")


@contextlib.contextmanager
def store_errors() -> Generator[None]:
    """Turns whatever shows that the store does not answer into StoreUnavailable; an error of ours stays what it is."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if (error.sqlstate or "").startswith(_AWAY_CLASSES):
            raise StoreUnavailable("the database does not answer") from error
        raise
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        if isinstance(error, ValueError):
            raise  # an argument that cannot be encoded is an error of ours
        raise StoreUnavailable("the database does not answer") from error
