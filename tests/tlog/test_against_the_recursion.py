"""The kernel against the recursion of RFC 6962, and every valid proof bent in each way."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tlog import reference
from tlog import prove
from tlog.compact_range import EMPTY, CompactRange, MalformedRange
from tlog.hashing import EMPTY_ROOT, leaf_hash
from tlog.verify import MalformedProof, RootMismatch, verify_consistency, verify_inclusion

SIZES = st.integers(1, 200)


def entries(size: int) -> list[bytes]:
    return [f"entry {number}".encode() for number in range(size)]


def leaves(size: int) -> list[bytes]:
    return [leaf_hash(entry) for entry in entries(size)]


def refused(check: Callable[[], None]) -> bool:
    try:
        check()
    except (MalformedProof, RootMismatch):
        return True
    return False


@pytest.mark.parametrize("size", [*range(18), 255, 256, 257])
def test_roots(size: int) -> None:
    assert EMPTY.append_many(leaves(size)).root() == reference.mth(entries(size))


@given(st.lists(st.integers(0, 40), max_size=6))
def test_it_does_not_matter_in_how_many_steps_a_tree_grows(steps: list[int]) -> None:
    all_leaves = leaves(sum(steps))
    grown, start = EMPTY, 0
    for step in steps:
        grown = grown.append_many(all_leaves[start : start + step])
        start += step
        grown = CompactRange.from_bytes(grown.size, grown.to_bytes())
    assert grown == EMPTY.append_many(all_leaves)


@pytest.mark.parametrize(("size", "raw"), [(-1, b""), (0, bytes(32)), (1, b""), (3, bytes(32)), (3, bytes(65))])
def test_a_frontier_has_one_hash_for_each_bit_of_its_size(size: int, raw: bytes) -> None:
    with pytest.raises(MalformedRange):
        CompactRange.from_bytes(size, raw)


def test_the_empty_tree() -> None:
    assert EMPTY.root() == EMPTY_ROOT == reference.mth([])


@given(SIZES, st.data())
def test_the_proofs_of_several_are_those_of_each(size: int, data: st.DataObject) -> None:
    indexes = data.draw(st.lists(st.integers(0, size - 1), max_size=40))
    asked: list[tuple[int, int]] = []
    node_at = prove.nodes_of(leaves(size))

    def noted(level: int, index: int) -> bytes:
        asked.append((level, index))
        return node_at(level, index)

    proofs = prove.inclusions(indexes, size, noted)
    assert proofs == {index: reference.path(index, entries(size)) for index in indexes}
    together = len(asked)
    asked.clear()
    for index in set(indexes):
        prove.inclusions((index,), size, noted)
    assert together <= len(asked)
    for outside in (-1, size):
        with pytest.raises(ValueError, match="0 <= index < size"):
            prove.inclusions([*indexes, outside], size, noted)


@given(SIZES, st.data())
def test_inclusion(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = prove.inclusion(index, size, prove.nodes_of(leaves(size)))
    assert proof == reference.path(index, entries(size))
    leaf, root = leaves(size)[index], reference.mth(entries(size))
    verify_inclusion(index, size, leaf, proof, root)
    bit = data.draw(st.integers(0, 255))

    def flip(value: bytes) -> bytes:
        bent = bytearray(value)
        bent[bit // 8] ^= 1 << bit % 8
        return bytes(bent)

    assert refused(lambda: verify_inclusion(index, size, flip(leaf), proof, root))
    assert refused(lambda: verify_inclusion(index, size, leaf, proof, flip(root)))
    assert refused(lambda: verify_inclusion(index, size, leaf, [*proof, bytes(32)], root))
    assert refused(lambda: verify_inclusion(index, size, leaf[:-1], proof, root))
    assert refused(lambda: verify_inclusion(size, size, leaf, proof, root))
    assert refused(lambda: verify_inclusion(-1, size, leaf, proof, root))
    for at in range(len(proof)):
        bent = [*proof[:at], flip(proof[at]), *proof[at + 1 :]]
        assert refused(lambda bent=bent: verify_inclusion(index, size, leaf, bent, root))
        assert refused(lambda at=at: verify_inclusion(index, size, leaf, proof[:at] + proof[at + 1 :], root))
        short = [*proof[:at], proof[at][:-1], *proof[at + 1 :]]
        assert refused(lambda short=short: verify_inclusion(index, size, leaf, short, root))
    for other in {index - 1, index + 1} & set(range(size)):
        assert refused(lambda other=other: verify_inclusion(other, size, leaf, proof, root))


@given(SIZES, st.data())
def test_consistency(second: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, second))
    proof = prove.consistency(first, second, prove.nodes_of(leaves(second)))
    assert proof == reference.proof(first, entries(second))
    first_root, second_root = reference.mth(entries(first)), reference.mth(entries(second))
    verify_consistency(first, second, proof, first_root, second_root)
    other = bytes(31) + b"\x01"
    assert refused(lambda: verify_consistency(first, second, proof, other, second_root))
    assert refused(lambda: verify_consistency(first, second, proof, first_root, other))
    assert refused(lambda: verify_consistency(first, second, [*proof, other], first_root, second_root))
    assert refused(lambda: verify_consistency(second + 1, second, proof, first_root, second_root))
    assert refused(lambda: verify_consistency(0, second, proof, EMPTY_ROOT, second_root))
    for at in range(len(proof)):
        bent = [*proof[:at], other, *proof[at + 1 :]]
        assert refused(lambda bent=bent: verify_consistency(first, second, bent, first_root, second_root))
        cut = proof[:at] + proof[at + 1 :]
        assert refused(lambda cut=cut: verify_consistency(first, second, cut, first_root, second_root))
    if first < second:
        assert refused(lambda: verify_consistency(first, second, proof, second_root, first_root))


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_an_inclusion_proof_needs_its_precondition(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="0 <= index < size"):
        prove.inclusion(index, size, prove.nodes_of(leaves(3)))


@pytest.mark.parametrize(("first", "second"), [(0, 3), (-1, 3), (4, 3)])
def test_a_consistency_proof_needs_its_precondition(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="0 < first <= second"):
        prove.consistency(first, second, prove.nodes_of(leaves(4)))
