"""To whom events were told: the applications that know of them, and the webhooks that were sent them, with what."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from ledger.acknowledgements import Acknowledgement, acknowledgements_of
from ledger.assembly import Tenant
from ledger.webhook_attempt import TIMEOUT_S

# By the primary key of deliveries, for each webhook there ever was: they are few.
_SENT = """
SELECT sent.position, w.webhook, w.application, w.origin, sent.delivered_at
FROM webhooks w
CROSS JOIN LATERAL (
    SELECT d.position, d.delivered_at FROM unnest($2::bigint[]) AS asked (position)
    JOIN webhook_deliveries d ON d.tenant = $1 AND d.webhook = w.webhook AND d.position = asked.position
) AS sent
WHERE w.tenant = $1
ORDER BY sent.position, sent.delivered_at, w.webhook
"""
_CHANGES = """
SELECT webhook, changed_at, details FROM webhook_changes
WHERE tenant = $1 AND webhook = ANY($2::uuid[]) ORDER BY webhook, version
"""
# What was on its way when a webhook was changed was sent as it was before.
_ON_ITS_WAY = timedelta(seconds=2 * TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class Sent:
    """An event was taken by an application's receiver. `origin` is None where its address was changed since."""

    application: str
    origin: str | None
    at: datetime
    personal: bool


@dataclass(frozen=True, slots=True)
class Disclosures:
    """By position: who knows, and where it was sent."""

    known: Mapping[int, Sequence[Acknowledgement]]
    sent: Mapping[int, Sequence[Sent]]


async def disclosures(tenant: Tenant, positions: Sequence[int]) -> Disclosures:
    """To whom the events at these positions were told. Raises StoreUnavailable."""
    known = await acknowledgements_of(tenant, positions)
    async with tenant.ledger.connection() as connection:
        rows = await connection.fetch(_SENT, tenant.id, list(positions))
        changes: dict[UUID, list[tuple[datetime, Mapping[str, Any]]]] = {row[1]: [] for row in rows}
        for row in await connection.fetch(_CHANGES, tenant.id, list(changes)):
            changes[row[0]].append((row[1], json.loads(row[2])))
    sent: dict[int, list[Sent]] = {position: [] for position in positions}
    for position, webhook, application, origin, at in rows:
        history = changes[webhook]
        moved = any(changed_at > at - _ON_ITS_WAY and "url" in details for changed_at, details in history)
        sent[position].append(Sent(application, None if moved else origin, at, _was_personal(history, at)))
    return Disclosures(known, sent)


def _was_personal(history: Sequence[tuple[datetime, Mapping[str, Any]]], at: datetime) -> bool:
    """Whether addresses and evidence were sent then; in doubt, they were."""
    in_force, before = False, False
    for changed_at, details in history:
        if changed_at > at:
            break
        in_force = details.get("personal", in_force)
        before = in_force if changed_at <= at - _ON_ITS_WAY else before or in_force
    return in_force or before
