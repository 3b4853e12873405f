"""A large batch is looked up part by part, and must answer as if each address had been asked alone, all at one moment."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.addresses import Channel, normalise
from domain.bounces import Bounce
from domain.catalogue import DoubleOptInMode
from domain.consent import ConsentValue
from domain.decision import Decision, ReasonCode, refuse_address
from domain.refusals import Refusal
from domain.standing import decision_of, tracking_of
from ledger import answers as answering
from ledger import catalogue
from ledger import check as checking
from ledger import turns as turns_of
from ledger.answers import Answer
from ledger.assembly import Caller, Tenant
from ledger.bounces import record_bounce
from ledger.check import Question, check
from ledger.check_queue import FLIGHT_ADDRESSES_MAX
from ledger.double_opt_in import request_double_opt_in
from ledger.erasure import erase_contact_point
from ledger.look_up import LookUp, Seen, look_up
from ledger.record import Capture, record_consent, record_consents
from tests.conftest import Clock

IN, OUT = ConsentValue.OPTED_IN, ConsentValue.OPTED_OUT
PART = 50
MANY = FLIGHT_ADDRESSES_MAX + 3 * PART + 1


def capture(address: str, value: ConsentValue, **fields: Any) -> Capture:
    return Capture(**{"channel": Channel.EMAIL, "address": address, "purpose": "commercial", "value": value, **fields})


def question(addresses: Sequence[str], **fields: Any) -> Question:
    return Question(**{"channel": Channel.EMAIL, "addresses": addresses, "purpose": "commercial", **fields})


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_ADDRESSES_PER_PART", PART)


async def _every_standing(tenant: Tenant, caller: Caller, clock: Clock) -> list[str]:
    """Addresses that stand in every way that an address can."""
    await catalogue.create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    await catalogue.update_profile(tenant, caller, ref="default", double_opt_in=DoubleOptInMode.EVERY_SUBMISSION)
    start = clock.now
    captures = [
        capture("in@example.org", IN),
        capture("out@example.org", OUT),
        capture("expired@example.org", IN, valid_until=start + timedelta(hours=1)),
        capture("lasting@example.org", IN, valid_until=start + timedelta(days=9)),
        capture("untracked@example.org", OUT, purpose="tracking"),
        capture("both@example.org", OUT, purpose="tracking"),
        capture("both@example.org", IN),
        capture("topic-out@example.org", OUT, topic="news"),
        capture("topic-in@example.org", IN, topic="news"),
        capture("topic-in@example.org", OUT),
        capture("elsewhere@example.org", OUT, purpose="transactional"),
        capture("erased@example.org", IN),
        capture("back@example.org", OUT),
        capture("bounced@example.org", IN),
    ]
    done = await record_consents(tenant, caller, captures)
    assert not [one for one in done if isinstance(one, Exception)]
    await record_bounce(
        tenant, caller, channel=Channel.EMAIL, address="bounced@example.org", bounce=Bounce.HARD, status="5.1.1"
    )
    await request_double_opt_in(
        tenant, caller, channel=Channel.EMAIL, address="awaited@example.org", purpose="commercial", topics=["news"]
    )
    for address in ("erased@example.org", "back@example.org"):
        await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address=address, reason="asked")
    await record_consent(tenant, caller, capture("back@example.org", IN))
    clock.now = start + timedelta(hours=2)
    recorded = {one.address for one in captures}
    return [
        *recorded,
        "awaited@example.org",
        "unknown@example.org",
        "IN@example.org",
        " out@example.org\n",
        "no address",
    ]


async def _decided(tenant: Tenant, address: str, fields: dict[str, str]) -> tuple[Decision, Decision]:
    """The decisions for one address by the pure rules alone: nothing is shared between addresses."""
    asked = {"purpose": "commercial", "topic": None, **fields}
    subject = tenant.catalogue.message("default", asked["purpose"] or "", asked["topic"])
    try:
        blind_index = tenant.blind_index(Channel.EMAIL, normalise(Channel.EMAIL, address))
    except Refusal:
        refused = refuse_address(subject.purpose, Channel.EMAIL, ReasonCode.INVALID_ADDRESS)
        return refused, refused
    topics = ("", *([] if asked["topic"] is None else [asked["topic"]]))
    async with tenant.ledger.connection() as connection:
        [seen] = await look_up(
            connection, tenant.id, [LookUp([blind_index], (subject.purpose.key, "tracking"), topics)]
        )
    [(_, standing)] = seen.found
    now = tenant.ledger.clock()
    rules = tenant.catalogue, subject, Channel.EMAIL, standing, now
    return decision_of(*rules), tracking_of(*rules)


def _all_of(answer: Answer) -> tuple[object, ...]:
    """All that an answer says."""
    return (
        answer.address, answer.allowed, answer.tracking_allowed, answer.decision, answer.tracking, answer.position,
        answer.catalogue_position, answer.decided_at, answer.as_of, answer.contact_point, answer.subject,
    )  # fmt: skip


@pytest.mark.parametrize("fields", [{}, {"topic": "news"}, {"purpose": "transactional"}], ids=str)
async def test_a_batch_answers_each_address_as_if_asked_alone(
    clocked_tenant: Tenant, caller: Caller, clock: Clock, fields: dict[str, str]
) -> None:
    kinds = await _every_standing(clocked_tenant, caller, clock)
    alone = {}
    for address in kinds:
        [alone[address]] = await check(clocked_tenant, question([address], **fields))
        decided = await _decided(clocked_tenant, address, fields)
        assert (alone[address].decision, alone[address].tracking) == decided
        assert (alone[address].allowed, alone[address].tracking_allowed) == tuple(one.allowed for one in decided)
    codes = {reason.code for answer in alone.values() for reason in answer.decision.reasons}
    assert codes >= {ReasonCode.SUPPRESSED, ReasonCode.INVALID_ADDRESS}
    addresses = [kinds[number % len(kinds)] for number in range(MANY)]
    answers = await check(clocked_tenant, question(addresses, **fields))
    assert [_all_of(answer) for answer in answers] == [_all_of(alone[address]) for address in addresses]


async def test_all_parts_are_of_one_moment(tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = [f"a{number}@example.org" for number in range(MANY)]
    await record_consent(tenant, caller, capture(addresses[0], OUT))
    asked = 0

    async def and_then_record(connection: Any, number: int, asked_now: Sequence[LookUp]) -> list[Seen]:
        nonlocal asked
        asked += 1
        seen = await look_up(connection, number, asked_now)
        if asked == 1:
            await record_consents(tenant, caller, [capture(address, OUT) for address in addresses[:500]])
        return seen

    monkeypatch.setattr(checking, "look_up", and_then_record)
    answers = await check(tenant, question(addresses))
    assert asked > 3
    assert [answer.decision.allowed for answer in answers] == [False, *[True] * (MANY - 1)]
    assert len({answer.position for answer in answers}) == 1
    answers = await check(tenant, question(addresses))
    assert [answer.decision.allowed for answer in answers] == [False] * 500 + [True] * (MANY - 500)


async def test_a_purpose_made_by_another_process_meanwhile_is_decided_by_the_catalogue_of_the_answer(
    tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = False

    async def after_a_change(connection: Any, number: int, asked: Sequence[LookUp]) -> list[Seen]:
        nonlocal made
        seen = await look_up(connection, number, asked)
        if not made:
            # As if the catalogue had moved on since it was read.
            made = True
            head = replace(seen[0].head, catalogue_position=seen[0].head.catalogue_position + 1)
            return [replace(one, head=head) for one in seen]
        return seen

    refreshed: list[int] = []

    async def refresh(position: int, _: object = None) -> None:
        refreshed.append(position)

    monkeypatch.setattr(checking, "look_up", after_a_change)
    monkeypatch.setattr(tenant, "refresh_catalogue", refresh)
    answers = await check(tenant, question([f"a{number}@example.org" for number in range(MANY)]))
    assert len(answers) == MANY
    assert refreshed == [tenant.catalogue.position + 1]


async def test_a_batch_waits_for_a_position(tenant: Tenant, caller: Caller) -> None:
    addresses = [f"a{number}@example.org" for number in range(MANY)]
    recorded = await record_consent(tenant, caller, capture("x@example.org", OUT))
    assert recorded.position is not None
    waiting = asyncio.create_task(check(tenant, question(addresses, min_position=recorded.position + 1)))
    await asyncio.sleep(0)
    await record_consent(tenant, caller, capture(addresses[-1], OUT))
    assert not (await waiting)[-1].decision.allowed


async def test_what_fails_in_the_middle_leaves_no_statement_behind(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [f"a{number}@example.org" for number in range(MANY)]
    asked = 0
    given_up: list[bool] = []

    async def at_first(connection: Any, number: int, looks: Sequence[LookUp]) -> list[Seen]:
        nonlocal asked
        asked += 1
        try:
            if asked == 2:
                await connection.execute("SELECT pg_sleep(3600)")
            return await look_up(connection, number, looks)
        except asyncio.CancelledError:
            given_up.append(True)
            raise

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(checking, "look_up", at_first)
        patched.setattr(answering, "decision_of", fails)
        with pytest.raises(ZeroDivisionError):
            await check(tenant, question(addresses))
    assert given_up == [True]
    assert len(await check(tenant, question(addresses))) == MANY


async def test_others_go_on_between_addresses_that_take_long(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    # As if each look at the clock were a second later.
    monkeypatch.setattr(turns_of, "monotonic", itertools.count().__next__)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(other())
    answers = await check(tenant, question([f"a@{'漢' * number}" for number in range(FLIGHT_ADDRESSES_MAX)]))
    running.cancel()
    assert len(answers) == FLIGHT_ADDRESSES_MAX
    assert turns >= FLIGHT_ADDRESSES_MAX // 100
