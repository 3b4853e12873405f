"""Webhooks: how many events a second one server delivers to one receiver, signed and kept, from a backlog."""

import asyncio
import time
from pathlib import Path

from benchmarks.captures import CALLER, capture
from benchmarks.figures import Figures
from ledger import webhook_lists, webhooks
from ledger.api_keys import create_key
from ledger.assembly import Caller, LedgerConfig, open_ledger
from ledger.outgoing_addresses import parse_networks
from ledger.record import record_consents
from ledger.tenants import create_tenant
from ledger.webhook_worker import WebhookWorker
from schema.webhook_payload import compose

EVENTS = 4_000
ADMIN = Caller("bench", frozenset(("admin", "read", "read:personal")))
TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"


class _Receiver(asyncio.Protocol):
    """Takes everything, and reads no more of it than where the next request begins."""

    def __init__(self) -> None:
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = self._held[:end].lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if len(self._held) < end + 4 + length:
                return
            self._held = self._held[end + 4 + length :]
            self._transport.write(TAKEN)  # type: ignore[attr-defined]


async def run(data_dir: Path, figures: Figures) -> None:
    """Measure, and note the figures."""
    server = await asyncio.get_running_loop().create_server(_Receiver, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, open_ledger(LedgerConfig(data_dir=data_dir)) as ledger:
        ledger.webhook_networks = parse_networks("127.0.0.0/8")
        tenant = await create_tenant(ledger, "webhooks", "Webhooks")
        await create_key(tenant, "bench", ["read"])
        first = await webhook_lists.log_size(tenant)
        run_name = f"w{time.time_ns()}"
        for start in range(0, EVENTS, 1_000):
            await record_consents(tenant, CALLER, [capture(number, run_name) for number in range(start, start + 1_000)])
        for personal in (False, True):
            made = await webhooks.create_webhook(tenant, ADMIN, url=url, from_position=first, personal=personal)
            stop = asyncio.Event()
            started = time.perf_counter()
            working = asyncio.create_task(WebhookWorker(ledger, compose).run(stop))
            while True:
                held = await webhook_lists.webhook(tenant, made.webhook.id)
                if held is not None and held.delivered >= EVENTS:
                    break
                await asyncio.sleep(0.02)
            rate = EVENTS / (time.perf_counter() - started)
            stop.set()
            await working
            await webhooks.delete_webhook(tenant, ADMIN, webhook=made.webhook.id)
            what = "webhook deliveries, one receiver" + (", addresses opened" if personal else "")
            figures.add(what, "", f"{rate:,.0f}/s")
