"""Pages of the log: what is looked at beside the page itself is found at the cursor, not by going through what lies before."""

import pytest

from domain.addresses import Channel
from domain.consent import ConsentValue
from eventstore import read
from eventstore.read import EntryFilter
from ledger import history
from ledger.assembly import Caller, Tenant
from ledger.history import EventFilter
from ledger.record import Capture, record_consents


async def test_whether_there_is_more_before_a_page_is_asked_at_its_cursor(
    tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(tenant, caller)
    asked: list[EntryFilter] = []
    forward = read.forward

    async def noting(connection: object, tenant_id: int, wanted: EntryFilter, **bounds: int) -> object:
        asked.append(wanted)
        return await forward(connection, tenant_id, wanted, **bounds)

    monkeypatch.setattr(read, "forward", noting)
    captures = EventFilter(types=["ConsentCaptured"])
    first = await history.events(tenant, captures, first=10)
    assert not first.has_previous_page
    asked.clear()
    second = await history.events(tenant, captures, first=10, after=first.items[-1][0])
    assert second.has_previous_page
    assert [(one.from_position, one.to_position) for one in asked] == [(None, None), (16, 16)]
    back = await history.events(tenant, captures, last=10, before=second.items[0][0])
    assert back.has_next_page
    assert [position for position, _ in back.items] == [position for position, _ in first.items]
    # A cursor of another list's event: then what lies before is looked through, as it must be.
    made = await history.events(tenant, EventFilter(types=["TenantCreated"]), after=first.items[0][0])
    assert (made.items, made.has_previous_page) == ([], True)


async def fill(tenant: Tenant, caller: Caller) -> None:
    captures = [
        Capture(channel=Channel.EMAIL, address=f"f{n}@example.org", purpose="commercial", value=ConsentValue.OPTED_OUT)
        for n in range(2_000)
    ]
    for start in (0, 1_000):
        await record_consents(tenant, caller, captures[start : start + 1_000])
