"""Turns on the event loop: whoever makes a long answer lets the others go on in between."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from time import monotonic
from typing import Any

_TURN_S = 0.01
# Lists that are no longer are completed at once; so many items of one that is are completed before the time is looked at.
MANY = 64
BETWEEN = 16


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


async def in_turns(items: Sequence[Any]) -> AsyncGenerator[Any]:
    """The items, with room for others in between."""
    turn = Turn()
    for number, item in enumerate(items):
        if not number % BETWEEN and turn.is_over:
            await turn.others_first()
        yield item
