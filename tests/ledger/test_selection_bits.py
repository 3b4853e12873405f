"""The bits say of everyone what a check says, however far behind the log they are."""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.addresses import Channel
from domain.bounces import Bounce
from domain.catalogue import EnforcementModel
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.decision import ALLOWS, Contactability
from domain.refusals import NotYetAvailable
from eventstore import read
from eventstore.database import DatabaseAddress
from ledger import catalogue
from ledger.assembly import Caller, Ledger, Tenant
from ledger.bounces import record_bounce
from ledger.check import Question, check
from ledger.erasure import erase_contact_point
from ledger.history import addresses
from ledger.record import Actor, Capture, record_consent, record_consents
from ledger.selection import Selection, preview_enforcement, select
from ledger.tenants import create_tenant
from ledger.unit_scope import TenantOfUnit
from projections import selection as bits
from projections.follower import lease_name, step
from projections.lease import held
from projections.selection_rebuild import rebuild_selection
from tests.conftest import Clock

PEOPLE = [f"p{number}@example.org" for number in range(12)]
LEVELS = [("commercial", None), ("commercial", "news"), ("transactional", None), ("tracking", None)]


async def follow(tenant: Tenant, monkeypatch: pytest.MonkeyPatch, *, to: int, in_steps: int = 7) -> None:
    """Bring the bits to a position, some entries at a time, each twice: what is applied again changes nothing."""
    monkeypatch.setattr("ledger.selection.followed_to", lambda *_: _answer(to))
    async with tenant.ledger.connection() as connection:
        entries = [stored.entry for stored in await read.forward(connection, tenant.id, limit=100_000)]
        steps = [*range(0, to + 1, in_steps), to + 1]
        for low, high in pairwise(steps):
            for _ in range(2):
                async with connection.transaction():
                    await bits.SELECTION.take(connection, tenant.id, entries[low:high])


async def _answer(position: int) -> int:
    return position


async def expire(tenant: Tenant) -> None:
    async with tenant.ledger.connection() as connection, connection.transaction():
        assert await bits.expire(connection, tenant.id, tenant.ledger.clock())


async def listed(tenant: Tenant, selection: Selection, *, page: int) -> list[str]:
    """Everyone whom a selection lists, page by page, and as many as it counts."""
    found: list[str] = []
    after: str | None = None
    while True:
        one = await select(tenant, selection, first=page, after=after)
        opened = await addresses(tenant, [point.id for _, point in one.items])
        found += [opened[point.id] for _, point in one.items]
        if not one.has_next_page:
            break
        after = one.items[-1][0]
    assert len(found) == len(set(found)) == await one.total_count()
    return found


async def check_all(tenant: Tenant, people: Sequence[str], *, page: int) -> None:
    """Every view of every level lists exactly those of whom a check says so."""
    for purpose, topic in LEVELS:
        if purpose == "tracking":
            asked = Question(channel=Channel.EMAIL, addresses=people, purpose="commercial")
            allowed = {answer.address: answer.tracking.allowed for answer in await check(tenant, asked)}
            views = {Contactability.WILL_TRACK: True, Contactability.WILL_NOT_TRACK: False}
        else:
            asked = Question(channel=Channel.EMAIL, addresses=people, purpose=purpose, topic=topic)
            allowed = {answer.address: answer.decision.allowed for answer in await check(tenant, asked)}
            views = {Contactability.WILL_SEND: True, Contactability.WILL_NOT_SEND: False}
        there = set(await listed(tenant, Selection(channel=Channel.EMAIL, purpose=purpose, topic=topic), page=page))
        for contactability, sends in views.items():
            wanted = Selection(channel=Channel.EMAIL, purpose=purpose, topic=topic, contactability=contactability)
            assert set(await listed(tenant, wanted, page=page)) == {a for a in there if allowed[a] is sends}


