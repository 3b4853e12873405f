"""Acknowledgements: never backwards, never beyond the end, and each event's answer is when it was first covered."""

import asyncio
from datetime import datetime, timedelta

import asyncpg
import pytest

from domain.refusals import Refusal, RefusalCode
from eventstore.database import DatabaseAddress
from ledger.acknowledgements import AcknowledgedBy, Acknowledgement, acknowledge, acknowledged, acknowledgements_of
from ledger.assembly import Caller, Tenant
from ledger.verifying import DatabaseMismatch, verify_database
from ledger.webhook_lists import log_size
from tests.conftest import Clock

MAILER, DIALLER = (Caller(name, frozenset(("read",))) for name in ("mailer", "dialler"))


def by_cursor(application: str, at: datetime) -> Acknowledgement:
    return Acknowledgement(application, at, AcknowledgedBy.CURSOR)


async def test_an_event_is_known_from_the_first_acknowledgement_that_covers_it(
    clocked_tenant: Tenant, clock: Clock
) -> None:
    first = clock.now
    await acknowledge(clocked_tenant, MAILER, 2)
    clock.now += timedelta(seconds=4)
    await acknowledge(clocked_tenant, DIALLER, 5)
    clock.now += timedelta(seconds=4)
    await acknowledge(clocked_tenant, MAILER, 4)
    known = await acknowledgements_of(clocked_tenant, [0, 2, 3, 4, 5, 6])
    mailer_first, mailer_then = by_cursor("mailer", first), by_cursor("mailer", clock.now)
    dialler = by_cursor("dialler", first + timedelta(seconds=4))
    assert known == {
        0: [dialler, mailer_first],
        2: [dialler, mailer_first],
        3: [dialler, mailer_then],
        4: [dialler, mailer_then],
        5: [dialler],
        6: [],
    }


async def test_the_same_position_again_changes_nothing(clocked_tenant: Tenant, clock: Clock) -> None:
    first = await acknowledge(clocked_tenant, MAILER, 3)
    clock.now += timedelta(hours=1)
    assert await acknowledge(clocked_tenant, MAILER, 3) == first
    assert await acknowledged(clocked_tenant, "mailer") == first


async def test_what_is_known_is_not_unlearnt(tenant: Tenant) -> None:
    await acknowledge(tenant, MAILER, 3)
    with pytest.raises(Refusal, match="at least 3") as refused:
        await acknowledge(tenant, MAILER, 2)
    assert (refused.value.code, refused.value.path) == (RefusalCode.INVALID, ("position",))
    assert (await acknowledgements_of(tenant, [3]))[3][0].application == "mailer"


async def test_nobody_knows_what_is_not_recorded_yet(tenant: Tenant) -> None:
    size = await log_size(tenant)
    with pytest.raises(Refusal, match=f"less than {size}"):
        await acknowledge(tenant, MAILER, size)
    assert await acknowledged(tenant, "mailer") is None


async def test_only_an_application_acknowledges(tenant: Tenant) -> None:
    with pytest.raises(Refusal, match="application"):
        await acknowledge(tenant, Caller(None, frozenset()), 0)


async def test_a_key_used_again_gives_the_first_answer_and_with_another_position_a_conflict(tenant: Tenant) -> None:
    first = await acknowledge(tenant, MAILER, 1, idempotency_key="k")
    await acknowledge(tenant, MAILER, 4)
    assert await acknowledge(tenant, MAILER, 1, idempotency_key="k") == first
    with pytest.raises(Refusal) as refused:
        await acknowledge(tenant, MAILER, 5, idempotency_key="k")
    assert refused.value.code is RefusalCode.IDEMPOTENCY_CONFLICT


async def test_a_command_without_events_leaves_a_store_that_verifies(tenant: Tenant, database: DatabaseAddress) -> None:
    await acknowledge(tenant, MAILER, 1, idempotency_key="k")
    await verify_database(tenant)
    owner = await asyncpg.connect(**database.owner)
    await owner.execute("DELETE FROM idempotent_answers WHERE tenant = $1", tenant.id)
    await owner.close()
    with pytest.raises(DatabaseMismatch, match="idempotency_records"):
        await verify_database(tenant)


async def test_of_many_at_once_the_times_grow_with_the_positions(tenant: Tenant) -> None:
    size = await log_size(tenant)
    await asyncio.gather(*(acknowledge(tenant, MAILER, position) for position in range(size)), return_exceptions=True)
    known = await acknowledgements_of(tenant, range(size))
    times = [known[position][0].at for position in range(size)]
    assert times == sorted(times)
    head = await acknowledged(tenant, "mailer")
    assert head is not None
    assert head.position == size - 1


async def test_the_service_can_change_no_acknowledgement(tenant: Tenant, database: DatabaseAddress) -> None:
    await acknowledge(tenant, MAILER, 1)
    connection = await asyncpg.connect(**database.service)
    try:
        for statement in (
            "UPDATE acknowledgements SET position = 5",
            "DELETE FROM acknowledgements",
            "UPDATE webhook_deliveries SET position = 5",
            "DELETE FROM webhook_deliveries",
            "UPDATE webhook_changes SET reason = ''",
            "DELETE FROM webhook_changes",
            "DELETE FROM webhooks",
            "UPDATE idempotent_answers SET answer = ''",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()
