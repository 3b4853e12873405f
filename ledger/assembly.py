"""The ledger put together: clock, pool, keyring, and what this process holds of each tenant. Holds no rule."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import asyncpg

from domain.catalogue import Catalogue
from domain.events import CatalogueDraft
from domain.refusals import NotYetAvailable, Refusal, RefusalCode
from domain.unit_scope import Decide
from eventstore import read
from eventstore.append import Log
from eventstore.command import Command
from eventstore.database import DatabaseAddress, StoreUnavailable, open_database, open_pool, store_errors
from eventstore.migrate import migrate
from eventstore.personal.blind_index import BlindIndex
from eventstore.personal.keyed_hash import KeyedHash
from eventstore.personal.keyring import MASTER_KEY_FILE, Keyring, KeyUnusable, load_master_key
from eventstore.personal.vault import Connected
from eventstore.read import EntryFilter, Head, StoredEntry
from eventstore.signing_keys import SIGNING_KEYS_FOLDER, SigningKeys, SigningKeyUnusable
from eventstore.tail import LogTails
from eventstore.wakeup import Wakeup, wait
from ledger.check_queue import CheckQueue
from ledger.existing_consent import read_standing
from ledger.flood_limit import FloodLimit, JoinedOptOuts
from ledger.going_back import GoingBack
from ledger.key_cache import KeyCache
from ledger.look_up import LookUp, Seen, look_up
from ledger.outgoing_addresses import Network
from projections.catalogue import HeldCatalogue
from projections.inline import InlineCurrentConsent
from projections.selection_counts import KeptCounts
from tlog.note import VerifierKey

if TYPE_CHECKING:
    from ledger.api_keys import Identity
    from ledger.record import PreparedCapture, Recorded

WAIT_FOR_POSITION_S = 5.0
# Who is about to send a message is better told that it cannot be known than left waiting.
CHECK_TIMEOUT_S = 5.0
# For one of the pool's connections, while others hold them all.
CONNECTION_WAIT_S = 5.0
CONNECTION_WAITERS_MAX = 1_000
# Large batches hold a connection for long, so a part of them is for these, in their turn; who checks one address has the others.
BATCHES_AT_ONCE = 5
BATCH_WAIT_S = 10.0
DEFAULT_PUBLIC_URL = "http://127.0.0.1:8080"
_POOL_CONNECTIONS_MAX = 10
_FEED_READERS = 2
_CONNECT_TIMEOUT_S = 10.0
_NUMBERS_KEPT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerConfig:
    """Where the data is: the embedded database in `data_dir`, or the one that `database_url` names."""

    data_dir: Path
    database_url: str | None = None
    master_key_file: Path | None = None
    signing_keys_dir: Path | None = None
    log_host: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: an application by its API key, or, without one, whoever runs the command line.

    `scopes` are those for the tenant as a whole. A caller that is bound to a unit has none of these, so that what nobody
    has narrowed to a unit refuses it; `unit_scopes` are what it may do within.
    """

    application: str | None
    scopes: frozenset[str]
    unit: str | None = None
    unit_scopes: frozenset[str] = frozenset()

    def may_in_its_unit(self, scope: str) -> bool:
        """Whether it may do this where the answer holds nothing but what it sees."""
        return scope in (self.scopes if self.unit is None else self.unit_scopes)


