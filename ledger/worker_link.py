"""Connections between the processes of one server, over sockets in a folder that is theirs alone.

A message is four bytes of length and its MessagePack. What is sent after a pause goes at once, what follows it goes together: a
wakeup of the other process costs more than what one message says. Whoever asks notices a process that hangs: while it waits it
sends a ping, and gives up where nothing at all comes back.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

import msgspec

_LENGTH_BYTES = 4
_BETWEEN_S = 0.0015
# Whose loop does not turn for so long will not answer.
SILENCE_MAX_S = 5.0
_PING_AFTER_S = 1.0

Sent = TypeVar("Sent")
Received = TypeVar("Received")


class LinkLost(Exception):
    """The process at the other end went away, or hangs (`hangs`). What it was asked may or may not have happened."""

    def __init__(self, *, hangs: bool) -> None:
        super().__init__("the process that was asked " + ("does not answer" if hangs else "has gone"))
        self.hangs = hangs


class Wire(asyncio.Protocol, ABC, Generic[Sent, Received]):
    """One end of a connection: whole messages in, whole messages out. `received` gets all that came together."""

    def __init__(self, decoder: "msgspec.msgpack.Decoder[Received]") -> None:
        self._decoder = decoder
        self._encoder = msgspec.msgpack.Encoder()
        self._transport: asyncio.Transport | None = None
        self._outgoing: list[bytes] = []
        self._incoming = bytearray()
        self._sent_at = float("-inf")
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()

    def send(self, message: Sent) -> None:
        """Send a message, in a moment at the latest. Raises what encoding it raises; then nothing is sent."""
        encoded = self._encoder.encode(message)
        if not self._outgoing:
            self._loop.call_at(self._sent_at + _BETWEEN_S, self._flush)
        self._outgoing += (len(encoded).to_bytes(_LENGTH_BYTES, "big"), encoded)

    def close(self) -> None:
        """Close it, once what was sent is out."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()

    @abstractmethod
    def received(self, messages: Sequence[Received]) -> None:
        """Take messages."""

    def lost(self) -> None:
        """The connection is closed."""

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        self._sent_at = self._loop.time()
        if outgoing and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(outgoing))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not of that class by uvloop, which has all that it has.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        incoming = self._incoming
        incoming += data
        messages: list[Received] = []
        start = 0
        try:
            while len(incoming) - start >= _LENGTH_BYTES:
                end = start + _LENGTH_BYTES + int.from_bytes(incoming[start : start + _LENGTH_BYTES], "big")
                if len(incoming) < end:
                    break
                messages.append(self._decoder.decode(bytes(incoming[start + _LENGTH_BYTES : end])))
                start = end
        except msgspec.MsgspecError:
            # Another version of this program, or none: nothing that it says can be relied on.
            self.abort()
            return
        if start:
            del incoming[:start]
        if messages:
            self.received(messages)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        if not self.closed.done():
            self.closed.set_result(None)
        self.lost()


class Asking(Generic[Received]):
    """Questions by number that wait for their answers, and the watch over whoever is to give them."""

    def __init__(self, *, ping: Callable[[], None], give_up: Callable[[], None]) -> None:
        self._ping = ping
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, asyncio.Future[Received]] = {}
        self._number = 0
        self._heard_at = 0.0
        self._pinged_at: float | None = None
        self._watch: asyncio.TimerHandle | None = None
        self.hangs = False

    def next_number(self) -> int:
        """A number for a question."""
        self._number += 1
        return self._number

    async def answer(self, number: int) -> Received:
        """The answer to the question of this number, which was just sent. Raises LinkLost."""
        future: asyncio.Future[Received] = self._loop.create_future()
        if not self._waiting:
            self._heard_at = self._loop.time()
        self._waiting[number] = future
        if self._watch is None:
            self._watch = self._loop.call_later(_PING_AFTER_S, self._look)
        try:
            return await future
        finally:
            self._waiting.pop(number, None)

    def heard(self) -> None:
        """The other end has said something."""
        self._heard_at = self._loop.time()
        self._pinged_at = None

    def settle(self, number: int, answer: Received) -> None:
        """Give an answer to who waits for it, if anyone still does."""
        future = self._waiting.get(number)
        if future is not None and not future.done():
            future.set_result(answer)

    def lost(self) -> None:
        """No answer will come."""
        if self._watch is not None:
            self._watch.cancel()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(LinkLost(hangs=self.hangs))

    def _look(self) -> None:
        self._watch = None
        if not self._waiting:
            return
        now = self._loop.time()
        if self._pinged_at is not None and now - self._pinged_at >= SILENCE_MAX_S:
            self.hangs = True
            self._give_up()
            return
        if self._pinged_at is None and now - self._heard_at >= _PING_AFTER_S:
            self._pinged_at = now
            self._ping()
        self._watch = self._loop.call_later(_PING_AFTER_S, self._look)


def decoder_of(kind: Any) -> "msgspec.msgpack.Decoder[Any]":
    """What reads messages of this type, and nothing else."""
    return msgspec.msgpack.Decoder(kind)
