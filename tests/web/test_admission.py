"""How much is answered at once: the limits are met exactly, told at once, and free again when they are."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from web import admission
from web.admission import LARGE_COST, LARGE_COST_TOGETHER_MAX, LARGE_WAITING_MAX, Admission, Overloaded


class Work:
    """Answers once it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.running = 0

    async def __call__(self) -> str:
        self.running += 1
        try:
            await self.go.wait()
            return "done"
        finally:
            self.running -= 1


@pytest.fixture
def work() -> Work:
    return Work()


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_so_many_operations_and_not_one_more(work: Work) -> None:
    admitted = Admission(operations_max=3)
    tasks = [asyncio.create_task(admitted.run(1, work)) for _ in range(3)]
    await turns()
    with pytest.raises(Overloaded):
        await admitted.run(1, work)
    assert work.running == 3
    tasks[0].cancel()
    await turns()
    tasks.append(asyncio.create_task(admitted.run(1, work)))
    await turns()
    work.go.set()
    assert await asyncio.gather(*tasks[1:]) == ["done"] * 3


async def test_large_ones_wait_for_room_in_their_order_and_small_ones_do_not(work: Work) -> None:
    admitted = Admission()
    half = LARGE_COST_TOGETHER_MAX // 2
    tasks = [asyncio.create_task(admitted.run(cost, work)) for cost in (half, half, LARGE_COST + 1, half)]
    await turns()
    assert work.running == 2
    small = asyncio.create_task(admitted.run(LARGE_COST, work))
    await turns()
    assert work.running == 3
    work.go.set()
    assert await asyncio.gather(*tasks, small) == ["done"] * 5
    assert admitted._large_cost == 0


async def test_one_that_is_larger_than_all_may_be_together_runs_alone(work: Work) -> None:
    admitted = Admission()
    alone = asyncio.create_task(admitted.run(2 * LARGE_COST_TOGETHER_MAX, work))
    other = asyncio.create_task(admitted.run(LARGE_COST + 1, work))
    await turns()
    assert work.running == 1
    work.go.set()
    assert await asyncio.gather(alone, other) == ["done", "done"]


async def test_more_than_may_wait_and_who_waited_too_long_are_told_before_anything_is_run(work: Work) -> None:
    admitted = Admission(wait_s=0.05)
    first = asyncio.create_task(admitted.run(LARGE_COST_TOGETHER_MAX, work))
    await turns()
    waiting = [asyncio.create_task(admitted.run(LARGE_COST + 1, work)) for _ in range(LARGE_WAITING_MAX)]
    await turns()
    with pytest.raises(Overloaded):
        await admitted.run(LARGE_COST + 1, work)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Overloaded}
    assert work.running == 1
    work.go.set()
    assert await first == "done"
    assert (admitted._large_cost, admitted._running, len(admitted._large_waiting)) == (0, 0, 0)


@pytest.mark.parametrize("let_in_before", [False, True])
async def test_who_leaves_while_waiting_takes_no_room(work: Work, let_in_before: bool) -> None:
    admitted = Admission()
    first = asyncio.create_task(admitted.run(LARGE_COST_TOGETHER_MAX, work))
    await turns()
    leaves = asyncio.create_task(admitted.run(LARGE_COST_TOGETHER_MAX, work))
    stays = asyncio.create_task(admitted.run(LARGE_COST_TOGETHER_MAX, work))
    await turns()
    if let_in_before:
        work.go.set()
        while not first.done():
            await asyncio.sleep(0)
    leaves.cancel()
    work.go.set()
    assert await asyncio.gather(first, stays) == ["done", "done"]
    assert (admitted._large_cost, admitted._running) == (0, 0)


async def test_an_answer_that_fails_frees_its_room() -> None:
    admitted = Admission()

    async def fails() -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - our own
        await admitted.run(admission.LARGE_COST + 1, fails)
    assert (admitted._large_cost, admitted._running) == (0, 0)


async def test_who_leaves_in_the_moment_in_which_room_is_made_is_passed_over(work: Work) -> None:
    admitted = Admission()
    first = asyncio.create_task(admitted.run(LARGE_COST_TOGETHER_MAX, work))
    await turns()
    leaves = [asyncio.create_task(admitted.run(LARGE_COST_TOGETHER_MAX, work)) for _ in range(2)]
    stays = asyncio.create_task(admitted.run(LARGE_COST_TOGETHER_MAX, work))
    await turns()
    work.go.set()  # the first runs before those that leave
    for task in leaves:
        task.cancel()
    outcomes = await asyncio.gather(first, *leaves, stays, return_exceptions=True)
    assert [outcomes[0], outcomes[-1]] == ["done", "done"]
    assert [type(outcome) for outcome in outcomes[1:-1]] == [asyncio.CancelledError] * 2
    assert (admitted._large_cost, admitted._running, len(admitted._large_waiting)) == (0, 0, 0)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("enter"), st.sampled_from([1, 300_000, 600_000, 1_500_000])),
            st.tuples(st.sampled_from(["cancel", "finish", "times out"]), st.integers(0, 7)),
            st.tuples(st.just("turn"), st.integers(1, 2)),
        ),
        max_size=40,
    )
)
@settings(deadline=None, max_examples=300)
def test_room_is_given_back_once_whatever_happens_in_the_same_moment(steps: list[tuple[str, int]]) -> None:
    asyncio.run(_steps(steps))


async def _steps(steps: list[tuple[str, int]]) -> None:
    admitted = Admission()
    goes: list[asyncio.Event] = []
    tasks: list[asyncio.Task[int]] = []
    timeouts: list[asyncio.Timeout] = []
    left: set[int] = set()

    async def entered(number: int, cost: int) -> int:
        async def answer() -> int:
            await goes[number].wait()
            return number

        async with timeouts[number]:
            return await admitted.run(cost, answer)

    for what, given_ in steps:
        if what == "enter":
            goes.append(asyncio.Event())
            timeouts.append(asyncio.timeout(None))
            tasks.append(asyncio.create_task(entered(len(tasks), given_)))
            await asyncio.sleep(0)
        elif what == "turn":
            await turns(given_)
        elif tasks:
            number = given_ % len(tasks)
            if what == "finish":
                goes[number].set()
            elif not tasks[number].done():
                left.add(number)
                if what == "cancel":
                    tasks[number].cancel()
                elif not timeouts[number].expired():
                    timeouts[number].reschedule(0)
        assert admitted._large_cost >= 0
    for go in goes:
        go.set()
    async with asyncio.timeout(5):
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for number, outcome in enumerate(outcomes):
        if number in left:
            assert outcome == number or isinstance(outcome, asyncio.CancelledError | TimeoutError)
        else:
            assert outcome == number
    assert (admitted._running, admitted._large_cost, len(admitted._large_waiting)) == (0, 0, 0)