def steps() -> st.SearchStrategy[list[tuple[str, int, int, ConsentValue, int]]]:
    kinds = st.sampled_from(["capture"] * 8 + ["erase", "bounce", "own"])
    return st.lists(
        st.tuples(
            kinds,
            st.integers(0, len(PEOPLE) - 1),
            st.integers(0, len(LEVELS) - 1),
            st.sampled_from(ConsentValue),
            st.integers(-3, 3),
        ),
        min_size=5,
        max_size=60,
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps(), part=st.floats(0, 1), model=st.sampled_from(EnforcementModel), page=st.sampled_from([2, 5, 50]))
async def test_every_view_is_what_checks_say_however_far_the_bits_are(
    ledger: Ledger,
    caller: Caller,
    steps: list[tuple[str, int, int, ConsentValue, int]],
    part: float,
    model: EnforcementModel,
    page: int,
) -> None:
    tenant = await create_tenant(ledger, f"bits-{secrets.token_hex(6)}", "Test")
    with pytest.MonkeyPatch.context() as monkeypatch:
        await catalogue.create_topic(tenant, caller, key="news", name="News", purpose="commercial")
        await catalogue.update_purpose(tenant, caller, ref="commercial", enforcement=[(Channel.EMAIL, model)])
        for kind, person, level, value, days in steps:
            await _step(tenant, caller, kind, PEOPLE[person], LEVELS[level], value, days)
        async with tenant.ledger.connection() as connection:
            size = (await read.head(connection, tenant.id)).size
        await follow(tenant, monkeypatch, to=int(part * (size - 1)))
        await check_all(tenant, PEOPLE, page=page)
        await expire(tenant)
        await check_all(tenant, PEOPLE, page=page)
        await follow(tenant, monkeypatch, to=size - 1, in_steps=50)
        await check_all(tenant, PEOPLE, page=page)


async def _step(
    tenant: Tenant,
    caller: Caller,
    kind: str,
    address: str,
    level: tuple[str, str | None],
    value: ConsentValue,
    days: int,
) -> None:
    now = tenant.ledger.clock()
    if kind == "erase":
        async with tenant.ledger.connection() as connection:
            known = await connection.fetchval(
                "SELECT true FROM vault_subjects WHERE tenant = $1 AND blind_index = $2",
                tenant.id,
                tenant.blind_index(Channel.EMAIL, address),
            )
        if known:
            await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address=address, reason="asked")
    elif kind == "bounce":
        await record_bounce(tenant, caller, channel=Channel.EMAIL, address=address, bounce=Bounce.HARD)
    else:
        own = kind == "own"
        value = ConsentValue.OPTED_IN if own else value
        expires = value is ConsentValue.OPTED_IN and days < 0
        capture = Capture(
            channel=Channel.EMAIL,
            address=address,
            purpose=level[0],
            topic=level[1],
            value=value,
            actor=Actor(kind=ActorKind.RECIPIENT) if own else Actor(kind=ActorKind.SYSTEM),
            source=ConsentSource.PREFERENCE_CENTER if own else ConsentSource.API,
            effective_at=None if own else now - timedelta(days=abs(days)),
            valid_until=now - timedelta(minutes=1) if expires and not own else None,
        )
        await record_consent(tenant, caller, capture)


