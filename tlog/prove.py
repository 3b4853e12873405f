"""Making proofs: which nodes of the tree a stranger needs. Checking them is `tlog.verify`, which shares no code with this.

Nodes are named (level, index): level 0 holds the leaves, and node (l, i) covers the leaves [i * 2^l, (i+1) * 2^l). Only
perfect subtrees are ever asked for, so a node, once there, never changes.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from tlog.hashing import node_hash

NodeAt = Callable[[int, int], bytes]


def inclusion(index: int, size: int, node_at: NodeAt) -> list[bytes]:
    """The audit path of leaf `index` in the tree of `size` leaves (RFC 6962 section 2.1.1), for 0 <= index < size.

    Raises ValueError outside of that.
    """
    return inclusions((index,), size, node_at)[index]


def inclusions(indexes: Iterable[int], size: int, node_at: NodeAt) -> dict[int, list[bytes]]:
    """The same of several leaves: what their paths share is asked for and hashed once.

    Raises ValueError for any outside of 0 <= index < size.
    """
    ordered = sorted(set(indexes))
    if ordered and not 0 <= ordered[0] <= ordered[-1] < size:
        raise ValueError("an inclusion proof needs 0 <= index < size")
    paths: dict[int, list[bytes]] = {}

    def descend(start: int, end: int, first: int, last: int, above: tuple[bytes, ...]) -> None:
        """The paths of ordered[first:last], which lie in [start, end); `above` is the path of that subtree."""
        if end - start == 1:
            paths[start] = list(above)
            return
        middle = start + _split(end - start)
        cut = bisect_left(ordered, middle, first, last)
        if first < cut:
            descend(start, middle, first, cut, (subtree_root(middle, end, node_at), *above))
        if cut < last:
            descend(middle, end, cut, last, (subtree_root(start, middle, node_at), *above))

    if ordered:
        descend(0, size, 0, len(ordered), ())
    return paths


def consistency(first: int, second: int, node_at: NodeAt) -> list[bytes]:
    """That the tree of `second` leaves starts with that of `first` (RFC 6962 section 2.1.2), for 0 < first <= second.

    Raises ValueError outside of that.
    """
    if not 0 < first <= second:
        raise ValueError("a consistency proof needs 0 < first <= second")
    return [] if first == second else _subproof(first, 0, second, True, node_at)  # noqa: FBT003 - as in the RFC


def _subproof(first: int, start: int, end: int, known: bool, node_at: NodeAt) -> list[bytes]:  # noqa: FBT001
    if first == end:
        return [] if known else [subtree_root(start, end, node_at)]
    middle = start + _split(end - start)
    if first <= middle:
        return [*_subproof(first, start, middle, known, node_at), subtree_root(middle, end, node_at)]
    return [*_subproof(first, middle, end, False, node_at), subtree_root(start, middle, node_at)]  # noqa: FBT003


def subtree_root(start: int, end: int, node_at: NodeAt) -> bytes:
    """The root over the leaves [start, end), `start` being a multiple of the largest power of two below their number."""
    width = end - start
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return node_at(level, start >> level)
    middle = start + _split(width)
    return node_hash(subtree_root(start, middle, node_at), subtree_root(middle, end, node_at))


def _split(width: int) -> int:
    """The largest power of two that is less than `width`, for width > 1."""
    return 1 << ((width - 1).bit_length() - 1)


def nodes_of(leaf_hashes: Sequence[bytes]) -> NodeAt:
    """All perfect subtrees over these leaves, in memory: for whoever has them all, such as an auditor."""
    levels = [list(leaf_hashes)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)])

    def node_at(level: int, index: int) -> bytes:
        return levels[level][index]

    return node_at
