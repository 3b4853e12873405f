"""An event is given its position here, under the head of its tenant's log, and nowhere else.

Three steps for a group of commands: look up what they need in one round trip; `prepare` (pure: decide, number, hash,
seal); commit in one statement that moves the head from the very state that was looked up. Where another process moved the
head in between, nothing is written and the group is prepared again from the new head. A command's refusal is its caller's
answer alone. What became of a commit that never answered is settled by `recover`.
"""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import asyncpg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from eventstore import read
from eventstore.append_queue import AppendQueue, Waiting
from eventstore.array_literal import array_literal
from eventstore.database import StoreUnavailable, store_errors
from eventstore.idempotency import IdempotencyConflict, IdempotencyKey
from eventstore.personal.keyring import Keyring
from eventstore.personal.vault import ADDRESS, EVIDENCE, SALT_BYTES, SUPPRESSION, Connected, place, seal
from eventstore.read import Head, StoredEntry
from eventstore.recover import committed, outcome_is_known
from eventstore.sql import statement
from eventstore.uuid7 import uuid7
from tlog import canonical_json
from tlog.compact_range import CompactRange, TileRoot
from tlog.entry import Entry, encode
from tlog.hashing import leaf_hash

_LOOKUP = statement("append_lookup")
_APPEND_PARAMETERS = 38
_ERASURE_PARAMETERS = 9
_LOST_RACES_BEFORE_LOCKING = 1


class IndexColumns(NamedTuple):
    """What is kept beside an entry to find it by; each says what the entry says."""

    channel: str | None = None
    purpose: str | None = None
    topic: str | None = None
    value: str | None = None
    source: str | None = None


NO_COLUMNS = IndexColumns()


class SubjectErasing(Exception):
    """The contact point is being erased: nothing is written there until that is complete. Complete it, and ask again."""

    def __init__(self, contact_point: UUID) -> None:
        super().__init__("the contact point is being erased")
        self.contact_point = contact_point


class SubjectGone(Exception):
    """The contact point that a step of an erasure names is not there (any more), or was not asked to be erased."""


class ErasureStep(Enum):
    """The two steps of erasing a contact point. The second destroys its key, and its event is the certificate."""

    REQUEST = "request"
    COMPLETE = "complete"


class Draft(NamedTuple):
    """An event that a command decided on, before the log numbers it. `evidence` is personal and goes to the vault.

    Named tuples here as in `entry`: one is made for every event.
    """

    type: str
    version: int
    data: Mapping[str, Any]
    effective_at: datetime | None
    actor: str
    columns: IndexColumns = NO_COLUMNS
    evidence: bytes | None = None
    notice: tuple[bytes, str] | None = None

    def __repr__(self) -> str:
        return f"Draft({self.type})"


@dataclass(frozen=True, slots=True)
class Subject:
    """The contact point that a command is about: found by its blind index, or made with its first event."""

    channel: str
    address: str = field(repr=False)
    blind_index: bytes


class Before(NamedTuple):
    """Where what an idempotency key stands for was recorded."""

    position: int
    events: int


@dataclass(slots=True, kw_only=True)
class Circumstances:
    """What a command's `decide` may look at, as it stands at the head that the command is written on; set for each try.

    `parts` are keys that each stand for a part of what the command is made of; those that are new are kept with its events.
    """

    parts: tuple[IdempotencyKey, ...] = ()
    # For each part where it was recorded before, or None.
    known: tuple[Before | None, ...] = ()
    # The events of the same group, before this command, in the same stream.
    earlier: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a caller wants appended to one stream.

    `decide` is handed the instant that the log records, and gives the events or raises the caller's refusal. `stream`
    names a fixed stream, `subject` a contact point's. A command that `moves_catalogue` is written in a group of its own,
    so that whatever is decided after it sees it; so is a step of an erasure, which names its contact point as the `stream`
    and `suppression`, what still blocks the address, as the certificate's event has it.
    """

    decide: Callable[[datetime], Sequence[Draft]]
    application: str | None
    subject: Subject | None = None
    stream: UUID | None = None
    idempotency: IdempotencyKey | None = None
    moves_catalogue: bool = False
    erasure: ErasureStep | None = None
    circumstances: Circumstances | None = None

    @property
    def alone(self) -> bool:
        """Whether it is written in a group of its own."""
        return self.moves_catalogue or self.erasure is not None


@dataclass(frozen=True, slots=True)
class Appended:
    """The events of a command, as they stand in the log; `repeated` where its idempotency key had recorded them before."""

    entries: tuple[StoredEntry, ...]
    repeated: bool


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a command would lead to now: this many events, or none since its key had recorded them before."""

    events: int
    repeated: bool


