"""`consentry` as processes of their own that begin where importing has ended: most commands take less time than their imports.

This file run as a program imports the command line once. Each request on its socket gets a fork, with arguments, environment,
folder, standard output and errors of its own; the fork runs the command as the installed script does.
"""

import asyncio
import atexit
import contextlib
import ctypes
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_REQUEST_BYTES_MAX = 100_000
_PR_SET_PDEATHSIG = 1
_FILES = 3  # where the process is told of, its output and its errors


class Process:
    """A command that runs."""

    def __init__(self, pid: int, told: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self._ended = asyncio.create_task(_code(told, writer), name=f"consentry-{pid}")

    async def wait(self) -> int:
        """The exit code; that of a killed one is the signal's number below zero."""
        return await asyncio.shield(self._ended)

    def send_signal(self, number: signal.Signals) -> None:
        if not self._ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


async def start(arguments: Sequence[str], environment: Mapping[str, str], folder: Path, out: int, err: int) -> Process:
    """Run `consentry` with these arguments; `out` and `err` are descriptors that it writes to."""
    request = json.dumps([list(arguments), dict(environment), str(folder)]).encode()
    assert len(request) < _REQUEST_BYTES_MAX
    ours, theirs = socket.socketpair()
    with theirs:
        socket.send_fds(_server(), [request], [theirs.fileno(), out, err])
    reader, writer = await asyncio.open_connection(sock=ours)
    return Process(int(await reader.readline()), reader, writer)


async def _code(told: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    code = int(await told.readline())
    writer.close()
    return code


@cache
def _server() -> socket.socket:
    """What forks, kept for as long as this process lives: it ends when its socket does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
            cwd=ROOT,
        )
    return ours


def _fork_for_each(requests: socket.socket) -> None:
    """Returns in each fork, ready to run its command; ends when nobody can ask any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        request, files, _, _ = socket.recv_fds(requests, _REQUEST_BYTES_MAX, _FILES)
        if not request:
            sys.exit()
        if os.fork() == 0:
            requests.close()
            _fork_and_tell(request, *files)
            return
        for file in files:
            os.close(file)


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _end_with_parent() -> None:
    """What a test that failed has left running ends when the tests do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _fork_and_tell(request: bytes, told: int, out: int, err: int) -> None:
    """Returns in the command's own process. Its parent says here which that is, and later how it ended."""
    _end_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid != 0:
        os.close(out)
        os.close(err)
        os.write(told, f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(OSError):
            os.write(told, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.close(told)
    for file, standard in ((out, 1), (err, 2)):
        os.dup2(file, standard)
        os.close(file)
    arguments, environment, folder = json.loads(request)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["consentry", *arguments]


def _end(main: Callable[[], int]) -> None:
    """Run it and end as the interpreter does, except that nothing is taken apart first: that takes most of a command's time."""
    try:
        code = main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    import web.serve  # noqa: F401 - what a server loads once it is one
    from cli.main import main, parser

    parser()  # imports all commands
    # What is imported stays shared between all of them: no fork's collector goes through it.
    gc.freeze()
    _fork_for_each(socket.socket(fileno=int(sys.argv[1])))
    _end(main)
