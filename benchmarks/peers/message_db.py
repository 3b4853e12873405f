"""message-db: its SQL as it comes in its npm package, written to through a driver, one call of `write_message` an event.

A contact point is a stream of one category, as its user guide has entities, and a new stream's first message expects none
before it.
"""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

import asyncpg

from benchmarks.peers.npm_packages import NPM

DATABASE = "message_store"
_SQL = NPM / "node_modules" / "@eventide" / "message-db" / "database"
# In the order of its install.sh. Not its extension pgcrypto, which it needs for gen_random_uuid(): PostgreSQL has that itself.
_FILES = (
    "schema/message-store",
    "tables/messages",
    "types/message",
    *(f"functions/{name}" for name in ("hash-64", "acquire-lock", "category", "is-category", "id", "cardinal-id")),
    *(f"functions/{name}" for name in ("stream-version", "write-message")),
    *(f"indexes/{name}" for name in ("messages-id", "messages-stream", "messages-category")),
)
_WRITE = "SELECT write_message($1, $2, $3, $4, $5, $6)"


def installed() -> bool:
    """Whether its package is there."""
    return _SQL.is_dir()


class MessageDb:
    """Its database, made anew on a server, and connections to it."""

    def __init__(self, connections: list[asyncpg.Connection]) -> None:
        self._connections = connections

    @staticmethod
    async def install(owner: Mapping[str, Any], callers: int) -> "MessageDb":
        """Make the database on the server that `owner` connects to, and a connection for each caller."""
        connection = await asyncpg.connect(**owner)
        try:
            await connection.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
            await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()
        settings = {"search_path": "message_store,public", "client_min_messages": "warning"}
        there = {**owner, "database": DATABASE, "server_settings": settings}
        connections = [await asyncpg.connect(**there) for _ in range(callers)]
        for name in _FILES:
            await connections[0].execute((_SQL / f"{name}.sql").read_text(encoding="utf-8"))
        return MessageDb(connections)

    async def rate(self, seconds: float) -> float:
        """Events a second, each the first of a new contact point."""
        until = time.perf_counter() + seconds
        data = json.dumps({"purpose": "commercial", "value": "OPTED_OUT", "source": "API", "effectiveAt": "2026-01-01"})
        metadata = json.dumps({"application": "bench", "actor": "SYSTEM"})

        async def one(connection: asyncpg.Connection) -> int:
            count = 0
            write = await connection.prepare(_WRITE)
            while time.perf_counter() < until:
                stream = f"contactPoint-{uuid.uuid4()}"
                await write.fetchval(str(uuid.uuid4()), stream, "ConsentCaptured", data, metadata, -1)
                count += 1
            return count

        started = time.perf_counter()
        done = await asyncio.gather(*(one(connection) for connection in self._connections))
        return sum(done) / (time.perf_counter() - started)

    async def close(self) -> None:
        """Give the connections back."""
        for connection in self._connections:
            await connection.close()
