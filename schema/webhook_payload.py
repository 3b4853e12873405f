"""What a webhook is sent of an event: the names and values by which GraphQL shows it, without asking a document for them."""

import json
from typing import Any

from domain.events import CATALOGUE_TYPES
from domain.time import format_instant
from domain.upcasting import upcast
from ledger import history
from ledger.assembly import Tenant
from ledger.catalogue import subject_of
from ledger.history import StoredEntry, event_cursor
from ledger.webhook_attempt import Message
from schema.node_ids import NodeKind, contact_point_node_id, event_node_id, key_node_id


async def compose(tenant: Tenant, event: StoredEntry, personal: bool) -> Message:  # noqa: FBT001 - as the worker calls it
    """The message of an event; with what is personal of it, as far as it is not erased by now, only where asked."""
    entry = event.entry
    data = upcast(entry.type, entry.version, entry.data)
    purpose, topic = subject_of(entry.type, data)
    evidence = (await history.evidence(tenant, [event])).get(entry.position) or {} if personal else {}
    shown: dict[str, Any] = {
        "id": event_node_id(tenant.id, entry.position, entry.event_id),
        "position": entry.position,
        "cursor": event_cursor(tenant, event),
        "type": entry.type,
        "recordedAt": format_instant(entry.recorded_at),
        "effectiveAt": None if entry.effective_at is None else format_instant(entry.effective_at),
        "contactPoint": await _contact_point(tenant, event, data.get("channel"), personal=personal),
        "purpose": _named(tenant, NodeKind.PURPOSE, purpose),
        "topic": _named(tenant, NodeKind.TOPIC, topic),
        "value": data.get("value"),
        "source": data.get("source"),
        "reason": data.get("reason", evidence.get("reason")),
        "application": _named(tenant, NodeKind.APPLICATION, entry.application),
        "actor": {"kind": entry.actor, "id": evidence.get("actorId")},
        "evidence": evidence or None,
        "data": data,
    }
    message = {"type": entry.type, "timestamp": shown["recordedAt"], "data": shown}
    return Message(shown["id"], json.dumps(message, ensure_ascii=False, separators=(",", ":")))


async def _contact_point(
    tenant: Tenant, event: StoredEntry, channel: str | None, *, personal: bool
) -> dict[str, Any] | None:
    if event.entry.type in CATALOGUE_TYPES:
        return None
    stream = event.entry.stream
    address = (await history.addresses(tenant, [stream])).get(stream) if personal else None
    return {"id": contact_point_node_id(tenant.id, stream), "channel": channel, "address": address}


def _named(tenant: Tenant, kind: NodeKind, key: str | None) -> dict[str, str] | None:
    return None if key is None else {"id": key_node_id(tenant.id, kind, key), "key": key}
