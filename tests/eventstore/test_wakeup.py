"""Hints that a log has grown: for who waits for one tenant, and for who waits for any."""

import asyncio

from domain.addresses import Channel
from domain.consent import ConsentValue
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
