"""What the real ledger hands out, verified as a stranger does: bundles, receipts, the log, and the replayed state."""

import io
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from domain.addresses import Channel
from domain.catalogue import EnforcementModel
from domain.consent import ActorKind, ConsentValue
from domain.refusals import Refusal
from ledger import history
from ledger.assembly import Caller, Tenant
from ledger.catalogue import create_topic, update_purpose
from ledger.check import Question, check
from ledger.contactability import consent_of
from ledger.erasure import erase_contact_point
from ledger.evidence import evidence_by_address, evidence_by_id
from ledger.given_evidence import Evidence
from ledger.importing import import_consents
from ledger.log_export import log_lines
from ledger.receipts import Answered, receipts
from ledger.record import Actor, Capture, record_consent, record_consents
from ledger.replaying import replay
from ledger.signing import rotate_signing_key, verifier_keys
from tests.conftest import Clock
from verifier.checkpoint import Trust
from verifier.report import Report
from verifier.verify import log_in_file, verify_file

ADDRESSES = ["ada@example.org", "bob@example.org", "cyd@example.org", "dan@example.org", "eve@example.org"]


async def trust(tenant: Tenant) -> Trust:
    return Trust.parse([key.text() for key in await verifier_keys(tenant)])


async def exported(tenant: Tenant) -> bytes:
    return "".join([line + "\n" async for line in log_lines(tenant)]).encode()


def words(report: Report) -> str:
    return "\n".join(str(line) for line in report.lines)


@pytest.fixture
async def lived(clocked_tenant: Tenant, clock: Clock, caller: Caller) -> Tenant:
    """A tenant with a past: choices, evidence, expiry, a changed enforcement, an erasure with and one without comeback."""
    tenant = clocked_tenant
    await create_topic(tenant, caller, key="news", name="News", purpose="commercial")

    async def record(address: str, value: str, purpose: str = "commercial", **fields: Any) -> None:
        clock.now += timedelta(minutes=7)
        given = {
            "channel": Channel.EMAIL,
            "address": address,
            "purpose": purpose,
            "value": ConsentValue(value),
            **fields,
        }
        await record_consent(tenant, caller, Capture(**given))

    notice = Evidence(notice_text="We write monthly. Agree?", ip_address="192.0.2.1", attributes={"form": "spring"})
    await record("ada@example.org", "OPTED_IN", evidence=notice, reason="in my own words")
    await record("ada@example.org", "OPTED_OUT", topic="news")
    await record("bob@example.org", "OPTED_IN", valid_until=clock.now + timedelta(hours=1))
    await record("cyd@example.org", "OPTED_OUT", "transactional")
    await record("dan@example.org", "OPTED_IN", "tracking")
    clock.now += timedelta(hours=2)
    await update_purpose(tenant, caller, ref="commercial", enforcement=[(Channel.EMAIL, EnforcementModel.RESTRICTIVE)])
    for address in ("cyd@example.org", "dan@example.org"):
        await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address=address, reason="asked")
    await record("dan@example.org", "OPTED_IN", actor=Actor(kind=ActorKind.RECIPIENT))
    clock.now += timedelta(minutes=1)
    return tenant


async def test_the_log_and_every_bundle_are_proven(lived: Tenant) -> None:
    keys = await trust(lived)
    log = await exported(lived)
    assert verify_file(io.BytesIO(log), keys).proven
    for address in ("ada@example.org", "bob@example.org", "dan@example.org"):
        for with_openings in (True, False):
            bundle = await evidence_by_address(lived, Channel.EMAIL, address, with_openings=with_openings)
            raw = json.dumps(bundle.json).encode()
            alone = verify_file(io.BytesIO(raw), keys)
            assert alone.proven, words(alone)
            assert (f'stands for the address "{address}"' in words(alone)) is with_openings
            whole = verify_file(io.BytesIO(raw), keys, log=log_in_file(io.BytesIO(log), keys))
            assert whole.proven, words(whole)
            assert "PROVEN  that there are no more of this contact point" in words(whole)
    narrow = await evidence_by_address(
        lived, Channel.EMAIL, "ada@example.org", purpose="commercial", topic="news", with_openings=True
    )
    assert verify_file(io.BytesIO(json.dumps(narrow.json).encode()), keys).proven


