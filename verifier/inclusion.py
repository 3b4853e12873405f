"""Inclusion proofs of all entries of a log, in order: what one shares with the one before is not hashed again.

`tlog.verify` says what a proof is, and decides wherever this does not follow at once: two neighbours below one perfect
subtree have the same siblings above it, so where these are equal and the subtree's root comes out as before, so does the
tree's. Two hashes an entry instead of twenty.
"""

from collections.abc import Sequence

from tlog.checkpoint import Checkpoint
from tlog.hashing import HASH_BYTES, node_hash
from tlog.note import decode_base64
from tlog.verify import MalformedProof, RootMismatch, verify_inclusion
from verifier.report import NotProven


class InclusionInOrder:
    """Checks the proofs of the entries 0, 1, 2 ... of a checkpoint's tree."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._size = checkpoint.size
        self._root = checkpoint.root
        self._proof: Sequence[str] = ()
        # Proven nodes over the entry before, from the leaf upwards, as far as they are roots of perfect subtrees.
        self._path: list[bytes] = []

    def check(self, index: int, leaf: bytes, proof: Sequence[str], where: str) -> None:
        """Return if `proof`, as base64, shows that `leaf` is at `index`. Raises NotProven."""
        # The lowest level at which this entry and the one before are below one node.
        level = (index ^ (index - 1)).bit_length() if index else 0
        if index and level < len(self._path) and proof[level:] == self._proof[level:]:
            try:
                nodes = self._climb(index, leaf, [decode_base64(text) for text in proof[:level]])
            except ValueError:
                nodes = []
            if len(nodes) == level + 1 and nodes[level] == self._path[level]:
                self._path[:level] = nodes[:level]
                self._proof = proof
                return
        self._check_whole(index, leaf, proof, where)

    def _check_whole(self, index: int, leaf: bytes, proof: Sequence[str], where: str) -> None:
        try:
            hashes = [decode_base64(text) for text in proof]
        except ValueError:
            raise NotProven(f"{where}: proof: not canonical base64") from None
        try:
            verify_inclusion(index, self._size, leaf, hashes, self._root)
        except (MalformedProof, RootMismatch) as error:
            raise NotProven(f"{where}: proof: {error}") from None
        height = 0
        while ((index >> height + 1) + 1) << height + 1 <= self._size:
            height += 1
        self._path = self._climb(index, leaf, hashes[:height])
        self._proof = proof

    @staticmethod
    def _climb(index: int, leaf: bytes, siblings: Sequence[bytes]) -> list[bytes]:
        """The nodes over a leaf; empty if one of the siblings is no hash."""
        nodes = [leaf]
        node = leaf
        for sibling in siblings:
            if len(sibling) != HASH_BYTES:
                return []
            node = node_hash(sibling, node) if index & 1 else node_hash(node, sibling)
            nodes.append(node)
            index >>= 1
        return nodes
