"""The plans of pages of the log: an index probe from the cursor's place on, so a far page costs what the first one does."""

import json

import pytest

from domain.addresses import Channel
from domain.consent import ConsentValue
from eventstore import read
from eventstore.read import EntryFilter
from ledger import history
from ledger.assembly import Caller, Tenant
from ledger.history import EventFilter
from ledger.record import Capture, record_consents


class Explaining:
    """A connection that explains what it is asked, and answers it."""

    def __init__(self, connection: object) -> None:
        self._connection = connection
        self.plans: list[str] = []

    async def fetch(self, statement: str, *arguments: object) -> object:
        text = await self._connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *arguments)
        self.plans.append(text)
        return await self._connection.fetch(statement, *arguments)


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_a_page_starts_at_its_place(tenant: Tenant, caller: Caller, mode: str) -> None:
    await fill(tenant, caller)
    async with tenant.ledger.connection() as connection, connection.transaction():
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        explaining = Explaining(connection)
        for wanted in (
            EntryFilter(),
            EntryFilter(to_position=2_000),
            EntryFilter(purpose="commercial", to_position=2_000),
        ):
            for after in (-1, 1_500):
                await read.forward(explaining, tenant.id, wanted, after=after, limit=51)
        await read.backward(explaining, tenant.id, before=1_500, limit=51)
    for text in explaining.plans:
        [node] = json.loads(text)[0]["Plan"]["Plans"]
        assert node["Index Name"] == "log_entries_pkey", node
        assert "position" in node["Index Cond"], node
        assert node["Actual Rows"] == 51
        assert node.get("Rows Removed by Filter", 0) <= 60, "nothing before the page is looked through"


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