class Tenant:
    """What this process holds of one tenant: its keys, its catalogue, and the queue of its log.

    Whoever is bound to a business unit meets it as `unit_scope.TenantOfUnit`, which narrows what is said to be seen here.
    """

    unit: str | None = None

    def __init__(self, ledger: "Ledger", tenant_id: int, key: str, wrapped_secret: bytes) -> None:
        self.ledger = ledger
        self.id = tenant_id
        self.key = key
        self.keys = ledger.keyring.tenant_keys(key, wrapped_secret)
        self.blind_index = BlindIndex(self.keys.blind_index)
        self.idempotency_hash = KeyedHash(self.keys.idempotency)
        self.signing_keys = SigningKeys(ledger.signing_keys_dir, key)
        self.going_back = GoingBack(key)
        self._held = HeldCatalogue(tenant_id)
        self.check_queue = CheckQueue[LookUp, Seen](self._look_up, addresses=lambda look: len(look.blind_indexes))
        self.log = Log(
            pool=ledger.pool,
            tenant=tenant_id,
            tenant_key=key,
            keyring=ledger.keyring,
            projection=InlineCurrentConsent(),
            clock=ledger.clock,
            before_deciding=self._before_deciding,
            has_grown=ledger.wakeup.has_grown,
        )

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue as held; compare `position` with the head's, or `refresh_catalogue` first."""
        return self._held.current

    def catalogue_known_at(self, instant: datetime) -> Catalogue:
        """The catalogue as recorded by `instant`; what was made later is as it was made."""
        return self._held.known_at(instant)

    def catalogue_at(self, position: int) -> Catalogue:
        """The catalogue after its event at `position`, and no later one."""
        return self._held.at(position)

    def catalogue_version_at(self, position: int) -> int:
        """The version of the catalogue at a position of the log: where its last event up to there is, or -1."""
        return self._held.version_at(position)

    def decided(self, decide: Decide) -> Sequence[CatalogueDraft]:
        """What a change of the catalogue leads to. Raises Refusal."""
        return decide(self.catalogue)

    @property
    def own_units(self) -> Sequence[str] | None:
        """The units whose records whoever asks sees; None is all of them."""
        return None

    def sees(self, event: StoredEntry) -> bool:
        """Whether whoever asks sees an event."""
        del event
        return True

    def narrowed(self, wanted: EntryFilter) -> EntryFilter:
        """A filter of events, for those that whoever asks sees."""
        return wanted

    async def refresh_catalogue(self, position: int, connection: Connected | None = None) -> None:
        """Take account of every catalogue event up to `position` at least."""
        if self._held.position >= position:
            return
        if connection is not None:
            await self._held.refresh(connection, position)
            return
        async with self.ledger.connection() as own:
            await self._held.refresh(own, position)

    async def latest_catalogue(self, connection: Connected | None = None) -> Catalogue:
        """The catalogue as of now: whatever an event that was read before names is in it."""
        if connection is None:
            async with self.ledger.connection() as own:
                return await self.latest_catalogue(own)
        head = await read.head(connection, self.id)
        await self.refresh_catalogue(head.catalogue_position, connection)
        return self.catalogue

    async def wait_for_position(self, position: int) -> None:
        """Return when the log holds `position`. Raises NotYetAvailable after WAIT_FOR_POSITION_S."""
        loop = asyncio.get_running_loop()
        until = loop.time() + WAIT_FOR_POSITION_S
        while True:
            growth = self.ledger.wakeup.growth(self.id)
            async with self.ledger.connection() as connection:
                if (await read.head(connection, self.id)).size > position:
                    return
            left = until - loop.time()
            if left <= 0:
                raise NotYetAvailable(position)
            await wait(growth, min(left, 1.0))

    async def look_back(self) -> None:
        """Note whether the log still holds what was signed of it. Raises StoreUnavailable."""
        listed = self.catalogue.verifier_keys
        try:
            signed = self.signing_keys.largest_signed(VerifierKey.parse(listed[0]).name) if listed else None
        except SigningKeyUnusable as error:
            self.going_back.cannot_be_told(str(error))
            return
        if signed is not None:
            async with self.ledger.connection() as connection:
                await self.going_back.compare(connection, self.id, signed)

    async def _look_up(self, asked: Sequence[LookUp]) -> Sequence[Seen]:
        async with self.ledger.connection() as connection:
            return await look_up(connection, self.id, asked, timeout_s=CHECK_TIMEOUT_S)

    async def _before_deciding(self, connection: Connected, head: Head, commands: Sequence[Command]) -> None:
        await self.refresh_catalogue(head.catalogue_position, connection)
        await read_standing(connection, self.id, self.catalogue, commands)


