"""Checking proofs: what a stranger runs. Recompute a root from the proof, then compare; shares no code with `tlog.prove`.

RFC 9162 sections 2.1.3.2 and 2.1.4.2. A proof that cannot be one of that size (MalformedProof) is told apart from one
that leads to another root (RootMismatch).
"""

from collections.abc import Sequence

from tlog.hashing import HASH_BYTES, node_hash


class MalformedProof(ValueError):
    """No proof for such sizes looks like this: wrong range, wrong number of hashes, or hashes of a wrong length."""


class RootMismatch(ValueError):
    """The proof is well-formed, and leads to another root than claimed."""


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Return if `proof` shows that leaf hash `leaf` is at `index` in the tree of `size` leaves with `root`.

    Needs 0 <= index < size. Raises MalformedProof, RootMismatch.
    """
    if not 0 <= index < size:
        raise MalformedProof("an inclusion proof needs 0 <= index < size")
    _check_lengths(leaf, *proof)
    node, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise MalformedProof("the proof has too many hashes")
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            result = node_hash(result, sibling)
        node >>= 1
        last >>= 1
    if last != 0:
        raise MalformedProof("the proof has too few hashes")
    if result != root:
        raise RootMismatch("the leaf and its proof lead to another root")


def verify_consistency(first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes) -> None:
    """Return if `proof` shows that the tree of `second` leaves only added to that of `first`.

    Needs 0 < first <= second: nothing can be shown from an empty tree, so a caller who allows size 0 handles it. Raises
    MalformedProof, RootMismatch.
    """
    if not 0 < first <= second:
        raise MalformedProof("a consistency proof needs 0 < first <= second")
    _check_lengths(*proof)
    if first == second:
        if proof:
            raise MalformedProof("trees of one size need no proof")
        if first_root != second_root:
            raise RootMismatch("two roots for one size")
        return
    if not proof:
        raise MalformedProof("the proof has too few hashes")
    # A first tree that is one perfect subtree is a node of the second: its root is known, and left out of the proof.
    hashes = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    node, last = first - 1, second - 1
    while node & 1:
        node >>= 1
        last >>= 1
    first_result = second_result = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise MalformedProof("the proof has too many hashes")
        if node & 1 or node == last:
            first_result = node_hash(sibling, first_result)
            second_result = node_hash(sibling, second_result)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            second_result = node_hash(second_result, sibling)
        node >>= 1
        last >>= 1
    if last != 0:
        raise MalformedProof("the proof has too few hashes")
    if first_result != first_root:
        raise RootMismatch("the proof leads to another first root")
    if second_result != second_root:
        raise RootMismatch("the proof leads to another second root")


def _check_lengths(*hashes: bytes) -> None:
    if any(len(hash_) != HASH_BYTES for hash_ in hashes):
        raise MalformedProof(f"a hash has {HASH_BYTES} bytes")
