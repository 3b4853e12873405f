"""How groups form, what is prepared behind what, and who waits for whom; with a flush that the test holds in its hands."""

import asyncio
from collections.abc import Callable

import pytest

from eventstore.append_queue import GROUP_COMMANDS_MAX, AppendQueue, Turn


class Flush:
    """Takes groups, and finishes each when it is told to."""

    def __init__(self, *, overlaps: bool = True, fails: Callable[[int], bool] = lambda _: False) -> None:
        self.groups: list[list[int]] = []
        self.behind: list[bool] = []
        self.may_finish: list[asyncio.Event] = []
        self.finished: list[int] = []
        self.fails = fails
        self.queue = AppendQueue[int, int, object](self, alone=lambda number: number < 0, overlaps=lambda: overlaps)

    async def __call__(self, turn: Turn[int, int, object]) -> None:
        number = len(self.groups)
        self.groups.append([waiting.command for waiting in turn.waiting])
        self.behind.append(turn.ahead is not None)
        self.may_finish.append(asyncio.Event())
        await turn.wait_for_ahead()
        turn.starts(object())
        await self.may_finish[number].wait()
        self.finished.append(number)
        for waiting in turn.waiting:
            if self.fails(waiting.command):
                waiting.refuse(ValueError(waiting.command))
            else:
                waiting.settle(waiting.command * 10)

    def ask(self, *numbers: int) -> list[asyncio.Task[int]]:
        return [asyncio.create_task(self.queue.submit(number)) for number in numbers]

    async def finish(self, number: int) -> None:
        self.may_finish[number].set()
        await turns()


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_few_are_one_group_and_come_in_order() -> None:
    flush = Flush()
    asked = flush.ask(*range(20))
    await turns()
    assert flush.groups == [list(range(20))]
    await flush.finish(0)
    assert [task.result() for task in asked] == [number * 10 for number in range(20)]
    await flush.queue.close()


@pytest.mark.parametrize("overlaps", [True, False])
async def test_of_many_one_half_is_prepared_while_the_other_is_written(overlaps: bool) -> None:
    flush = Flush(overlaps=overlaps)
    asked = flush.ask(*range(100))
    await turns()
    if overlaps:
        assert flush.groups == [list(range(50)), list(range(50, 100))]
        assert flush.behind == [False, True]
        await flush.finish(1)
        assert not flush.finished, "the second waits for the first, however soon it could go"
        await flush.finish(0)
        assert flush.finished == [0, 1]
    else:
        assert flush.groups == [list(range(100))]
        await flush.finish(0)
    await asyncio.gather(*asked)
    await flush.queue.close()


async def test_few_that_come_while_a_group_is_written_wait_until_they_are_enough() -> None:
    flush = Flush()
    asked = flush.ask(*range(20))
    await turns()
    asked += flush.ask(*range(100, 107))
    await turns()
    assert len(flush.groups) == 1
    asked += flush.ask(107)
    await turns()
    assert flush.groups[1:] == [list(range(100, 108))]
    await flush.finish(0)
    await flush.finish(1)
    await asyncio.gather(*asked)
    await flush.queue.close()


async def test_never_more_than_one_group_is_prepared_ahead() -> None:
    flush = Flush()
    asked = flush.ask(*range(20))
    await turns()
    asked += flush.ask(*range(20, 40))
    await turns()
    asked += flush.ask(*range(40, 80))
    await turns()
    assert len(flush.groups) == 2
    await flush.finish(0)
    assert len(flush.groups) == 3
    for number in range(1, 3):
        await flush.finish(number)
    await asyncio.gather(*asked)
    await flush.queue.close()


async def test_what_is_alone_is_in_no_group_and_nothing_is_prepared_across_it() -> None:
    flush = Flush()
    asked = flush.ask(*range(20), -1, *range(20, 40))
    await turns()
    assert flush.groups == [list(range(20))]
    await flush.finish(0)
    assert flush.groups[1:] == [[-1]]
    await flush.finish(1)
    assert flush.groups[2:] == [list(range(20, 40))]
    assert flush.behind == [False, False, False]
    await flush.finish(2)
    await asyncio.gather(*asked)
    await flush.queue.close()


async def test_a_group_has_so_many_at_most() -> None:
    flush = Flush(overlaps=False)
    asked = flush.ask(*range(GROUP_COMMANDS_MAX + 5))
    await turns()
    assert [len(group) for group in flush.groups] == [GROUP_COMMANDS_MAX]
    await flush.finish(0)
    await flush.finish(1)
    await asyncio.gather(*asked)
    await flush.queue.close()


async def test_many_of_one_caller_are_answered_each_for_itself() -> None:
    flush = Flush(fails=lambda number: number % 2 == 1)
    asked = asyncio.create_task(flush.queue.submit_all(range(5)))
    await turns()
    await flush.finish(0)
    answers = await asked
    assert [answer if isinstance(answer, int) else repr(answer) for answer in answers] == [
        0, "ValueError(1)", 20, "ValueError(3)", 40,
    ]  # fmt: skip
    assert await flush.queue.submit_all([]) == []
    await flush.queue.close()


async def test_a_caller_of_many_that_leaves_leaves_nothing_half_done() -> None:
    flush = Flush()
    asked = asyncio.create_task(flush.queue.submit_all(range(100)))
    await turns()
    asked.cancel()
    await turns()
    closing = asyncio.create_task(flush.queue.close())
    for number in range(2):
        await flush.finish(number)
    await closing
    assert [number for group in flush.groups for number in group] == list(range(100))
    assert flush.finished == [0, 1]


async def test_a_flush_that_breaks_is_told_to_its_callers_and_the_next_go_on() -> None:
    flush = Flush()
    good = flush.queue._flush

    async def broken(turn: Turn[int, int, object]) -> None:
        if 3 in [waiting.command for waiting in turn.waiting]:
            raise ZeroDivisionError
        await good(turn)

    flush.queue._flush = broken
    first = flush.ask(3, 4)
    await turns()
    second = flush.ask(5)
    await turns()
    assert [type(error) for error in await asyncio.gather(*first, return_exceptions=True)] == [ZeroDivisionError] * 2
    await flush.finish(0)
    assert await second[0] == 50
    await flush.queue.close()
    with pytest.raises(RuntimeError, match="closed"):
        await flush.queue.submit(1)
