"""Growing a tree: of all its nodes only the roots of its perfect subtrees are needed to go on.

A tree of `size` leaves splits into perfect subtrees, one for each bit of `size`, largest first; their roots are the
frontier. Adding a leaf merges those of equal size, like a carry in a binary counter.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tlog.hashing import EMPTY_ROOT, HASH_BYTES, node_hash


class MalformedRange(ValueError):
    """The bytes are not a frontier of a tree of that size."""


class TileRoot(NamedTuple):
    """The root of a full tile of 256 hashes: hash `number` of tile level `level`, from 1 upwards (C2SP tlog-tiles)."""

    level: int
    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class CompactRange:
    """The leaves [0, size) of a tree, as the roots of its perfect subtrees, largest first."""

    size: int
    hashes: tuple[bytes, ...]

    def append_many(self, leaf_hashes: Iterable[bytes], completed: list[TileRoot] | None = None) -> "CompactRange":
        """This range with further leaves, given as leaf hashes; tiles that they fill are added to `completed`."""
        sha256 = hashlib.sha256
        stack = list(self.hashes)
        size = self.size
        for node in leaf_hashes:
            carry, height = size, 0
            while carry & 1:
                node = sha256(b"\x01" + stack.pop() + node).digest()
                carry >>= 1
                height += 1
                if height & 7 == 0 and completed is not None:
                    completed.append(TileRoot(height >> 3, size >> height, node))
            stack.append(node)
            size += 1
        return CompactRange(size, tuple(stack))

    def root(self) -> bytes:
        """The root of the tree: subtrees joined from the smallest up (RFC 6962 section 2.1)."""
        if not self.hashes:
            return EMPTY_ROOT
        *rest, root = self.hashes
        for left in reversed(rest):
            root = node_hash(left, root)
        return root

    def to_bytes(self) -> bytes:
        """The hashes, one after the other; the size is kept beside them."""
        return b"".join(self.hashes)

    @staticmethod
    def from_bytes(size: int, raw: bytes) -> "CompactRange":
        """The range that `to_bytes` wrote for 0 <= size. Raises MalformedRange."""
        if size < 0 or len(raw) != size.bit_count() * HASH_BYTES:
            raise MalformedRange("a frontier has one hash for each bit of its size")
        return CompactRange(size, tuple(raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)))


EMPTY = CompactRange(0, ())
