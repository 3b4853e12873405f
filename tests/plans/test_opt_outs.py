"""The plan of "opt-outs after a place": a range of an index that holds these alone, however much else is in the log."""

import json
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest

from eventstore.database import DatabaseAddress
from ledger.assembly import Tenant
from ledger.propagation import OPT_OUTS
from tests.plans.test_hot_statements import nodes

AT = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = ["tenant", "position", "stream", "number", "recorded_at", "type", "value", "entry", "leaf_hash"]


class _Undo(Exception):
    """Nothing of this stays."""


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("analysed", [False, True])
async def test_a_page_is_a_range_of_the_opt_outs_index(
    tenant: Tenant, database: DatabaseAddress, generic: bool, analysed: bool
) -> None:
    connection = await asyncpg.connect(**database.owner)
    try:
        async with connection.transaction():
            await connection.copy_records_to_table(
                "log_entries",
                records=[
                    (tenant.id, position, uuid4(), 0, AT, "ConsentCaptured", "OPTED_IN" if position % 50 else "OPTED_OUT",
                     b"x" * 200, b"y" * 32)
                    for position in range(1_000, 9_000)
                ],
                columns=COLUMNS,
                schema_name="consentry",
            )  # fmt: skip
            if analysed:
                await connection.execute("ANALYZE log_entries")
            mode = "force_generic_plan" if generic else "force_custom_plan"
            await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
            text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {OPT_OUTS}", tenant.id, 1_500, 9_000, 50)
            [scan] = [node for node in nodes(json.loads(text)[0]["Plan"]) if node.get("Relation Name") == "log_entries"]
            assert scan.get("Index Name") == "log_entries_opt_outs", scan
            assert "tenant" in scan["Index Cond"]
            assert "position" in scan["Index Cond"]
            raise _Undo
    except _Undo:
        pass
    finally:
        await connection.close()
