"""The blind index: finds a contact point by its address without the database knowing any address.

HMAC-SHA-256 under a key of the tenant over channel and normalised address, cut to 16 bytes: two addresses of one tenant
meet by chance once in 2^64. Nothing here is unkeyed, so the index alone tells nothing about who is in it.
"""

import hashlib
from typing import Protocol

BLIND_INDEX_BYTES = 16
# RFC 2104 section 2, for SHA-256: the key, filled up to a block, with each byte turned by these.
_BLOCK_BYTES = 64
_INNER, _OUTER = 0x36, 0x5C


class _Hash(Protocol):
    def copy(self) -> "_Hash": ...
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class BlindIndex:
    """The blind index of one tenant.

    Of an HMAC all but the address is the same for a channel: it is hashed once, and copied for each address. The `hmac`
    module would take twice the time, and batches bring thousands.
    """

    __slots__ = ("_inner", "_inner_of", "_outer")

    def __init__(self, key: bytes) -> None:
        if len(key) > _BLOCK_BYTES:
            raise ValueError(f"a key of the blind index has at most {_BLOCK_BYTES} bytes")
        filled = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner: _Hash = hashlib.sha256(bytes(byte ^ _INNER for byte in filled))
        self._outer: _Hash = hashlib.sha256(bytes(byte ^ _OUTER for byte in filled))
        self._inner_of: dict[str, _Hash] = {}

    def __call__(self, channel: str, normalised_address: str) -> bytes:
        """The index of an address that `domain.addresses.normalise` gave."""
        begun = self._inner_of.get(channel)
        if begun is None:
            begun = self._inner.copy()
            begun.update(f"{channel}\0".encode())
            self._inner_of[channel] = begun
        inner = begun.copy()
        inner.update(normalised_address.encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()[:BLIND_INDEX_BYTES]