Records = dict[bytes, tuple[bytes, int, int]]
"""By the hash of an idempotency key: the digest of its command, where its events are, and how many."""


class SeenRecords(Protocol):
    """Keeps the records of a rehearsal."""

    def among(self, key_hashes: Sequence[bytes]) -> Records:
        """Those of these keys."""
        ...

    def keep(self, records: Records) -> None:
        """Keep more of them."""
        ...


class InlineProjection(Protocol):
    """A read model written in the append's transaction."""

    def ctes(self, first_parameter: int) -> str:
        """Statements, as `, name AS (...)`, that select from `moved` (one row with `tenant`, or none)."""
        ...

    def arguments(self, entries: Sequence[Entry]) -> list[Any]:
        """Their parameters for a group of entries, in log order."""
        ...


@dataclass(slots=True)
class _Stream:
    """What is known of a stream while a group is prepared. `erasing` is None where it is no contact point that is there."""

    stream: UUID
    wrapped_key: bytes | None = field(repr=False)
    number: int = -1
    position: int | None = None
    erasing: bool | None = None
    cipher: AESGCM | None = field(default=None, repr=False)
    blind_index: bytes | None = None
    in_group: list[Entry] = field(default_factory=list[Entry])


class _Erasing(NamedTuple):
    """A step of an erasure as it is written: of whom, where, and, as the certificate has it, what still blocks the address."""

    step: ErasureStep
    contact_point: UUID
    position: int
    covers: str | None
    salt: bytes | None


@dataclass(frozen=True, slots=True)
class _Found:
    """What the look-up found."""

    head: Head
    subjects: dict[bytes, tuple[UUID, bytes, int, int, bool]]
    streams: dict[UUID, tuple[int, int]]
    records: Records
    named_subjects: dict[UUID, tuple[bool, bytes]]


Caller = Waiting[Command, Appended]


