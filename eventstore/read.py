"""Reading the log: the head, entries forward and backward by position with filters, whole streams, single positions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from asyncpg import Record

from eventstore.personal.vault import Connected
from tlog.entry import Entry
from tlog.entry import read as read_entry
from tlog.entry_text import EntryText, read_text


class StoredEntry(NamedTuple):
    """An entry as stored: what it says, its bytes, and the leaf hash that the tree holds."""

    entry: Entry
    raw: bytes
    leaf_hash: bytes

    @property
    def position(self) -> int:
        """Its position in the tenant's log."""
        return self.entry.position


class StoredText(NamedTuple):
    """The same, its members in their own spelling: for who hands on a great many."""

    text: EntryText
    raw: bytes
    leaf_hash: bytes

    @property
    def position(self) -> int:
        """Its position in the tenant's log."""
        return self.text.position


@dataclass(frozen=True, slots=True)
class Head:
    """The state of a tenant's log: `size` entries, whose Merkle tree has this frontier and root."""

    size: int
    epoch: int
    frontier: bytes
    root: bytes
    recorded_at: datetime
    catalogue_position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFilter:
    """Which entries to read; what is not given does not filter. Positions and instants are inclusive."""

    types: Sequence[str] | None = None
    channel: str | None = None
    purpose: str | None = None
    purposes: Sequence[str] | None = None
    topic: str | None = None
    values: Sequence[str] | None = None
    sources: Sequence[str] | None = None
    application: str | None = None
    stream: UUID | None = None
    recorded_from: datetime | None = None
    recorded_to: datetime | None = None
    from_position: int | None = None
    to_position: int | None = None

    def is_empty(self) -> bool:
        """Whether every entry passes."""
        return self == EVERYTHING

    def is_of_positions(self) -> bool:
        """Whether every entry between its positions passes."""
        return replace(self, from_position=None, to_position=None) == EVERYTHING

    def conditions(self, first_parameter: int) -> tuple[str, list[Any]]:
        """The SQL that this filter is, over columns of log_entries, and its parameters from `first_parameter` on."""
        given = [
            ("type = ANY({}::text[])", None if self.types is None else list(self.types)),
            ("channel = {}", self.channel),
            ("purpose = {}", self.purpose),
            ("purpose = ANY({}::text[])", None if self.purposes is None else list(self.purposes)),
            ("topic = {}", self.topic),
            ("value = ANY({}::text[])", None if self.values is None else list(self.values)),
            ("source = ANY({}::text[])", None if self.sources is None else list(self.sources)),
            ("application = {}", self.application),
            ("stream = {}", self.stream),
            ("recorded_at >= {}", self.recorded_from),
            ("recorded_at <= {}", self.recorded_to),
            ("position >= {}", self.from_position),
            ("position <= {}", self.to_position),
        ]
        used = [(condition, value) for condition, value in given if value is not None]
        text = "".join(
            f" AND {condition.format(f'${number}')}" for number, (condition, _) in enumerate(used, first_parameter)
        )
        return text, [value for _, value in used]

    def passes(self, indexed: "IndexedEntry") -> bool:
        """What `conditions` asks of a row, asked of an entry that is in memory with its columns."""
        entry = indexed.stored.entry
        return (
            (self.types is None or entry.type in self.types)
            and (self.channel is None or indexed.channel == self.channel)
            and (self.purpose is None or indexed.purpose == self.purpose)
            and (self.purposes is None or indexed.purpose in self.purposes)
            and (self.topic is None or indexed.topic == self.topic)
            and (self.values is None or indexed.value in self.values)
            and (self.sources is None or indexed.source in self.sources)
            and (self.application is None or entry.application == self.application)
            and (self.stream is None or entry.stream == self.stream)
            and (self.recorded_from is None or entry.recorded_at >= self.recorded_from)
            and (self.recorded_to is None or entry.recorded_at <= self.recorded_to)
            and (self.from_position is None or entry.position >= self.from_position)
            and (self.to_position is None or entry.position <= self.to_position)
        )


EVERYTHING = EntryFilter()


class IndexedEntry(NamedTuple):
    """An entry with those of its columns that a filter asks for and that the log itself cannot read in its data."""

    stored: StoredEntry
    channel: str | None
    purpose: str | None
    topic: str | None
    value: str | None
    source: str | None


# Greater than any position: "no bound" as a number stays an index condition, where `$2 IS NULL OR` would not.
_BEYOND = 2**63 - 1


def stored(raw: bytes, leaf_hash: bytes) -> StoredEntry:
    """An entry from its columns."""
    return StoredEntry(read_entry(raw), raw, leaf_hash)


def _stored(rows: Iterable[Record]) -> list[StoredEntry]:
    return [stored(row[0], row[1]) for row in rows]


