"""What people and their mail systems send back: keywords, unsubscribes, complaints, bounces; and mails made to mislead."""

import time
from collections.abc import Sequence
from datetime import timedelta
from email import message_from_bytes, message_from_string
from email.message import EmailMessage, Message
from email.mime.base import MIMEBase
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import pytest

from domain.addresses import Channel
from domain.catalogue import EnforcementModel, PurposeType
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.preference_center import PreferenceCenterPatch
from domain.refusals import LimitExceeded, Refusal, RefusalCode
from domain.sms_keywords import Keyword
from eventstore import read
from ledger import history
from ledger.assembly import Caller, Tenant
from ledger.catalogue import create_profile, create_purpose, create_topic, update_profile, update_purpose
from ledger.check import Question, check
from ledger.erasure import erase_contact_point
from ledger.inbound_email import MAIL_BYTES_MAX, Bounce, receive_email
from ledger.inbound_sms import InboundKind, InboundResult, receive_sms
from ledger.links import unsubscribe_links
from ledger.record import Capture, record_consent
from ledger.tenants import create_tenant

NUMBER = "+4930123456"
ADA = "ada@example.org"
BOB = "bob@example.org"


async def position(tenant: Tenant) -> int:
    """How long the log is."""
    async with tenant.ledger.connection() as connection:
        return (await read.head(connection, tenant.id)).size


async def decided(tenant: Tenant, address: str, channel: Channel = Channel.EMAIL, **named: Any) -> str:
    """The first reason for an address."""
    question = Question(channel=channel, addresses=[address], **{"purpose": "commercial", **named})
    [answer] = await check(tenant, question)
    return str(answer.decision.reasons[0].code)


async def opted_in(tenant: Tenant, caller: Caller, address: str = ADA, channel: Channel = Channel.EMAIL) -> None:
    capture = Capture(channel=channel, address=address, purpose="commercial", value=ConsentValue.OPTED_IN)
    await record_consent(tenant, caller, capture)


async def evidence_of(tenant: Tenant, result: InboundResult) -> list[dict[str, Any]]:
    opened = await history.evidence(tenant, result.events)
    return [opened[event.position] for event in result.events]


# Text messages.


async def sms(tenant: Tenant, caller: Caller, text: str, **fields: Any) -> InboundResult:
    return await receive_sms(tenant, caller, **{"sender": NUMBER, "text": text, **fields})


async def test_stop_is_out_of_everything_commercial_with_the_message_as_evidence(
    tenant: Tenant, caller: Caller
) -> None:
    await create_purpose(tenant, caller, key="offers", name="Offers", type=PurposeType.COMMERCIAL, profiles=["default"])
    await update_purpose(tenant, caller, ref="offers", active=False)
    await opted_in(tenant, caller, NUMBER, Channel.SMS)
    result = await sms(tenant, caller, " Stop, please! ", message_id="SM1", locale="de-DE")
    assert (result.kind, result.keyword, result.known) == (InboundKind.KEYWORD, Keyword.STOP, True)
    assert result.recorded == len(result.positions) == 2, "what is inactive can be left, too"
    for event in result.events:
        assert event.entry.data["value"] == ConsentValue.OPTED_OUT
        assert event.entry.data["source"] == ConsentSource.SMS_KEYWORD
        assert event.entry.data["trust"] == "SERVER_KEY"
        assert event.entry.actor == ActorKind.RECIPIENT
    assert {event.entry.data["purpose"] for event in result.events} == {"commercial", "offers"}
    for evidence in await evidence_of(tenant, result):
        assert evidence["attributes"] == {"smsText": " Stop, please! "}
        assert evidence["messageId"] == "SM1"
    assert result.reply is not None
    assert "abgemeldet" in result.reply
    assert await decided(tenant, NUMBER, Channel.SMS) == "OPTED_OUT"


async def test_a_stop_from_a_number_nobody_knows_is_recorded(tenant: Tenant, caller: Caller) -> None:
    result = await sms(tenant, caller, "STOP")
    assert (result.known, result.recorded) == (False, 1)
    assert await decided(tenant, NUMBER, Channel.SMS) == "OPTED_OUT"
    assert (await sms(tenant, caller, "STOP")).known


async def test_a_start_from_a_number_nobody_knows_is_recorded_for_what_is_active(
    tenant: Tenant, caller: Caller
) -> None:
    await create_purpose(tenant, caller, key="offers", name="Offers", type=PurposeType.COMMERCIAL, profiles=["default"])
    await update_purpose(tenant, caller, ref="offers", active=False)
    result = await sms(tenant, caller, "START")
    assert (result.known, [event.entry.data["purpose"] for event in result.events]) == (False, ["commercial"])
    assert await decided(tenant, NUMBER, Channel.SMS) == "OPTED_IN"
    await update_purpose(tenant, caller, ref="commercial", active=False)
    nothing = await sms(tenant, caller, "START")
    assert (nothing.recorded, nothing.reply) == (0, None), "nobody is promised messages that will not come"
    assert nothing.why is not None


async def test_stop_then_start_then_stop(tenant: Tenant, caller: Caller) -> None:
    for text, reason in (("STOP", "OPTED_OUT"), ("START", "OPTED_IN"), ("stopall", "OPTED_OUT")):
        assert (await sms(tenant, caller, text)).recorded == 1
        assert await decided(tenant, NUMBER, Channel.SMS) == reason


async def test_a_keyword_counts_from_when_it_was_received(tenant: Tenant, caller: Caller) -> None:
    now = tenant.ledger.clock()
    await sms(tenant, caller, "START", received_at=now - timedelta(minutes=1))
    await sms(tenant, caller, "STOP", received_at=now - timedelta(minutes=2))
    assert await decided(tenant, NUMBER, Channel.SMS) == "OPTED_IN", "the STOP was sent before, and came late"
    with pytest.raises(Refusal) as refused:
        await sms(tenant, caller, "START", received_at=now + timedelta(hours=1))
    assert refused.value.code is RefusalCode.EFFECTIVE_IN_FUTURE


