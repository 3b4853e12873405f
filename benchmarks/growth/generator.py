"""Makes a log of any size, in bulk: real entries, hashes, tree, vault, idempotency records and inline projections.

What it does with the product's own code: decides each kind of capture, normalises and indexes addresses, makes, wraps and
uses keys, seals, encodes and hashes entries, grows the tree, keys the idempotency records, folds and writes the inline
projections. What it skips of an append: the look-ups (it knows from memory what is there), the queue and its groups of
512 (it writes some ten thousand entries in one transaction, by COPY), the wait for the disk, the NOTIFY, and the rule that
an import leaves an opt-out as it is. A test holds that `verify` accepts what comes out, that every projection is what a
rebuild gives, and that importing a generated row again changes nothing. Nobody else may write to the tenant meanwhile.
"""

import asyncio
import random
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.growth.made_up import (
    CALLER,
    EVENTS_PER_CONTACT_POINT,
    Kind,
    address,
    instants,
    kinds,
    row_key,
)
from eventstore import read
from eventstore.idempotency import KEPT_DIGEST_BYTES
from eventstore.personal.vault import ADDRESS, EVIDENCE, Connected, place, seal
from eventstore.randomness import RandomBytes
from eventstore.read import Head
from eventstore.uuid7 import Uuid7s
from ledger.assembly import Tenant
from ledger.idempotency import stored_key
from ledger.record import subject_of_address
from projections.inline import InlineCurrentConsent
from tlog.compact_range import CompactRange, TileRoot
from tlog.entry import Entry, encode
from tlog.hashing import leaf_hash

BATCH_ENTRIES = 16_384
_SHARED_INSTANT_ENTRIES = 512
_KEY_BYTES = 32
_ID_BYTES = 16
_ENTRY_COLUMNS = (
    "tenant", "position", "stream", "number", "recorded_at", "type", "channel", "purpose", "topic", "value", "source",
    "application", "entry", "leaf_hash",
)  # fmt: skip
_SUBJECT_COLUMNS = (
    "tenant", "contact_point", "channel", "blind_index", "wrapped_key", "sealed_address", "first_position", "created_at",
)  # fmt: skip
_MOVE_HEAD = """
UPDATE log_heads SET size = $3, frontier = $4, root = $5, recorded_at = $6
WHERE tenant = $1 AND size = $2
RETURNING tenant
"""
_KNOWN = "SELECT blind_index, contact_point, wrapped_key FROM vault_subjects WHERE tenant = $1"
_STREAMS = "SELECT stream, max(number), max(position) FROM log_entries WHERE tenant = $1 GROUP BY stream"


class ContactPoints:
    """What an append would look up of the contact points that were made: in arrays, for there are millions of them."""

    def __init__(self) -> None:
        self.ids = bytearray()
        self.keys = bytearray()
        self.numbers = array("q")
        self.positions = array("q")

    def __len__(self) -> int:
        return len(self.numbers)

    def add(self, contact_point: UUID, key: bytes, number: int, position: int) -> None:
        """The next contact point, whose last event has this number in its stream and this position."""
        self.ids += contact_point.bytes
        self.keys += key
        self.numbers.append(number)
        self.positions.append(position)

    def id(self, number: int) -> UUID:
        """The id of the contact point with this number."""
        return UUID(bytes=bytes(self.ids[number * _ID_BYTES : (number + 1) * _ID_BYTES]))

    def key(self, number: int) -> bytes:
        """Its key."""
        return bytes(self.keys[number * _KEY_BYTES : (number + 1) * _KEY_BYTES])


@dataclass(slots=True)
class Batch:
    """Rows of one transaction, by table, and the head that they lead to."""

    head: Head
    tree: CompactRange
    recorded_at: Any
    ids: Uuid7s
    entries: list[Entry] = field(default_factory=list[Entry])
    rows: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    records: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    subjects: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    items: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    nodes: list[TileRoot] = field(default_factory=list[TileRoot])
    inline: list[tuple[str, list[Any]]] = field(default_factory=list[tuple[str, list[Any]]])
    after: Head | None = None


