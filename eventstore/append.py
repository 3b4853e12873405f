"""An event is given its position here, under the head of its tenant's log, and nowhere else.

Three steps for a group of commands: look up what they need in one round trip; prepare (pure: decide, number, hash, seal);
commit in one statement that moves the head from the very state that it was prepared on. Where another process moved the
head in between, nothing is written and the group is prepared again from the new head. A command's refusal is its caller's
answer alone. What became of a commit that never answered is settled by `recover`.

While a group commits, the next one is looked up and prepared behind it, on the state that it will leave. That is written, and
its callers learn of it, only once the first is durable as it was prepared; otherwise it is thrown away.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import NamedTuple

import asyncpg

from eventstore import read
from eventstore.append_group import Caller, Found, FoundSubject, Group, Preparing
from eventstore.append_queue import AppendQueue, Turn, Waiting
from eventstore.append_statement import AppendStatement
from eventstore.array_literal import bytes_literal
from eventstore.command import (
    Appended,
    Command,
    InlineProjection,
    Rehearsal,
    SeenRecords,
)
from eventstore.database import StoreUnavailable, store_errors
from eventstore.idempotency import IdempotencyKey
from eventstore.personal.keyring import Keyring
from eventstore.personal.vault import Connected
from eventstore.read import Head
from eventstore.recover import committed, outcome_is_known
from eventstore.sql import statement

_LOOKUP = statement("append_lookup")
# After a lost race so many groups take the head's row first, and begin to count again where another process wrote meanwhile.
_GROUPS_UNDER_LOCK = 8
_DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class _Behind(NamedTuple):
    """A group that was prepared for when the one `ahead` is written: void unless it is written as this very object."""

    ahead: Group
    pending: Sequence[Caller]
    group: Group


class Log:
    """Appends to one tenant's log, from any number of processes at once."""

    def __init__(
        self,
        *,
        pool: asyncpg.Pool,
        tenant: int,
        tenant_key: str,
        keyring: Keyring,
        projection: InlineProjection,
        clock: Callable[[], datetime],
        before_deciding: Callable[[Connected, Head, Sequence[Command]], Awaitable[None]],
        has_grown: Callable[[int], None],
    ) -> None:
        self._pool = pool
        self._tenant = tenant
        self._preparing = Preparing(tenant=tenant, tenant_key=tenant_key, keyring=keyring, clock=clock)
        self._statement = AppendStatement(tenant, projection)
        self._before_deciding = before_deciding
        self._has_grown = has_grown
        # What names a stream outright is never behind another, so only contact points are laid over what was looked up.
        self._queue = AppendQueue[Command, Appended, Group](
            self._flush,
            alone=lambda command: command.alone or command.subject is None,
            overlaps=lambda: not self._groups_under_lock,
        )
        self._groups_under_lock = 0
        self._left_at: tuple[int, int] | None = None

    async def append(self, command: Command) -> Appended:
        """Append a command's events, durably. Raises what `decide` raises, IdempotencyConflict, EntryTooLarge, or
        StoreUnavailable: then the outcome may be unknown, and the same idempotency key asks again without risk."""
        return await self._queue.submit(command)

    async def append_all(self, commands: Sequence[Command]) -> list[Appended | BaseException]:
        """The same for many at once, each for itself, in this order: what became of each, or what `append` would raise."""
        return await self._queue.submit_all(commands)

    async def close(self) -> None:
        """Write what waits, take nothing more."""
        await self._queue.close()

    async def _flush(self, turn: Turn[Command, Appended, Group]) -> None:
        behind = await self._prepare_behind(turn)
        written = await turn.wait_for_ahead()
        if behind is not None and behind.ahead is written:
            # What it was prepared on has come to be.
            behind.group.refuse()
            await self._settled(behind.pending, turn, prepared=behind.group)
        await self._flush_each(turn.waiting, turn)

    async def _flush_each(self, waiting: Sequence[Caller], turn: Turn[Command, Appended, Group] | None) -> None:
        while pending := [caller for caller in waiting if not caller.settled]:
            await self._settled(pending, turn)

    async def _settled(
        self,
        pending: Sequence[Caller],
        turn: Turn[Command, Appended, Group] | None,
        prepared: Group | None = None,
    ) -> None:
        """One try; where the head had moved, the callers wait on for the next."""
        try:
            if not await self._attempt(pending, turn, prepared):
                self._groups_under_lock = _GROUPS_UNDER_LOCK
        except StoreUnavailable as error:
            for caller in pending:
                caller.refuse(error)
        except Exception as error:  # noqa: BLE001 - one command that the database cannot take fails alone
            if len(pending) == 1:
                pending[0].refuse(error)
            else:
                for caller in pending:
                    await self._flush_each([caller], None)

    async def _attempt(
        self,
        pending: Sequence[Caller],
        turn: Turn[Command, Appended, Group] | None,
        prepared: Group | None,
    ) -> bool:
        """One try for the group; False where the head had moved, or the commit turned out not to have happened.

        `turn` is whose it is, where the callers are all of that.
        """
        group = prepared
        settled = False
        lock = prepared is None and self._groups_under_lock > 0
        with store_errors():
            try:
                async with self._pool.acquire() as connection, connection.transaction() if lock else nullcontext():
                    if lock:
                        # Whoever holds the head's row cannot lose a race: processes queue up here, and prepare for nothing.
                        await connection.execute("SELECT 1 FROM log_heads WHERE tenant = $1 FOR UPDATE", self._tenant)
                    if group is None:
                        found = await self._look_up(connection, pending)
                        if lock:
                            others = self._left_at != (found.head.size, found.head.epoch)
                            self._groups_under_lock = _GROUPS_UNDER_LOCK if others else self._groups_under_lock - 1
                        group = await self._prepare(connection, pending, found)
                        group.refuse()
                    if turn is not None and not lock:
                        turn.starts(group)
                    moved = await self._write(connection, group)
                    if moved and not lock:
                        # Before the connection is given back, which takes turns of the loop of its own.
                        self._settle(group, turn, known=True)
                        settled = True
                if moved and lock:
                    self._settle(group, turn, known=True)
            except _DRIVER_ERRORS as error:
                if settled:
                    return True  # only giving the connection back failed
                if group is None or not group.entries or outcome_is_known(error):
                    raise
                # The statement may or may not be durable, and may even still run. `recover` fences it off and looks.
                moved = await committed(self._pool, self._tenant, group.entries[0])
                if moved:
                    self._settle(group, turn, known=False)
        return moved

    def _settle(self, group: Group, turn: Turn[Command, Appended, Group] | None, *, known: bool) -> None:
        """Answer the callers of a group that is durable; `known` where the database itself has said so."""
        self._left_at = group.after.size, group.after.epoch
        if turn is not None:
            # First, so that the next group is on its way before those of this one ask for more.
            turn.finish(group if known else None)
        group.settle()
        if group.entries:
            self._has_grown(self._tenant)

    async def _prepare_behind(self, turn: Turn[Command, Appended, Group]) -> _Behind | None:
        """The turn's group, prepared for when the one ahead is written as it is being now; None where that cannot be."""
        ahead = None if turn.ahead is None else turn.ahead.writing
        if ahead is None:
            return None
        pending = [caller for caller in turn.waiting if not caller.settled]
        try:
            # Given back before it waits: whoever is ahead may need a connection more.
            async with self._pool.acquire() as connection:
                found = await self._look_up(connection, pending)
                if ahead.is_written_on(found.head):
                    return _Behind(ahead, pending, await self._prepare(connection, pending, found, ahead))
                if ahead.led_to(found.head):
                    return _Behind(ahead, pending, await self._prepare(connection, pending, found))
        except Exception:  # noqa: BLE001 - whatever it is shows again, and is told, when it is this one's turn
            return None
        return None

    async def _prepare(
        self, connection: Connected, pending: Sequence[Caller], found: Found, ahead: Group | None = None
    ) -> Group:
        # Read after the head was: had it moved since, nothing of this group would be written.
        await self._before_deciding(connection, found.head, [caller.command for caller in pending])
        group = self._preparing.prepare(pending, found, ahead)
        if positions := group.unread_repeats():
            group.recorded_before |= await read.at_positions(connection, self._tenant, positions)
        if group.entries:
            group.statement = self._statement.of(group)
        return group

    async def rehearse(self, commands: Sequence[Command], seen: SeenRecords) -> list[Rehearsal | Exception]:
        """What commands would lead to, by the very rules that they would be appended by; nothing is written.

        `seen` keeps the records of what was rehearsed before; those of these commands are added.
        Raises StoreUnavailable.
        """
        loop = asyncio.get_running_loop()
        pending: list[Caller] = [Waiting(command, loop.create_future()) for command in commands]
        with store_errors():
            async with self._pool.acquire() as connection:
                found = await self._look_up(connection, pending)
                await self._before_deciding(connection, found.head, commands)
        found.records.update(seen.among(list({key.key_hash for command in commands for key in _keys_of(command)})))
        group = self._preparing.prepare(pending, found)
        seen.keep(group.records)
        outcomes: dict[int, Rehearsal | Exception] = {id(caller): refusal for caller, refusal in group.refusals}
        outcomes |= {id(caller): Rehearsal(events, repeated=False) for caller, _, events in group.answers}
        outcomes |= {id(caller): Rehearsal(events, repeated=True, position=at) for caller, at, events in group.repeats}
        return [outcomes[id(caller)] for caller in pending]

    async def _look_up(self, connection: Connected, pending: Sequence[Caller]) -> Found:
        commands = [caller.command for caller in pending]
        row = await connection.fetchrow(
            _LOOKUP,
            self._tenant,
            bytes_literal({index for command in commands if (index := _blind_index_of(command)) is not None}),
            list({command.stream for command in commands if command.stream is not None}),
            bytes_literal({key.key_hash for command in commands for key in _keys_of(command)}),
        )
        if row is None:
            raise LookupError("a tenant without a log")
        subjects, streams, records, named_subjects = row[6], row[7], row[8], row[9]
        return Found(
            head=Head(row[0], row[1], row[2], row[3], row[4], row[5]),
            subjects={found[0]: FoundSubject(found[1], found[2], found[3], found[4], found[5]) for found in subjects},
            streams={found[0]: (found[1], found[2]) for found in streams},
            records={found[0]: (found[1], found[2], found[3]) for found in records},
            named_subjects={found[0]: (found[1], found[2]) for found in named_subjects},
        )

    async def _write(self, connection: Connected, group: Group) -> bool:
        """Write the group; False where the head was no longer as looked up, and then nothing was written at all."""
        if not group.entries:
            return True
        text, arguments = group.statement
        moved = await connection.fetchval(text, *arguments)
        # Durable now: entries, head, vault, idempotency records and projection together, or none of them.
        return moved == 1


def _blind_index_of(command: Command) -> bytes | None:
    return command.suppresses if command.subject is None else command.subject.blind_index


def _keys_of(command: Command) -> tuple[IdempotencyKey, ...]:
    kept = command.marks if command.circumstances is None else (*command.circumstances.parts, *command.marks)
    return kept if command.idempotency is None else (command.idempotency, *kept)
