"""Delivering one webhook: in order for each contact point, at least once, with as much in memory as the window holds.

    log --read, filtered--> lanes, one per contact point --attempt--> taken: delivered
                                                             \\-------> not taken: the lane waits, the others go on

What is stored: a position, up to which everything is delivered, filtered out or among the unfinished; and the unfinished, which
are the window at most. Where all of it fails, nothing more is read. What was delivered beyond that position has a row, by which
it is told from the rest when a process ends and another goes on.

What is durable when: an attempt's outcome is written after the answer, in a transaction that proves the lease. A process that
is killed in between sends again what it had sent: at least once, and never a later event of a contact point before an earlier.
"""

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.webhooks import WebhookStatus, retry
from eventstore import read
from eventstore.database import StoreUnavailable
from eventstore.personal.vault import Connected
from eventstore.read import StoredEntry
from eventstore.wakeup import wait
from ledger import webhook_rows
from ledger.assembly import Tenant
from ledger.webhook_attempt import Message, Send, Took, TookNot
from ledger.webhook_reading import passing
from ledger.webhook_rows import Webhook
from projections.lease import Lease, LeaseLost

WINDOW_EVENTS = 256
AT_ONCE = 16
# Where few events pass a filter: how much of the log one statement looks through.
SCAN_EVENTS = 20_000
_STORE_AWAY_S = 1.0
_LAST_WRITE_S = 2.0
_log = logging.getLogger("consentry.ledger.webhooks")

Compose = Callable[[Tenant, StoredEntry, bool], Awaitable[Message]]
WaitUntil = Callable[[datetime], Awaitable[None]]


class _Ended(Exception):
    """The webhook was changed, or held: it has to be taken up as it is now."""


@dataclass(slots=True)
class _Item:
    """An event of the window. `stored`: it has a row among the unfinished; `dirty`: that row is behind."""

    event: StoredEntry
    attempts: int = 0
    first_failed_at: datetime | None = None
    next_attempt_at: datetime | None = None
    said: str | None = None
    stored: bool = False
    dirty: bool = False
    failures: int = 0


@dataclass(frozen=True, slots=True)
class _Delivered:
    item: _Item
    at: datetime
    status: int


@dataclass(frozen=True, slots=True)
class _Hold:
    position: int
    because: str
    at: datetime


