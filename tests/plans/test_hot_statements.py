"""The plans of the hot statements: an index probe for each key, on fresh tables without statistics and on filled ones.

Filled means with statistics of many tenants, most of which have next to nothing: they make the tenant alone look like enough.
"""

import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from domain.addresses import Channel
from domain.consent import ConsentValue
from eventstore.append import _LOOKUP
from eventstore.array_literal import bytes_literal
from eventstore.database import DatabaseAddress
from ledger.assembly import Caller, Tenant, ledger_on
from ledger.record import Capture, record_consents
from ledger.tenants import create_tenant
from projections.current_consent import CHECK, CONSENT_OF
from tests.conftest import database_beside

KEYS = [os.urandom(16) for _ in range(512)]
STATEMENTS = [
    ("append_lookup", _LOOKUP, (bytes_literal(KEYS), [uuid4()], bytes_literal(KEYS))),
    ("check", CHECK, (KEYS, ["commercial", "tracking"], ["", "news"])),
    ("consent_of", CONSENT_OF, ([uuid4() for _ in KEYS], ["commercial"])),
]
LARGE = {"vault_subjects", "current_consent", "log_entries", "idempotency_records"}


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


@pytest.fixture(scope="module", autouse=True)
async def _statistics_of_many_tenants(database: DatabaseAddress) -> AsyncIterator[None]:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    subjects = [
        (1_000_000 + tenant, uuid4(), "EMAIL", os.urandom(16), b"key", b"address", 1, at)
        for tenant in range(430)
        for _ in range(900 if tenant % 40 == 0 else 1)
    ]
    columns = ["tenant", "contact_point", "channel", "blind_index", "wrapped_key", "sealed_address", "first_position"]
    connection = await asyncpg.connect(**database.owner)
    await connection.copy_records_to_table(
        "vault_subjects", records=subjects, columns=[*columns, "created_at"], schema_name="consentry"
    )
    await connection.execute("ANALYZE")
    yield
    await connection.execute("DELETE FROM vault_subjects WHERE tenant >= 1000000")
    await connection.close()


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize(("name", "statement", "arguments"), STATEMENTS, ids=[name for name, *_ in STATEMENTS])
async def test_each_key_is_an_index_probe(
    tenant: Tenant, caller: Caller, name: str, statement: str, arguments: tuple[Any, ...], generic: bool
) -> None:
    captures = [
        Capture(
            channel=Channel.EMAIL,
            address=f"p{number}@example.org",
            purpose="commercial",
            value=ConsentValue.OPTED_OUT,
            idempotency_key=str(number),
        )
        for number in range(900)
    ]
    await record_consents(tenant, caller, captures)
    await _probes(tenant, name, statement, arguments, generic=generic)


@pytest.mark.parametrize("generic", [False, True])
async def test_nor_is_a_small_table_read_as_a_whole(
    database: DatabaseAddress, tmp_path: Path, caller: Caller, generic: bool
) -> None:
    """A plan is kept until the table is analysed anew, and by then it may have grown from three rows to thousands."""
    async with database_beside(database) as beside, ledger_on(beside, tmp_path / "master.key") as ledger:
        tenant = await create_tenant(ledger, "small", "Small")
        for number in range(3):
            await record_consents(tenant, caller, [Capture(
                channel=Channel.EMAIL, address=f"p{number}@example.org", purpose="commercial", value=ConsentValue.OPTED_OUT,
                idempotency_key=str(number),
            )])  # fmt: skip
        owner = await asyncpg.connect(**beside.owner)
        await owner.execute("VACUUM ANALYZE")
        await owner.close()
        for name, statement, arguments in STATEMENTS:
            for node in await _explained(tenant, statement, arguments, generic=generic):
                relation, condition = node.get("Relation Name"), node.get("Index Cond", "")
                if relation in LARGE:
                    assert "tenant" in condition, (name, relation)
                    # Of three rows any index that begins with the tenant is as good for what is named by its id.
                    keys = ("blind_index", "contact_point", "stream", "key_hash")
                    by_id = "contact_point" in node.get("Filter", "")
                    assert by_id or any(column in condition for column in keys), (name, relation, condition)


async def _probes(tenant: Tenant, name: str, statement: str, arguments: tuple[Any, ...], *, generic: bool) -> None:
    """Hold a statement to what this file says of it."""
    for node in await _explained(tenant, statement, arguments, generic=generic):
        relation = node.get("Relation Name")
        assert not (relation in LARGE and node["Node Type"] == "Seq Scan"), (name, relation)
        if relation in LARGE:
            condition = node.get("Index Cond") or node.get("Recheck Cond") or ""
            assert "tenant" in condition
            assert any(column in condition for column in ("blind_index", "contact_point", "stream", "key_hash")), (
                relation,
                node.get("Index Name"),
                condition,
            )


async def _explained(
    tenant: Tenant, statement: str, arguments: tuple[Any, ...], *, generic: bool
) -> list[dict[str, Any]]:
    async with tenant.ledger.connection() as connection, connection.transaction():
        mode = "force_generic_plan" if generic else "force_custom_plan"
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", tenant.id, *arguments)
    return nodes(json.loads(text)[0]["Plan"])


@pytest.mark.parametrize("keys", [1, 7, 512])
@pytest.mark.parametrize(("name", "statement", "arguments"), STATEMENTS, ids=[name for name, *_ in STATEMENTS])
async def test_they_are_not_planned_again_however_few_are_asked_for(
    tenant: Tenant, name: str, statement: str, arguments: tuple[Any, ...], keys: int
) -> None:
    """For its first five parameters PostgreSQL plans a statement anew; then it has to have found that this is no use."""
    few = (bytes_literal(KEYS[:keys]), [], bytes_literal(KEYS[:keys])) if name == "append_lookup" else (
        arguments[0][:keys], *arguments[1:]
    )  # fmt: skip
    async with tenant.ledger.connection() as connection:
        prepared = await connection.prepare(statement)
        for _ in range(8):
            await prepared.fetch(tenant.id, *few)
        plans = await connection.fetchrow(
            "SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE name = $1", prepared.get_name()
        )
    assert plans is not None
    assert (plans["custom_plans"], plans["generic_plans"]) == (5, 3)
