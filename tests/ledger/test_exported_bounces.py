"""A hard bounce goes out as what it is and comes in as what it is: once, and for whatever is asked."""

import io
import itertools
import json
from datetime import timedelta
from typing import Any

import pytest

from domain.addresses import Channel
from domain.bounces import Bounce
from domain.catalogue import EnforcementModel
from domain.consent import ActorKind, ConsentSource, ConsentValue
from ledger import exporting
from ledger.assembly import Caller, Tenant
from ledger.bounces import record_bounce
from ledger.catalogue import import_catalogue, update_purpose
from ledger.check import Question, check
from ledger.erasure import erase_contact_point
from ledger.given_evidence import Evidence
from ledger.import_rows import Totals
from ledger.importing import import_consents
from ledger.record import Actor, Capture, record_consent
from ledger.tenants import create_tenant
from ledger.verifying import verify_database
from tests.conftest import Clock

ADA, GRACE, JEAN = "ada@example.org", "grace@example.org", "jean@example.org"
PEOPLE = [ADA, GRACE, JEAN]
PERSON = Actor(kind=ActorKind.RECIPIENT)
_numbers = itertools.count(1)


def capture(address: str, value: ConsentValue, purpose: str = "commercial", **fields: Any) -> Capture:
    return Capture(channel=Channel.EMAIL, address=address, purpose=purpose, value=value, **fields)


async def bounce(tenant: Tenant, caller: Caller, address: str, kind: Bounce = Bounce.HARD, **fields: Any) -> None:
    given = {"channel": Channel.EMAIL, "address": address, "bounce": kind, "status": "5.1.1", **fields}
    await record_bounce(tenant, caller, **given)


async def exported(tenant: Tenant) -> tuple[str, exporting.Left]:
    left = exporting.Left()
    return "".join([line + "\n" async for line in exporting.ndjson(tenant, left)]), left


async def copy_of(tenant: Tenant, caller: Caller) -> Tenant:
    other = await create_tenant(tenant.ledger, f"copy-of-bounces-{next(_numbers)}", "Copy")
    await import_catalogue(other, caller, json.loads(json.dumps(await exporting.catalogue(tenant))), allow_looser=True)
    return other


async def bring_in(tenant: Tenant, content: str, *, dry_run: bool = False) -> Totals:
    return await import_consents(
        tenant,
        io.BytesIO(content.encode()),
        format="ndjson",
        report=lambda *_, **__: None,
        progress=lambda _: None,
        dry_run=dry_run,
    )


async def grid(tenant: Tenant) -> list[object]:
    """Every decision, with its reasons and the value found, for each purpose."""
    return [
        (answer.address, purpose, answer.decision.allowed, answer.tracking.allowed,
         [(reason.code, reason.value) for reason in answer.decision.reasons])
        for purpose in ("commercial", "transactional")
        for answer in await check(tenant, Question(channel=Channel.EMAIL, addresses=PEOPLE, purpose=purpose))
    ]  # fmt: skip


async def reason(tenant: Tenant, purpose: str = "transactional", address: str = ADA) -> str:
    [answer] = await check(tenant, Question(channel=Channel.EMAIL, addresses=[address], purpose=purpose))
    return str(answer.decision.reasons[0].code)


@pytest.mark.parametrize("enforcement", list(EnforcementModel))
async def test_a_copy_gives_the_same_answers_for_the_same_reasons(
    tenant: Tenant, caller: Caller, enforcement: EnforcementModel
) -> None:
    for purpose in ("commercial", "transactional", "tracking"):
        await update_purpose(tenant, caller, ref=purpose, enforcement=[(Channel.EMAIL, enforcement)])
    await record_consent(tenant, caller, capture(ADA, ConsentValue.OPTED_IN))
    await bounce(tenant, caller, ADA)
    await bounce(tenant, caller, GRACE, status=None)
    await bounce(tenant, caller, JEAN, Bounce.SOFT, status="4.2.2")
    content, left = await exported(tenant)
    assert not any(vars(left).values()), "nothing is left out, or told otherwise"
    other = await copy_of(tenant, caller)
    rehearsed = await bring_in(other, content, dry_run=True)
    first = await bring_in(other, content)
    again = await bring_in(other, content)
    assert (first.rows, first.recorded, first.events) == (3, 3, 3)
    assert rehearsed.to_json() == first.to_json()
    assert (again.recorded, again.unchanged, again.events) == (0, 3, 0)
    answers = await grid(tenant)
    assert await grid(other) == answers
    assert {"SUPPRESSED"} == {one[4][0][0] for one in answers if one[0] in (ADA, GRACE)}  # type: ignore[index]
    await verify_database(other)