@dataclass(slots=True)
class _Group:
    """A group as prepared: what will be written, and who gets which part of it as an answer."""

    head: Head
    recorded_at: datetime
    entries: list[StoredEntry] = field(default_factory=list[StoredEntry])
    columns: list[IndexColumns] = field(default_factory=list[IndexColumns])
    records: list[tuple[bytes, bytes, int, int]] = field(default_factory=list[tuple[bytes, bytes, int, int]])
    subjects: list[tuple[UUID, str, bytes, bytes, bytes, int]] = field(
        default_factory=list[tuple[UUID, str, bytes, bytes, bytes, int]]
    )
    items: list[tuple[UUID, int, bytes]] = field(default_factory=list[tuple[UUID, int, bytes]])
    notices: dict[bytes, str] = field(default_factory=dict[bytes, str])
    answers: list[tuple[Caller, int, int]] = field(default_factory=list[tuple[Caller, int, int]])
    repeats: list[tuple[Caller, int, int]] = field(default_factory=list[tuple[Caller, int, int]])
    recorded_before: dict[int, StoredEntry] = field(default_factory=dict[int, StoredEntry])
    catalogue_position: int = -1
    erasure: _Erasing | None = None

    def settle(self) -> None:
        """Answer the callers: the group is durable."""
        size = self.head.size
        for caller, first, events in self.answers:
            caller.settle(Appended(tuple(self.entries[first - size : first - size + events]), repeated=False))
        for caller, first, events in self.repeats:
            positions = range(first, first + events)
            caller.settle(
                Appended(
                    tuple(
                        self.entries[position - size] if position >= size else self.recorded_before[position]
                        for position in positions
                    ),
                    repeated=True,
                )
            )


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
    ) -> None:
        self._pool = pool
        self._tenant = tenant
        self._tenant_key = tenant_key
        self._keyring = keyring
        self._projection = projection
        self._clock = clock
        self._before_deciding = before_deciding
        append = statement("append")
        first = _APPEND_PARAMETERS + 1
        self._append_sql = append.replace("-- projection", projection.ctes(first)).replace("-- erasure", "")
        after = first + _ERASURE_PARAMETERS
        erasure = statement("append_erasure").format(*range(first, after))
        self._erasure_sql = append.replace("-- projection", projection.ctes(after)).replace("-- erasure", erasure)
        self._queue = AppendQueue[Command, Appended](self._flush, alone=lambda command: command.alone)

    async def append(self, command: Command) -> Appended:
        """Append a command's events, durably. Raises what `decide` raises, IdempotencyConflict, EntryTooLarge, or
        StoreUnavailable: then the outcome may be unknown, and the same idempotency key asks again without risk."""
        return await self._queue.submit(command)

    def enqueue(self, command: Command) -> asyncio.Future[Appended]:
        """The same, without waiting yet."""
        return self._queue.enqueue(command)

    async def close(self) -> None:
        """Write what waits, take nothing more."""
        await self._queue.close()

    async def _flush(self, waiting: Sequence[Caller]) -> None:
        lost_races = 0
        while pending := [caller for caller in waiting if not caller.settled]:
            try:
                if not await self._attempt(pending, lock=lost_races > _LOST_RACES_BEFORE_LOCKING):
                    lost_races += 1
            except StoreUnavailable as error:
                for caller in pending:
                    caller.refuse(error)
            except Exception as error:  # noqa: BLE001 - one command that the database cannot take fails alone
                if len(pending) == 1:
                    pending[0].refuse(error)
                else:
                    for caller in pending:
                        await self._flush([caller])

    async def _attempt(self, pending: Sequence[Caller], *, lock: bool) -> bool:
        """One try for the group; False where the head had moved, or the commit turned out not to have happened."""
        group: _Group | None = None
        with store_errors():
            try:
                async with self._pool.acquire() as connection, connection.transaction() if lock else nullcontext():
                    if lock:
                        # After lost races: whoever holds the head's row cannot lose the next one.
                        await connection.execute("SELECT 1 FROM log_heads WHERE tenant = $1 FOR UPDATE", self._tenant)
                    found = await self._look_up(connection, pending)
                    # Read after the head was: had it moved since, nothing of this group would be written.
                    await self._before_deciding(connection, found.head, [caller.command for caller in pending])
                    group = self.prepare(pending, found)
                    await self._read_repeats(connection, group)
                    moved = await self._write(connection, group)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
                if group is None or not group.entries or outcome_is_known(error):
                    raise
                # The statement may or may not be durable, and may even still run. `recover` fences it off and looks.
                moved = await committed(self._pool, self._tenant, group.entries[0])
        if moved:
            group.settle()
        return moved

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
        group = self.prepare(pending, found)
        seen.keep({key_hash: (digest, position, events) for key_hash, digest, position, events in group.records})
        would_be = {id(caller): Rehearsal(events, repeated=False) for caller, _, events in group.answers}
        would_be |= {id(caller): Rehearsal(events, repeated=True) for caller, _, events in group.repeats}
        return [would_be.get(id(caller)) or caller.error for caller in pending]

    async def _look_up(self, connection: Connected, pending: Sequence[Caller]) -> _Found:
        commands = [caller.command for caller in pending]
        row = await connection.fetchrow(
            _LOOKUP,
            self._tenant,
            list({command.subject.blind_index for command in commands if command.subject is not None}),
            list({command.stream for command in commands if command.stream is not None}),
            list({key.key_hash for command in commands for key in _keys_of(command)}),
        )
        if row is None:
            raise LookupError("a tenant without a log")
        subjects, streams, records, named_subjects = row[6], row[7], row[8], row[9]
        return _Found(
            head=Head(row[0], row[1], row[2], row[3], row[4], row[5]),
            subjects={found[0]: (found[1], found[2], found[3], found[4], found[5]) for found in subjects},
            streams={found[0]: (found[1], found[2]) for found in streams},
            records={found[0]: (found[1], found[2], found[3]) for found in records},
            named_subjects={found[0]: (found[1], found[2]) for found in named_subjects},
        )

    def prepare(self, pending: Sequence[Caller], found: _Found) -> _Group:
        """Decide, number, hash and seal a group from the state that was looked up. Touches no storage."""
        head = found.head
        group = _Group(
            head=head,
            recorded_at=max(self._clock(), head.recorded_at),
            catalogue_position=head.catalogue_position,
        )
        streams: dict[bytes | UUID, _Stream] = {}
        in_group: Records = {}
        for caller in pending:
            command = caller.command
            key = command.idempotency
            if key is not None:
                known = found.records.get(key.key_hash) or in_group.get(key.key_hash)
                if known is not None:
                    digest, position, events = known
                    if digest != key.command_digest:
                        caller.refuse(IdempotencyConflict("the idempotency key stood for another command before"))
                    else:
                        group.repeats.append((caller, position, events))
                    continue
            first = head.size + len(group.entries)
            try:
                stream = _stream_of(command, found, streams)
                _check_erasure(command, stream)
                if command.circumstances is not None:
                    _tell(command.circumstances, stream, found.records, in_group)
                drafts = command.decide(group.recorded_at)
                if drafts:
                    self._number(group, command, drafts, stream)
            except Exception as refusal:  # noqa: BLE001 - whatever a command's rules raise is its caller's answer
                caller.refuse(refusal)
                continue
            if key is not None and drafts:
                group.records.append((key.key_hash, key.command_digest, first, len(drafts)))
                in_group[key.key_hash] = (key.command_digest, first, len(drafts))
            if command.circumstances is not None and drafts:
                told = command.circumstances
                for part, known in zip(told.parts, told.known, strict=True):
                    if known is None:
                        group.records.append((part.key_hash, part.command_digest, first, len(drafts)))
                        in_group[part.key_hash] = (part.command_digest, first, len(drafts))
            group.answers.append((caller, first, len(drafts)))
            if command.moves_catalogue and drafts:
                group.catalogue_position = first + len(drafts) - 1
        return group

    def _number(self, group: _Group, command: Command, drafts: Sequence[Draft], stream: _Stream) -> None:
        """Number and hash the events of one command. Changes group and stream only once nothing can fail any more."""
        position = group.head.size + len(group.entries)
        number, previous, cipher, wrapped_key = stream.number, stream.position, stream.cipher, stream.wrapped_key
        entries: list[StoredEntry] = []
        items: list[tuple[UUID, int, bytes]] = []
        sealed_address: bytes | None = None
        for draft in drafts:
            personal: dict[str, bytes] = {}
            if command.erasure is not None:
                group.erasure = _erasing(command.erasure, stream, position, draft)
                if group.erasure.salt is not None and stream.blind_index is not None:
                    # Which address is suppressed stands outside of the log; nobody can exchange it there unseen.
                    personal[SUPPRESSION] = hashlib.sha256(group.erasure.salt + stream.blind_index).digest()
            if command.subject is not None:
                if wrapped_key is None:
                    raw_key, wrapped_key = self._keyring.new_contact_point_key(self._tenant, stream.stream)
                    cipher = AESGCM(raw_key)
                    where = place(self._tenant, stream.stream, position, ADDRESS)
                    sealed_address, personal[ADDRESS] = seal(cipher, where, command.subject.address.encode())
                if draft.evidence is not None:
                    cipher = cipher or AESGCM(self._keyring.contact_point_key(self._tenant, stream.stream, wrapped_key))
                    where = place(self._tenant, stream.stream, position, EVIDENCE)
                    sealed, personal[EVIDENCE] = seal(cipher, where, draft.evidence)
                    items.append((stream.stream, position, sealed))
            number += 1
            entry = Entry(
                event_id=uuid7(group.recorded_at),
                tenant=self._tenant_key,
                type=draft.type,
                version=draft.version,
                stream=stream.stream,
                number=number,
                previous=previous,
                position=position,
                recorded_at=group.recorded_at,
                effective_at=draft.effective_at,
                application=command.application,
                actor=draft.actor,
                data=draft.data,
                personal=personal,
            )
            raw = encode(entry)
            entries.append(StoredEntry(entry, raw, leaf_hash(raw)))
            previous = position
            position += 1
        if command.subject is not None and sealed_address is not None and wrapped_key is not None:
            subject = command.subject
            first_position = entries[0].entry.position
            group.subjects.append(
                (stream.stream, subject.channel, subject.blind_index, wrapped_key, sealed_address, first_position)
            )
        group.entries += entries
        stream.in_group += [stored.entry for stored in entries]
        group.items += items
        for draft in drafts:
            group.columns.append(draft.columns)
            if draft.notice is not None:
                group.notices[draft.notice[0]] = draft.notice[1]
        stream.number, stream.position, stream.cipher, stream.wrapped_key = number, previous, cipher, wrapped_key

    async def _read_repeats(self, connection: Connected, group: _Group) -> None:
        before = group.head.size
        positions = {
            position + offset for _, position, events in group.repeats if position < before for offset in range(events)
        }
        if positions:
            group.recorded_before = await read.at_positions(connection, self._tenant, list(positions))

    async def _write(self, connection: Connected, group: _Group) -> bool:
        """Write the group; False where the head was no longer as looked up, and then nothing was written at all."""
        if not group.entries:
            return True
        head = group.head
        completed: list[TileRoot] = []
        tree = CompactRange.from_bytes(head.size, head.frontier).append_many(
            [entry.leaf_hash for entry in group.entries], completed
        )
        entries = [stored.entry for stored in group.entries]
        moved = await connection.fetchval(
            self._append_sql if group.erasure is None else self._erasure_sql,
            self._tenant,
            head.size,
            head.epoch,
            tree.size,
            tree.to_bytes(),
            tree.root(),
            group.recorded_at,
            group.catalogue_position,
            array_literal([entry.position for entry in entries]),
            array_literal([entry.stream for entry in entries]),
            array_literal([entry.number for entry in entries]),
            array_literal([entry.type for entry in entries]),
            array_literal([columns.channel for columns in group.columns]),
            array_literal([columns.purpose for columns in group.columns]),
            array_literal([columns.topic for columns in group.columns]),
            array_literal([columns.value for columns in group.columns]),
            array_literal([columns.source for columns in group.columns]),
            array_literal([entry.application for entry in entries]),
            [stored.raw for stored in group.entries],
            [stored.leaf_hash for stored in group.entries],
            [record[0] for record in group.records],
            [record[1] for record in group.records],
            array_literal([record[2] for record in group.records]),
            array_literal([record[3] for record in group.records]),
            array_literal([subject[0] for subject in group.subjects]),
            array_literal([subject[1] for subject in group.subjects]),
            [subject[2] for subject in group.subjects],
            [subject[3] for subject in group.subjects],
            [subject[4] for subject in group.subjects],
            array_literal([subject[5] for subject in group.subjects]),
            array_literal([item[0] for item in group.items]),
            array_literal([item[1] for item in group.items]),
            [item[2] for item in group.items],
            list(group.notices),
            list(group.notices.values()),
            array_literal([node.level for node in completed]),
            array_literal([node.number for node in completed]),
            [node.hash for node in completed],
            *_erasure_arguments(group),
            *self._projection.arguments(entries),
        )
        # Durable now: entries, head, vault, idempotency records and projection together, or none of them.
        return moved == 1


