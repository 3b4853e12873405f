"""The evidence bundle: everything that proves, offline, what happened to one contact point (formats in docs/proofs.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.addresses import Channel
from domain.events import EventType
from domain.refusals import Refusal, RefusalCode
from eventstore import read, tree
from eventstore.personal import vault
from eventstore.personal.vault import Opening
from eventstore.read import StoredEntry
from ledger import history
from ledger.assembly import Tenant
from ledger.checkpoints import SignedCheckpoint, checkpoint
from ledger.proofs import stream_statement
from ledger.signing import signing_key, verifier_keys
from projections.catalogue import CATALOGUE_STREAM
from projections.contact_points import ContactPoint
from tlog.note import decode_base64, encode_base64

FORMAT = "consentry-evidence"
VERSION = 1


@dataclass(frozen=True, slots=True)
class EvidenceBundle:
    """A bundle as JSON, how many events of the contact point it holds, and the checkpoint that it leads to."""

    json: dict[str, Any]
    event_count: int
    checkpoint: SignedCheckpoint


async def evidence_by_address(
    tenant: Tenant,
    channel: Channel,
    address: str,
    *,
    purpose: str | None = None,
    topic: str | None = None,
    with_openings: bool,
) -> EvidenceBundle:
    """The bundle of the contact point with this address.

    Raises Refusal INVALID_ADDRESS, NOT_FOUND (nothing was recorded there, or it is erased; purpose, topic), and what
    `checkpoint` raises.
    """
    held = await history.find_contact_point(tenant, channel, address)
    if held is None:
        raise Refusal(
            RefusalCode.NOT_FOUND,
            "nothing is recorded for this address; what was erased can be asked for by its id only",
            ("address",),
        )
    return await evidence(tenant, held, purpose=purpose, topic=topic, with_openings=with_openings)


async def evidence_by_id(tenant: Tenant, contact_point: UUID, *, with_openings: bool) -> EvidenceBundle:
    """The bundle of the contact point with this id, erased or not. Raises Refusal NOT_FOUND."""
    held = (await history.contact_points_by_id(tenant, [contact_point])).get(contact_point)
    if held is None:
        raise Refusal(RefusalCode.NOT_FOUND, "there is no contact point with this id", ("id",))
    return await evidence(tenant, held, with_openings=with_openings)


async def evidence(
    tenant: Tenant,
    held: ContactPoint,
    *,
    purpose: str | None = None,
    topic: str | None = None,
    with_openings: bool,
) -> EvidenceBundle:
    """The bundle of a contact point at the present checkpoint: all its entries, and the whole catalogue.

    `purpose` and `topic` narrow what is opened: the entries stay all there, for without them the chain would have holes.
    """
    catalogue = await tenant.latest_catalogue()
    purpose_key = None if purpose is None else catalogue.purpose(purpose).key
    topic_key = None if topic is None else catalogue.topic(topic).key
    keys = await verifier_keys(tenant)
    signed = await checkpoint(tenant)
    key, now = await signing_key(tenant), tenant.ledger.clock()
    size = signed.checkpoint.size
    async with (
        tenant.ledger.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        streams = await read.streams(connection, tenant.id, [held.id, CATALOGUE_STREAM], to_position=size - 1)
        events, changes = streams[held.id], streams[CATALOGUE_STREAM]
        positions = [event.position for event in (*events, *changes)]
        proofs = await tree.inclusion_proofs(connection, tenant.id, positions, size)
        shown = [event for event in events if _is_asked(event, purpose_key, topic_key)]
        opened: dict[tuple[int, str], Opening] = {}
        notices: dict[bytes, str] = {}
        if with_openings:
            opened = await vault.openings(connection, tenant.ledger.keyring, tenant.id, held.id)
            notices = await vault.notice_texts(connection, tenant.id, _notice_digests(shown)) if opened else {}
    shown_positions = {event.position for event in shown}
    asked = {"channel": str(held.channel), "purpose": purpose_key, "topic": topic_key}
    bundle = {
        "format": FORMAT,
        "version": VERSION,
        "origin": signed.checkpoint.origin,
        "verifierKeys": [key.text() for key in keys],
        "checkpoint": signed.note,
        "asked": {name: value for name, value in asked.items() if value is not None},
        "contactPoint": {"stream": str(held.id), "channel": str(held.channel)},
        "statements": [
            stream_statement(key, held.id, len(events), signed.checkpoint, now),
            stream_statement(key, CATALOGUE_STREAM, len(changes), signed.checkpoint, now),
        ],
        "events": [
            {**_proven(event, proofs), "openings": _openings(event, opened, shown_positions)} for event in events
        ],
        "catalogue": [_proven(event, proofs) for event in changes],
        "notices": [{"digest": encode_base64(digest), "text": text} for digest, text in sorted(notices.items())],
    }
    return EvidenceBundle(bundle, len(events), signed)


def _is_asked(event: StoredEntry, purpose: str | None, topic: str | None) -> bool:
    """Whether an event is of the purpose or topic asked for; what erases a contact point is of all of them."""
    if event.entry.type != EventType.CONSENT_CAPTURED:
        return True
    return (purpose is None or event.entry.data["purpose"] == purpose) and (
        topic is None or event.entry.data.get("topic") == topic
    )


def _proven(event: StoredEntry, proofs: dict[int, list[bytes]]) -> dict[str, Any]:
    return {
        "position": event.position,
        "entry": encode_base64(event.raw),
        "proof": [encode_base64(node) for node in proofs[event.position]],
    }


def _openings(event: StoredEntry, opened: dict[tuple[int, str], Opening], shown: set[int]) -> dict[str, dict[str, str]]:
    """The openings of an event: the address, which is no choice's, always; evidence only where it was asked for."""
    return {
        name: {"salt": encode_base64(opening.salt), "content": encode_base64(opening.content)}
        for name in sorted(event.entry.personal)
        if (opening := opened.get((event.position, name))) is not None
        and (name == vault.ADDRESS or event.position in shown)
    }


def _notice_digests(events: Sequence[StoredEntry]) -> list[bytes]:
    named = (event.entry.data.get("noticeDigest") for event in events)
    return list({decode_base64(digest) for digest in named if digest is not None})
