"""Double opt-in: the three modes, 28 days, and that whatever the person chose later wins (rule 7 of The decision)."""

import asyncio
import io
from datetime import timedelta
from typing import Any

import pytest

from domain.addresses import Channel
from domain.catalogue import DoubleOptInMode
from domain.consent import ActorKind, ConsentValue
from domain.opt_in_rules import months_after
from domain.presets import PresetKey
from domain.refusals import Refusal, RefusalCode
from domain.time import format_instant
from ledger.assembly import Caller, Tenant
from ledger.catalogue import apply_preset, create_profile, create_topic, update_profile, update_topic
from ledger.check import Question, check
from ledger.double_opt_in import Requested, confirm_double_opt_in, open_confirmation, request_double_opt_in
from ledger.erasure import erase_contact_point
from ledger.given_evidence import Evidence
from ledger.links import MessageLink, message_token
from ledger.log_export import log_lines
from ledger.opt_ins import OptInTerms
from ledger.receipts import Answered, receipts
from ledger.record import Actor, Capture, Recorded, record_consent
from ledger.signing import verifier_keys
from ledger.tenants import create_tenant
from ledger.verifying import verify_database
from tests.conftest import Clock
from verifier.checkpoint import Trust
from verifier.verify import log_in_file, verify_file

ADA = "ada@example.org"
EVIDENCE = Evidence(notice_text="We write monthly. Agree?", ip_address="192.0.2.7")


@pytest.fixture
async def tenant(clocked_tenant: Tenant, caller: Caller) -> Tenant:
    await create_topic(clocked_tenant, caller, key="news", name="News", purpose="commercial")
    await update_profile(clocked_tenant, caller, ref="default", double_opt_in=DoubleOptInMode.EVERY_SUBMISSION)
    return clocked_tenant


async def submit(tenant: Tenant, caller: Caller, **fields: Any) -> Requested:
    given = {"channel": Channel.EMAIL, "address": ADA, "purpose": "commercial", **fields}
    return await request_double_opt_in(tenant, caller, **given)


async def confirm(tenant: Tenant, requested: Requested) -> Recorded:
    assert requested.token is not None
    found, confirmation = await open_confirmation(tenant.ledger, requested.token)
    assert found is tenant
    return await confirm_double_opt_in(found, confirmation)


async def record(tenant: Tenant, caller: Caller, value: ConsentValue, **fields: Any) -> None:
    given = {"channel": Channel.EMAIL, "address": ADA, "purpose": "commercial", "value": value, **fields}
    await record_consent(tenant, caller, Capture(**given))


async def codes(tenant: Tenant, purpose: str = "commercial", topic: str | None = None, **times: Any) -> list[str]:
    [answer] = await check(
        tenant, Question(channel=Channel.EMAIL, addresses=[ADA], purpose=purpose, topic=topic, **times)
    )
    return [str(reason.code) for reason in answer.decision.reasons]


async def test_until_confirmed_the_value_is_what_it_was_and_the_decision_says_what_it_waits_for(
    tenant: Tenant, caller: Caller, clock: Clock
) -> None:
    await record(tenant, caller, ConsentValue.OPTED_OUT)
    clock.now += timedelta(hours=1)
    requested = await submit(tenant, caller, topics=["news"], evidence=EVIDENCE)
    assert requested.confirmation_url == f"http://127.0.0.1:8080/c/{requested.token}"
    assert requested.expires_at == clock.now + timedelta(days=28)
    assert await codes(tenant) == ["OPTED_OUT", "AWAITING_CONFIRMATION"]
    assert await codes(tenant, topic="news") == ["OPTED_OUT", "AWAITING_CONFIRMATION", "PURPOSE_BLOCKS_TOPIC"]
    assert await codes(tenant, known_at=clock.now - timedelta(minutes=1)) == ["OPTED_OUT"]
    clock.now += timedelta(hours=1)
    recorded = await confirm(tenant, requested)
    assert [event.entry.type for event in recorded.events] == [
        "DoubleOptInConfirmed",
        "ConsentCaptured",
        "ConsentCaptured",
    ]
    assert {event.entry.actor for event in recorded.events} == {"RECIPIENT"}
    assert await codes(tenant, topic="news") == ["OPTED_IN", "OPTED_IN"]
    assert await codes(tenant, known_at=clock.now - timedelta(minutes=1)) == ["OPTED_OUT", "AWAITING_CONFIRMATION"]
    assert [event.entry.data.get("noticeDigest") for event in recorded.events[1:]] == [
        requested.recorded.events[0].entry.data["noticeDigest"]
    ] * 2
    await verify_database(tenant)


