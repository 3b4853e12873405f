"""Reading far: `events.ndjson` of the whole log over HTTP, one reader, and the server's memory after it."""

import time
from pathlib import Path

import httpx

from benchmarks.figures import Figures
from benchmarks.serving import CONSENTRY, free_port, process, resident_mb


def run(data_dir: Path, tenant: str, key: str, figures: Figures) -> None:
    """Measure, and note the figures, for the log of `tenant`, whose key this is."""
    port = free_port()
    with process("-c", CONSENTRY, "serve", "--port", str(port), "--data-dir", str(data_dir), port=port) as server:
        url = f"http://127.0.0.1:{port}/log/{tenant}/events.ndjson"
        with httpx.Client(headers={"authorization": f"Bearer {key}"}, timeout=60) as client:
            client.get(url, params={"type": "TenantCreated"}).raise_for_status()
            before = resident_mb(server.pid)
            started, events = time.perf_counter(), 0
            with client.stream("GET", url) as response:
                last = int(response.raise_for_status().headers["consentry-last-position"])
                for part in response.iter_raw():
                    events += part.count(b"\n")
            rate = events / (time.perf_counter() - started)
        after = resident_mb(server.pid)
    if events != last + 1:
        raise RuntimeError(f"{events} lines where the log has {last + 1} events")
    figures.add("catch-up over HTTP, `events.ndjson`, everything in it", "", f"{rate:,.0f} events/s")
    figures.add("what that added to the server's memory", "constant", f"{after - before:.0f} MB")
