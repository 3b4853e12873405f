"""Counts that are kept are those of the whole count, in whatever snapshot, whoever wrote bits in between."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.consent import ConsentValue
from eventstore.database import DatabaseAddress
from ledger.assembly import Ledger
from projections.selection import CHUNK_BITS, BitsKey, Kind, mask_of, positions_in, write_bits
from projections.selection_counts import KeptCounts
from projections.selection_masks import LevelAsked, Masks, Passing

TENANTS = count(500_000)
CHUNKS = 8
KEYS = [
    ("", "", Kind.PRESENT),
    ("", "", Kind.BOUNCED),
    ("", "", Kind.RETURNED),
    ("commercial", "root", Kind.OPTED_IN),
    ("commercial", "root", Kind.OPTED_OUT),
    ("commercial", "emea", Kind.OPTED_OUT),
]
PASSING = [
    Passing(),
    Passing(sending=frozenset((ConsentValue.OPTED_IN,))),
    Passing(sending=frozenset((ConsentValue.OPTED_IN, ConsentValue.NOT_SET))),
    Passing(sending=frozenset((ConsentValue.OPTED_IN, ConsentValue.NOT_SET)), negated=True),
    Passing(value=ConsentValue.OPTED_OUT),
]
ROW = st.tuples(st.sampled_from(KEYS), st.integers(0, CHUNKS - 1))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.dictionaries(ROW, st.integers(0, 2**16 - 1), min_size=1, max_size=20)),
        st.tuples(st.just("delete"), ROW),
        st.tuples(st.just("snapshot"), st.none()),
        # (which snapshot, whose counts, which question, whether units beside the purpose's count)
        st.tuples(
            st.just("ask"),
            st.tuples(st.integers(0, 3), st.integers(0, 1), st.sampled_from(PASSING), st.booleans()),
        ),
    ),
    min_size=5,
    max_size=40,
)


def key_of(row: tuple[tuple[str, str, Kind], int]) -> BitsKey:
    (purpose, unit, kind), chunk = row
    return BitsKey("EMAIL", purpose, "", unit, kind, chunk)


def masks_of(tenant: int, *, other_units: bool = False) -> Masks:
    return Masks(tenant, "EMAIL", [LevelAsked(("commercial", ""), ["root"], other_units=other_units)])


async def start_snapshot(connection: asyncpg.Connection) -> None:
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT count(*) FROM selection_bits")


@contextlib.asynccontextmanager
async def connected(address: DatabaseAddress, number: int) -> AsyncIterator[list[asyncpg.Connection]]:
    connections = [await asyncpg.connect(**address.owner) for _ in range(number)]
    try:
        yield connections
    finally:
        for connection in connections:
            await connection.close()


async def told(connection: asyncpg.Connection, kept: KeptCounts, masks: Masks, passing: Passing) -> int:
    """What is kept says, which must be what is counted, in all and by chunk."""
    mask = masks.passing(passing)
    by_chunk = dict(await masks.counts(connection, mask))
    everyone = [
        at for chunk, bits in await masks.chunks(connection, mask, range(CHUNKS)) for at in positions_in(chunk, bits)
    ]
    for after, until, limit in ((-1, None, 100), (-1, None, 3), (CHUNK_BITS // 2, 3 * CHUNK_BITS, 7)):
        wanted = [at for at in everyone if at > after and at not in everyone[1:2] and (until is None or at <= until)]
        found = await kept.positions(
            connection, masks, mask, after=after, until=until, limit=limit, without=frozenset(everyone[1:2])
        )
        assert found == wanted[:limit]
    counted = await kept.of(connection, masks, mask)
    assert counted.total == sum(by_chunk.values())
    assert list(counted.holding(0)) == sorted(chunk for chunk, number in by_chunk.items() if number)
    assert [counted.by_chunk[chunk] for chunk in counted.holding(0)] == [by_chunk[c] for c in counted.holding(0)]
    return counted.total


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_what_is_kept_is_what_is_counted(database: DatabaseAddress, steps: list[tuple[str, Any]]) -> None:
    tenant = next(TENANTS)
    keepers = [KeptCounts(), KeptCounts()]
    async with connected(database, 5) as (writer, *readers):
        for reader in readers:
            await start_snapshot(reader)
        oldest = 0
        for what, how in steps:
            if what == "write":
                async with writer.transaction():
                    await write_bits(writer, tenant, {key_of(row): bits for row, bits in how.items()})
            elif what == "delete":
                key = key_of(how)
                await writer.execute(
                    "DELETE FROM selection_bits WHERE tenant = $1 AND purpose = $2 AND unit = $3 AND kind = $4"
                    " AND chunk = $5",
                    tenant, key.purpose, key.unit, key.kind, key.chunk,
                )  # fmt: skip
            elif what == "snapshot":
                await readers[oldest].execute("ROLLBACK")
                await start_snapshot(readers[oldest])
                oldest = (oldest + 1) % len(readers)
            else:
                reader, keeper, passing, other_units = how
                await told(readers[reader], keepers[keeper], masks_of(tenant, other_units=other_units), passing)


class _Counting:
    """A connection that knows how many chunks it was asked for."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.asked: list[Any] = []

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        if "bit_count" in statement:
            self.asked.append(sorted(arguments[-1]) if "named" in statement else "all")
        return await self.connection.fetch(statement, *arguments)


