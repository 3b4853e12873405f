"""A hard bounce suppresses everything of its contact point, until an operator or the person ends it."""

from datetime import timedelta
from typing import Any

import pytest

from domain.addresses import Channel
from domain.bounces import Bounce
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.decision import Contactability
from domain.refusals import Refusal
from ledger.assembly import Caller, Tenant
from ledger.bounces import record_bounce
from ledger.catalogue import create_topic
from ledger.check import Question, check
from ledger.contactability import contactability_of
from ledger.erasure import erase_contact_point
from ledger.history import find_contact_point
from ledger.record import Actor, Capture, record_consent, record_consents
from ledger.selection import Selection, select
from ledger.verifying import verify_database
from tests.conftest import Clock

ADA = "ada@example.org"


async def bounce(tenant: Tenant, caller: Caller, kind: Bounce = Bounce.HARD, **fields: Any) -> None:
    given = {"channel": Channel.EMAIL, "address": ADA, "bounce": kind, "status": "5.1.1", **fields}
    await record_bounce(tenant, caller, **given)


def capture(value: ConsentValue = ConsentValue.OPTED_IN, **fields: Any) -> Capture:
    return Capture(**{"channel": Channel.EMAIL, "address": ADA, "purpose": "commercial", "value": value, **fields})


async def asked(tenant: Tenant, purpose: str = "commercial", **times: Any) -> str:
    [answer] = await check(tenant, Question(channel=Channel.EMAIL, addresses=[ADA], purpose=purpose, **times))
    return (
        ("+" if answer.decision.allowed else "-")
        + ("+ " if answer.tracking.allowed else "- ")
        + str(answer.decision.reasons[0].code)
    )


async def test_everything_is_suppressed_whatever_the_enforcement(tenant: Tenant, caller: Caller) -> None:
    await record_consent(tenant, caller, capture())
    await bounce(tenant, caller, Bounce.SOFT, status="4.2.2")
    assert await asked(tenant) == "++ OPTED_IN", "only counted"
    await bounce(tenant, caller)
    assert [await asked(tenant), await asked(tenant, "transactional")] == ["-- SUPPRESSED", "-- SUPPRESSED"]
    held = await find_contact_point(tenant, Channel.EMAIL, ADA)
    assert held is not None
    [rows] = await contactability_of(tenant, [(held.id, Channel.EMAIL)], profile="default")
    assert {row.decision.reasons[0].code for row in rows} == {"SUPPRESSED"}
    page = await select(
        tenant, Selection(channel=Channel.EMAIL, purpose="transactional", contactability=Contactability.WILL_SEND)
    )
    assert page.items == []
    await verify_database(tenant)


async def test_an_address_that_was_unknown_is_suppressed_too(tenant: Tenant, caller: Caller) -> None:
    await bounce(tenant, caller)
    assert await asked(tenant, "transactional") == "-- SUPPRESSED"


ENDINGS = [
    (capture(actor=Actor(kind=ActorKind.RECIPIENT)), True),
    (capture(source=ConsentSource.OPERATOR, actor=Actor(kind=ActorKind.USER)), True),
    (capture(source=ConsentSource.OPERATOR, actor=Actor(kind=ActorKind.USER), purpose="tracking"), True),
    (capture(actor=Actor(kind=ActorKind.USER)), False),
    (capture(source=ConsentSource.IMPORT), False),
    (capture(ConsentValue.OPTED_OUT, actor=Actor(kind=ActorKind.RECIPIENT)), False),
    (capture(ConsentValue.NOT_SET, source=ConsentSource.OPERATOR), False),
]


