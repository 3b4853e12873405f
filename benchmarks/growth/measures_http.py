"""What is measured over HTTP, against one API process for each size."""

import asyncio
import time

import httpx

from benchmarks.growth.making import TENANT
from benchmarks.growth.measures import Grown
from benchmarks.serving import BATCH, CHECK, RECORD, body, load

SECONDS = 2.0
FED = 20_000
SUBSCRIBED = 4_000
_FOLLOW = (
    "subscription ($after: Long!) { consentEvents(afterPosition: $after) { cursor node { position type value } } }"
)


class Served:
    """A server of one size, and how it is asked. It is given its port and key, and its log as it was opened beside it."""

    def __init__(self, grown: Grown, port: int, key: str) -> None:
        self._grown = grown
        self._url = f"http://127.0.0.1:{port}"
        self._key = key

    async def checks(self) -> float:
        """Checks a second, 16 connections."""
        bodies = [body(CHECK, address=one, purpose="commercial") for one in self._grown.addresses(2_000)]
        return await self._rate(16, bodies)

    async def batches(self) -> float:
        """Decisions a second, batches of 10,000 addresses, 2 connections."""
        bodies = [body(BATCH, addresses=self._grown.addresses(10_000), purpose="commercial") for _ in range(4)]
        return await self._rate(2, bodies) * 10_000

    async def records(self) -> float:
        """Records a second, 64 connections, new contact points."""
        record = body(RECORD, address="h{n}@example.org", purpose="commercial", value="OPTED_OUT", idempotencyKey="{n}")
        return await self._rate(64, [record])

    async def _rate(self, connections: int, bodies: list[str]) -> float:
        done = await asyncio.to_thread(load, f"{self._url}/graphql", connections, self._key, *bodies, seconds=SECONDS)
        return done["rate"]

    async def fed(self) -> float:
        """Events a second of `events.ndjson`, the last of the log."""
        after = self._grown.size - FED
        started, lines = time.perf_counter(), 0
        async with (
            httpx.AsyncClient(headers={"authorization": f"Bearer {self._key}"}, timeout=60) as client,
            client.stream("GET", f"{self._url}/log/{TENANT}/events.ndjson", params={"after": after}) as response,
        ):
            response.raise_for_status()
            async for part in response.aiter_raw():
                lines += part.count(b"\n")
                if lines >= FED:
                    break
        if lines < FED:
            raise RuntimeError(f"the feed ended after {lines} events")
        return lines / (time.perf_counter() - started)

    async def subscribed(self) -> float:
        """Events a second that a subscription catches up with, from far behind."""
        request = {"query": _FOLLOW, "variables": {"after": self._grown.size // 2}}
        started, heard = time.perf_counter(), 0
        async with (
            httpx.AsyncClient(
                headers={"authorization": f"Bearer {self._key}", "accept": "text/event-stream"}, timeout=60
            ) as client,
            client.stream("POST", f"{self._url}/graphql", json=request) as response,
        ):
            response.raise_for_status()
            async for line in response.aiter_lines():
                heard += line.startswith("data:") and '"position"' in line
                if heard >= SUBSCRIBED:
                    break
        if heard < SUBSCRIBED:
            raise RuntimeError(f"the subscription ended after {heard} events")
        return heard / (time.perf_counter() - started)