def _keys_of(command: Command) -> tuple[IdempotencyKey, ...]:
    parts = () if command.circumstances is None else command.circumstances.parts
    return parts if command.idempotency is None else (command.idempotency, *parts)


def _tell(circumstances: Circumstances, stream: _Stream, records: Records, in_group: Records) -> None:
    """Set what a command is told before it decides. Raises IdempotencyConflict."""
    circumstances.earlier = tuple(stream.in_group)
    known: list[Before | None] = []
    for part in circumstances.parts:
        record = records.get(part.key_hash) or in_group.get(part.key_hash)
        if record is not None and record[0] != part.command_digest:
            raise IdempotencyConflict("the key of a part stood for another command before")
        known.append(None if record is None else Before(record[1], record[2]))
    circumstances.known = tuple(known)


def _check_erasure(command: Command, stream: _Stream) -> None:
    """Nothing is written at a contact point that is being erased, or it would be destroyed with it: an opt-out lost."""
    if command.erasure is ErasureStep.REQUEST and stream.erasing is None:
        raise SubjectGone("there is no such contact point")
    if command.erasure is ErasureStep.COMPLETE and not stream.erasing:
        raise SubjectGone("the contact point is not being erased")
    if command.erasure is not ErasureStep.COMPLETE and stream.erasing:
        raise SubjectErasing(stream.stream)