@pytest.mark.parametrize(("given", "ends"), ENDINGS)
async def test_what_ends_it(clocked_tenant: Tenant, clock: Clock, caller: Caller, given: Capture, ends: bool) -> None:
    tenant = clocked_tenant
    await bounce(tenant, caller)
    bounced_at = clock.now
    clock.now += timedelta(hours=1)
    await record_consent(tenant, caller, given)
    assert (await asked(tenant, "transactional"))[0] == ("+" if ends else "-")
    assert (await asked(tenant, "transactional", known_at=bounced_at))[0] == "-"
    assert (await asked(tenant, "transactional", known_at=clock.now))[0] == ("+" if ends else "-")
    assert (await asked(tenant, "transactional", as_of=bounced_at))[0] == "-"
    await bounce(tenant, caller)
    assert await asked(tenant, "transactional") == "-- SUPPRESSED", "bounced again"
    await verify_database(tenant)


async def test_an_opt_in_from_before_does_not_end_it(clocked_tenant: Tenant, clock: Clock, caller: Caller) -> None:
    await bounce(clocked_tenant, caller)
    before = clock.now
    clock.now += timedelta(hours=1)
    await record_consent(clocked_tenant, caller, capture(actor=Actor(kind=ActorKind.RECIPIENT), effective_at=before))
    assert await asked(clocked_tenant) == "-- SUPPRESSED"


async def erased(tenant: Tenant, caller: Caller, **fields: Any) -> dict[str, Any]:
    """What an erasure leaves, as its certificate says it."""
    given = {"channel": Channel.EMAIL, "address": ADA, "reason": "DSAR-2026-0117", **fields}
    return (await erase_contact_point(tenant, caller, **given)).certificate.entry.data.get("suppression", {})


async def test_an_erasure_keeps_everything_blocked(clocked_tenant: Tenant, clock: Clock, caller: Caller) -> None:
    tenant = clocked_tenant
    await create_topic(tenant, caller, key="receipts", name="R", purpose="transactional")
    await bounce(tenant, caller)
    assert await asked(tenant, "transactional") == "-- SUPPRESSED"
    assert (await erased(tenant, caller))["everything"] is True
    assert await asked(tenant) == "-- SUPPRESSED"
    assert await asked(tenant, "transactional") == "-- SUPPRESSED"
    await verify_database(tenant)
    clock.now += timedelta(hours=1)
    operator = capture(source=ConsentSource.OPERATOR, actor=Actor(kind=ActorKind.USER), purpose="transactional")
    await record_consent(tenant, caller, operator)
    assert await asked(tenant, "transactional") == "-- SUPPRESSED"
    await record_consent(tenant, caller, capture(actor=Actor(kind=ActorKind.RECIPIENT), purpose="transactional"))
    assert await asked(tenant, "transactional") == "+- ENFORCEMENT_DISABLED"
    assert await asked(tenant, "transactional", topic="receipts") == "-- SUPPRESSED"
    assert await asked(tenant) == "-- SUPPRESSED"
    await verify_database(tenant)


@pytest.mark.parametrize("how", ["soft", "ended", "none kept"])
async def test_an_erasure_keeps_no_bounce_that_blocks_nothing_or_is_not_to_be_kept(
    clocked_tenant: Tenant, clock: Clock, caller: Caller, how: str
) -> None:
    tenant = clocked_tenant
    await bounce(tenant, caller, Bounce.SOFT if how == "soft" else Bounce.HARD)
    clock.now += timedelta(hours=1)
    if how == "ended":
        await record_consent(tenant, caller, capture(actor=Actor(kind=ActorKind.RECIPIENT)))
    kept = await erased(tenant, caller, keep_suppression=how != "none kept")
    assert "everything" not in kept
    assert (await asked(tenant, "transactional"))[0] == "+"
    assert (await asked(tenant))[0] == ("+" if how == "none kept" else "-")


async def test_many_at_once_keep_the_table_what_the_entries_say(tenant: Tenant, caller: Caller) -> None:
    person = Actor(kind=ActorKind.RECIPIENT)
    for _ in range(3):
        await bounce(tenant, caller)
        await record_consents(tenant, caller, [capture(actor=person), capture(actor=person, purpose="tracking")])
    await verify_database(tenant)


async def test_bad_input_is_told(tenant: Tenant, caller: Caller) -> None:
    with pytest.raises(Refusal) as refused:
        await bounce(tenant, caller, status="very bad")
    assert refused.value.path == ("status",)
