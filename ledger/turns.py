"""Turns on the event loop: whoever makes a long answer lets the others go on in between.

10,000 plain addresses are a tenth of a second, and one of many long foreign labels alone is most of a millisecond: so a turn is
told by the clock, and not by how much was done in it.
"""

import asyncio
from time import monotonic

_TURN_S = 0.01


class Turn:
    """One caller's turn."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends = monotonic() + _TURN_S

    @property
    def is_over(self) -> bool:
        """Whether it is time for the others."""
        return monotonic() >= self._ends

    async def others_first(self) -> None:
        """Let the others go on, and begin anew."""
        await asyncio.sleep(0)
        self._ends = monotonic() + _TURN_S