class OtherWriters(Protocol):
    """Other processes that write what this one is asked to record: see `shared_writing`."""

    async def record(
        self, tenant: Tenant, application: str | None, captures: Sequence["PreparedCapture"]
    ) -> Sequence["Recorded | Refusal | Exception"] | None:
        """What became of each; None where this process is to write them."""
        ...


class Ledger:
    """All tenants of one database, as this process works with them."""

    def __init__(
        self,
        *,
        address: DatabaseAddress,
        pool: asyncpg.Pool,
        keyring: Keyring,
        clock: Callable[[], datetime],
        signing_keys_dir: Path,
        log_host: str | None = None,
    ) -> None:
        self.address = address
        self.pool = pool
        self.keyring = keyring
        self.clock = clock
        self.signing_keys_dir = signing_keys_dir
        self.log_host = log_host
        # Where recipients reach the pages; a server says where it is, unless it is told.
        self.public_url = DEFAULT_PUBLIC_URL
        # Set while other workers of the same server can be reached.
        self.other_writers: OtherWriters | None = None
        self.inbound_limit = FloodLimit()
        self.joined_opt_outs: JoinedOptOuts[list[Recorded]] = JoinedOptOuts()
        self.link_valid_days: int | None = None
        # Where webhooks may be sent besides public addresses; a server is told.
        self.webhook_networks: tuple[Network, ...] = ()
        self.proven_keys: KeyCache[Identity] = KeyCache()
        self.selection_counts = KeptCounts()
        self.wakeup = Wakeup(address.service, keys_changed=self.proven_keys.forget)
        self.tails = LogTails(pool, self.wakeup)
        # Feeds that catch up read from the store two at a time: whoever records and checks has the other connections.
        self.feed_reading = asyncio.Semaphore(_FEED_READERS)
        self._connection_waiters = 0
        self._batch_places = asyncio.Semaphore(BATCHES_AT_ONCE)
        self._tenants: dict[int, Tenant] = {}
        self._numbers: frozenset[int] = frozenset()
        self._numbers_read_at: float | None = None

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connected]:
        """A connection of the service's role. Raises StoreUnavailable where the database does not answer, and where too
        many wait for it, or one would for too long.
        """
        with store_errors():
            self._waits()
            try:
                # Not the pool's own timeout, which makes a task of each wait.
                async with asyncio.timeout(CONNECTION_WAIT_S):
                    connection = await self.pool.acquire()
            finally:
                self._connection_waiters -= 1
            try:
                yield connection
            finally:
                await self.pool.release(connection)

    @contextlib.asynccontextmanager
    async def connection_of_batch(self) -> AsyncGenerator[Connected]:
        """The same for a large batch, of which BATCHES_AT_ONCE have one and the others wait in their turn."""
        with store_errors():
            self._waits()
            try:
                async with asyncio.timeout(BATCH_WAIT_S):
                    await self._batch_places.acquire()
            finally:
                self._connection_waiters -= 1
        try:
            async with self.connection() as connection:
                yield connection
        finally:
            self._batch_places.release()

    def _waits(self) -> None:
        if self._connection_waiters >= CONNECTION_WAITERS_MAX:
            raise StoreUnavailable("too many wait for a connection")
        self._connection_waiters += 1

    async def tenant(self, key: str) -> Tenant:
        """The tenant with this key, its catalogue up to date. Raises Refusal NOT_FOUND."""
        for tenant in self._tenants.values():
            if tenant.key == key:
                return tenant
        return await self._load("key = $1", key)

    async def tenant_by_id(self, tenant_id: int) -> Tenant:
        """The same by its number."""
        return self._tenants.get(tenant_id) or await self._load("tenant = $1", tenant_id)

    def held_tenant(self, tenant_id: int) -> Tenant | None:
        """The tenant with this number, if this process holds it already."""
        return self._tenants.get(tenant_id)

    def held_tenants(self) -> Sequence[Tenant]:
        """All tenants that this process holds."""
        return list(self._tenants.values())

    async def tenant_numbers(self) -> frozenset[int]:
        """The numbers of all tenants: those of a moment ago, for whoever asks for what may be none at all, and often."""
        loop = asyncio.get_running_loop()
        if self._numbers_read_at is None or loop.time() - self._numbers_read_at >= _NUMBERS_KEPT_S:
            asked_at = loop.time()
            async with self.connection() as connection:
                rows = await connection.fetch("SELECT tenant FROM tenants")
            self._numbers, self._numbers_read_at = frozenset(row[0] for row in rows), asked_at
        return self._numbers

    async def _load(self, condition: str, value: object) -> Tenant:
        async with self.connection() as connection:
            row = await connection.fetchrow(
                "SELECT tenant, key, wrapped_secret FROM tenants WHERE " + condition,  # noqa: S608 - a constant
                value,
            )
        if row is None:
            raise Refusal(RefusalCode.NOT_FOUND, "there is no tenant with this key", ("tenant",))
        tenant = Tenant(self, row[0], row[1], row[2])
        await tenant.latest_catalogue()
        await tenant.look_back()
        return self._tenants.setdefault(tenant.id, tenant)

    async def close(self) -> None:
        """Write what waits, take nothing more."""
        for tenant in self._tenants.values():
            await tenant.log.close()


