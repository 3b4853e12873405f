"""HMAC-SHA-256 (RFC 2104) under one key, for messages that are many and short: both its halves are keyed once."""

import hashlib
from collections.abc import Iterable

_BLOCK_BYTES = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class KeyedHash:
    """The hash under `key`, which has at most 64 bytes."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        if len(key) > _BLOCK_BYTES:
            raise ValueError("a key longer than a block")
        block = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER))
        self._outer = hashlib.sha256(block.translate(_OUTER))

    def __call__(self, message: bytes) -> bytes:
        """Its 32 bytes."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()

    def each(self, beginning: bytes, rest: Iterable[bytes]) -> list[bytes]:
        """The same for each of many messages that begin alike."""
        begun = self._inner.copy()
        begun.update(beginning)
        inner_copy, outer_copy = begun.copy, self._outer.copy
        made: list[bytes] = []
        for one in rest:
            inner, outer = inner_copy(), outer_copy()
            inner.update(one)
            outer.update(inner.digest())
            made.append(outer.digest())
        return made
