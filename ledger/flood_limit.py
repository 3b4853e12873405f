"""How often one link, or one address, may ask for something: a flood from there is slowed down, and no opt-out ever is.

Whoever asks here lets an opt-out pass all the same. Those of a flood are joined, so that they do not fill the log; each of
them is recorded before it is answered.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

TIMES = 60
SECONDS = 60.0
_KEYS_MAX = 10_000
# Shorter than mailbox and text message providers wait for an answer.
_TURN_S = 2.0

Outcome = TypeVar("Outcome")
Pause = Callable[[float], Awaitable[object]]


class TooOften(Exception):
    """This was asked for too often from there; in so many seconds it may be again."""

    def __init__(self, seconds: float) -> None:
        super().__init__("too often in a short time from one link or address; nothing was recorded")
        self.seconds = seconds


class FloodLimit:
    """A bucket for each key, filled anew all the time; of the keys that asked longest ago nothing is kept."""

    def __init__(
        self, *, times: int = TIMES, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._full = float(times)
        self._per_second = times / seconds
        self._clock = clock
        self._buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def seconds_to_wait(self, key: str) -> float:
        """0 where it may be, which is then counted; else in how many seconds it may."""
        # The key itself is not kept: whoever reads this memory should not find links.
        digest = hashlib.sha256(key.encode("utf-8", "replace")).digest()
        now = self._clock()
        left, since = self._buckets.pop(digest, (self._full, now))
        left = min(self._full, left + (now - since) * self._per_second)
        passes = left >= 1.0
        self._buckets[digest] = (left - 1.0 if passes else left, now)
        if len(self._buckets) > _KEYS_MAX:
            self._buckets.popitem(last=False)
        return 0.0 if passes else (1.0 - left) / self._per_second


class JoinedOptOuts(Generic[Outcome]):
    """Opt-outs of a flood, those of one place at a time: what comes while one waits for its turn is recorded with it.

    Nobody is answered before it is recorded, and what is recorded is effective at the latest of those that were joined: so no
    opt-in that was chosen before any of them counts over it, however late it is recorded. A place has a turn every
    `seconds`, so a flood neither fills the log nor is held up for long.
    """

    def __init__(self, *, seconds: float = _TURN_S, pause: Pause = asyncio.sleep) -> None:
        self._seconds = seconds
        self._pause = pause
        self._waiting: dict[str, _Joined[Outcome]] = {}

    async def record(
        self, place: str, effective_at: datetime | None, record: Callable[[datetime | None], Awaitable[Outcome]]
    ) -> Outcome:
        """What came of recording an opt-out of this place; `effective_at` None is when it is recorded."""
        joined = self._waiting.get(place)
        if joined is None:
            joined = self._waiting[place] = _Joined(effective_at)
            # In a task of its own: who comes first and goes again takes nobody's opt-out along.
            joined.task = asyncio.create_task(self._turn(place, joined, record))
        elif joined.effective_at is not None:
            joined.effective_at = None if effective_at is None else max(joined.effective_at, effective_at)
        if joined.task is None:
            raise RuntimeError("a turn without a task")
        return await asyncio.shield(joined.task)

    async def _turn(
        self,
        place: str,
        joined: "_Joined[Outcome]",
        record: Callable[[datetime | None], Awaitable[Outcome]],
    ) -> Outcome:
        await self._pause(self._seconds)
        # Whoever comes from here on waits for the next turn: this one may be decided already.
        del self._waiting[place]
        return await record(joined.effective_at)


@dataclass(slots=True)
class _Joined(Generic[Outcome]):
    """Opt-outs that wait for their turn together, and the latest instant from which one of them is to count."""

    effective_at: datetime | None
    task: asyncio.Task[Outcome] | None = None
