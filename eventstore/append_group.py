"""A group of commands as it will be written: decided, numbered, hashed and sealed, from the state that was looked up.

Touches no storage. A group can also be prepared behind another that is being written: what that one will have changed is
then laid over what was looked up, and whoever writes sees to it that it is thrown away unless that one was written so.
Nobody is answered here, not even by a refusal: what is decided may rest on what is not durable yet.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from eventstore.append_queue import Waiting
from eventstore.command import (
    Appended,
    Before,
    Circumstances,
    Command,
    Draft,
    ErasureStep,
    IndexColumns,
    Records,
    SubjectErasing,
    SubjectGone,
)
from eventstore.idempotency import IdempotencyConflict
from eventstore.personal.keyring import Keyring
from eventstore.personal.vault import ADDRESS, EVIDENCE, SALT_BYTES, SUPPRESSION, place, seal
from eventstore.randomness import RandomBytes
from eventstore.read import Head, StoredEntry
from eventstore.uuid7 import Uuid7s
from tlog import canonical_json
from tlog.compact_range import CompactRange, TileRoot
from tlog.entry import Entry, encode
from tlog.hashing import leaf_hash

Caller: TypeAlias = Waiting[Command, Appended]


@dataclass(slots=True)
class Stream:
    """What is known of a stream while a group is prepared. `erasing` is None where it is no contact point that is there."""

    id: UUID
    wrapped_key: bytes | None = field(repr=False)
    number: int = -1
    position: int | None = None
    erasing: bool | None = None
    cipher: AESGCM | None = field(default=None, repr=False)
    blind_index: bytes | None = None
    # Its events in the group that is being written ahead of this one, and in this one.
    ahead: tuple[Entry, ...] = ()
    in_group: list[Entry] = field(default_factory=list[Entry])

    def as_written(self) -> "Stream":
        """It as the next group meets it."""
        return Stream(
            self.id, self.wrapped_key, self.number, self.position, self.erasing, self.cipher, self.blind_index,
            tuple(self.in_group),
        )  # fmt: skip


class Erasing(NamedTuple):
    """A step of an erasure as it is written: of whom, where, and, as the certificate has it, what still blocks the address."""

    step: ErasureStep
    contact_point: UUID
    position: int
    covers: str | None
    salt: bytes | None


class Suppressing(NamedTuple):
    """A suppression that was brought in, as it is written: by which event, and of whom where no contact point has the address."""

    event_id: UUID
    blind_index: bytes
    since: datetime
    covers: str
    salt: bytes
    channel: str
    position: int
    stream: UUID
    of_nobody: bool


class NewSubject(NamedTuple):
    """A contact point that begins with a group."""

    contact_point: UUID
    channel: str
    blind_index: bytes
    wrapped_key: bytes
    sealed_address: bytes
    first_position: int


class Item(NamedTuple):
    """Personal evidence of an event, sealed."""

    contact_point: UUID
    position: int
    sealed: bytes


class FoundSubject(NamedTuple):
    """A contact point that is there, with where its stream ends."""

    contact_point: UUID
    wrapped_key: bytes
    number: int
    position: int
    erasing: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What the look-up found."""

    head: Head
    subjects: dict[bytes, FoundSubject]
    streams: dict[UUID, tuple[int, int]]
    records: Records
    named_subjects: dict[UUID, tuple[bool, bytes]]