async def test_a_bundle_from_before_an_erasure_still_verifies_and_one_from_after_has_no_openings(
    lived: Tenant, caller: Caller
) -> None:
    keys = await trust(lived)
    before = await evidence_by_address(lived, Channel.EMAIL, "ada@example.org", with_openings=True)
    held = await history.find_contact_point(lived, Channel.EMAIL, "ada@example.org")
    assert held is not None
    await erase_contact_point(lived, caller, channel=Channel.EMAIL, address="ada@example.org", reason="asked")
    log = await exported(lived)
    assert verify_file(io.BytesIO(json.dumps(before.json).encode()), keys).proven
    for one in before.json["events"]:
        one["openings"] = {}
    before.json["notices"] = []
    without = verify_file(io.BytesIO(json.dumps(before.json).encode()), keys, log=log_in_file(io.BytesIO(log), keys))
    assert without.proven, words(without)
    after = await evidence_by_id(lived, held.id, with_openings=True)
    assert [event["openings"] for event in after.json["events"]] == [{}] * after.event_count
    assert after.json["notices"] == []
    report = verify_file(io.BytesIO(json.dumps(after.json).encode()), keys)
    assert report.proven, words(report)
    assert "erased at" in words(report)


async def test_a_suppression_that_was_brought_in_is_proven_where_it_stands(lived: Tenant) -> None:
    covers = {"commercial": True, "tracking": True, "levels": []}
    line = {"suppression": "ERASURE", "channel": "EMAIL", "since": "2026-01-01T00:00:00Z", "covers": covers}
    rows = [json.dumps({**line, "address": address}) for address in ("bob@example.org", "fay@example.org")]
    size = len((await exported(lived)).splitlines())
    await import_consents(
        lived, io.BytesIO("\n".join(rows).encode()), format="ndjson", report=lambda *_: None, progress=lambda _: None
    )
    keys, log = await trust(lived), await exported(lived)
    events = (await history.events_at(lived, [size - 1, size])).values()
    assert {event.entry.type for event in events} == {"ContactPointSuppressed"}
    for event in events:
        bundle = await evidence_by_id(lived, event.entry.stream, with_openings=True)
        report = verify_file(io.BytesIO(json.dumps(bundle.json).encode()), keys, log=log_in_file(io.BytesIO(log), keys))
        assert report.proven, words(report)
        assert "SUPPRESSED since 2026-01-01T00:00:00.000000Z" in words(report)
    question = Question(channel=Channel.EMAIL, addresses=["bob@example.org", "fay@example.org"], purpose="commercial")
    for note, code in await receipts_of(lived, [question]):
        assert code == "SUPPRESSED"
        report = verify_file(io.BytesIO(note.encode()), keys, log=log_in_file(io.BytesIO(log), keys))
        assert report.proven, words(report)


async def test_after_a_new_signing_key_both_keys_prove_their_own(lived: Tenant, caller: Caller) -> None:
    old = await trust(lived)
    before = json.dumps((await evidence_by_address(lived, Channel.EMAIL, ADDRESSES[0], with_openings=True)).json)
    await rotate_signing_key(lived, caller)
    after = json.dumps((await evidence_by_address(lived, Channel.EMAIL, ADDRESSES[0], with_openings=True)).json)
    both = await trust(lived)
    assert [verify_file(io.BytesIO(raw.encode()), both).proven for raw in (before, after)] == [True, True]
    assert [verify_file(io.BytesIO(raw.encode()), old).proven for raw in (before, after)] == [True, False]


def questions(now: datetime) -> list[Question]:
    ago = [now - timedelta(hours=hours) for hours in range(5)]
    pairs = [(None, None), *((at, None) for at in ago), *((None, at) for at in ago), (ago[1], ago[3])]
    return [
        Question(
            channel=Channel.EMAIL,
            addresses=[*ADDRESSES, "none"],
            purpose=purpose,
            topic=topic,
            as_of=as_of,
            known_at=known,
        )
        for purpose, topic in (("commercial", None), ("commercial", "news"), ("transactional", None))
        for as_of, known in pairs
    ]


