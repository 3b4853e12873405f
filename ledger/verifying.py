"""Verifying the database: that everything stored says what the entries say, and that the entries are what was signed.

Reads one snapshot, trusts nothing but the entries' bytes and the keys outside of the database, and ends with the first thing
that is wrong, by its position and field. What it cannot see is a log that was rewritten as a whole, by someone who has the
signing key too: for that there are witnesses.
"""

import hashlib
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

from cryptography.exceptions import InvalidTag

from domain.bounces import Bounce, Bounced, ends_bounce
from domain.consent import RESTRICTIVENESS, ConsentRecord, ConsentSource, join
from domain.double_opt_in import Request, levels_of, request_of
from domain.events import CATALOGUE_TYPES, EventType
from domain.suppression import is_persons_opt_in
from domain.upcasting import UnknownEventVersion, upcast
from eventstore import read
from eventstore.personal import vault
from eventstore.personal.keyring import KeyUnusable
from eventstore.personal.vault import Connected, VaultBroken, open_sealed, place
from ledger.assembly import Tenant
from ledger.catalogue import subject_of
from ledger.run_marks import is_mark
from projections.catalogue import CATALOGUE_STREAM
from projections.inline import captured
from tlog import canonical_json
from tlog.checkpoint import Checkpoint, ForeignOrigin, MalformedCheckpoint, open_checkpoint
from tlog.compact_range import EMPTY, CompactRange, TileRoot
from tlog.entry import Entry, MalformedEntry, decode
from tlog.hashing import leaf_hash
from tlog.note import MalformedKey, MalformedNote, UnverifiedNote, VerifierKey, parse_note, verify_cosignature

_PREFETCH_ROWS = 1_000
Progress = Callable[[int], None]


class DatabaseMismatch(Exception):
    """Something stored is not what it must be: in which table, at which position, in which field."""

    def __init__(self, table: str, where: str, field_name: str, what: str) -> None:
        super().__init__(f"{table}, {where}: {field_name}: {what}")


@dataclass(slots=True)
class _Stream:
    """What the entries say of one stream."""

    number: int = -1
    position: int | None = None
    first_position: int = 0
    channel: str = ""
    created_at: datetime | None = None
    address: bytes | None = None
    requested: Entry | None = None
    erased: Entry | None = None
    # The event of a stream that no address is known of: it began with a suppression that was brought in.
    of_nobody: Entry | None = None


@dataclass(slots=True)
class _Said:
    """What all entries together say."""

    tree: CompactRange = EMPTY
    nodes: list[TileRoot] = field(default_factory=list[TileRoot])
    roots: dict[int, bytes] = field(default_factory=dict[int, bytes])
    streams: dict[UUID, _Stream] = field(default_factory=dict[UUID, _Stream])
    recorded_at: datetime | None = None
    catalogue_position: int = -1
    verifier_keys: list[str] = field(default_factory=list[str])
    consent: dict[tuple[UUID, str, str, str], ConsentRecord] = field(
        default_factory=dict[tuple[UUID, str, str, str], ConsentRecord]
    )
    opt_ins: dict[tuple[UUID, str, str], datetime] = field(default_factory=dict[tuple[UUID, str, str], datetime])
    requests: dict[tuple[UUID, str, str], Request] = field(default_factory=dict[tuple[UUID, str, str], Request])
    bounces: dict[UUID, Bounced] = field(default_factory=dict[UUID, Bounced])
    # Suppressions that were brought in, by the id of their event.
    brought: dict[UUID, Entry] = field(default_factory=dict[UUID, Entry])
    evidence: dict[int, tuple[UUID, bytes]] = field(default_factory=dict[int, tuple[UUID, bytes]])
    notices: dict[bytes, int] = field(default_factory=dict[bytes, int])
    writers: list[tuple[UUID, datetime, str | None]] = field(default_factory=list[tuple[UUID, datetime, str | None]])
    loaded: set[int] = field(default_factory=set[int])


