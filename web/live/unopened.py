"""Streams that were reserved and are not open yet: what a client that never opens them can make this process keep."""

import contextlib
from collections import Counter
from collections.abc import Generator

from ledger.api_keys import KeyId
from web.live.sessions import LiveLimits, TooManyOpen


class Unopened:
    """How many there are of each key, and the bytes of the operations that wait for them."""

    def __init__(self, limits: LiveLimits) -> None:
        self._limits = limits
        self._streams: Counter[KeyId] = Counter()
        self._bytes: Counter[KeyId] = Counter()

    @contextlib.contextmanager
    def stream(self, key: KeyId) -> Generator[None]:
        """One more is reserved for as long as the context lasts. Raises TooManyOpen."""
        allowed = self._limits.unopened_per_key
        if self._streams[key] >= allowed:
            raise TooManyOpen("streams reserved and not opened of one API key", allowed)
        with _counted(self._streams, key, 1):
            yield

    @contextlib.contextmanager
    def operation(self, key: KeyId, size: int) -> Generator[None]:
        """An operation of so many bytes waits for its stream for as long as the context lasts. Raises TooManyOpen."""
        limits = self._limits
        for limit, allowed, now in (
            ("bytes that wait for streams of one API key", limits.unopened_bytes_per_key, self._bytes[key]),
            ("bytes that wait for streams of this server", limits.unopened_bytes, self._bytes.total()),
        ):
            if now + size > allowed:
                raise TooManyOpen(limit, allowed)
        with _counted(self._bytes, key, size):
            yield


@contextlib.contextmanager
def _counted(counts: Counter[KeyId], key: KeyId, amount: int) -> Generator[None]:
    counts[key] += amount
    try:
        yield
    finally:
        counts[key] -= amount
        if not counts[key]:
            del counts[key]