async def head(connection: Connected, tenant: int) -> Head:
    """The head of a tenant's log."""
    row = await connection.fetchrow(
        "SELECT size, epoch, frontier, root, recorded_at, catalogue_position FROM log_heads WHERE tenant = $1", tenant
    )
    if row is None:
        raise LookupError("a tenant without a log")
    return Head(*row)


# size_at, size_before: how many entries were recorded by an instant, or before it. recordedAt never decreases along the log,
# so it is found by halving: a probe of the primary key for each doubling of the log.
_SIZE = """
WITH RECURSIVE search (low, high) AS (
    SELECT 0::bigint, size FROM log_heads WHERE tenant = $1
    UNION ALL
    SELECT CASE WHEN probe.known THEN middle + 1 ELSE low END, CASE WHEN probe.known THEN high ELSE middle END
    FROM search
    CROSS JOIN LATERAL (SELECT (low + high) / 2) AS halved (middle)
    CROSS JOIN LATERAL (
        SELECT recorded_at {} $2 AS known FROM log_entries WHERE tenant = $1 AND position = middle LIMIT 1
    ) AS probe
    WHERE low < high
)
SELECT low FROM search WHERE low = high
"""
_SIZE_AT, _SIZE_BEFORE = _SIZE.format("<="), _SIZE.format("<")


async def size_at(connection: Connected, tenant: int, instant: datetime) -> int:
    """How many entries the log held once everything recorded by `instant`, and nothing later, was in it."""
    size: int = await connection.fetchval(_SIZE_AT, tenant, instant)
    return size


async def size_before(connection: Connected, tenant: int, instant: datetime) -> int:
    """The same without what was recorded at `instant` itself."""
    size: int = await connection.fetchval(_SIZE_BEFORE, tenant, instant)
    return size


def forward_statement(tenant: int, entry_filter: EntryFilter, *, after: int, limit: int) -> tuple[str, list[Any]]:
    """The statement of `forward`, and its parameters."""
    # Positions have no gaps: a page of everything ends where its size says, whatever the planner makes of a limit.
    low = max(after + 1, entry_filter.from_position or 0)
    bound = low + limit - 1 if entry_filter.is_of_positions() else _BEYOND
    conditions, parameters = entry_filter.conditions(5)
    statement = (
        "SELECT entry, leaf_hash FROM log_entries WHERE tenant = $1 AND position > $2 AND position <= $3"
        + conditions
        + " ORDER BY position LIMIT $4"
    )
    return statement, [tenant, after, bound, limit, *parameters]


async def forward(
    connection: Connected, tenant: int, entry_filter: EntryFilter = EVERYTHING, *, after: int = -1, limit: int
) -> list[StoredEntry]:
    """Up to `limit` entries with a position greater than `after`, oldest first."""
    statement, parameters = forward_statement(tenant, entry_filter, after=after, limit=limit)
    return _stored(await connection.fetch(statement, *parameters))


async def forward_text(
    connection: Connected, tenant: int, entry_filter: EntryFilter = EVERYTHING, *, after: int = -1, limit: int
) -> list[StoredText]:
    """What `forward` gives, of entries whose data nobody has looked into."""
    statement, parameters = forward_statement(tenant, entry_filter, after=after, limit=limit)
    return [StoredText(read_text(row[0]), row[0], row[1]) for row in await connection.fetch(statement, *parameters)]


def backward_statement(
    tenant: int, entry_filter: EntryFilter, *, before: int | None, limit: int
) -> tuple[str, list[Any]]:
    """The statement of `backward`, and its parameters."""
    conditions, parameters = entry_filter.conditions(4)
    statement = (
        "SELECT entry, leaf_hash FROM log_entries WHERE tenant = $1 AND position < $2"
        + conditions
        + " ORDER BY position DESC LIMIT $3"
    )
    return statement, [tenant, _BEYOND if before is None else before, limit, *parameters]


async def raw_forward(
    connection: Connected, tenant: int, *, after: int, up_to: int = _BEYOND, limit: int
) -> list[tuple[int, bytes]]:
    """(position, bytes) of up to `limit` entries after one position and up to another: for who reads very many, or must not
    fail at one that cannot be read."""
    rows = await connection.fetch(
        "SELECT position, entry FROM log_entries WHERE tenant = $1 AND position > $2 AND position <= $3"
        " ORDER BY position LIMIT $4",
        tenant,
        after,
        up_to,
        limit,
    )
    return [(row[0], row[1]) for row in rows]