async def test_a_submission_brings_what_presets_ask_of_an_opt_in(tenant: Tenant, caller: Caller, clock: Clock) -> None:
    for preset in PresetKey:
        await apply_preset(tenant, caller, profile="default", preset=preset)
    shown = Evidence(notice_text="We write monthly. Agree?", method="button")
    for terms, path in (
        (OptInTerms(), "legalBasis"),
        (OptInTerms(legal_basis="express"), "validUntil"),
        (OptInTerms(legal_basis="express", valid_until=clock.now), "validUntil"),
        (OptInTerms(legal_basis="told by ada@example.org"), "legalBasis"),
        (OptInTerms(legal_basis="express", jurisdiction="4" * 20), "jurisdiction"),
    ):
        with pytest.raises(Refusal) as refused:
            await submit(tenant, caller, evidence=shown, terms=terms)
        assert refused.value.path == (path,)
    until, start = clock.now + timedelta(days=90), clock.now
    express = await submit(
        tenant,
        caller,
        topics=["news"],
        evidence=shown,
        terms=OptInTerms(legal_basis="express", jurisdiction="CA", valid_until=until),
        idempotency_key="once",
    )
    with pytest.raises(Refusal) as refused:
        await submit(tenant, caller, topics=["news"], evidence=shown, idempotency_key="once")
    assert refused.value.code is RefusalCode.IDEMPOTENCY_CONFLICT
    clock.now += timedelta(days=10)
    for event in (await confirm(tenant, express)).events[1:]:
        data = event.entry.data
        assert (data["legalBasis"], data["jurisdiction"], data["validUntil"]) == (
            "express",
            "CA",
            format_instant(until),
        )
    implied = await submit(
        tenant, caller, address="bob@example.org", evidence=shown, terms=OptInTerms(legal_basis="Implied Inquiry")
    )
    clock.now += timedelta(days=10)
    [captured] = (await confirm(tenant, implied)).events[1:]
    ends = months_after(start + timedelta(days=10), 6)
    assert captured.entry.data["validUntil"] == format_instant(ends), "counted from the request"
    await verify_database(tenant)


@pytest.mark.parametrize("mode", DoubleOptInMode)
async def test_implied_consent_does_not_turn_an_opt_out_by_a_submission_either(
    tenant: Tenant, caller: Caller, clock: Clock, mode: DoubleOptInMode
) -> None:
    await apply_preset(tenant, caller, profile="default", preset=PresetKey.CASL)
    await update_profile(tenant, caller, ref="default", double_opt_in=mode)
    shown = Evidence(method="till")
    implied, express = OptInTerms(legal_basis="implied-transaction"), OptInTerms(legal_basis="express")
    asked = await submit(tenant, caller, terms=implied, evidence=shown, address="bob@example.org")
    await record(tenant, caller, ConsentValue.OPTED_OUT)
    clock.now += timedelta(hours=1)
    with pytest.raises(Refusal) as refused:
        await submit(tenant, caller, terms=implied, evidence=shown)
    assert refused.value.path == ("legalBasis",)
    assert "OPTED_OUT" in await codes(tenant)
    said = await submit(tenant, caller, terms=express, evidence=shown)
    if mode is DoubleOptInMode.OFF:
        assert await codes(tenant) == ["OPTED_IN"]
        return
    await confirm(tenant, said)
    assert await codes(tenant) == ["OPTED_IN"]
    # An opt-out that is heard late, of before the request.
    await record(
        tenant, caller, ConsentValue.OPTED_OUT, address="bob@example.org", effective_at=clock.now - timedelta(days=1)
    )
    with pytest.raises(Refusal) as refused:
        await confirm(tenant, asked)
    assert refused.value.path == ("legalBasis",)


async def test_confirming_twice_or_at_once_gives_the_first_answer_again(tenant: Tenant, caller: Caller) -> None:
    requested = await submit(tenant, caller)
    first = await confirm(tenant, requested)
    answers = await asyncio.gather(*(confirm(tenant, requested) for _ in range(5)))
    assert [answer.events for answer in answers] == [first.events] * 5
    assert all(answer.repeated for answer in answers)


async def test_an_opt_out_in_between_wins(tenant: Tenant, caller: Caller, clock: Clock) -> None:
    requested = await submit(tenant, caller, topics=["news"])
    clock.now += timedelta(hours=1)
    await record(tenant, caller, ConsentValue.OPTED_OUT)
    assert await codes(tenant) == ["OPTED_OUT"], "nothing is awaited any more"
    clock.now += timedelta(hours=1)
    await confirm(tenant, requested)
    assert await codes(tenant) == ["OPTED_OUT"]
    again = await submit(tenant, caller)
    assert await codes(tenant) == ["OPTED_OUT", "AWAITING_CONFIRMATION"]
    clock.now += timedelta(hours=1)
    await confirm(tenant, again)
    assert await codes(tenant) == ["OPTED_IN"], "a request after the opt-out, confirmed, is the later choice"


