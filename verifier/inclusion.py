"""Inclusion proofs of all entries of a log, in order: what one shares with the one before is not hashed again.

`tlog.verify` says what a proof is, and decides wherever this does not follow at once: two neighbours below one perfect
subtree have the same siblings above it, so where these are equal and the subtree's root comes out as before, so does the
tree's. Two hashes an entry instead of twenty.
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence

from tlog.checkpoint import Checkpoint
from tlog.hashing import HASH_BYTES, node_hash
from tlog.verify import MalformedProof, RootMismatch, verify_inclusion
from verifier.report import NotProven


class InclusionInOrder:
    """Checks the proofs of the entries 0, 1, 2 ... of a checkpoint's tree."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._size = checkpoint.size
        self._root = checkpoint.root
        self._proof: Sequence[object] = ()
        # Proven nodes over the entry before, from the leaf upwards, as far as they are roots of perfect subtrees.
        self._path: list[bytes] = []

    def check(self, index: int, leaf: bytes, proof: Sequence[object], where: str) -> None:
        """Return if `proof`, texts of canonical base64, shows that `leaf` is at `index`. Raises NotProven."""
        # The lowest level at which this entry and the one before are below one node.
        level = (index ^ (index - 1)).bit_length() if index else 0
        if index and level < len(self._path) and proof[level:] == self._proof[level:]:
            try:
                nodes = self._climb(index, leaf, [_decoded(text) for text in proof[:level]])
            except ValueError:
                nodes = []
            if len(nodes) == level + 1 and nodes[level] == self._path[level]:
                self._path[:level] = nodes[:level]
                self._proof = proof
                return
        self._check_whole(index, leaf, proof, where)

    def _check_whole(self, index: int, leaf: bytes, proof: Sequence[object], where: str) -> None:
        try:
            hashes = [_decoded(text) for text in proof]
        except ValueError:
            raise NotProven(f"{where}: proof: not texts of canonical base64") from None
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


def _decoded(text: object) -> bytes:
    """What `tlog.note.decode_base64` gives, in half its time. Raises ValueError, also for what is no text."""
    if not isinstance(text, str):
        raise ValueError("not text")  # noqa: TRY004 - one error for whatever is no base64
    raw = a2b_base64(text, strict_mode=True)
    if b2a_base64(raw, newline=False).decode() != text:
        raise ValueError("the base64 is not canonical")
    return raw