@pytest.mark.parametrize("text", ["HELP", "ayuda", "", "Thank you!", "Will this ever stop or go on for years?", "\x00"])
async def test_help_and_what_is_no_keyword_record_nothing(tenant: Tenant, caller: Caller, text: str) -> None:
    before = await position(tenant)
    result = await sms(tenant, caller, text)
    assert (result.recorded, result.positions, result.known) == (0, (), False)
    assert result.why is not None
    assert await position(tenant) == before
    if result.keyword is Keyword.HELP:
        assert result.reply is not None
        assert "STOP" in result.reply
    else:
        assert (result.kind, result.reply) == (InboundKind.IGNORED, None)


async def test_the_same_text_message_twice_is_recorded_once(tenant: Tenant, caller: Caller) -> None:
    first = await sms(tenant, caller, "STOP", message_id="SM1")
    again = await sms(tenant, caller, "STOP", message_id="SM1")
    assert (first.recorded, again.recorded) == (1, 0)
    assert again.positions == first.positions
    other = await sms(tenant, caller, "START", message_id="SM1")
    assert other.recorded == 1, "a provider that gives an id twice loses nothing"
    keyed = [await sms(tenant, caller, "STOP", idempotency_key="k") for _ in range(2)]
    assert [result.recorded for result in keyed] == [1, 0]
    with pytest.raises(Refusal) as refused:
        await sms(tenant, caller, "START", idempotency_key="k")
    assert refused.value.code is RefusalCode.IDEMPOTENCY_CONFLICT


@pytest.mark.parametrize("text", ["STOP" + "\u200b" * 50_000, "stop\x00\ud800", "STOP" + "!" * 5_000])
async def test_a_stop_that_is_long_or_broken_text_is_recorded(tenant: Tenant, caller: Caller, text: str) -> None:
    result = await sms(tenant, caller, text)
    assert result.recorded == 1
    [evidence] = await evidence_of(tenant, result)
    assert len(evidence["attributes"]["smsText"]) <= 1_000


async def test_the_reply_to_a_stop_says_no_more_than_a_check(tenant: Tenant, caller: Caller) -> None:
    await update_purpose(tenant, caller, ref="commercial", enforcement=[(Channel.SMS, EnforcementModel.DISABLED)])
    result = await sms(tenant, caller, "STOP")
    assert result.recorded == 1
    assert result.reply is not None
    assert "may still come" in result.reply
    assert await decided(tenant, NUMBER, Channel.SMS) == "ENFORCEMENT_DISABLED"
    await update_purpose(tenant, caller, ref="commercial", active=False)
    result = await sms(tenant, caller, "STOP")
    assert result.reply is not None
    assert "no more messages" in result.reply


async def test_a_profile_has_its_own_keywords(tenant: Tenant, caller: Caller) -> None:
    await create_profile(tenant, caller, key="shop", name="Shop")
    result = await sms(tenant, caller, "STOP", profile="shop")
    assert [event.entry.data["purpose"] for event in result.events] == ["shop-commercial"]
    assert result.reply is not None
    assert result.reply.startswith("Shop: ")
    with pytest.raises(Refusal) as refused:
        await sms(tenant, caller, "STOP", profile="nowhere")
    assert refused.value.code is RefusalCode.NOT_FOUND


@pytest.mark.parametrize("sender", ["", "030 123456", "Contoso", "12345", "\ud800", "+1" * 500])
async def test_what_is_no_number_is_refused(tenant: Tenant, caller: Caller, sender: str) -> None:
    with pytest.raises(Refusal) as refused:
        await sms(tenant, caller, "STOP", sender=sender)
    assert refused.value.code is RefusalCode.INVALID_ADDRESS


async def test_a_stop_of_who_was_erased_is_recorded_with_the_number_alone(tenant: Tenant, caller: Caller) -> None:
    await opted_in(tenant, caller, NUMBER, Channel.SMS)
    await erase_contact_point(tenant, caller, channel=Channel.SMS, address=NUMBER, reason="asked for")
    between = tenant.ledger.clock()
    stopped = await sms(tenant, caller, "STOP", message_id="m-1")
    assert (stopped.known, stopped.recorded) == (False, 1)
    assert stopped.reply is not None
    assert [event.entry.personal.keys() for event in stopped.events] == [{"address"}], "neither text nor message"
    assert (await sms(tenant, caller, "STOP", message_id="m-1")).recorded == 0, "the same message again"
    await sms(tenant, caller, "START", received_at=between)
    assert await decided(tenant, NUMBER, Channel.SMS) == "OPTED_OUT", "the later choice counts, however late it comes"
    assert (await sms(tenant, caller, "START")).recorded == 1
    assert await decided(tenant, NUMBER, Channel.SMS) == "OPTED_IN", "the person's own choice ends it"


# Mails.


async def sent(tenant: Tenant, address: str = ADA, *, topic: str | None = None) -> EmailMessage:
    """A message as it was sent, with our headers."""
    subject = (await tenant.latest_catalogue()).message("default", "commercial", topic)
    message = EmailMessage()
    message["From"] = "News <news@shop.example>"
    message["To"] = address
    message["Subject"] = "Our news"
    message["Message-ID"] = "<original-1@shop.example>"
    for name, value in unsubscribe_links(tenant, subject, Channel.EMAIL, address, "m-1").headers:
        message[name] = value
    message.set_content("Hello")
    return message


def token_of(message: Message) -> str:
    return str(message["List-Unsubscribe"]).rpartition("/")[2].rstrip(">")


def report(kind: str, machine: Message, original: Message | None, *, headers_only: bool = False) -> bytes:
    """A multipart/report as a mail system makes it."""
    made = MIMEMultipart("report", **{"report-type": kind})
    made["From"] = "Mail Delivery System <mailer-daemon@provider.example>"
    made["To"] = "feedback@shop.example"
    made["Subject"] = "A report"
    made["Message-ID"] = "<report-1@provider.example>"
    made["Auto-Submitted"] = "auto-replied"
    made.attach(MIMEText("This is a report."))
    made.attach(machine)
    if original is not None and headers_only:
        made.attach(MIMEText("".join(f"{name}: {value}\n" for name, value in original.items()), "rfc822-headers"))
    elif original is not None:
        made.attach(MIMEMessage(original))
    return made.as_bytes()


def fields(subtype: str, *blocks: str) -> Message:
    """The part of a report that machines read."""
    part = MIMEBase("message", subtype)
    if subtype == "delivery-status":
        part.set_payload([message_from_string(block) for block in blocks])
    else:
        part.set_payload([message_from_string("".join(blocks))])
    return part


