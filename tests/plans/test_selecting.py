"""The plans of selecting: a probe for each late position, and for each kind of bits of a chunk; no index is walked again."""

import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from domain.consent import ConsentValue
from eventstore.database import DatabaseAddress
from ledger.assembly import Tenant
from ledger.selection import MOVED
from projections.selection_counts import CHANGED
from projections.selection_masks import LevelAsked, Masks, Passing
from projections.selection_rebuild import MOVED_IN_CHUNK
from tests.plans.test_hot_statements import nodes
from tests.plans.test_opt_outs import COLUMNS

AT = datetime(2026, 1, 1, tzinfo=UTC)
STATEMENTS = [
    ("moved", MOVED, (8_990, AT, AT, "commercial", 100, 8_999)),
    ("moved in chunk", MOVED_IN_CHUNK, (8_990, 0, 8_192)),
]


class _Undo(Exception):
    """Nothing of this stays."""


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("analysed", [False, True])
@pytest.mark.parametrize(("name", "statement", "arguments"), STATEMENTS, ids=[name for name, *_ in STATEMENTS])
async def test_each_late_position_is_an_index_probe(
    tenant: Tenant,
    database: DatabaseAddress,
    name: str,
    statement: str,
    arguments: tuple[object, ...],
    analysed: bool,
    generic: bool,
) -> None:
    connection = await asyncpg.connect(**database.owner)
    try:
        async with connection.transaction():
            await connection.copy_records_to_table(
                "log_entries",
                records=[
                    (tenant.id, position, uuid4(), 0, AT, "ConsentCaptured", "OPTED_IN", b"x" * 200, b"y" * 32)
                    for position in range(1_000, 9_000)
                ],
                columns=COLUMNS,
                schema_name="consentry",
            )
            if analysed:
                await connection.execute("ANALYZE log_entries")
            mode = "force_generic_plan" if generic else "force_custom_plan"
            await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
            text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", tenant.id, *arguments)
            [scan] = [node for node in nodes(json.loads(text)[0]["Plan"]) if node.get("Relation Name") == "log_entries"]
            assert '("position" = ' in scan["Index Cond"], (name, scan)
            raise _Undo
    except _Undo:
        pass
    finally:
        await connection.close()


class _Recorded:
    """Takes the statement that a count is, in place of a connection."""

    statement = ""
    arguments: tuple[object, ...] = ()

    async def fetch(self, statement: str, *arguments: object) -> list[object]:
        self.statement, self.arguments = statement, arguments
        return []

    async def fetchval(self, statement: str, *arguments: object) -> int:
        self.statement, self.arguments = statement, arguments
        return 0


@contextlib.asynccontextmanager
async def bits_of_300_chunks(
    tenant: Tenant, database: DatabaseAddress, *, analysed: bool, generic: bool
) -> AsyncIterator[asyncpg.Connection]:
    """Of one transaction that is undone."""
    connection = await asyncpg.connect(**database.owner)
    try:
        async with connection.transaction():
            bits = asyncpg.BitString.frombytes(b"\x5a" * 1_024, 8_192)
            for purpose, unit, kind in (("", "", "PRESENT"), ("commercial", "root", "OPTED_IN")):
                await connection.executemany(
                    "INSERT INTO selection_bits (tenant, channel, purpose, topic, unit, kind, chunk, bits)"
                    " VALUES ($1, 'EMAIL', $2, '', $3, $4, $5, $6)",
                    [(tenant.id, purpose, unit, kind, chunk, bits) for chunk in range(300)],
                )
            if analysed:
                await connection.execute("ANALYZE selection_bits, selection_versions, selection_chunks")
            mode = "force_generic_plan" if generic else "force_custom_plan"
            await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
            yield connection
            raise _Undo
    except _Undo:
        pass
    finally:
        await connection.close()


async def scans_of(
    connection: asyncpg.Connection, table: str, statement: str, *arguments: object
) -> list[dict[str, Any]]:
    text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
    return [node for node in nodes(json.loads(text)[0]["Plan"]) if node.get("Relation Name") == table]


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("analysed", [False, True])
@pytest.mark.parametrize("asked", ["all", "chunks", "positions"])
@pytest.mark.parametrize(
    "passing",
    [
        Passing(sending=frozenset((ConsentValue.OPTED_IN, ConsentValue.NOT_SET)), negated=True),
        Passing(sending=frozenset((ConsentValue.OPTED_IN,))),
    ],
    ids=["present", "within opt-ins"],
)
async def test_of_each_chunk_every_kind_of_bits_is_an_index_probe(
    tenant: Tenant, database: DatabaseAddress, passing: Passing, asked: str, analysed: bool, generic: bool
) -> None:
    masks = Masks(tenant.id, "EMAIL", [LevelAsked(("commercial", ""), ["root"], other_units=False)])
    mask = masks.passing(passing)
    recorded: Any = _Recorded()
    if asked == "positions":
        await masks.held(recorded, mask, [7])
    else:
        await masks.counts(recorded, mask, chunks=None if asked == "all" else [7])
    async with bits_of_300_chunks(tenant, database, analysed=analysed, generic=generic) as connection:
        scans = await scans_of(connection, "selection_bits", recorded.statement, *recorded.arguments)
        assert len(scans) >= 4
        # All but the one that says which chunks there are, where that is asked.
        others = [".chunk)" in scan["Index Cond"] for scan in scans].count(False)
        assert others == (1 if asked == "all" else 0), scans


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("analysed", [False, True])
async def test_the_chunks_that_changed_are_found_by_their_number(
    tenant: Tenant, database: DatabaseAddress, analysed: bool, generic: bool
) -> None:
    async with bits_of_300_chunks(tenant, database, analysed=analysed, generic=generic) as connection:
        [scan] = await scans_of(connection, "selection_chunks", CHANGED, tenant.id, 590)
        assert "(version > " in scan["Index Cond"], scan
        assert "Filter" not in scan


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("analysed", [False, True])
@pytest.mark.parametrize(
    "passing",
    [
        Passing(sending=frozenset((ConsentValue.OPTED_IN, ConsentValue.NOT_SET)), negated=True),
        Passing(sending=frozenset((ConsentValue.OPTED_IN,))),
    ],
    ids=["present", "within opt-ins"],
)
async def test_the_next_chunks_are_read_and_no_others(
    tenant: Tenant, database: DatabaseAddress, passing: Passing, analysed: bool, generic: bool
) -> None:
    masks = Masks(tenant.id, "EMAIL", [LevelAsked(("commercial", ""), ["root"], other_units=False)])
    recorded: Any = _Recorded()
    await masks.next_chunks(recorded, masks.passing(passing), chunk=0)
    async with bits_of_300_chunks(tenant, database, analysed=analysed, generic=generic) as connection:
        text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {recorded.statement}", *recorded.arguments)
        scans = [node for node in nodes(json.loads(text)[0]["Plan"]) if node.get("Relation Name") == "selection_bits"]
        assert max(scan["Actual Rows"] * scan["Actual Loops"] for scan in scans) <= 4, scans
