"""Receipts that a later log must not turn into lies: asked about a time to come, and of an address that bounced."""

import io
from collections.abc import Sequence
from datetime import timedelta

from domain.addresses import Channel
from domain.bounces import Bounce
from domain.catalogue import EnforcementModel, PurposeType
from domain.consent import ActorKind, ConsentValue
from ledger.assembly import Caller, Tenant
from ledger.bounces import record_bounce
from ledger.catalogue import create_purpose, create_topic, update_profile, update_purpose
from ledger.check import Question, check
from ledger.log_export import log_lines
from ledger.receipts import Answered, receipts
from ledger.record import Actor, Capture, record_consent
from ledger.signing import verifier_keys
from tests.conftest import Clock
from verifier.checkpoint import Trust
from verifier.report import Report
from verifier.verify import log_in_file, verify_file

ADA, BOB = "ada@example.org", "bob@example.org"
NO_ADDRESS = "none"


async def record(tenant: Tenant, caller: Caller, value: ConsentValue, **fields: Actor) -> None:
    given = Capture(channel=Channel.EMAIL, address=ADA, purpose="commercial", value=value, **fields)
    await record_consent(tenant, caller, given)


async def issued(tenant: Tenant, question: Question) -> list[str]:
    answers = await check(tenant, question)
    return await receipts(tenant, [Answered(answer, question.channel, question.known_at) for answer in answers])


async def verified(tenant: Tenant, notes: Sequence[str]) -> list[Report]:
    trust = Trust.parse([key.text() for key in await verifier_keys(tenant)])
    log = "".join([line + "\n" async for line in log_lines(tenant)]).encode()
    return [verify_file(io.BytesIO(note.encode()), trust, log=log_in_file(io.BytesIO(log), trust)) for note in notes]


def words(report: Report) -> str:
    return "\n".join(map(str, report.lines))


async def test_what_is_changed_later_does_not_change_what_was_answered_of_a_time_to_come(
    clocked_tenant: Tenant, clock: Clock, caller: Caller
) -> None:
    tenant, to_come = clocked_tenant, clock.now + timedelta(days=2)
    await create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    await record(tenant, caller, ConsentValue.OPTED_OUT)
    asked = [
        Question(channel=Channel.EMAIL, addresses=[ADA, BOB, NO_ADDRESS], purpose=purpose, topic=topic, as_of=as_of,
                 known_at=to_come)
        for purpose, topic in (("commercial", None), ("commercial", "news"), ("transactional", None))
        for as_of in (None, clock.now)
    ]  # fmt: skip
    notes = [note for question in asked for note in await issued(tenant, question)]
    # All of this is recorded after the answers, and before the time that they were asked about.
    clock.now += timedelta(hours=1)
    for purpose, model in (("commercial", "DISABLED"), ("transactional", "RESTRICTIVE")):
        await update_purpose(tenant, caller, ref=purpose, enforcement=[(Channel.EMAIL, EnforcementModel(model))])
    await record(tenant, caller, ConsentValue.OPTED_IN)
    await create_topic(tenant, caller, key="later", name="Later", purpose="commercial")
    await update_purpose(tenant, caller, ref="tracking", active=False)
    await update_profile(tenant, caller, ref="default", active=False)
    reports = await verified(tenant, notes)
    assert [report.failure for report in reports] == [None] * len(asked) * 3
    assert sum("CLAIMED that the answer is INVALID_ADDRESS" in words(report) for report in reports) == len(asked)
    assert sum("PROVEN  the same answer follows" in words(report) for report in reports) == 2 * len(asked)


async def test_what_is_made_later_is_known_as_it_was_made_at_a_time_that_is_past(
    clocked_tenant: Tenant, clock: Clock, caller: Caller
) -> None:
    tenant, past = clocked_tenant, clock.now
    await record(tenant, caller, ConsentValue.OPTED_IN)
    clock.now += timedelta(hours=1)
    await create_purpose(tenant, caller, key="events", name="Events", type=PurposeType.COMMERCIAL, profiles=["default"])
    question = Question(channel=Channel.EMAIL, addresses=[ADA, NO_ADDRESS], purpose="events", known_at=past)
    notes = await issued(tenant, question)
    await update_purpose(tenant, caller, ref="events", enforcement=[(Channel.EMAIL, EnforcementModel.DISABLED)])
    assert [report.failure for report in await verified(tenant, notes)] == [None, None]


async def test_what_a_hard_bounce_suppresses_is_decided_again(
    clocked_tenant: Tenant, clock: Clock, caller: Caller
) -> None:
    tenant, before = clocked_tenant, clock.now
    await record(tenant, caller, ConsentValue.OPTED_IN)
    clock.now += timedelta(hours=1)
    await record_bounce(tenant, caller, channel=Channel.EMAIL, address=ADA, bounce=Bounce.HARD)

    def question(known_after: timedelta | None = None, as_of_after: timedelta | None = None) -> Question:
        times = [None if after is None else before + after for after in (known_after, as_of_after)]
        known_at, as_of = times
        return Question(channel=Channel.EMAIL, addresses=[ADA], purpose="commercial", known_at=known_at, as_of=as_of)

    hour = timedelta(hours=1)
    notes = [
        note
        for asked in (question(), question(hour), question(hour, timedelta(0)), question(timedelta(0)))
        for note in await issued(tenant, asked)
    ]
    clock.now += hour
    await record(tenant, caller, ConsentValue.OPTED_IN, actor=Actor(kind=ActorKind.RECIPIENT))
    notes += [note for asked in (question(), question(hour)) for note in await issued(tenant, asked)]
    reports = await verified(tenant, notes)
    assert [report.failure for report in reports] == [None] * 6
    same = "PROVEN  the same answer follows from the events of then: "
    assert [words(report).partition(same)[2].split(" (")[0] for report in reports] == [
        "NOT ALLOWED: SUPPRESSED", "NOT ALLOWED: SUPPRESSED", "ALLOWED: OPTED_IN", "ALLOWED: OPTED_IN",
        "ALLOWED: OPTED_IN", "NOT ALLOWED: SUPPRESSED",
    ]  # fmt: skip
