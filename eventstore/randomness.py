"""Random bytes of the system, drawn many at a time: each drawing is a call of its own, and one event needs six.

Of one group, made for it and let go with it: what is drawn ahead must not outlive a fork, after which two processes would use
the same.
"""

import os

_DRAWN = 2_048


class RandomBytes:
    """Draws ahead, and gives each byte out once."""

    __slots__ = ("_at", "_drawn")

    def __init__(self) -> None:
        self._drawn = b""
        self._at = 0

    def __call__(self, count: int) -> bytes:
        """The next `count` bytes."""
        at = self._at
        end = at + count
        if end > len(self._drawn):
            self._drawn, at, end = os.urandom(max(_DRAWN, count)), 0, count
        self._at = end
        return self._drawn[at:end]
