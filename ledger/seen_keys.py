"""What an import has met so far, in constant memory: keys on disk, in a file that has no name and holds nothing but digests.

The digests are keyed with what only this process's memory holds.
"""

import hashlib
import os
import sqlite3
from collections.abc import Sequence
from types import TracebackType

from eventstore.command import Records

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -8192;
CREATE TABLE seen (key BLOB PRIMARY KEY, digest BLOB, position INTEGER, events INTEGER) WITHOUT ROWID;
"""
_INSERT = "INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?)"
_DIGEST_BYTES = 16


class SeenKeys:
    """Keys met so far, with what they stood for. To be closed; its file goes with it."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_SCHEMA)
        self._secret = os.urandom(32)

    def __enter__(self) -> "SeenKeys":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def is_new(self, key: bytes) -> bool:
        """Whether a key is met for the first time."""
        return self._database.execute(_INSERT, (self._keyed(key), b"", 0, 0)).rowcount == 1

    def among(self, key_hashes: Sequence[bytes]) -> Records:
        """What was kept of these keys."""
        found: Records = {}
        for key in key_hashes:
            row = self._database.execute(
                "SELECT digest, position, events FROM seen WHERE key = ?", (self._keyed(key),)
            ).fetchone()
            if row is not None:
                found[key] = row
        return found

    def keep(self, records: Records) -> None:
        """Keep what keys stand for."""
        self._database.execute("BEGIN")
        self._database.executemany(_INSERT, ((self._keyed(key), *record) for key, record in records.items()))
        self._database.execute("COMMIT")

    def _keyed(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, key=self._secret, digest_size=_DIGEST_BYTES).digest()
