"""What there is to see of webhooks: the webhooks themselves, what each delivered or tries to, and who changed what."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.refusals import Refusal, RefusalCode
from eventstore import read
from ledger import webhook_rows
from ledger.assembly import Ledger, Tenant
from ledger.pages import Page, cursor, no_cursor, page_size, place_of
from ledger.webhook_rows import SecretRow, Webhook

DELIVERIES = "webhook-delivery"

_DELIVERIES = """
SELECT position, round, delivered_at, attempts, status, NULL::timestamptz AS next_attempt_at, NULL::text AS said
FROM webhook_deliveries
WHERE tenant = $1 AND webhook = $2 AND (position, round) > ($3, $4) AND NOT $7
UNION ALL
SELECT position, $5, NULL, attempts, NULL, next_attempt_at, said FROM webhook_unfinished
WHERE tenant = $1 AND webhook = $2 AND (position, $5::int) > ($3, $4)
ORDER BY position, round LIMIT $6
"""
_TOTALS = """
SELECT count(*) FILTER (WHERE deleted_at IS NULL), count(*) FILTER (WHERE status = 'HELD' AND deleted_at IS NULL),
    coalesce(sum(delivered), 0)::bigint,
    coalesce(sum(failed), 0)::bigint,
    coalesce(max(h.size - 1 - w.position) FILTER (WHERE w.deleted_at IS NULL), 0)::bigint
FROM webhooks w JOIN log_heads h ON h.tenant = w.tenant
"""


class DeliveryState(StrEnum):
    """How far an event came: taken, tried and to be tried again, or behind one that is."""

    DELIVERED = "DELIVERED"
    RETRYING = "RETRYING"
    WAITING = "WAITING"


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """An event and what became of it at a webhook. `said` is why the last attempt failed, in words for people."""

    position: int
    round: int
    state: DeliveryState
    attempts: int
    delivered_at: datetime | None
    status: int | None
    next_attempt_at: datetime | None
    said: str | None


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A change of a webhook: when, by which application (None: the command line), what, and why."""

    version: int
    changed_at: datetime
    application: str | None
    kind: str
    details: dict[str, Any]
    reason: str | None


@dataclass(frozen=True, slots=True)
class WebhookTotals:
    """All webhooks of all tenants together, for the metrics; `lag` is that of the one that is furthest behind."""

    webhooks: int
    held: int
    delivered: int
    failed: int
    lag: int


async def webhooks(tenant: Tenant) -> list[Webhook]:
    """The tenant's webhooks, oldest first."""
    async with tenant.ledger.connection() as connection:
        return await webhook_rows.listed(connection, tenant)


async def webhook(tenant: Tenant, webhook_id: UUID) -> Webhook | None:
    """One webhook that was not deleted."""
    async with tenant.ledger.connection() as connection:
        return await webhook_rows.find(connection, tenant, webhook_id)


async def secrets_of(tenant: Tenant, webhook_id: UUID) -> list[SecretRow]:
    """The secrets that sign now, the newest first."""
    async with tenant.ledger.connection() as connection:
        return await webhook_rows.signing_secrets(connection, tenant, webhook_id)


async def changes(tenant: Tenant, webhook_id: UUID) -> list[ChangeRow]:
    """Who changed what, oldest first; at most the last thousand."""
    async with tenant.ledger.connection() as connection:
        rows = await connection.fetch(
            "SELECT version, changed_at, application, kind, details, reason FROM webhook_changes"
            " WHERE tenant = $1 AND webhook = $2 ORDER BY version DESC LIMIT 1000",
            tenant.id,
            webhook_id,
        )
    return [ChangeRow(row[0], row[1], row[2], row[3], json.loads(row[4]), row[5]) for row in reversed(rows)]


async def deliveries(
    tenant: Tenant,
    webhook_id: UUID,
    *,
    unfinished_only: bool = False,
    first: int | None = None,
    after: str | None = None,
) -> Page[DeliveryRow]:
    """A page of what a webhook delivered, and tries to, in log order. Raises Refusal, LimitExceeded, StoreUnavailable."""
    size = page_size("first", first)
    position, number = (-1, 0) if after is None else _place(tenant, after)
    async with tenant.ledger.connection() as connection:
        held = await webhook_rows.find(connection, tenant, webhook_id)
        if held is None:
            raise Refusal(RefusalCode.NOT_FOUND, "there is no webhook with this id", ("webhook",))
        rows = await connection.fetch(
            _DELIVERIES, tenant.id, webhook_id, position, number, held.round, size + 1, unfinished_only
        )
    shown = [_delivery(tuple(row)) for row in rows[:size]]
    items = [(cursor(tenant, DELIVERIES, f"{row.position}.{row.round}"), row) for row in shown]
    return Page(items, len(rows) > size, after is not None, _count(tenant, webhook_id, unfinished_only=unfinished_only))


async def log_size(tenant: Tenant) -> int:
    """How many events there are: what a webhook's position is compared with."""
    async with tenant.ledger.connection() as connection:
        return (await read.head(connection, tenant.id)).size


async def totals(ledger: Ledger) -> WebhookTotals:
    """What the metrics say. Raises StoreUnavailable."""
    async with ledger.connection() as connection:
        [row] = await connection.fetch(_TOTALS)
    return WebhookTotals(*row)


def _count(tenant: Tenant, webhook_id: UUID, *, unfinished_only: bool) -> Callable[[], Awaitable[int]]:
    async def count() -> int:
        async with tenant.ledger.connection() as connection:
            number: int = await connection.fetchval(
                "SELECT (SELECT count(*) FROM webhook_unfinished WHERE tenant = $1 AND webhook = $2)"
                " + CASE WHEN $3 THEN 0"
                "   ELSE (SELECT count(*) FROM webhook_deliveries WHERE tenant = $1 AND webhook = $2) END",
                tenant.id,
                webhook_id,
                unfinished_only,
            )
        return number

    return count


def _delivery(row: tuple[Any, ...]) -> DeliveryRow:
    position, number, delivered_at, attempts, status, next_attempt_at, said = row
    state = DeliveryState.DELIVERED if delivered_at else DeliveryState.RETRYING if attempts else DeliveryState.WAITING
    return DeliveryRow(position, number, state, attempts, delivered_at, status, next_attempt_at, said)


def _place(tenant: Tenant, text: str) -> tuple[int, int]:
    position, _, number = place_of(tenant, DELIVERIES, text, field="after").partition(".")
    if not (position.isdigit() and number.isdigit() and len(position) < 19 and len(number) < 10):
        raise no_cursor("after")
    return int(position), int(number)
