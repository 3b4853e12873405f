"""What a server does besides answering: publishes checkpoints, delivers webhooks, completes erasures left half done, and keeps
what follows the log, and what expires by itself, up to date.

Every worker does all of it: each step is safe to repeat, and no worker has to be the first among them.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable

from ledger.assembly import Ledger
from ledger.erasure_completion import complete_pending_if_it_can
from ledger.going_back import look_at_all
from ledger.publishing import Publisher
from ledger.selection_expiry import expire_selections
from ledger.webhook_worker import WebhookWorker
from projections.runner import Runner
from schema.webhook_payload import compose
from web.settings import Settings

ERASURES_EVERY_S = 5.0
EXPIRY_EVERY_S = 30.0
LOOK_BACK_EVERY_S = 5.0
_log = logging.getLogger("consentry.web.background")


@contextlib.asynccontextmanager
async def run_background(ledger: Ledger, settings: Settings) -> AsyncGenerator[None]:
    """Run all of it from now until the end of the context."""
    async with contextlib.AsyncExitStack() as stack:
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(
                _repeat("completing erasures", complete_pending_if_it_can, ledger, stop, every_s=ERASURES_EVERY_S),
                name="complete-erasures",
            ),
            asyncio.create_task(
                _repeat("moving on what expired", expire_selections, ledger, stop, every_s=EXPIRY_EVERY_S),
                name="expire-selections",
            ),
            asyncio.create_task(
                _repeat("looking at whether logs went back", look_at_all, ledger, stop, every_s=LOOK_BACK_EVERY_S),
                name="look-back",
            ),
        ]
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


async def _repeat(
    what: str, work: Callable[[Ledger], Awaitable[object]], ledger: Ledger, stop: asyncio.Event, *, every_s: float
) -> None:
    while not stop.is_set():
        try:
            await work(ledger)
        except Exception as error:  # noqa: BLE001 - the loop has to outlive whatever one round meets
            _log.error("%s failed", what, exc_info=error)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await stop.wait()
