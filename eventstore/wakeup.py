"""NOTIFY, as a hint and no more: one connection a process listens, and says what this process has appended.

Waiters of this process are woken at once. Others are told after the commit and not by it: PostgreSQL lets transactions that
notify commit one by one, each waiting for the disk (docs/decisions/hints-after-commit.md). Waiters poll each second as well, so
a lost notification, or a database that restarts, costs a second and no event.
`fresh` says whether this process would have heard by now: what it holds because it was not told otherwise holds only then.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import asyncpg

from eventstore.personal.vault import Connected

LOG_CHANNEL = "consentry_log"
KEYS_CHANNEL = "consentry_keys"
POLL_S = 1.0
_HEARTBEAT_S = 1.0
_FRESH_S = 2.5
_RECONNECT_S = 0.5
# Between two notifications: what is appended meanwhile is told by the second.
_BETWEEN_HINTS_S = 0.01
# A process that ends gives its last ones so long to be told.
_LAST_HINT_S = 0.5
_TELL = "SELECT pg_notify($1, grown.tenant) FROM unnest($2::text[]) AS grown (tenant)"


async def wait(growth: asyncio.Event, timeout_s: float | None = None) -> None:
    """Return when `growth` is set, or after `timeout_s`, which is POLL_S unless given."""
    with contextlib.suppress(TimeoutError):
        # Not wait_for, which loses a cancellation that comes together with the hint.
        async with asyncio.timeout(POLL_S if timeout_s is None else timeout_s):
            await growth.wait()


class Wakeup:
    """Wakes waiters of a tenant when its log has grown, and tells when API keys have changed."""

    def __init__(self, connect: Mapping[str, Any], *, keys_changed: Callable[[], None]) -> None:
        # A hint that a crash of the database takes along is of nothing that anyone waits for: nobody is connected then.
        settings = {**connect.get("server_settings", {}), "synchronous_commit": "off"}
        self._connect: Mapping[str, Any] = {**connect, "server_settings": settings}
        self._keys_changed = keys_changed
        # Whose growth others are still to be told of, and are being told of now.
        self._untold: set[int] = set()
        self._telling: set[int] = set()
        self._to_tell = asyncio.Event()
        self._grown: dict[int, asyncio.Event] = {}
        self._any_grown = asyncio.Event()
        self._keys_change = asyncio.Event()
        self._heard_at = float("-inf")
        # Of the connection's backend: what that tells, this process knows.
        self._own_pid = 0
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Listen and tell for as long as the context lasts."""
        self._task = asyncio.create_task(self._listen(), name="wakeup")
        try:
            yield
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_HINT_S):
                    while self._untold or self._telling:
                        await asyncio.sleep(_BETWEEN_HINTS_S)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def fresh(self) -> bool:
        """Whether the listening connection answered within the last moments."""
        return asyncio.get_running_loop().time() - self._heard_at < _FRESH_S

    def growth(self, tenant: int) -> asyncio.Event:
        """Set when the tenant's log may have grown from now on. To be taken before reading, so no hint falls between."""
        event = self._grown.get(tenant)
        if event is None:
            event = self._grown[tenant] = asyncio.Event()
        return event

    def any_growth(self) -> asyncio.Event:
        """The same for whichever tenant's log grows first."""
        if self._any_grown.is_set():
            self._any_grown = asyncio.Event()
        return self._any_grown

    def has_grown(self, tenant: int) -> None:
        """Wake who waits for the tenant's log in this process, and tell the others in a moment."""
        self._wake(tenant)
        self._untold.add(tenant)
        self._to_tell.set()

    def keys_change(self) -> asyncio.Event:
        """Set when some API key has changed, or may have, from now on."""
        return self._keys_change

    def _tell_keys_changed(self) -> None:
        self._keys_changed()
        self._keys_change.set()
        self._keys_change = asyncio.Event()

    def _tell_any_grown(self) -> None:
        self._any_grown.set()
        self._any_grown = asyncio.Event()

    def _heard(self, _connection: Connected, pid: int, channel: str, payload: object) -> None:
        if channel == KEYS_CHANNEL:
            self._tell_keys_changed()
        elif pid != self._own_pid:
            self._wake(int(str(payload)))

    def _wake(self, tenant: int) -> None:
        self._tell_any_grown()
        event = self._grown.pop(tenant, None)
        if event is not None:
            event.set()

    def _wake_all(self) -> None:
        self._tell_any_grown()
        for event in self._grown.values():
            event.set()
        self._grown.clear()

    async def _tell_or_ask(self, connection: Connected) -> bool:
        """Tell the other processes what has grown, or find out whether the connection still answers; whether it was told."""
        self._to_tell.clear()
        if not self._untold:
            await connection.execute("SELECT 1")
            return False
        self._telling, self._untold = self._untold, set()
        await connection.fetch(_TELL, LOG_CHANNEL, [str(tenant) for tenant in self._telling])
        self._telling = set()
        return True

    async def _listen(self) -> None:
        while True:
            # Whatever happened while nobody listened: ask anew.
            self._tell_keys_changed()
            with contextlib.suppress(
                asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError
            ):
                connection = await asyncpg.connect(**self._connect)
                self._own_pid = connection.get_server_pid()
                try:
                    await connection.add_listener(LOG_CHANNEL, self._heard)
                    await connection.add_listener(KEYS_CHANNEL, self._heard)
                    self._tell_keys_changed()
                    self._wake_all()
                    self._untold |= self._telling
                    while True:
                        asked_at = asyncio.get_running_loop().time()
                        # Not wait_for, which loses a cancellation that comes together with the answer.
                        async with asyncio.timeout(_FRESH_S):
                            told = await self._tell_or_ask(connection)
                        self._heard_at = asked_at
                        if told:
                            await asyncio.sleep(_BETWEEN_HINTS_S)
                        await wait(self._to_tell, _HEARTBEAT_S)
                finally:
                    connection.terminate()
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                return  # the driver may answer a cancellation that meets it half-way with an error of its own
            self._wake_all()
            await asyncio.sleep(_RECONNECT_S)
