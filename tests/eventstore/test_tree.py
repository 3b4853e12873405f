"""The tree as stored against a naive one: tiles, roots and proofs at every size around where tiles fill, up to 70,000."""

import hashlib
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest

from domain.addresses import Channel
from domain.consent import ConsentValue
from eventstore import read, tree
from eventstore.database import DatabaseAddress
from eventstore.migrate import migrate, migrations
from eventstore.tree import TreeIncomplete
from ledger.assembly import Caller, Tenant
from ledger.record import Capture, record_consents
from tests.eventstore.test_migrate import connected, empty, named
from tlog.compact_range import EMPTY, TileRoot
from tlog.hashing import node_hash
from tlog.prove import nodes_of
from tlog.tiles import Tile, tile_available, tiles_of
from tlog.verify import verify_consistency, verify_inclusion

__all__ = ["empty"]

LEAVES = 70_000
TENANT = 900_001
LEAF_HASHES = [hashlib.sha256(b"%d" % number).digest() for number in range(LEAVES)]
SIZES = [1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 69_999, 70_000]
COLUMNS = ["tenant", "position", "stream", "number", "recorded_at", "type", "entry", "leaf_hash"]


def roots() -> dict[int, bytes]:
    """The root of every size, by the definition: joined from the naive levels."""
    node_at = nodes_of(LEAF_HASHES)
    found: dict[int, bytes] = {}
    for size in SIZES:
        root, left = None, size
        for level in range(18):
            if left & 1:
                node = node_at(level, left - 1)
                root = node if root is None else node_hash(node, root)
            left >>= 1
        assert root is not None
        found[size] = root
    return found


@pytest.fixture(scope="module")
async def filled(database: DatabaseAddress) -> AsyncIterator[asyncpg.Connection]:
    """A log of 70,000 leaves, its nodes written as the append writes them: with each group, of uneven size.

    In a database of its own: what is known of these tables must not bend the plans of other tests.
    """
    name = f"tree_{secrets.token_hex(4)}"
    owner = await asyncpg.connect(**database.owner)
    await owner.execute(f"CREATE DATABASE {name}")
    address = DatabaseAddress(owner=named(database.owner, name), service=named(database.service, name))
    await migrate(address)
    connection = await asyncpg.connect(**address.owner)
    at, nil = datetime(2026, 1, 1, tzinfo=UTC), UUID(int=0)
    rows = ((TENANT, number, nil, number, at, "T", b"%d" % number, LEAF_HASHES[number]) for number in range(LEAVES))
    await connection.copy_records_to_table("log_entries", records=rows, columns=COLUMNS, schema_name="consentry")
    nodes: list[TileRoot] = []
    grown, start, group = EMPTY, 0, 1
    while start < LEAVES:
        grown = grown.append_many(LEAF_HASHES[start : start + group], nodes)
        start, group = start + group, group * 5 % 509 + 1
    records = [(TENANT, *node) for node in nodes]
    await connection.copy_records_to_table(
        "log_nodes", records=records, columns=["tenant", "level", "index", "hash"], schema_name="consentry"
    )
    assert grown.root() == roots()[LEAVES]
    yield connection
    await connection.close()
    await owner.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await owner.close()


async def test_roots_and_consistency_at_every_size(filled: asyncpg.Connection) -> None:
    expected = roots()
    for size in SIZES:
        assert await tree.root_at(filled, TENANT, size) == expected[size], size
    for first, second in zip(SIZES, SIZES[1:], strict=False):
        proof = await tree.consistency_proof(filled, TENANT, first, second)
        verify_consistency(first, second, proof, expected[first], expected[second])


