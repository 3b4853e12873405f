"""Who waits for a check: look-ups that arrive together are answered by one statement, from one snapshot.

Knows callers and how many addresses each brings, nothing of storage. At most FLIGHTS_MAX statements run at once; each
starts after its questions were asked, so whatever was acknowledged before a question is seen by its answer. Those that
would wait too long, or are too many, are told that the store does not answer.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from eventstore.database import StoreUnavailable

FLIGHTS_MAX = 2
FLIGHT_ADDRESSES_MAX = 512
WAITING_MAX = 4_096
WAIT_S = 10.0

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


class CheckQueue(Generic[Asked, Answered]):
    """Groups look-ups; `ask` is handed the look-ups of one flight and gives their answers in the same order."""

    def __init__(
        self,
        ask: Callable[[Sequence[Asked]], Awaitable[Sequence[Answered]]],
        *,
        addresses: Callable[[Asked], int],
    ) -> None:
        self._ask = ask
        self._addresses = addresses
        # What each asks, and when it asked; who leaves takes its place away, so that the living alone are counted.
        self._waiting: OrderedDict[asyncio.Future[Answered], tuple[Asked, float]] = OrderedDict()
        self._flights: set[asyncio.Task[None]] = set()
        # Not the size of the set: that would count a flight that found nobody left and has yet to be discarded, and
        # whoever asked in between would wait for a flight that never comes.
        self._flying = 0

    async def submit(self, asked: Asked) -> Answered:
        """The answer to one look-up; raises what the flight that carried it raised, and StoreUnavailable without one.

        A caller that leaves cancels nobody.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise StoreUnavailable("too many checks wait for the database")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answered] = loop.create_future()
        self._waiting[future] = (asked, loop.time())
        if self._flying < FLIGHTS_MAX:
            self._flying += 1
            flight = asyncio.create_task(self._fly(), name="check")
            self._flights.add(flight)
            flight.add_done_callback(self._flights.discard)
        try:
            return await future
        finally:
            self._waiting.pop(future, None)

    async def _fly(self) -> None:
        # One turn of the loop lets callers that were woken together fly together.
        try:
            await asyncio.sleep(0)
            while group := self._next_group():
                await self._answer(group)
        finally:
            self._flying -= 1

    async def _answer(self, group: Sequence[tuple[Asked, asyncio.Future[Answered]]]) -> None:
        try:
            answers = await self._ask([asked for asked, _ in group])
            if len(answers) != len(group):
                raise RuntimeError("a flight came back with another number of answers than it has callers")
            for (_, future), answer in zip(group, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        except BaseException as error:
            for _, future in group:
                if not future.done():
                    future.set_exception(error if isinstance(error, Exception) else StoreUnavailable("cut off"))
            if not isinstance(error, Exception):
                raise

    def _next_group(self) -> list[tuple[Asked, asyncio.Future[Answered]]]:
        group: list[tuple[Asked, asyncio.Future[Answered]]] = []
        addresses = 0
        too_late = asyncio.get_running_loop().time() - WAIT_S
        while self._waiting:
            future, (asked, since) = next(iter(self._waiting.items()))
            if future.done() or since < too_late:
                del self._waiting[future]
                if not future.done():  # its caller has not left
                    future.set_exception(StoreUnavailable("the database answered nobody before this check"))
                continue
            addresses += self._addresses(asked)
            if group and addresses > FLIGHT_ADDRESSES_MAX:
                break
            del self._waiting[future]
            group.append((asked, future))
        return group