class Delivery:
    """The delivering of a webhook as it is at one version, under a lease."""

    def __init__(
        self,
        tenant: Tenant,
        webhook: Webhook,
        lease: Lease,
        *,
        compose: Compose,
        send: Send,
        wait_until: WaitUntil,
        window: int = WINDOW_EVENTS,
    ) -> None:
        self.webhook = webhook
        self._tenant = tenant
        self._lease = lease
        self._compose = compose
        self._send = send
        self._wait_until = wait_until
        self._window = window
        self._attempts = asyncio.Semaphore(AT_ONCE)
        self._items: dict[int, _Item] = {}
        self._lanes: dict[UUID, deque[_Item]] = {}
        self._known: dict[int, _Item] = {}
        self._delivered: list[_Delivered] = []
        self._hold: _Hold | None = None
        self._read_to = webhook.position
        self._delivered_to = -1
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._group = asyncio.TaskGroup()

    def look_again(self) -> None:
        """The webhook may have been changed: write what there is, and end if it was."""
        self._changed.set()

    async def run(self) -> None:
        """Deliver until the webhook is changed or held. Raises LeaseLost, StoreUnavailable (before it begins)."""
        waiting = await self._load()
        try:
            async with self._group:
                for item in waiting:
                    self._add(item)
                self._group.create_task(self._read(), name="webhook-read")
                self._group.create_task(self._write(), name="webhook-write")
        except BaseExceptionGroup as several:
            _, others = several.split(_Ended)
            if others is not None:
                raise others.exceptions[0] from None
        finally:
            # Not needed for correctness: what was taken and is not written is sent again.
            if self._delivered:
                with contextlib.suppress(LeaseLost, StoreUnavailable, TimeoutError, _Ended):
                    async with asyncio.timeout(_LAST_WRITE_S):
                        await self._flush()
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # A cancellation that came together with the end of a task is lost in the group.
            raise asyncio.CancelledError

    async def _load(self) -> list[_Item]:
        """What waits from before, oldest first."""
        webhook = self.webhook
        async with self._tenant.ledger.connection() as connection:
            rows = await connection.fetch(
                "SELECT position, attempts, first_failed_at, next_attempt_at, said FROM webhook_unfinished"
                " WHERE tenant = $1 AND webhook = $2 ORDER BY position",
                self._tenant.id,
                webhook.id,
            )
            events = await read.at_positions(connection, self._tenant.id, [row[0] for row in rows])
            self._delivered_to = await connection.fetchval(
                "SELECT coalesce(max(position), -1) FROM webhook_deliveries"
                " WHERE tenant = $1 AND webhook = $2 AND position > $3 AND round = $4",
                self._tenant.id,
                webhook.id,
                webhook.position,
                webhook.round,
            )
        items = [_Item(events[row[0]], row[1], row[2], row[3], row[4], stored=True) for row in rows]
        # Those beyond the position are read again, among what comes before them in their lane.
        self._known = {item.event.position: item for item in items if item.event.position > webhook.position}
        return [item for item in items if item.event.position <= webhook.position]

    def _add(self, item: _Item) -> None:
        self._items[item.event.position] = item
        lane = self._lanes.get(item.event.entry.stream)
        if lane is not None:
            lane.append(item)
            return
        self._lanes[item.event.entry.stream] = deque((item,))
        self._group.create_task(self._follow(item.event.entry.stream), name="webhook-lane")

    async def _read(self) -> None:
        wakeup = self._tenant.ledger.wakeup
        while True:
            growth = wakeup.growth(self._tenant.id)
            room = self._window - len(self._items)
            if room <= 0:
                self._room.clear()
                await self._room.wait()
                continue
            try:
                events, read_to, more = await self._page(room)
            except StoreUnavailable:
                await asyncio.sleep(_STORE_AWAY_S)
                continue
            for event in events:
                self._add(self._known.pop(event.position, None) or _Item(event))
            if read_to > self._read_to:
                self._read_to = read_to
                self._changed.set()
            if not more:
                await wait(growth)

    async def _page(self, limit: int) -> tuple[list[StoredEntry], int, bool]:
        """(what is next to be sent, up to which position that is all, whether there is more)."""
        after = self._read_to
        async with self._tenant.ledger.connection() as connection:
            # The size is read first: entries up to it are all visible to the statement that follows.
            end = (await read.head(connection, self._tenant.id)).size - 1
            to = min(end, after + SCAN_EVENTS)
            events, read_to = await passing(connection, self._tenant, self.webhook, after=after, to=to, limit=limit)
            if after < self._delivered_to:
                done = await webhook_rows.delivered_among(
                    connection, self._tenant, self.webhook, [event.position for event in events]
                )
                events = [event for event in events if event.position not in done]
        return events, max(after, read_to), read_to < end

    async def _follow(self, stream: UUID) -> None:
        """Send what a lane holds, one after the other."""
        lane = self._lanes[stream]
        while lane:
            item = lane[0]
            if item.next_attempt_at is not None:
                await self._wait_until(item.next_attempt_at)
            async with self._attempts:
                # What is held is not sent, even before that is written.
                if self._hold is not None:
                    return
                outcome = await self._attempt(item)
            if outcome is None:
                await asyncio.sleep(_STORE_AWAY_S)
                continue
            item.attempts += 1
            if isinstance(outcome, Took):
                lane.popleft()
                self._delivered.append(_Delivered(item, outcome.at, outcome.status))
            else:
                self._failed(item, outcome)
            self._changed.set()
        del self._lanes[stream]

    async def _attempt(self, item: _Item) -> Took | TookNot | None:
        """The outcome; None where the store did not answer, so nothing was attempted."""
        try:
            message = await self._compose(self._tenant, item.event, self.webhook.personal)
        except StoreUnavailable:
            return None
        except Exception as error:  # noqa: BLE001 - one event that cannot be shown must not stop all others, nor be lost
            fields = {"tenant": self._tenant.key, "webhook": str(self.webhook.id), "position": item.event.position}
            _log.error("an event cannot be composed", exc_info=error, extra={"fields": fields})
            return TookNot(f"it could not be composed: {type(error).__name__}")
        return await self._send(message)

    def _failed(self, item: _Item, outcome: TookNot) -> None:
        now = self._tenant.ledger.clock()
        item.first_failed_at = item.first_failed_at or now
        item.said, item.dirty = outcome.said, True
        item.failures += 1
        after = retry(
            attempts=item.attempts,
            first_failed_at=item.first_failed_at,
            now=now,
            jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
            asked=outcome.asked,
        )
        item.next_attempt_at = after.at
        if (after.at is None or outcome.gone) and self._hold is None:
            self._hold = _Hold(item.event.position, outcome.said, now)

    async def _write(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._flush()
            except StoreUnavailable:
                await asyncio.sleep(_STORE_AWAY_S)
                self._changed.set()

    async def _flush(self) -> None:
        """Write what happened since the last time. Raises StoreUnavailable, LeaseLost, _Ended."""
        delivered, self._delivered = self._delivered, []
        finished = {one.item.event.position for one in delivered}
        waiting = self._to_wait(finished)
        failures = sum(item.failures for item in self._items.values())
        settled = finished | {item.event.position for item in waiting}
        open_positions = [
            position for position, item in self._items.items() if not item.stored and position not in settled
        ]
        position = min(open_positions) - 1 if open_positions else self._read_to
        counted = [(item, item.failures) for item in self._items.values() if item.failures]
        for item in waiting:
            item.dirty = False
        hold = self._hold
        try:
            async with self._tenant.ledger.connection() as connection, connection.transaction():
                await self._lease.prove(connection)
                version: int | None = await connection.fetchval(
                    "SELECT version FROM webhooks WHERE tenant = $1 AND webhook = $2 FOR UPDATE",
                    self._tenant.id,
                    self.webhook.id,
                )
                # That it was delivered is true whatever the webhook is now.
                await self._insert_deliveries(connection, delivered)
                await self._forget(connection, finished)
                current = version == self.webhook.version
                if current:
                    await self._move(connection, waiting, position, len(delivered), failures, hold)
        except StoreUnavailable:
            self._delivered = delivered + self._delivered
            for item in waiting:
                item.dirty = True
            raise
        if not current:
            raise _Ended
        for item in waiting:
            item.stored = True
        for item, number in counted:
            item.failures -= number
        for gone in finished:
            del self._items[gone]
        self._room.set()
        if hold is not None:
            fields = {"tenant": self._tenant.key, "webhook": str(self.webhook.id), "position": hold.position}
            _log.error("a webhook is held: %s", hold.because, extra={"fields": fields})
            raise _Ended

    def _to_wait(self, finished: set[int]) -> list[_Item]:
        """What belongs among the unfinished now: what failed, and what stands behind it in its lane."""
        waiting: list[_Item] = []
        for lane in self._lanes.values():
            if lane and lane[0].attempts and lane[0].first_failed_at is not None:
                waiting += [item for item in lane if item.dirty or not item.stored]
        return [item for item in waiting if item.event.position not in finished]

    async def _insert_deliveries(self, connection: Connected, delivered: list[_Delivered]) -> None:
        if not delivered:
            return
        await connection.execute(
            "INSERT INTO webhook_deliveries (tenant, webhook, position, round, delivered_at, attempts, status)"
            " SELECT $1, $2, new.position, $3, new.at, new.attempts, new.status"
            " FROM unnest($4::bigint[], $5::timestamptz[], $6::int[], $7::int[]) AS new (position, at, attempts, status)"
            " ON CONFLICT DO NOTHING",
            self._tenant.id,
            self.webhook.id,
            self.webhook.round,
            [one.item.event.position for one in delivered],
            [one.at for one in delivered],
            [one.item.attempts for one in delivered],
            [one.status for one in delivered],
        )

    async def _forget(self, connection: Connected, finished: set[int]) -> None:
        if finished:
            await connection.execute(
                "DELETE FROM webhook_unfinished WHERE tenant = $1 AND webhook = $2 AND position = ANY($3::bigint[])",
                self._tenant.id,
                self.webhook.id,
                list(finished),
            )

    async def _move(
        self,
        connection: Connected,
        waiting: list[_Item],
        position: int,
        delivered: int,
        failures: int,
        hold: _Hold | None,
    ) -> None:
        if waiting:
            await connection.execute(
                "INSERT INTO webhook_unfinished"
                " (tenant, webhook, position, attempts, first_failed_at, next_attempt_at, said)"
                " SELECT $1, $2, new.* FROM"
                " unnest($3::bigint[], $4::int[], $5::timestamptz[], $6::timestamptz[], $7::text[]) AS new"
                " ON CONFLICT (tenant, webhook, position) DO UPDATE SET attempts = excluded.attempts,"
                " first_failed_at = excluded.first_failed_at, next_attempt_at = excluded.next_attempt_at,"
                " said = excluded.said",
                self._tenant.id,
                self.webhook.id,
                [item.event.position for item in waiting],
                [item.attempts for item in waiting],
                [item.first_failed_at for item in waiting],
                [item.next_attempt_at for item in waiting],
                [item.said for item in waiting],
            )
        await connection.execute(
            "UPDATE webhooks SET position = greatest(position, $3), delivered = delivered + $4, failed = failed + $5"
            " WHERE tenant = $1 AND webhook = $2",
            self._tenant.id,
            self.webhook.id,
            position,
            delivered,
            failures,
        )
        if hold is not None:
            await connection.execute(
                "UPDATE webhooks SET status = $3, held_position = $4, held_because = $5, held_at = $6,"
                " version = version + 1 WHERE tenant = $1 AND webhook = $2",
                self._tenant.id,
                self.webhook.id,
                WebhookStatus.HELD,
                hold.position,
                hold.because,
                hold.at,
            )
