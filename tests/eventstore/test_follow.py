"""Following a log: nothing missed, nothing repeated, whatever the filter and whatever hints get lost."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from domain.addresses import Channel
from domain.consent import ConsentValue
from eventstore.follow import follow
from eventstore.read import EntryFilter
from eventstore.wakeup import Wakeup
from ledger.assembly import Caller, Tenant
from ledger.record import Capture, record_consent


async def first(followed: AsyncIterator[object], count: int) -> list[int]:
    positions: list[int] = []
    async for stored in followed:
        positions.append(stored.position)  # type: ignore[attr-defined]
        if len(positions) == count:
            break
    return positions


def capture(number: int) -> Capture:
    value = ConsentValue.OPTED_OUT if number % 3 else ConsentValue.OPTED_IN
    return Capture(channel=Channel.EMAIL, address=f"a{number}@example.org", purpose="commercial", value=value)


@pytest.mark.parametrize("deaf", [False, True])
async def test_a_follower_sees_what_is_there_and_then_what_comes(
    tenant: Tenant, caller: Caller, deaf: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await record_consent(tenant, caller, capture(number))
    wakeup = Wakeup({}, keys_changed=lambda: None) if deaf else tenant.ledger.wakeup
    if deaf:
        monkeypatch.setattr("eventstore.wakeup.POLL_S", 0.01)
    monkeypatch.setattr("eventstore.follow.PAGE_ENTRIES", 2)
    everything = follow(tenant.ledger.pool, wakeup, tenant.id, after=-1)
    some = follow(tenant.ledger.pool, wakeup, tenant.id, after=-1, entry_filter=EntryFilter(values=["OPTED_IN"]))
    reading = [asyncio.create_task(first(everything, 37)), asyncio.create_task(first(some, 10))]
    for number in range(5, 30):
        await record_consent(tenant, caller, capture(number))
    assert await reading[0] == list(range(37)), "7 events of the catalogue, then 30 captures"
    assert await reading[1] == list(range(7, 37, 3))
