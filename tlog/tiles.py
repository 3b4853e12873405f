"""Tiles: a tree cut into files of 256 hashes, from which anybody makes the proofs they want (C2SP tlog-tiles).

Tile (l, n) holds the hashes i = 0 to 255 of

    MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l])

so level 0 holds leaf hashes, and each hash above is the root of one full tile below. The last tile of a level is partial,
and named by its width; as soon as it is full it never changes. The entries themselves are bundled like the tiles of level
0, each with its length in two bytes before it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tlog.hashing import HASH_BYTES

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
LEVEL_MAX = 63
INDEX_END = 1 << 63
ENTRY_BYTES_MAX = 65_535

_PREFIX_BYTES = 2
_PATH = re.compile(r"tile/([^/]*)/(.*?)(?:\.p/([^/]*))?", re.DOTALL)
_LEVEL = re.compile(r"0|[1-9][0-9]?")
# Seven elements of three digits hold every index.
_INDEX = re.compile(r"(?:x[0-9]{3}/){0,6}[0-9]{3}")
_WIDTH = re.compile(r"[1-9][0-9]{0,2}")


class MalformedTilePath(ValueError):
    """No tile has such a path, or such numbers."""


class MalformedTile(ValueError):
    """The bytes are not those of a tile of that width."""


@dataclass(frozen=True, slots=True)
class Tile:
    """The name of a tile: level None is a bundle of entries, a width of 256 a full tile. Raises MalformedTilePath."""

    level: int | None
    index: int
    width: int

    def __post_init__(self) -> None:
        if self.level is not None and not 0 <= self.level <= LEVEL_MAX:
            raise MalformedTilePath(f"a tile's level is from 0 to {LEVEL_MAX}")
        if not 0 <= self.index < INDEX_END:
            raise MalformedTilePath("a tile's index is from 0 to below 2^63")
        if not 1 <= self.width <= TILE_WIDTH:
            raise MalformedTilePath(f"a tile's width is from 1 to {TILE_WIDTH}")

    def path(self) -> str:
        """Where a log serves it, below its prefix: tile/0/x001/x234/067.p/8."""
        level = "entries" if self.level is None else self.level
        rest, last = divmod(self.index, 1000)
        elements = f"{last:03}"
        while rest:
            rest, element = divmod(rest, 1000)
            elements = f"x{element:03}/{elements}"
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{elements}{partial}"


def parse_tile_path(path: str) -> Tile:
    """The tile of that path, in its one spelling (C2SP tlog-tiles, "Merkle Tree"). Raises MalformedTilePath."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise MalformedTilePath("a tile's path is tile/LEVEL/INDEX, for a partial tile with .p/WIDTH after it")
    level, index, width = match.groups()
    if level != "entries" and _LEVEL.fullmatch(level) is None:
        raise MalformedTilePath(f"a tile's level is entries or from 0 to {LEVEL_MAX}, without leading zeroes")
    if _INDEX.fullmatch(index) is None or index.startswith("x000/"):
        raise MalformedTilePath(
            "a tile's index is elements of three digits, no more than needed, all but the last after x"
        )
    if width is not None and (_WIDTH.fullmatch(width) is None or int(width) >= TILE_WIDTH):
        raise MalformedTilePath(f"a partial tile's width is from 1 to {TILE_WIDTH - 1}, without leading zeroes")
    return Tile(
        None if level == "entries" else int(level),
        int(index.replace("x", "").replace("/", "")),
        TILE_WIDTH if width is None else int(width),
    )


def tiles_of(size: int) -> Iterator[Tile]:
    """All tiles of hashes of a tree of `size` leaves, full and partial, from the leaves up; none is empty."""
    level, hashes = 0, size
    while hashes:
        full, partial = divmod(hashes, TILE_WIDTH)
        for index in range(full):
            yield Tile(level, index, TILE_WIDTH)
        if partial:
            yield Tile(level, full, partial)
        # Only full tiles have a hash above.
        level, hashes = level + 1, full


def tile_available(level: int, index: int, size: int) -> int:
    """How many hashes that tile has in the tree of `size` leaves: from 0, there is none, to 256."""
    return min(TILE_WIDTH, max(0, (size >> TILE_HEIGHT * level) - index * TILE_WIDTH))


def tile_of_node(level: int, index: int) -> tuple[int, int, int, int]:
    """Where the node (level, index) of `tlog.prove` is found: it is the root over some hashes of one tile.

    Gives the tile's level and index, the first of these hashes in it, and their number.
    """
    tile_level, height = divmod(level, TILE_HEIGHT)
    tile_index, first = divmod(index << height, TILE_WIDTH)
    return tile_level, tile_index, first, 1 << height


def split_hashes(raw: bytes, width: int) -> list[bytes]:
    """The hashes of a tile of that width. Raises MalformedTile."""
    if len(raw) != width * HASH_BYTES:
        raise MalformedTile(f"{width} hashes have {width * HASH_BYTES} bytes, and here are {len(raw)}")
    return [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)]


def encode_entries(entries: Iterable[bytes]) -> bytes:
    """A bundle of entries (C2SP tlog-tiles, "Log entries"). Raises ValueError for one of more than 65,535 bytes."""
    raw = bytearray()
    for entry in entries:
        if len(entry) > ENTRY_BYTES_MAX:
            raise ValueError(f"an entry in a bundle has at most {ENTRY_BYTES_MAX} bytes")
        raw += len(entry).to_bytes(_PREFIX_BYTES, "big") + entry
    return bytes(raw)


def decode_entries(raw: bytes, count: int) -> list[bytes]:
    """The entries of a bundle of that many. Raises MalformedTile for one cut short, or holding more or fewer."""
    entries: list[bytes] = []
    at = 0
    while at < len(raw) and len(entries) < count:
        start = at + _PREFIX_BYTES
        at = start + int.from_bytes(raw[at:start], "big")
        if start > len(raw) or at > len(raw):
            raise MalformedTile(f"the bundle is cut short in number {len(entries)} of its entries")
        entries.append(raw[start:at])
    if len(entries) != count:
        raise MalformedTile(f"the bundle has {len(entries)} entries, and {count} are due")
    if at != len(raw):
        raise MalformedTile(f"the bundle has {len(raw) - at} bytes after its {count} entries")
    return entries
