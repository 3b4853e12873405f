"""Pages of the log walk along an index from where they begin, on a log that has grown since statistics were taken."""

import json
from typing import Any

import pytest

from eventstore import read
from eventstore.read import EVERYTHING, EntryFilter
from ledger.assembly import Tenant

PURPOSE = EntryFilter(purpose="commercial")
PAGES = {
    "all, forward": read.forward_statement(0, EVERYTHING, after=1_000, limit=500),
    "from a position, forward": read.forward_statement(0, EntryFilter(from_position=900), after=-1, limit=500),
    "some, forward": read.forward_statement(0, PURPOSE, after=1_000, limit=500),
    "all, backward": read.backward_statement(0, EVERYTHING, before=None, limit=500),
    "some, backward": read.backward_statement(0, PURPOSE, before=19_000, limit=500),
}


@pytest.mark.parametrize("generic", [False, True])
async def test_a_page_is_a_walk_along_the_positions(tenant: Tenant, generic: bool) -> None:
    async with tenant.ledger.connection() as connection:
        await connection.execute(
            "INSERT INTO log_entries (tenant, position, stream, number, recorded_at, type, purpose, entry, leaf_hash)"
            " SELECT $1, n, gen_random_uuid(), 0, now(), 'ConsentCaptured', 'commercial', '', ''"
            " FROM generate_series(1000, 20000) AS n",
            tenant.id,
        )
        mode = "force_generic_plan" if generic else "force_custom_plan"
        async with connection.transaction():
            await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
            for name, (statement, parameters) in PAGES.items():
                text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", tenant.id, *parameters[1:])
                assert walks(json.loads(text)[0]["Plan"]) == ["Limit", "Index Scan log_entries_pkey"], name


def walks(plan: dict[str, Any]) -> list[str]:
    named = f"{plan['Node Type']} {plan['Index Name']}" if "Index Name" in plan else plan["Node Type"]
    return [named, *(step for child in plan.get("Plans", []) for step in walks(child))]
