"""Tiles against their recursive definition, their paths in one spelling, and bundles of entries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tlog import reference
from tlog.hashing import leaf_hash
from tlog.prove import NodeAt, nodes_of, subtree_root
from tlog.tiles import (
    MalformedTile,
    MalformedTilePath,
    Tile,
    decode_entries,
    encode_entries,
    parse_tile_path,
    split_hashes,
    tile_available,
    tile_of_node,
    tiles_of,
)

ENTRIES = [b"%d" % number for number in range(70_000)]
SIZES = [*range(6), *range(250, 261), 511, 512, 513, *range(65_530, 65_541), 65_792, 70_000]


@pytest.fixture(scope="module")
def levels() -> list[list[bytes]]:
    """MTH(D[i * 256**l : (i + 1) * 256**l]) for each l and i, by the recursion of the RFC."""
    level = [leaf_hash(entry) for entry in ENTRIES]
    levels = [level]
    for width in (256, 65_536):
        levels.append(
            [reference.mth(ENTRIES[at : at + width]) for at in range(0, len(ENTRIES) - width + 1, width)],
        )
    return levels


@pytest.fixture(scope="module")
def node_at(levels: list[list[bytes]]) -> NodeAt:
    return nodes_of(levels[0])


def defined_tiles(size: int) -> dict[tuple[int, int], int]:
    """By the definition: hash i of tile (l, n) is there if its entries are."""
    widths: dict[tuple[int, int], int] = {}
    for level in range(4):
        index = 0
        while width := sum((index * 256 + i + 1) * 256**level <= size for i in range(256)):
            widths[level, index] = width
            index += 1
    return widths


@pytest.mark.parametrize("size", SIZES)
def test_the_tiles_of_a_tree(size: int) -> None:
    tiles = list(tiles_of(size))
    widths = defined_tiles(size)
    assert {(tile.level, tile.index): tile.width for tile in tiles} == widths
    assert len(tiles) == len(widths)
    for (level, index), width in widths.items():
        assert tile_available(level, index, size) == width
    assert tile_available(0, size // 256 + 1, size) == 0


def test_the_example_of_the_specification() -> None:
    tiles = list(tiles_of(70_000))
    assert sum(tile.level == 0 for tile in tiles) == 274
    assert [tile.path() for tile in tiles if tile.width < 256] == [
        "tile/0/273.p/112",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    assert [tile.path() for tile in tiles_of(256)] == ["tile/0/000", "tile/1/000.p/1"]
    assert Tile(3, 1_234_067, 256).path() == "tile/3/x001/x234/067"


def test_the_hashes_of_tiles_are_nodes_of_the_tree(levels: list[list[bytes]], node_at: NodeAt) -> None:
    for tile in tiles_of(70_000):
        assert tile.level is not None
        for place in range(tile.width):
            index = tile.index * 256 + place
            assert node_at(8 * tile.level, index) == levels[tile.level][index]


def test_each_node_is_the_root_over_hashes_of_one_tile(levels: list[list[bytes]], node_at: NodeAt) -> None:
    size = len(ENTRIES)
    for level in range(17):
        last = (size >> level) - 1
        for index in {0, 1, last // 2, last - 1, last} & set(range(last + 1)):
            tile_level, tile_index, first, count = tile_of_node(level, index)
            assert first + count <= tile_available(tile_level, tile_index, size)
            hashes = levels[tile_level][tile_index * 256 :][first : first + count]
            assert subtree_root(0, count, nodes_of(hashes)) == node_at(level, index)


def test_a_node_too_high_for_a_tile_is_in_the_one_above() -> None:
    assert tile_of_node(0, 257) == (0, 1, 1, 1)
    assert tile_of_node(7, 3) == (0, 1, 128, 128)
    assert tile_of_node(8, 3) == (1, 0, 3, 1)
    assert tile_of_node(62, 0) == (7, 0, 0, 64)


BAD_PATHS = [
    "",
    "tile",
    "tile/",
    "tile/0",
    "tile/0/",
    "/tile/0/000",
    "tile/0/000/",
    "tile/0/000\n",
    " tile/0/000",
    "tile//000",
    "tile/00/000",
    "tile/01/000",
    "tile/64/000",
    "tile/100/000",
    "tile/-1/000",
    "tile/+1/000",
    "tile/٣/000",
    "tile/entry/000",
    "tile/Entries/000",
    "tile/0/0",
    "tile/0/00",
    "tile/0/0000",
    "tile/0/x000",
    "tile/0/x001",
    "tile/0/001/234",
    "tile/0/X001/234",
    "tile/0/x001/x234",
    "tile/0/x000/001",
    "tile/0/x000/x001/001",
    "tile/0/x1/234",
    "tile/0/x0001/234",
    "tile/0/x001//234",
    "tile/0/../000",
    "tile/0/x001/../234",
    "tile/../0/000",
    "tile/0/٠٠٣",
    "tile/0/x٠٠٣/000",
    "tile/0/x009/x223/x372/x036/x854/x775/808",
    "tile/0/x001/x000/x000/x000/x000/x000/x000/000",
    "tile/0/000.p",
    "tile/0/000.p/",
    "tile/0/000.p/0",
    "tile/0/000.p/00",
    "tile/0/000.p/01",
    "tile/0/000.p/256",
    "tile/0/000.p/1000",
    "tile/0/000.p/-1",
    "tile/0/000.p/1/",
    "tile/0/000.p/1.p/1",
    "tile/0/000.p/٣",
    "tile/0/000.P/1",
    "tile/0/000/1",
    "tile/0/000?x",
    "tile/0/000\0",
    "tile/0/%30%30%30",
    "tile\\0\\000",
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(MalformedTilePath, match="a tile's|a partial tile's"):
        parse_tile_path(path)


@pytest.mark.parametrize("tile", [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 1 << 63, 1), (0, 0, 0), (None, 0, 257)])
def test_what_is_no_tile(tile: tuple[int | None, int, int]) -> None:
    with pytest.raises(MalformedTilePath):
        Tile(*tile)


@pytest.mark.parametrize(
    ("path", "tile"),
    [
        ("tile/0/000", Tile(0, 0, 256)),
        ("tile/63/999.p/255", Tile(63, 999, 255)),
        ("tile/entries/000", Tile(None, 0, 256)),
        ("tile/entries/x001/000.p/1", Tile(None, 1000, 1)),
        ("tile/0/x001/x234/067.p/8", Tile(0, 1_234_067, 8)),
        ("tile/7/x009/x223/x372/x036/x854/x775/807", Tile(7, (1 << 63) - 1, 256)),
    ],
)
def test_paths(path: str, tile: Tile) -> None:
    assert parse_tile_path(path) == tile
    assert tile.path() == path


@given(
    st.none() | st.integers(0, 63),
    st.integers(0, (1 << 63) - 1) | st.integers(0, 2_000_000),
    st.integers(1, 256),
)
def test_a_path_is_read_back(level: int | None, index: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert parse_tile_path(tile.path()) == tile


@given(st.text(max_size=40) | st.text("tileenrs0123x.p/", max_size=30).map("tile/".__add__))
def test_parsing_any_text_ends_in_a_tile_or_a_refusal(path: str) -> None:
    try:
        tile = parse_tile_path(path)
    except MalformedTilePath:
        return
    assert tile.path() == path


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_is_read_back_and_only_whole(entries: list[bytes]) -> None:
    raw = encode_entries(entries)
    assert decode_entries(raw, len(entries)) == entries
    for bent, count in [(raw + b"\0", len(entries)), (raw, len(entries) + 1), (raw[:-1], len(entries))]:
        if bent != raw or count != len(entries):
            with pytest.raises(MalformedTile):
                decode_entries(bent, count)
    if entries:
        with pytest.raises(MalformedTile):
            decode_entries(raw, len(entries) - 1)


def test_an_entry_has_two_bytes_for_its_length() -> None:
    longest = bytes(65_535)
    assert decode_entries(encode_entries([longest, b""]), 2) == [longest, b""]
    with pytest.raises(ValueError, match="65535"):
        encode_entries([longest + b"\0"])


@pytest.mark.parametrize(
    ("raw", "count"), [(b"\0", 1), (b"\0\1", 1), (b"\0\0", 0), (b"", 1), (b"\0\0\0", 2), (b"\0\0", -1)]
)
def test_what_is_no_bundle(raw: bytes, count: int) -> None:
    with pytest.raises(MalformedTile):
        decode_entries(raw, count)


def test_a_tile_is_as_long_as_it_is_wide() -> None:
    raw = bytes(range(96))
    assert split_hashes(raw, 3) == [raw[:32], raw[32:64], raw[64:]]
    for bent in (raw[:-1], raw + b"\0", raw[:-32], raw + bytes(32), b""):
        with pytest.raises(MalformedTile):
            split_hashes(bent, 3)
