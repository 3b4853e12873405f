"""Reading somebody's log from its tiles, trusting nothing but a checkpoint.

The partial tiles at the right edge hold, between them, the perfect subtrees that make the root, so they are checked against
the checkpoint first. Each full tile is the hash of one place in the tile above it, and is checked against that before it is
used. So whatever is handed out has been shown to be in the tree of the checkpoint; who signed the checkpoint is for
`tlog.checkpoint` to say.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator

from tlog.checkpoint import Checkpoint
from tlog.compact_range import EMPTY, CompactRange
from tlog.hashing import leaf_hash
from tlog.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    MalformedTile,
    Tile,
    decode_entries,
    split_hashes,
    tile_available,
    tile_of_node,
)

# A proof asks for at most eight tiles, one for each level; neighbouring proofs ask for mostly the same.
CACHED_TILES_MAX = 128


class LogMismatch(ValueError):
    """What a log serves is not what its checkpoint says.

    `path` is where (`checkpoint`, if the tiles agree among themselves as far as was seen), `position` the index of the
    first entry concerned, where it can be told.
    """

    def __init__(self, path: str, difference: str, position: int | None = None) -> None:
        super().__init__(f"{path}: {difference}")
        self.path = path
        self.position = position


class TileReader:
    """A log's tree and entries, as of a checkpoint. `fetch` gets the bytes at a path; what it raises passes through."""

    def __init__(self, fetch: Callable[[str], bytes], checkpoint: Checkpoint) -> None:
        self._fetch = fetch
        self._checkpoint = checkpoint
        self._edge: dict[int, list[bytes]] | None = None
        self._full: OrderedDict[tuple[int, int], list[bytes]] = OrderedDict()

    def verified_entries(self, *, progress: Callable[[int], None] | None = None) -> Iterator[bytes]:
        """All entries in order, each shown to be in the tree before it is given, in memory that does not grow.

        Every tile of every level is checked on the way. `progress` is told after each bundle how many entries were given.
        Raises LogMismatch, also at the end: a caller who needs the whole log takes all of it.
        """
        size, given, grown = self._checkpoint.size, 0, EMPTY
        self._right_edge()
        while given < size:
            index = given // TILE_WIDTH
            leaf_hashes = self._tile(0, index)
            entries = self._bundle(index, leaf_hashes)
            yield from entries
            given += len(entries)
            grown = grown.append_many(leaf_hashes)
            if progress is not None:
                progress(given)
        # Once more by a way that knows no tiles.
        if grown.root() != self._checkpoint.root:
            raise LogMismatch("checkpoint", f"its root is not that of the {size} entries")

    def verify_tree(self) -> None:
        """Fetch all tiles of hashes, and return if they hash up to the checkpoint's root. Raises LogMismatch."""
        self._right_edge()
        # Each tile above holds the hash of a full one at level 0, so these lead through all of them.
        for index in range(self._checkpoint.size // TILE_WIDTH):
            self._tile(0, index)

    def node_at(self, level: int, index: int) -> bytes:
        """The node (level, index) for `tlog.prove`, shown to be in the tree.

        Raises LogMismatch, and ValueError if the tree has no such perfect subtree.
        """
        if level < 0 or index < 0 or (index + 1) << level > self._checkpoint.size:
            raise ValueError(f"a tree of {self._checkpoint.size} leaves has no perfect subtree ({level}, {index})")
        tile_level, tile_index, first, count = tile_of_node(level, index)
        return _root(self._tile(tile_level, tile_index)[first : first + count])

    def _tile(self, level: int, index: int) -> list[bytes]:
        """The hashes of a tile of this tree, checked."""
        if tile_available(level, index, self._checkpoint.size) < TILE_WIDTH:
            return self._right_edge()[level]
        hashes = self._full.get((level, index))
        if hashes is not None:
            self._full.move_to_end((level, index))
            return hashes
        above, place = divmod(index, TILE_WIDTH)
        expected = self._tile(level + 1, above)[place]
        tile = Tile(level, index, TILE_WIDTH)
        hashes = self._hashes(tile)
        if _root(hashes) != expected:
            first = index << TILE_HEIGHT * (level + 1)
            last = ((index + 1) << TILE_HEIGHT * (level + 1)) - 1
            raise LogMismatch(
                tile.path(),
                f"its hashes, over the entries {first} to {last}, lead to another hash than the tile above has for them",
                first,
            )
        self._full[(level, index)] = hashes
        if len(self._full) > CACHED_TILES_MAX:
            self._full.popitem(last=False)
        return hashes

    def _right_edge(self) -> dict[int, list[bytes]]:
        """The partial tile of each level that has one, checked against the checkpoint's root."""
        if self._edge is not None:
            return self._edge
        size = self._checkpoint.size
        edge: dict[int, list[bytes]] = {}
        frontier: list[bytes] = []
        paths: list[str] = []
        for level in reversed(range(_levels(size))):
            full, width = divmod(size >> TILE_HEIGHT * level, TILE_WIDTH)
            if width:
                tile = Tile(level, full, width)
                edge[level] = self._hashes(tile)
                frontier.extend(EMPTY.append_many(edge[level]).hashes)
                paths.append(tile.path())
        if CompactRange(size, tuple(frontier)).root() != self._checkpoint.root:
            served = " and ".join(paths) or "an empty tree"
            raise LogMismatch("checkpoint", f"its root for {size} entries is not the one that {served} leads to")
        self._edge = edge
        return edge

    def _hashes(self, tile: Tile) -> list[bytes]:
        try:
            return split_hashes(self._fetch(tile.path()), tile.width)
        except MalformedTile as error:
            raise LogMismatch(tile.path(), str(error)) from None

    def _bundle(self, index: int, leaf_hashes: list[bytes]) -> list[bytes]:
        path = Tile(None, index, len(leaf_hashes)).path()
        start = index * TILE_WIDTH
        try:
            entries = decode_entries(self._fetch(path), len(leaf_hashes))
        except MalformedTile as error:
            raise LogMismatch(path, str(error), start) from None
        for position, (entry, expected) in enumerate(zip(entries, leaf_hashes, strict=True), start):
            if leaf_hash(entry) != expected:
                raise LogMismatch(
                    path, f"the entry at {position} is not the one whose hash the tree has there", position
                )
        return entries


def _root(hashes: list[bytes]) -> bytes:
    return EMPTY.append_many(hashes).root()


def _levels(size: int) -> int:
    """How many levels of tiles a tree of that size has."""
    return -(-size.bit_length() // TILE_HEIGHT)
