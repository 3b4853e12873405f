"""A real NATS server with JetStream in a process of its own: started, killed, and started again on what it had stored."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

PROGRAM = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/sbin")


class NatsProcess:
    def __init__(self, folder: Path, *options: str) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port = taken.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self.port}"
        self._arguments = ("-js", "-sd", str(folder), "-a", "127.0.0.1", "-p", str(self.port), *options)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        assert PROGRAM is not None
        self._process = await asyncio.create_subprocess_exec(
            PROGRAM, *self._arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        assert self._process.stderr is not None
        # It says so itself when it answers.
        async with asyncio.timeout(20):
            while b"Server is ready" not in (line := await self._process.stderr.readline()):
                assert line, "nats-server ended"

    async def kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.communicate()
            self._process = None

    @contextlib.asynccontextmanager
    async def client(self, **options: str) -> AsyncIterator[Client]:
        client = await nats.connect(self.url, allow_reconnect=False, **options)
        try:
            yield client
        finally:
            await client.close()


@contextlib.asynccontextmanager
async def nats_server(folder: Path, *options: str) -> AsyncIterator[NatsProcess]:
    if PROGRAM is None:
        pytest.skip("nats-server is not installed")
    process = NatsProcess(folder, *options)
    await process.start()
    try:
        yield process
    finally:
        await process.kill()


async def messages(client: Client, stream: str) -> list[tuple[int, str, bytes, dict[str, str]]]:
    """All that a stream holds: number, subject, body, headers."""
    jetstream = client.jetstream()
    state = (await jetstream.stream_info(stream)).state
    found = []
    for number in range(max(state.first_seq, 1), state.last_seq + 1):
        message = await jetstream.get_msg(stream, number)
        found.append((number, message.subject or "", message.data or b"", dict(message.headers or {})))
    return found