async def test_the_follower_keeps_the_bits_and_a_rebuild_finds_every_wrong_one(
    tenant: Tenant, caller: Caller, database: DatabaseAddress
) -> None:
    await catalogue.create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    await record_consents(
        tenant,
        caller,
        [Capture(channel=Channel.EMAIL, address=a, purpose="commercial", value=ConsentValue.OPTED_OUT) for a in PEOPLE],
    )
    await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address=PEOPLE[3], reason="asked")
    pool = tenant.ledger.pool
    async with held(pool, tenant.id, lease_name(bits.SELECTION)) as lease:
        assert lease is not None
        while await step(pool, lease, bits.SELECTION, entries_max=5):
            pass
    await check_all(tenant, PEOPLE, page=5)
    same = await rebuild_selection(pool, tenant.id, accept=False, progress=lambda *_: None)
    assert (same.compared.differing, same.compared.rows) == (0, 2)
    owner = await asyncpg.connect(**database.owner)
    bit = "set_bit(bits, 8000, 1 - get_bit(bits, 8000))"
    for kind in ("PRESENT", "OPTED_OUT"):
        await owner.execute(f"UPDATE selection_bits SET bits = {bit} WHERE tenant = $1 AND kind = $2", tenant.id, kind)
    await owner.close()
    found = await rebuild_selection(pool, tenant.id, accept=False, progress=lambda *_: None)
    assert (found.compared.differing, found.swapped) == (2, False)
    assert found.compared.first in ("EMAIL////PRESENT/chunk 0", "EMAIL/commercial//root/OPTED_OUT/chunk 0")
    # What the follower has not come to is no difference.
    await record_consents(
        tenant,
        caller,
        [Capture(channel=Channel.EMAIL, address=PEOPLE[0], purpose="commercial", value=ConsentValue.OPTED_IN)],
    )
    assert (await rebuild_selection(pool, tenant.id, accept=True, progress=lambda *_: None)).compared.differing == 2
    assert (await rebuild_selection(pool, tenant.id, accept=True, progress=lambda *_: None)).compared.differing == 0
    await check_all(tenant, PEOPLE, page=5)


async def test_an_empty_log_is_rebuilt_from_nothing(tenant: Tenant) -> None:
    done = await rebuild_selection(tenant.ledger.pool, tenant.id, accept=True, progress=lambda *_: None)
    assert (done.compared.rows, done.compared.differing) == (0, 0)


