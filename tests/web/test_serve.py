"""Serving for real: processes, sockets, signals, and a database that goes away in the middle."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from web.serve import run
from web.settings import read_settings

if __name__ == "__main__":
    try:
        run(read_settings({}))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
"""
START_S = 30
# The embedded database writes a checkpoint before it stops.
STOP_S = 90


class Server:
    """A server process, and what it said."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.log = folder / f"log-{time.monotonic_ns()}"
        program = folder / "program.py"
        program.write_text(PROGRAM)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CONSENTRY_")}
        environment |= {"PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}
        environment |= {"CONSENTRY_PORT": "0", "CONSENTRY_DATA_DIR": str(folder / "data")}
        environment |= {f"CONSENTRY_{name.upper()}": value for name, value in settings.items()}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(program)], stdout=subprocess.PIPE, stderr=log, env=environment, text=True
            )
        self.first_line = ""

    def wait_until_it_answers(self) -> str:
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline().strip()
        assert self.first_line.startswith("Consentry listening on http://"), self.log.read_text()
        return self.first_line.removeprefix("Consentry listening on ")

    def stop(self) -> tuple[int, str]:
        """The exit code, and what it printed after its first line."""
        self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=STOP_S)
        return self.process.returncode, rest

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextlib.contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Server]:
    server = Server(folder, **settings)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serve")


def eventually(url: str, status: int, *, seconds: float = 20) -> httpx.Response | None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(httpx.TransportError):
            response = httpx.get(url, timeout=5)
            if response.status_code == status:
                return response
        time.sleep(0.1)
    return None


def test_one_process_says_where_it_answers_logs_json_and_stops_cleanly(folder: Path) -> None:
    with serving(folder) as server:
        url = server.wait_until_it_answers()
        assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
        assert httpx.get(f"{url}/readyz").json() == {"status": "ready"}
        assert "<!doctype html>" in httpx.get(f"{url}/graphql", headers={"accept": "text/html"}).text
        assert httpx.post(f"{url}/graphql", json={"query": "{__typename}"}).status_code == 401
        assert "consentry_store_up 1.0" in httpx.get(f"{url}/metrics").text
        assert server.stop() == (0, "")
        requests = [line for line in server.lines() if line["event"] == "request"]
        assert [line["route"] for line in requests] == ["/healthz", "/readyz", "/graphql", "/graphql", "/metrics"]
    # Nothing of the embedded database is left running.
    assert not (folder / "data" / "postgres" / "postmaster.pid").exists()


def test_a_port_that_is_taken_is_said_in_words(folder: Path) -> None:
    with serving(folder) as server:
        port = server.wait_until_it_answers().rsplit(":", 1)[1]
        with serving(folder, port=port) as second:
            assert second.process.wait(START_S) == 1
            assert f"cannot listen on 127.0.0.1 port {port}" in second.log.read_text()
        assert server.stop()[0] == 0


def test_several_workers_serve_one_address_are_replaced_and_stop_together(folder: Path) -> None:
    with serving(folder, workers="2") as server:
        url = server.wait_until_it_answers()
        for _ in range(20):
            httpx.get(f"{url}/healthz")
        counted = httpx.get(f"{url}/metrics").text
        # Whichever worker is asked, it counts for all of them.
        assert 'consentry_http_requests_total{method="GET",route="/healthz",status="200"} 20.0' in counted
        # What the store says is said once, with no worker's number, however often each worker was asked.
        for _ in range(10):
            text = httpx.get(f"{url}/metrics").text
            families = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
            assert len(families) == len(set(families))
            assert "pid=" not in text
        assert [line for line in text.splitlines() if line.startswith("consentry_store_up")] == [
            "consentry_store_up 1.0"
        ]
        workers = children(server.process.pid)
        assert len(workers) >= 2
        os.kill(workers[-1], signal.SIGKILL)
        until = time.monotonic() + START_S
        while workers[-1] in children(server.process.pid) or len(children(server.process.pid)) < len(workers):
            assert time.monotonic() < until
            time.sleep(0.1)
        assert eventually(f"{url}/readyz", 200) is not None
        remaining = children(server.process.pid)
        assert server.stop() == (0, "")
        assert not any(Path(f"/proc/{pid}").exists() for pid in remaining)


def test_workers_end_when_their_parent_is_killed(folder: Path) -> None:
    with serving(folder, workers="2") as server:
        server.wait_until_it_answers()
        workers = children(server.process.pid)
        server.process.kill()
        until = time.monotonic() + START_S
        while any(Path(f"/proc/{pid}").exists() for pid in workers):
            assert time.monotonic() < until
            time.sleep(0.1)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_database_that_cannot_be_reached_is_said_in_words(folder: Path, workers: str) -> None:
    with serving(folder, database_url="postgresql://nobody@127.0.0.1:1/none", workers=workers) as server:
        assert server.process.wait(START_S) == 1
        assert server.process.stdout is not None
        assert server.process.stdout.read() == ""
        assert "Traceback" not in server.log.read_text()


def test_a_database_that_dies_is_503_while_it_is_away_and_no_more_after(folder: Path) -> None:
    with serving(folder) as server:
        url = server.wait_until_it_answers()
        (pid_file,) = (folder / "data").rglob("postmaster.pid")
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
        response = httpx.get(f"{url}/readyz")
        assert response.status_code in (200, 503)
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert eventually(f"{url}/readyz", 200, seconds=30) is not None
        key = "ck_1_0123456789ab_" + "A" * 43
        answered = httpx.post(
            f"{url}/graphql", json={"query": "{__typename}"}, headers={"authorization": f"Bearer {key}"}
        )
        assert answered.status_code == 401
        assert server.stop()[0] == 0, server.log.read_text()


def children(pid: int) -> list[int]:
    """The workers of a server, oldest first: children that run Python's spawned main."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            with contextlib.suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return sorted(found)