async def test_the_link_is_good_for_28_days(tenant: Tenant, caller: Caller, clock: Clock) -> None:
    requested = await submit(tenant, caller)
    clock.now += timedelta(days=28) - timedelta(seconds=1)
    assert await codes(tenant) == ["NOT_SET_ALLOWED", "AWAITING_CONFIRMATION"]
    clock.now += timedelta(seconds=1)
    assert await codes(tenant) == ["NOT_SET_ALLOWED"]
    with pytest.raises(Refusal) as refused:
        await confirm(tenant, requested)
    assert (refused.value.code, refused.value.path) == (RefusalCode.EXPIRED_TOKEN, ("token",))
    assert await codes(tenant) == ["NOT_SET_ALLOWED"]


OPTED_IN, OPTED_OUT, NOT_SET = ConsentValue.OPTED_IN, ConsentValue.OPTED_OUT, ConsentValue.NOT_SET
NEW = DoubleOptInMode.NEW_CONTACT_POINTS


@pytest.mark.parametrize(
    ("mode", "before", "asks"),
    [
        (DoubleOptInMode.OFF, None, False),
        (DoubleOptInMode.OFF, ("commercial", OPTED_OUT), False),
        (DoubleOptInMode.EVERY_SUBMISSION, None, True),
        (DoubleOptInMode.EVERY_SUBMISSION, ("commercial", OPTED_IN), True),
        (NEW, None, True),
        (NEW, ("commercial", OPTED_IN), False),
        (NEW, ("transactional", OPTED_IN), False),
        # A stranger may type in the address of who opted out; a reset is the absence of a record.
        (NEW, ("commercial", OPTED_OUT), True),
        (NEW, ("tracking", OPTED_OUT), True),
        (NEW, ("commercial", NOT_SET), True),
        # A record, but none under this profile.
        (NEW, ("brand-commercial", OPTED_IN), True),
    ],
)
async def test_the_three_modes(
    tenant: Tenant, caller: Caller, mode: DoubleOptInMode, before: tuple[str, ConsentValue] | None, asks: bool
) -> None:
    await create_profile(tenant, caller, key="brand", name="Brand")
    await update_profile(tenant, caller, ref="default", double_opt_in=mode)
    if before is not None:
        yesterday = tenant.ledger.clock() - timedelta(days=1)
        await record(tenant, caller, before[1], purpose=before[0], effective_at=yesterday)
    requested = await submit(tenant, caller, topics=["news"])
    assert (requested.token is not None) is asks
    if not asks:
        events = [(event.entry.type, event.entry.data.get("topic")) for event in requested.recorded.events]
        assert events == [("ConsentCaptured", None), ("ConsentCaptured", "news")]
        assert await codes(tenant) == ["OPTED_IN"]


async def test_who_was_opted_in_until_an_expiry_is_new_again(tenant: Tenant, caller: Caller, clock: Clock) -> None:
    await update_profile(tenant, caller, ref="default", double_opt_in=NEW)
    await record(tenant, caller, OPTED_IN, valid_until=clock.now + timedelta(hours=1))
    clock.now += timedelta(hours=1)
    assert (await submit(tenant, caller)).token is not None


@pytest.mark.parametrize("confirmed", [True, False])
async def test_only_what_is_confirmed_ends_a_suppression(
    tenant: Tenant, caller: Caller, clock: Clock, confirmed: bool
) -> None:
    await record(tenant, caller, ConsentValue.OPTED_OUT)
    await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address=ADA, reason="asked")
    clock.now += timedelta(hours=1)
    if not confirmed:
        await update_profile(tenant, caller, ref="default", double_opt_in=DoubleOptInMode.OFF)
    requested = await submit(tenant, caller)
    clock.now += timedelta(hours=1)
    if confirmed:
        assert await codes(tenant) == ["SUPPRESSED"], "alone decides, whatever is awaited"
        await confirm(tenant, requested)
    assert await codes(tenant) == (["OPTED_IN"] if confirmed else ["SUPPRESSED"])


