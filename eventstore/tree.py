"""The Merkle tree as stored: leaves in log_entries, roots of full tiles in log_nodes; proofs, roots and tiles from them.

Only perfect subtrees are read, and these never change, so whatever is read for a size stays right while the log grows.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from eventstore.personal.vault import Connected
from tlog import prove
from tlog.hashing import EMPTY_ROOT, HASH_BYTES
from tlog.prove import NodeAt
from tlog.tiles import TILE_WIDTH, Tile, tile_available, tile_of_node

Made = TypeVar("Made")
_UNKNOWN = bytes(HASH_BYTES)

_LEAVES = """
SELECT asked.number, leaf.leaf_hash FROM unnest($2::bigint[], $3::bigint[]) WITH ORDINALITY AS asked (low, high, number)
CROSS JOIN LATERAL (
    SELECT e.position, e.leaf_hash FROM log_entries e
    WHERE e.tenant = $1 AND e.position >= asked.low AND e.position < asked.high OFFSET 0
) AS leaf ORDER BY asked.number, leaf.position
"""
_NODES = """
SELECT asked.number, node.hash
FROM unnest($2::smallint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS asked (level, low, high, number)
CROSS JOIN LATERAL (
    SELECT n.index, n.hash FROM log_nodes n
    WHERE n.tenant = $1 AND n.level = asked.level AND n.index >= asked.low AND n.index < asked.high OFFSET 0
) AS node ORDER BY asked.number, node.index
"""


class TreeIncomplete(Exception):
    """The store lacks a hash that the log's size says is there: it was changed from outside. `verify` says where."""


async def inclusion_proofs(
    connection: Connected, tenant: int, positions: Sequence[int], size: int
) -> dict[int, list[bytes]]:
    """The audit paths of entries in the tree of the first `size`, for 0 <= position < size <= the log's size."""
    return await _made(connection, tenant, size, lambda node_at: prove.inclusions(positions, size, node_at))


async def consistency_proof(connection: Connected, tenant: int, first: int, second: int) -> list[bytes]:
    """That the tree of `second` entries starts with that of `first`, for 0 < first <= second <= the log's size."""
    return await _made(connection, tenant, second, lambda node_at: prove.consistency(first, second, node_at))


async def root_at(connection: Connected, tenant: int, size: int) -> bytes:
    """The root of the tree of the first `size` entries, for 0 <= size <= the log's size."""
    if size == 0:
        return EMPTY_ROOT
    return await _made(connection, tenant, size, lambda node_at: prove.subtree_root(0, size, node_at))


async def tile_hashes(connection: Connected, tenant: int, tiles: Sequence[Tile]) -> list[list[bytes]]:
    """The hashes of tiles, each of its width. Raises TreeIncomplete where the log is not that long."""
    leaves = [tile for tile in tiles if tile.level == 0]
    higher = [tile for tile in tiles if tile.level != 0]
    found: dict[Tile, list[bytes]] = {tile: [] for tile in tiles}
    if leaves:
        for number, leaf in await connection.fetch(_LEAVES, tenant, *_ranges(leaves)):
            found[leaves[number - 1]].append(leaf)
    if higher:
        levels = [tile.level for tile in higher]
        for number, node in await connection.fetch(_NODES, tenant, levels, *_ranges(higher)):
            found[higher[number - 1]].append(node)
    if any(len(hashes) != tile.width for tile, hashes in found.items()):
        raise TreeIncomplete("hashes of the tree are missing")
    return [found[tile] for tile in tiles]


async def entry_bundle(connection: Connected, tenant: int, tile: Tile) -> list[bytes]:
    """The entries of a bundle. Raises TreeIncomplete where the log is not that long."""
    low = tile.index * TILE_WIDTH
    rows = await connection.fetch(
        "SELECT entry FROM log_entries WHERE tenant = $1 AND position >= $2 AND position < $3 ORDER BY position",
        tenant,
        low,
        low + tile.width,
    )
    if len(rows) != tile.width:
        raise TreeIncomplete("entries of the log are missing")
    return [row[0] for row in rows]


def _ranges(tiles: Iterable[Tile]) -> tuple[list[int], list[int]]:
    lows = [tile.index * TILE_WIDTH for tile in tiles]
    return lows, [low + tile.width for low, tile in zip(lows, tiles, strict=True)]


async def _made(connection: Connected, tenant: int, size: int, make: Callable[[NodeAt], Made]) -> Made:
    """What `make` makes of the nodes that it asks for: asked once to learn which, then read in two statements."""
    wanted: set[tuple[int, int]] = set()

    def ask(level: int, index: int) -> bytes:
        wanted.add((level, index))
        return _UNKNOWN

    make(ask)
    tiles: dict[tuple[int, int], Tile] = {}
    for level, index in wanted:
        tile_level, tile_index, _, _ = tile_of_node(level, index)
        width = tile_available(tile_level, tile_index, size)
        tiles[tile_level, tile_index] = Tile(tile_level, tile_index, width)
    hashes = dict(zip(tiles, await tile_hashes(connection, tenant, list(tiles.values())), strict=True))
    known: dict[tuple[int, int], bytes] = {}

    def node_at(level: int, index: int) -> bytes:
        node = known.get((level, index))
        if node is None:
            tile_level, tile_index, first, count = tile_of_node(level, index)
            nodes = prove.nodes_of(hashes[tile_level, tile_index][first : first + count])
            node = known[level, index] = nodes(count.bit_length() - 1, 0)
        return node

    return make(node_at)
