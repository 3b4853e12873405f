"""SIGKILL under load, again and again: what was acknowledged is there exactly once, and the log verifies from its bytes."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from domain.consent import current
from ledger.assembly import LedgerConfig, Tenant, open_ledger
from projections.inline import consent_record
from tests.crash.server import PAUSE_S, Server, consentry
from tests.eventstore.test_append import verify

WRITERS, KILLS = 16, 10
RECORD = """mutation ($input: RecordConsentInput!) {
  recordConsent(input: $input) { position event { id } errors { code message } }
}"""


async def test_a_killed_server_loses_and_doubles_nothing(where: tuple[list[str], LedgerConfig]) -> None:
    options, config = where

    async def kill_the_server(server: Server) -> None:
        await server.kill()
        await server.start()

    await _kill_under_load(options, config, KILLS, kill_the_server)


async def test_a_killed_worker_loses_and_doubles_nothing_of_what_others_handed_it(
    where: tuple[list[str], LedgerConfig],
) -> None:
    """Of three one writes the log; each in its turn is killed, so that one is, too."""
    options, config = where

    async def kill_a_worker(server: Server) -> None:
        workers = server.workers()
        os.kill(workers[0], signal.SIGKILL)
        while len(server.workers()) < len(workers) or workers[0] in server.workers():
            await asyncio.sleep(PAUSE_S)

    await _kill_under_load(options, config, 6, kill_a_worker, "--workers", "3")


async def _kill_under_load(
    options: list[str], config: LedgerConfig, kills: int, kill: Callable[[Server], Awaitable[None]], *serve: str
) -> None:
    await consentry("tenants", "create", "demo", "--name", "Demo", *options)
    secret = await consentry("keys", "create", "--tenant", "demo", "--application", "w", "--scope", "write", *options)
    server = Server(*options, *serve)
    await server.start()
    acknowledged: dict[str, tuple[str, int]] = {}
    done = asyncio.Event()

    async def write(writer: int, client: httpx.AsyncClient) -> None:
        number = 0
        while not done.is_set():
            body = {
                "query": RECORD,
                "variables": {
                    "input": {
                        "address": f"a{(writer * 7 + number) % 50}@example.org",
                        "purpose": ("commercial", "tracking")[number % 2],
                        "value": ("OPTED_IN", "OPTED_OUT", "NOT_SET")[number % 3],
                        "idempotencyKey": f"{writer}-{number}",
                    }
                },
            }
            # Killed meanwhile: ask again, with the same key, until there is an answer.
            while (answer := await ask(client, body)) is None:
                await asyncio.sleep(PAUSE_S)
            payload = answer["data"]["recordConsent"]
            assert payload["errors"] == []
            acknowledged[f"{writer}-{number}"] = (payload["event"]["id"], payload["position"])
            number += 1

    async def ask(client: httpx.AsyncClient, body: dict[str, Any]) -> Any:
        try:
            answer = (await client.post(f"{server.url}/graphql", json=body)).json()
        except httpx.TransportError:
            return None
        if "errors" in answer:
            # What a killed worker had been handed: it may or may not be recorded, and asking again tells.
            assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAVAILABLE"], answer
            return None
        return answer

    async with httpx.AsyncClient(
        headers={"Authorization": f"Bearer {secret.strip()}"}, timeout=20, limits=httpx.Limits(max_connections=WRITERS)
    ) as client:
        writers = [asyncio.create_task(write(writer, client)) for writer in range(WRITERS)]
        for _ in range(kills):
            before = len(acknowledged)
            while len(acknowledged) < before + 40:
                await asyncio.sleep(PAUSE_S)
                for task in writers:
                    assert not task.done() or task.result()
            await kill(server)
        done.set()
        await asyncio.gather(*writers)
        assert await server.stop() == 0

    async with open_ledger(config) as ledger:
        tenant = await ledger.tenant("demo")
        stored = await verify(tenant)
        captures = [event for event in stored if event.entry.type == "ConsentCaptured"]
        positions = [position for _, position in acknowledged.values()]
        assert len(set(positions)) == len(positions)
        assert set(positions) <= {event.position for event in captures}
        assert len(captures) == len(positions)
        await compare_with_projection(tenant, stored)


async def compare_with_projection(tenant: Tenant, stored: list) -> None:  # type: ignore[type-arg]
    """The table current_consent equals what the entries alone lead to."""
    folded = {}
    now = max(event.entry.recorded_at for event in stored)
    for stream in {event.entry.stream for event in stored}:
        records = [consent_record(event.entry) for event in stored if event.entry.stream == stream]
        made = [record for record in records if record is not None]
        for (purpose, topic, unit), record in current(made, as_of=now, known_at=now).items():
            folded[stream, purpose, topic or "", unit] = (record.value, record.effective_at, record.position)
    async with tenant.ledger.connection() as connection:
        rows = await connection.fetch("SELECT * FROM current_consent WHERE tenant = $1", tenant.id)
    held = {
        (row["contact_point"], row["purpose"], row["topic"], row["unit"]): (
            row["value"],
            row["effective_at"],
            row["position"],
        )
        for row in rows
    }
    assert held == folded
