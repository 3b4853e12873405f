"""Erasing a contact point, and the suppression that it leaves ("Erasure and suppression" in SEMANTICS.md)."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.addresses import Channel
from domain.catalogue import EnforcementModel, PurposeType
from domain.consent import ActorKind, ConsentValue
from domain.decision import Contactability
from domain.refusals import Refusal, RefusalCode
from eventstore import read
from eventstore.command import ErasureStep
from eventstore.read import StoredEntry
from ledger import erasure, history
from ledger.assembly import Caller, Tenant
from ledger.catalogue import create_purpose, create_topic
from ledger.check import Question, check
from ledger.contactability import contactability_of
from ledger.erasure import Erased, erase_contact_point
from ledger.erasure_completion import complete_erasure, complete_pending
from ledger.given_evidence import Evidence
from ledger.record import Actor, Capture, record_consent, record_consents
from ledger.selection import Selection, select
from tests.conftest import Clock

ADA = "ada@example.org"
RECIPIENT = Actor(kind=ActorKind.RECIPIENT)


def capture(value: ConsentValue = ConsentValue.OPTED_OUT, purpose: str = "commercial", **fields: Any) -> Capture:
    return Capture(**{"channel": Channel.EMAIL, "address": ADA, "purpose": purpose, "value": value, **fields})


async def erase(tenant: Tenant, caller: Caller, **fields: Any) -> Erased:
    given = {"channel": Channel.EMAIL, "address": ADA, "reason": "DSAR-2026-0117", **fields}
    return await erase_contact_point(tenant, caller, **given)


async def asked(tenant: Tenant, purpose: str = "commercial", topic: str | None = None, **times: Any) -> list[str]:
    """The reasons, after what was decided: '+' or '-', and '+' or '-' for tracking."""
    question = Question(channel=Channel.EMAIL, addresses=[ADA], purpose=purpose, topic=topic, **times)
    [answer] = await check(tenant, question)
    signs = ("+" if answer.decision.allowed else "-") + ("+" if answer.tracking.allowed else "-")
    return [signs, *(str(reason.code) for reason in answer.decision.reasons)]


async def stream_of(tenant: Tenant) -> UUID:
    found = await history.find_contact_point(tenant, Channel.EMAIL, ADA)
    assert found is not None
    return found.id


async def entries(tenant: Tenant) -> list[StoredEntry]:
    async with tenant.ledger.connection() as connection:
        return await read.forward(connection, tenant.id, limit=100_000)


async def test_an_erased_address_is_suppressed_for_everything_commercial_and_tracking(
    tenant: Tenant, caller: Caller
) -> None:
    await record_consent(tenant, caller, capture(ConsentValue.OPTED_IN))
    erased = await erase(tenant, caller)
    assert await asked(tenant) == ["--", "SUPPRESSED"]
    assert await asked(tenant, "transactional") == ["+-", "ENFORCEMENT_DISABLED"], "not covered: as for a new address"
    await create_purpose(
        tenant, caller, key="fairs", name="Fairs", type=PurposeType.COMMERCIAL, profiles=["default"],
        enforcement=[(Channel.EMAIL, EnforcementModel.DISABLED)],
    )  # fmt: skip
    assert await asked(tenant, "fairs") == ["--", "SUPPRESSED"], "made later, and not enforced: suppressed all the same"
    certificate = erased.certificate.entry
    assert (erased.events, certificate.type) == (1, "ContactPointErased")
    assert certificate.data["suppression"] == {"commercial": True, "tracking": True, "levels": []}


async def test_whatever_else_was_opted_out_stays_suppressed(tenant: Tenant, caller: Caller) -> None:
    for purpose, key in (("transactional", "receipts"), ("commercial", "news"), ("commercial", "offers")):
        await create_topic(tenant, caller, key=key, name=key, purpose=purpose)
    await record_consent(tenant, caller, capture(purpose="transactional", topic="receipts"))
    await record_consent(tenant, caller, capture(purpose="commercial", topic="news"))
    await erase(tenant, caller)
    assert await asked(tenant, "transactional") == ["+-", "ENFORCEMENT_DISABLED"]
    assert await asked(tenant, "transactional", "receipts") == ["--", "SUPPRESSED"]
    await record_consent(tenant, caller, capture(ConsentValue.OPTED_IN, actor=RECIPIENT))
    assert await asked(tenant, "commercial", "offers") == ["+-", "OPTED_IN", "NOT_SET_ALLOWED"]
    assert await asked(tenant, "commercial", "news") == ["--", "SUPPRESSED"], "a purpose's end does not end its topic's"
    await record_consent(tenant, caller, capture(ConsentValue.OPTED_IN, topic="news", actor=RECIPIENT))
    assert await asked(tenant, "commercial", "news") == ["+-", "OPTED_IN", "OPTED_IN"]
    await record_consent(tenant, caller, capture(ConsentValue.OPTED_IN, "tracking", actor=RECIPIENT))
    assert (await asked(tenant))[0] == "++"


ENDINGS = [
    # value, actor, when it was chosen relative to the erasure, whether that ends the suppression
    (ConsentValue.OPTED_IN, ActorKind.RECIPIENT, timedelta(hours=1), True),
    (ConsentValue.OPTED_IN, ActorKind.RECIPIENT, timedelta(microseconds=1), True),
    (ConsentValue.OPTED_IN, ActorKind.RECIPIENT, timedelta(0), False),
    (ConsentValue.OPTED_IN, ActorKind.RECIPIENT, -timedelta(hours=1), False),
    (ConsentValue.OPTED_IN, ActorKind.USER, timedelta(hours=1), False),
    (ConsentValue.OPTED_IN, ActorKind.AGENT, timedelta(hours=1), False),
    (ConsentValue.OPTED_IN, ActorKind.SYSTEM, timedelta(hours=1), False),
    (ConsentValue.NOT_SET, ActorKind.RECIPIENT, timedelta(hours=1), False),
    (ConsentValue.OPTED_OUT, ActorKind.RECIPIENT, timedelta(hours=1), False),
]


@pytest.mark.parametrize(("value", "actor", "after", "ends"), ENDINGS)
async def test_what_ends_a_suppression(
    clocked_tenant: Tenant, clock: Clock, caller: Caller, value: ConsentValue, actor: ActorKind, after: timedelta, ends: bool
) -> None:  # fmt: skip
    tenant = clocked_tenant
    await record_consent(tenant, caller, capture(ConsentValue.OPTED_OUT))
    erased = await erase(tenant, caller)
    at = erased.certificate.entry.recorded_at + after
    clock.now += timedelta(hours=2)
    await record_consent(tenant, caller, capture(value, effective_at=at, actor=Actor(kind=actor)))
    assert (await asked(tenant))[1] == ("OPTED_IN" if ends else "SUPPRESSED")
    # It has ended for good: what anyone records later counts as for any other address.
    await record_consent(tenant, caller, capture(ConsentValue.OPTED_IN, effective_at=clock.now))
    assert (await asked(tenant))[1] == ("OPTED_IN" if ends else "SUPPRESSED")
    times = {"as_of": at - timedelta(microseconds=1), "known_at": clock.now}
    assert (await asked(tenant, **times))[1] == "SUPPRESSED", "as of before the opt-in"
    for wanted in (Contactability.WILL_SEND, Contactability.WILL_NOT_SEND):
        page = await select(tenant, Selection(channel=Channel.EMAIL, purpose="commercial", contactability=wanted))
        assert len(page.items) == await page.total_count() == (ends is (wanted is Contactability.WILL_SEND))
    contact_point = await stream_of(tenant)
    [rows] = await contactability_of(tenant, [(contact_point, Channel.EMAIL)], profile="default")
    assert rows[0].decision.reasons[0].code == ("OPTED_IN" if ends else "SUPPRESSED")


async def test_without_a_suppression_it_is_as_a_new_address(tenant: Tenant, caller: Caller) -> None:
    await record_consent(tenant, caller, capture())
    assert "suppression" not in (await erase(tenant, caller, keep_suppression=False)).certificate.entry.data
    assert await asked(tenant) == ["++", "NOT_SET_ALLOWED"]


async def test_the_past_is_there_by_id_and_gone_by_address(
    clocked_tenant: Tenant, clock: Clock, caller: Caller
) -> None:
    tenant, before = clocked_tenant, clock.now
    await record_consent(tenant, caller, capture(ConsentValue.OPTED_IN, evidence=Evidence(notice_text="Agree?")))
    contact_point = await stream_of(tenant)
    clock.now += timedelta(days=1)
    erased = await erase(tenant, caller)
    assert await asked(tenant, known_at=before) == ["--", "SUPPRESSED"]
    assert await asked(tenant, as_of=before) == ["--", "SUPPRESSED"]

    async def by_id(**times: Any) -> str:
        [rows] = await contactability_of(tenant, [(contact_point, Channel.EMAIL)], profile="default", **times)
        return str(rows[0].decision.reasons[0].code)

    assert [await by_id(), await by_id(as_of=before), await by_id(known_at=before)] == ["ERASED", "ERASED", "OPTED_IN"]
    held = (await history.contact_points_by_id(tenant, [contact_point]))[contact_point]
    assert held.erased_at == erased.certificate.entry.recorded_at
    assert await history.addresses(tenant, [contact_point]) == {}
    page = (await history.histories(tenant, [contact_point], history.EventFilter()))[contact_point]
    assert [event.entry.type for _, event in page.items] == [
        "ConsentCaptured", "ContactPointErasureRequested", "ContactPointErased",
    ]  # fmt: skip
    assert await history.evidence(tenant, [event for _, event in page.items]) == {}
    await record_consent(tenant, caller, capture())
    assert await stream_of(tenant) != contact_point, "an erased contact point that comes back is a new one"


@pytest.fixture
def ends_half_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(*_: object) -> StoredEntry:
        raise ConnectionResetError

    monkeypatch.setattr(erasure, "complete_erasure", gone)


async def half_erased(tenant: Tenant, caller: Caller, **fields: Any) -> UUID:
    await record_consent(tenant, caller, capture(ConsentValue.OPTED_IN))
    contact_point = await stream_of(tenant)
    with pytest.raises(ConnectionResetError):
        await erase(tenant, caller, **fields)
    return contact_point


@pytest.mark.usefixtures("ends_half_way")
async def test_between_request_and_completion_every_check_answers_erased(
    clocked_tenant: Tenant, clock: Clock, caller: Caller
) -> None:
    tenant, before = clocked_tenant, clock.now
    clock.now += timedelta(days=1)
    contact_point = await half_erased(tenant, caller, keep_suppression=False)
    for purpose in ("commercial", "transactional"):
        assert await asked(tenant, purpose) == ["--", "ERASED"]
        assert await asked(tenant, purpose, as_of=before) == ["--", "ERASED"]
        assert await asked(tenant, purpose, known_at=clock.now) == ["--", "ERASED"]
    assert await history.addresses(tenant, [contact_point]) == {}
    page = await select(tenant, Selection(channel=Channel.EMAIL, purpose="commercial"))
    assert page.items == []


@pytest.mark.usefixtures("ends_half_way")
async def test_a_write_completes_what_was_left_half_done_and_is_not_lost(tenant: Tenant, caller: Caller) -> None:
    contact_point = await half_erased(tenant, caller, keep_suppression=False)
    results = await record_consents(tenant, caller, [capture(), capture(purpose="transactional")])
    assert not [result for result in results if isinstance(result, Refusal)]
    assert await stream_of(tenant) != contact_point
    assert await asked(tenant) == ["-+", "OPTED_OUT"]
    assert [entry.entry.type for entry in await entries(tenant) if entry.entry.stream == contact_point] == [
        "ConsentCaptured", "ContactPointErasureRequested", "ContactPointErased",
    ]  # fmt: skip


@pytest.mark.usefixtures("ends_half_way")
async def test_a_server_that_starts_completes_what_was_left_half_done(tenant: Tenant, caller: Caller) -> None:
    contact_point = await half_erased(tenant, caller)
    assert await complete_pending(tenant.ledger) >= 1, "of whatever tenant"
    assert await complete_pending(tenant.ledger) == 0
    assert await asked(tenant) == ["--", "SUPPRESSED"]
    certificate = await complete_erasure(tenant, contact_point)
    assert certificate.entry.type == "ContactPointErased", "asked again, it is the same certificate"


async def test_asking_again_completes_and_gives_the_same_certificate(
    tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        async def gone(*_: object) -> StoredEntry:
            raise ConnectionResetError

        patched.setattr(erasure, "complete_erasure", gone)
        await half_erased(tenant, caller, idempotency_key="k")
    first = await erase(tenant, caller, idempotency_key="k")
    assert (await erase(tenant, caller, idempotency_key="k")).certificate == first.certificate
    await record_consent(tenant, caller, capture())
    assert (await erase(tenant, caller, idempotency_key="k")).certificate == first.certificate
    assert await stream_of(tenant) != first.certificate.entry.stream, "the new one is not erased by the old key"


@pytest.mark.parametrize(
    ("before", "fields", "code"),
    [
        ([], {}, RefusalCode.NOT_FOUND),
        (["record", "erase"], {}, RefusalCode.ERASED),
        (["record"], {"address": "none"}, RefusalCode.INVALID_ADDRESS),
        (["record"], {"reason": "  "}, RefusalCode.INVALID),
        (["record"], {"reason": f"asked by {ADA}"}, RefusalCode.INVALID),
        (["record"], {"reason": "asked by someone@example.net"}, RefusalCode.INVALID),
        (["record"], {"reason": "asked from +49 (30) 1234-5678"}, RefusalCode.INVALID),
        (["record"], {"reason": "x" * 501}, RefusalCode.INVALID),
        (["record"], {"reason": "Ada asked for it"}, RefusalCode.INVALID),
        (["record"], {"reason": "someone (at) example.net"}, RefusalCode.INVALID),
        (["record"], {"reason": "someone at example dot net"}, RefusalCode.INVALID),
        (["record"], {"reason": "came from 10.11.12.13"}, RefusalCode.INVALID),
        (["record"], {"reason": "came from 2001:db8:0:1::7"}, RefusalCode.INVALID),
        (["record"], {"reason": "+49 (0)151"}, RefusalCode.INVALID),
    ],
)
async def test_what_is_refused_changes_nothing(
    tenant: Tenant, caller: Caller, before: list[str], fields: dict[str, Any], code: RefusalCode
) -> None:
    for step in before:
        await (record_consent(tenant, caller, capture()) if step == "record" else erase(tenant, caller))
    size = len(await entries(tenant))
    with pytest.raises(Refusal) as refused:
        await erase(tenant, caller, **fields)
    assert refused.value.code == code
    assert refused.value.path == (next(iter(fields)) if fields else "address",)
    assert len(await entries(tenant)) == size


async def test_erasures_and_captures_at_once_lose_nothing(tenant: Tenant, caller: Caller) -> None:
    await record_consent(tenant, caller, capture(ConsentValue.OPTED_IN))
    outcomes = await asyncio.gather(
        *(erase(tenant, caller, idempotency_key=f"e{number}") for number in range(4)),
        *(record_consent(tenant, caller, capture(idempotency_key=f"c{number}")) for number in range(20)),
        return_exceptions=True,
    )
    assert not [one for one in outcomes if isinstance(one, Exception) and not isinstance(one, Refusal)]
    log = await entries(tenant)
    assert sum(entry.entry.type == "ConsentCaptured" for entry in log) == 21
    ended: set[UUID] = set()
    for entry in log:
        assert entry.entry.stream not in ended, "nothing follows a certificate"
        if entry.entry.type == "ContactPointErased":
            ended.add(entry.entry.stream)
    assert (await asked(tenant))[0][0] == "-"


async def test_a_step_cannot_be_forged_out_of_order(tenant: Tenant, caller: Caller) -> None:
    await record_consent(tenant, caller, capture())
    contact_point = await stream_of(tenant)
    with pytest.raises(ValueError, match="unpack"):
        await complete_erasure(tenant, contact_point)
    assert await asked(tenant) == ["-+", "OPTED_OUT"]
    assert [step.value for step in ErasureStep] == ["request", "complete"]


@pytest.mark.usefixtures("ends_half_way")
async def test_a_key_that_completed_what_another_began_erases_nothing_more(
    tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await half_erased(tenant, caller, idempotency_key="first")
    monkeypatch.undo()
    done = await erase(tenant, caller, idempotency_key="second", reason="asked again")
    await record_consent(tenant, caller, capture(ConsentValue.OPTED_IN, actor=RECIPIENT))
    held = await stream_of(tenant)
    for key, reason in (("second", "asked again"), ("first", "DSAR-2026-0117")):
        again = await erase(tenant, caller, idempotency_key=key, reason=reason)
        assert again.certificate == done.certificate
    assert await stream_of(tenant) == held, "the new contact point stays"


async def test_an_erasure_is_never_too_large_for_its_certificate(tenant: Tenant, caller: Caller) -> None:
    topics = [f"{number:03}-{'x' * 60}" for number in range(320)]
    for topic in topics:
        await create_topic(tenant, caller, key=topic, name="T", purpose="transactional")
    await record_consents(tenant, caller, [capture(purpose="transactional", topic=topic) for topic in topics])
    erased = await erase(tenant, caller)
    assert erased.certificate.entry.data["suppression"]["everything"] is True
    assert await asked(tenant, "transactional", topics[7]) == ["--", "SUPPRESSED"]
    assert await asked(tenant, "transactional") == ["--", "SUPPRESSED"], "in doubt everything is blocked"
    await record_consent(tenant, caller, capture(ConsentValue.OPTED_IN, purpose="transactional", actor=RECIPIENT))
    assert await asked(tenant, "transactional") == ["+-", "ENFORCEMENT_DISABLED"]
    assert await asked(tenant, "transactional", topics[7]) == ["--", "SUPPRESSED"]
    page = await select(
        tenant, Selection(channel=Channel.EMAIL, purpose="commercial", contactability=Contactability.WILL_SEND)
    )
    assert page.items == []


async def test_the_same_address_many_times_in_a_question_about_the_past_is_folded_once(
    clocked_tenant: Tenant, clock: Clock, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ledger import check as checking

    await record_consents(clocked_tenant, caller, [capture() for _ in range(50)])
    folds: list[int] = []
    fold = checking.standing_then

    def counted(events: Any, *rest: Any, **fields: Any) -> Any:
        folds.append(len(events))
        return fold(events, *rest, **fields)

    monkeypatch.setattr(checking, "standing_then", counted)
    question = Question(channel=Channel.EMAIL, addresses=[ADA] * 2_500, purpose="commercial", as_of=clock.now)
    answers = await check(clocked_tenant, question)
    assert {str(answer.decision.reasons[0].code) for answer in answers} == {"OPTED_OUT"}
    assert folds == [50]
