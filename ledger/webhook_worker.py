"""Delivers the webhooks of all tenants: each by one process at a time, whichever has its lease.

Every process looks each second which webhooks are active and which were changed, and works on those that no other works on.
"""

import asyncio
import contextlib
import logging
import ssl
from datetime import datetime
from functools import partial
from uuid import UUID

from domain.webhooks import WebhookStatus
from eventstore.database import StoreUnavailable
from ledger import webhook_rows
from ledger.assembly import Ledger
from ledger.outgoing import OutgoingClient, Resolve, default_ssl_context
from ledger.outgoing_addresses import Reach
from ledger.webhook_attempt import TIMEOUT_S, attempt
from ledger.webhook_delivery import Compose, Delivery, WaitUntil
from projections.lease import DURATION_S, LeaseLost, held

LOOK_EVERY_S = 1.0
_AFTER_AN_ERROR_S = 5.0
_log = logging.getLogger("consentry.ledger.webhooks")

_Key = tuple[int, UUID]


class WebhookWorker:
    """Works on webhooks until it is stopped. `compose` makes what is sent of an event."""

    def __init__(
        self,
        ledger: Ledger,
        compose: Compose,
        *,
        timeout_s: float = TIMEOUT_S,
        lease_s: float = DURATION_S,
        look_every_s: float = LOOK_EVERY_S,
        resolve: Resolve | None = None,
        ssl_context: ssl.SSLContext | None = None,
        wait_until: WaitUntil | None = None,
    ) -> None:
        self._ledger = ledger
        self._compose = compose
        self._lease_s = lease_s
        self._look_every_s = look_every_s
        self._wait_until = wait_until or self._sleep_until
        networks = ledger.webhook_networks
        # One for each webhook. What is not sealed on its way is for networks that the operator names only.
        self._new_client = partial(
            OutgoingClient,
            https=Reach(public=True, networks=networks),
            http=Reach(public=False, networks=networks),
            timeout_s=timeout_s,
            resolve=resolve,
            ssl_context=ssl_context or default_ssl_context(),
        )
        self._tasks: dict[_Key, asyncio.Task[None]] = {}
        self._deliveries: dict[_Key, Delivery] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, or the task cancelled: what was begun is then given up, and sent again by the next."""
        try:
            while not stop.is_set():
                try:
                    await self._look()
                except StoreUnavailable:
                    _log.warning("the store does not answer; webhooks are delivered later")
                except Exception as error:  # noqa: BLE001 - the loop has to outlive whatever one round meets
                    _log.error("looking for webhooks failed", exc_info=error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._look_every_s)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _look(self) -> None:
        async with self._ledger.connection() as connection:
            rows = await connection.fetch(
                "SELECT tenant, webhook, version FROM webhooks WHERE status = $1 AND deleted_at IS NULL",
                WebhookStatus.ACTIVE,
            )
        versions: dict[_Key, int] = {(row[0], row[1]): row[2] for row in rows}
        for key, delivery in self._deliveries.items():
            if versions.get(key) != delivery.webhook.version:
                delivery.look_again()
        for key in versions:
            if key not in self._tasks:
                task = asyncio.create_task(self._work(*key), name="webhook")
                self._tasks[key] = task
                task.add_done_callback(partial(self._done, key))

    def _done(self, key: _Key, _task: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)

    async def _work(self, tenant_id: int, webhook_id: UUID) -> None:
        fields: dict[str, object] = {"tenant": tenant_id, "webhook": str(webhook_id)}
        try:
            name = f"webhook-{webhook_id}"
            async with (
                contextlib.AsyncExitStack() as stack,
                held(self._ledger.pool, tenant_id, name, duration_s=self._lease_s) as lease,
            ):
                if lease is None:
                    return
                client = self._new_client()
                tenant = await self._ledger.tenant_by_id(tenant_id)
                stack.push_async_callback(client.close)
                while True:
                    async with self._ledger.connection() as connection:
                        webhook = await webhook_rows.find(connection, tenant, webhook_id)
                        secrets = await webhook_rows.signing_secrets(connection, tenant, webhook_id)
                    if webhook is None or webhook.status is not WebhookStatus.ACTIVE:
                        return
                    delivery = Delivery(
                        tenant,
                        webhook,
                        lease,
                        compose=self._compose,
                        send=lambda message, webhook=webhook, secrets=secrets: attempt(
                            client, webhook, secrets, message, self._ledger.clock
                        ),
                        wait_until=self._wait_until,
                    )
                    self._deliveries[tenant_id, webhook_id] = delivery
                    try:
                        await delivery.run()
                    finally:
                        del self._deliveries[tenant_id, webhook_id]
        except LeaseLost:
            _log.warning("another process may deliver this webhook by now", extra={"fields": fields})
        except StoreUnavailable:
            _log.warning("the store does not answer; a webhook is delivered later", extra={"fields": fields})
        except Exception as error:  # noqa: BLE001 - the other webhooks go on, and this one later
            _log.error("delivering a webhook failed", exc_info=error, extra={"fields": fields})
            await asyncio.sleep(_AFTER_AN_ERROR_S)

    async def _sleep_until(self, instant: datetime) -> None:
        await asyncio.sleep(max(0.0, (instant - self._ledger.clock()).total_seconds()))
