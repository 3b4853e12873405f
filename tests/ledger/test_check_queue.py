"""The queue of checks: who asks together flies together, at most two flights at once, and each caller has its own answer."""

import asyncio
from collections.abc import Sequence

import pytest

from eventstore.database import StoreUnavailable
from ledger import check_queue
from ledger.check_queue import FLIGHT_ADDRESSES_MAX, FLIGHTS_MAX, CheckQueue


class Store:
    """Answers each question with its double once it is let go; remembers who flew together."""

    def __init__(self) -> None:
        self.flights: list[list[int]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.go = asyncio.Event()
        self.go.set()
        self.failure: Exception | None = None

    async def ask(self, asked: Sequence[int]) -> Sequence[int]:
        self.flights.append(list(asked))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.go.wait()
            if self.failure is not None:
                raise self.failure
            return [2 * one for one in asked]
        finally:
            self.in_flight -= 1


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def queue(store: Store) -> CheckQueue[int, int]:
    return CheckQueue(store.ask, addresses=lambda _: 1)


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_callers_that_come_together_share_a_flight_and_each_has_its_own_answer(
    store: Store, queue: CheckQueue[int, int]
) -> None:
    assert await asyncio.gather(*(queue.submit(number) for number in range(40))) == [2 * n for n in range(40)]
    assert len(store.flights) <= FLIGHTS_MAX


async def test_at_most_two_flights_at_once_and_the_rest_waits(store: Store, queue: CheckQueue[int, int]) -> None:
    store.go.clear()
    callers: list[asyncio.Task[int]] = []
    for number in range(6):
        callers.append(asyncio.create_task(queue.submit(number)))
        await turns()
    assert store.flights == [[0], [1]]
    store.go.set()
    assert await asyncio.gather(*callers) == [0, 2, 4, 6, 8, 10]
    assert store.flights == [[0], [1], [2, 3, 4, 5]]
    assert store.most_in_flight == FLIGHTS_MAX


async def test_a_flight_carries_512_addresses_at_most_and_more_only_for_one_caller(store: Store) -> None:
    queue = CheckQueue(store.ask, addresses=lambda size: size)
    sizes = [300, 200, 12, 1, 2_000, 5]
    await asyncio.gather(*(queue.submit(size) for size in sizes))
    assert [one for flight in store.flights for one in flight] == sizes
    assert all(sum(flight) <= FLIGHT_ADDRESSES_MAX or len(flight) == 1 for flight in store.flights)


async def test_a_flight_starts_after_each_of_its_questions_was_asked(store: Store, queue: CheckQueue[int, int]) -> None:
    store.go.clear()
    first = [asyncio.create_task(queue.submit(number)) for number in (0, 1)]
    await turns()
    late = asyncio.create_task(queue.submit(2))
    await turns()
    carrying = [flight for flight in store.flights if 2 in flight]
    assert carrying == [[2]], "not with those that had left already"
    store.go.set()
    assert await asyncio.gather(*first, late) == [0, 2, 4]


async def test_a_failing_flight_fails_its_callers_and_nobody_else(store: Store, queue: CheckQueue[int, int]) -> None:
    store.failure = StoreUnavailable("away")
    outcomes = await asyncio.gather(queue.submit(1), queue.submit(2), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable, StoreUnavailable]
    store.failure = None
    assert await queue.submit(3) == 6


async def test_a_flight_that_answers_too_few_fails_all_its_callers() -> None:
    async def ask(asked: Sequence[int]) -> Sequence[int]:
        return asked[1:]

    queue = CheckQueue(ask, addresses=lambda _: 1)
    outcomes = await asyncio.gather(queue.submit(1), queue.submit(2), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [RuntimeError, RuntimeError], "rather than another's answer"


async def test_a_caller_that_leaves_takes_nobody_with_it(store: Store, queue: CheckQueue[int, int]) -> None:
    store.go.clear()
    flying = [asyncio.create_task(queue.submit(number)) for number in (0, 1)]
    await turns()
    second = asyncio.create_task(queue.submit(2))
    await turns()
    waiting = [asyncio.create_task(queue.submit(number)) for number in (3, 4)]
    await turns()
    flying[0].cancel()
    waiting[0].cancel()
    await turns()
    store.go.set()
    assert await asyncio.gather(flying[1], second, waiting[1]) == [2, 4, 8]
    assert [4] in store.flights, "who left while waiting is not asked for"


async def test_nobody_is_left_behind_when_flights_end_together(store: Store, queue: CheckQueue[int, int]) -> None:
    """Callers that ask again the moment they are answered, while the flights that answered them end."""

    async def asks_again() -> int:
        return sum([await queue.submit(number) for number in range(200)])

    async with asyncio.timeout(5):
        results = await asyncio.gather(asks_again(), asks_again(), asks_again())
    assert results == [2 * sum(range(200))] * 3


async def test_who_asks_while_both_flights_end_gets_a_flight(store: Store, queue: CheckQueue[int, int]) -> None:
    store.go.clear()
    first = asyncio.create_task(queue.submit(1))
    await turns()
    again: list[int] = []

    async def asks_again() -> None:
        again.append(await queue.submit(2))
        again.append(await queue.submit(3))

    second = asyncio.create_task(asks_again())
    await turns()
    assert store.in_flight == FLIGHTS_MAX
    store.go.set()
    async with asyncio.timeout(5):
        await asyncio.gather(first, second)
    assert again == [4, 6]


async def full(store: Store, queue: CheckQueue[int, int]) -> tuple[list[asyncio.Task[int]], list[asyncio.Task[int]]]:
    """(two that fly, three that wait for them): as many as the queue takes where three may wait."""
    store.go.clear()
    flying: list[asyncio.Task[int]] = []
    for number in (0, 1):
        flying.append(asyncio.create_task(queue.submit(number)))
        await turns()
    waiting = [asyncio.create_task(queue.submit(number)) for number in (2, 3, 4)]
    await turns()
    return flying, waiting


async def test_more_than_may_wait_are_told_at_once(
    store: Store, queue: CheckQueue[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_queue, "WAITING_MAX", 3)
    flying, waiting = await full(store, queue)
    with pytest.raises(StoreUnavailable):
        await queue.submit(5)
    store.go.set()
    assert await asyncio.gather(*flying, *waiting) == [0, 2, 4, 6, 8]
    assert await queue.submit(5) == 10


async def test_those_that_have_left_refuse_nobody(
    store: Store, queue: CheckQueue[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_queue, "WAITING_MAX", 3)
    flying, leaving = await full(store, queue)
    for task in leaving:
        task.cancel()
    await turns()
    living = [asyncio.create_task(queue.submit(number)) for number in (5, 6, 7)]
    await turns()
    store.go.set()
    assert await asyncio.gather(*flying, *living) == [0, 2, 10, 12, 14]
    assert not {2, 3, 4} & {one for flight in store.flights for one in flight}


async def test_who_waits_too_long_is_told_though_no_flight_lands_and_nobody_else(
    store: Store, queue: CheckQueue[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_queue, "WAIT_S", 0.05)
    flying, waiting = await full(store, queue)
    async with asyncio.timeout(5):
        early = await asyncio.gather(*flying, *waiting, return_exceptions=True)
    assert [type(outcome) for outcome in early] == [StoreUnavailable] * 5
    assert store.in_flight == FLIGHTS_MAX
    monkeypatch.setattr(check_queue, "WAIT_S", 600.0)
    later = [asyncio.create_task(queue.submit(number)) for number in (5, 6)]
    await turns()
    store.go.set()
    assert await asyncio.gather(*later) == [10, 12]
    assert not {2, 3, 4} & {one for flight in store.flights for one in flight}, "nobody waits for their answers"


async def test_each_is_told_when_its_own_time_is_over(
    store: Store, queue: CheckQueue[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_queue, "WAIT_S", 0.1)
    store.go.clear()
    loop = asyncio.get_running_loop()
    waits: list[float] = []

    async def asks(number: int) -> None:
        since = loop.time()
        with pytest.raises(StoreUnavailable):
            await queue.submit(number)
        waits.append(loop.time() - since)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(asks(number))
            await asyncio.sleep(0.04)
    assert min(waits) >= 0.099


async def test_a_flight_that_is_cut_off_leaves_nobody_waiting(store: Store, queue: CheckQueue[int, int]) -> None:
    store.go.clear()
    caller = asyncio.create_task(queue.submit(1))
    await turns()
    (flight,) = queue._flights
    flight.cancel()
    with pytest.raises(StoreUnavailable):
        await caller
    store.go.set()
    assert await queue.submit(2) == 4
