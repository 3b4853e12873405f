"""SIGKILL amid deliveries, again and again: each event arrives at least once, and each contact point's in their order."""

import asyncio
import json

import httpx

from ledger.assembly import LedgerConfig, open_ledger
from ledger.verifying import verify_database
from tests.crash.server import Server, consentry
from tests.ledger.receiver import Receiver

EVENTS, CONTACT_POINTS, KILLS = 600, 12, 2
RECORD = "mutation ($input: RecordConsentsInput!) { recordConsents(input: $input) { recorded errors { code } } }"
CREATE = "mutation ($url: String!) { createWebhook(input: {url: $url}) { secret errors { code message } } }"


async def test_a_killed_server_loses_no_delivery_and_keeps_the_order(where: tuple[list[str], LedgerConfig]) -> None:
    options, config = where
    await consentry("tenants", "create", "demo", "--name", "Demo", *options)
    scopes = ("--scope", "write", "--scope", "admin", "--scope", "read")
    secret = await consentry("keys", "create", "--tenant", "demo", "--application", "w", *scopes, *options)
    server = Server(*options, "--webhook-networks", "127.0.0.0/8")
    await server.start()
    async with (
        Receiver() as receiver,
        httpx.AsyncClient(headers={"Authorization": f"Bearer {secret.strip()}"}) as client,
    ):

        async def ask(document: str, **variables: object) -> dict[str, object]:
            body = {"query": document, "variables": variables}
            answer = (await client.post(f"{server.url}/graphql", json=body, timeout=30)).json()
            assert "errors" not in answer, answer
            return answer["data"]

        made = await ask(CREATE, url=receiver.url)
        signing = made["createWebhook"]["secret"]  # type: ignore[index]
        consents = [
            {
                "address": f"a{number % CONTACT_POINTS}@example.org",
                "purpose": "commercial",
                "value": ("OPTED_IN", "OPTED_OUT")[number % 2],
            }
            for number in range(EVENTS)
        ]
        await ask(RECORD, input={"consents": consents})
        for kill in range(KILLS):
            # Somewhere in the middle of what is left, each time.
            some = len(receiver.taken) + 30 * (kill + 1)
            await receiver.until(lambda some=some: len(receiver.taken) >= some)
            await server.kill()
            await server.start()
        await receiver.until(lambda: len(seen(receiver)) == EVENTS)
        messages = [received.verified(signing) for received in receiver.taken]
        assert await server.stop() == 0
    per_contact_point: dict[str, list[int]] = {}
    for message in messages:
        shown = message["data"]
        firsts = per_contact_point.setdefault(shown["contactPoint"]["id"], [])
        # A repeat is allowed; an event before one that it follows is not.
        if shown["position"] not in firsts:
            assert not firsts or shown["position"] > firsts[-1]
            firsts.append(shown["position"])
    assert len(per_contact_point) == CONTACT_POINTS
    async with open_ledger(config) as ledger:
        await asyncio.wait_for(verify_database(await ledger.tenant("demo")), 60)


def seen(receiver: Receiver) -> set[int]:
    return {json.loads(received.body)["data"]["position"] for received in receiver.taken}
