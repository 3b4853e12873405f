"""How much is answered at once in one process: what is more is told so at once, or in a moment, and keeps no memory meanwhile.

While the database is slow every request that comes waits for it; and an answer of 10,000 decisions takes megabytes while it is
made. So the operations in progress are counted, and the large ones, which are few, share a sum of prices. What is made, and not
yet taken by who asked, is counted in bytes (`web.unsent`).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

OPERATIONS_MAX = 2_048
# Fields answered: what costs no more than this is not large, and waits for nobody.
LARGE_COST = 5_000
LARGE_COST_TOGETHER_MAX = 1_000_000
LARGE_WAITING_MAX = 64
LARGE_WAIT_S = 10.0

Answer = TypeVar("Answer")


class Overloaded(Exception):
    """More is asked at once than this process answers. Nothing was done: whoever asked may ask again in a moment."""


class Admission:
    """The operations of one process."""

    def __init__(self, *, operations_max: int = OPERATIONS_MAX, wait_s: float = LARGE_WAIT_S) -> None:
        self._operations_max = operations_max
        self._wait_s = wait_s
        self._running = 0
        self._large_cost = 0
        self._large_waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def run(self, cost: int, answer: Callable[[], Awaitable[Answer]]) -> Answer:
        """What `answer` gives, once there is room for it. Raises Overloaded before it was begun."""
        if self._running >= self._operations_max:
            raise Overloaded
        self._running += 1
        try:
            if cost <= LARGE_COST:
                return await answer()
            await self._enter(cost)
            try:
                return await answer()
            finally:
                self._large_cost -= cost
                self._let_in()
        finally:
            self._running -= 1

    async def _enter(self, cost: int) -> None:
        if not self._large_waiting and self._fits(cost):
            self._large_cost += cost
            return
        if len(self._large_waiting) >= LARGE_WAITING_MAX:
            raise Overloaded
        let_in: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (cost, let_in)
        self._large_waiting.append(place)
        try:
            async with asyncio.timeout(self._wait_s):
                await let_in
        except BaseException as error:
            if let_in.done() and not let_in.cancelled():
                self._large_cost -= cost  # let in, and gone in the same moment
            else:
                with suppress(ValueError):  # passed over already
                    self._large_waiting.remove(place)
            self._let_in()
            if isinstance(error, TimeoutError):
                raise Overloaded from None
            raise

    def _let_in(self) -> None:
        """In the order of arrival, so that the largest is not passed for ever."""
        while self._large_waiting:
            cost, let_in = self._large_waiting[0]
            if let_in.done():  # its caller has left, and has yet to run to take its place away
                self._large_waiting.popleft()
                continue
            if not self._fits(cost):
                return
            self._large_waiting.popleft()
            self._large_cost += cost
            let_in.set_result(None)

    def _fits(self, cost: int) -> bool:
        return self._large_cost == 0 or self._large_cost + cost <= LARGE_COST_TOGETHER_MAX