async def forward_indexed(connection: Connected, tenant: int, *, after: int, limit: int) -> list[IndexedEntry]:
    """The `limit` entries that follow position `after`, or as many as there are, oldest first, each with its columns."""
    rows = await connection.fetch(
        "SELECT entry, leaf_hash, channel, purpose, topic, value, source FROM log_entries"
        " WHERE tenant = $1 AND position > $2 AND position <= $3 ORDER BY position",
        tenant,
        after,
        after + limit,
    )
    return [IndexedEntry(stored(row[0], row[1]), *row[2:]) for row in rows]


async def sizes(connection: Connected, tenants: Sequence[int]) -> dict[int, int]:
    """How many entries each tenant's log has; one statement for any number of them."""
    rows = await connection.fetch("SELECT tenant, size FROM log_heads WHERE tenant = ANY($1::int[])", list(tenants))
    return {row[0]: row[1] for row in rows}


async def backward(
    connection: Connected, tenant: int, entry_filter: EntryFilter = EVERYTHING, *, before: int | None, limit: int
) -> list[StoredEntry]:
    """Up to `limit` entries with a position less than `before` (None: from the end), newest first."""
    statement, parameters = backward_statement(tenant, entry_filter, before=before, limit=limit)
    return _stored(await connection.fetch(statement, *parameters))


async def count(connection: Connected, tenant: int, entry_filter: EntryFilter = EVERYTHING) -> int:
    """How many entries pass the filter."""
    if entry_filter.is_empty():
        return (await head(connection, tenant)).size
    conditions, parameters = entry_filter.conditions(2)
    number: int = await connection.fetchval(
        "SELECT count(*) FROM log_entries WHERE tenant = $1" + conditions, tenant, *parameters
    )
    return number


async def at_positions(connection: Connected, tenant: int, positions: Sequence[int]) -> dict[int, StoredEntry]:
    """The entries at these positions, by position; those beyond the log are left out."""
    rows = await connection.fetch(
        "SELECT entry, leaf_hash FROM log_entries WHERE tenant = $1 AND position = ANY($2::bigint[])",
        tenant,
        positions,
    )
    return {found.position: found for found in _stored(rows)}


async def streams(
    connection: Connected, tenant: int, stream_ids: Sequence[UUID], *, to_position: int | None = None
) -> dict[UUID, list[StoredEntry]]:
    """Whole streams, oldest event first; one statement for any number of them."""
    rows = await connection.fetch(
        "SELECT found.entry, found.leaf_hash FROM unnest($2::uuid[]) AS asked (stream)"
        " CROSS JOIN LATERAL (SELECT e.position, e.entry, e.leaf_hash FROM log_entries e"
        "  WHERE e.tenant = $1 AND e.stream = asked.stream AND e.position <= $3"
        "  ORDER BY e.position OFFSET 0) AS found"
        " ORDER BY found.position",
        tenant,
        stream_ids,
        _BEYOND if to_position is None else to_position,
    )
    result: dict[UUID, list[StoredEntry]] = {stream: [] for stream in stream_ids}
    for found in _stored(rows):
        result[found.entry.stream].append(found)
    return result


async def pages_of_streams(
    connection: Connected,
    tenant: int,
    stream_ids: Sequence[UUID],
    entry_filter: EntryFilter,
    *,
    limit: int,
    backward: bool,
) -> dict[UUID, list[StoredEntry]]:
    """Up to `limit` entries of each stream that pass the filter, oldest first (or newest); one statement for all."""
    conditions, parameters = entry_filter.conditions(4)
    order = "DESC" if backward else "ASC"
    rows = await connection.fetch(
        "SELECT found.entry, found.leaf_hash FROM unnest($2::uuid[]) AS asked (asked_stream)"
        " CROSS JOIN LATERAL (SELECT position, entry, leaf_hash FROM log_entries"
        "  WHERE tenant = $1 AND stream = asked_stream"
        + conditions
        + f" ORDER BY position {order} LIMIT $3) AS found ORDER BY found.position {order}",
        tenant,
        stream_ids,
        limit,
        *parameters,
    )
    result: dict[UUID, list[StoredEntry]] = {stream: [] for stream in stream_ids}
    for found in _stored(rows):
        result[found.entry.stream].append(found)
    return result


async def counts_of_streams(
    connection: Connected, tenant: int, stream_ids: Sequence[UUID], entry_filter: EntryFilter
) -> dict[UUID, int]:
    """How many entries of each stream pass the filter; streams without any are left out."""
    conditions, parameters = entry_filter.conditions(3)
    rows = await connection.fetch(
        "SELECT stream, count(*) FROM log_entries WHERE tenant = $1 AND stream = ANY($2::uuid[])"
        + conditions
        + " GROUP BY stream",
        tenant,
        stream_ids,
        *parameters,
    )
    return {row[0]: row[1] for row in rows}