def complaint(original: Message | None, *more: str, kind: str = "abuse", headers_only: bool = False) -> bytes:
    lines = "".join(
        f"{line}\n" for line in (f"Feedback-Type: {kind}", "User-Agent: SomeProvider/1.0", "Version: 1", *more)
    )
    return report("feedback-report", fields("feedback-report", lines), original, headers_only=headers_only)


def bounce(
    original: Message | None,
    *recipients: str,
    action: str = "failed",
    status: str = "5.1.1",
    headers_only: bool = False,
) -> bytes:
    blocks = [
        f"Final-Recipient: rfc822;{recipient}\nAction: {action}\nStatus: {status}\n"
        f"Diagnostic-Code: smtp; {status[0]}50 no such user\n"
        for recipient in recipients
    ]
    machine = fields("delivery-status", "Reporting-MTA: dns; mail.provider.example\n", *blocks)
    return report("delivery-status", machine, original, headers_only=headers_only)


@pytest.mark.parametrize("kind", ["abuse", "Fraud"])
@pytest.mark.parametrize("headers_only", [True, False])
async def test_a_complaint_is_out_of_the_purpose_of_the_message(
    tenant: Tenant, caller: Caller, kind: str, headers_only: bool
) -> None:
    await create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    await opted_in(tenant, caller)
    raw = complaint(await sent(tenant, topic="news"), kind=kind, headers_only=headers_only)
    result = await receive_email(tenant, caller, raw)
    assert (result.kind, result.known, result.recorded) == (InboundKind.COMPLAINT, True, 1)
    [event] = result.events
    data = event.entry.data
    assert (data["source"], data["value"], event.entry.actor) == ("COMPLAINT", "OPTED_OUT", "RECIPIENT")
    assert (data["purpose"], data.get("topic")) == ("commercial", None), "a complaint is wider than the topic"
    [evidence] = await evidence_of(tenant, result)
    assert evidence == {
        "attributes": {
            "feedbackType": kind.lower(),
            "userAgent": "SomeProvider/1.0",
            "originalMessageId": "<original-1@shop.example>",
        },
        "messageId": "m-1",
    }
    assert await decided(tenant, ADA) == "OPTED_OUT"


async def test_a_complaint_whose_recipient_is_redacted_is_found_by_our_token(tenant: Tenant, caller: Caller) -> None:
    original = await sent(tenant)
    original.replace_header("To", "redacted@provider.example")
    raw = complaint(original, "Original-Rcpt-To: redacted@provider.example")
    result = await receive_email(tenant, caller, raw)
    assert (result.known, result.recorded) == (False, 1)
    assert await decided(tenant, ADA) == "OPTED_OUT"


async def test_a_link_that_a_mail_system_folded_or_wrapped_is_found(tenant: Tenant, caller: Caller) -> None:
    token = token_of(await sent(tenant))
    header = f"<mailto:x@shop.example>,\n <https://elsewhere.example/u/{token[:60]}\n {token[60:]}>"
    original = message_from_string(f"To: redacted\nList-Unsubscribe: {header}\n\n")
    assert (await receive_email(tenant, caller, complaint(original))).recorded == 1
    assert await decided(tenant, ADA) == "OPTED_OUT"


async def test_a_link_in_a_header_that_was_encoded_is_found(tenant: Tenant, caller: Caller) -> None:
    original = message_from_bytes((await sent(tenant)).as_bytes())
    assert "=?utf-8?" in str(original["List-Unsubscribe"]), "what the standard library does to a long one"
    assert (await receive_email(tenant, caller, complaint(original, "Original-Rcpt-To: redacted"))).recorded == 1
    assert await decided(tenant, ADA) == "OPTED_OUT"


async def test_a_complaint_without_a_link_is_out_of_everything_commercial(tenant: Tenant, caller: Caller) -> None:
    await create_purpose(tenant, caller, key="offers", name="Offers", type=PurposeType.COMMERCIAL, profiles=["default"])
    for address in (ADA, BOB):
        await record_consent(
            tenant,
            caller,
            Capture(channel=Channel.EMAIL, address=address, purpose="transactional", value=ConsentValue.OPTED_IN),
        )
    original = await sent(tenant)
    del original["List-Unsubscribe"]
    named = await receive_email(tenant, caller, complaint(original, f"Original-Rcpt-To: <{BOB}>"))
    assert (named.recorded, await decided(tenant, BOB), await decided(tenant, ADA)) == (
        2,
        "OPTED_OUT",
        "NOT_SET_ALLOWED",
    )
    by_to = await receive_email(tenant, caller, complaint(original))
    assert (by_to.recorded, await decided(tenant, ADA, purpose="offers")) == (2, "OPTED_OUT")


@pytest.mark.parametrize(
    "to",
    [
        "redacted", "redacted@provider.example", "user-redacted@x.example", "xxxx@x.example", "***@x.example",
        "[redacted]@x.example", "", "undisclosed-recipients:;", f"{ADA}, {BOB}", "<>", "hidden@x.example",
        "kM3jAwEsVd3SvnCJ0pc+DX6NeIA=@x.example", "@redacted", "a@redacted.invalid",
    ],
)  # fmt: skip
async def test_a_complaint_that_does_not_say_who_records_nothing(tenant: Tenant, caller: Caller, to: str) -> None:
    before = await position(tenant)
    original = message_from_string(f"To: {to}\nSubject: x\n\nx")
    result = await receive_email(
        tenant, caller, complaint(original, f"Original-Rcpt-To: {to.partition(',')[0] if '@' not in to else ''}")
    )
    assert (result.kind, await position(tenant)) == (InboundKind.IGNORED, before)
    assert result.why is not None


@pytest.mark.parametrize("kind", ["not-spam", "other", "auth-failure", "virus", "whatever"])
async def test_a_report_that_is_no_complaint_records_nothing(tenant: Tenant, caller: Caller, kind: str) -> None:
    before = await position(tenant)
    result = await receive_email(tenant, caller, complaint(await sent(tenant), kind=kind))
    assert (result.kind, await position(tenant)) == (InboundKind.IGNORED, before)
    assert result.why is not None
    assert "complaint" in result.why


