"""The plan of "who knew of these events": an index probe for each event and each application or webhook, however much is kept."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from eventstore.database import DatabaseAddress
from ledger.acknowledgements import _KNOWN
from ledger.assembly import Tenant
from tests.plans.test_hot_statements import nodes

LARGE = {"webhook_deliveries": ("webhook", "position"), "acknowledgements": ("application", "position")}
AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("analysed", [False, True])
async def test_each_event_is_a_probe_of_an_index(
    tenant: Tenant, database: DatabaseAddress, generic: bool, analysed: bool
) -> None:
    connection = await asyncpg.connect(**database.owner)
    try:
        async with connection.transaction():
            await connection.copy_records_to_table(
                "webhook_deliveries",
                records=[(tenant.id, webhook, position, 1, AT, 1, 200) for webhook in (uuid4(), uuid4())
                         for position in range(4_000)],
                schema_name="consentry",
            )  # fmt: skip
            await connection.copy_records_to_table(
                "acknowledgements",
                records=[(tenant.id, name, position, AT) for name in ("a", "b") for position in range(4_000)],
                schema_name="consentry",
            )
            if analysed:
                await connection.execute("ANALYZE webhook_deliveries, acknowledgements")
            mode = "force_generic_plan" if generic else "force_custom_plan"
            await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
            text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {_KNOWN}", tenant.id, list(range(100)))
            probed: dict[str, Any] = {
                node["Relation Name"]: node.get("Index Cond", node["Node Type"])
                for node in nodes(json.loads(text)[0]["Plan"])
                if node.get("Relation Name") in LARGE
            }
            assert set(probed) == set(LARGE)
            for relation, columns in LARGE.items():
                assert all(f"{column} " in probed[relation].replace('"', "") for column in ("tenant", *columns)), (
                    probed[relation]
                )
            raise _Undo
    except _Undo:
        pass
    finally:
        await connection.close()


class _Undo(Exception):
    """Nothing of this stays."""
