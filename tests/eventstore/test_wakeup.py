"""Hints that a log has grown: for who waits for one tenant, and for who waits for any, in this process and in others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import asyncpg

from domain.addresses import Channel
from domain.consent import ConsentValue
from eventstore.wakeup import Wakeup
from ledger.assembly import Caller, Tenant
from ledger.record import Capture, record_consent


async def test_an_append_wakes_who_waits_for_its_tenant_and_who_waits_for_any(tenant: Tenant, caller: Caller) -> None:
    wakeup = tenant.ledger.wakeup
    own, other, anyones = wakeup.growth(tenant.id), wakeup.growth(2**31 - 1), wakeup.any_growth()
    capture = Capture(channel=Channel.EMAIL, address="a@example.org", purpose="commercial", value=ConsentValue.OPTED_IN)
    await record_consent(tenant, caller, capture)
    async with asyncio.timeout(10):
        await own.wait()
        await anyones.wait()
    assert not other.is_set()
    assert not wakeup.any_growth().is_set()


async def _record(tenant: Tenant, caller: Caller, addresses: Iterable[str]) -> None:
    for address in addresses:
        capture = Capture(channel=Channel.EMAIL, address=address, purpose="commercial", value=ConsentValue.OPTED_OUT)
        await record_consent(tenant, caller, capture)


async def test_an_append_wakes_who_waits_in_another_process(tenant: Tenant, caller: Caller) -> None:
    async with _listening(tenant.ledger.address.service) as elsewhere:
        # Each of them, not only the first: what is appended while others are told is told, too.
        for number in range(5):
            grown = elsewhere.growth(tenant.id)
            await _record(tenant, caller, [f"{number}.{at}@example.org" for at in range(3)])
            async with asyncio.timeout(10):
                await grown.wait()


async def test_a_process_that_ends_tells_first(tenant: Tenant) -> None:
    async with _listening(tenant.ledger.address.service) as elsewhere:
        grown = elsewhere.growth(tenant.id)
        async with _listening(tenant.ledger.address.service) as ending:
            ending.has_grown(tenant.id)
        async with asyncio.timeout(10):
            await grown.wait()


async def test_what_could_not_be_told_is_told_once_the_connection_is_back(tenant: Tenant) -> None:
    service = tenant.ledger.address.service
    named = {**service, "server_settings": {**service["server_settings"], "application_name": "teller"}}
    async with _listening(service) as elsewhere, _listening(named) as teller:
        grown = elsewhere.growth(tenant.id)
        owner = await asyncpg.connect(**tenant.ledger.address.owner)
        ended = await owner.fetchval(
            "SELECT bool_and(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE application_name = 'teller'"
        )
        await owner.close()
        assert ended
        teller.has_grown(tenant.id)
        async with asyncio.timeout(10):
            await grown.wait()


@contextlib.asynccontextmanager
async def _listening(connect: Mapping[str, Any]) -> AsyncIterator[Wakeup]:
    """A process's hints. Once it listens it wakes whoever waits, since it may have missed something: that is over here."""
    wakeup = Wakeup(connect, keys_changed=lambda: None)
    listens = wakeup.growth(2**31 - 1)
    async with wakeup.running():
        async with asyncio.timeout(10):
            await listens.wait()
        yield wakeup