@pytest.mark.parametrize("size", SIZES)
async def test_inclusion_at_every_size(filled: asyncpg.Connection, size: int) -> None:
    positions = sorted(
        {position for position in (0, 1, 254, 255, 256, 511, 65_535, 65_536, size // 2, size - 1) if position < size}
    )
    proofs = await tree.inclusion_proofs(filled, TENANT, positions, size)
    for position in positions:
        verify_inclusion(position, size, LEAF_HASHES[position], proofs[position], roots()[size])


@pytest.mark.parametrize("size", [1, *range(250, 261), *range(65_530, 65_541), LEAVES])
async def test_the_tiles_of_every_size(filled: asyncpg.Connection, size: int) -> None:
    node_at = nodes_of(LEAF_HASHES)
    tiles = [tile for tile in tiles_of(size) if tile.index in (0, 1, 255, 256, 272, 273) or tile.level != 0]
    found = await tree.tile_hashes(filled, TENANT, tiles)
    for tile, hashes in zip(tiles, found, strict=True):
        assert tile.level is not None
        start = tile.index * 256
        assert hashes == [node_at(8 * tile.level, index) for index in range(start, start + tile.width)], tile
    bundle = next(tile for tile in reversed(tiles) if tile.level == 0)
    start = bundle.index * 256
    entries = await tree.entry_bundle(filled, TENANT, Tile(None, bundle.index, bundle.width))
    assert entries == [b"%d" % number for number in range(start, start + bundle.width)]


async def test_a_hash_that_is_missing_is_told(filled: asyncpg.Connection) -> None:
    with pytest.raises(TreeIncomplete):
        await tree.tile_hashes(filled, TENANT, [Tile(0, 273, 113)])
    with pytest.raises(TreeIncomplete):
        await tree.root_at(filled, TENANT, LEAVES + 1)
    with pytest.raises(TreeIncomplete):
        await tree.entry_bundle(filled, TENANT, Tile(None, 274, 1))


async def test_appends_write_the_nodes_of_the_tiles_they_fill(tenant: Tenant, caller: Caller) -> None:
    for start in (0, 240, 480):
        captures = [
            Capture(
                channel=Channel.EMAIL, address=f"a{n}@example.org", purpose="commercial", value=ConsentValue.OPTED_OUT
            )
            for n in range(start, start + 240)
        ]
        await record_consents(tenant, caller, captures)
    async with tenant.ledger.connection() as connection:
        head = await read.head(connection, tenant.id)
        leaves = [entry.leaf_hash for entry in await read.forward(connection, tenant.id, limit=10_000)]
        assert tile_available(1, 0, head.size) == 2
        [nodes] = await tree.tile_hashes(connection, tenant.id, [Tile(1, 0, 2)])
        assert nodes == [nodes_of(leaves[:512])(8, 0), nodes_of(leaves[:512])(8, 1)]
        assert await tree.root_at(connection, tenant.id, head.size) == head.root


async def test_the_nodes_of_a_log_from_before_there_were_any_are_made(
    empty: DatabaseAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_only = migrations()[:1]
    with monkeypatch.context() as patched:
        patched.setattr("eventstore.migrate.migrations", lambda: first_only)
        await migrate(empty)
    at, nil = datetime(2026, 1, 1, tzinfo=UTC), UUID(int=0)
    async with connected(empty.owner) as connection:
        for tenant, leaves in ((1, 66_000), (2, 600), (3, 3)):
            rows = [(tenant, number, nil, number, at, "T", b"{}", LEAF_HASHES[number]) for number in range(leaves)]
            await connection.copy_records_to_table(
                "log_entries", records=rows, columns=COLUMNS, schema_name="consentry"
            )
        await migrate(empty)
        for tenant, leaves in ((1, 66_000), (2, 600), (3, 3)):
            nodes: list[TileRoot] = []
            grown = EMPTY.append_many(LEAF_HASHES[:leaves], nodes)
            rows = await connection.fetch(
                "SELECT level, index, hash FROM log_nodes WHERE tenant = $1 ORDER BY level, index", tenant
            )
            assert [tuple(row) for row in rows] == sorted(nodes)
            assert await tree.root_at(connection, tenant, leaves) == grown.root()
