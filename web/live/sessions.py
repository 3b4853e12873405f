"""Who has connections open, how many one may have, and when they must end: a key that was revoked, a server that stops.

A session is one connection of one key. Limits hold in this process; each worker has its own.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from enum import StrEnum

from eventstore.database import StoreUnavailable
from eventstore.wakeup import wait
from ledger.api_keys import Identity, KeyId, revoked_among
from ledger.assembly import Ledger
from web.metrics import LiveMetrics

# Keys are looked at when one changes, of which the store tells; and twice a second, for what was not heard, and for a key
# that was revoked between being proven and having its session.
_LOOK_S = 0.5
_AGAIN_S = 0.2
_log = logging.getLogger("consentry.web.live")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLimits:
    """How much may be open in one process.

    `strangers`: connections that have not said who they are, each of which has `introduction_s` to do so.
    `documents`: different subscriptions, each of which costs its own work.
    `kept_bytes`: of the documents and variables of all subscriptions of a key.
    `unopened`: streams reserved that nobody has opened yet, and the bytes of the operations that wait for them.
    `stall_s`: for how long a connection may take nothing of what is sent to it before it is given up as too slow.
    """

    connections: int = 10_000
    strangers: int = 1_000
    connections_per_key: int = 2_000
    operations: int = 20_000
    operations_per_key: int = 4_000
    operations_per_connection: int = 100
    documents_per_key: int = 200
    kept_bytes_per_key: int = 16_000_000
    unopened_per_key: int = 20
    unopened_bytes_per_key: int = 4_000_000
    unopened_bytes: int = 64_000_000
    introduction_s: float = 10.0
    stall_s: float = 10.0
    heartbeat_s: float = 15.0


class Ending(StrEnum):
    """Why a connection is ended by the server."""

    REVOKED = "the API key was revoked"
    STOPPING = "the server stops or restarts; go on from your last cursor"
    SLOW = "the connection did not take what was sent in time; go on from your last cursor"


class TooManyOpen(Exception):
    """One more connection or operation would be over a limit: which one, and what it allows."""

    def __init__(self, limit: str, allowed: int) -> None:
        super().__init__(f"{limit}: at most {allowed}")
        self.limit = limit
        self.allowed = allowed


class Session:
    """An open connection of one key."""

    def __init__(self, sessions: "Sessions", identity: Identity) -> None:
        self.identity = identity
        # Set to why, once the connection must end.
        self.ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._sessions = sessions
        self._operations = 0

    def end(self, why: Ending) -> None:
        """Have the connection ended; the first reason counts."""
        if not self.ending.done():
            self.ending.set_result(why)

    @contextlib.contextmanager
    def operation(self) -> Generator[None]:
        """One operation runs for as long as the context lasts. Raises TooManyOpen."""
        limits, key = self._sessions.limits, self.identity.key
        counts = self._sessions.operations_of
        for limit, allowed, now in (
            ("operations of one connection", limits.operations_per_connection, self._operations),
            ("operations of one API key", limits.operations_per_key, counts[key]),
            ("operations of this server", limits.operations, counts.total()),
        ):
            if now >= allowed:
                raise TooManyOpen(limit, allowed)
        self._operations += 1
        counts[key] += 1
        try:
            yield
        finally:
            self._operations -= 1
            counts[key] -= 1
            if not counts[key]:
                del counts[key]


class Sessions:
    """All sessions of this process."""

    def __init__(self, ledger: Ledger, limits: LiveLimits, metrics: LiveMetrics) -> None:
        self.ledger = ledger
        self._metrics = metrics
        self.limits = limits
        self.operations_of: Counter[KeyId] = Counter()
        self.of_key: dict[KeyId, set[Session]] = {}
        self._connections = 0
        self._strangers = 0
        self._stopping = False

    @contextlib.contextmanager
    def connection(self) -> Generator[None]:
        """A connection is open for as long as the context lasts. Raises TooManyOpen."""
        if self._connections >= self.limits.connections:
            raise TooManyOpen("connections of this server", self.limits.connections)
        self._connections += 1
        self._metrics.connections.inc()
        try:
            yield
        finally:
            self._connections -= 1
            self._metrics.connections.dec()

    @contextlib.contextmanager
    def stranger(self) -> Generator[None]:
        """A connection has yet to say who it is. Raises TooManyOpen."""
        if self._strangers >= self.limits.strangers:
            raise TooManyOpen("connections that have yet to authenticate", self.limits.strangers)
        self._strangers += 1
        try:
            yield
        finally:
            self._strangers -= 1

    @contextlib.contextmanager
    def session(self, identity: Identity) -> Generator[Session]:
        """The connection is this key's for as long as the context lasts. Raises TooManyOpen."""
        of_key = self.of_key.setdefault(identity.key, set())
        if len(of_key) >= self.limits.connections_per_key:
            raise TooManyOpen("connections of one API key", self.limits.connections_per_key)
        session = Session(self, identity)
        of_key.add(session)
        if self._stopping:
            session.end(Ending.STOPPING)
        try:
            yield session
        finally:
            of_key.discard(session)
            if not of_key:
                self.of_key.pop(identity.key, None)

    def stop(self) -> None:
        """The server stops: end them all, and those to come."""
        self._stopping = True
        for of_key in self.of_key.values():
            for session in of_key:
                session.end(Ending.STOPPING)

    @contextlib.asynccontextmanager
    async def watching_keys(self) -> AsyncGenerator[None]:
        """End the sessions of revoked keys for as long as the context lasts."""
        task = asyncio.create_task(self._watch_keys(), name="watch-keys")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch_keys(self) -> None:
        while True:
            change = self.ledger.wakeup.keys_change()
            keys = list(self.of_key)
            if keys:
                try:
                    revoked = await revoked_among(self.ledger, keys)
                except StoreUnavailable:
                    await asyncio.sleep(_AGAIN_S)
                    continue
                for key in revoked:
                    _log.info("streams of a revoked key ended", extra={"fields": {"key_id": key.key_id}})
                    for session in self.of_key.get(key, ()):
                        session.end(Ending.REVOKED)
            await wait(change, _LOOK_S)
