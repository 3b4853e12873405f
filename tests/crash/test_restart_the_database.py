"""The database killed, or stopped and started, amid deliveries, the relay's publishing and a read of the log: each goes on."""

import asyncio
import contextlib
import json
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from eventstore import read
from ledger.assembly import LedgerConfig, open_ledger
from tests.crash.server import PAUSE_S, Server, consentry, restart_database
from tests.crash.test_kill_the_relay import STREAM, relay
from tests.crash.test_kill_while_delivering import CREATE, RECORD
from tests.ledger.receiver import Received, Receiver, Reply
from tests.nats_server import messages, nats_server

BATCHES, BATCH = 4, 1_000
CONTACT_POINTS = 40
# Then it stands still: what the kernel keeps for it on both sides is less than the log.
LINES_BEFORE = 50


class Reading:
    """Reads `events.ndjson` as docs/reading-the-log.md has it: from the last line's cursor, whenever it was cut."""

    def __init__(self, url: str, secret: str) -> None:
        self.seen: list[int] = []
        self.cut = 0
        self.some = asyncio.Event()
        self.go_on = asyncio.Event()
        self._url = f"{url}/log/acme/events.ndjson"
        self._headers = {"authorization": f"Bearer {secret}"}
        self._cursor: str | None = None

    async def all_up_to(self, last: int) -> None:
        async with httpx.AsyncClient(headers=self._headers, timeout=30) as client:
            while not self.seen or self.seen[-1] < last:
                with contextlib.suppress(httpx.TransportError):
                    await self._once(client)
                await asyncio.sleep(PAUSE_S)

    async def _once(self, client: httpx.AsyncClient) -> None:
        after = {} if self._cursor is None else {"after": self._cursor}
        async with client.stream("GET", self._url, params=after) as response:
            if response.status_code != 200:
                self.cut += 1
                assert response.status_code == 503, response.status_code
                return
            async for line in response.aiter_lines():
                event = json.loads(line)
                self.seen.append(event["position"])
                self._cursor = event["cursor"]
                if len(self.seen) == LINES_BEFORE:
                    self.some.set()
                    await self.go_on.wait()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["killed", "stopped"])
async def test_deliveries_the_relay_and_a_reader_of_the_log_go_on_and_miss_nothing(
    where: tuple[list[str], LedgerConfig], tmp_path: Path, end: signal.Signals
) -> None:
    options, config = where
    await consentry("tenants", "create", "acme", "--name", "Acme", *options)
    scopes = [word for scope in ("write", "admin", "read", "audit") for word in ("--scope", scope)]
    secret = (await consentry("keys", "create", "--tenant", "acme", "--application", "w", *scopes, *options)).strip()
    half, restarted = asyncio.Event(), asyncio.Event()

    def behave(_: Received) -> Reply:
        """The first ones are taken; those under way then are answered once the database was ended."""
        if len(receiver.taken) < CONTACT_POINTS:
            return Reply()
        half.set()
        return Reply(after=restarted)

    server = Server(*options, "--webhook-networks", "127.0.0.0/8")
    await server.start()
    async with (
        Receiver(behave) as receiver,
        nats_server(tmp_path / "nats") as nats,
        nats.client() as client,
        httpx.AsyncClient(headers={"Authorization": f"Bearer {secret}"}, timeout=30) as asking,
    ):

        async def ask(document: str, **variables: object) -> Any:
            body = {"query": document, "variables": variables}
            answer = (await asking.post(f"{server.url}/graphql", json=body)).json()
            assert "errors" not in answer, answer
            return answer["data"]

        async def record(batch: int, count: int) -> None:
            consents = [
                {
                    "address": f"a{number % CONTACT_POINTS}@example.org",
                    "purpose": "commercial",
                    "value": ("OPTED_IN", "OPTED_OUT")[(number // CONTACT_POINTS + batch) % 2],
                }
                for number in range(count)
            ]
            await ask(RECORD, input={"consents": consents})

        for batch in range(BATCHES):
            await record(batch, BATCH)
        await ask(CREATE, url=receiver.url)
        await record(BATCHES, 4 * CONTACT_POINTS)
        size = 7 + BATCHES * BATCH + 4 * CONTACT_POINTS
        reading = Reading(server.url, secret)
        read_all = asyncio.create_task(reading.all_up_to(size - 1))
        heard = await client.subscribe("consentry.acme.>")
        publishing = await relay(options, nats.url)
        async with asyncio.timeout(60):
            await heard.next_msg(60)
            await reading.some.wait()
            await half.wait()
        await restart_database(options, end)
        restarted.set()
        reading.go_on.set()
        async with asyncio.timeout(120):
            await read_all
            while int((await heard.next_msg(60)).headers["Consentry-Position"]) < size - 1:
                pass
            await receiver.until(lambda: len(positions_of(receiver)) == 4 * CONTACT_POINTS)
        publishing.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(publishing.communicate(), 20)
        assert publishing.returncode == 0, said.decode()
        assert b"Traceback" not in said
        assert await server.stop() == 0
        assert reading.seen == list(range(size))
        assert positions_of(receiver) == set(range(size - 4 * CONTACT_POINTS, size))
        _in_order(receiver)
        async with open_ledger(config) as ledger, ledger.connection() as connection:
            log = await read.forward(connection, (await ledger.tenant("acme")).id, limit=10_000)
        assert [body for _, _, body, _ in await messages(client, STREAM)] == [one.raw for one in log]


def positions_of(receiver: Receiver) -> set[int]:
    return {json.loads(one.body)["data"]["position"] for one in receiver.taken}


def _in_order(receiver: Receiver) -> None:
    """A repeat is allowed; an event before one of its contact point that it follows is not."""
    firsts: dict[str, list[int]] = {}
    for received in receiver.taken:
        shown = json.loads(received.body)["data"]
        of_one = firsts.setdefault(shown["contactPoint"]["id"], [])
        if shown["position"] not in of_one:
            assert not of_one or shown["position"] > of_one[-1]
            of_one.append(shown["position"])
