"""Several processes that serve one address. The parent only supervises: it starts, replaces and stops them.

Where a worker cannot start at first, nothing is served: another would fail the same way. One that ends later is
replaced, for as long as it takes. Workers notice when the parent is gone, by the pipe that it held.
"""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from ledger.shared_writing import Place
from web import event_loop
from web.metrics import SHARED_FOLDER_VARIABLE, forget_worker
from web.server_process import serve
from web.settings import Settings
from web.structured_log import configure_logging

_STARTED = "started"
_STOP_S = 20.0
_LOOK_S = 0.25
_REPLACE_PAUSE_S = 0.5
_log = logging.getLogger("consentry.web.workers")


class WorkerFailed(Exception):
    """A worker could not start; says why, in its own words."""


@dataclass(slots=True)
class _Worker:
    place: Place
    process: BaseProcess
    pipe: Connection
    answers: bool = False


def supervise(settings: Settings, listener: socket.socket, *, started: Callable[[], None]) -> None:
    """Run the workers until SIGTERM or SIGINT. Raises WorkerFailed."""
    stop = False

    def on_signal(_number: int, _frame: object) -> None:
        nonlocal stop
        stop = True

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    workers: list[_Worker] = []
    with (
        tempfile.TemporaryDirectory(prefix="consentry-metrics-") as folder,
        # Only this user may enter it: what is said on a socket there is done.
        tempfile.TemporaryDirectory(prefix="consentry-workers-") as sockets,
    ):
        # Inherited by the workers: the metrics library reads it when it is imported there.
        os.environ[SHARED_FOLDER_VARIABLE] = folder  # set for the workers, not read
        places = [Place(Path(sockets), number, settings.workers) for number in range(settings.workers)]
        try:
            workers = [_start(settings, listener, place) for place in places]
            announced = False
            while not stop:
                wait([worker.process.sentinel for worker in workers], timeout=_LOOK_S)
                failures = [why for worker in workers if (why := _hear(worker)) is not None]
                if failures and not announced:
                    raise WorkerFailed(failures[0])
                if not announced and all(worker.answers for worker in workers):
                    announced = True
                    started()
                if not stop:
                    workers = [
                        worker if worker.process.is_alive() else _replace(worker, settings, listener)
                        for worker in workers
                    ]
        finally:
            _stop(workers)
            for number, handler in before.items():
                signal.signal(number, handler)


def _start(settings: Settings, listener: socket.socket, place: Place) -> _Worker:
    # Spawned, not forked: a fork would take the parent's state along, half of it locked.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(settings, listener, theirs, place), name="consentry-worker")
    process.start()
    theirs.close()
    return _Worker(place, process, ours)


def _replace(ended: _Worker, settings: Settings, listener: socket.socket) -> _Worker:
    fields = {"number": ended.place.number, "pid": ended.process.pid, "exit_code": ended.process.exitcode}
    with contextlib.suppress(EOFError, OSError):
        if ended.pipe.poll() and (said := ended.pipe.recv()) != _STARTED:
            fields["said"] = said
    _log.error("worker ended; another takes its place", extra={"fields": fields})
    if not Path(os.environ[SHARED_FOLDER_VARIABLE]).exists():
        # Whoever clears temporary files has taken it along. Never by the old name: another user may be about to make it.
        os.environ[SHARED_FOLDER_VARIABLE] = tempfile.mkdtemp(prefix="consentry-metrics-")
    ended.pipe.close()
    if ended.process.pid is not None:
        forget_worker(ended.process.pid)
    time.sleep(_REPLACE_PAUSE_S)
    return _start(settings, listener, ended.place)


def _hear(worker: _Worker) -> str | None:
    """Take note that the worker answers; or return why it never will."""
    if worker.answers:
        return None
    said = ""
    try:
        if worker.pipe.poll():
            said = worker.pipe.recv()
        elif worker.process.is_alive():
            return None
    except (EOFError, OSError):
        worker.process.join(_LOOK_S)
    worker.answers = said == _STARTED
    if worker.answers:
        return None
    return said or f"a worker ended before it answered, with exit code {worker.process.exitcode}"


def _stop(workers: list[_Worker]) -> None:
    for worker in workers:
        if worker.process.is_alive():
            worker.process.terminate()
    until = time.monotonic() + _STOP_S
    for worker in workers:
        worker.process.join(max(0.0, until - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()


def _work(settings: Settings, listener: socket.socket, pipe: Connection, place: Place) -> None:
    """A worker's life."""
    configure_logging(settings.log_level)

    async def work() -> None:
        asyncio.get_running_loop().add_reader(pipe.fileno(), _parent_gone)
        await serve(settings, listener, started=lambda: pipe.send(_STARTED), place=place)

    try:
        event_loop.run(work())
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent says it, and ends with it
        with contextlib.suppress(OSError):
            pipe.send(str(error) or type(error).__name__)
        raise SystemExit(1) from None


def _parent_gone() -> None:
    """The parent never writes: the pipe can only be readable because it has ended."""
    os.kill(os.getpid(), signal.SIGTERM)