async def receipts_of(tenant: Tenant, asked: Sequence[Question]) -> list[tuple[str, str]]:
    """(a receipt, the code of its first reason) for each answer."""
    found: list[tuple[str, str]] = []
    for question in asked:
        answers = await check(tenant, question)
        answered = [Answered(answer, question.channel, question.known_at) for answer in answers]
        for receipt, answer in zip(await receipts(tenant, answered), answers, strict=True):
            found.append((receipt, str(answer.decision.reasons[0].code)))
    return found


async def test_every_receipt_is_proven_and_decided_again_alike(lived: Tenant, clock: Clock) -> None:
    keys = await trust(lived)
    issued = await receipts_of(lived, questions(clock.now))
    assert len(issued) > 150
    log = await exported(lived)
    seen: set[str] = set()
    for receipt, code in issued:
        alone = verify_file(io.BytesIO(receipt.encode()), keys)
        again = verify_file(io.BytesIO(receipt.encode()), keys, log=log_in_file(io.BytesIO(log), keys))
        assert (alone.proven, again.proven) == (True, True), (receipt, words(again))
        if code not in ("SUPPRESSED", "INVALID_ADDRESS"):
            assert "same answer" in words(again), words(again)
        seen.add(code)
    assert seen >= {
        "OPTED_IN",
        "OPTED_OUT",
        "NOT_SET_BLOCKED",
        "NOT_SET_ALLOWED",
        "CONSENT_EXPIRED",
        "SUPPRESSED",
        "INVALID_ADDRESS",
    }


async def test_a_lying_receipt_is_told_by_the_log(lived: Tenant) -> None:
    from ledger.signing import sign_statement, signing_key

    keys = await trust(lived)
    question = Question(channel=Channel.EMAIL, addresses=["ada@example.org"], purpose="commercial", topic="news")
    [(receipt, _)] = await receipts_of(lived, [question])
    log = await exported(lived)
    said = json.loads(receipt.splitlines()[2])
    assert said["allowed"] is False
    for lie in ({"allowed": True}, {"catalogueVersion": 6}, {"position": 7}, {"reasons": said["reasons"][1:]}):
        forged = sign_statement(await signing_key(lived), "consentry/receipt@v1", {**said, **lie})
        assert not verify_file(io.BytesIO(forged.encode()), keys, log=log_in_file(io.BytesIO(log), keys)).proven, lie


async def test_the_replayed_state_is_what_checks_answer_from(lived: Tenant, clock: Clock) -> None:
    now = clock.now
    for known in (None, *(now - timedelta(minutes=minutes) for minutes in range(0, 200, 9))):
        state = await replay(lived, until=known)
        levels = {(row.contact_point, row.record.purpose, row.record.topic): row for row in state.rows}
        asked = list(levels)
        answers = await consent_of(lived, asked, known_at=known)
        for key, answer in zip(asked, answers, strict=True):
            assert not isinstance(answer, Exception)
            assert (answer.value, answer.record) == (levels[key].value, levels[key].record), (known, key)
    whole = await replay(lived)
    for position in range(whole.entries):
        part = await replay(lived, until_position=position)
        assert part.entries == position + 1
    with pytest.raises(Refusal, match=f"the log has {whole.entries} events"):
        await replay(lived, until_position=whole.entries)


async def test_an_export_of_many_pages_is_proven(tenant: Tenant, caller: Caller) -> None:
    captures = [
        Capture(
            channel=Channel.EMAIL, address=f"a{n % 90}@example.org", purpose="commercial", value=ConsentValue.OPTED_OUT
        )
        for n in range(700)
    ]
    await record_consents(tenant, caller, captures)
    report = verify_file(io.BytesIO(await exported(tenant)), await trust(tenant))
    assert report.proven, words(report)
    bundle = await evidence_by_address(tenant, Channel.EMAIL, "a1@example.org", with_openings=True)
    assert bundle.event_count == 8
    assert verify_file(io.BytesIO(json.dumps(bundle.json).encode()), await trust(tenant)).proven
