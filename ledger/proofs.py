"""Proofs for a stranger: that an event is in the log, that the log only grew, and how many events a stream has."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.refusals import Refusal, RefusalCode
from domain.time import format_instant
from eventstore import read, tree
from eventstore.read import StoredEntry
from ledger.assembly import Tenant
from ledger.checkpoints import SignedCheckpoint, check_size, checkpoint
from ledger.signing import sign_statement
from tlog.checkpoint import Checkpoint
from tlog.hashing import EMPTY_ROOT
from tlog.note import SigningKey, encode_base64
from tlog.proof_text import ProofText

STREAM_STATEMENT = "consentry/stream-statement@v1"


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That an event is in the log which a checkpoint commits to."""

    event: StoredEntry
    hashes: tuple[bytes, ...]
    checkpoint: SignedCheckpoint

    @property
    def text(self) -> str:
        """The same as C2SP tlog-proof."""
        return ProofText(self.event.position, self.hashes, self.checkpoint.note).text()


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """That the log of one size only added to the log of a smaller one."""

    first: int
    second: int
    first_root: bytes
    second_root: bytes
    hashes: tuple[bytes, ...]


async def inclusion_proof(
    tenant: Tenant, position: int, event_id: UUID, tree_size: int | None = None
) -> InclusionProof:
    """The proof of an event for the checkpoint of `tree_size`, by default the present one.

    Raises Refusal NOT_FOUND where there is no such event, INVALID where the size is none or the event came after it, and
    what `checkpoint` raises.
    """
    async with tenant.ledger.connection() as connection:
        event = (await read.at_positions(connection, tenant.id, [position])).get(position)
    if event is None or event.entry.event_id != event_id:
        raise Refusal(RefusalCode.NOT_FOUND, "there is no event with this id", ("eventId",))
    signed = await checkpoint(tenant, tree_size)
    size = signed.checkpoint.size
    if position >= size:
        raise Refusal(
            RefusalCode.INVALID,
            f"the event came later, at position {position}: treeSize must be greater",
            ("treeSize",),
        )
    async with tenant.ledger.connection() as connection:
        proofs = await tree.inclusion_proofs(connection, tenant.id, [position], size)
    return InclusionProof(event, tuple(proofs[position]), signed)


async def consistency_proof(tenant: Tenant, first: int, second: int | None = None) -> ConsistencyProof:
    """The proof between two sizes, the second by default the present one; from 0 there is nothing to prove.

    Raises Refusal INVALID for sizes that the log never had, or in the wrong order.
    """
    async with tenant.ledger.connection() as connection:
        head = await read.head(connection, tenant.id)
        to = head.size if second is None else check_size(second, head.size, field="to")
        if first > to:
            raise Refusal(RefusalCode.INVALID, f"from must not be greater than to, which is {to}", ("from",))
        to_root = await tree.root_at(connection, tenant.id, to)
        if first == 0:
            return ConsistencyProof(0, to, EMPTY_ROOT, to_root, ())
        hashes = await tree.consistency_proof(connection, tenant.id, first, to)
        return ConsistencyProof(first, to, await tree.root_at(connection, tenant.id, first), to_root, tuple(hashes))


def stream_statement(key: SigningKey, stream: UUID, events: int, tree: Checkpoint, stated_at: datetime) -> str:
    """Signed: this stream has that many events in the log of this size. Each entry holds its number in its stream, so an
    entry beyond them, proven to be in that log, would prove the statement a lie."""
    return sign_statement(
        key,
        STREAM_STATEMENT,
        {
            "events": events,
            "root": encode_base64(tree.root),
            "size": tree.size,
            "statedAt": format_instant(stated_at),
            "stream": str(stream),
        },
    )
