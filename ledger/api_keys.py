"""API keys of the applications of a tenant: shown once, stored as a hash, revocable at once.

A key is `ck_TENANT_ID_SECRET`: the number of its tenant and its own id find its row, and 256 random bits prove it.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from domain.refusals import Refusal, RefusalCode
from domain.text import clean_key
from ledger.assembly import Caller, Ledger, Tenant
from ledger.idempotency import APPLICATION_OF_ROWS
from ledger.unit_scope import TenantOfUnit, caller_of_unit, check_scopes_of_unit

SCOPES = ("check", "read", "read:personal", "write", "admin", "audit", "erase")
_FORM = re.compile(r"ck_([0-9]{1,9})_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NOTIFY = "SELECT pg_notify('consentry_keys', '')"


class KeyId(NamedTuple):
    """Which key: no secret."""

    tenant: int
    key_id: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, and with which key."""

    tenant: Tenant
    caller: Caller
    key: KeyId


@dataclass(frozen=True, slots=True)
class ApiKeyRow:
    """A key as listed: never its secret."""

    key_id: str
    application: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None
    unit: str | None


@dataclass(frozen=True, slots=True)
class ApplicationRow:
    """An application: the scopes are those of all its keys that are valid now."""

    key: str
    name: str
    scopes: tuple[str, ...]


async def create_key(tenant: Tenant, application: str, scopes: Sequence[str], *, unit: str | None = None) -> str:
    """Make a key for an application, which is made with its first key. Returns the secret, the only time that it is seen.

    Bound to a `unit`, it sees that and the units below it. Raises Refusal INVALID for an unknown scope, one that no key of a
    unit can have, or an application key that is malformed or reserved; NOT_FOUND for the unit.
    """
    application = clean_key(application, field="application")
    if application == APPLICATION_OF_ROWS:
        raise Refusal(
            RefusalCode.INVALID,
            f"{APPLICATION_OF_ROWS} is the application that files are recorded under: choose another name",
            ("application",),
        )
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise Refusal(RefusalCode.INVALID, f"a scope is one of {', '.join(SCOPES)}", ("scope",))
    if unit is not None:
        check_scopes_of_unit(scopes)
        unit = (await tenant.latest_catalogue()).unit(unit, field="unit").key
    key_id = secrets.token_hex(6)
    secret = f"ck_{tenant.id}_{key_id}_{secrets.token_urlsafe(32)}"
    now = tenant.ledger.clock()
    async with tenant.ledger.connection() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO applications (tenant, key, name, created_at) VALUES ($1, $2, $2, $3) ON CONFLICT DO NOTHING",
            tenant.id,
            application,
            now,
        )
        await connection.execute(
            "INSERT INTO api_keys (tenant, key_id, application, secret_hash, scopes, created_at, unit)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7)",
            tenant.id,
            key_id,
            application,
            _hash(secret),
            [scope for scope in SCOPES if scope in scopes],
            now,
            unit,
        )
    return secret


async def list_keys(tenant: Tenant) -> list[ApiKeyRow]:
    """The tenant's keys, oldest first."""
    async with tenant.ledger.connection() as connection:
        rows = await connection.fetch(
            "SELECT key_id, application, scopes, created_at, revoked_at, unit FROM api_keys WHERE tenant = $1"
            " ORDER BY created_at, key_id",
            tenant.id,
        )
    return [ApiKeyRow(row[0], row[1], tuple(row[2]), row[3], row[4], row[5]) for row in rows]


async def revoke_key(tenant: Tenant, key_id: str) -> None:
    """End a key's validity, in every process. Raises Refusal NOT_FOUND; revoking twice keeps the first instant."""
    async with tenant.ledger.connection() as connection, connection.transaction():
        found = await connection.fetchval(
            "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $3) WHERE tenant = $1 AND key_id = $2"
            " RETURNING key_id",
            tenant.id,
            key_id,
            tenant.ledger.clock(),
        )
        if found is None:
            raise Refusal(RefusalCode.NOT_FOUND, "there is no key with this id; `keys list` shows them", ("key",))
        await connection.execute(_NOTIFY)
    # Other processes hear of it; this one need not wait until it does.
    tenant.ledger.proven_keys.forget()


async def authenticate(ledger: Ledger, secret: str) -> Identity | None:
    """Whose key `secret` is, or None. Raises StoreUnavailable where that cannot be known now."""
    known = ledger.proven_keys.find(secret, fresh=ledger.wakeup.fresh)
    if known is not None:
        return known
    form = _FORM.fullmatch(secret)
    if form is None:
        return None
    key = KeyId(int(form[1]), form[2])
    keep = ledger.proven_keys.keeper()
    async with ledger.connection() as connection:
        row = await connection.fetchrow(
            "SELECT application, secret_hash, scopes, unit FROM api_keys"
            " WHERE tenant = $1 AND key_id = $2 AND revoked_at IS NULL",
            key.tenant,
            key.key_id,
        )
    if row is None or not hmac.compare_digest(row[1], _hash(secret)):
        return None
    tenant = await ledger.tenant_by_id(key.tenant)
    identity = Identity(tenant, Caller(row[0], frozenset(row[2])), key)
    if row[3] is not None:
        identity = Identity(TenantOfUnit(tenant, row[3]), caller_of_unit(row[0], row[2], row[3]), key)
    keep(secret, identity)
    return identity


def key_id(secret: str) -> KeyId:
    """The key whose secret this is, which was proven."""
    form = _FORM.fullmatch(secret)
    if form is None:
        raise ValueError("no API key")
    return KeyId(int(form[1]), form[2])


async def revoked_among(ledger: Ledger, keys: Collection[KeyId]) -> set[KeyId]:
    """Those of the keys that are valid no more; one statement for any number of them. Raises StoreUnavailable."""
    async with ledger.connection() as connection:
        rows = await connection.fetch(
            "SELECT k.tenant, k.key_id FROM unnest($1::int[], $2::text[]) AS asked (tenant, key_id)"
            " CROSS JOIN LATERAL (SELECT tenant, key_id FROM api_keys k WHERE k.tenant = asked.tenant"
            "  AND k.key_id = asked.key_id AND k.revoked_at IS NULL OFFSET 0) AS k",
            [key.tenant for key in keys],
            [key.key_id for key in keys],
        )
    return set(keys) - {KeyId(row[0], row[1]) for row in rows}


async def applications(tenant: Tenant, keys: Sequence[str]) -> dict[str, ApplicationRow]:
    """Applications by key; one statement for any number of them."""
    async with tenant.ledger.connection() as connection:
        rows = await connection.fetch(
            "SELECT a.key, a.name, array(SELECT DISTINCT scope FROM api_keys k, unnest(k.scopes) AS scope"
            "  WHERE k.tenant = a.tenant AND k.application = a.key AND k.revoked_at IS NULL)"
            " FROM applications a WHERE a.tenant = $1 AND a.key = ANY($2::text[])",
            tenant.id,
            list(keys),
        )
    return {row[0]: ApplicationRow(row[0], row[1], tuple(scope for scope in SCOPES if scope in row[2])) for row in rows}


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
