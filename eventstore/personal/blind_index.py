"""The blind index: finds a contact point by its address without the database knowing any address.

HMAC-SHA-256 under a key of the tenant over channel and normalised address, cut to 16 bytes: two addresses of one tenant
meet by chance once in 2^64. Nothing here is unkeyed, so the index alone tells nothing about who is in it.
"""

from collections.abc import Iterable

from eventstore.personal.keyed_hash import KeyedHash

BLIND_INDEX_BYTES = 16
# No channel is empty, so no address has this as its index.
_NAME_OF_KEY = b"\0blind index key"


class BlindIndex:
    """The blind index of one tenant."""

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        self._keyed = KeyedHash(key)

    def __call__(self, channel: str, normalised_address: str) -> bytes:
        """The index of an address that `domain.addresses.normalise` gave."""
        return self._keyed(f"{channel}\0{normalised_address}".encode())[:BLIND_INDEX_BYTES]

    def each(self, channel: str, normalised_addresses: Iterable[str]) -> list[bytes]:
        """The indexes of many addresses of one channel."""
        hashed = self._keyed.each(f"{channel}\0".encode(), [address.encode() for address in normalised_addresses])
        return [one[:BLIND_INDEX_BYTES] for one in hashed]

    @property
    def key_id(self) -> bytes:
        """Names the key without telling it: what two tenants with the same one have in common."""
        return self._keyed(_NAME_OF_KEY)[:BLIND_INDEX_BYTES]