async def test_too_far_behind_is_said_and_not_guessed(
    tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.selection._ASIDE_MAX", 3)
    monkeypatch.setattr("ledger.selection.WAIT_FOR_POSITION_S", 0.0)
    with pytest.raises(NotYetAvailable):
        await select(tenant, Selection(channel=Channel.EMAIL, purpose="commercial"))


async def test_whoever_is_bound_to_a_unit_is_shown_whom_it_has_records_of(
    tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await catalogue.create_business_unit(tenant, caller, key="emea", name="EMEA")
    await catalogue.create_profile(tenant, caller, key="sales", name="Sales", business_unit="emea")
    for address, purpose in ((PEOPLE[0], "commercial"), (PEOPLE[1], "sales-commercial")):
        capture = Capture(channel=Channel.EMAIL, address=address, purpose=purpose, value=ConsentValue.OPTED_IN)
        await record_consent(tenant, caller, capture)
    async with tenant.ledger.connection() as connection:
        size = (await read.head(connection, tenant.id)).size
    await tenant.latest_catalogue()
    bound = TenantOfUnit(tenant, "emea")
    selection = Selection(channel=Channel.EMAIL, profile="sales", purpose="sales-commercial")
    for _ in range(2):
        page = await select(bound, selection)
        opened = await addresses(tenant, [point.id for _, point in page.items])
        assert (list(opened.values()), await page.total_count()) == ([PEOPLE[1]], 1)
        await follow(tenant, monkeypatch, to=size - 1)


async def test_many_chunks(tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def capture(address: str, value: ConsentValue = ConsentValue.OPTED_IN) -> Capture:
        return Capture(channel=Channel.EMAIL, address=address, purpose="commercial", value=value)

    await catalogue.create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    await record_consents(tenant, caller, [capture(address) for address in PEOPLE[:6]])
    for _ in range(17):
        await record_consents(tenant, caller, [capture(PEOPLE[0])] * 1_000)
    await record_consents(tenant, caller, [capture(address, ConsentValue.OPTED_OUT) for address in PEOPLE[6:]])
    await record_consents(tenant, caller, [capture(PEOPLE[2], ConsentValue.OPTED_OUT)])
    async with tenant.ledger.connection() as connection:
        size = (await read.head(connection, tenant.id)).size
    await follow(tenant, monkeypatch, to=size - 1, in_steps=5_000)
    await check_all(tenant, PEOPLE, page=4)
    sending = Selection(channel=Channel.EMAIL, purpose="commercial", contactability=Contactability.WILL_SEND)
    assert await listed(tenant, sending, page=1) == [*PEOPLE[:2], *PEOPLE[3:6]]


@pytest.mark.parametrize("before", EnforcementModel)
@pytest.mark.parametrize("after", EnforcementModel)
@pytest.mark.parametrize("followed", [False, True])
async def test_a_preview_counts_whom_a_change_would_turn(
    tenant: Tenant,
    caller: Caller,
    monkeypatch: pytest.MonkeyPatch,
    before: EnforcementModel,
    after: EnforcementModel,
    followed: bool,
) -> None:
    counts = {ConsentValue.OPTED_IN: 3, ConsentValue.OPTED_OUT: 4, ConsentValue.NOT_SET: 5}
    people = [(f"{value.lower()}{n}@example.org", value) for value, number in counts.items() for n in range(number)]
    await record_consents(
        tenant,
        caller,
        [Capture(channel=Channel.EMAIL, address=a, purpose="commercial", value=v) for a, v in people],
    )
    await record_bounce(tenant, caller, channel=Channel.EMAIL, address="opted_out0@example.org", bounce=Bounce.HARD)
    await catalogue.update_purpose(tenant, caller, ref="commercial", enforcement=[(Channel.EMAIL, before)])
    async with tenant.ledger.connection() as connection:
        size = (await read.head(connection, tenant.id)).size
    if followed:
        await follow(tenant, monkeypatch, to=size - 1)
    preview = await preview_enforcement(tenant, purpose="commercial", channel=Channel.EMAIL, model=after)
    counts[ConsentValue.OPTED_OUT] -= 1  # the one that bounced is blocked either way
    turned = {
        sends: sum(
            n for value, n in counts.items() if ALLOWS[after, value] is sends and ALLOWS[before, value] is not sends
        )
        for sends in (True, False)
    }
    assert (preview.to_send, preview.to_block) == (turned[True], turned[False])
    assert (preview.profiles, preview.position) == (("default",), size - 1)


@pytest.mark.parametrize("followed_before_expiry", [True, False])
async def test_consent_expires_at_its_instant_whatever_the_bits_say(
    clocked_tenant: Tenant, clock: Clock, caller: Caller, monkeypatch: pytest.MonkeyPatch, followed_before_expiry: bool
) -> None:
    tenant = clocked_tenant
    await catalogue.create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    await catalogue.update_purpose(
        tenant, caller, ref="commercial", enforcement=[(Channel.EMAIL, EnforcementModel.RESTRICTIVE)]
    )
    captures = [
        Capture(
            channel=Channel.EMAIL,
            address=address,
            purpose="commercial",
            value=ConsentValue.OPTED_IN,
            valid_until=clock.now + timedelta(hours=number),
        )
        for number, address in enumerate(PEOPLE, 1)
    ]
    await record_consents(tenant, caller, captures)
    sending = Selection(channel=Channel.EMAIL, purpose="commercial", contactability=Contactability.WILL_SEND)
    async with tenant.ledger.connection() as connection:
        size = (await read.head(connection, tenant.id)).size
    if followed_before_expiry:
        await follow(tenant, monkeypatch, to=size - 1)
    began = clock.now
    for hours in (0, 1, 4, 9, 12):
        clock.now = began + timedelta(hours=hours)
        expected = [
            address for address, capture in zip(PEOPLE, captures, strict=True) if capture.valid_until > clock.now
        ]
        assert await listed(tenant, sending, page=5) == expected
        await expire(tenant)
        assert await listed(tenant, sending, page=5) == expected
        if not followed_before_expiry and hours == 4:
            await follow(tenant, monkeypatch, to=size - 1)
            assert await listed(tenant, sending, page=5) == expected
