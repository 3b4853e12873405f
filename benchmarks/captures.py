"""Captures made up to be appended, and how many a second so many callers append."""

import asyncio
import secrets
import time

from domain.addresses import Channel
from domain.consent import ConsentValue
from ledger.assembly import Caller, Tenant
from ledger.record import Capture, record_consent

CALLER = Caller("bench", frozenset())


def capture(number: int, run: str) -> Capture:
    """A new contact point's capture with an idempotency key: the dearest kind."""
    return Capture(
        channel=Channel.EMAIL,
        address=f"{run}.{number}@example.org",
        purpose="commercial",
        value=ConsentValue.OPTED_OUT if number % 3 else ConsentValue.OPTED_IN,
        idempotency_key=f"{run}-{number}",
    )


async def rate(tenant: Tenant, callers: int, seconds: float) -> tuple[float, list[float]]:
    """(events a second, seconds that each took) with so many callers at once."""
    # Addresses come to some 24 characters, as long as most people's are.
    run = secrets.token_hex(3)
    times: list[float] = []
    until = time.perf_counter() + seconds
    numbers = iter(range(10**9))

    async def one() -> None:
        while time.perf_counter() < until:
            start = time.perf_counter()
            await record_consent(tenant, CALLER, capture(next(numbers), run))
            times.append(time.perf_counter() - start)

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(callers)))
    return len(times) / (time.perf_counter() - started), times