async def test_what_is_erased_in_between_cannot_be_confirmed(tenant: Tenant, caller: Caller, clock: Clock) -> None:
    requested = await submit(tenant, caller)
    await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address=ADA, reason="asked")
    for _ in range(2):
        with pytest.raises(Refusal) as refused:
            await confirm(tenant, requested)
        assert refused.value.code == RefusalCode.ERASED
        clock.now += timedelta(hours=1)
        await record(tenant, caller, ConsentValue.OPTED_IN, actor=Actor(kind=ActorKind.USER))
    assert await codes(tenant) == ["SUPPRESSED"]


async def test_a_token_that_is_none_is_refused_without_saying_why(tenant: Tenant, caller: Caller, clock: Clock) -> None:
    token = (await submit(tenant, caller)).token or ""
    foreign = await create_tenant(tenant.ledger, f"{tenant.key}-f", "F")
    await update_profile(foreign, caller, ref="default", double_opt_in=DoubleOptInMode.EVERY_SUBMISSION)
    link = MessageLink(
        channel=Channel.EMAIL, address=ADA, profile="default", purpose="commercial", topic=None, message_id=None,
        made_on=clock.now.date(),
    )  # fmt: skip
    said: set[tuple[str, str]] = set()
    for bad in ("", "x", token[:-1], token + "A", token[:10] + ("A" if token[10] != "A" else "B") + token[11:],
                token.swapcase(), "\u0660" * 40, "A" * 100_000, message_token(tenant, link)):  # fmt: skip
        with pytest.raises(Refusal) as refused:
            await open_confirmation(tenant.ledger, bad)
        said.add((refused.value.code, refused.value.message))
    assert len(said) == 1
    assert next(iter(said))[0] == "INVALID_TOKEN"


async def test_a_topic_that_is_inactive_by_now_is_not_confirmed(tenant: Tenant, caller: Caller) -> None:
    requested = await submit(tenant, caller, topics=["news"])
    await update_topic(tenant, caller, ref="news", active=False)
    with pytest.raises(Refusal) as refused:
        await confirm(tenant, requested)
    assert refused.value.code == RefusalCode.INACTIVE
    assert await codes(tenant) == ["NOT_SET_ALLOWED", "AWAITING_CONFIRMATION"]


@pytest.mark.parametrize(
    ("fields", "code", "path"),
    [
        ({"address": "none"}, RefusalCode.INVALID_ADDRESS, ("address",)),
        ({"profile": "nope"}, RefusalCode.NOT_FOUND, ("profile",)),
        ({"purpose": "nope"}, RefusalCode.NOT_FOUND, ("purpose",)),
        ({"topics": ["news", "nope"]}, RefusalCode.NOT_FOUND, ("topics", "1")),
        ({"topics": ["news"], "purpose": "transactional"}, RefusalCode.TOPIC_OUTSIDE_PURPOSE, ("topics", "0")),
        ({"topics": ["news"] * 101}, RefusalCode.TOO_MANY, ("topics",)),
        ({"evidence": Evidence(ip_address="x" * 50)}, RefusalCode.INVALID, ("evidence", "ipAddress")),
    ],
)
async def test_bad_input_is_told_by_its_field(
    tenant: Tenant, caller: Caller, fields: dict[str, Any], code: RefusalCode, path: tuple[str, ...]
) -> None:
    with pytest.raises(Refusal) as refused:
        await submit(tenant, caller, **fields)
    assert (refused.value.code, refused.value.path) == (code, path)


async def test_a_receipt_from_while_it_was_awaited_is_decided_again_alike(
    tenant: Tenant, caller: Caller, clock: Clock
) -> None:
    requested = await submit(tenant, caller, topics=["news"], evidence=EVIDENCE)
    question = Question(channel=Channel.EMAIL, addresses=[ADA], purpose="commercial", topic="news")
    issued: list[str] = []
    for step in range(3):
        clock.now += timedelta(hours=1)
        if step == 1:
            await confirm(tenant, requested)
        for known_at in (None, clock.now - timedelta(minutes=30)):
            asked = Question(**{**{name: getattr(question, name) for name in question.__slots__}, "known_at": known_at})
            answers = await check(tenant, asked)
            issued += await receipts(tenant, [Answered(answer, Channel.EMAIL, known_at) for answer in answers])
    trust = Trust.parse([key.text() for key in await verifier_keys(tenant)])
    log = "".join([line + "\n" async for line in log_lines(tenant)]).encode()
    for receipt in issued:
        report = verify_file(io.BytesIO(receipt.encode()), trust, log=log_in_file(io.BytesIO(log), trust))
        assert report.proven, (receipt, report.failure)
        assert any("same answer" in str(line) for line in report.lines)
    assert sum("AWAITING_CONFIRMATION" in receipt for receipt in issued) == 3
