"""Which API keys this process has proven lately, so that a check need not ask the database who asks.

Forgets everything at each change of any key, of which the listening connection tells; and trusts itself only while that
connection is known to be alive. What was looked up before a change and arrives after it is not kept.
"""

import hashlib
from collections.abc import Callable
from typing import Generic, TypeVar

_KEYS_MAX = 10_000

Identity = TypeVar("Identity")


class KeyCache(Generic[Identity]):
    """Proven keys by the SHA-256 of their secret."""

    def __init__(self) -> None:
        self._proven: dict[bytes, Identity] = {}
        self._changes = 0

    def forget(self) -> None:
        """Some key has changed, or may have."""
        self._changes += 1
        self._proven.clear()

    def find(self, secret: str, *, fresh: bool) -> Identity | None:
        """Whose key it is, if that was proven and nothing has changed since."""
        return self._proven.get(_digest(secret)) if fresh else None

    def keeper(self) -> Callable[[str, Identity], None]:
        """To be taken before the look-up: keeps its outcome unless a key changed in between."""
        changes = self._changes

        def keep(secret: str, identity: Identity) -> None:
            if changes == self._changes and len(self._proven) < _KEYS_MAX:
                self._proven[_digest(secret)] = identity

        return keep


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
