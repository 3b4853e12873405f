"""What is written in one turn of the loop goes out at once, in order; nothing is held longer, and nothing without a bound."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from web.joined_writes import JoinedWrites


class Counting(asyncio.Transport):
    """A transport that notes what it is told, and else does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[bytes | str] = []
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.done.append(bytes(data))

    def close(self) -> None:
        self.closing = True
        self.done.append("close")

    def abort(self) -> None:
        self.closing = True
        self.done.append("abort")

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 1_000


async def joined() -> tuple[JoinedWrites, Counting]:
    below = Counting()
    return JoinedWrites(below, asyncio.get_running_loop()), below


async def test_what_is_written_in_a_turn_is_one_write() -> None:
    transport, below = await joined()
    transport.write(b"head ")
    transport.write(bytearray(b"body "))
    transport.write(memoryview(b"end"))
    assert (below.done, transport.get_write_buffer_size()) == ([], 1_000 + 13)
    await asyncio.sleep(0)
    assert (below.done, transport.get_write_buffer_size()) == ([b"head body end"], 1_000)
    transport.write(b"next")
    await asyncio.sleep(0)
    assert below.done == [b"head body end", b"next"]


async def test_who_never_pauses_is_not_held_for_ever() -> None:
    transport, below = await joined()
    for _ in range(100):
        transport.write(b"x" * 1_000)
    assert sum(map(len, below.done)) >= 84_000
    assert transport.get_write_buffer_size() < 1_000 + 16 * 1_024
    await asyncio.sleep(0)
    assert sum(map(len, below.done)) == 100_000


async def test_a_close_comes_after_what_was_written() -> None:
    transport, below = await joined()
    transport.write(b"last")
    transport.close()
    transport.write(b"too late")
    await asyncio.sleep(0)
    assert below.done == [b"last", "close"]


async def test_an_abort_sends_nothing_more() -> None:
    transport, below = await joined()
    transport.write(b"never")
    transport.abort()
    await asyncio.sleep(0)
    assert below.done == ["abort"]


@contextlib.asynccontextmanager
async def connected(protocol: Callable[[], asyncio.Protocol]) -> AsyncIterator[tuple[asyncio.Transport, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(protocol, ours)
    try:
        yield transport, theirs
    finally:
        transport.abort()
        theirs.close()


async def test_a_peer_that_takes_nothing_pauses_who_writes() -> None:
    class Paused(asyncio.Protocol):
        paused = False

        def pause_writing(self) -> None:
            self.paused = True

    protocol = Paused()
    async with connected(lambda: protocol) as (below, _):
        transport = JoinedWrites(below, asyncio.get_running_loop())
        transport.set_write_buffer_limits(high=64 * 1_024)
        assert transport.get_write_buffer_limits()[1] == 64 * 1_024
        for _ in range(10_000):
            if protocol.paused:
                break
            transport.write(b"x" * 4_096)
        assert protocol.paused


@pytest.mark.parametrize("size", [1, 16 * 1_024, 300_000])
async def test_the_peer_gets_all_of_it_in_order(size: int) -> None:
    content = bytes(number % 251 for number in range(size))
    async with connected(asyncio.Protocol) as (below, theirs):
        transport = JoinedWrites(below, asyncio.get_running_loop())
        got = asyncio.create_task(asyncio.to_thread(_all_of, theirs))
        for start in range(0, size, 777):
            transport.write(content[start : start + 777])
        transport.write_eof()
        assert transport.can_write_eof()
        assert await got == content


def _all_of(theirs: socket.socket) -> bytes:
    parts: list[bytes] = []
    while part := theirs.recv(65_536):
        parts.append(part)
    return b"".join(parts)
