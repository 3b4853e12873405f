"""Rebuilding: compared before it is swapped, beside writers and readers, resumed where it was, and only its own tenant's rows."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from domain.addresses import Channel
from domain.bounces import Bounce
from domain.consent import ActorKind, ConsentValue
from domain.upcasting import UnknownEventVersion
from ledger.assembly import Caller, Ledger, Tenant
from ledger.bounces import record_bounce
from ledger.record import Actor, Capture, record_consent
from ledger.tenants import create_tenant
from ledger.verifying import verify_database
from projections import rebuild as rebuilding
from projections.inline import BOUNCES, CURRENT_CONSENT, INLINE
from projections.known import PROJECTIONS
from projections.lease import take
from projections.projection import Projection
from projections.rebuild import RebuildRunning, Rebuilt, rebuild
from projections.trends import CONSENT_TREND
from tests.projections.conftest import follow, rows_of
from tests.projections.test_follower import record


async def rebuilt(tenant: Tenant, projection: Projection = CURRENT_CONSENT, **options: Any) -> Rebuilt:
    given = {"accept": True, "group_entries": 2, **options}
    return await rebuild(tenant.ledger.pool, tenant.ledger.address.owner, tenant.id, projection, **given)


async def flip(owner: asyncpg.Connection, tenant: Tenant, address: str) -> None:
    """The worst a table can do: an opt-out that it has as an opt-in."""
    blind_index = tenant.blind_index(Channel.EMAIL, address)
    await owner.execute(
        "UPDATE current_consent c SET value = 'OPTED_IN' FROM vault_subjects s WHERE s.tenant = $1 AND s.blind_index = $2"
        " AND c.tenant = s.tenant AND c.contact_point = s.contact_point",
        tenant.id,
        blind_index,
    )


async def opt_out(tenant: Tenant, caller: Caller, address: str, **fields: Any) -> None:
    given = {"value": ConsentValue.OPTED_OUT, **fields}
    await record_consent(tenant, caller, Capture(channel=Channel.EMAIL, address=address, purpose="commercial", **given))


async def test_what_differs_is_said_and_stays_until_it_is_accepted(
    tenant: Tenant, caller: Caller, owner: asyncpg.Connection
) -> None:
    for number in range(5):
        await opt_out(tenant, caller, f"a{number}@example.org")
    right = await rows_of(owner, tenant, "current_consent")
    await flip(owner, tenant, "a3@example.org")
    wrong = await rows_of(owner, tenant, "current_consent")
    said = await rebuilt(tenant, accept=False)
    assert (said.compared.rows, said.compared.rebuilt_rows, said.compared.differing, said.swapped) == (5, 5, 1, False)
    [flipped] = set(wrong) - set(right)
    assert said.compared.first is not None
    assert said.compared.first == "/".join([flipped.split(",")[1], "commercial", "", "root"])
    assert await rows_of(owner, tenant, "current_consent") == wrong
    accepted = await rebuilt(tenant)
    assert accepted.swapped
    assert accepted.resumed_after == said.compared.position
    assert await rows_of(owner, tenant, "current_consent") == right
    await verify_database(tenant)


async def test_rows_that_are_missing_or_too_many_differ_too(
    tenant: Tenant, caller: Caller, owner: asyncpg.Connection
) -> None:
    await opt_out(tenant, caller, "a@example.org")
    await opt_out(tenant, caller, "b@example.org")
    right = await rows_of(owner, tenant, "current_consent")
    await owner.execute(
        "INSERT INTO current_consent SELECT tenant, gen_random_uuid(), channel, purpose, topic, unit, value, restrictiveness,"
        " effective_at, recorded_at, valid_until, position FROM current_consent WHERE tenant = $1 LIMIT 1",
        tenant.id,
    )
    await owner.execute(
        "DELETE FROM current_consent WHERE ctid = (SELECT min(ctid) FROM current_consent WHERE tenant = $1)", tenant.id
    )
    assert (await rebuilt(tenant)).compared.differing == 2
    assert await rows_of(owner, tenant, "current_consent") == right


async def test_other_tenants_rows_are_left_alone(
    ledger: Ledger, tenant: Tenant, caller: Caller, owner: asyncpg.Connection
) -> None:
    other = await create_tenant(ledger, f"{tenant.key}-other", "Test")
    for one in (tenant, other):
        await opt_out(one, caller, "a@example.org")
        await flip(owner, one, "a@example.org")
    wrong = await rows_of(owner, other, "current_consent")
    assert (await rebuilt(tenant)).swapped
    assert await rows_of(owner, other, "current_consent") == wrong
    assert (await rebuilt(other)).swapped


async def test_appends_go_on_through_every_step_and_none_is_lost(
    tenant: Tenant, caller: Caller, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swapping in small groups, again and again, while callers write to the very rows that are swapped."""
    monkeypatch.setattr(rebuilding, "_GROUPS_SWAPPED", 1)
    monkeypatch.setattr(rebuilding, "_NEAR_ENTRIES", 3)
    addresses = [f"a{number}@example.org" for number in range(6)]
    for address in addresses:
        await record_bounce(tenant, caller, channel=Channel.EMAIL, address=address, bounce=Bounce.HARD)
        await opt_out(tenant, caller, address)
    # Nobody writes to these any more: what is deleted of them below, only a rebuild brings back.
    for number in range(4):
        person = Actor(kind=ActorKind.RECIPIENT)
        await opt_out(tenant, caller, f"still{number}@example.org", value=ConsentValue.OPTED_IN, actor=person)
        await record_bounce(
            tenant, caller, channel=Channel.EMAIL, address=f"still{number}@example.org", bounce=Bounce.HARD
        )
    done = asyncio.Event()

    async def write(first: int) -> int:
        number = first
        while not done.is_set():
            value = (ConsentValue.OPTED_IN, ConsentValue.OPTED_OUT)[number % 2]
            actor = Actor(kind=ActorKind.RECIPIENT)
            await opt_out(tenant, caller, addresses[number % 6], value=value, actor=actor)
            if number % 5 == 0:
                address = addresses[(number + 1) % 6]
                await record_bounce(tenant, caller, channel=Channel.EMAIL, address=address, bounce=Bounce.HARD)
            number += 1
        return number

    writers = [asyncio.create_task(write(number)) for number in range(4)]
    try:
        for _ in range(3):
            for projection in INLINE:
                await owner.execute(f"DELETE FROM {projection.name} WHERE tenant = $1", tenant.id)
                swapped = (await rebuilt(tenant, projection, group_entries=500)).swapped
                assert swapped is (projection.name != "double_opt_in_requests")
    finally:
        done.set()
        written = await asyncio.gather(*writers)
    assert sum(written) > 20
    await verify_database(tenant)


