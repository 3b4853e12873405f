"""Proofs for auditors: checkpoints, that an event is in the log, that the log only grew, evidence bundles."""

from datetime import datetime
from typing import Annotated

import strawberry

from domain.refusals import Refusal, RefusalCode
from ledger import proofs
from ledger.checkpoints import SignedCheckpoint, checkpoint
from ledger.evidence import evidence_by_address
from schema.context import Info
from schema.enums import Channel
from schema.history import ConsentEvent, shown_event
from schema.inputs import LEFT_OUT, given
from schema.node_ids import NodeKind, read_node_id, ref
from schema.scalars import JSON, Bytes, Long

SCOPE = "audit"


@strawberry.type(description="A signed tree head of the log.")
class Checkpoint:
    origin: str = strawberry.field(description="The log's name, for ever.")
    tree_size: Long
    root_hash: Bytes
    signed_at: datetime
    note: str = strawberry.field(description="The signed note, C2SP tlog-checkpoint.")
    verifier_key: str = strawberry.field(description="To check it with.")


@strawberry.type(description="That an event is in the log which the checkpoint commits to.")
class InclusionProof:
    event: ConsentEvent
    leaf_index: Long
    leaf_hash: Bytes
    hashes: list[Bytes] = strawberry.field(
        description="The audit path of RFC 6962 section 2.1.1, from the leaf upwards."
    )
    checkpoint: Checkpoint
    text: str = strawberry.field(description="C2SP tlog-proof.")


@strawberry.type(description="That the log of size `to` only added to the log of size `from`.")
class ConsistencyProof:
    from_: Long = strawberry.field(name="from")
    to: Long
    from_root: Bytes
    to_root: Bytes
    hashes: list[Bytes] = strawberry.field(description="As in RFC 6962 section 2.1.2; none from size 0.")


@strawberry.type(description="Everything needed to prove, offline, what happened to one contact point.")
class EvidenceBundle:
    json: JSON = strawberry.field(description="What `consentry verify` reads; see docs/evidence-bundle.schema.json.")
    event_count: int
    checkpoint: Checkpoint


@strawberry.type
class ProofQuery:
    @strawberry.field(description="The log's present signed tree head.")
    async def checkpoint(self, info: Info) -> Checkpoint:
        info.context.require(SCOPE)
        return _shown(await checkpoint(info.context.tenant))

    @strawberry.field(
        description="That the event is in the log which the checkpoint of `treeSize` (default: the present one) commits to."
    )
    async def inclusion_proof(
        self, info: Info, event_id: strawberry.ID, tree_size: Long | None = LEFT_OUT
    ) -> InclusionProof:
        context = info.context
        context.require(SCOPE)
        name = read_node_id(context.tenant.id, event_id)
        place = name.event() if name is not None and name.kind is NodeKind.EVENT else None
        if place is None:
            raise Refusal(RefusalCode.NOT_FOUND, "there is no event with this id", ("eventId",))
        proof = await proofs.inclusion_proof(context.tenant, *place, given(tree_size))
        return InclusionProof(
            event=shown_event(context, proof.event),
            leaf_index=Long(proof.event.position),
            leaf_hash=Bytes(proof.event.leaf_hash),
            hashes=[Bytes(node) for node in proof.hashes],
            checkpoint=_shown(proof.checkpoint),
            text=proof.text,
        )

    @strawberry.field(description="That the log of size `to` only added to the log of size `from`.")
    async def consistency_proof(
        self, info: Info, from_: Annotated[Long, strawberry.argument(name="from")], to: Long | None = LEFT_OUT
    ) -> ConsistencyProof:
        info.context.require(SCOPE)
        proof = await proofs.consistency_proof(info.context.tenant, from_, given(to))
        return ConsistencyProof(
            from_=Long(proof.first),
            to=Long(proof.second),
            from_root=Bytes(proof.first_root),
            to_root=Bytes(proof.second_root),
            hashes=[Bytes(node) for node in proof.hashes],
        )

    @strawberry.field(
        description="Everything needed to prove, offline, what happened to one contact point: see `consentry verify`. What is "
        "personal is opened only with the scope read:personal besides."
    )
    async def evidence(
        self,
        info: Info,
        address: str,
        channel: Channel = Channel.EMAIL,
        purpose: str | None = LEFT_OUT,
        topic: str | None = LEFT_OUT,
    ) -> EvidenceBundle:
        context = info.context
        context.require(SCOPE)
        purpose_ref, topic_ref = given(purpose), given(topic)
        bundle = await evidence_by_address(
            context.tenant,
            channel,
            address,
            purpose=None if purpose_ref is None else ref(context.tenant.id, NodeKind.PURPOSE, purpose_ref),
            topic=None if topic_ref is None else ref(context.tenant.id, NodeKind.TOPIC, topic_ref),
            with_openings=context.may("read:personal"),
        )
        return EvidenceBundle(
            json=JSON(bundle.json), event_count=bundle.event_count, checkpoint=_shown(bundle.checkpoint)
        )


def _shown(signed: SignedCheckpoint) -> Checkpoint:
    return Checkpoint(
        origin=signed.checkpoint.origin,
        tree_size=Long(signed.checkpoint.size),
        root_hash=Bytes(signed.checkpoint.root),
        signed_at=signed.signed_at,
        note=signed.note,
        verifier_key=signed.verifier_key,
    )