async def test_only_what_changed_is_counted_again(database: DatabaseAddress) -> None:
    tenant, kept = next(TENANTS), KeptCounts()
    async with connected(database, 1) as [connection]:
        counting = _Counting(connection)

        async def total() -> int:
            masks = masks_of(tenant)
            return (await kept.of(counting, masks, masks.passing(Passing()))).total  # type: ignore[arg-type]

        async def there(chunk: int, bits: int) -> None:
            await write_bits(connection, tenant, {BitsKey("EMAIL", "", "", "", Kind.PRESENT, chunk): bits})

        for chunk in range(CHUNKS):
            await there(chunk, 0b111)
        assert [await total(), await total()] == [24, 24]
        await there(2, 0b1)
        assert [await total(), await total()] == [22, 22]
        await there(9, 0b11)
        await there(1, 0b11)
        await there(1, 0)
        assert await total() == 21
        assert counting.asked == ["all", [2], [1, 9]]


async def test_who_commits_later_has_the_later_number(database: DatabaseAddress, ledger: Ledger) -> None:
    tenant, kept, masks = next(TENANTS), KeptCounts(), None
    async with connected(database, 3) as (first, second, reader):
        masks = masks_of(tenant)
        there = [BitsKey("EMAIL", "", "", "", Kind.PRESENT, chunk) for chunk in (0, 1)]
        await write_bits(first, tenant, dict.fromkeys(there, 1))
        assert await told(reader, kept, masks, Passing()) == 2
        earlier, later = first.transaction(), second.transaction()
        await earlier.start()
        await later.start()
        await write_bits(first, tenant, {there[0]: 0b111})
        waiting = asyncio.create_task(write_bits(second, tenant, {there[1]: 0b11111}))
        # The second has its bits, and waits for the number: neither is seen.
        while not await reader.fetchval("SELECT cardinality(pg_blocking_pids($1)) > 0", second.get_server_pid()):
            await asyncio.sleep(0)
        assert await told(reader, kept, masks, Passing()) == 2
        await earlier.commit()
        await waiting
        assert await told(reader, kept, masks, Passing()) == 4
        await later.commit()
        assert await told(reader, kept, masks, Passing()) == 8


async def test_what_another_run_of_the_server_said_is_forgotten(database: DatabaseAddress) -> None:
    tenant, kept, masks = next(TENANTS), KeptCounts(), None
    async with connected(database, 1) as [connection]:
        masks = masks_of(tenant)
        there = BitsKey("EMAIL", "", "", "", Kind.PRESENT, 0)
        await write_bits(connection, tenant, {there: 0b1})
        assert await told(connection, kept, masks, Passing()) == 1
        # As if restored from before, and gone another way since: the same number, other bits.
        await connection.execute("SET session_replication_role = replica")
        await write_bits(connection, tenant, {there: 0b11})
        await connection.execute("SET session_replication_role = origin")
        mask = masks.passing(Passing())
        assert (await kept.of(connection, masks, mask)).total == 1  # by its number nothing has changed
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "projections.selection_counts.CHANGED",
                "SELECT v.version, 'another run', '{}'::bigint[] FROM selection_versions v"
                " WHERE v.tenant = $1 AND $2::bigint > 0",
            )
            assert (await kept.of(connection, masks, mask)).total == 2


async def test_memory_is_bounded_and_what_was_not_asked_for_longest_goes(database: DatabaseAddress) -> None:
    tenant, kept = next(TENANTS), KeptCounts(bytes_max=1_500)
    async with connected(database, 1) as [connection]:
        counting = _Counting(connection)
        await write_bits(
            connection, tenant, {BitsKey("EMAIL", "", "", "", Kind.PRESENT, chunk): mask_of(7) for chunk in range(5)}
        )

        async def ask(question: int) -> None:
            masks = masks_of(tenant)
            await kept.of(counting, masks, masks.passing(PASSING[question]))  # type: ignore[arg-type]
            assert kept.size_bytes <= 1_500

        for question in (0, 2, 3, 0, 4):
            await ask(question)
        assert counting.asked == ["all"] * 4
        for question in (0, 3, 4):  # 2 has gone
            await ask(question)
        assert counting.asked == ["all"] * 4
        await ask(2)
        assert counting.asked == ["all"] * 5


async def test_bits_are_not_emptied_unseen(database: DatabaseAddress) -> None:
    async with connected(database, 1) as [connection]:
        with pytest.raises(asyncpg.RaiseError, match="DELETE"):
            await connection.execute("TRUNCATE selection_bits")
