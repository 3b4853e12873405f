"""Who waits to be appended: groups callers that come together, and hands each group to one flush function.

Knows callers and their number, nothing of storage. Groups are written one after the other, in order of arrival; while one is
being written, the next may be prepared (see `Turn`). A flush runs in a task of its own: a caller that leaves stops waiting and
cancels nobody's write.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

GROUP_COMMANDS_MAX = 512
# So many callers at least are worth a group that is prepared while another is written; of so many that come when nothing is
# being written, one half goes first, so that there is another.
_BEHIND_MIN = 8
_HALVED_FROM = 32

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")
Prepared = TypeVar("Prepared")


class Waiting(Generic[Asked, Answered]):
    """A caller: what it asks, and where its answer goes. Settled once; settling one that left does nothing."""

    __slots__ = ("_answer", "command")

    def __init__(self, command: Asked, answer: asyncio.Future[Answered]) -> None:
        self.command = command
        self._answer = answer

    def settle(self, answer: Answered) -> None:
        """Give the caller its answer."""
        if not self._answer.done():
            self._answer.set_result(answer)

    def refuse(self, error: BaseException) -> None:
        """Give the caller an error instead."""
        if not self._answer.done():
            self._answer.set_exception(error)

    @property
    def settled(self) -> bool:
        """Whether the caller has its answer, or has left."""
        return self._answer.done()


class _Batch(Generic[Answered]):
    """What one caller asks many things at once with: it is woken once, when all of them are answered."""

    __slots__ = ("answered", "answers", "left")

    def __init__(self, count: int) -> None:
        self.answers: list[Answered | BaseException | None] = [None] * count
        self.left = count
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class _OfBatch(Waiting[Asked, Answered]):
    """One of the things that a caller asks at once."""

    __slots__ = ("_at", "_batch")

    def __init__(self, command: Asked, batch: _Batch[Answered], at: int) -> None:
        self.command = command
        self._batch = batch
        self._at = at

    def settle(self, answer: Answered) -> None:
        self._answer_by(answer)

    def refuse(self, error: BaseException) -> None:
        self._answer_by(error)

    def _answer_by(self, answer: Answered | BaseException) -> None:
        batch = self._batch
        if batch.answers[self._at] is None:
            batch.answers[self._at] = answer
            batch.left -= 1
            if not batch.left and not batch.answered.done():
                batch.answered.set_result(None)

    @property
    def settled(self) -> bool:
        # Also for a caller that has left: what it asked for together is not left half done.
        return self._batch.answers[self._at] is not None


@dataclass(slots=True, eq=False)
class Turn(Generic[Asked, Answered, Prepared]):
    """A group's turn to be written. It writes nothing before the turn `ahead` has finished, but may prepare for then."""

    waiting: Sequence[Waiting[Asked, Answered]]
    ahead: "Turn[Asked, Answered, Prepared] | None"
    # Is called when it is over.
    when_finished: Callable[[], None]
    # What it is writing, and what it has written, once that is so.
    writing: Prepared | None = None
    written: Prepared | None = None
    _starts: asyncio.Event = field(default_factory=asyncio.Event)
    _finished: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def finished(self) -> bool:
        """Whether nothing of it will be written any more."""
        return self._finished.is_set()

    def starts(self, prepared: Prepared) -> None:
        """From here on it is being written: the next one may prepare for what it leads to."""
        self.writing = prepared
        self._starts.set()

    def finish(self, written: Prepared | None = None) -> None:
        """It is over. `written` is what is durable, if it was written as it was first prepared."""
        if not self._finished.is_set():
            self.written = written
            self.ahead = None
            self._starts.set()
            self._finished.set()
            self.when_finished()

    async def wait_for_start(self) -> None:
        """Return when it is being written, or over."""
        await self._starts.wait()

    async def wait_for_ahead(self) -> "Prepared | None":
        """Return when it is this one's turn: what the one ahead has written, if that is as it was first prepared."""
        ahead = self.ahead
        if ahead is None:
            return None
        await ahead._finished.wait()  # noqa: SLF001 - one of its own kind
        self.ahead = None
        return ahead.written