async def test_it_ends_there_as_it_would_here(clocked_tenant: Tenant, clock: Clock, caller: Caller) -> None:
    tenant = clocked_tenant
    await record_consent(tenant, caller, capture(ADA, ConsentValue.OPTED_IN, "tracking"))
    await bounce(tenant, caller, ADA)
    content, _ = await exported(tenant)
    other = await copy_of(tenant, caller)
    await bring_in(other, content)
    clock.now += timedelta(hours=1)
    await record_consent(other, caller, capture(ADA, ConsentValue.OPTED_IN, actor=PERSON))
    assert await reason(other) == "ENFORCEMENT_DISABLED"
    assert await reason(other, "commercial") == "OPTED_IN"
    # The file once more is no second bounce.
    assert (await bring_in(other, content)).events == 0
    assert await reason(other) == "ENFORCEMENT_DISABLED"


@pytest.mark.parametrize("ended", [False, True])
async def test_where_it_comes_from_it_is_known(
    clocked_tenant: Tenant, clock: Clock, caller: Caller, *, ended: bool
) -> None:
    tenant = clocked_tenant
    await bounce(tenant, caller, ADA)
    content, _ = await exported(tenant)
    clock.now += timedelta(hours=1)
    if ended:
        operator = capture(ADA, ConsentValue.OPTED_IN, source=ConsentSource.OPERATOR)
        await record_consent(tenant, caller, operator)
    for dry_run in (True, False):
        totals = await bring_in(tenant, content, dry_run=dry_run)
        assert (totals.unchanged, totals.events) == (1, 0)
    assert await reason(tenant) == ("ENFORCEMENT_DISABLED" if ended else "SUPPRESSED")


async def test_what_the_person_said_since_is_not_undone(clocked_tenant: Tenant, clock: Clock, caller: Caller) -> None:
    tenant = clocked_tenant
    await bounce(tenant, caller, ADA)
    content, _ = await exported(tenant)
    other = await copy_of(tenant, caller)
    clock.now += timedelta(hours=1)
    await record_consent(other, caller, capture(ADA, ConsentValue.OPTED_IN, actor=PERSON))
    assert (await bring_in(other, content)).unchanged == 1
    assert await reason(other, "commercial") == "OPTED_IN"


async def test_a_later_bounce_is_another_one(clocked_tenant: Tenant, clock: Clock, caller: Caller) -> None:
    tenant = clocked_tenant
    other = await copy_of(tenant, caller)
    for _ in range(2):
        await bounce(tenant, caller, ADA)
        content, _left = await exported(tenant)
        clock.now += timedelta(hours=1)
        assert (await bring_in(other, content)).events == 1
        clock.now += timedelta(hours=1)
        await record_consent(other, caller, capture(ADA, ConsentValue.OPTED_IN, actor=PERSON))
        assert await reason(other) == "ENFORCEMENT_DISABLED"
        clock.now += timedelta(hours=1)


async def test_one_that_was_erased_since_is_recorded_anew(tenant: Tenant, caller: Caller) -> None:
    await bounce(tenant, caller, ADA)
    content, _ = await exported(tenant)
    other = await copy_of(tenant, caller)
    await bring_in(other, content)
    await erase_contact_point(other, caller, channel=Channel.EMAIL, address=ADA, reason="asked", keep_suppression=False)
    assert await reason(other) == "ENFORCEMENT_DISABLED"
    assert (await bring_in(other, content, dry_run=True)).events == 1
    assert (await bring_in(other, content)).events == 1
    assert await reason(other) == "SUPPRESSED"
    assert (await bring_in(other, content)).events == 0
    await verify_database(other)


async def test_what_shows_it_goes_with_it(tenant: Tenant, caller: Caller) -> None:
    await bounce(tenant, caller, ADA, evidence=Evidence(attributes={"diagnostic": "no such user"}))
    content, _ = await exported(tenant)
    other = await copy_of(tenant, caller)
    await bring_in(other, content)
    again, _ = await exported(other)
    told = [json.loads(one) for one in (content, again)]
    assert told[0]["suppression"] == "HARD_BOUNCE"
    for name in ("suppression", "channel", "address", "status", "evidence"):
        assert told[0][name] == told[1][name], name


@pytest.mark.parametrize(
    "beside",
    [{"since": "yesterday"}, {"since": 5}, {"status": "bad"}, {"status": 5}, {"evidence": []}, {"more": 1},
     {"evidence": {"attributes": [1]}}],
)  # fmt: skip
async def test_nothing_beside_it_refuses_it(tenant: Tenant, beside: dict[str, object]) -> None:
    line = {"suppression": "HARD_BOUNCE", "channel": "EMAIL", "address": ADA, **beside}
    assert (await bring_in(tenant, json.dumps(line))).recorded == 1
    assert await reason(tenant) == "SUPPRESSED"


@pytest.mark.parametrize("wrong", [{"address": "none"}, {"suppression": "ELSE"}, {"channel": "FAX"}, {"address": None}])
async def test_one_that_cannot_be_read_is_counted_among_what_is_lost(tenant: Tenant, wrong: dict[str, object]) -> None:
    line = {"suppression": "HARD_BOUNCE", "channel": "EMAIL", "address": ADA, **wrong}
    totals = await bring_in(tenant, json.dumps(line))
    assert (totals.refused, totals.refused_opt_outs) == (1, 1)
