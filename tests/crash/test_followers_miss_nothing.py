"""Followers of three servers, while eight writers write, one server is killed and the database is restarted; and of one server
whose workers are replaced.

Every follower sees each position that its filter passes exactly once, in order, however often it was cut off.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import websockets

from eventstore import read
from ledger.assembly import LedgerConfig, open_ledger
from ledger.history import EventFilter, entry_filter
from tests.crash.server import PAUSE_S, Server, consentry, restart_database

WRITERS, SERVERS, FOLLOWERS, EVENTS_PER_WRITER = 8, 3, 20, 90
RECORD = """mutation ($input: RecordConsentInput!) {
  recordConsent(input: $input) { position errors { code message } }
}"""
FOLLOW = """subscription ($filter: ConsentEventFilter, $after: String, $fromPosition: Long) {
  consentEvents(filter: $filter, after: $after, fromPosition: $fromPosition) { cursor node { position value } }
}"""
# The last event that is recorded passes every one of them.
FILTERS: tuple[tuple[dict[str, Any], EventFilter], ...] = (
    ({}, EventFilter()),
    ({"values": ["OPTED_OUT"]}, EventFilter(values=["OPTED_OUT"])),
    ({"purpose": "commercial"}, EventFilter(purpose="commercial")),
    ({"types": ["ConsentCaptured"], "sources": ["API"]}, EventFilter(types=["ConsentCaptured"], sources=["API"])),
    ({"fromPosition": 100}, EventFilter(from_position=100)),
)
CUT = (
    httpx.TransportError,
    websockets.WebSocketException,
    OSError,
    EOFError,
    TimeoutError,
    asyncio.IncompleteReadError,
)


@dataclass
class Follower:
    """One that follows: what it has seen, and from where it goes on."""

    number: int
    seen: list[int] = field(default_factory=list)
    cursor: str | None = None
    connected: int = 0

    @property
    def filter(self) -> dict[str, Any]:
        return FILTERS[self.number % len(FILTERS)][0]

    def request(self) -> dict[str, Any]:
        start = {"fromPosition": 0} if self.cursor is None else {"after": self.cursor}
        return {"query": FOLLOW, "variables": {"filter": self.filter, **start}}

    def take(self, payload: dict[str, Any]) -> bool:
        """Note an event; whether there was one."""
        if payload.get("data") is None:
            assert payload["errors"][0]["extensions"]["code"] in ("UNAVAILABLE", "SLOW_CONSUMER"), payload
            return False
        edge = payload["data"]["consentEvents"]
        self.seen.append(edge["node"]["position"])
        self.cursor = edge["cursor"]
        return True


async def over_websocket(follower: Follower, url: str, secret: str) -> AsyncIterator[dict[str, Any]]:
    address = url.replace("http://", "ws://") + "/graphql"
    async with websockets.connect(address, subprotocols=["graphql-transport-ws"], close_timeout=0.1) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {secret}"}}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": follower.request()}))
        async for text in socket:
            message = json.loads(text)
            if message["type"] != "next":
                assert message["type"] == "complete" or "UNAVAILABLE" in text, text
                return
            yield message["payload"]


async def over_sse(follower: Follower, url: str, secret: str) -> AsyncIterator[dict[str, Any]]:
    headers = {"authorization": f"Bearer {secret}", "accept": "text/event-stream"}
    async with (
        httpx.AsyncClient(timeout=httpx.Timeout(10, read=30)) as client,
        client.stream("POST", f"{url}/graphql", json=follower.request(), headers=headers) as response,
    ):
        if response.status_code != 200:
            return
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                yield json.loads(line.removeprefix("data: "))


async def follow(follower: Follower, servers: list[Server], secret: str) -> None:
    """Follow for ever, cut off now and then."""
    chance = random.Random(follower.number)
    transport = over_websocket if follower.number % 2 else over_sse
    while True:
        server = chance.choice(servers)
        stay = chance.randint(1, 60)
        with contextlib.suppress(*CUT):
            async with contextlib.aclosing(transport(follower, server.url, secret)) as payloads:
                follower.connected += 1
                async for payload in payloads:
                    stay -= 1
                    if not follower.take(payload) or stay == 0:
                        break
        await asyncio.sleep(PAUSE_S)


async def write(writer: int, servers: list[Server], secret: str) -> int:
    """Record until all is acknowledged, by whichever server answers; the last position."""
    chance = random.Random(1000 + writer)
    position = -1
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {secret}"}, timeout=20) as client:
        for number in range(EVENTS_PER_WRITER):
            given = {
                "address": f"a{writer}-{number % 20}@example.org",
                "purpose": ("commercial", "tracking")[number % 2],
                "value": ("OPTED_IN", "OPTED_OUT", "NOT_SET")[number % 3],
                "idempotencyKey": f"{writer}-{number}",
            }
            position = await record(client, servers, chance, given)
    return position


async def record(client: httpx.AsyncClient, servers: list[Server], chance: random.Random, given: dict[str, Any]) -> int:
    while True:
        with contextlib.suppress(httpx.TransportError):
            url = chance.choice(servers).url
            answer = (await client.post(f"{url}/graphql", json={"query": RECORD, "variables": {"input": given}})).json()
            if answer.get("data"):
                assert not answer["data"]["recordConsent"]["errors"], answer
                return answer["data"]["recordConsent"]["position"]
            assert answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE", answer
        await asyncio.sleep(PAUSE_S)


async def progress(followers: list[Follower], writing: list[asyncio.Task[int]], events: int) -> None:
    """Return once all have seen that many more together, or there is no more to come."""
    before = sum(len(follower.seen) for follower in followers)
    async with asyncio.timeout(120):
        while sum(len(follower.seen) for follower in followers) < before + events:
            if all(task.done() for task in writing):
                return
            await asyncio.sleep(0.01)


async def key_of_a_new_tenant(options: list[str]) -> str:
    await consentry("tenants", "create", "demo", "--name", "Demo", *options)
    make = ("keys", "create", "--tenant", "demo", "--application", "w", "--scope", "write", "--scope", "read", *options)
    return (await consentry(*make)).strip()


async def all_saw_the_end(
    followers: list[Follower], following: list[asyncio.Task[None]], servers: list[Server], secret: str
) -> None:
    """Record one event more, return once every follower has seen it, and end them and the servers."""
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {secret}"}, timeout=20) as client:
        closing = {"address": "z@example.org", "purpose": "commercial", "value": "OPTED_OUT", "idempotencyKey": "z"}
        last = await record(client, servers, random.Random(0), closing)
    async with asyncio.timeout(120):
        while not all(follower.seen[-1:] == [last] for follower in followers):
            await asyncio.wait(following, timeout=0.05, return_when=asyncio.FIRST_EXCEPTION)
            for task in following:
                assert not task.done() or task.result()
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    for server in servers:
        assert await server.stop() == 0


async def assert_each_saw_what_passes(followers: list[Follower], config: LedgerConfig) -> None:
    async with open_ledger(config) as ledger:
        tenant = await ledger.tenant("demo")
        async with ledger.connection() as connection:
            for follower in followers:
                wanted = entry_filter(await tenant.latest_catalogue(), FILTERS[follower.number % len(FILTERS)][1])
                passing = await read.forward(connection, tenant.id, wanted, limit=100_000)
                assert follower.seen == [stored.position for stored in passing], follower.filter
    assert sum(follower.connected for follower in followers) > 2 * len(followers)


async def test_every_follower_sees_each_position_that_its_filter_passes_once_and_in_order(
    where: tuple[list[str], LedgerConfig],
) -> None:
    options, config = where
    secret = await key_of_a_new_tenant(options)
    servers = [Server(*options) for _ in range(SERVERS)]
    for server in servers:
        await server.start()
    followers = [Follower(number) for number in range(FOLLOWERS)]
    following = [asyncio.create_task(follow(follower, servers, secret)) for follower in followers]
    writing = [asyncio.create_task(write(number, servers, secret)) for number in range(WRITERS)]

    await progress(followers, writing, 500)
    await servers[0].kill()
    await progress(followers, writing, 200)
    await servers[0].start()
    await progress(followers, writing, 200)
    await restart_database(options)
    await progress(followers, writing, 200)

    await asyncio.gather(*writing)
    await all_saw_the_end(followers, following, servers, secret)
    await assert_each_saw_what_passes(followers, config)


async def test_the_same_while_the_workers_of_a_server_are_replaced_one_after_the_other(
    where: tuple[list[str], LedgerConfig],
) -> None:
    options, config = where
    secret = await key_of_a_new_tenant(options)
    server = Server(*options, "--workers", "2")
    await server.start()
    followers = [Follower(number) for number in range(len(FILTERS) * 2)]
    following = [asyncio.create_task(follow(follower, [server], secret)) for follower in followers]
    writing = [asyncio.create_task(write(number, [server], secret)) for number in range(WRITERS // 2)]

    for worker in (first := server.workers()):
        await progress(followers, writing, 200)
        os.kill(worker, signal.SIGTERM)
        async with asyncio.timeout(60):
            while worker in (now := server.workers()) or len(now) < len(first):
                await asyncio.sleep(0.05)
    assert not set(first) & set(now)

    await asyncio.gather(*writing)
    await all_saw_the_end(followers, following, [server], secret)
    await assert_each_saw_what_passes(followers, config)
