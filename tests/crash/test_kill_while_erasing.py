"""SIGKILL while contact points are erased and written again: nothing half erased stays, no opt-out is lost, one root a size."""

import asyncio
import itertools
from typing import Any

import httpx

from ledger.assembly import LedgerConfig, open_ledger
from ledger.erasure_completion import complete_pending
from ledger.verifying import verify_database
from tests.crash.server import PAUSE_S, Server, consentry
from tests.eventstore.test_append import everything

WRITERS, KILLS, ROUNDS_A_KILL = 8, 6, 10
SCOPES = ("write", "erase", "audit", "check")
RECORD = """mutation ($address: String!, $key: String!) {
  recordConsent(input: {address: $address, purpose: "commercial", value: OPTED_OUT, idempotencyKey: $key}) {
    position errors { code } } }"""
ERASE = """mutation ($address: String!, $key: String!) {
  eraseContactPoint(input: {address: $address, reason: "asked", idempotencyKey: $key}) {
    erasedEvents certificate { position type } errors { code } } }"""
LOOK = """query ($address: String!) {
  checkConsent(input: {address: $address, purpose: "commercial"}) { allowed reasons { code } }
  checkpoint { treeSize rootHash } }"""


async def test_a_killed_server_leaves_nothing_half_erased(where: tuple[list[str], LedgerConfig]) -> None:
    options, config = where
    await consentry("tenants", "create", "demo", "--name", "Demo", *options)
    scopes = [part for scope in SCOPES for part in ("--scope", scope)]
    secret = await consentry("keys", "create", "--tenant", "demo", "--application", "w", *scopes, *options)
    server = Server(*options)
    await server.start()
    captures: set[int] = set()
    certificates: set[int] = set()
    roots: set[tuple[int, str]] = set()
    rounds, done = itertools.count(), asyncio.Event()
    finished = 0

    async def ask(client: httpx.AsyncClient, query: str, **variables: str) -> Any:
        """Ask until there is an answer, with the same key."""
        while True:
            try:
                response = await client.post(f"{server.url}/graphql", json={"query": query, "variables": variables})
            except httpx.TransportError:
                await asyncio.sleep(PAUSE_S)
                continue
            if response.status_code == 503:
                await asyncio.sleep(PAUSE_S)
                continue
            body = response.json()
            assert "errors" not in body, body
            return body["data"]

    async def work(client: httpx.AsyncClient) -> None:
        nonlocal finished
        while not done.is_set():
            number = next(rounds)
            address = f"a{number % 12}@example.org"
            recorded = (await ask(client, RECORD, address=address, key=f"r{number}"))["recordConsent"]
            assert recorded["errors"] == []
            captures.add(recorded["position"])
            erased = (await ask(client, ERASE, address=address, key=f"e{number}"))["eraseContactPoint"]
            if erased["errors"]:
                # Another writer has erased it meanwhile, and nobody has written since.
                assert erased["errors"] == [{"code": "ERASED"}]
            else:
                assert erased["certificate"]["type"] == "ContactPointErased"
                certificates.add(erased["certificate"]["position"])
            seen = await ask(client, LOOK, address=address)
            assert seen["checkConsent"]["allowed"] is False, "opted out, being erased, or suppressed: never a send"
            roots.add((seen["checkpoint"]["treeSize"], seen["checkpoint"]["rootHash"]))
            finished += 1

    headers = {"Authorization": f"Bearer {secret.strip()}"}
    async with httpx.AsyncClient(headers=headers, timeout=20) as client:
        workers = [asyncio.create_task(work(client)) for _ in range(WRITERS)]
        for _ in range(KILLS):
            before = finished
            while finished < before + ROUNDS_A_KILL:
                await asyncio.sleep(PAUSE_S)
                for task in workers:
                    assert not task.done() or task.result()
            await server.kill()
            await server.start()
        done.set()
        await asyncio.gather(*workers)
        assert await server.stop() == 0

    assert len({size for size, _ in roots}) == len(roots), "two roots for one size"
    async with open_ledger(config) as ledger:
        tenant = await ledger.tenant("demo")
        await complete_pending(ledger)
        stored = await everything(tenant)
        found = {event.position for event in stored if event.entry.type == "ConsentCaptured"}
        assert found == captures, "each once, and no other"
        ended = [event.entry.stream for event in stored if event.entry.type == "ContactPointErased"]
        asked = [event.entry.stream for event in stored if event.entry.type == "ContactPointErasureRequested"]
        assert sorted(ended) == sorted(asked)
        assert len(set(ended)) == len(ended)
        assert certificates <= {event.position for event in stored if event.entry.type == "ContactPointErased"}
        await verify_database(tenant)
