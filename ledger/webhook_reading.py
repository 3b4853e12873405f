"""What a webhook's filters let pass: the present one, and of what was waiting at a change of it, those before."""

from dataclasses import replace

from eventstore import read
from eventstore.personal.vault import Connected
from eventstore.read import StoredEntry
from ledger.assembly import Tenant
from ledger.webhook_rows import Webhook


async def passing(
    connection: Connected, tenant: Tenant, webhook: Webhook, *, after: int, to: int, limit: int
) -> tuple[list[StoredEntry], int]:
    """(at most `limit` events after a position that any of the filters lets pass, in order; up to where that is all)."""
    filters = [replace(webhook.filter, to_position=to)]
    filters += [
        replace(one.filter, to_position=min(to, one.to_position)) for one in webhook.earlier if one.to_position > after
    ]
    found: dict[int, StoredEntry] = {}
    read_to = to
    for one in filters:
        events = await read.forward(connection, tenant.id, one, after=after, limit=limit)
        found |= {event.position: event for event in events}
        if len(events) == limit:
            read_to = min(read_to, events[-1].position)
    # What lies beyond where one of them stopped may not be all.
    positions = sorted(position for position in found if position <= read_to)
    if len(positions) > limit:
        positions = positions[:limit]
        read_to = positions[-1]
    return [found[position] for position in positions], read_to
