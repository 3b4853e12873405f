"""Who waits for a check: look-ups that arrive together are answered by one statement, from one snapshot.

Knows callers and how many addresses each brings, nothing of storage. At most FLIGHTS_MAX statements run at once; each
starts after its questions were asked, so whatever was acknowledged before a question is seen by its answer.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

FLIGHTS_MAX = 2
FLIGHT_ADDRESSES_MAX = 512

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
        self._waiting: deque[tuple[Asked, asyncio.Future[Answered]]] = deque()
        self._flights: set[asyncio.Task[None]] = set()

    async def submit(self, asked: Asked) -> Answered:
        """The answer to one look-up; raises what the flight that carried it raised. A caller that leaves cancels nobody."""
        future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        if len(self._flights) < FLIGHTS_MAX:
            flight = asyncio.create_task(self._fly(), name="check")
            self._flights.add(flight)
            flight.add_done_callback(self._flights.discard)
        return await future

    async def _fly(self) -> None:
        # One turn of the loop lets callers that were woken together fly together.
        await asyncio.sleep(0)
        while group := self._next_group():
            try:
                answers = await self._ask([asked for asked, _ in group])
            except Exception as error:  # noqa: BLE001 - told to each caller, none of which may wait for ever
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, future), answer in zip(group, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)

    def _next_group(self) -> list[tuple[Asked, asyncio.Future[Answered]]]:
        group: list[tuple[Asked, asyncio.Future[Answered]]] = []
        addresses = 0
        while self._waiting:
            addresses += self._addresses(self._waiting[0][0])
            if group and addresses > FLIGHT_ADDRESSES_MAX:
                break
            group.append(self._waiting.popleft())
        return group
