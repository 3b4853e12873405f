"""One history, one table: written with the append, by a follower, by a rebuild, and as a replay folds it, byte for byte."""

import contextlib
import io
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.addresses import Channel
from domain.bounces import Bounce
from domain.catalogue import DoubleOptInMode
from domain.consent import RESTRICTIVENESS, ActorKind, ConsentSource, ConsentValue
from domain.refusals import Refusal
from eventstore import read
from eventstore.database import DatabaseAddress
from ledger.assembly import Caller, Ledger, Tenant, ledger_on
from ledger.bounces import record_bounce
from ledger.catalogue import create_topic, update_profile
from ledger.double_opt_in import confirm_double_opt_in, open_confirmation, request_double_opt_in
from ledger.erasure import erase_contact_point
from ledger.importing import import_consents
from ledger.record import Actor, Capture, record_consents
from ledger.replaying import replay
from ledger.tenants import create_tenant
from ledger.verifying import verify_database
from projections.inline import INLINE
from projections.known import PROJECTIONS
from projections.rebuild import rebuild
from projections.trends import CONSENT_TREND
from tests.conftest import Clock
from tests.projections.conftest import follow, rows_of
from tests.projections.copies import copied

ADDRESSES = [f"{name}@example.org" for name in ("ada", "grace", "edsger")]
LEVELS = [("commercial", None), ("commercial", "news"), ("transactional", None), ("tracking", None)]
HEADER = (
    "msdynmkt_contactpointconsent4id,msdynmkt_contactpointvalue,msdynmkt_contactpointtype,"
    "msdynmkt_contactpointconsenttype,msdynmkt_purposeid,msdynmkt_topicid,msdynmkt_value,msdynmkt_source,"
    "msdynmkt_logicalreason,msdynmkt_reason,createdon,modifiedon,statecode"
)
ADDRESS = st.sampled_from(ADDRESSES)
CAPTURE = st.fixed_dictionaries(
    {
        "address": ADDRESS,
        "level": st.sampled_from(LEVELS),
        "value": st.sampled_from(list(ConsentValue)),
        "hours": st.none() | st.integers(-60, 0),
        "valid_days": st.none() | st.integers(1, 3),
        "actor": st.sampled_from([ActorKind.RECIPIENT, ActorKind.RECIPIENT, ActorKind.SYSTEM]),
        "source": st.sampled_from([ConsentSource.API, ConsentSource.OPERATOR]),
    }
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.lists(CAPTURE, min_size=1, max_size=6)),
        st.tuples(st.just("bounce"), st.tuples(ADDRESS, st.sampled_from([Bounce.HARD, Bounce.HARD, Bounce.SOFT]))),
        st.tuples(st.just("request"), st.tuples(ADDRESS, st.booleans())),
        st.tuples(st.just("confirm"), st.integers(0, 5)),
        st.tuples(st.just("erase"), st.tuples(ADDRESS, st.booleans())),
        st.tuples(st.just("import"), st.lists(st.tuples(ADDRESS, st.integers(1, 28)), min_size=1, max_size=3)),
        st.tuples(st.just("wait"), st.integers(1, 30)),
    ),
    max_size=12,
)


class World:
    """A ledger whose clock a history sets, with tables beside in which followers keep what appends keep."""

    def __init__(self, ledger: Ledger, clock: Clock, owner: asyncpg.Connection) -> None:
        self.ledger = ledger
        self.clock = clock
        self.owner = owner
        self.tenants = 0

    async def tenant(self, caller: Caller) -> Tenant:
        self.tenants += 1
        tenant = await create_tenant(self.ledger, f"same-{id(self)}-{self.tenants}", "Same")
        await create_topic(tenant, caller, key="news", name="News", purpose="commercial")
        await update_profile(tenant, caller, ref="default", double_opt_in=DoubleOptInMode.EVERY_SUBMISSION)
        return tenant


@pytest.fixture
async def world(
    database: DatabaseAddress, data_dir: Any, clock: Clock, owner: asyncpg.Connection
) -> AsyncIterator[World]:
    async with ledger_on(database, data_dir / "master.key", clock=clock) as ledger:
        yield World(ledger, clock, owner)


