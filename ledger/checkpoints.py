"""Signed checkpoints of a tenant's log: one root for each size, for ever.

    committed head -> what was signed last still stands? -> remembered in the key's file -> signed -> stored, and given out

Signing is deterministic and a checkpoint holds no time, so a crash at any point is mended by asking again. Two roots for one
size cannot be signed: the row of that size is unique among all processes, and the key's file remembers, outside of the
database, the largest tree signed. Every further root, of a larger or a smaller size, is proven consistent with that one
from the stored hashes before it is signed, by the code that a stranger would check it with; so is what a receipt names.
"""

import logging
from dataclasses import dataclass
from datetime import datetime

from domain.refusals import Refusal, RefusalCode
from eventstore import read, tree
from eventstore.personal.vault import Connected
from eventstore.tree import TreeIncomplete
from ledger.assembly import Tenant
from ledger.signing import verifier_keys
from tlog.checkpoint import Checkpoint
from tlog.note import VerifierKey, signed
from tlog.verify import MalformedProof, RootMismatch, verify_consistency

_log = logging.getLogger("consentry.ledger.checkpoints")


class LogRewritten(Exception):
    """The database no longer holds what was signed before: it was rolled back or changed. Nothing is signed any more."""


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint, and the note that states it, with the cosignatures of witnesses so far."""

    checkpoint: Checkpoint
    note: str
    signed_at: datetime
    verifier_key: str


async def checkpoint(tenant: Tenant, size: int | None = None) -> SignedCheckpoint:
    """The signed checkpoint of a size that the log has, or once had; by default the present one.

    Raises Refusal INVALID for a size that the log never had, LogRewritten, SigningKeyUnusable, StoreUnavailable.
    """
    keys = await verifier_keys(tenant)
    async with tenant.ledger.connection() as connection:
        head = await read.head(connection, tenant.id)
        wanted = head.size if size is None else check_size(size, head.size)
        stored = await _stored(connection, tenant, wanted)
    return stored or await _sign(tenant, keys, wanted)


def check_size(size: int, log_size: int, *, field: str = "treeSize") -> int:
    """A size that the log has, or once had. Raises Refusal INVALID."""
    if not 1 <= size <= log_size:
        raise Refusal(RefusalCode.INVALID, f"{field} is from 1 to {log_size}, the log's size now", (field,))
    return size


async def latest_cosigned_size(tenant: Tenant, verifier_key: str) -> int:
    """The largest size that a witness cosigned, or 0."""
    async with tenant.ledger.connection() as connection:
        return await connection.fetchval(
            "SELECT coalesce(max(size), 0) FROM cosignatures WHERE tenant = $1 AND verifier_key = $2",
            tenant.id,
            verifier_key,
        )


async def keep_cosignature(tenant: Tenant, size: int, verifier_key: str, line: str) -> None:
    """Keep what a witness answered: its signature line for the checkpoint of this size."""
    async with tenant.ledger.connection() as connection:
        await connection.execute(
            "INSERT INTO cosignatures (tenant, size, verifier_key, line, received_at) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT DO NOTHING",
            tenant.id,
            size,
            verifier_key,
            line,
            tenant.ledger.clock(),
        )


async def _stored(connection: Connected, tenant: Tenant, size: int) -> SignedCheckpoint | None:
    row = await connection.fetchrow(
        "SELECT c.root, c.note, c.signed_at, c.verifier_key,"
        " ARRAY(SELECT w.line FROM cosignatures w WHERE w.tenant = c.tenant AND w.size = c.size ORDER BY w.verifier_key)"
        " FROM checkpoints c WHERE c.tenant = $1 AND c.size = $2",
        tenant.id,
        size,
    )
    if row is None:
        return None
    note = row[1] + "".join(f"{line}\n" for line in row[4])
    origin = VerifierKey.parse(row[3]).name
    return SignedCheckpoint(Checkpoint(origin, size, row[0]), note, row[2], row[3])


async def attested_root(tenant: Tenant, size: int) -> bytes:
    """The root of a size that may be signed: consistent with whatever was signed before, and remembered from here on.

    Raises LogRewritten, SigningKeyUnusable, StoreUnavailable.
    """
    keys = await verifier_keys(tenant)
    async with tenant.signing_keys.locked(), tenant.ledger.connection() as connection:
        return await _attest(connection, tenant, keys[-1], size)


async def _attest(connection: Connected, tenant: Tenant, verifier: VerifierKey, size: int) -> bytes:
    """The same, for who holds the lock."""
    head = await read.head(connection, tenant.id)
    last = tenant.signing_keys.largest_signed(verifier.name)
    if last is not None and last.size > head.size:
        raise _rewritten(
            f"a tree of size {last.size} was signed before, and the log has {head.size} entries: it was rolled back"
        )
    try:
        root = await tree.root_at(connection, tenant.id, size)
        if size == head.size and root != head.root:
            raise _rewritten(f"the stored tree does not lead to the root of the log's head of size {size}")
        if last is None:
            tenant.signing_keys.remember_signed(verifier, Checkpoint(verifier.name, size, root))
            return root
        small, large = sorted((Checkpoint(verifier.name, size, root), last), key=lambda one: one.size)
        proof = await tree.consistency_proof(connection, tenant.id, small.size, large.size)
        verify_consistency(small.size, large.size, proof, small.root, large.root)
    except (MalformedProof, RootMismatch, TreeIncomplete) as error:
        raise _rewritten(
            f"the log of size {size} is not consistent with what was signed before: it was rewritten"
        ) from error
    if size > last.size:
        # Remembered, durably: from here on no other history can be signed, whatever becomes of the database.
        tenant.signing_keys.remember_signed(verifier, Checkpoint(verifier.name, size, root))
    return root


def _rewritten(sentence: str) -> LogRewritten:
    # Clients are told no more than that something is wrong here; who runs this must read what.
    _log.error("nothing is signed any more", extra={"fields": {"why": sentence}})
    return LogRewritten(sentence)


async def _sign(tenant: Tenant, keys: list[VerifierKey], size: int) -> SignedCheckpoint:
    verifier = keys[-1]
    key = tenant.signing_keys.load(verifier)
    async with tenant.signing_keys.locked(), tenant.ledger.connection() as connection:
        # Under the lock everything is read anew: another process may have signed, and the log may have grown.
        stored = await _stored(connection, tenant, size)
        if stored is not None:
            return stored
        root = await _attest(connection, tenant, verifier, size)
        text = Checkpoint(verifier.name, size, root).text()
        await connection.execute(
            "INSERT INTO checkpoints (tenant, size, root, signed_at, note, verifier_key) VALUES ($1, $2, $3, $4, $5, $6)"
            " ON CONFLICT DO NOTHING",
            tenant.id,
            size,
            root,
            tenant.ledger.clock(),
            signed(text, key.sign(text)),
            verifier.text(),
        )
        stored = await _stored(connection, tenant, size)
    if stored is None or stored.checkpoint.root != root:
        raise _rewritten(f"another root was signed for size {size}")
    return stored
