"""Following live: from when the log records an event until each subscriber has it, and what a subscriber costs in memory.

Subscribers ask for the same, over graphql-transport-ws, in a process of their own beside the server; so on two cores the last of
a thousand waits for the client as much as for the server.
"""

import argparse
import asyncio
import json
import tempfile
import time
from datetime import datetime
from pathlib import Path

import httpx
import websockets

from benchmarks.figures import Figures, percentile
from benchmarks.serving import CONSENTRY, RECORD, body, free_port, process, resident_mb
from ledger.api_keys import create_key
from ledger.assembly import LedgerConfig, open_ledger
from ledger.tenants import create_tenant

SUBSCRIBERS = (1, 100, 1_000)
_APPENDS = 60
_PAUSE_S = 0.05
_FOLLOW = "subscription { consentEvents { cursor node { position recordedAt type value } } }"
_TENANT = "following"


async def _key(data_dir: Path) -> str:
    async with open_ledger(LedgerConfig(data_dir=data_dir)) as ledger:
        tenant = await create_tenant(ledger, _TENANT, "Following")
        return await create_key(tenant, "bench", ("read", "write"))


def run(data_dir: Path, figures: Figures) -> None:
    """Measure every number of subscribers on one server."""
    key = asyncio.run(_key(data_dir))
    port = free_port()
    with process("-c", CONSENTRY, "serve", "--port", str(port), "--data-dir", str(data_dir), port=port) as server:
        for number in SUBSCRIBERS:
            before = resident_mb(server.pid)
            first, last, after = asyncio.run(_measure(port, key, number, server.pid))
            figures.add(
                f"append to live subscriber, {number:,} of them: recorded to received, the first and the last of them",
                "median < 10 ms" if number == 1 else "",
                f"median {percentile(first, 0.5):.1f} and {percentile(last, 0.5):.1f} ms,"
                f" p99 {percentile(first, 0.99):.1f} and {percentile(last, 0.99):.1f} ms",
                kept=percentile(last, 0.5) < 10 if number == 1 else None,
            )
            if number == SUBSCRIBERS[-1]:
                figures.add("memory of a subscriber", "", f"{(after - before) * 1024 / number:.0f} KB")


async def _measure(port: int, key: str, number: int, pid: int) -> tuple[list[float], list[float], float]:
    """Seconds from recordedAt to the first and to the last subscriber, of each append; the server's memory."""
    heard: dict[int, list[float]] = {}
    enough = asyncio.Event()
    ready = asyncio.Semaphore(0)

    async def follow() -> None:
        async with websockets.connect(
            f"ws://127.0.0.1:{port}/graphql",
            subprotocols=[websockets.Subprotocol("graphql-transport-ws")],
            compression=None,
        ) as socket:
            await socket.send(json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {key}"}}))
            await socket.recv()
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": _FOLLOW}}))
            # Answered in order: once the pong is here, the subscription is under way.
            await socket.send('{"type":"ping"}')
            ready.release()
            async for message in socket:
                at = time.time()
                told = json.loads(message)
                if told["type"] == "next":
                    event = told["payload"]["data"]["consentEvents"]["node"]
                    times = heard.setdefault(event["position"], [])
                    times.append(at - datetime.fromisoformat(event["recordedAt"]).timestamp())
                    if len(times) == number:
                        enough.set()

    tasks = []
    for _ in range(number):
        tasks.append(asyncio.create_task(follow()))
        await ready.acquire()
    await asyncio.sleep(1)
    first, last = [], []
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=60) as client:
        for n in range(_APPENDS):
            content = body(RECORD, address=f"f{n}@example.org", purpose="commercial", value="OPTED_OUT")
            enough.clear()
            answer = await client.post(
                f"http://127.0.0.1:{port}/graphql", content=content, headers={"content-type": "application/json"}
            )
            position = answer.json()["data"]["recordConsent"]["position"]
            async with asyncio.timeout(30):
                while len(heard.get(position, ())) < number:
                    await enough.wait()
                    enough.clear()
            first.append(heard[position][0])
            last.append(heard[position][-1])
            await asyncio.sleep(_PAUSE_S)
        after = resident_mb(pid)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return first, last, after


def main() -> None:
    """This benchmark alone."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="consentry-bench-") as folder:
        run(Path(folder), Figures())


if __name__ == "__main__":
    main()
