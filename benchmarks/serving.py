"""Processes that serve, and the load that is put on them: what every benchmark over HTTP uses."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 5.0
CHECK = "query ($i: CheckConsentInput!) { checkConsent(input: $i) { allowed reasons { code } position } }"
BATCH = "query ($i: CheckConsentsInput!) { checkConsents(input: $i) { address allowed } }"
RECORD = "mutation ($i: RecordConsentInput!) { recordConsent(input: $i) { position errors { code } } }"
CONSENTRY = "import sys; from cli.main import main; sys.exit(main())"


def body(document: str, **variables: Any) -> str:
    """The body of a request for `document`, whose only variable is an input with these members."""
    return json.dumps({"query": document, "variables": {"i": variables}})


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextlib.contextmanager
def process(*arguments: str, port: int, program: str = sys.executable) -> Iterator[subprocess.Popen[bytes]]:
    """A process that serves on `port`, until the context ends; a Python process unless told."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(
        [program, *arguments], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as started:
        try:
            for _ in range(3_000):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                    break
                time.sleep(0.01)
            yield started
        finally:
            started.terminate()
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                started.kill()


def consentry(
    data_dir: Path, port: int, *, workers: int = 1
) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """`consentry serve` on a data directory."""
    arguments = ("--port", str(port), "--data-dir", str(data_dir), "--workers", str(workers))
    return process("-c", CONSENTRY, "serve", *arguments, port=port)


def load(url: str, connections: int, key: str, *asked: str, seconds: float = SECONDS) -> dict[str, float]:
    """What `load` measured; raises where an answer was wrong."""
    arguments = [sys.executable, str(ROOT / "benchmarks" / "load.py"), url, str(connections), str(seconds), key]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True, input=json.dumps(asked))
    result = json.loads(done.stdout)
    if result["wrong"]:
        raise RuntimeError(f"{result['wrong']} wrong answers from {url}")
    return result


def resident_mb(pid: int) -> float:
    """Resident memory of a process, where the system tells it."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return float("nan")
    return int(status.read_text().split("VmRSS:")[1].split()[0]) / 1024
