"""Large bodies share the memory of the process: what does not fit is told so, small ones pass, and room comes back."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from web import body_limit
from web.body_limit import BodyLimit

LARGE = 300 * 1024


class Reader:
    """Reads a body whole and holds it until it is let go."""

    def __init__(self) -> None:
        self.holding = 0
        self.go = asyncio.Event()

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        self.holding += 1
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def ask(app: BodyLimit, *chunks: int) -> tuple[int, dict[bytes, bytes]]:
    """The status and the headers of the answer to a body in such pieces."""
    sent: list[Any] = []
    pieces = iter(chunks)
    left = len(chunks)

    async def receive() -> Message:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": b"x" * next(pieces), "more_body": left > 0}

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": "/", "headers": []}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"])


async def test_what_does_not_fit_beside_the_others_is_told_so_and_small_ones_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(body_limit, "_LARGE_TOGETHER_BYTES_MAX", 3 * LARGE)
    reader = Reader()
    app = BodyLimit(reader)
    held = [asyncio.create_task(ask(app, LARGE // 2, LARGE // 2)) for _ in range(3)]
    while reader.holding < 3:
        await asyncio.sleep(0)
    status, headers = await ask(app, LARGE)
    assert (status, headers[b"connection"], headers[b"retry-after"]) == (503, b"close", b"1")
    small = asyncio.create_task(ask(app, 1_000))
    while reader.holding < 4:
        await asyncio.sleep(0)
    reader.go.set()
    assert [status for status, _ in await asyncio.gather(*held, small)] == [200] * 4
    assert (await ask(app, LARGE, LARGE, LARGE))[0] == 200
    assert app._large_bytes == 0


async def test_who_is_cut_off_holds_nothing() -> None:
    reader = Reader()
    app = BodyLimit(reader)
    task = asyncio.create_task(ask(app, LARGE))
    while not reader.holding:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert app._large_bytes == 0
