"""Who sends all before it reads gets the answer that ended it, not a reset; and nobody is waited for without end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

from tests.crash.server import Server
from web import lingering_close
from web.lingering_close import LingeringClose

BODY = b"x" * (24 * 1024 * 1024)


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder: Path = tmp_path_factory.mktemp("lingering")
    server = Server("--data-dir", str(folder), "--import-mib-max", "1")
    await server.start()
    yield server
    assert await server.stop() == 0


async def sends_all_first(server: Server, path: str) -> bytes:
    """What a client reads that writes its whole body before it looks for an answer, until the server closes."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
    )
    writer.write(head.encode() + BODY)
    await writer.drain()
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("path", ["/graphql", "/consent-provider", "/mcp", "/unknown"])
async def test_who_sends_all_before_it_reads_gets_the_answer(server: Server, path: str) -> None:
    answer = await sends_all_first(server, path)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer
    assert b"LIMIT_EXCEEDED" in answer


async def answer_to(*pieces: Message, headers: list[tuple[bytes, bytes]]) -> tuple[list[Message], int]:
    """What is sent by an application that reads one piece and closes, and how many pieces were read of it in all."""
    read, sent = 0, []

    async def receive() -> Message:
        nonlocal read
        if read == len(pieces):
            await asyncio.Event().wait()
        read += 1
        return pieces[read - 1]

    async def send(message: Message) -> None:
        sent.append(message)

    async def closing(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": b"too much"})

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"transfer-encoding", b"chunked")]}
    await LingeringClose(closing)(scope, receive, send)
    return sent, read


MORE = {"type": "http.request", "body": b"x", "more_body": True}
LAST = {"type": "http.request", "body": b"x", "more_body": False}
CLOSE = [(b"connection", b"close")]


@pytest.mark.parametrize(
    ("pieces", "headers", "read"),
    [
        pytest.param([MORE, MORE, LAST], CLOSE, 3, id="to the end of the body"),
        pytest.param([MORE, MORE, {"type": "http.disconnect"}], CLOSE, 3, id="until the client goes"),
        pytest.param([LAST], CLOSE, 1, id="not beyond a body that was read"),
        pytest.param([MORE, MORE, LAST], [], 1, id="not where the connection goes on"),
    ],
)
async def test_so_far_is_read(pieces: list[Message], headers: list[tuple[bytes, bytes]], read: int) -> None:
    sent, pieces_read = await answer_to(*pieces, headers=headers)
    assert pieces_read == read
    assert b"".join(message.get("body", b"") for message in sent) == b"too much"
    assert not sent[-1].get("more_body", False)


@pytest.mark.parametrize("limit", ["_LINGER_S_MAX", "_SILENCE_S_MAX"])
async def test_who_falls_silent_is_not_waited_for(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering_close, limit, 0.01)
    sent, _ = await answer_to(MORE, MORE, headers=CLOSE)
    assert not sent[-1].get("more_body", False)
