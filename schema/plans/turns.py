"""Long lists, and how much of one is completed before others go on."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from ledger.turns import Turn

# Lists that are no longer are completed at once; so many items of one that is are completed before the time is looked at.
MANY = 64
BETWEEN = 16


async def in_turns(items: Sequence[Any]) -> AsyncGenerator[Any]:
    """The items, with room for others in between."""
    turn = Turn()
    for number, item in enumerate(items):
        if not number % BETWEEN and turn.is_over:
            await turn.others_first()
        yield item
