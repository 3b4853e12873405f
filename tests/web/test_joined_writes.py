"""An answer's head goes out with what comes next in the same turn of the loop; everything else goes out at once, in order."""

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


HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


async def test_head_and_body_of_a_turn_are_one_write() -> None:
    transport, below = await joined()
    transport.write(HEAD)
    assert (below.done, transport.get_write_buffer_size()) == ([], 1_000 + len(HEAD))
    transport.write(memoryview(b"body"))
    assert (below.done, transport.get_write_buffer_size()) == ([HEAD + b"body"], 1_000)
    transport.write(bytearray(b"more"))
    await asyncio.sleep(0)
    assert below.done == [HEAD + b"body", b"more"]


async def test_a_head_without_a_body_goes_out_at_the_end_of_the_turn() -> None:
    transport, below = await joined()
    transport.write(HEAD)
    await asyncio.sleep(0)
    assert below.done == [HEAD]
    transport.write(b"later")
    assert below.done == [HEAD, b"later"]


async def test_what_is_no_head_is_never_held() -> None:
    transport, below = await joined()
    for part in (b"event", b"", b"H", b"HTTP"):
        transport.write(part)
    assert below.done == [b"event", b"", b"H", b"HTTP"]


async def test_two_answers_of_a_turn_are_in_order() -> None:
    transport, below = await joined()
    for part in (HEAD, b"one", HEAD, HEAD, b"two"):
        transport.write(part)
    await asyncio.sleep(0)
    assert b"".join(part for part in below.done if isinstance(part, bytes)) == HEAD + b"one" + HEAD + HEAD + b"two"


async def test_a_close_comes_after_what_was_written() -> None:
    transport, below = await joined()
    transport.write(HEAD)
    transport.close()
    await asyncio.sleep(0)
    assert below.done == [HEAD, "close"]


async def test_an_abort_sends_nothing_more() -> None:
    transport, below = await joined()
    transport.write(HEAD)
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
        transport.write(HEAD)
        for start in range(0, size, 777):
            transport.write(content[start : start + 777])
        transport.write_eof()
        assert transport.can_write_eof()
        assert await got == HEAD + content


def _all_of(theirs: socket.socket) -> bytes:
    parts: list[bytes] = []
    while part := theirs.recv(65_536):
        parts.append(part)
    return b"".join(parts)
