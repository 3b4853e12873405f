"""Since when a contact point is known, to whoever asks: a key of a unit is not told that others knew the address before."""

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from eventstore import read
from eventstore.personal.vault import Connected
from eventstore.read import EntryFilter
from ledger.assembly import Tenant
from projections.contact_points import ContactPoint


async def since_first_seen(
    connection: Connected, tenant: Tenant, held: Mapping[UUID, ContactPoint]
) -> dict[UUID, ContactPoint]:
    """The same contact points, each since the first event there that whoever asks sees; without one it is not there.

    The tenant's catalogue has to be one that knows the purposes of these events.
    """
    if tenant.own_units is None or not held:
        return dict(held)
    wanted = tenant.narrowed(EntryFilter())
    first = await read.pages_of_streams(connection, tenant.id, list(held), wanted, limit=1, backward=False)
    return {
        key: replace(one, created_at=first[key][0].entry.recorded_at) for key, one in held.items() if first.get(key)
    }