def _now() -> datetime:
    return datetime.now(UTC)


@contextlib.asynccontextmanager
async def open_ledger(config: LedgerConfig, *, clock: Callable[[], datetime] = _now) -> AsyncGenerator[Ledger]:
    """The ledger on its database, which is started if it is the embedded one, and brought up to date.

    Raises StoreUnavailable, DatabaseTooNew, KeyUnusable.
    """
    async with open_database(data_dir=config.data_dir, database_url=config.database_url) as address:
        await migrate(address)
        async with ledger_on(
            address,
            master_key_file(config),
            clock=clock,
            signing_keys_dir=config.signing_keys_dir,
            log_host=config.log_host,
        ) as ledger:
            yield ledger


def master_key_file(config: LedgerConfig) -> Path:
    """Where the master key is."""
    return config.master_key_file or config.data_dir / MASTER_KEY_FILE


@contextlib.asynccontextmanager
async def ledger_on(
    address: DatabaseAddress,
    key_file: Path,
    *,
    clock: Callable[[], datetime] = _now,
    signing_keys_dir: Path | None = None,
    log_host: str | None = None,
) -> AsyncGenerator[Ledger]:
    """The ledger on a database that runs and is up to date; the signing keys are beside the master key, unless told."""
    pool = await open_pool(address, min_size=1, max_size=_POOL_CONNECTIONS_MAX)
    try:
        with store_errors():
            in_use = await pool.fetchval("SELECT EXISTS (SELECT FROM tenants)")
        # A new key beside data that an old one sealed would make the next address a stranger: an opt-out lost.
        keyring = Keyring(load_master_key(key_file, may_create=not in_use))
        if in_use:
            await _prove_master_key(pool, keyring)
        ledger = Ledger(
            address=address,
            pool=pool,
            keyring=keyring,
            clock=clock,
            signing_keys_dir=signing_keys_dir or key_file.parent / SIGNING_KEYS_FOLDER,
            log_host=log_host,
        )
        async with ledger.wakeup.running(), ledger.tails.running():
            try:
                yield ledger
            finally:
                await ledger.close()
    finally:
        await _close_pool(pool)


async def _prove_master_key(pool: asyncpg.Pool, keyring: Keyring) -> None:
    with store_errors():
        row = await pool.fetchrow("SELECT key, wrapped_secret FROM tenants ORDER BY tenant LIMIT 1")
    if row is None:
        raise KeyUnusable("the tenants of the database have gone")
    keyring.tenant_keys(row[0], row[1])


async def _close_pool(pool: asyncpg.Pool) -> None:
    try:
        await asyncio.wait_for(pool.close(), _CONNECT_TIMEOUT_S)
    except TimeoutError:
        pool.terminate()
