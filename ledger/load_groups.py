"""The rows of a load brought together by address, in constant memory: sorted on disk, in a file that has no name.

SQLite keeps a private temporary database, removed from its folder as soon as it is open and gone with the process. Rows are
found together by the tenant's keyed blind index; the address itself is sealed with a key that only this process's memory
holds, so that what is left on the disk's blocks names nobody. The folder is that of SQLITE_TMPDIR or TMPDIR, else /var/tmp.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.time import EPOCH
from ledger.import_rows import LoadedRow

# An address with more rows than this is recorded by several events, all of them with the value of all of its rows.
GROUP_ROWS_MAX = 64
_FETCHED_ROWS = 2_000
_CACHE_KIB = 8_192
_DIGEST_BYTES = 32
_NONCE_BYTES = 12
_MICROSECOND = timedelta(microseconds=1)
# Whether rows allow, so that the least of them is what they say together.
_LEVELS: tuple[bool | None, ...] = (False, None, True)
_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
PRAGMA cache_size = -{cache};
CREATE TABLE load_row (
    key BLOB, line INTEGER, a INTEGER, b INTEGER, c INTEGER, modified INTEGER, latest INTEGER,
    whole INTEGER, unread INTEGER, sealed BLOB
);
"""
_INSERT = "INSERT INTO load_row VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
# What all rows of each address say together.
_TOGETHER = (
    "SELECT key, min(a), min(b), min(c), max(modified), max(whole), max(latest) FROM load_row GROUP BY key ORDER BY key"
)
# The rows that count, in the same order.
_ROWS = "SELECT key, line, sealed, unread FROM load_row WHERE sealed IS NOT NULL ORDER BY key, line"


@dataclass(frozen=True, slots=True)
class AddressGroup:
    """What the rows of one address say together, and some or all of those rows: the line of each, and which of the digests.

    Of each column whether all rows allow it; None where none forbids it, but not all can be read. `whole` is whether there is
    a row of which all can be read. `unread` has, by its line, the columns of a row that cannot.
    """

    address: str = field(repr=False)
    allows: tuple[bool | None, ...]
    whole: bool
    modified_on: datetime
    modified_latest: datetime
    lines: tuple[int, ...]
    keys: tuple[int, ...]
    digests: tuple[bytes, ...]
    unread: Mapping[int, tuple[int, ...]]


class LoadGroups:
    """Takes rows, gives groups. To be closed; its file goes with it."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        # Used by one call at a time, from whatever thread.
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._database.executescript(_SCHEMA.format(cache=_CACHE_KIB))
        self._cipher = AESGCM(AESGCM.generate_key(256))

    def __enter__(self) -> "LoadGroups":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    async def add(self, rows: Sequence[tuple[bytes, int, LoadedRow]]) -> None:
        """Take (blind index, line, row) of each."""
        if rows:
            await asyncio.to_thread(self._insert, rows)

    def _insert(self, rows: Sequence[tuple[bytes, int, LoadedRow]]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(_INSERT, (self._stored(*row) for row in rows))
        self._database.execute("COMMIT")

    def _stored(self, key: bytes, line: int, row: LoadedRow) -> tuple[Any, ...]:
        allows = [*(_LEVELS.index(allowed) for allowed in row.allows), None, None][:3]
        modified = None if row.modified_on is None else (row.modified_on - EPOCH) // _MICROSECOND
        latest = modified if row.modified_latest is None else (row.modified_latest - EPOCH) // _MICROSECOND
        if not row.counts:
            return key, line, *allows, modified, latest, 0, None, None
        # A bit for each column.
        unread = sum(1 << column for column, allowed in enumerate(row.allows) if allowed is None)
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, row.digest + row.address.encode(), key)
        return key, line, *allows, modified, latest, not unread, unread, sealed

    async def groups(self) -> AsyncIterator[AddressGroup]:
        """Each address with a row that counts, at least once; an address of many rows in parts."""
        together, rows = _Fetched(self._database, _TOGETHER), _Fetched(self._database, _ROWS)
        of_key: tuple[Any, ...] | None = None
        part: list[tuple[Any, ...]] = []
        while (row := await rows.next()) is not None:
            if part and (row[0] != part[0][0] or len(part) == GROUP_ROWS_MAX):
                if of_key is not None:
                    yield self._group(of_key, part)
                part = []
            while of_key is None or of_key[0] != row[0]:
                of_key = await together.next()
                if of_key is None:
                    raise LookupError("a row without its address's group")
            part.append(row)
        if part and of_key is not None:
            yield self._group(of_key, part)

    def _group(self, together: tuple[Any, ...], rows: Sequence[tuple[Any, ...]]) -> AddressGroup:
        opened = [self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], key) for key, _, sealed, _ in rows]
        # A row that is there twice, all its columns the same, is one.
        places: dict[bytes, int] = {}
        keys = tuple(places.setdefault(each[:_DIGEST_BYTES], len(places)) for each in opened)
        return AddressGroup(
            address=opened[0][_DIGEST_BYTES:].decode(),
            allows=tuple(_LEVELS[int(level)] for level in together[1 : 1 + self._columns]),
            whole=bool(together[5]),
            modified_on=EPOCH.astimezone(UTC) + together[4] * _MICROSECOND,
            modified_latest=EPOCH.astimezone(UTC) + together[6] * _MICROSECOND,
            lines=tuple(line for _, line, _, _ in rows),
            keys=keys,
            digests=tuple(places),
            unread={
                line: tuple(column for column in range(self._columns) if unread >> column & 1)
                for _, line, _, unread in rows
                if unread
            },
        )


class _Fetched:
    """The rows of a statement, some at a time, off the event loop: the first of them waits for the whole sorting."""

    def __init__(self, database: sqlite3.Connection, sql: str) -> None:
        self._database = database
        self._sql = sql
        self._cursor: sqlite3.Cursor | None = None
        self._rows: list[tuple[Any, ...]] = []

    async def next(self) -> tuple[Any, ...] | None:
        if not self._rows:
            self._rows = (await asyncio.to_thread(self._fetch))[::-1]
        return self._rows.pop() if self._rows else None

    def _fetch(self) -> list[tuple[Any, ...]]:
        if self._cursor is None:
            self._cursor = self._database.execute(self._sql)
        return self._cursor.fetchmany(_FETCHED_ROWS)