class AppendQueue(Generic[Asked, Answered, Prepared]):
    """Groups of up to GROUP_COMMANDS_MAX commands, in order of arrival. `alone` keeps a command in a group of its own, with
    nothing prepared before it is written, nor behind it. `overlaps` says whether it helps to have two groups, one prepared
    while the other is written."""

    def __init__(
        self,
        flush: Callable[[Turn[Asked, Answered, Prepared]], Awaitable[None]],
        *,
        alone: Callable[[Asked], bool],
        overlaps: Callable[[], bool],
    ) -> None:
        self._flush = flush
        self._alone = alone
        self._overlaps = overlaps
        self._queue: deque[Waiting[Asked, Answered]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._turns: set[asyncio.Task[None]] = set()
        # Set when so many wait, or a turn finishes.
        self._enough = 0
        self._wake = asyncio.Event()
        self._closed = False

    async def submit(self, command: Asked) -> Answered:
        """The answer that the flush gives `command`; raises what the flush refuses it with."""
        future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._enqueue([Waiting(command, future)])
        return await future

    async def submit_all(self, commands: Sequence[Asked]) -> list[Answered | BaseException]:
        """The answer to each, or what it is refused with; they come one after the other."""
        if not commands:
            return []
        batch = _Batch[Answered](len(commands))
        self._enqueue([_OfBatch(command, batch, at) for at, command in enumerate(commands)])
        await batch.answered
        return [answer for answer in batch.answers if answer is not None]

    def _enqueue(self, waiting: Sequence[Waiting[Asked, Answered]]) -> None:
        if self._closed:
            raise RuntimeError("the queue is closed")
        self._queue += waiting
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name="append")
        elif len(self._queue) >= self._enough:
            self._wake.set()

    async def close(self) -> None:
        """Write what waits, take nothing more."""
        self._closed = True
        if self._worker is not None:
            await self._worker

    async def _work(self) -> None:
        # One turn of the loop lets callers that were woken together queue up together.
        await asyncio.sleep(0)
        ahead: Turn[Asked, Answered, Prepared] | None = None
        while group := await self._gather(ahead):
            turn = Turn(group, None if ahead is None or ahead.finished else ahead, self._wake.set)
            task = asyncio.create_task(self._take(turn), name="append-group")
            self._turns.add(task)
            task.add_done_callback(self._turns.discard)
            await turn.wait_for_start()
            ahead = turn
        self._worker = None

    async def _take(self, turn: Turn[Asked, Answered, Prepared]) -> None:
        try:
            await self._flush(turn)
        except Exception as error:  # noqa: BLE001 - told to each caller, none of which may wait for ever
            for waiting in turn.waiting:
                waiting.refuse(error)
        finally:
            turn.finish()

    async def _gather(self, ahead: Turn[Asked, Answered, Prepared] | None) -> list[Waiting[Asked, Answered]]:
        """The next group: at once where nothing is being written, else when it is large enough to be prepared meanwhile."""
        queue = self._queue
        while True:
            self._wake.clear()
            if ahead is None or ahead.finished:
                halved = len(queue) >= _HALVED_FROM and self._overlaps()
                return self._next_group((len(queue) + 1) // 2 if halved else len(queue))
            self._enough = max(_BEHIND_MIN, len(ahead.waiting) // 4)
            if len(queue) >= self._enough and not (
                self._alone(queue[0].command) or self._alone(ahead.waiting[0].command)
            ):
                return self._next_group(len(queue))
            await self._wake.wait()
            # Whoever was answered just now and asks again at once comes along.
            await asyncio.sleep(0)

    def _next_group(self, commands_max: int) -> list[Waiting[Asked, Answered]]:
        group: list[Waiting[Asked, Answered]] = []
        while self._queue and len(group) < min(commands_max, GROUP_COMMANDS_MAX):
            alone = self._alone(self._queue[0].command)
            if alone and group:
                break
            group.append(self._queue.popleft())
            if alone:
                break
        return group