async def test_an_append_that_waits_for_a_swap_is_prepared_anew(
    tenant: Tenant, caller: Caller, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its statement began before: it would end a bounce in the row that the swap has replaced, and so end nothing."""
    await record_bounce(tenant, caller, channel=Channel.EMAIL, address="a@example.org", bounce=Bounce.HARD)
    await owner.execute("UPDATE bounces SET bounced_at = bounced_at + interval '1 second' WHERE tenant = $1", tenant.id)
    waiting: list[asyncio.Task[None]] = []

    async def append_waits() -> None:
        actor = Actor(kind=ActorKind.RECIPIENT)
        waiting.append(
            asyncio.create_task(opt_out(tenant, caller, "a@example.org", value=ConsentValue.OPTED_IN, actor=actor))
        )
        blocked = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE log_heads%'"
        )
        while not await owner.fetchval(blocked):
            await asyncio.sleep(0.01)
            # Within a transaction what others do is shown as it was at the first look.
            await owner.execute("SELECT pg_stat_clear_snapshot()")

    execute = asyncpg.Connection.execute

    async def executing(connection: asyncpg.Connection, query: str, *arguments: Any, **options: Any) -> str:
        if not waiting and query.startswith("DELETE FROM bounces"):
            await append_waits()
        return await execute(connection, query, *arguments, **options)

    monkeypatch.setattr(asyncpg.Connection, "execute", executing)
    assert (await rebuilt(tenant, BOUNCES)).swapped
    await waiting[0]
    monkeypatch.undo()
    assert await owner.fetchval("SELECT ended_at IS NOT NULL FROM bounces WHERE tenant = $1", tenant.id)
    await verify_database(tenant)


@pytest.mark.parametrize("restart", [False, True])
async def test_it_resumes_after_the_last_group_that_is_durable(
    tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch, restart: bool
) -> None:
    monkeypatch.setattr(rebuilding, "_NEAR_ENTRIES", 0)
    await record(tenant, caller, 12)
    with pytest.raises(Killed):
        await rebuilt(tenant, progress=interrupted_after(4))
    again = await rebuilt(tenant, restart=restart)
    assert (again.resumed_after == -1) is restart
    assert again.compared.differing == 0


class Killed(Exception):
    pass


def interrupted_after(groups: int) -> Callable[[str, int, int], None]:
    left = iter(range(groups))

    def progress(_what: str, _done: int, _of: int) -> None:
        if next(left, None) is None:
            raise Killed

    return progress


async def test_two_at_once_are_one(tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "DURATION_S", 0.0)
    await record(tenant, caller)
    lease = await take(tenant.ledger.pool, tenant.id, "rebuild current_consent")
    assert lease is not None
    with pytest.raises(RebuildRunning):
        await rebuilt(tenant)
    await lease.release()
    assert (await rebuilt(tenant)).compared.differing == 0


async def test_a_follower_is_compared_where_it_is_and_goes_on_from_there(
    tenant: Tenant, caller: Caller, owner: asyncpg.Connection
) -> None:
    await record(tenant, caller, 4)
    await follow(tenant, CONSENT_TREND)
    right = await rows_of(owner, tenant, "consent_trend")
    await record(tenant, caller, 4)
    assert (await rebuilt(tenant, CONSENT_TREND)).compared.differing == 0
    await owner.execute("UPDATE consent_trend SET opted_in = 17 WHERE tenant = $1", tenant.id)
    assert (await rebuilt(tenant, CONSENT_TREND)).swapped
    assert await rows_of(owner, tenant, "consent_trend") == right
    await follow(tenant, CONSENT_TREND)
    assert (await rebuilt(tenant, CONSENT_TREND)).compared.differing == 0


async def test_before_its_follower_ever_ran_there_is_nothing_to_compare(tenant: Tenant, caller: Caller) -> None:
    await record(tenant, caller)
    result = await rebuilt(tenant, CONSENT_TREND)
    assert (result.compared.position, result.compared.rows, result.compared.differing) == (-1, 0, 0)


async def test_an_event_that_cannot_be_read_ends_it_and_swaps_nothing(
    tenant: Tenant, caller: Caller, owner: asyncpg.Connection
) -> None:
    await record(tenant, caller)
    await flip(owner, tenant, "a1@example.org")
    before = await rows_of(owner, tenant, "current_consent")

    def fold(_: object) -> list[Any]:
        raise UnknownEventVersion

    too_new = replace(CURRENT_CONSENT, fold=fold)
    with pytest.raises(UnknownEventVersion):
        await rebuilt(tenant, too_new)
    assert await rows_of(owner, tenant, "current_consent") == before


async def test_every_table_beside_has_the_columns_and_keys_of_its_own(owner: asyncpg.Connection) -> None:
    """Rows are swapped as they are: a migration that changes the one has to change the other."""
    shape = (
        "SELECT attname, atttypid::regtype::text, attnotnull FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0"
        " AND NOT attisdropped ORDER BY attnum"
    )
    key = (
        "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)"
        " WHERE i.indrelid = $1::regclass AND i.indisprimary ORDER BY array_position(i.indkey, a.attnum)"
    )
    for name, projection in PROJECTIONS.items():
        tables = (f"consentry.{name}", f"consentry.{projection.rebuilt}")
        assert len({str([tuple(row) for row in await owner.fetch(shape, table)]) for table in tables}) == 1
        for table in tables:
            assert [row[0] for row in await owner.fetch(key, table)] == ["tenant", *projection.key]
        assert projection.key[0] == projection.group[0]


async def test_the_services_role_has_no_business_beside(database: Any) -> None:
    connection = await asyncpg.connect(**database.service)
    try:
        for table in ("rebuild_positions", *(projection.rebuilt for projection in PROJECTIONS.values())):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"SELECT FROM {table}")
    finally:
        await connection.close()
