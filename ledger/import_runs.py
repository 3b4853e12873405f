"""Imports under an idempotency key: the same file under the same key goes on where it was cut off, and is told as one.

What is recorded is recorded by its rows, key or not. Under the key each new one is marked as this import's own (`run_marks`), and
keyed digests of the file are kept: another file under the same key is refused from its beginning, where that differs
already, or at its end.
"""

import hashlib
import hmac
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import asdict

from domain.refusals import Refusal, RefusalCode
from eventstore import read
from eventstore.idempotency import IdempotencyKey
from ledger.assembly import Caller, Tenant
from ledger.idempotency import stored_key
from ledger.import_formats import Target
from ledger.run_marks import RunMarks

HEAD_BYTES = 64 * 1024

# `since` is what a release of before, which may still run beside this one, takes a run's own rows by.
_BEGIN = """
INSERT INTO import_runs (tenant, key_hash, command_digest, since) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, key_hash) DO NOTHING
"""
_FIND_HEAD = "SELECT head_digest FROM import_runs WHERE tenant = $1 AND key_hash = $2"
_FIND = "SELECT command_digest FROM import_runs WHERE tenant = $1 AND key_hash = $2"
# The first to say what the file is, says it; both answer what stands there now.
_NOTE_HEAD = """
UPDATE import_runs SET head_digest = coalesce(head_digest, $3) WHERE tenant = $1 AND key_hash = $2 RETURNING head_digest
"""
_NOTE_BODY = """
UPDATE import_runs SET body_digest = coalesce(body_digest, $3) WHERE tenant = $1 AND key_hash = $2 RETURNING body_digest
"""


class ImportRun:
    """One run of an import under a key."""

    def __init__(self, tenant: Tenant, key: IdempotencyKey) -> None:
        self._tenant = tenant
        self._key = key
        self.marks = RunMarks(tenant, key.key_hash)
        self._head = b""
        self._body = hmac.new(tenant.keys.idempotency, b"import-file\0", hashlib.sha256)

    async def checked(self, pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """The pieces of the file, none of them given where its beginning is not that of the file of before.

        Raises Refusal IDEMPOTENCY_CONFLICT, StoreUnavailable.
        """
        held = b""
        begun = False
        async for piece in pieces:
            self._body.update(piece)
            if begun:
                yield piece
                continue
            held += piece
            if len(held) >= HEAD_BYTES:
                await self._check_head(held)
                yield held
                held = b""
                # It is a file that can be read: from now on the key stands for it.
                await self._note(_NOTE_HEAD, self._head, "the beginning of it is recorded, but")
                begun = True
        if not begun:
            await self._check_head(held)
            yield held

    async def finish(self) -> None:
        """Note that the whole file came in. Raises Refusal IDEMPOTENCY_CONFLICT, StoreUnavailable."""
        await self._note(_NOTE_HEAD, self._head, "it is recorded, but")
        await self._note(_NOTE_BODY, self._body.digest(), "it is recorded, but")

    async def _check_head(self, held: bytes) -> None:
        head = b"import-head\0" + held[:HEAD_BYTES]
        self._head = hmac.digest(self._tenant.keys.idempotency, head, hashlib.sha256)
        async with self._tenant.ledger.connection() as connection:
            noted = await connection.fetchval(_FIND_HEAD, self._tenant.id, self._key.key_hash)
        if noted is not None and noted != self._head:
            raise _another_file("nothing of it is recorded:")

    async def _note(self, statement: str, digest: bytes, recorded: str) -> None:
        async with self._tenant.ledger.connection() as connection:
            noted = await connection.fetchval(statement, self._tenant.id, self._key.key_hash, digest)
        if noted != digest:
            raise _another_file(recorded)


async def begin_run(tenant: Tenant, caller: Caller, key: str | None, format: str, target: Target) -> ImportRun | None:
    """The run under a key, begun now or before; None without a key. Raises Refusal, StoreUnavailable."""
    stored = stored_key(tenant, caller.application, key, "import", {"format": format, **asdict(target)})
    if stored is None:
        return None
    async with tenant.ledger.connection() as connection:
        size = (await read.head(connection, tenant.id)).size
        await connection.execute(_BEGIN, tenant.id, stored.key_hash, stored.command_digest, size)
        found = await connection.fetchval(_FIND, tenant.id, stored.key_hash)
    if found is None:
        raise LookupError("a run that was begun is not there")
    if found != stored.command_digest:
        raise _conflict("the key stood for an import of another format, or into another place")
    return ImportRun(tenant, stored)


def _another_file(recorded: str) -> Refusal:
    return _conflict(f"{recorded} the key stood for another file; a new file needs a new key")


def _conflict(message: str) -> Refusal:
    return Refusal(RefusalCode.IDEMPOTENCY_CONFLICT, message, ("idempotencyKey",))
