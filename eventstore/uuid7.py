"""UUID version 7 (RFC 9562 section 5.7): an instant's milliseconds, then 74 random bits."""

import os
from datetime import datetime
from uuid import UUID


def uuid7(instant: datetime) -> UUID:
    """A new id that sorts by `instant`."""
    milliseconds = int(instant.timestamp() * 1000)
    bits = milliseconds << 80 | int.from_bytes(os.urandom(10))
    bits = bits & ~(0xF << 76) | 0x7 << 76
    return UUID(int=bits & ~(0x3 << 62) | 0x2 << 62)
