"""UUID version 7 (RFC 9562 section 5.7): an instant's milliseconds, a counter of 12 bits, then 62 random bits.

The ids of a group sort as they were made (section 6.2, method 1), so an index takes them at its end: in no order, those of
one millisecond would split its last pages in the middle again and again, and leave them half full.
"""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

# The driver's own UUID is one of the standard library's, made and written down some twenty times faster.
from asyncpg.pgproto.pgproto import UUID as DriverUUID

_COUNTER_MAX = 0xFFF
_VERSION = 0x7 << 76
_VARIANT = 0x2 << 62


class Uuid7s:
    """New ids of one instant."""

    __slots__ = ("_count", "_milliseconds", "_random")

    def __init__(self, instant: datetime, random: Callable[[int], bytes]) -> None:
        self._milliseconds = int(instant.timestamp() * 1000) << 80 | _VERSION | _VARIANT
        self._count = 0
        self._random = random

    def __call__(self) -> UUID:
        """The next one."""
        # Beyond its twelve bits the counter starts again: such ids are no less unique, only in less order.
        counter = self._count & _COUNTER_MAX
        self._count += 1
        random = int.from_bytes(self._random(8)) >> 2
        return DriverUUID((self._milliseconds | counter << 64 | random).to_bytes(16))
