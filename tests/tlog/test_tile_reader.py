"""Reading a log from its tiles: a foreign one at each of its sizes, our own, and logs that lie in one place."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tlog import prove
from tlog.checkpoint import Checkpoint, open_checkpoint
from tlog.compact_range import EMPTY
from tlog.hashing import EMPTY_ROOT, leaf_hash
from tlog.note import VerifierKey
from tlog.tile_reader import LogMismatch, TileReader
from tlog.tiles import Tile, encode_entries, tiles_of
from tlog.verify import verify_consistency, verify_inclusion


def served(entries: list[bytes]) -> tuple[dict[str, bytes], Checkpoint]:
    """A log's files, put together from all nodes at once."""
    size = len(entries)
    leaf_hashes = [leaf_hash(entry) for entry in entries]
    node_at = prove.nodes_of(leaf_hashes)
    files: dict[str, bytes] = {}
    for tile in tiles_of(size):
        assert tile.level is not None
        start = tile.index * 256
        files[tile.path()] = b"".join(node_at(8 * tile.level, start + at) for at in range(tile.width))
        if tile.level == 0:
            files[Tile(None, tile.index, tile.width).path()] = encode_entries(entries[start : start + tile.width])
    return files, Checkpoint("log.example", size, EMPTY.append_many(leaf_hashes).root())


def numbered(size: int) -> list[bytes]:
    return [b"%d" % number for number in range(size)]


