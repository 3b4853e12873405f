"""One real PostgreSQL for the whole run (the embedded one, or CONSENTRY_TEST_DATABASE_URL), and a tenant of its own per test.

With CONSENTRY_COMPILED_DOCUMENTS=off everything runs on graphql-core; else what is compiled runs there as well, to compare.
"""

import contextlib
import itertools
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from hypothesis import settings

from eventstore.database import DatabaseAddress, address_of_url, open_database
from eventstore.migrate import migrate
from ledger.assembly import Caller, Ledger, Tenant, ledger_on
from ledger.tenants import create_tenant
from schema.plans.plans import Plans
from tests import both_ways
from web.settings import read_settings

# No test is timed: what a machine is busy with is no fault of an example.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A file's tests stay together in one process: one of these that began last would keep it busy while the others have ended.
_LONGEST_FIRST = (
    "tests/web/pages/in_a_browser/test_every_page.py",
    "tests/crash/test_importing.py",
    "tests/crash/test_followers_miss_nothing.py",
    "tests/crash/test_kill_while_delivering.py",
    "tests/ledger/test_exporting.py",
    "tests/web/test_importing.py",
    "tests/web/pages/in_a_browser/",
    "tests/web/test_",
    "tests/crash/",
    "tests/cli/",
    "tests/docs/",
)

_numbers = itertools.count(1)
APPLICATION = Caller("tests", frozenset(("check", "read", "read:personal", "write", "admin", "audit", "erase")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return next((n for n, start in enumerate(_LONGEST_FIRST) if item.nodeid.startswith(start)), len(_LONGEST_FIRST))

    items.sort(key=place)


@pytest.fixture(scope="session", autouse=True)
def _compiled_or_not() -> Iterator[None]:
    if read_settings({}).compiled_documents:
        with both_ways.compared():
            yield
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Plans, "execute", lambda *_: None)
            yield


@pytest.fixture(autouse=True)
def _answered_the_same() -> Iterator[None]:
    yield
    differences, both_ways.DIFFERENCES[:] = both_ways.DIFFERENCES[:], []
    assert not differences, "\n".join(differences)


@contextlib.asynccontextmanager
async def own_database(url: str) -> AsyncIterator[str]:
    """A database of our own on somebody's server, dropped at the end."""
    name = f"consentry_test_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def database_beside(address: DatabaseAddress) -> AsyncIterator[DatabaseAddress]:
    """A database with the schema and nothing in it, on the same server, dropped at the end."""
    name = f"consentry_test_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(**address.owner)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        beside = DatabaseAddress(
            owner={**address.owner, "database": name}, service={**address.service, "database": name}
        )
        await migrate(beside)
        yield beside
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
async def database(data_dir: Path) -> AsyncIterator[DatabaseAddress]:
    url = os.environ.get("CONSENTRY_TEST_DATABASE_URL")
    if url:
        async with own_database(url) as own:
            address = address_of_url(own)
            await migrate(address)
            yield address
    else:
        # Nothing here outlives the run, so nothing needs to survive a loss of power.
        async with open_database(data_dir=data_dir, database_url=None, settings={"fsync": "off"}) as address:
            await migrate(address)
            yield address


@pytest.fixture(scope="session")
async def ledger(database: DatabaseAddress, data_dir: Path) -> AsyncIterator[Ledger]:
    async with ledger_on(database, data_dir / "master.key") as ledger:
        yield ledger


@pytest.fixture
async def tenant(ledger: Ledger) -> Tenant:
    return await create_tenant(ledger, f"tenant-{next(_numbers)}", "Test")


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def clocked_tenant(database: DatabaseAddress, data_dir: Path, clock: Clock) -> AsyncIterator[Tenant]:
    """A tenant of a ledger whose clock the test sets."""
    async with ledger_on(database, data_dir / "master.key", clock=clock) as ledger:
        yield await create_tenant(ledger, f"clocked-{next(_numbers)}", "Test")


@pytest.fixture
def caller() -> Caller:
    return APPLICATION


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """Test data written by others, beside the checkout; a test that needs it skips by name where it is absent."""

    def find(name: str) -> Path:
        path = Path(__file__).resolve().parents[1].parent / "shared" / name
        if not path.exists():
            pytest.skip(f"shared/{name} is not beside the checkout")
        return path

    return find
