"""Answers that their readers have not taken yet: how many bytes of them one process holds, and how they are sent.

Who asks for much and reads nothing would have the process keep it. So the bytes of large answers are counted until they have
gone to the system, of one tenant and of all; and who takes next to nothing of one is not waited for.
"""

from collections import Counter, deque
from collections.abc import Hashable, Iterable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from web.admission import Overloaded
from web.live.connections import being_taken

UNSENT_BYTES_MAX = 64 * 1024 * 1024
UNSENT_OF_ONE_BYTES_MAX = 32 * 1024 * 1024
# What is no larger than this the system takes by itself, or nearly so.
_COUNTED_FROM_BYTES = 64 * 1024


class Unsent:
    """The bytes of one process, by whose they are."""

    def __init__(self) -> None:
        self._of: Counter[Hashable] = Counter()
        self.bytes = 0

    def held(self, owner: Hashable, *, may_refuse: bool) -> "Held":
        """Room for one answer, as large as it turns out to be; where it may not be refused, there always is."""
        return Held(self, owner, may_refuse=may_refuse)

    def take(self, owner: Hashable, count: int, *, may_refuse: bool) -> None:
        """Hold so many more. Raises Overloaded."""
        if may_refuse and (self.bytes + count > UNSENT_BYTES_MAX or self._of[owner] + count > UNSENT_OF_ONE_BYTES_MAX):
            raise Overloaded
        self.bytes += count
        self._of[owner] += count

    def give_back(self, owner: Hashable, count: int) -> None:
        """Hold so many less."""
        self.bytes -= count
        self._of[owner] -= count
        if not self._of[owner]:
            del self._of[owner]


class Held:
    """The bytes of one answer. Closed by whoever has it last."""

    def __init__(self, unsent: Unsent, owner: Hashable, *, may_refuse: bool) -> None:
        self._unsent = unsent
        self._owner = owner
        self._may_refuse = may_refuse
        self.bytes = 0

    def take(self, count: int) -> None:
        """So many more are made. Raises Overloaded."""
        self._unsent.take(self._owner, count, may_refuse=self._may_refuse)
        self.bytes += count

    def sent(self, count: int) -> None:
        """So many have gone."""
        self._unsent.give_back(self._owner, count)
        self.bytes -= count

    def close(self) -> None:
        """Nothing of it is there any more."""
        if self.bytes:
            self.sent(self.bytes)


class AnswerInParts(Response):
    """A large answer, of which no more is kept than its reader has yet to take."""

    def __init__(self, parts: Iterable[bytes], held: Held, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status_code = status
        self.background = None
        self._parts = deque(parts)
        self._held = held
        self.raw_headers = [(b"content-length", b"%d" % sum(map(len, self._parts))), *headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and stay until it is taken or given up."""
        try:
            async with being_taken(scope) as taking:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                while self._parts:
                    count = len(self._parts[0])
                    part = self._parts.popleft()
                    await send({"type": "http.response.body", "body": part, "more_body": bool(self._parts)})
                    del part
                    taking.sent(count)
                    if self._parts:
                        self._held.sent(count)
                await taking.all_taken()
        finally:
            self._parts.clear()
            self._held.close()


def answer_of(body: bytes, headers: list[tuple[bytes, bytes]], unsent: Unsent, owner: Hashable) -> AnswerInParts:
    """The answer to a question, of these bytes. Raises Overloaded where there is no room for it."""
    held = unsent.held(owner, may_refuse=True)
    if is_large(len(body)):
        held.take(len(body))
    starts = range(0, len(body), _COUNTED_FROM_BYTES)
    return AnswerInParts([body[start : start + _COUNTED_FROM_BYTES] for start in starts], held, 200, headers)


def is_large(count: int) -> bool:
    """Whether an answer of so many bytes is counted."""
    return count > _COUNTED_FROM_BYTES
