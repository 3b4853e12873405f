"""Checks, batch checks and records over HTTP against one API process, with its peers in the same run; start and memory."""

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

from benchmarks.figures import Figures

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 5.0
CHECK = "query ($i: CheckConsentInput!) { checkConsent(input: $i) { allowed reasons { code } position } }"
BATCH = "query ($i: CheckConsentsInput!) { checkConsents(input: $i) { address allowed } }"
RECORD = "mutation ($i: RecordConsentInput!) { recordConsent(input: $i) { position errors { code } } }"
CONSENTRY = "import sys; from cli.main import main; sys.exit(main())"


def body(document: str, **variables: Any) -> str:
    return json.dumps({"query": document, "variables": {"i": variables}})


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextlib.contextmanager
def process(*arguments: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that serves on `port`, until the context ends."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as started:
        for _ in range(3_000):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                break
            time.sleep(0.01)
        try:
            yield started
        finally:
            started.terminate()
            started.wait(20)


def load(url: str, connections: int, key: str, *bodies: str, seconds: float = SECONDS) -> dict[str, float]:
    """What `load` measured; raises where an answer was wrong."""
    arguments = [sys.executable, str(ROOT / "benchmarks" / "load.py"), url, str(connections), str(seconds), key]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True, input=json.dumps(bodies))
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


def run(data_dir: Path, key: str, addresses: list[str], figures: Figures) -> None:
    """Measure, and note the figures. `addresses` have records in tenant 1, whose key this is."""
    checks = [body(CHECK, address=address, purpose="commercial") for address in addresses[:200]]
    many = body(BATCH, addresses=addresses[:10_000], purpose="commercial")
    plain = [json.dumps({"addresses": [address]}) for address in addresses[:200]]
    plain_many = json.dumps({"addresses": addresses[:10_000]})
    record = body(RECORD, address="new{n}@example.org", purpose="commercial", value="OPTED_OUT", idempotencyKey="{n}")
    port = free_port()
    started = time.perf_counter()
    with process("-c", CONSENTRY, "serve", "--port", str(port), "--data-dir", str(data_dir), port=port) as server:
        seconds = time.perf_counter() - started
        figures.add("start on an existing data directory", "< 3 s", f"{seconds:.1f} s", kept=seconds < 3)
        memory = resident_mb(server.pid)
        figures.add("memory of one API process at rest", "< 150 MB", f"{memory:.0f} MB", kept=memory < 150)
        url = f"http://127.0.0.1:{port}/graphql"
        load(url, 16, key, *checks, seconds=1)
        ours = load(url, 16, key, *checks)
        batch = load(url, 2, key, many)
        records = load(url, 64, key, record)
        memory = resident_mb(server.pid)
    with process(str(ROOT / "benchmarks" / "bare_route.py"), str(data_dir), str(port), port=port):
        bare = load(f"http://127.0.0.1:{port}/", 16, key, *plain)
        bare_batch = load(f"http://127.0.0.1:{port}/", 2, key, plain_many)
    with process(str(ROOT / "benchmarks" / "strawberry_view.py"), str(data_dir), str(port), port=port):
        strawberry = load(f"http://127.0.0.1:{port}/", 16, key, *checks)
    figures.add(
        "checks over HTTP, 16 connections", "", f"{ours['rate']:,.0f}/s, p99 {ours['p99_ms']:.0f} ms", kept=None
    )
    ratio = ours["rate"] / bare["rate"]
    figures.add(
        "the same against a bare Starlette route with one statement", "1.2 x",
        f"{ratio:.2f} x (it: {bare['rate']:,.0f}/s)", kept=ratio >= 1.2,
    )  # fmt: skip
    ratio = ours["rate"] / strawberry["rate"]
    figures.add(
        "the same against Strawberry's own view", "15 x",
        f"{ratio:.1f} x (it: {strawberry['rate']:,.0f}/s)", kept=ratio >= 15,
    )  # fmt: skip
    decisions = batch["rate"] * len(addresses[:10_000])
    ratio = batch["rate"] / bare_batch["rate"]
    figures.add(
        "batch checks, 10,000 addresses a call", "60,000 decisions/s, 0.7 x bare",
        f"{decisions:,.0f}/s, {ratio:.2f} x", kept=decisions >= 60_000 and ratio >= 0.7,
    )  # fmt: skip
    figures.add(
        "records over HTTP, 64 connections", "4,000/s", f"{records['rate']:,.0f}/s, p99 {records['p99_ms']:.0f} ms",
        kept=records["rate"] >= 4_000,
    )  # fmt: skip
    figures.add("memory of one API process after that", "< 400 MB", f"{memory:.0f} MB", kept=memory < 400)