async def test_a_link_of_another_tenant_changes_nothing_anywhere(tenant: Tenant, caller: Caller) -> None:
    foreign = await create_tenant(tenant.ledger, f"{tenant.key}-foreign", "Foreign")
    original = await sent(foreign)
    sizes = await position(tenant), await position(foreign)
    told: list[Bounce] = []
    await opted_in(foreign, caller)
    sizes = await position(tenant), await position(foreign)
    for raw in (
        complaint(original, f"Original-Rcpt-To: {BOB}"),
        bounce(original, ADA),
        asking(BOB, f"unsubscribe {token_of(original)}"),
    ):
        result = await receive_email(tenant, caller, raw, on_bounce=telling(told))
        assert (result.kind, result.recorded) == (InboundKind.IGNORED, 0)
    assert (await position(tenant), await position(foreign), told) == (*sizes, [])


async def test_evidence_of_a_complaint_is_cut(tenant: Tenant, caller: Caller) -> None:
    original = await sent(tenant)
    original.replace_header("Message-ID", "<" + "m" * 3_000 + "@x.example>")
    raw = complaint(original).replace(b"SomeProvider/1.0", b"P" * 900)
    result = await receive_email(tenant, caller, raw)
    [evidence] = await evidence_of(tenant, result)
    assert {name: len(value) for name, value in evidence["attributes"].items()} == {
        "feedbackType": 5,
        "userAgent": 500,
        "originalMessageId": 500,
    }


async def test_the_same_mail_twice_is_recorded_once(tenant: Tenant, caller: Caller) -> None:
    raw = complaint(await sent(tenant))
    first = await receive_email(tenant, caller, raw)
    again = await receive_email(tenant, caller, b"Received: from a.example by b.example\n" + raw)
    assert (first.recorded, again.recorded, again.positions) == (1, 0, first.positions)
    without = raw.replace(b"Message-ID: <report-1@provider.example>\n", b"")
    assert [(await receive_email(tenant, caller, without)).recorded for _ in range(2)] == [1, 0]
    other = complaint(await sent(tenant, BOB))
    assert (await receive_email(tenant, caller, other)).recorded == 1, "a Message-ID used twice loses no opt-out"


async def test_a_complaint_of_who_was_erased_is_recorded_with_the_address_alone(tenant: Tenant, caller: Caller) -> None:
    await opted_in(tenant, caller)
    original = await sent(tenant)
    await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address=ADA, reason="asked for")
    result = await receive_email(tenant, caller, complaint(original))
    assert (result.kind, result.recorded) == (InboundKind.COMPLAINT, 1)
    assert [event.entry.personal.keys() for event in result.events] == [{"address"}]
    assert await decided(tenant, ADA) == "SUPPRESSED"


# Bounces.


def telling(told: list[Bounce], recorded: int | None = None) -> Any:
    async def on_bounce(_tenant: Tenant, _caller: Caller, bounced: Bounce) -> int | None:
        told.append(bounced)
        return recorded

    return on_bounce


@pytest.mark.parametrize(
    ("action", "status", "kind"),
    [
        ("failed", "5.1.1", InboundKind.HARD_BOUNCE), ("Failed", "5.0.0 (no such user)", InboundKind.HARD_BOUNCE),
        ("failed", "4.4.7", InboundKind.SOFT_BOUNCE), ("delayed", "4.2.2", InboundKind.SOFT_BOUNCE),
        ("delayed", "5.2.2", InboundKind.SOFT_BOUNCE), ("delivered", "2.0.0", InboundKind.IGNORED),
        ("relayed", "2.1.5", InboundKind.IGNORED), ("expanded", "2.0.0", InboundKind.IGNORED),
        ("failed", "2.0.0", InboundKind.IGNORED), ("", "5.1.1", InboundKind.IGNORED),
    ],
)  # fmt: skip
async def test_bounces_are_hard_or_soft(
    tenant: Tenant, caller: Caller, action: str, status: str, kind: InboundKind
) -> None:
    told: list[Bounce] = []
    before = await position(tenant)
    raw = bounce(await sent(tenant), ADA, action=action, status=status)
    result = await receive_email(tenant, caller, raw, on_bounce=telling(told, 7))
    assert result.kind is kind
    assert await position(tenant) == before, "that is for on_bounce"
    if kind is InboundKind.IGNORED:
        assert told == []
        return
    assert (result.recorded, result.positions) == (1, (7,))
    [bounced] = told
    assert (bounced.hard, bounced.address, bounced.known) == (kind is InboundKind.HARD_BOUNCE, ADA, False)
    assert (bounced.action, bounced.original_message_id) == (action.lower(), "<original-1@shop.example>")
    assert bounced.link is not None
    assert bounced.link.message_id == "m-1"
    assert ADA not in repr(bounced)


async def test_without_a_status_the_servers_words_have_one(tenant: Tenant, caller: Caller) -> None:
    told: list[Bounce] = []
    raw = bounce(await sent(tenant), ADA).replace(b"Status: 5.1.1\n", b"").replace(b"550 no such", b"550 5.1.1 no such")
    await receive_email(tenant, caller, raw, on_bounce=telling(told))
    nothing = bounce(await sent(tenant), ADA).replace(b"Status: 5.1.1\n", b"")
    await receive_email(tenant, caller, nothing, on_bounce=telling(told))
    assert [(bounced.hard, bounced.status) for bounced in told] == [(True, "5.1.1"), (False, None)]


async def test_without_a_token_only_a_known_address_is_believed(tenant: Tenant, caller: Caller) -> None:
    told: list[Bounce] = []
    await opted_in(tenant, caller)
    result = await receive_email(tenant, caller, bounce(None, BOB, ADA.upper()), on_bounce=telling(told))
    assert (result.kind, result.known) == (InboundKind.HARD_BOUNCE, True)
    assert [bounced.address for bounced in told] == [ADA]
    told.clear()
    result = await receive_email(tenant, caller, bounce(None, BOB), on_bounce=telling(told))
    assert (result.kind, told) == (InboundKind.IGNORED, [])
    assert result.why is not None