async def verify_database(tenant: Tenant, progress: Progress = lambda _: None) -> list[str]:
    """What was checked, in words. Raises DatabaseMismatch at the first thing that is wrong, StoreUnavailable."""
    async with (
        tenant.ledger.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        sizes = {row[0] for row in await connection.fetch("SELECT size FROM checkpoints WHERE tenant = $1", tenant.id)}
        said = _Said()
        signed = await _signed_before(connection, tenant)
        if signed is not None:
            sizes.add(signed.size)
        await _entries(connection, tenant, said, sizes, progress)
        if signed is not None and said.roots.get(signed.size) != signed.root:
            _wrong(
                "log_entries", f"size {signed.size}", "root",
                "a checkpoint of this size was signed with another root: the log was rewritten or rolled back",
            )  # fmt: skip
        done = [f"{said.tree.size} entries: bytes, leaf hashes, positions, streams, times, columns"]
        checks: list[tuple[str, Callable[[Connected, Tenant, _Said], Awaitable[int]]]] = [
            ("the head: size, root, frontier, time, catalogue", _head),
            ("roots of full tiles", _nodes),
            ("checkpoints: signature, root", _checkpoints),
            ("cosignatures", _cosignatures),
            ("rows of current consent", _consent),
            ("opt-ins of persons", _opt_ins),
            ("requests for a confirmation", _requests),
            ("hard bounces", _bounces),
            ("contact points: address, blind index, key", _subjects),
            ("pieces of evidence", _items),
            ("erasures", _erasures),
            ("suppressions", _suppressions),
            ("notices", _notices),
            ("idempotency records: range and writer (their keyed digests cannot be checked)", _idempotency),
        ]
        for words, check in checks:
            done.append(f"{await check(connection, tenant, said)} {words}")
        pending = sum(one.requested is not None and one.erased is None for one in said.streams.values())
        if pending:
            done.append(f"{pending} erasures requested and not complete yet: every check there answers ERASED")
    return done


def _wrong(table: str, where: str, field_name: str, what: str) -> NoReturn:
    raise DatabaseMismatch(table, where, field_name, what)


async def _signed_before(connection: Connected, tenant: Tenant) -> Checkpoint | None:
    """The largest tree of this log that was signed, as remembered beside the keys; the catalogue's stream names the log."""
    only = read.EntryFilter(stream=CATALOGUE_STREAM, types=[EventType.SIGNING_KEY_ADDED])
    for stored in await read.forward(connection, tenant.id, only, limit=1):
        try:
            origin = VerifierKey.parse(str(stored.entry.data.get("verifierKey"))).name
        except MalformedKey:
            _wrong("log_entries", f"position {stored.position}", "entry.data.verifierKey", "is not a verifier key")
        return tenant.signing_keys.largest_signed(origin)
    return None


async def _entries(connection: Connected, tenant: Tenant, said: _Said, sizes: set[int], progress: Progress) -> None:
    rows = connection.cursor(
        "SELECT position, stream, number, recorded_at, type, channel, purpose, topic, value, source, application, entry,"
        " leaf_hash FROM log_entries WHERE tenant = $1 ORDER BY position",
        tenant.id,
        prefetch=_PREFETCH_ROWS,
    )
    async for row in rows:
        expected = said.tree.size
        where = f"position {expected}"
        if row["position"] != expected:
            _wrong("log_entries", where, "position", f"is missing; the next one stored is {row['position']}")
        try:
            entry = decode(row["entry"])
            data = upcast(entry.type, entry.version, entry.data)
        except (MalformedEntry, UnknownEventVersion) as error:
            _wrong("log_entries", where, "entry", str(error))
        computed = leaf_hash(row["entry"])
        if row["leaf_hash"] != computed:
            _wrong("log_entries", where, "leaf_hash", "is not the hash of the entry")
        for name, stored, stated in _columns(tenant, entry, data, row, expected):
            if stored != stated:
                _wrong("log_entries", where, name, f"says {stored}, and the entry {stated}")
        if said.recorded_at is not None and entry.recorded_at < said.recorded_at:
            _wrong("log_entries", where, "entry.recordedAt", "is earlier than that of the entry before")
        _take(said, entry, data, where)
        said.tree = said.tree.append_many([computed], said.nodes)
        if said.tree.size in sizes:
            said.roots[said.tree.size] = said.tree.root()
        if said.tree.size % _PREFETCH_ROWS == 0:
            progress(said.tree.size)
    progress(said.tree.size)


def _columns(tenant: Tenant, entry: Entry, data: Any, row: Any, position: int) -> Iterator[tuple[str, object, object]]:
    """(the field, what is stored beside the entry or known of it, what the entry says)."""
    yield "entry.position", position, entry.position
    yield "entry.tenant", tenant.key, entry.tenant
    yield "stream", row["stream"], entry.stream
    yield "number", row["number"], entry.number
    yield "recorded_at", row["recorded_at"], entry.recorded_at
    yield "type", row["type"], entry.type
    yield "application", row["application"], entry.application
    purpose, topic = subject_of(entry.type, data)
    yield "purpose", row["purpose"], purpose
    yield "topic", row["topic"], topic
    for name in ("channel", "value", "source"):
        yield name, row[name], None if entry.type in CATALOGUE_TYPES else data.get(name)


def _take(said: _Said, entry: Entry, data: Any, where: str) -> None:
    """Fold one entry into what all say."""
    stream = said.streams.get(entry.stream)
    if stream is None:
        stream = said.streams[entry.stream] = _Stream(
            first_position=entry.position, channel=data.get("channel", ""), created_at=entry.recorded_at
        )
        stream.address = entry.personal.get(vault.ADDRESS)
        if entry.type == EventType.CONTACT_POINT_SUPPRESSED:
            stream.of_nobody = entry
    if (entry.number, entry.previous) != (stream.number + 1, stream.position):
        _wrong("log_entries", where, "entry.number", "its stream has a hole: number and previous do not follow on")
    stream.number, stream.position = entry.number, entry.position
    said.recorded_at = entry.recorded_at
    if data.get("source") == ConsentSource.LOAD_CONSENT:
        said.loaded.add(len(said.writers))
    said.writers.append((entry.stream, entry.recorded_at, entry.application))
    if entry.type in CATALOGUE_TYPES:
        said.catalogue_position = entry.position
        if entry.type == EventType.SIGNING_KEY_ADDED:
            said.verifier_keys.append(data["verifierKey"])
    elif entry.type == EventType.DOUBLE_OPT_IN_REQUESTED:
        request = request_of(data, entry.recorded_at, entry.position)
        said.requests.update({(entry.stream, purpose, topic or ""): request for purpose, topic in levels_of(data)})
    elif entry.type == EventType.CONTACT_POINT_BOUNCED and data["bounce"] == Bounce.HARD:
        said.bounces[entry.stream] = Bounced(entry.recorded_at, entry.position)
    elif entry.type == EventType.CONTACT_POINT_ERASURE_REQUESTED:
        stream.requested = entry
    elif entry.type == EventType.CONTACT_POINT_ERASED:
        stream.erased = entry
    elif entry.type == EventType.CONTACT_POINT_SUPPRESSED:
        said.brought[entry.event_id] = entry
    if vault.EVIDENCE in entry.personal:
        said.evidence[entry.position] = entry.stream, entry.personal[vault.EVIDENCE]
    digest = data.get("noticeDigest")
    if digest is not None:
        said.notices.setdefault(b64decode(digest), entry.position)
    capture = captured(entry)
    if capture is None:
        return
    record = capture.record(entry.position, entry.recorded_at)
    key = entry.stream, capture.purpose, capture.topic or "", capture.unit
    winner = join(said.consent.get(key), record)
    if winner is not None:
        said.consent[key] = winner
    if entry.stream in said.bounces and ends_bounce(entry.actor, capture.source, capture.value):
        said.bounces[entry.stream] = said.bounces[entry.stream].after_opt_in(capture.effective_at)
    if is_persons_opt_in(entry.actor, capture.value):
        level = key[:3]
        said.opt_ins[level] = max(said.opt_ins.get(level, capture.effective_at), capture.effective_at)


async def _head(connection: Connected, tenant: Tenant, said: _Said) -> int:
    head = await read.head(connection, tenant.id)
    expected = {
        "size": said.tree.size,
        "frontier": said.tree.to_bytes(),
        "root": said.tree.root(),
        "recorded_at": said.recorded_at or head.recorded_at,
        "catalogue_position": said.catalogue_position,
    }
    for name, value in expected.items():
        if getattr(head, name) != value:
            _wrong("log_heads", f"size {said.tree.size}", name, "is not what the entries lead to")
    return 1


async def _nodes(connection: Connected, tenant: Tenant, said: _Said) -> int:
    expected = {(node.level, node.number): node.hash for node in said.nodes}
    rows = await connection.fetch("SELECT level, index, hash FROM log_nodes WHERE tenant = $1", tenant.id)
    stored = {(row[0], row[1]): row[2] for row in rows}
    for level, index in sorted(expected.keys() | stored.keys()):
        if stored.get((level, index)) != expected.get((level, index)):
            what = "is missing" if (level, index) not in stored else "is not the root of that tile's hashes"
            _wrong("log_nodes", f"level {level}, index {index}", "hash", what)
    return len(stored)


async def _checkpoints(connection: Connected, tenant: Tenant, said: _Said) -> int:
    keys = [VerifierKey.parse(text) for text in said.verifier_keys]
    rows = await connection.fetch(
        "SELECT size, root, note, verifier_key FROM checkpoints WHERE tenant = $1 ORDER BY size", tenant.id
    )
    for size, root, note, verifier_key in rows:
        where = f"size {size}"
        if verifier_key not in said.verifier_keys:
            _wrong("checkpoints", where, "verifier_key", "is none that the log lists")
        try:
            checkpoint, _ = open_checkpoint(note, keys, origin=keys[-1].name)
        except (MalformedNote, UnverifiedNote, MalformedCheckpoint, ForeignOrigin) as error:
            _wrong("checkpoints", where, "note", str(error))
        if (checkpoint.size, checkpoint.root) != (size, root):
            _wrong("checkpoints", where, "note", "states another size or root than its row")
        if said.roots.get(size) != root:
            _wrong("checkpoints", where, "root", "is not the root of the first entries of that number")
    return len(rows)


async def _cosignatures(connection: Connected, tenant: Tenant, said: _Said) -> int:
    rows = await connection.fetch(
        "SELECT w.size, w.verifier_key, w.line, c.note FROM cosignatures w"
        " LEFT JOIN checkpoints c ON c.tenant = w.tenant AND c.size = w.size WHERE w.tenant = $1 ORDER BY w.size",
        tenant.id,
    )
    for size, verifier_key, line, note in rows:
        where = f"size {size}, {verifier_key}"
        if note is None:
            _wrong("cosignatures", where, "size", "there is no checkpoint of this size")
        try:
            text = parse_note(note).text
            [signature] = parse_note(f"{text}\n{line}\n").signature_lines
            verify_cosignature(text, signature, VerifierKey.parse(verifier_key))
        except ValueError as error:
            _wrong("cosignatures", where, "line", str(error))
    return len(rows)


async def _consent(connection: Connected, tenant: Tenant, said: _Said) -> int:
    left = dict(said.consent)
    rows = connection.cursor(
        "SELECT contact_point, purpose, topic, unit, channel, value, restrictiveness, effective_at, recorded_at, valid_until,"
        " position FROM current_consent WHERE tenant = $1",
        tenant.id,
        prefetch=_PREFETCH_ROWS,
    )
    async for row in rows:
        key = (row[0], row[1], row[2], row[3])
        where = f"contact point {row[0]}, {'/'.join(row[1:4])}, position {row['position']}"
        record = left.pop(key, None)
        if record is None:
            _wrong("current_consent", where, "contact_point", "no entry leads to this row")
        expected = {
            "position": record.position,
            "channel": said.streams[row[0]].channel,
            "value": str(record.value),
            "restrictiveness": RESTRICTIVENESS[record.value],
            "effective_at": record.effective_at,
            "recorded_at": record.recorded_at,
            "valid_until": record.valid_until,
        }
        for name, value in expected.items():
            if row[name] != value:
                _wrong("current_consent", where, name, f"says {row[name]}, and the entries {value}")
    for key, record in left.items():
        _wrong(
            "current_consent", f"contact point {key[0]}, {'/'.join(key[1:])}", "position",
            f"is missing; the entry at position {record.position} leads to it",
        )  # fmt: skip
    return len(said.consent)


async def _opt_ins(connection: Connected, tenant: Tenant, said: _Said) -> int:
    rows = await connection.fetch(
        "SELECT contact_point, purpose, topic, effective_at FROM persons_opt_ins WHERE tenant = $1", tenant.id
    )
    stored = {(row[0], row[1], row[2]): row[3] for row in rows}
    for key in stored.keys() | said.opt_ins.keys():
        if stored.get(key) != said.opt_ins.get(key):
            _wrong(
                "persons_opt_ins", f"contact point {key[0]}, {'/'.join(key[1:])}", "effective_at",
                f"says {stored.get(key)}, and the entries {said.opt_ins.get(key)}",
            )  # fmt: skip
    return len(stored)


async def _requests(connection: Connected, tenant: Tenant, said: _Said) -> int:
    rows = await connection.fetch(
        "SELECT contact_point, purpose, topic, requested_at, position, expires_at FROM double_opt_in_requests"
        " WHERE tenant = $1",
        tenant.id,
    )
    stored = {(row[0], row[1], row[2]): Request(row[3], row[4], row[5]) for row in rows}
    for key in stored.keys() | said.requests.keys():
        if stored.get(key) != said.requests.get(key):
            _wrong(
                "double_opt_in_requests", f"contact point {key[0]}, {'/'.join(key[1:])}", "position",
                "the row is not what the entries say",
            )  # fmt: skip
    return len(stored)


async def _bounces(connection: Connected, tenant: Tenant, said: _Said) -> int:
    rows = await connection.fetch(
        "SELECT contact_point, bounced_at, position, ended_at FROM bounces WHERE tenant = $1", tenant.id
    )
    stored = {row[0]: Bounced(row[1], row[2], row[3]) for row in rows}
    for key in stored.keys() | said.bounces.keys():
        if stored.get(key) != said.bounces.get(key):
            _wrong("bounces", f"contact point {key}", "position", "the row is not what the entries say")
    return len(stored)


async def _subjects(connection: Connected, tenant: Tenant, said: _Said) -> int:
    left = {
        key: one
        for key, one in said.streams.items()
        if key != CATALOGUE_STREAM and one.erased is None and one.of_nobody is None
    }
    count = len(left)
    rows = connection.cursor(
        "SELECT contact_point, channel, blind_index, wrapped_key, sealed_address, first_position, created_at, erasing"
        " FROM vault_subjects WHERE tenant = $1",
        tenant.id,
        prefetch=_PREFETCH_ROWS,
    )
    async for row in rows:
        contact_point = row[0]
        where = f"contact point {contact_point}"
        stream = left.pop(contact_point, None)
        if stream is None:
            _wrong("vault_subjects", where, "contact_point", "the log has no such contact point, or has it erased")
        where = f"{where}, position {stream.first_position}"
        expected = {
            "channel": stream.channel,
            "first_position": stream.first_position,
            "created_at": stream.created_at,
            "erasing": stream.requested is not None,
        }
        for name, value in expected.items():
            if row[name] != value:
                _wrong("vault_subjects", where, name, f"says {row[name]}, and the entries {value}")
        at = place(tenant.id, contact_point, stream.first_position, vault.ADDRESS)
        salt, address = _opened(
            tenant, contact_point, row["wrapped_key"], at, row["sealed_address"], "vault_subjects", where
        )
        if hashlib.sha256(salt + address).digest() != stream.address:
            _wrong("vault_subjects", where, "sealed_address", "does not open the entry's commitment")
        if tenant.blind_index(stream.channel, address.decode("utf-8", "replace")) != row["blind_index"]:
            _wrong("vault_subjects", where, "blind_index", "is not that of the address: it could not be found")
    for contact_point, stream in left.items():
        _wrong(
            "vault_subjects", f"contact point {contact_point}, position {stream.first_position}", "contact_point",
            "is missing, and the log does not have it erased",
        )  # fmt: skip
    return count


def _opened(
    tenant: Tenant, contact_point: UUID, wrapped_key: bytes, at: bytes, sealed: bytes, table: str, where: str
) -> tuple[bytes, bytes]:
    try:
        key = tenant.ledger.keyring.contact_point_key(tenant.id, contact_point, wrapped_key)
    except (KeyUnusable, InvalidTag):
        _wrong(table, where, "wrapped_key", "does not open under the master key")
    try:
        return open_sealed(key, at, sealed)
    except (VaultBroken, InvalidTag):
        _wrong(table, where, "sealed", "does not open under its contact point's key")


async def _items(connection: Connected, tenant: Tenant, said: _Said) -> int:
    left = {
        position: commitment
        for position, (stream, commitment) in said.evidence.items()
        if said.streams[stream].erased is None
    }
    count = len(left)
    rows = connection.cursor(
        "SELECT i.contact_point, i.position, i.sealed, s.wrapped_key FROM vault_items i LEFT JOIN vault_subjects s"
        " ON s.tenant = i.tenant AND s.contact_point = i.contact_point WHERE i.tenant = $1",
        tenant.id,
        prefetch=_PREFETCH_ROWS,
    )
    async for contact_point, position, sealed, wrapped_key in rows:
        where = f"position {position}"
        commitment = left.pop(position, None)
        if commitment is None or said.evidence[position][0] != contact_point or wrapped_key is None:
            _wrong("vault_items", where, "position", "no entry that is not erased has evidence like that")
        at = place(tenant.id, contact_point, position, vault.EVIDENCE)
        salt, content = _opened(tenant, contact_point, wrapped_key, at, sealed, "vault_items", where)
        if hashlib.sha256(salt + content).digest() != commitment:
            _wrong("vault_items", where, "sealed", "does not open the entry's commitment")
    for position in sorted(left):
        _wrong("vault_items", f"position {position}", "sealed", "is missing, and the log does not have it erased")
    return count


async def _erasures(connection: Connected, tenant: Tenant, said: _Said) -> int:
    rows = await connection.fetch(
        "SELECT contact_point, channel, requested_at, requested_position, erased_at FROM erasures WHERE tenant = $1",
        tenant.id,
    )
    stored = {row[0]: tuple(row)[1:] for row in rows}
    expected = {
        key: (
            one.channel, one.requested.recorded_at, one.requested.position,
            None if one.erased is None else one.erased.recorded_at,
        )
        for key, one in said.streams.items()
        if one.requested is not None
    }  # fmt: skip
    expected |= {
        key: (one.channel, one.of_nobody.recorded_at, one.of_nobody.position, one.of_nobody.recorded_at)
        for key, one in said.streams.items()
        if one.of_nobody is not None
    }
    for key in stored.keys() | expected.keys():
        if stored.get(key) != expected.get(key):
            _wrong("erasures", f"contact point {key}", "erased_at", "the row is not what the entries say")
    return len(stored)


async def _suppressions(connection: Connected, tenant: Tenant, said: _Said) -> int:
    rows = await connection.fetch(
        "SELECT contact_point, since, covers, blind_index, salt FROM suppressions WHERE tenant = $1", tenant.id
    )
    left = {
        key: one.erased
        for key, one in said.streams.items()
        if one.erased is not None and "suppression" in one.erased.data
    } | said.brought
    for contact_point, since, covers, blind_index, salt in rows:
        where = f"contact point {contact_point}"
        certificate = left.pop(contact_point, None)
        if certificate is None:
            _wrong("suppressions", where, "contact_point", "no certificate leaves this row, or there are two of it")
        if (since, canonical_json.loads(covers)) != _left_by(certificate):
            _wrong("suppressions", where, "covers", "the row is not what the certificate says")
        commitment = certificate.personal.get(vault.SUPPRESSION)
        if commitment is not None and hashlib.sha256((salt or b"") + blind_index).digest() != commitment:
            _wrong("suppressions", where, "blind_index", "is not the one that the certificate commits to")
    for contact_point in left:
        _wrong("suppressions", f"contact point {contact_point}", "covers", "is missing, and the certificate leaves it")
    return len(rows)


def _left_by(certificate: Entry) -> tuple[datetime, Mapping[str, Any]]:
    """(since when, what is covered) as a row has it, of a certificate or of a suppression that was brought in."""
    data = certificate.data
    if certificate.type == EventType.CONTACT_POINT_SUPPRESSED:
        return datetime.fromisoformat(data["since"]), {**data["suppression"], "channel": data["channel"]}
    return certificate.recorded_at, data["suppression"]


async def _notices(connection: Connected, tenant: Tenant, said: _Said) -> int:
    left = dict(said.notices)
    rows = await connection.fetch("SELECT digest, text FROM notices WHERE tenant = $1", tenant.id)
    for digest, text in rows:
        if hashlib.sha256(text.encode()).digest() != digest:
            _wrong("notices", f"position {left.get(digest)}", "text", "is not the text with that SHA-256")
        left.pop(digest, None)
    for position in left.values():
        _wrong("notices", f"position {position}", "text", "the notice that the entry names is missing")
    return len(rows)


async def _idempotency(connection: Connected, tenant: Tenant, said: _Said) -> int:
    rows = connection.cursor(
        # Those of commands that write no event have an answer of their own instead.
        "SELECT position, events, key_hash, command_digest FROM idempotency_records r"
        " WHERE tenant = $1 AND NOT (position = 0 AND events = 0"
        " AND EXISTS (SELECT FROM idempotent_answers a WHERE a.tenant = r.tenant AND a.key_hash = r.key_hash))"
        " ORDER BY position, events", tenant.id,
        prefetch=_PREFETCH_ROWS,
    )  # fmt: skip
    before, taken, count, keys = (-1, 0), 0, 0, 0
    async for position, events, key_hash, digest in rows:
        where = f"position {position}"
        if events < 1 or position + events > said.tree.size:
            _wrong("idempotency_records", where, "events", "are more than the log holds")
        # A run of an import marks its events besides. Rows of a load that are about one address are one command, and each has
        # a key of its own.
        same = (position, events) == before
        keys = (keys if same else 0) + (not is_mark(tenant, key_hash, digest))
        if position < taken and not (same and (keys <= 1 or position in said.loaded)):
            _wrong("idempotency_records", where, "position", "belongs to another command already")
        if len(set(said.writers[position : position + events])) != 1:
            _wrong("idempotency_records", where, "events", "are not those of one command")
        before, taken, count = (position, events), position + events, count + 1
    return count