class Generator:
    """Grows the log of one tenant."""

    def __init__(self, tenant: Tenant, head: Head, contact_points: ContactPoints, seed: int) -> None:
        self._tenant = tenant
        self._head = head
        self._contact_points = contact_points
        self._draw = random.Random(seed)
        self._instants = instants(self._draw)
        self._kinds = kinds(tenant, max(tenant.ledger.clock(), head.recorded_at))
        self._projection = InlineCurrentConsent()

    @staticmethod
    async def of(tenant: Tenant) -> "Generator":
        """One that goes on where the log is, whoever else wrote to it before."""
        ledger, contact_points = tenant.ledger, ContactPoints()
        async with ledger.connection() as connection:
            head = await read.head(connection, tenant.id)
            known = {row[0]: (row[1], row[2]) for row in await connection.fetch(_KNOWN, tenant.id, timeout=600)}
            streams = {row[0]: (row[1], row[2]) for row in await connection.fetch(_STREAMS, tenant.id, timeout=600)}
        while found := known.get(_blind_index(tenant, len(contact_points))):
            key = ledger.keyring.contact_point_key(tenant.id, found[0], found[1])
            contact_points.add(found[0], key, *streams[found[0]])
        return Generator(tenant, head, contact_points, seed=head.size)

    @property
    def size(self) -> int:
        """How many events the log has, with those that were prepared."""
        return self._head.size

    @property
    def contact_points(self) -> int:
        """How many of those that it made are there."""
        return len(self._contact_points)

    async def grow(self, size: int, progress: Callable[[int], None] = lambda _: None) -> None:
        """Grow the log to `size` events. A batch is prepared in a thread while the database writes the one before."""
        sizes = [min(BATCH_ENTRIES, left) for left in range(size - self._head.size, 0, -BATCH_ENTRIES)]
        waiting: Batch | None = None
        async with self._tenant.ledger.connection() as connection:
            await connection.execute("SET synchronous_commit = off")
            try:
                for entries in [*sizes, 0]:
                    writing = None if waiting is None else asyncio.create_task(self._write(connection, waiting))
                    preparing = asyncio.to_thread(self.prepare, entries) if entries else None
                    waiting = None if preparing is None else await preparing
                    if writing is not None:
                        progress(await writing)
            finally:
                await connection.execute("SET synchronous_commit = on")

    def prepare(self, entries: int) -> Batch:
        """The next entries, as rows. Touches no storage."""
        head, draw = self._head, self._draw
        random_bytes = RandomBytes()
        ids = Uuid7s(head.recorded_at, random_bytes)
        batch = Batch(head, CompactRange.from_bytes(head.size, head.frontier), head.recorded_at, ids)
        for number in range(entries):
            if number % _SHARED_INSTANT_ENTRIES == 0:
                batch.recorded_at = max(self._tenant.ledger.clock(), batch.recorded_at)
                batch.ids = Uuid7s(batch.recorded_at, random_bytes)
            kind = self._kinds[int(draw.random() * len(self._kinds))]
            self._append(batch, head.size + number, kind, self._instants[int(draw.random() * len(self._instants))])
        batch.tree = batch.tree.append_many([row[-1] for row in batch.rows], batch.nodes)
        batch.inline = self._projection.parts(batch.entries)
        batch.after = self._head = Head(
            batch.tree.size,
            head.epoch,
            batch.tree.to_bytes(),
            batch.tree.root(),
            batch.recorded_at,
            head.catalogue_position,
        )
        return batch

    def _append(self, batch: Batch, position: int, kind: Kind, effective_at: Any) -> None:
        tenant, made, draft = self._tenant, self._contact_points, kind.draft
        personal: dict[str, bytes] = {}
        if self._draw.random() * EVENTS_PER_CONTACT_POINT < 1 or not len(made):
            which = len(made)
            contact_point, number, previous = self._new_contact_point(batch, which, position, personal), 0, None
        else:
            which = int(self._draw.random() * len(made))
            contact_point, number, previous = made.id(which), made.numbers[which] + 1, made.positions[which]
        if draft.evidence is not None:
            where = place(tenant.id, contact_point, position, EVIDENCE)
            sealed, personal[EVIDENCE] = seal(AESGCM(made.key(which)), where, draft.evidence)
            batch.items.append((tenant.id, contact_point, position, sealed))
        made.numbers[which], made.positions[which] = number, position
        entry = Entry(
            event_id=batch.ids(),
            tenant=tenant.key,
            type=draft.type,
            version=draft.version,
            stream=contact_point,
            number=number,
            previous=previous,
            position=position,
            recorded_at=batch.recorded_at,
            effective_at=effective_at,
            application=CALLER.application,
            actor=draft.actor,
            data=draft.data,
            personal=personal,
        )
        raw = encode(entry)
        batch.entries.append(entry)
        batch.rows.append(
            (tenant.id, position, contact_point, number, batch.recorded_at, draft.type, *draft.columns,
             CALLER.application, raw, leaf_hash(raw))
        )  # fmt: skip
        key = stored_key(tenant, CALLER.application, row_key(position), "importRow", {})
        if key is not None:
            batch.records.append((tenant.id, key.key_hash, key.command_digest[:KEPT_DIGEST_BYTES], position, 1))

    def _new_contact_point(self, batch: Batch, which: int, position: int, personal: dict[str, bytes]) -> UUID:
        tenant = self._tenant
        contact_point = batch.ids()
        key, wrapped_key = tenant.ledger.keyring.new_contact_point_key(tenant.id, contact_point)
        subject = subject_of_address(tenant, self._kinds[0].capture.channel, address(which))
        where = place(tenant.id, contact_point, position, ADDRESS)
        sealed_address, personal[ADDRESS] = seal(AESGCM(key), where, subject.address.encode())
        batch.subjects.append(
            (tenant.id, contact_point, subject.channel, subject.blind_index, wrapped_key, sealed_address, position,
             batch.recorded_at)
        )  # fmt: skip
        self._contact_points.add(contact_point, key, 0, position)
        return contact_point

    async def _write(self, connection: Connected, batch: Batch) -> int:
        """Write a batch, all or nothing; the size of the log after it."""
        tenant = self._tenant.id
        after = batch.after
        if after is None:
            raise ValueError("a batch that was not prepared")
        async with connection.transaction():
            moved = await connection.fetchval(
                _MOVE_HEAD, tenant, batch.head.size, after.size, after.frontier, after.root, after.recorded_at
            )
            if moved is None:
                raise RuntimeError("somebody else wrote to the log that is being made")
            for table, columns, rows in self._tables(batch):
                await connection.copy_records_to_table(table, records=rows, columns=columns, timeout=600)
            notices = {kind.draft.notice for kind in self._kinds if kind.draft.notice is not None}
            await connection.executemany(
                "INSERT INTO notices (tenant, digest, text) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                [(tenant, digest, text) for digest, text in notices],
            )
            for text, arguments in batch.inline:
                numbered = text.format(*range(2, 2 + len(arguments)))
                sql = f"WITH moved AS (SELECT $1::int AS tenant){numbered} SELECT 1"
                await connection.execute(sql, tenant, *arguments, timeout=600)
        return after.size

    def _tables(self, batch: Batch) -> Iterator[tuple[str, tuple[str, ...], list[tuple[Any, ...]]]]:
        tenant = self._tenant.id
        yield "log_entries", _ENTRY_COLUMNS, batch.rows
        yield (
            "idempotency_records",
            ("tenant", "key_hash", "command_digest", "position", "events"),
            sorted(batch.records, key=lambda record: record[1]),
        )
        yield "vault_subjects", _SUBJECT_COLUMNS, batch.subjects
        yield "vault_items", ("tenant", "contact_point", "position", "sealed"), batch.items
        yield (
            "log_nodes",
            ("tenant", "level", "index", "hash"),
            [(tenant, node.level, node.number, node.hash) for node in batch.nodes],
        )


def _blind_index(tenant: Tenant, number: int) -> bytes:
    return tenant.blind_index("EMAIL", address(number))