async def test_a_recipient_that_the_token_contradicts_is_not_blamed(tenant: Tenant, caller: Caller) -> None:
    told: list[Bounce] = []
    await opted_in(tenant, caller, BOB)
    for raw in (
        bounce(await sent(tenant), BOB),
        bounce(await sent(tenant), BOB, "carol@example.org", headers_only=True),
    ):
        result = await receive_email(tenant, caller, raw, on_bounce=telling(told))
        assert (result.kind, told) == (InboundKind.IGNORED, []), "nor is the one that it names"
    two = bounce(await sent(tenant), BOB, ADA).replace(b"Status: 5.1.1", b"Status: 4.2.2", 1)
    await receive_email(tenant, caller, two, on_bounce=telling(told))
    assert [(bounced.address, bounced.hard) for bounced in told] == [(ADA, True)], "its own fields, not another's"


async def test_an_international_delivery_status_is_read(tenant: Tenant, caller: Caller) -> None:
    told: list[Bounce] = []
    await opted_in(tenant, caller, "jörg@example.org")
    machine = MIMEBase("message", "global-delivery-status")
    machine.set_payload(
        "Reporting-MTA: dns; mail.example\n\nFinal-Recipient: utf-8; j\\x{F6}rg@example.org\nAction: failed\nStatus: 5.1.1\n"
    )
    await receive_email(tenant, caller, report("delivery-status", machine, None), on_bounce=telling(told))
    assert [(bounced.address, bounced.hard) for bounced in told] == [("jörg@example.org", True)]


async def test_the_same_bounce_has_the_same_key(tenant: Tenant, caller: Caller) -> None:
    told: list[Bounce] = []
    for raw in (bounce(await sent(tenant), ADA), bounce(await sent(tenant), ADA), bounce(await sent(tenant, BOB), BOB)):
        await receive_email(tenant, caller, raw, on_bounce=telling(told))
    assert told[0].key == told[1].key != told[2].key


async def test_a_hard_bounce_is_recorded_once_and_suppresses_everything_there(tenant: Tenant, caller: Caller) -> None:
    raw = bounce(await sent(tenant), ADA)
    result = await receive_email(tenant, caller, raw)
    assert (result.kind, result.recorded) == (InboundKind.HARD_BOUNCE, 1)
    question = Question(channel=Channel.EMAIL, addresses=[ADA], purpose="transactional")
    [answer] = await check(tenant, question)
    assert [str(reason.code) for reason in answer.decision.reasons] == ["SUPPRESSED"]
    after = await position(tenant)
    assert (await receive_email(tenant, caller, raw)).recorded == 0
    assert await position(tenant) == after


# Unsubscribes by mail.


def asking(
    sender: str,
    subject: str = "",
    text: str = "",
    *,
    to: str = "unsubscribe@shop.example",
    html: bool = False,
    **headers: str,
) -> bytes:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text, subtype="html" if html else "plain")
    return message.as_bytes()


@pytest.mark.parametrize(
    ("subject", "text", "html"),
    [
        ("unsubscribe", "", False), ("Unsubscribe!", "", False), ("STOP", "", False), ("opt-out", "", False),
        ("Re: Unsubscribe", "", False), ("AW: Re[2]: Abmelden", "", False), ("Désabonner", "", False), ("BAJA", "", False),
        ("إلغاء الاشتراك", "", False), ("unsubscribe from your list", "", False), ("Please remove me", "", False),
        ("Re: Our news", "\n\nunsubscribe please\n\n> Our news\n", False), ("", "Abmelden, bitte\n\nGruß", False),
        ("Re: Our news", "<html><head><style>p{}</style></head><body><p>Unsubscribe&nbsp;me</p><p>x</p></body>", True),
        (f"unsubscribe {'A' * 120}", "", False), ("[EXTERNAL] Unsubscribe", "", False), ("Fwd: unsubscribe", "", False),
        ("[EXT] AW: [Liste] Abmelden", "", False), ("List-Unsubscribe", "", False), ("WG: Unsubscribe", "", False),
        ("Please take me off your list", "", False), ("External: Re: stop", "", False), ("**EXTERN** abmelden", "", False),
        ("Re: Our news", "Hello,\n\nplease stop sending me emails.\n\nThanks, Ada", False),
        ("Re: Our news", "Nice news\n\nunsubscribe", False), ("Re: News", "Bitte melden Sie mich ab. Danke!", False),
        ("Re: News", "Bonjour, désabonnez-moi s'il vous plaît", False), ("Re: News", "Por favor, quiero darme de baja", False),
        ("Re: News", "مرحبا، الرجاء إلغاء الاشتراك", False), ("Re: News", "remove me!!\n-- \nAda\n" + "word " * 90, False),
        ("Re: News", "Take me off your list.\n\nOn Monday Shop wrote:\n> " + "word " * 90, False),
        ("Re: News", "> News\n\nI could not unsubscribe on your page", False),
        ("Re: News", "Unsubscribe me please, I beg you. " + "\n" + "Here is why. " * 60, False),
        ("Re: News", '<div>Remove me</div><div class="gmail_quote">On Monday Shop wrote:<blockquote>' + "word " * 90, True),
        ("Re: News", "<blockquote>" + "word " * 90 + "</blockquote><p>opt me out</p>", True),
    ],
)  # fmt: skip
async def test_who_asks_by_mail_is_out_of_everything_commercial(
    tenant: Tenant, caller: Caller, subject: str, text: str, html: bool
) -> None:
    await opted_in(tenant, caller)
    result = await receive_email(tenant, caller, asking(f"Ada <{ADA.upper()}>", subject, text, html=html))
    assert (result.kind, result.known, result.recorded) == (InboundKind.UNSUBSCRIBE, True, 1)
    [event] = result.events
    assert (event.entry.data["source"], event.entry.actor) == ("EMAIL_REPLY", "RECIPIENT")
    [evidence] = await evidence_of(tenant, result)
    assert evidence["attributes"].get("subject", "") == subject
    assert await decided(tenant, ADA) == "OPTED_OUT"


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("", ""), ("Hello", "Where is my order?"), ("Re: Stop paying too much!", "Do you deliver?"),
        ("Cancel my order please", "Thanks"), ("Re: Unsubscribe from boredom", "Nice one"), ("Ende der Saison", "Schön"),
        ("Re: Our news", "> unsubscribe"), ("Fwd: Stop paying too much!", "What do you think?"), ("[Deals] Hello", "Hi"),
        ("Re: Our news", "Nice!\n\nOn Monday Shop <a@shop.example> wrote:\n> Hi\n> To unsubscribe, click here"),
        ("Re: Our news", "Nice!\n\n-----Original Message-----\nFrom: Shop\nSent: today\n\nUnsubscribe"),
        ("Re: Our news", "Nice!\n\nVon: Shop <a@shop.example>\nGesendet: heute\n\nAbmelden"),
        ("Re: Our news", "Nice!\n-- \nAda\nunsubscribe"), ("Re: Our news", "Please do not unsubscribe me"),
        ("Question", "I wonder. " * 40 + "How do people unsubscribe?"),
        ("Automatic reply: Our news", "I am away. To unsubscribe from my replies, wait."), ("Abwesenheit: x", "abmelden"),
        ("Out of Office: Unsubscribe", ""), ("[EXTERNAL] Automatische Antwort: x", "Unsubscribe"),
    ],
)  # fmt: skip
async def test_any_other_mail_records_nothing(tenant: Tenant, caller: Caller, subject: str, text: str) -> None:
    before = await position(tenant)
    result = await receive_email(tenant, caller, asking(ADA, subject, text))
    assert (result.kind, await position(tenant)) == (InboundKind.IGNORED, before)
    assert result.why is not None


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Auto_Submitted": "auto-generated"},
        {"Precedence": "bulk"},
        {"Return_Path": "<>"},
    ],
)
async def test_no_person_wrote_an_automatic_mail(tenant: Tenant, caller: Caller, headers: dict[str, str]) -> None:
    before = await position(tenant)
    result = await receive_email(tenant, caller, asking(ADA, "unsubscribe", **headers))
    assert (result.kind, await position(tenant)) == (InboundKind.IGNORED, before)
    assert (await receive_email(tenant, caller, asking(ADA, "unsubscribe", Auto_Submitted="no"))).recorded == 1