def _erasing(step: ErasureStep, stream: _Stream, position: int, draft: Draft) -> _Erasing:
    suppression = draft.data.get("suppression") if step is ErasureStep.COMPLETE else None
    if suppression is None:
        return _Erasing(step, stream.stream, position, None, None)
    covers = canonical_json.encode(suppression).decode()
    return _Erasing(step, stream.stream, position, covers, os.urandom(SALT_BYTES))


def _erasure_arguments(group: _Group) -> list[Any]:
    """The parameters of append_erasure; none where the group is no step of an erasure."""
    if group.erasure is None:
        return []
    step, contact_point, position, covers, salt = group.erasure
    requested = [contact_point] if step is ErasureStep.REQUEST else []
    completed = [contact_point] if step is ErasureStep.COMPLETE else []
    ids = array_literal(completed)
    return [
        array_literal(requested),
        array_literal([position for _ in requested]),
        array_literal(requested),
        ids,
        [covers for _ in completed],
        [salt for _ in completed],
        ids,
        ids,
        ids,
    ]


def _stream_of(command: Command, found: _Found, streams: dict[bytes | UUID, _Stream]) -> _Stream:
    """The stream that a command writes to, as it stands at this point of the group."""
    if command.subject is not None:
        known = streams.get(command.subject.blind_index)
        if known is None:
            stored = found.subjects.get(command.subject.blind_index)
            known = (
                _Stream(uuid7(found.head.recorded_at), None)
                if stored is None
                else _Stream(stored[0], stored[1], stored[2], stored[3], stored[4])
            )
            streams[command.subject.blind_index] = known
        return known
    if command.stream is None:
        raise ValueError("a command writes to a subject's stream or to a named one")
    known = streams.get(command.stream)
    if known is None:
        stored = found.streams.get(command.stream)
        number, position = (-1, None) if stored is None else stored
        erasing, blind_index = found.named_subjects.get(command.stream, (None, None))
        known = _Stream(command.stream, None, number, position, erasing, blind_index=blind_index)
        streams[command.stream] = known
    return known
