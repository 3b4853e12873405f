"""Making and listing tenants: a tenant starts with its secret, an empty log, and the default profile as first events."""

from dataclasses import dataclass
from datetime import datetime

from domain.catalogue_commands import create_tenant as decide_create_tenant
from domain.refusals import Refusal, RefusalCode
from domain.text import clean_key, clean_text
from eventstore.database import store_errors
from eventstore.personal.keyring import KEY_BYTES
from ledger.assembly import Ledger, Tenant
from ledger.catalogue import first_events
from ledger.signing import verifier_keys
from tlog.compact_range import EMPTY

NAME_CHARS_MAX = 200
_LOCK_TENANT_NUMBERS = 0x636F6E73656E74


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant as listed."""

    key: str
    created_at: datetime
    events: int


async def create_tenant(ledger: Ledger, key: str, name: str, *, blind_index_key: bytes | None = None) -> Tenant:
    """Make a tenant with the default profile. Raises Refusal ALREADY_EXISTS, INVALID.

    With another tenant's `blind_index_key` it finds addresses by the same blind indexes, for good, and so can take over the
    suppressions of addresses that nobody can name any more.

    The row and the first events are two steps: where the process ends between them, making the same tenant again goes on.
    """
    key = clean_key(key, field="key")
    name = clean_text(name, field="name", chars_max=NAME_CHARS_MAX, required=True) or ""
    if blind_index_key is not None and len(blind_index_key) != KEY_BYTES:
        raise Refusal(RefusalCode.INVALID, f"a blind index key has {KEY_BYTES} bytes", ("blindIndexKey",))
    with store_errors():
        async with ledger.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_TENANT_NUMBERS)
            known = await connection.fetchval(
                "SELECT h.size FROM tenants t JOIN log_heads h ON h.tenant = t.tenant WHERE t.key = $1", key
            )
            if known:
                raise Refusal(RefusalCode.ALREADY_EXISTS, f"there is a tenant {key} already", ("key",))
            if known is not None and blind_index_key is not None:
                held = (await ledger.tenant(key)).keys.blind_index
                if held != blind_index_key:
                    # Half made before, and its key cannot be exchanged any more.
                    raise Refusal(RefusalCode.ALREADY_EXISTS, f"tenant {key} was begun with another key", ("key",))
            if known is None:
                number = await connection.fetchval("SELECT coalesce(max(tenant), 0) + 1 FROM tenants")
                now = ledger.clock()
                await connection.execute(
                    "INSERT INTO tenants (tenant, key, wrapped_secret, created_at) VALUES ($1, $2, $3, $4)",
                    number,
                    key,
                    ledger.keyring.new_tenant_secret(key, blind_index_key),
                    now,
                )
                await connection.execute(
                    "INSERT INTO log_heads (tenant, size, epoch, frontier, root, recorded_at, catalogue_position)"
                    " VALUES ($1, 0, 0, $2, $3, $4, -1)",
                    number,
                    EMPTY.to_bytes(),
                    EMPTY.root(),
                    now,
                )
    tenant = await ledger.tenant(key)
    await first_events(tenant, lambda: decide_create_tenant(name))
    await verifier_keys(tenant)
    return tenant


async def list_tenants(ledger: Ledger) -> list[TenantRow]:
    """Every tenant, by key."""
    async with ledger.connection() as connection:
        rows = await connection.fetch(
            "SELECT t.key, t.created_at, h.size FROM tenants t JOIN log_heads h ON h.tenant = t.tenant ORDER BY t.key"
        )
    return [TenantRow(*row) for row in rows]