async def test_a_token_says_who_and_what(tenant: Tenant, caller: Caller) -> None:
    await create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    token = token_of(await sent(tenant, topic="news"))
    ways: Sequence[bytes] = (
        asking(BOB, f"unsubscribe {token}"),
        asking(BOB, "x", to=f"unsubscribe+{token}@shop.example"),
        asking(BOB, "x", Delivered_To=f"unsubscribe+{token}@shop.example"),
        asking(BOB, f"unsubscribe {token}", Auto_Submitted="auto-generated"),
    )
    for way in ways:
        result = await receive_email(tenant, caller, way)
        assert (result.kind, result.recorded) == (InboundKind.UNSUBSCRIBE, 1)
        assert (result.events[0].entry.data["purpose"], result.events[0].entry.data["topic"]) == ("commercial", "news")
    assert await decided(tenant, ADA, topic="news") == "OPTED_OUT"
    assert await decided(tenant, ADA) == "NOT_SET_ALLOWED"
    assert await decided(tenant, BOB) == "NOT_SET_ALLOWED"
    replied = await receive_email(tenant, caller, asking(BOB, f"unsubscribe {token}", Auto_Submitted="auto-replied"))
    assert replied.kind is InboundKind.IGNORED, "who is on holiday did not ask"
    await receive_email(tenant, caller, asking(BOB, f"unsubscribe {token_of(await sent(tenant))}"))
    assert await decided(tenant, ADA) == "OPTED_OUT", "the link of a message without a topic is of the purpose"


async def with_brand(tenant: Tenant, caller: Caller) -> None:
    """A further profile, with a purpose of its own."""
    await create_profile(tenant, caller, key="brand", name="Brand")


async def test_without_a_profile_or_a_token_it_is_everything_commercial_of_every_profile(
    tenant: Tenant, caller: Caller
) -> None:
    await with_brand(tenant, caller)
    await update_purpose(tenant, caller, ref="brand-commercial", active=False)
    await opted_in(tenant, caller, BOB)
    both = {"commercial", "brand-commercial"}
    for result in (
        await receive_email(tenant, caller, asking(ADA, "unsubscribe")),
        await receive_email(tenant, caller, complaint(None, f"Original-Rcpt-To: {BOB}")),
        await sms(tenant, caller, "please stop"),
    ):
        assert {event.entry.data["purpose"] for event in result.events} == both
    assert [event.entry.data["purpose"] for event in (await sms(tenant, caller, "START")).events] == ["commercial"]


async def test_a_profile_that_is_named_is_whose_mail_it_is(tenant: Tenant, caller: Caller) -> None:
    await with_brand(tenant, caller)
    await opted_in(tenant, caller, BOB)
    for raw in (asking(ADA, "unsubscribe"), complaint(None, f"Original-Rcpt-To: {BOB}")):
        result = await receive_email(tenant, caller, raw, profile="brand")
        assert [event.entry.data["purpose"] for event in result.events] == ["brand-commercial"]
    before = await position(tenant)
    for raw in (asking(ADA, "unsubscribe"), asking(ADA, "Hello"), bounce(await sent(tenant), ADA)):
        with pytest.raises(Refusal) as refused:
            await receive_email(tenant, caller, raw, profile="nobody")
        assert (refused.value.code, refused.value.path) == (RefusalCode.NOT_FOUND, ("profile",))
    assert await position(tenant) == before


def forwarding(original: EmailMessage, sender: str, text: str) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, "hello@shop.example", "Fwd: Our news"
    message.set_content(text)
    message.add_attachment(original)
    return message.as_bytes()


