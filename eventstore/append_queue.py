"""Who waits to be appended: groups callers that come together, and hands each group to one flush function.

Knows callers and their number, nothing of storage. One flush runs at a time; what arrives meanwhile is the next group.
A flush runs in the queue's own task: a caller that leaves stops waiting and cancels nobody's write.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

GROUP_COMMANDS_MAX = 512

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


@dataclass(frozen=True, slots=True, eq=False)
class Waiting(Generic[Asked, Answered]):
    """A caller: what it asks, and where its answer goes. Settled once; settling one that left does nothing."""

    command: Asked
    _answer: asyncio.Future[Answered]

    def settle(self, answer: Answered) -> None:
        """Give the caller its answer."""
        if not self._answer.done():
            self._answer.set_result(answer)

    def refuse(self, error: BaseException) -> None:
        """Give the caller an error instead."""
        if not self._answer.done():
            self._answer.set_exception(error)

    @property
    def error(self) -> Exception:
        """What it was refused with."""
        error = self._answer.exception()
        if not isinstance(error, Exception):
            raise ValueError("the caller was not refused")
        return error

    @property
    def settled(self) -> bool:
        """Whether the caller has its answer, or has left."""
        return self._answer.done()


class AppendQueue(Generic[Asked, Answered]):
    """Groups of up to GROUP_COMMANDS_MAX commands, in order of arrival; `alone` keeps a command in a group of its own."""

    def __init__(
        self,
        flush: Callable[[Sequence[Waiting[Asked, Answered]]], Awaitable[None]],
        *,
        alone: Callable[[Asked], bool],
    ) -> None:
        self._flush = flush
        self._alone = alone
        self._queue: deque[Waiting[Asked, Answered]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, command: Asked) -> Answered:
        """The answer that the flush gives `command`; raises what the flush refuses it with."""
        return await self.enqueue(command)

    def enqueue(self, command: Asked) -> asyncio.Future[Answered]:
        """The same, without waiting: for a caller that has many commands at once."""
        if self._closed:
            raise RuntimeError("the queue is closed")
        future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._queue.append(Waiting(command, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name="append")
        return future

    async def close(self) -> None:
        """Write what waits, take nothing more."""
        self._closed = True
        if self._worker is not None:
            await self._worker

    async def _work(self) -> None:
        # One turn of the loop lets callers that were woken together queue up together.
        await asyncio.sleep(0)
        while group := self._next_group():
            try:
                await self._flush(group)
            except Exception as error:  # noqa: BLE001 - told to each caller, none of which may wait for ever
                for waiting in group:
                    waiting.refuse(error)
        self._worker = None

    def _next_group(self) -> list[Waiting[Asked, Answered]]:
        group: list[Waiting[Asked, Answered]] = []
        while self._queue and len(group) < GROUP_COMMANDS_MAX:
            alone = self._alone(self._queue[0].command)
            if alone and group:
                break
            group.append(self._queue.popleft())
            if alone:
                break
        return group
