"""A follower's step: effect and checkpoint together, nothing from a stale worker, and what becomes of an event it cannot read."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from domain.addresses import Channel
from domain.consent import ConsentValue
from domain.upcasting import UnknownEventVersion
from ledger.assembly import Caller, Tenant
from ledger.projection_states import ParkedEvent, follower_totals, parked_events, projection_states
from ledger.record import Capture, record_consents
from projections.follower import Stopped, behind, lease_name, step
from projections.happened import Happened
from projections.lease import LeaseLost, take
from projections.projection import Projection
from projections.rebuild import rebuild
from projections.trends import CONSENT_TREND
from tests.projections.conftest import follow, rows_of


async def record(tenant: Tenant, caller: Caller, count: int = 3) -> None:
    await record_consents(
        tenant,
        caller,
        [
            Capture(
                channel=Channel.EMAIL, address=f"a{n}@example.org", purpose="commercial", value=ConsentValue.OPTED_IN
            )
            for n in range(count)
        ],
    )


def failing_at(*positions: int, error: type[Exception] = KeyError, **changes: Any) -> Projection:
    """The trend, which cannot read what stands at these positions."""

    def fold(entries: Sequence[Happened]) -> list[Any]:
        for entry in entries:
            if entry.position in positions:
                raise error("ada@example.org")
        return CONSENT_TREND.fold(entries)

    return replace(CONSENT_TREND, fold=fold, **changes)


async def position_of(owner: asyncpg.Connection, tenant: Tenant) -> Any:
    row = await owner.fetchrow(
        "SELECT position, stopped FROM projection_checkpoints WHERE tenant = $1 AND projection = 'consent_trend'",
        tenant.id,
    )
    return None if row is None else tuple(row)


async def trend_total(owner: asyncpg.Connection, tenant: Tenant) -> int:
    total: int = await owner.fetchval(
        "SELECT coalesce(sum(opted_in + opted_out + reset), 0)::int FROM consent_trend WHERE tenant = $1", tenant.id
    )
    return total


async def head_of(tenant: Tenant) -> int:
    [state] = [one for one in await projection_states(tenant.ledger, tenant.key) if one.projection == "consent_trend"]
    return state.head


async def test_it_goes_on_from_its_checkpoint_and_counts_nothing_twice(
    tenant: Tenant, caller: Caller, owner: asyncpg.Connection
) -> None:
    for _ in range(3):
        await record(tenant, caller)
        await follow(tenant, CONSENT_TREND, entries_max=2)
    assert await trend_total(owner, tenant) == 9
    assert await position_of(owner, tenant) == (await head_of(tenant), None)


async def test_effect_and_checkpoint_are_one(tenant: Tenant, caller: Caller, owner: asyncpg.Connection) -> None:
    """Where the checkpoint cannot be written, the effect is not there either."""
    await record(tenant, caller)
    await follow(tenant, CONSENT_TREND)
    before = await rows_of(owner, tenant, "consent_trend"), await position_of(owner, tenant)
    await record(tenant, caller)
    await owner.execute(
        "CREATE FUNCTION no_checkpoint() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN IF NEW.tenant = {tenant.id} THEN RAISE EXCEPTION 'no' USING ERRCODE = '57P01'; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER no_checkpoint BEFORE UPDATE ON projection_checkpoints FOR EACH ROW EXECUTE FUNCTION no_checkpoint()"
    )
    try:
        with pytest.raises(Exception, match="does not answer"):
            await follow(tenant, CONSENT_TREND)
    finally:
        await owner.execute("DROP FUNCTION no_checkpoint CASCADE")
    assert (await rows_of(owner, tenant, "consent_trend"), await position_of(owner, tenant)) == before
    await follow(tenant, CONSENT_TREND)
    assert await trend_total(owner, tenant) == 6


async def test_a_stale_worker_writes_nothing(tenant: Tenant, caller: Caller, owner: asyncpg.Connection) -> None:
    pool = tenant.ledger.pool
    stale = await take(pool, tenant.id, lease_name(CONSENT_TREND))
    assert stale is not None
    await record(tenant, caller)
    await step(pool, stale, CONSENT_TREND, entries_max=1)
    await owner.execute("UPDATE leases SET expires_at = now() WHERE tenant = $1", tenant.id)
    await follow(tenant, CONSENT_TREND)
    await record(tenant, caller)
    before = await rows_of(owner, tenant, "consent_trend"), await position_of(owner, tenant)
    for projection in (CONSENT_TREND, failing_at(await head_of(tenant))):
        with pytest.raises(LeaseLost):
            await step(pool, stale, projection)
    assert (await rows_of(owner, tenant, "consent_trend"), await position_of(owner, tenant)) == before
    assert await parked_events(tenant.ledger, tenant.key) == []
    await follow(tenant, CONSENT_TREND)
    assert await trend_total(owner, tenant) == 6


async def test_an_event_that_cannot_be_read_is_parked_and_the_others_count(
    tenant: Tenant, caller: Caller, owner: asyncpg.Connection
) -> None:
    await record(tenant, caller, 6)
    head = await head_of(tenant)
    await follow(tenant, failing_at(head - 1, head - 3))
    assert await trend_total(owner, tenant) == 4
    assert await position_of(owner, tenant) == (head, None)
    # Only the kind of error is kept: its words may hold anything.
    reason = "it cannot be read: KeyError"
    assert await parked_events(tenant.ledger, tenant.key) == [
        ParkedEvent(tenant.key, "consent_trend", position, reason) for position in (head - 3, head - 1)
    ]
    totals = {one.projection: one for one in await follower_totals(tenant.ledger)}
    assert totals["consent_trend"].parked >= 2


async def test_a_rebuild_takes_in_what_was_parked_once_it_can_be_read(
    tenant: Tenant, caller: Caller, owner: asyncpg.Connection
) -> None:
    await record(tenant, caller, 4)
    head = await head_of(tenant)
    await follow(tenant, failing_at(head - 1, head - 2))
    one_mended = failing_at(head - 2)
    address = tenant.ledger.address.owner
    rebuilt = await rebuild(tenant.ledger.pool, address, tenant.id, one_mended, accept=True)
    assert (rebuilt.compared.differing, rebuilt.swapped) == (1, True)
    assert [event.position for event in await parked_events(tenant.ledger, tenant.key)] == [head - 2]
    assert await trend_total(owner, tenant) == 3
    await rebuild(tenant.ledger.pool, address, tenant.id, CONSENT_TREND, accept=True)
    assert await parked_events(tenant.ledger, tenant.key) == []
    assert await trend_total(owner, tenant) == 4


@pytest.mark.parametrize(
    ("error", "changes"),
    [(KeyError, {"may_leave_out": False}), (UnknownEventVersion, {}), (asyncpg.UndefinedTableError, {})],
    ids=["what a decision rests on", "what newer code can read", "what is no event's fault"],
)
async def test_it_stops_before_what_it_must_not_leave_out_and_says_why(
    tenant: Tenant, caller: Caller, owner: asyncpg.Connection, error: type[Exception], changes: dict[str, Any]
) -> None:
    await record(tenant, caller, 3)
    head = await head_of(tenant)
    for _ in range(2):
        with pytest.raises(Stopped) as stopped:
            await follow(tenant, failing_at(head - 1, error=error, **changes))
        assert stopped.value.position == head - 1
        position, reason = await position_of(owner, tenant)
        assert (position, reason) == (head - 2, stopped.value.reason)
    assert await parked_events(tenant.ledger, tenant.key) == []
    assert await trend_total(owner, tenant) == 1
    [state] = [one for one in await projection_states(tenant.ledger, tenant.key) if one.projection == "consent_trend"]
    assert (state.lag, state.stopped) == (2, reason)
    # Newer code, or a mended database: it goes on, and shows no reason any more.
    await follow(tenant, CONSENT_TREND)
    assert await position_of(owner, tenant) == (head, None)


async def test_inline_projections_are_where_the_log_is(tenant: Tenant, caller: Caller) -> None:
    await record(tenant, caller)
    states = {state.projection: state for state in await projection_states(tenant.ledger, tenant.key)}
    assert {name for name, state in states.items() if state.inline and state.lag == 0} == set(states) - {
        "consent_trend",
        "selection",
    }
    assert states["consent_trend"].position == -1


async def test_a_tenant_is_behind_until_its_last_event_is_taken_account_of(tenant: Tenant, caller: Caller) -> None:
    await record(tenant, caller)
    async with tenant.ledger.connection() as connection:
        assert tenant.id in await behind(connection, CONSENT_TREND)
        await follow(tenant, CONSENT_TREND)
        assert tenant.id not in await behind(connection, CONSENT_TREND)