def test_a_foreign_log(shared: Callable[[str], Path]) -> None:
    folder = shared("vectors/tessera_log")
    key = VerifierKey.parse((folder / "vkey").read_text().strip())
    entries = [entry.encode() for entry in json.loads((folder / "entries.json").read_bytes())]
    readers: list[TileReader] = []
    roots: list[bytes] = []
    for size in range(len(entries) + 1):
        checkpoint, _ = open_checkpoint((folder / f"checkpoint.{size}").read_bytes(), [key])
        reader = TileReader(lambda path: (folder / path).read_bytes(), checkpoint)
        reader.verify_tree()
        assert list(reader.verified_entries()) == entries[:size]
        readers.append(reader)
        roots.append(checkpoint.root)
        if size:
            widest = (folder / "tile/0/000.p/15").read_bytes()
            assert (folder / f"tile/0/000.p/{size}").read_bytes() == widest[: size * 32]
            assert (folder / f"tile/entries/000.p/{size}").read_bytes() == encode_entries(entries[:size])
        for index in range(size):
            proof = prove.inclusion(index, size, reader.node_at)
            verify_inclusion(index, size, leaf_hash(entries[index]), proof, checkpoint.root)
    for first, second in itertools.combinations_with_replacement(range(1, len(entries) + 1), 2):
        proof = prove.consistency(first, second, readers[second].node_at)
        verify_consistency(first, second, proof, roots[first], roots[second])


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 511, 512, 513, 1000])
def test_a_log_of_each_shape(size: int) -> None:
    entries = numbered(size)
    files, checkpoint = served(entries)
    reader = TileReader(files.__getitem__, checkpoint)
    steps: list[int] = []
    assert list(reader.verified_entries(progress=steps.append)) == entries
    assert steps == [min(size, end) for end in range(256, size + 256, 256)]
    reader.verify_tree()
    for index in {0, 1, 255, 256, size // 2, size - 1} & set(range(size)):
        proof = prove.inclusion(index, size, TileReader(files.__getitem__, checkpoint).node_at)
        verify_inclusion(index, size, leaf_hash(entries[index]), proof, checkpoint.root)


@pytest.mark.parametrize("size", [65_535, 65_536, 70_000])
def test_a_log_of_three_levels(size: int) -> None:
    entries = numbered(size)
    files, checkpoint = served(entries)
    fetched: list[str] = []

    def fetch(path: str) -> bytes:
        fetched.append(path)
        return files[path]

    reader = TileReader(fetch, checkpoint)
    reader.verify_tree()
    assert sorted(fetched) == sorted(tile.path() for tile in tiles_of(size))
    fetched.clear()
    leaf_hashes = [leaf_hash(entry) for entry in entries]
    node_at = prove.nodes_of(leaf_hashes)
    for index in (0, 65_534, size - 1):
        lazy = TileReader(fetch, checkpoint)
        proof = prove.inclusion(index, size, lazy.node_at)
        assert proof == prove.inclusion(index, size, node_at)
        verify_inclusion(index, size, leaf_hashes[index], proof, checkpoint.root)
    for first in (1, 255, 256, 300, 65_535):
        assert prove.consistency(first, size, TileReader(fetch, checkpoint).node_at) == prove.consistency(
            first, size, node_at
        )
    assert len(fetched) < 60


def test_entries_of_a_log_of_three_levels_come_in_bounded_memory() -> None:
    entries = numbered(66_000)
    files, checkpoint = served(entries)
    fetched: dict[str, int] = {}

    def fetch(path: str) -> bytes:
        fetched[path] = fetched.get(path, 0) + 1
        return files[path]

    assert all(
        read == entry for read, entry in zip(TileReader(fetch, checkpoint).verified_entries(), entries, strict=True)
    )
    # Each file once, though the cache holds but half of the tiles.
    assert set(fetched) == set(files)
    assert set(fetched.values()) == {1}


def bent(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def whole(reader: TileReader) -> list[bytes]:
    return list(reader.verified_entries())


def test_a_lie_in_any_file_is_found_and_named() -> None:
    files, checkpoint = served(numbered(600))
    full = {"tile/0/000", "tile/0/001"}
    edge = {"tile/0/002.p/88", "tile/1/000.p/2"}
    bundles = {"tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"}
    assert set(files) == full | edge | bundles
    for path, raw in files.items():
        for at in (0, 33, len(raw) - 1):
            with pytest.raises(LogMismatch) as lie:
                whole(TileReader({**files, path: bent(raw, at)}.__getitem__, checkpoint))
            assert lie.value.path == ("checkpoint" if path in edge else path)
            assert path in str(lie.value)
        for other in (raw[:-1], raw + b"\0", b"", raw[32:]):
            with pytest.raises(LogMismatch) as lie:
                whole(TileReader({**files, path: other}.__getitem__, checkpoint))
            assert lie.value.path == path
        if path not in bundles:
            with pytest.raises(LogMismatch):
                TileReader({**files, path: bent(raw, 40)}.__getitem__, checkpoint).verify_tree()


def test_the_position_of_a_lie_is_named() -> None:
    entries = numbered(600)
    files, checkpoint = served(entries)
    other = [*entries[:300], b"lie", *entries[301:]]
    reader = TileReader({**files, "tile/entries/001": encode_entries(other[256:512])}.__getitem__, checkpoint)
    taken: list[bytes] = []
    with pytest.raises(LogMismatch, match="tile/entries/001: the entry at 300 ") as lie:
        taken.extend(reader.verified_entries())
    assert lie.value.position == 300
    # What was given before is in the tree.
    assert taken == entries[:256]
    lying, _ = served(other)
    with pytest.raises(LogMismatch, match="tile/0/001: .* 256 to 511,") as lie:
        whole(TileReader({**files, "tile/0/001": lying["tile/0/001"]}.__getitem__, checkpoint))
    assert lie.value.position == 256
    with pytest.raises(LogMismatch, match="checkpoint: .*tile/1/000.p/2 and tile/0/002.p/88"):
        whole(TileReader(lying.__getitem__, checkpoint))


def test_a_node_is_given_only_once_it_is_shown_to_be_in_the_tree() -> None:
    entries = numbered(600)
    files, checkpoint = served(entries)
    lying, _ = served([*entries[:300], b"lie", *entries[301:]])
    reader = TileReader({**files, "tile/0/001": lying["tile/0/001"]}.__getitem__, checkpoint)
    assert reader.node_at(0, 255) == leaf_hash(entries[255])
    for level, index in ((0, 300), (0, 301), (7, 2)):
        with pytest.raises(LogMismatch):
            reader.node_at(level, index)


@pytest.mark.parametrize("root", [bytes(32), EMPTY_ROOT])
def test_another_root(root: bytes) -> None:
    files, _ = served(numbered(5))
    for size in (0, 5) if root != EMPTY_ROOT else (5,):
        reader = TileReader(files.__getitem__, Checkpoint("log.example", size, root))
        with pytest.raises(LogMismatch):
            reader.verify_tree()
        with pytest.raises(LogMismatch):
            whole(reader)


@pytest.mark.parametrize(("level", "index"), [(0, 5), (1, 2), (3, 0), (-1, 0), (0, -1), (2, 1)])
def test_a_node_that_the_tree_has_not(level: int, index: int) -> None:
    files, checkpoint = served(numbered(5))
    with pytest.raises(ValueError, match="no perfect subtree"):
        TileReader(files.__getitem__, checkpoint).node_at(level, index)


def test_what_fetching_raises_passes_through() -> None:
    _, checkpoint = served(numbered(5))
    with pytest.raises(KeyError):
        whole(TileReader({}.__getitem__, checkpoint))
