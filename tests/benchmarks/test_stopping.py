"""A benchmark that is ended leaves no server behind, and one that is asked for help starts none."""

import os
import signal
import subprocess
import sys

import pytest

from benchmarks.serving import ROOT, free_port

PROGRAM = """
import sys, time
from benchmarks.serving import process
from benchmarks.stopping import end_cleanly
end_cleanly()
server = "import os, sys, time; print(os.getpid(), file=open(sys.argv[1], 'w'), flush=True); " + {serve!r}
with process("-c", server, sys.argv[1], port={port}):
    time.sleep(60)
"""
# One that answers, and one that is still starting.
SERVERS = {
    "answering": "import socket; socket.create_server(('127.0.0.1', {port})).listen(); time.sleep(60)",
    "starting": "time.sleep(60)",
}


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("serve", SERVERS)
def test_a_signal_ends_the_server_first(
    number: signal.Signals, serve: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    note = tmp_path_factory.mktemp("pids") / "pid"
    os.mkfifo(note)
    port = free_port()
    program = PROGRAM.format(serve=SERVERS[serve].format(port=port), port=port)
    running = subprocess.Popen([sys.executable, "-c", program, str(note)], cwd=ROOT)
    # The server opens the other end once it runs.
    server = int(note.read_text())
    assert is_alive(server)
    running.send_signal(number)
    assert running.wait(30) == 128 + number
    assert not is_alive(server)


def test_help_starts_nothing() -> None:
    command = [sys.executable, "-m", "benchmarks.peers", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("usage: python -m benchmarks.peers")
    assert "import from a file" not in done.stdout
