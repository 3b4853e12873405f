"""A real server in a process of its own: started, killed, and started again."""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest

from tests import forked_commands

ROOT = Path(__file__).resolve().parents[2]
# Before one asks again: who asks without a pause takes the processor from the server that starts.
PAUSE_S = 0.02
COMMAND = "import sys; from cli.main import main; sys.exit(main())"


def environment() -> dict[str, str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith("CONSENTRY_")}
    return {**given, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}


class Server:
    """`consentry serve` on a free port; `url` is where it answers, `log` the file that its log lines go to."""

    def __init__(self, *options: str, log: Path | None = None) -> None:
        self._options = options
        self._log = log
        self._process: forked_commands.Process | None = None
        self.url = ""

    async def start(self) -> None:
        command = ("serve", "--port", "0", *self._options)
        with tempfile.TemporaryFile() if self._log is None else self._log.open("ab+") as errors:
            self._process, output = await _started(command, errors.fileno())
            line = (await asyncio.wait_for(output.readline(), 90)).decode()
            if not line.startswith("Consentry listening on "):
                errors.seek(0)
                pytest.fail(f"{line}{errors.read().decode()}")
        self.url = line.split()[-1]

    def resident_mib_at_most(self) -> float:
        """The most memory that the process has held so far."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024

    def workers(self) -> list[int]:
        """The processes that serve, where there are several; the parent has others besides."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        found = []
        for child in children:
            with contextlib.suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
        return found

    async def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> int:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self._process.wait(), 20)


async def restart_database(options: list[str], number: signal.Signals = signal.SIGINT) -> None:
    """Of the database that these options name, end the embedded one (SIGINT is its fast stop), whoever watches over it starts
    it; on a server that others use, too, cut off everybody in this database.
    """
    if "--database-url" not in options:
        [postmaster] = Path(options[options.index("--data-dir") + 1]).rglob("postmaster.pid")
        os.kill(int(postmaster.read_text().split()[0]), number)
        return
    connection = await asyncpg.connect(options[options.index("--database-url") + 1])
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'consentry'"
    )
    await connection.close()


async def consentry(*arguments: str, code: int = 0) -> str:
    """Run one command of the command line; its standard output."""
    with tempfile.TemporaryFile() as errors:
        process, output = await _started(arguments, errors.fileno())
        said = await output.read()
        ended = await process.wait()
        errors.seek(0)
        complaints = errors.read().decode()
    assert ended == code, complaints
    assert "Traceback" not in complaints
    return said.decode()


async def _started(arguments: Sequence[str], errors: int) -> tuple[forked_commands.Process, asyncio.StreamReader]:
    """A process of the command line, and what it prints."""
    reading, writing = os.pipe()
    output = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(output), os.fdopen(reading, "rb")
    )
    try:
        return await forked_commands.start(arguments, environment(), ROOT, writing, errors), output
    finally:
        os.close(writing)
