"""Webhooks as they are stored: the row, its URL and its secrets, which are sealed under the master key.

Knows no rule: `ledger/webhooks.py` changes them, `ledger/webhook_delivery.py` moves them on.
"""

import json
import secrets
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from asyncpg import Record

from domain.webhooks import WebhookStatus
from eventstore.personal.vault import Connected
from eventstore.read import EntryFilter
from ledger.assembly import Tenant

SECRET_PREFIX = "whsec_"  # noqa: S105 - what a secret starts with
_SECRET_BYTES = 32
_FILTERED = ("types", "channel", "purpose", "topic", "values", "sources", "application")
_EARLIER = "earlier"

COLUMNS = (
    "webhook, application, origin, sealed_url, filter, personal, status, version, round, position,"
    " held_position, held_because, held_at, delivered, failed, created_at"
)


@dataclass(frozen=True, slots=True)
class EarlierFilter:
    """A filter that was replaced while events up to `to_position` were still to be sent: what it lets pass of them is."""

    to_position: int
    filter: EntryFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One webhook. `position`: everything up to there is delivered, filtered out, or waits for another try."""

    id: UUID
    application: str
    origin: str
    url: str = field(repr=False)
    filter: EntryFilter
    earlier: tuple[EarlierFilter, ...]
    personal: bool
    status: WebhookStatus
    version: int
    round: int
    position: int
    held_position: int | None
    held_because: str | None
    held_at: datetime | None
    delivered: int
    failed: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SecretRow:
    """A secret that signs; one that was replaced does so until `valid_until`."""

    number: int
    secret: str = field(repr=False)
    created_at: datetime
    valid_until: datetime | None


def webhook_of(tenant: Tenant, row: Record) -> Webhook:
    """A webhook from COLUMNS."""
    entry_filter, earlier = filters_from(row["filter"])
    return Webhook(
        id=row["webhook"],
        application=row["application"],
        origin=row["origin"],
        url=tenant.ledger.keyring.open_setting(tenant.id, _url_place(row["webhook"]), row["sealed_url"]).decode(),
        filter=entry_filter,
        earlier=earlier,
        personal=row["personal"],
        status=WebhookStatus(row["status"]),
        version=row["version"],
        round=row["round"],
        position=row["position"],
        held_position=row["held_position"],
        held_because=row["held_because"],
        held_at=row["held_at"],
        delivered=row["delivered"],
        failed=row["failed"],
        created_at=row["created_at"],
    )


async def find(connection: Connected, tenant: Tenant, webhook: UUID) -> Webhook | None:
    """A webhook that was not deleted."""
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM webhooks WHERE tenant = $1 AND webhook = $2 AND deleted_at IS NULL",
        tenant.id,
        webhook,
    )
    return None if row is None else webhook_of(tenant, row)


async def lock(connection: Connected, tenant: Tenant, webhook: UUID) -> Webhook | None:
    """The same, which nobody else changes before the transaction ends."""
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM webhooks WHERE tenant = $1 AND webhook = $2 AND deleted_at IS NULL FOR UPDATE",
        tenant.id,
        webhook,
    )
    return None if row is None else webhook_of(tenant, row)


async def listed(connection: Connected, tenant: Tenant) -> list[Webhook]:
    """Every webhook of the tenant that was not deleted, oldest first."""
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM webhooks WHERE tenant = $1 AND deleted_at IS NULL ORDER BY created_at, webhook",
        tenant.id,
    )
    return [webhook_of(tenant, row) for row in rows]


def sealed_url(tenant: Tenant, webhook: UUID, url: str) -> bytes:
    """A URL as it is stored."""
    return tenant.ledger.keyring.seal_setting(tenant.id, _url_place(webhook), url.encode())


def filter_fields(entry_filter: EntryFilter) -> dict[str, Any]:
    """What a filter asks for, by name."""
    given = {name: getattr(entry_filter, name) for name in _FILTERED}
    return {name: value for name, value in given.items() if value is not None}


def filter_text(entry_filter: EntryFilter, earlier: Sequence[EarlierFilter] = ()) -> str:
    """A filter as it is stored, with those before it that events still have to be judged by."""
    stored = filter_fields(entry_filter)
    if earlier:
        stored[_EARLIER] = [{"to": one.to_position, "filter": filter_fields(one.filter)} for one in earlier]
    return json.dumps(stored, sort_keys=True)


def filters_from(text: str) -> tuple[EntryFilter, tuple[EarlierFilter, ...]]:
    """(a filter, those before it) from their stored form."""
    given: dict[str, Any] = json.loads(text)
    earlier = given.pop(_EARLIER, ())
    return EntryFilter(**given), tuple(EarlierFilter(one["to"], EntryFilter(**one["filter"])) for one in earlier)


def new_secret() -> str:
    """A secret as Standard Webhooks writes it."""
    return SECRET_PREFIX + b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


async def add_secret(connection: Connected, tenant: Tenant, webhook: UUID, secret: str) -> int:
    """Keep a secret, sealed; its number. To be called with the webhook's row locked, or not there yet."""
    number: int = await connection.fetchval(
        "SELECT coalesce(max(number), 0) + 1 FROM webhook_secrets WHERE tenant = $1 AND webhook = $2",
        tenant.id,
        webhook,
    )
    await connection.execute(
        "INSERT INTO webhook_secrets (tenant, webhook, number, sealed, created_at) VALUES ($1, $2, $3, $4, $5)",
        tenant.id,
        webhook,
        number,
        tenant.ledger.keyring.seal_setting(tenant.id, _secret_place(webhook, number), secret.encode()),
        tenant.ledger.clock(),
    )
    return number


async def signing_secrets(connection: Connected, tenant: Tenant, webhook: UUID) -> list[SecretRow]:
    """The secrets that sign now, the newest first."""
    rows = await connection.fetch(
        "SELECT number, sealed, created_at, valid_until FROM webhook_secrets"
        " WHERE tenant = $1 AND webhook = $2 AND (valid_until IS NULL OR valid_until > $3) ORDER BY number DESC",
        tenant.id,
        webhook,
        tenant.ledger.clock(),
    )
    return [
        SecretRow(
            row[0],
            tenant.ledger.keyring.open_setting(tenant.id, _secret_place(webhook, row[0]), row[1]).decode(),
            row[2],
            row[3],
        )
        for row in rows
    ]


async def delivered_among(
    connection: Connected, tenant: Tenant, webhook: Webhook, positions: Sequence[int]
) -> set[int]:
    """Which of these positions were delivered in the webhook's present round."""
    rows = await connection.fetch(
        "SELECT position FROM webhook_deliveries"
        " WHERE tenant = $1 AND webhook = $2 AND position = ANY($3::bigint[]) AND round = $4",
        tenant.id,
        webhook.id,
        positions,
        webhook.round,
    )
    return {row[0] for row in rows}


def _url_place(webhook: UUID) -> bytes:
    return b"webhook-url\0" + webhook.bytes


def _secret_place(webhook: UUID, number: int) -> bytes:
    return b"webhook-secret\0%s\0%d" % (webhook.bytes, number)