async def test_words_with_a_quoted_token_are_out_of_everything_commercial_of_its_profile(
    tenant: Tenant, caller: Caller
) -> None:
    await with_brand(tenant, caller)
    await create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    original = await sent(tenant, topic="news")
    url = f"https://shop.example/p/{token_of(original)}"
    wrapped = f"{url[:76]}\n> {url[76:150]}\n> {url[150:]}"
    ways = (
        forwarding(original, "Ada <ada@work.example>", "Please unsubscribe me"),
        asking("ada@work.example", "Re: Our news", f"Stop emailing me\n\nOn Monday Shop wrote:\n> Hi\n> {url}\n> Bye"),
        asking(
            "ada@work.example", "Re: Our news", f"Stop emailing me\n\nOn Monday Shop wrote:\n> Hi\n> {wrapped}\n> Bye\n"
        ),
        asking(
            "ada@work.example", "Re: x", f'<p>Remove me</p><blockquote><a href="{url}">x</a></blockquote>', html=True
        ),
        asking("", "Re: Our news", f"Remove me please\n\n{url}"),
    )
    for number, way in enumerate(ways):
        result = await receive_email(tenant, caller, way)
        assert (result.kind, result.recorded) == (InboundKind.UNSUBSCRIBE, 2 if number < 4 else 1)
        assert {(event.entry.data["purpose"], event.entry.data.get("topic")) for event in result.events} == {
            ("commercial", None)
        }
        assert await decided(tenant, ADA) == "OPTED_OUT"
        await opted_in(tenant, caller)
    assert await decided(tenant, "ada@work.example") == "OPTED_OUT", "who writes from elsewhere means that address, too"


async def test_a_quoted_token_alone_asks_for_nothing_and_a_foreign_one_takes_no_words_away(
    tenant: Tenant, caller: Caller
) -> None:
    url = f"https://shop.example/u/{token_of(await sent(tenant))}"
    before = await position(tenant)
    for raw in (
        asking(ADA, "Automatic reply: Our news", f"I am away.\n> unsubscribe: {url}"),
        asking(ADA, "Re: Our news", f"Thank you!\n\n> unsubscribe: {url}"),
        asking(ADA, "Re: Our news", "Unsubscribe me\n" + url, Auto_Submitted="auto-replied"),
    ):
        assert (await receive_email(tenant, caller, raw)).kind is InboundKind.IGNORED
    assert await position(tenant) == before
    foreign = await create_tenant(tenant.ledger, f"{tenant.key}-quoted", "Foreign")
    theirs = f"https://shop.example/u/{token_of(await sent(foreign))}"
    assert (await receive_email(tenant, caller, asking(ADA, "Re: x", f"Unsubscribe me\n> {theirs}"))).recorded == 1
    assert await decided(tenant, ADA) == "OPTED_OUT"
    assert await decided(foreign, ADA) == "NOT_SET_ALLOWED"


async def test_an_opt_out_that_a_mailbox_provider_reports_is_one(tenant: Tenant, caller: Caller) -> None:
    await create_purpose(tenant, caller, key="offers", name="Offers", type=PurposeType.COMMERCIAL, profiles=["default"])
    for kind, purposes in (("opt-out-list", {"commercial"}), ("Opt-Out", {"commercial", "offers"})):
        result = await receive_email(tenant, caller, complaint(await sent(tenant), kind=kind))
        assert (result.kind, {event.entry.data["purpose"] for event in result.events}) == (
            InboundKind.COMPLAINT,
            purposes,
        )


async def test_a_bounce_of_an_address_nobody_knows_and_without_our_token_records_nothing(
    tenant: Tenant, caller: Caller
) -> None:
    original = message_from_string(f"To: {BOB}\nMessage-ID: <x@shop.example>\nSubject: x\n\nx")
    before = await position(tenant)
    for raw in (bounce(None, BOB), bounce(original, BOB), bounce(original, BOB, headers_only=True)):
        result = await receive_email(tenant, caller, raw)
        assert (result.kind, result.known, result.recorded) == (InboundKind.IGNORED, False, 0)
        assert result.why is not None
        assert "nobody" in result.why or "known" in result.why
    assert await position(tenant) == before
    assert await decided(tenant, BOB) == "NOT_SET_ALLOWED"


async def test_a_full_mailbox_and_a_refused_message_suppress_nothing(tenant: Tenant, caller: Caller) -> None:
    for status in ("5.2.2", "5.3.4", "5.7.1", "5.6.0", "5.1.8"):
        result = await receive_email(tenant, caller, bounce(await sent(tenant), ADA, status=status))
        assert (result.kind, result.recorded) == (InboundKind.SOFT_BOUNCE, 1)
    assert await decided(tenant, ADA) == "NOT_SET_ALLOWED"


async def test_the_reply_promises_no_topic_that_a_check_denies(tenant: Tenant, caller: Caller) -> None:
    await update_profile(tenant, caller, ref="default", preference_center=PreferenceCenterPatch(title="Acme Gardens"))
    assert "will get our messages" in str((await sms(tenant, caller, "START")).reply)
    await create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    assert await decided(tenant, NUMBER, Channel.SMS, topic="news") != "OPTED_IN"
    reply = str((await sms(tenant, caller, "START")).reply)
    assert "not on topics" in reply
    assert reply.startswith("Acme Gardens: "), "by the name that the person knows"


async def test_the_reply_to_a_keyword_that_a_later_one_overtook_says_what_holds(tenant: Tenant, caller: Caller) -> None:
    now = tenant.ledger.clock()
    await sms(tenant, caller, "START", received_at=now - timedelta(minutes=1))
    stop = await sms(tenant, caller, "STOP", received_at=now - timedelta(minutes=2))
    assert stop.recorded == 1
    assert "after this STOP" in str(stop.reply)
    await sms(tenant, caller, "STOP", received_at=now)
    start = await sms(tenant, caller, "START", received_at=now - timedelta(seconds=30))
    assert "later choice" in str(start.reply)
    assert await decided(tenant, NUMBER, Channel.SMS) == "OPTED_OUT"


@pytest.mark.parametrize("sender", ["", "nobody", f"{ADA}, {BOB}", "<>", "a@b@c.example"])
async def test_an_unsubscribe_from_nobody_records_nothing(tenant: Tenant, caller: Caller, sender: str) -> None:
    before = await position(tenant)
    raw = f"From: {sender}\nSubject: unsubscribe\n\n".encode()
    result = await receive_email(tenant, caller, raw)
    assert (result.kind, await position(tenant)) == (InboundKind.IGNORED, before)
    assert result.why is not None


# Bad input.


def nested(depth: int) -> bytes:
    message: Message = MIMEText("x")
    for _ in range(depth):
        outer = MIMEMultipart("mixed")
        outer.attach(message)
        message = outer
    return message.as_bytes()


def many_parts(parts: int) -> bytes:
    outer = MIMEMultipart("mixed")
    for _ in range(parts):
        outer.attach(MIMEText("x"))
    return outer.as_bytes()


