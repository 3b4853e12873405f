"""What a server does besides answering: publishes checkpoints, delivers webhooks, completes erasures left half done, and follows
the log for the projections that are kept behind it.

Every worker does all of it: each step is safe to repeat, and no worker has to be the first among them.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator

from ledger.assembly import Ledger
from ledger.erasure_completion import complete_pending_if_it_can
from ledger.publishing import Publisher
from ledger.webhook_worker import WebhookWorker
from projections.runner import Runner
from schema.webhook_payload import compose
from web.settings import Settings

ERASURES_EVERY_S = 5.0
_log = logging.getLogger("consentry.web.background")


@contextlib.asynccontextmanager
async def run_background(ledger: Ledger, settings: Settings) -> AsyncGenerator[None]:
    """Run all of it from now until the end of the context."""
    async with contextlib.AsyncExitStack() as stack:
        stop = asyncio.Event()
        tasks = [asyncio.create_task(_complete_erasures(ledger, stop), name="complete-erasures")]
        tasks.append(asyncio.create_task(Runner(ledger.pool, ledger.wakeup).run(), name="follow"))
        webhooks = WebhookWorker(ledger, compose)
        tasks.append(asyncio.create_task(webhooks.run(stop), name="deliver-webhooks"))
        if settings.checkpoint_targets is not None:
            publisher = await stack.enter_async_context(Publisher(ledger, settings.checkpoint_targets))
            tasks.append(asyncio.create_task(publisher.run(stop), name="publish-checkpoints"))
        try:
            yield
        finally:
            stop.set()
            # Not waited for: a witness that hangs must not hold up the end, and what was cut off is done again.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _complete_erasures(ledger: Ledger, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await complete_pending_if_it_can(ledger)
        except Exception as error:  # noqa: BLE001 - the loop has to outlive whatever one round meets
            _log.error("completing erasures failed", exc_info=error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), ERASURES_EVERY_S)
