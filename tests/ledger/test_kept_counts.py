"""Counts that each process keeps are those of who asks a check of everyone, whatever happened in between, and wherever."""

import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.addresses import Channel
from domain.bounces import Bounce
from domain.catalogue import EnforcementModel
from domain.consent import ConsentValue
from domain.decision import Contactability
from eventstore.database import DatabaseAddress
from ledger import catalogue
from ledger.assembly import Caller, Ledger, Tenant, ledger_on
from ledger.bounces import record_bounce
from ledger.check import Question, check
from ledger.erasure import erase_contact_point
from ledger.record import Capture, record_consent
from ledger.selection import Selection, preview_enforcement, select
from ledger.selection_expiry import expire_selections
from ledger.tenants import create_tenant
from projections.follower import lease_name, step
from projections.lease import held
from projections.selection import SELECTION
from projections.selection_rebuild import rebuild_selection
from tests.conftest import Clock

PEOPLE = [f"p{number}@example.org" for number in range(5)]
LEVELS = [("commercial", None), ("commercial", "news"), ("transactional", None)]
HOW = st.tuples(
    st.sampled_from(PEOPLE), st.sampled_from(LEVELS), st.sampled_from(ConsentValue), st.sampled_from([None, None, 2])
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("capture"), HOW),
        st.tuples(st.just("capture"), HOW),
        st.tuples(st.just("follow"), st.integers(1, 20)),
        st.tuples(st.just("follow"), st.integers(1, 20)),
        st.tuples(st.just("erase"), st.sampled_from(PEOPLE)),
        st.tuples(st.just("bounce"), st.sampled_from(PEOPLE)),
        st.tuples(st.just("enforce"), st.tuples(st.sampled_from(LEVELS), st.sampled_from(EnforcementModel))),
        st.tuples(st.just("scoping"), st.booleans()),
        st.tuples(st.just("hours"), st.integers(1, 3)),
        st.tuples(st.just("rebuild"), st.none()),
    ),
    min_size=4,
    max_size=25,
)


@pytest.fixture
async def processes(database: DatabaseAddress, data_dir: Path, clock: Clock) -> AsyncIterator[list[Ledger]]:
    """Two, on one database, with a clock in common."""
    async with (
        ledger_on(database, data_dir / "master.key", clock=clock) as one,
        ledger_on(database, data_dir / "master.key", clock=clock) as other,
    ):
        yield [one, other]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=st.lists(
        # (what happens, in which process, in which it is asked, what is previewed there and then done)
        st.tuples(STEPS, st.integers(0, 1), st.integers(0, 1), st.sampled_from(EnforcementModel)),
        min_size=2,
        max_size=5,
    )
)
async def test_both_processes_count_whom_checks_allow(
    processes: list[Ledger],
    caller: Caller,
    clock: Clock,
    history: list[tuple[list[tuple[str, object]], int, int, EnforcementModel]],
) -> None:
    made = await create_tenant(processes[0], f"counts-{secrets.token_hex(6)}", "Test")
    tenants = [await process.tenant(made.key) for process in processes]
    await catalogue.create_topic(tenants[0], caller, key="news", name="News", purpose="commercial")
    there: set[str] = set()
    for steps, writer, reader, model in history:
        for what, how in steps:
            await play(tenants[writer], caller, clock, there, what, how)
        await counts_are_right(tenants[reader], there)
        await preview_is_right(tenants[reader], caller, there, model)
    for tenant in tenants:
        await counts_are_right(tenant, there)


async def play(tenant: Tenant, caller: Caller, clock: Clock, there: set[str], what: str, how: object) -> None:
    match what, how:
        case "capture", (str(address), (str(purpose), topic), value, hours):
            until = clock.now + timedelta(hours=hours) if hours and value is ConsentValue.OPTED_IN else None
            await record_consent(
                tenant,
                caller,
                Capture(
                    channel=Channel.EMAIL, address=address, purpose=purpose, topic=topic, value=value, valid_until=until
                ),
            )
            there.add(address)
        case "follow", int(most):
            async with held(tenant.ledger.pool, tenant.id, lease_name(SELECTION)) as lease:
                assert lease is not None
                await step(tenant.ledger.pool, lease, SELECTION, entries_max=most)
        case "erase", str(address):
            if address in there:
                await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address=address, reason="asked")
                there.remove(address)
        case "bounce", str(address):
            await record_bounce(tenant, caller, channel=Channel.EMAIL, address=address, bounce=Bounce.HARD)
            there.add(address)
        case "enforce", ((str(purpose), _), EnforcementModel() as model):
            await catalogue.update_purpose(tenant, caller, ref=purpose, enforcement=[(Channel.EMAIL, model)])
        case "scoping", bool(on):
            await catalogue.update_tenant(tenant, caller, unit_scoping=on)
        case "hours", int(hours):
            clock.now += timedelta(hours=hours)
            await expire_selections(tenant.ledger)
        case _:
            await rebuild_selection(tenant.ledger.pool, tenant.id, accept=True, progress=lambda *_: None)


async def counts_are_right(tenant: Tenant, there: set[str]) -> None:
    """Against a check of each, which reads no bits."""
    people = sorted(there)
    for purpose, topic in LEVELS:
        allowed = await allowed_of(tenant, people, purpose, topic)
        for wanted, sends in ((Contactability.WILL_SEND, True), (Contactability.WILL_NOT_SEND, False), (None, None)):
            selection = Selection(channel=Channel.EMAIL, purpose=purpose, topic=topic, contactability=wanted)
            page = await select(tenant, selection, first=0)
            expected = len(people) if sends is None else sum(one is sends for one in allowed)
            assert await page.total_count() == expected, (purpose, topic, wanted)
        values = [
            await (
                await select(
                    tenant, Selection(channel=Channel.EMAIL, purpose=purpose, topic=topic, value=value), first=0
                )
            ).total_count()
            for value in ConsentValue
        ]
        assert sum(values) == len(people)


async def preview_is_right(tenant: Tenant, caller: Caller, there: set[str], model: EnforcementModel) -> None:
    """Against checks before and after what it previews is done."""
    people = sorted(there)
    told = await preview_enforcement(tenant, purpose="commercial", channel=Channel.EMAIL, model=model)
    before = await allowed_of(tenant, people, "commercial", None)
    await catalogue.update_purpose(tenant, caller, ref="commercial", enforcement=[(Channel.EMAIL, model)])
    after = await allowed_of(tenant, people, "commercial", None)
    turned = list(zip(before, after, strict=True))
    assert (told.to_block, told.to_send) == (turned.count((True, False)), turned.count((False, True)))


async def allowed_of(tenant: Tenant, people: list[str], purpose: str, topic: str | None) -> list[bool]:
    if not people:
        return []
    question = Question(channel=Channel.EMAIL, addresses=people, purpose=purpose, topic=topic)
    return [answer.decision.allowed for answer in await check(tenant, question)]