@dataclass(slots=True)
class Group:
    """A group as prepared: what will be written on `head`, and who gets which part of it as an answer."""

    head: Head
    recorded_at: datetime
    catalogue_position: int
    random: RandomBytes
    ids: Uuid7s
    entries: list[StoredEntry] = field(default_factory=list[StoredEntry])
    columns: list[IndexColumns] = field(default_factory=list[IndexColumns])
    # What idempotency keys stand for from this group on, by their hash.
    records: Records = field(default_factory=dict[bytes, tuple[bytes, int, int]])
    streams: dict[bytes | UUID, Stream] = field(default_factory=dict[bytes | UUID, Stream])
    subjects: list[NewSubject] = field(default_factory=list[NewSubject])
    items: list[Item] = field(default_factory=list[Item])
    notices: dict[bytes, str] = field(default_factory=dict[bytes, str])
    answers: list[tuple[Caller, int, int]] = field(default_factory=list[tuple[Caller, int, int]])
    repeats: list[tuple[Caller, int, int]] = field(default_factory=list[tuple[Caller, int, int]])
    # Those before the group's first event rest on what is durable, those after it perhaps on what the group is to write.
    refusals: list[tuple[Caller, Exception]] = field(default_factory=list[tuple[Caller, Exception]])
    early_refusals: int = 0
    recorded_before: dict[int, StoredEntry] = field(default_factory=dict[int, StoredEntry])
    completed: list[TileRoot] = field(default_factory=list[TileRoot])
    erasure: Erasing | None = None
    suppressions: list[Suppressing] = field(default_factory=list[Suppressing])
    # The head once it is written.
    after: Head = field(init=False)
    # What writes it, with its parameters.
    statement: tuple[str, list[Any]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.after = self.head

    def is_written_on(self, head: Head) -> bool:
        """Whether that is the very head that it was prepared on."""
        return (self.head.size, self.head.epoch, self.head.root) == (head.size, head.epoch, head.root)

    def led_to(self, head: Head) -> bool:
        """Whether that is the very head that it leads to."""
        return (self.after.size, self.after.epoch, self.after.root) == (head.size, head.epoch, head.root)

    def unread_repeats(self) -> list[int]:
        """Positions of events that are answered again, and that are neither this group's nor at hand."""
        size = self.head.size
        positions = {at for _, first, events in self.repeats if first < size for at in range(first, first + events)}
        return [position for position in positions if position not in self.recorded_before]

    def grow(self) -> None:
        """Reckon the head that it leads to."""
        head = self.head
        tree = CompactRange.from_bytes(head.size, head.frontier).append_many(
            [entry.leaf_hash for entry in self.entries], self.completed
        )
        self.after = Head(
            tree.size, head.epoch, tree.to_bytes(), tree.root(), self.recorded_at, self.catalogue_position
        )

    def refused(self, caller: Caller, refusal: Exception) -> None:
        """Note what a caller is to be refused with."""
        self.refusals.append((caller, refusal))
        if not self.entries:
            self.early_refusals += 1

    def refuse(self) -> None:
        """Answer those who were refused for what is durable, once whatever the group was prepared on is that."""
        for caller, refusal in self.refusals[: self.early_refusals]:
            caller.refuse(refusal)

    def settle(self) -> None:
        """Answer the callers: the group is durable."""
        for caller, refusal in self.refusals[self.early_refusals :]:
            caller.refuse(refusal)
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


class Preparing:
    """Prepares the groups of one tenant's log."""

    def __init__(self, *, tenant: int, tenant_key: str, keyring: Keyring, clock: Callable[[], datetime]) -> None:
        self._tenant = tenant
        self._tenant_key = tenant_key
        self._keyring = keyring
        self._clock = clock

    def prepare(self, pending: Sequence[Caller], found: Found, ahead: Group | None = None) -> Group:
        """The group that the callers' commands lead to on what was `found`, once `ahead` is written on that."""
        head = found.head if ahead is None else ahead.after
        recorded_at = max(self._clock(), head.recorded_at)
        random = RandomBytes()
        group = Group(head, recorded_at, head.catalogue_position, random, Uuid7s(recorded_at, random))
        records = found.records if ahead is None else {**found.records, **ahead.records}
        for caller in pending:
            command = caller.command
            key = command.idempotency
            if key is not None:
                known = records.get(key.key_hash) or group.records.get(key.key_hash)
                if known is not None:
                    digest, position, events = known
                    if not key.stands_for(digest):
                        conflict = IdempotencyConflict("the idempotency key stood for another command before")
                        group.refused(caller, conflict)
                    else:
                        group.repeats.append((caller, position, events))
                    continue
            first = head.size + len(group.entries)
            try:
                stream = _stream_of(command, found, group, ahead)
                _check_erasure(command, stream)
                if command.circumstances is not None:
                    _tell(command.circumstances, stream, records, group.records)
                drafts = command.decide(recorded_at)
                if drafts:
                    self._number(group, command, drafts, stream)
            except Exception as refusal:  # noqa: BLE001 - whatever a command's rules raise is its caller's answer
                group.refused(caller, refusal)
                continue
            if drafts:
                if key is not None:
                    group.records[key.key_hash] = (key.command_digest, first, len(drafts))
                new = command.marks
                if command.circumstances is not None:
                    told = command.circumstances
                    for part, before in zip(told.parts, told.known, strict=True):
                        if before is None:
                            group.records[part.key_hash] = (part.command_digest, first, len(drafts))
                    if told.parts and new:
                        new = [mark for mark, before in zip(new, told.known, strict=True) if before is None]
                for mark in new:
                    if mark.key_hash not in records:
                        group.records.setdefault(mark.key_hash, (mark.command_digest, first, len(drafts)))
                if command.moves_catalogue:
                    group.catalogue_position = first + len(drafts) - 1
            group.answers.append((caller, first, len(drafts)))
        if ahead is not None:
            _take_repeats(group, ahead)
        group.grow()
        return group

    def _number(self, group: Group, command: Command, drafts: Sequence[Draft], stream: Stream) -> None:
        """Number and hash the events of one command. Changes group and stream only once nothing can fail any more."""
        position = group.head.size + len(group.entries)
        number, previous, cipher, wrapped_key = stream.number, stream.position, stream.cipher, stream.wrapped_key
        entries: list[StoredEntry] = []
        items: list[Item] = []
        subject = command.subject
        begun: NewSubject | None = None
        suppressions: list[Suppressing] = []
        for draft in drafts:
            salt = b""
            personal: dict[str, bytes] = {}
            if command.erasure is not None:
                group.erasure = _erasing(command.erasure, stream, position, draft)
                if group.erasure.salt is not None and stream.blind_index is not None:
                    # Which address is suppressed stands outside of the log; nobody can exchange it there unseen.
                    personal[SUPPRESSION] = hashlib.sha256(group.erasure.salt + stream.blind_index).digest()
            if command.suppresses is not None:
                salt = os.urandom(SALT_BYTES)
                personal[SUPPRESSION] = hashlib.sha256(salt + command.suppresses).digest()
            if subject is not None:
                if wrapped_key is None:
                    raw_key, wrapped_key = self._keyring.new_contact_point_key(self._tenant, stream.id, group.random)
                    cipher = AESGCM(raw_key)
                    where = place(self._tenant, stream.id, position, ADDRESS)
                    sealed, personal[ADDRESS] = seal(cipher, where, subject.address.encode(), group.random)
                    begun = NewSubject(stream.id, subject.channel, subject.blind_index, wrapped_key, sealed, position)
                if draft.evidence is not None:
                    cipher = cipher or AESGCM(self._keyring.contact_point_key(self._tenant, stream.id, wrapped_key))
                    where = place(self._tenant, stream.id, position, EVIDENCE)
                    sealed, personal[EVIDENCE] = seal(cipher, where, draft.evidence, group.random)
                    items.append(Item(stream.id, position, sealed))
            number += 1
            entry = Entry(
                group.ids(),
                self._tenant_key,
                draft.type,
                draft.version,
                stream.id,
                number,
                previous,
                position,
                group.recorded_at,
                draft.effective_at,
                command.application,
                draft.actor,
                draft.data,
                personal,
            )
            if command.suppresses is not None:
                suppressions.append(_suppressing(command.suppresses, stream, entry, salt))
            raw = encode(entry)
            entries.append(StoredEntry(entry, raw, leaf_hash(raw)))
            previous = position
            position += 1
        group.suppressions += suppressions
        if begun is not None:
            group.subjects.append(begun)
        group.entries += entries
        stream.in_group += [stored.entry for stored in entries]
        group.items += items
        for draft in drafts:
            group.columns.append(draft.columns)
            if draft.notice is not None:
                group.notices[draft.notice[0]] = draft.notice[1]
        stream.number, stream.position, stream.cipher, stream.wrapped_key = number, previous, cipher, wrapped_key


def _take_repeats(group: Group, ahead: Group) -> None:
    first = ahead.head.size
    for position in group.unread_repeats():
        if position >= first:
            group.recorded_before[position] = ahead.entries[position - first]


def _tell(circumstances: Circumstances, stream: Stream, records: Records, in_group: Records) -> None:
    """Set what a command is told before it decides. Raises IdempotencyConflict."""
    circumstances.earlier = (*stream.ahead, *stream.in_group)
    known: list[Before | None] = []
    for part in circumstances.parts:
        record = records.get(part.key_hash) or in_group.get(part.key_hash)
        if record is not None and not part.stands_for(record[0]):
            raise IdempotencyConflict("the key of a part stood for another command before")
        known.append(None if record is None else Before(record[1], record[2]))
    circumstances.known = tuple(known)


def _check_erasure(command: Command, stream: Stream) -> None:
    """Nothing is written at a contact point that is being erased, or it would be destroyed with it: an opt-out lost."""
    if command.erasure is ErasureStep.REQUEST and stream.erasing is None:
        raise SubjectGone("there is no such contact point")
    if command.erasure is ErasureStep.COMPLETE and not stream.erasing:
        raise SubjectGone("the contact point is not being erased")
    if command.erasure is not ErasureStep.COMPLETE and stream.erasing:
        raise SubjectErasing(stream.id)


def _erasing(step: ErasureStep, stream: Stream, position: int, draft: Draft) -> Erasing:
    suppression = draft.data.get("suppression") if step is ErasureStep.COMPLETE else None
    if suppression is None:
        return Erasing(step, stream.id, position, None, None)
    covers = canonical_json.encode(suppression).decode()
    return Erasing(step, stream.id, position, covers, os.urandom(SALT_BYTES))


def _suppressing(blind_index: bytes, stream: Stream, entry: Entry, salt: bytes) -> Suppressing:
    data = entry.data
    return Suppressing(
        entry.event_id,
        blind_index,
        datetime.fromisoformat(data["since"]),
        canonical_json.encode({**data["suppression"], "channel": data["channel"]}).decode(),
        salt,
        data["channel"],
        entry.position,
        stream.id,
        of_nobody=stream.wrapped_key is None,
    )


def _stream_of(command: Command, found: Found, group: Group, ahead: Group | None) -> Stream:
    """The stream that a command writes to, as it stands at this point of the group."""
    key = command.stream if command.subject is None else command.subject.blind_index
    if command.suppresses is not None:
        key = command.suppresses
        if key not in found.subjects and key not in group.streams:
            # Not kept under the index: whoever comes up with the address begins a contact point of their own.
            return Stream(group.ids(), None)
    if key is None:
        raise ValueError("a command writes to a subject's stream or to a named one")
    known = group.streams.get(key)
    if known is None:
        written = None if ahead is None else ahead.streams.get(key)
        if written is not None and written.in_group:
            known = written.as_written()
        elif isinstance(key, UUID):
            number, position = found.streams.get(key, (-1, None))
            erasing, blind_index = found.named_subjects.get(key, (None, None))
            known = Stream(key, None, number, position, erasing, blind_index=blind_index)
        else:
            stored = found.subjects.get(key)
            known = (
                Stream(group.ids(), None)
                if stored is None
                else Stream(stored.contact_point, stored.wrapped_key, stored.number, stored.position, stored.erasing)
            )
        group.streams[key] = known
    return known
