"""Falsifying the database as whoever owns it, and which check finds it: each is shown by running it.

The signing key stays out of reach here; what can be done by whoever has that as well is in `test_with_the_key.py`.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from domain.addresses import Channel
from domain.consent import ActorKind, ConsentValue
from eventstore.database import DatabaseAddress
from ledger.assembly import Caller, Tenant
from ledger.checkpoints import LogRewritten, checkpoint
from ledger.erasure import erase_contact_point
from ledger.given_evidence import Evidence
from ledger.record import Actor, Capture, record_consent, record_consents
from ledger.tenants import create_tenant
from ledger.verifying import DatabaseMismatch, verify_database
from tests.tamper.forging import delete_from, rehash, rewrite

Falsify = Callable[[asyncpg.Connection, Tenant], Awaitable[Any]]


def capture(address: str, value: ConsentValue = ConsentValue.OPTED_OUT, **fields: Any) -> Capture:
    return Capture(**{"channel": Channel.EMAIL, "address": address, "purpose": "commercial", "value": value, **fields})


@pytest.fixture
async def written(tenant: Tenant, caller: Caller) -> Tenant:
    """A log with everything in it: captures, evidence, a notice, an erasure, more than one tile, a checkpoint."""
    await record_consents(tenant, caller, [capture(f"a{n}@example.org", idempotency_key=f"k{n}") for n in range(260)])
    evidence = Evidence(ip_address="192.0.2.1", notice_text="Agree?")
    await record_consent(
        tenant, caller,
        capture("ada@example.org", ConsentValue.OPTED_IN, evidence=evidence, actor=Actor(kind=ActorKind.RECIPIENT)),
    )  # fmt: skip
    await record_consent(tenant, caller, capture("bob@example.org"))
    await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address="bob@example.org", reason="asked")
    await checkpoint(tenant)
    return tenant


@contextlib.asynccontextmanager
async def as_owner(database: DatabaseAddress) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(**database.owner)
    try:
        await connection.execute("SET session_replication_role = replica")
        yield connection
    finally:
        await connection.close()


def statement(sql: str) -> Falsify:
    async def falsify(connection: asyncpg.Connection, tenant: Tenant) -> None:
        done = await connection.execute(sql, tenant.id)
        assert not done.endswith(" 0"), "nothing was falsified"

    return falsify


async def entry_edited(connection: asyncpg.Connection, tenant: Tenant) -> None:
    await rewrite(connection, tenant.id, 10, b'"OPTED_OUT"', b'"OPTED_IN"')


async def entry_edited_with_its_leaf(connection: asyncpg.Connection, tenant: Tenant) -> None:
    await rewrite(connection, tenant.id, 10, b'"OPTED_OUT"', b'"OPTED_IN"', columns=True)


async def middle_deleted(connection: asyncpg.Connection, tenant: Tenant) -> None:
    await connection.execute("DELETE FROM log_entries WHERE tenant = $1 AND position = 100", tenant.id)


async def end_deleted(connection: asyncpg.Connection, tenant: Tenant) -> None:
    await connection.execute("DELETE FROM log_entries WHERE tenant = $1 AND position >= 268", tenant.id)


async def reordered(connection: asyncpg.Connection, tenant: Tenant) -> None:
    for old, new in ((20, -1), (21, 20), (-1, 21)):
        await connection.execute(
            "UPDATE log_entries SET position = $3 WHERE tenant = $1 AND position = $2", tenant.id, old, new
        )


async def suffix_rehashed(connection: asyncpg.Connection, tenant: Tenant) -> None:
    await rewrite(connection, tenant.id, 10, b'"OPTED_OUT"', b'"OPTED_IN"', columns=True)
    await connection.execute(
        "UPDATE current_consent SET value = 'OPTED_IN', restrictiveness = 0 WHERE tenant = $1 AND position = 10",
        tenant.id,
    )
    await rehash(connection, tenant.id)


async def suffix_rehashed_and_checkpoints_deleted(connection: asyncpg.Connection, tenant: Tenant) -> None:
    await suffix_rehashed(connection, tenant)
    await connection.execute("DELETE FROM checkpoints WHERE tenant = $1", tenant.id)


async def rolled_back(connection: asyncpg.Connection, tenant: Tenant) -> None:
    await delete_from(connection, tenant.id, 267)
    await rehash(connection, tenant.id)


async def swapped(connection: asyncpg.Connection, tenant: Tenant) -> None:
    other = await create_tenant(tenant.ledger, f"{tenant.key}-other", "Other")
    for old, new in ((tenant.id, -1), (other.id, tenant.id), (-1, other.id)):
        for table in ("log_entries", "log_heads", "log_nodes"):
            await connection.execute(f"UPDATE {table} SET tenant = $2 WHERE tenant = $1", old, new)


FALSIFICATIONS: dict[str, tuple[Falsify, str]] = {
    # what is done -> what `consentry verify --database` says first
    "edit an entry": (entry_edited, "log_entries, position 10: leaf_hash"),
    "edit an entry and its hash and columns": (entry_edited_with_its_leaf, "log_entries, size .*: root"),
    "delete the last entries": (end_deleted, "log_entries, size .*: root"),
    "delete one in the middle": (middle_deleted, "log_entries, position 100: position"),
    "reorder two": (reordered, "log_entries, position 20: entry.position"),
    "rewrite and re-hash": (suffix_rehashed, "log_entries, size .*: root: a checkpoint of this size was signed"),
    "and delete the checkpoints": (suffix_rehashed_and_checkpoints_deleted, "log_entries, size .*: root"),
    "roll back": (rolled_back, "log_entries, size .*: root"),
    "swap the logs of two tenants": (swapped, "log_entries, position 0: entry.tenant|root"),
    "edit a leaf hash": (
        statement("UPDATE log_entries SET leaf_hash = sha256('x') WHERE tenant = $1 AND position = 30"),
        "log_entries, position 30: leaf_hash",
    ),
    "edit a column": (
        statement("UPDATE log_entries SET value = 'OPTED_IN' WHERE tenant = $1 AND position = 30"),
        "log_entries, position 30: value: says OPTED_IN, and the entry OPTED_OUT",
    ),
    "move an event to another stream": (
        statement("UPDATE log_entries SET stream = gen_random_uuid() WHERE tenant = $1 AND position = 30"),
        "log_entries, position 30: stream",
    ),
    "edit when it was recorded": (
        statement("UPDATE log_entries SET recorded_at = recorded_at - interval '1 day' WHERE tenant = $1 AND position = 30"),
        "log_entries, position 30: recorded_at",
    ),
    "edit a tile": (
        statement("UPDATE log_nodes SET hash = sha256('x') WHERE tenant = $1 AND level = 1 AND index = 0"),
        "log_nodes, level 1, index 0: hash",
    ),
    "delete a tile": (statement("DELETE FROM log_nodes WHERE tenant = $1"), "log_nodes, level 1, index 0: hash: is missing"),
    "edit the root": (statement("UPDATE log_heads SET root = sha256('x') WHERE tenant = $1"), "log_heads, .*: root"),
    "edit a signature": (
        statement("UPDATE checkpoints SET note = replace(note, '— ', '— x') WHERE tenant = $1"), "checkpoints, .*: note",
    ),
    "edit the root of a checkpoint": (
        statement("UPDATE checkpoints SET root = sha256('x') WHERE tenant = $1"), "checkpoints, .*: note",
    ),
    "edit a row of current consent": (
        statement("UPDATE current_consent SET value = 'OPTED_IN' WHERE tenant = $1 AND position = 30"),
        "current_consent, .*position 30: value: says OPTED_IN",
    ),
    "delete a row of current consent": (
        statement("DELETE FROM current_consent WHERE tenant = $1 AND position = 30"),
        "current_consent, .*: position: is missing; the entry at position 30",
    ),
    "invent a person's opt-in": (
        statement(
            "INSERT INTO persons_opt_ins SELECT tenant, contact_point, 'commercial', '', now() FROM vault_subjects"
            " WHERE tenant = $1 AND first_position = 30"
        ),
        "persons_opt_ins, .*: effective_at",
    ),
    "exchange two addresses": (
        statement(
            "UPDATE vault_subjects a SET sealed_address = b.sealed_address FROM vault_subjects b WHERE a.tenant = $1"
            " AND b.tenant = $1 AND a.first_position = 30 AND b.first_position = 31"
        ),
        "vault_subjects, .*position 30: sealed: does not open",
    ),
    "hide an address from look-ups": (
        statement("UPDATE vault_subjects SET blind_index = 'x' WHERE tenant = $1 AND first_position = 30"),
        "vault_subjects, .*position 30: blind_index",
    ),
    "lose a contact point": (
        statement("DELETE FROM vault_subjects WHERE tenant = $1 AND first_position = 30"),
        "vault_subjects, .*position 30: contact_point: is missing",
    ),
    "edit an opening": (
        statement("UPDATE vault_items SET sealed = sealed || 'x' WHERE tenant = $1"), "vault_items, position 267: sealed",
    ),
    "lose evidence": (statement("DELETE FROM vault_items WHERE tenant = $1"), "vault_items, position 267: sealed: is missing"),
    "edit a notice": (statement("UPDATE notices SET text = 'Never!' WHERE tenant = $1"), "notices, position 267: text"),
    "lift a suppression": (
        statement("UPDATE suppressions SET covers = jsonb_set(covers, '{commercial}', 'false') WHERE tenant = $1"),
        "suppressions, .*: covers",
    ),
    "point a suppression at another address": (
        statement("UPDATE suppressions SET blind_index = sha256(blind_index) WHERE tenant = $1"),
        "suppressions, .*: blind_index: is not the one that the certificate commits to",
    ),
    "delete a suppression": (statement("DELETE FROM suppressions WHERE tenant = $1"), "suppressions, .*: covers"),
    "forget an erasure": (statement("DELETE FROM erasures WHERE tenant = $1"), "erasures, .*: erased_at"),
    "point an idempotency record elsewhere": (
        statement("UPDATE idempotency_records SET position = position + 1 WHERE tenant = $1 AND position = 30"),
        "idempotency_records, position 31: position",
    ),
    "stretch an idempotency record": (
        statement("UPDATE idempotency_records SET events = 9 WHERE tenant = $1 AND position = 30"),
        "idempotency_records, position 3[01]: (events|position)",
    ),
}  # fmt: skip


async def test_what_nobody_touched_is_as_the_entries_say(written: Tenant) -> None:
    done = await verify_database(written)
    assert done[0].startswith("271 entries")
    assert "1 checkpoints: signature, root" in done
    assert "261 contact points: address, blind index, key" in done


@pytest.mark.parametrize("name", FALSIFICATIONS)
async def test_it_is_found_by_verifying_the_database(written: Tenant, database: DatabaseAddress, name: str) -> None:
    falsify, expected = FALSIFICATIONS[name]
    async with as_owner(database) as connection:
        await falsify(connection, written)
    with pytest.raises(DatabaseMismatch, match=expected):
        await verify_database(written)


@pytest.mark.parametrize("name", ["rewrite and re-hash", "and delete the checkpoints", "roll back"])
async def test_nothing_more_is_signed_over_a_history_that_changed(
    written: Tenant, caller: Caller, database: DatabaseAddress, name: str
) -> None:
    async with as_owner(database) as connection:
        await FALSIFICATIONS[name][0](connection, written)
    for number in range(8):
        await record_consent(written, caller, capture(f"later{number}@example.org"))
    with pytest.raises(LogRewritten):
        await checkpoint(written)


async def test_the_service_itself_can_do_none_of_this(written: Tenant) -> None:
    for table in (
        "log_entries",
        "log_nodes",
        "checkpoints",
        "suppressions",
        "notices",
        "idempotency_records",
        "cosignatures",
    ):
        for change in (f"DELETE FROM {table}", f"UPDATE {table} SET tenant = 0", f"TRUNCATE {table}"):
            async with written.ledger.connection() as connection:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(change)