BROKEN = {
    "nothing": b"",
    "no headers": b"\n\nunsubscribe",
    "noise": bytes(range(256)) * 100,
    "a report without a boundary": b"Content-Type: multipart/report; report-type=feedback-report\n\nFeedback-Type: abuse\n",
    "a report without its fields": report("feedback-report", MIMEText("x"), None),
    "a status without its fields": report("delivery-status", MIMEText("x"), None),
    "no feedback type": report("feedback-report", fields("feedback-report", "Version: 1\n"), None),
    "two feedback types": complaint(None, "Feedback-Type: not-spam"),
    "no recipient": report(
        "delivery-status", fields("delivery-status", "Reporting-MTA: dns; a\n", "Action: failed\n"), None
    ),
    "too many recipients": bounce(None, *(f"a{n}@example.org" for n in range(101))),
    "too many complainers": complaint(None, *(f"Original-Rcpt-To: a{n}@example.org" for n in range(101))),
    "deep": nested(21),
    "deeper": b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(10_000)),
    "messages in messages": b"Content-Type: message/rfc822\n\n" * 30_000,
    "carriage returns": b"\r".join([b'Content-Type: multipart/mixed; boundary="a"\r\r--a'] * 5_000),
    "many parts": many_parts(201),
    "lines": b"Subject: x\n" + b"\n" * 1_000_000,
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN.keys())
async def test_a_mail_that_is_broken_is_refused_in_words_and_at_once(
    tenant: Tenant, caller: Caller, raw: bytes
) -> None:
    before = await position(tenant)
    started = time.perf_counter()
    with pytest.raises(Refusal) as refused:
        await receive_email(tenant, caller, raw)
    assert time.perf_counter() - started < 5
    assert refused.value.code is RefusalCode.INVALID
    assert refused.value.message.startswith("the mail cannot be read: ")
    assert await position(tenant) == before


COMMENTS = b"(" * 15_000
ODD = {
    "comments in To": b"From: ada@example.org\nTo: " + COMMENTS + b"\nSubject: x\n\nx",
    "comments in Content-Type": b"From: ada@example.org\nContent-Type: " + COMMENTS + b"\nSubject: x\n\nx",
    "a header of a megabyte": b"From: ada@example.org\nSubject: " + b"x" * 1_000_000 + b"\n\nx",
    "blanks": b"From: ada@example.org\nSubject: re" + b" " * 900_000 + b"x\n\nx",
    "encoded words": b"From: ada@example.org\nSubject: " + b"=?utf-8?q?=C3=28?= " * 800 + b"\n\nx",
    "an unknown charset": b"From: ada@example.org\nContent-Type: text/plain; charset=klingon\n\n\xff\xfe",
    "a slow charset": b"From: ada@example.org\nContent-Type: text/plain; charset=punycode\n\n" + b"a" * 500_000 + b"-z9z9",
    "a charset that is none": b"From: ada@example.org\nContent-Type: text/plain; charset=hex\n\nzz",
    "tags": b"From: ada@example.org\nContent-Type: text/html\n\n" + b"<style" * 100_000,
    "many blanks before nothing": b"From: ada@example.org\nContent-Type:\n" + b" \n" * 40_000 + b"\nx",
    "another report": report("disposition-notification", fields("disposition-notification", "A: b\n"), None),
    "a boundary that never ends": b'From: a@b.example\nContent-Type: multipart/mixed; boundary="x"\n\n' + b"--x\n" * 150,
    "invalid base64": b"From: a@b.example\nContent-Transfer-Encoding: base64\nSubject: x\n\n@@@@",
}  # fmt: skip


@pytest.mark.parametrize("raw", ODD.values(), ids=ODD.keys())
async def test_a_mail_that_is_odd_changes_nothing_and_takes_no_time(tenant: Tenant, caller: Caller, raw: bytes) -> None:
    before = await position(tenant)
    started = time.perf_counter()
    try:
        assert (await receive_email(tenant, caller, raw)).kind is InboundKind.IGNORED
    except Refusal as refusal:
        assert refusal.message.startswith("the mail cannot be read: ")  # noqa: PT017 - either answer is right
    assert time.perf_counter() - started < 5
    assert await position(tenant) == before


async def test_a_mail_that_is_too_big_is_refused_by_its_size(tenant: Tenant, caller: Caller) -> None:
    with pytest.raises(LimitExceeded):
        await receive_email(tenant, caller, asking(ADA, "unsubscribe", "x" * MAIL_BYTES_MAX))


async def test_a_report_inside_another_mail_is_found_and_one_that_was_forwarded_is_not(
    tenant: Tenant, caller: Caller
) -> None:
    raw = complaint(await sent(tenant))
    forwarded = MIMEMultipart("mixed")
    forwarded["From"] = BOB
    forwarded.attach(MIMEText("Look at this"))
    forwarded.attach(MIMEMessage(message_from_bytes(raw)))
    assert (await receive_email(tenant, caller, forwarded.as_bytes())).kind is InboundKind.IGNORED
    wrapped = MIMEMultipart("mixed")
    wrapped.attach(message_from_bytes(raw))
    wrapped.attach(MIMEText("A footer of a mailing list"))
    assert (await receive_email(tenant, caller, wrapped.as_bytes())).kind is InboundKind.COMPLAINT


@pytest.mark.parametrize("start", ["xxxxxx", "______", "gAAAAA", "AAAAAA"])
async def test_what_only_looks_like_a_token_loses_no_unsubscribe(tenant: Tenant, caller: Caller, start: str) -> None:
    raw = f"From: {ADA}\r\nSubject: unsubscribe {start}{'x' * 60}\r\n\r\nunsubscribe".encode()
    result = await receive_email(tenant, caller, raw)
    assert (result.kind, result.recorded) == (InboundKind.UNSUBSCRIBE, 1)


async def test_every_cut_of_a_report_is_answered(tenant: Tenant, caller: Caller) -> None:
    raw = complaint(await sent(tenant))
    for end in range(0, len(raw), 23):
        try:
            assert (await receive_email(tenant, caller, raw[:end])).kind in (InboundKind.COMPLAINT, InboundKind.IGNORED)
        except Refusal as refusal:
            assert refusal.code is RefusalCode.INVALID  # noqa: PT017 - either answer is right