async def play(world: World, tenant: Tenant, caller: Caller, history: list[tuple[str, Any]]) -> None:
    tokens: list[str] = []
    for number, (what, how) in enumerate(history):
        if what == "record":
            await record_consents(tenant, caller, [capture_of(world, one) for one in how])
        elif what == "bounce":
            await record_bounce(tenant, caller, channel=Channel.EMAIL, address=how[0], bounce=how[1])
        elif what == "request":
            requested = await request_double_opt_in(
                tenant, caller, channel=Channel.EMAIL, address=how[0], purpose="commercial",
                topics=["news"] if how[1] else [],
            )  # fmt: skip
            assert requested.token is not None
            tokens.append(requested.token)
        elif what == "confirm":
            for token in tokens[how : how + 1]:
                with contextlib.suppress(Refusal):  # expired, or erased since
                    await confirm_double_opt_in(*await open_confirmation(tenant.ledger, token))
        elif what == "erase":
            with contextlib.suppress(Refusal):  # nobody is there
                await erase_contact_point(
                    tenant, caller, channel=Channel.EMAIL, address=how[0], reason="asked", keep_suppression=how[1]
                )
        elif what == "import":
            lines = [
                f"{number}-{row},{address},Email,Purpose,commercial,,Opted Out,Internal,No reasons,,,2026-02-{day:02}T00:00:00Z,0"
                for row, (address, day) in enumerate(how)
            ]
            await import_consents(
                tenant, io.BytesIO("\n".join([HEADER, *lines]).encode()), format="contact-point-consents",
                report=lambda *_: None, progress=lambda _: None,
            )  # fmt: skip
        else:
            world.clock.now += timedelta(hours=how)


def capture_of(world: World, one: dict[str, Any]) -> Capture:
    effective = None if one["hours"] is None else world.clock.now + timedelta(hours=one["hours"])
    until = None if one["valid_days"] is None else world.clock.now + timedelta(days=one["valid_days"])
    return Capture(
        channel=Channel.EMAIL,
        address=one["address"],
        purpose=one["level"][0],
        topic=one["level"][1],
        value=one["value"],
        effective_at=effective,
        valid_until=until if one["value"] is ConsentValue.OPTED_IN else None,
        actor=Actor(kind=one["actor"]),
        source=one["source"],
    )


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=STEPS, cut=st.integers(1, 7))
async def test_every_way_to_keep_a_projection_gives_the_same_bytes(
    world: World, caller: Caller, history: list[tuple[str, Any]], cut: int
) -> None:
    tenant = await world.tenant(caller)
    await play(world, tenant, caller, history)
    await follow(tenant, CONSENT_TREND, entries_max=cut)
    kept = {name: await rows_of(world.owner, tenant, name) for name in PROJECTIONS}

    await followed_as_appended(world, tenant, kept, cut)
    await rebuilt_from_nothing(world, tenant, kept, cut)
    await replayed(tenant, kept)
    await counted(tenant, kept)


async def followed_as_appended(world: World, tenant: Tenant, kept: dict[str, list[str]], cut: int) -> None:
    for projection in INLINE:
        async with copied(world.owner, projection.name) as table:
            await follow(tenant, replace(projection, name=table), entries_max=cut)
            assert await rows_of(world.owner, tenant, table) == kept[projection.name]


async def rebuilt_from_nothing(world: World, tenant: Tenant, kept: dict[str, list[str]], cut: int) -> None:
    pool, address = tenant.ledger.pool, tenant.ledger.address.owner
    for name, projection in PROJECTIONS.items():
        same = await rebuild(pool, address, tenant.id, projection, accept=False, group_entries=cut)
        assert (same.compared.differing, same.compared.rebuilt_rows) == (0, len(kept[name]))
        await world.owner.execute(f"DELETE FROM {name} WHERE tenant = $1", tenant.id)
        anew = await rebuild(pool, address, tenant.id, projection, accept=True, group_entries=cut)
        assert (anew.compared.differing, anew.swapped) == (len(kept[name]), bool(kept[name]))
        assert await rows_of(world.owner, tenant, name) == kept[name]
        assert await rows_of(world.owner, tenant, projection.rebuilt) == []


async def replayed(tenant: Tenant, kept: dict[str, list[str]]) -> None:
    """By the two that fold the log on their own: `replay`, and for every table `verify`."""
    state = await replay(tenant)
    async with tenant.ledger.connection() as connection:
        rows = await connection.fetch("SELECT * FROM current_consent WHERE tenant = $1", tenant.id)
    assert len(rows) == len(kept["current_consent"])
    assert {tuple(row) for row in rows} == {
        (
            tenant.id, row.contact_point, row.channel, row.record.purpose, row.record.topic or "", row.record.unit,
            row.record.value, RESTRICTIVENESS[row.record.value], row.record.effective_at, row.record.recorded_at,
            row.record.valid_until, row.record.position,
        )
        for row in state.rows
    }  # fmt: skip
    await verify_database(tenant)


async def counted(tenant: Tenant, kept: dict[str, list[str]]) -> None:
    """The trend once more, naively."""
    async with tenant.ledger.connection() as connection:
        entries = [stored.entry for stored in await read.forward(connection, tenant.id, limit=100_000)]
    counts = Counter(
        (entry.data["purpose"], entry.effective_at.date(), entry.data["value"])
        for entry in entries
        if entry.type == "ConsentCaptured" and entry.effective_at is not None
    )
    assert sorted(kept["consent_trend"]) == sorted(
        f"({tenant.id},{purpose},{day},{','.join(str(counts[purpose, day, value]) for value in VALUES)})"
        for purpose, day in {key[:2] for key in counts}
    )


VALUES = ("OPTED_IN", "OPTED_OUT", "NOT_SET")
