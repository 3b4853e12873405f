"""Who waits for a check: look-ups that arrive together are answered by one statement, from one snapshot.

Knows callers and how many addresses each brings, nothing of storage. At most FLIGHTS_MAX statements run at once; each
starts after its questions were asked, so whatever was acknowledged before a question is seen by its answer. Those that
wait too long, on the ground or in a flight that does not land, or are too many, are told that the store does not answer.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from eventstore.database import StoreUnavailable

FLIGHTS_MAX = 2
FLIGHT_ADDRESSES_MAX = 512
WAITING_MAX = 4_096
WAIT_S = 10.0

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


class _Place(NamedTuple, Generic[Asked, Answered]):
    """Who is in a flight: what was asked and when, and where the answer goes."""

    asked: Asked
    since: float
    future: asyncio.Future[Answered]


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
        # Those that fly now, by the identity of their group.
        self._aboard: dict[int, Sequence[_Place[Asked, Answered]]] = {}
        self._late: asyncio.TimerHandle | None = None
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
        now = loop.time()
        self._waiting[future] = (asked, now)
        if self._late is None:
            # One timer for all that wait: nobody's own, as hardly anybody ever waits that long.
            self._late = loop.call_at(now + WAIT_S, self._tell_the_late)
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

    async def _answer(self, group: Sequence[_Place[Asked, Answered]]) -> None:
        self._aboard[id(group)] = group
        try:
            answers = await self._ask([place.asked for place in group])
            if len(answers) != len(group):
                raise RuntimeError("a flight came back with another number of answers than it has callers")
            for place, answer in zip(group, answers, strict=True):
                if not place.future.done():
                    place.future.set_result(answer)
        except BaseException as error:
            for place in group:
                if not place.future.done():
                    place.future.set_exception(error if isinstance(error, Exception) else StoreUnavailable("cut off"))
            if not isinstance(error, Exception):
                raise
        finally:
            del self._aboard[id(group)]

    def _next_group(self) -> list[_Place[Asked, Answered]]:
        group: list[_Place[Asked, Answered]] = []
        addresses = 0
        while self._waiting:
            future, (asked, since) = next(iter(self._waiting.items()))
            if future.done():  # its caller has left, or was told
                del self._waiting[future]
                continue
            addresses += self._addresses(asked)
            if group and addresses > FLIGHT_ADDRESSES_MAX:
                break
            del self._waiting[future]
            group.append(_Place(asked, since, future))
        return group

    def _unanswered(self) -> Iterator[tuple[float, asyncio.Future[Answered]]]:
        """Who waits since when, aboard or not."""
        for group in self._aboard.values():
            yield from ((place.since, place.future) for place in group if not place.future.done())
        yield from ((since, future) for future, (_, since) in self._waiting.items() if not future.done())

    def _tell_the_late(self) -> None:
        """End the wait of those whose time is over, however long their flight may take; look again at that of the next."""
        loop = asyncio.get_running_loop()
        too_late = loop.time() - WAIT_S
        next_since: float | None = None
        for since, future in self._unanswered():
            if since <= too_late:
                future.set_exception(StoreUnavailable("the database did not answer this check in time"))
            elif next_since is None or since < next_since:
                next_since = since
        self._late = None if next_since is None else loop.call_at(next_since + WAIT_S, self._tell_the_late)
