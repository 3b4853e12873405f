"""What comes in and is not what it seems: ids that two messages share, lists of strangers, others' failures, odd spellings."""

import re
from base64 import b64encode
from datetime import timedelta
from email.message import EmailMessage

import pytest

from domain.addresses import Channel
from domain.catalogue import DoubleOptInMode
from domain.consent import ConsentSource, ConsentValue
from domain.refusals import Refusal, RefusalCode
from ledger.assembly import Caller, Tenant
from ledger.catalogue import update_profile
from ledger.double_opt_in import confirm_double_opt_in, open_confirmation, request_double_opt_in
from ledger.erasure import erase_contact_point
from ledger.inbound_email import RECIPIENTS_BELIEVED_MAX, receive_email
from ledger.inbound_sms import RECIPIENT, InboundKind
from ledger.record import Capture, record_consent
from ledger.tenants import create_tenant
from ledger.text_message_fields import _SPELLED
from tests.conftest import Clock
from tests.ledger.test_inbound import (
    ADA,
    BOB,
    NUMBER,
    asking,
    bounce,
    complaint,
    decided,
    evidence_of,
    fields,
    opted_in,
    position,
    report,
    sent,
    sms,
    token_of,
)

CAROL = "carol@example.org"


async def said(tenant: Tenant, caller: Caller, value: ConsentValue, **named: object) -> None:
    """What an operator records of Ada."""
    capture = {"channel": Channel.EMAIL, "address": ADA, "purpose": "commercial", "source": ConsentSource.AGENT}
    await record_consent(tenant, caller, Capture(value=value, **{**capture, **named}))  # pyright: ignore[reportArgumentType]


# Text messages: fields beside the words.


@pytest.mark.parametrize("locale", ["x" * 36, "de\x00", "de\x07", "\ud800"])
async def test_a_locale_that_is_none_refuses_no_stop(tenant: Tenant, caller: Caller, locale: str) -> None:
    await opted_in(tenant, caller, NUMBER, Channel.SMS)
    result = await sms(tenant, caller, "STOP", locale=locale)
    assert (result.recorded, result.left_out) == (1, ("locale",))
    [evidence] = await evidence_of(tenant, result)
    assert list(evidence["attributes"]["leftOut"]) == ["locale"]
    assert await decided(tenant, NUMBER, Channel.SMS) == "OPTED_OUT"
    with pytest.raises(Refusal) as refused:
        await sms(tenant, caller, "START", locale=locale)
    assert refused.value.path == ("locale",)


@pytest.mark.parametrize(
    "at", ["yesterday", "2026-06-01T12:00:00", "", "0001-01-01T00:00:00+14:00", "9" * 5_000, "\ud800"]
)
async def test_a_time_that_is_none_refuses_no_stop(tenant: Tenant, caller: Caller, at: str) -> None:
    await opted_in(tenant, caller, NUMBER, Channel.SMS)
    result = await sms(tenant, caller, "STOP", received_at=at, message_id="SM1")
    assert (result.recorded, result.left_out) == (1, ("receivedAt",))
    assert await decided(tenant, NUMBER, Channel.SMS) == "OPTED_OUT", "it counts from when it came"
    assert (await sms(tenant, caller, "STOP", received_at=at, message_id="SM1")).recorded == 0
    with pytest.raises(Refusal) as refused:
        await sms(tenant, caller, "START", received_at=at)
    assert refused.value.path == ("receivedAt",)


async def test_a_clock_far_ahead_refuses_no_stop_and_comes_true_without_a_conflict(
    clocked_tenant: Tenant, caller: Caller, clock: Clock
) -> None:
    ahead = clock.now + timedelta(minutes=6)
    await opted_in(clocked_tenant, caller, NUMBER, Channel.SMS)
    result = await sms(clocked_tenant, caller, "STOP", received_at=ahead, message_id="SM1")
    assert (result.recorded, result.left_out) == (1, ("receivedAt",))
    [event] = result.events
    assert event.entry.effective_at == event.entry.recorded_at
    assert (await sms(clocked_tenant, caller, "STOP", received_at=ahead, message_id="SM1")).recorded == 0
    clock.now += timedelta(minutes=2)
    again = await sms(clocked_tenant, caller, "STOP", received_at=ahead, message_id="SM1")
    assert again.left_out == ()
    assert await decided(clocked_tenant, NUMBER, Channel.SMS) == "OPTED_OUT"


@pytest.mark.parametrize("message_id", ["x" * 501, "a\x00b", "\ud800"])
async def test_an_id_that_is_none_refuses_no_stop(tenant: Tenant, caller: Caller, message_id: str) -> None:
    result = await sms(tenant, caller, "STOP", message_id=message_id)
    assert (result.recorded, result.left_out) == (1, ("messageId",))
    assert (await sms(tenant, caller, "STOP", message_id=message_id)).recorded == 0, "the same message all the same"
    with pytest.raises(Refusal):
        await sms(tenant, caller, "START", message_id=message_id)


async def test_everything_wrong_at_once_refuses_no_stop(tenant: Tenant, caller: Caller) -> None:
    wrong = "\x01" * 1_000
    result = await sms(tenant, caller, "STOP" + "\x01" * 990, message_id=wrong, locale=wrong, received_at=wrong)
    assert (result.recorded, result.left_out) == (1, ("messageId", "locale", "receivedAt"))


@pytest.mark.parametrize(
    "sender",
    [
        f"whatsapp:{NUMBER}", f"WhatsApp:{NUMBER}", f"tel:{NUMBER}", "tel:+49-30-123456;phone-context=example.org",
        f"sms:{NUMBER}", f"rcs:{NUMBER}", "004930123456", "00 49 30 123456", "tel:004930123456", "whatsapp:004930123456",
        f" whatsapp: {NUMBER} ",
    ],
)  # fmt: skip
async def test_a_number_in_a_providers_spelling_refuses_no_stop(tenant: Tenant, caller: Caller, sender: str) -> None:
    await opted_in(tenant, caller, NUMBER, Channel.SMS)
    result = await sms(tenant, caller, "STOP", sender=sender)
    assert (result.known, result.recorded) == (True, 1)
    assert await decided(tenant, NUMBER, Channel.SMS) == "OPTED_OUT"
    with pytest.raises(Refusal) as refused:
        await sms(tenant, caller, "START", sender=sender)
    assert refused.value.code is RefusalCode.INVALID_ADDRESS


@pytest.mark.parametrize(
    "sender", ["whatsapp:", "tel:7042;phone-context=example.org", "tel:2025550123;phone-context=+1", "fax:+4930123456",
               "00", "000049 30 123456", "whatsapp:whatsapp:+4930123456", "+", "tel:+", "00\n49"]
)  # fmt: skip
async def test_what_names_no_one_number_is_refused(tenant: Tenant, caller: Caller, sender: str) -> None:
    with pytest.raises(Refusal) as refused:
        await sms(tenant, caller, "STOP", sender=sender)
    assert refused.value.code is RefusalCode.INVALID_ADDRESS


# Ids that messages share.


async def test_of_texts_that_share_an_id_the_latest_word_counts(tenant: Tenant, caller: Caller) -> None:
    for text, message_id, reason in (
        ("STOP", "A", "OPTED_OUT"), ("START", "B", "OPTED_IN"), ("STOP", "A", "OPTED_OUT"), ("START", "C", "OPTED_IN"),
        ("STOP", "A", "OPTED_OUT"),
    ):  # fmt: skip
        assert (await sms(tenant, caller, text, message_id=message_id)).recorded == 1
        assert await decided(tenant, NUMBER, Channel.SMS) == reason
    assert (await sms(tenant, caller, "STOP", message_id="A")).recorded == 0, "nothing came in between"
    assert (await sms(tenant, caller, "START", message_id="C")).recorded == 0
    assert await decided(tenant, NUMBER, Channel.SMS) == "OPTED_OUT", "in doubt nobody opted in"


async def test_a_stop_that_says_when_it_was_sent_is_the_same_one_wherever_it_comes(
    tenant: Tenant, caller: Caller
) -> None:
    at = tenant.ledger.clock() - timedelta(hours=1)
    first = await sms(tenant, caller, "STOP", message_id="A", received_at=at)
    await sms(tenant, caller, "START", message_id="B")
    again = await sms(tenant, caller, "STOP", message_id="A", received_at=at)
    assert (first.recorded, again.recorded, again.positions) == (1, 0, first.positions)
    assert await decided(tenant, NUMBER, Channel.SMS) == "OPTED_IN"
    assert (await sms(tenant, caller, "STOP", message_id="A", received_at=at + timedelta(minutes=1))).recorded == 1


async def test_of_mails_that_share_an_id_the_latest_word_counts(tenant: Tenant, caller: Caller) -> None:
    mail = asking(ADA, "unsubscribe", Message_ID="<1@example.org>")
    for _ in range(2):
        assert (await receive_email(tenant, caller, mail)).recorded == 1
        assert (await receive_email(tenant, caller, mail)).recorded == 0
        await opted_in(tenant, caller)
        assert await decided(tenant, ADA) == "OPTED_IN"
    assert (await receive_email(tenant, caller, mail)).recorded == 1
    assert await decided(tenant, ADA) == "OPTED_OUT"


async def test_a_repeated_opt_out_wins_over_a_reset_and_over_an_erasure_that_left_nothing(
    tenant: Tenant, caller: Caller
) -> None:
    mail = asking(ADA, "unsubscribe", Message_ID="<1@example.org>")
    await receive_email(tenant, caller, mail)
    await said(tenant, caller, ConsentValue.NOT_SET)
    assert await decided(tenant, ADA) == "NOT_SET_ALLOWED"
    assert (await receive_email(tenant, caller, mail)).recorded == 1
    assert await decided(tenant, ADA) == "OPTED_OUT"
    await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address=ADA, reason="test", keep_suppression=False)
    assert await decided(tenant, ADA) == "NOT_SET_ALLOWED"
    assert (await receive_email(tenant, caller, mail)).recorded == 1
    assert await decided(tenant, ADA) == "OPTED_OUT"
    await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address=ADA, reason="test")
    assert (await receive_email(tenant, caller, mail)).recorded == 0, "who is suppressed is not stored again"
    assert await decided(tenant, ADA) == "SUPPRESSED"
    await said(tenant, caller, ConsentValue.OPTED_IN, actor=RECIPIENT)
    assert await decided(tenant, ADA) == "OPTED_IN"
    assert (await receive_email(tenant, caller, mail)).recorded == 1
    assert await decided(tenant, ADA) == "OPTED_OUT"


async def test_a_repeated_opt_out_wins_over_a_confirmation_that_is_awaited(
    clocked_tenant: Tenant, caller: Caller, clock: Clock
) -> None:
    await update_profile(clocked_tenant, caller, ref="default", double_opt_in=DoubleOptInMode.EVERY_SUBMISSION)
    mail = asking(ADA, "unsubscribe", Message_ID="<1@example.org>")
    await receive_email(clocked_tenant, caller, mail)
    clock.now += timedelta(hours=1)
    requested = await request_double_opt_in(
        clocked_tenant, caller, channel=Channel.EMAIL, address=ADA, purpose="commercial"
    )
    clock.now += timedelta(hours=1)
    assert (await receive_email(clocked_tenant, caller, mail)).recorded == 1
    assert requested.token is not None
    await confirm_double_opt_in(*await open_confirmation(clocked_tenant.ledger, requested.token))
    assert await decided(clocked_tenant, ADA) == "OPTED_OUT"


async def test_a_key_that_stands_for_something_else_refuses_no_stop(tenant: Tenant, caller: Caller) -> None:
    await sms(tenant, caller, "START", idempotency_key="k")
    assert (await sms(tenant, caller, "STOP", idempotency_key="k")).recorded == 1
    assert await decided(tenant, NUMBER, Channel.SMS) == "OPTED_OUT"


# Reports: whom they are about.


def original_with(*urls: str) -> EmailMessage:
    """A returned message with these links of an unsubscribe, its recipient redacted."""
    message = EmailMessage()
    message["To"] = "redacted@provider.example"
    message["List-Unsubscribe"] = ", ".join(f"<{url}>" for url in urls)
    message.set_content("Hello")
    return message


async def test_a_link_of_ours_is_found_behind_any_that_are_none(tenant: Tenant, caller: Caller) -> None:
    token = token_of(await sent(tenant))
    foreign = await create_tenant(tenant.ledger, f"{tenant.key}-foreign", "Foreign")
    junk = [f"https://x.example/u/{'A' * 27}{number:03}" for number in range(50)]
    ours_alike = [f"https://x.example/u/{token[:-4]}{number:04}" for number in range(50)]
    theirs = f"https://x.example/u/{token_of(await sent(foreign))}"
    raw = complaint(original_with(*junk, *ours_alike, theirs, f"https://x.example/u/{token}"))
    assert (await receive_email(tenant, caller, raw)).recorded == 1
    assert await decided(tenant, ADA) == "OPTED_OUT"
    letter = asking(BOB, f"unsubscribe {' '.join('x' * 30 + str(number) for number in range(9))} {token}")
    assert (await receive_email(tenant, caller, letter)).kind is InboundKind.UNSUBSCRIBE


async def test_a_complaint_with_a_link_counts_however_many_it_names(tenant: Tenant, caller: Caller) -> None:
    raw = complaint(await sent(tenant), *(f"Original-Rcpt-To: a{n}@example.org" for n in range(101)))
    assert (await receive_email(tenant, caller, raw)).recorded == 1
    assert await decided(tenant, ADA) == "OPTED_OUT"


async def test_a_complaint_without_a_link_makes_no_contact_points(tenant: Tenant, caller: Caller) -> None:
    before = await position(tenant)
    for count in (1, RECIPIENTS_BELIEVED_MAX, 100):
        raw = complaint(None, *(f"Original-Rcpt-To: a{n}@example.org" for n in range(count)))
        result = await receive_email(tenant, caller, raw)
        assert (result.kind, result.recorded, await position(tenant)) == (InboundKind.IGNORED, 0, before)
        assert result.why is not None


async def test_a_complaint_without_a_link_is_of_one_address_of_ours(tenant: Tenant, caller: Caller) -> None:
    await opted_in(tenant, caller, BOB)
    await opted_in(tenant, caller, CAROL)
    raw = complaint(None, *(f"Original-Rcpt-To: {address}" for address in (ADA, BOB, CAROL)))
    result = await receive_email(tenant, caller, raw)
    assert (result.kind, result.recorded, result.known) == (InboundKind.COMPLAINT, 1, True)
    assert [await decided(tenant, address) for address in (ADA, BOB, CAROL)] == [
        "NOT_SET_ALLOWED",
        "OPTED_OUT",
        "OPTED_IN",
    ]
    many = [f"Original-Rcpt-To: a{n}@example.org" for n in range(RECIPIENTS_BELIEVED_MAX)]
    result = await receive_email(tenant, caller, complaint(None, *many, f"Original-Rcpt-To: {CAROL}"))
    assert (result.kind, await decided(tenant, CAROL)) == (InboundKind.IGNORED, "OPTED_IN"), "a list, not a message"


async def test_a_bounce_without_a_link_is_of_one_address_of_ours(tenant: Tenant, caller: Caller) -> None:
    for address in (ADA, BOB, CAROL):
        await opted_in(tenant, caller, address)
    result = await receive_email(tenant, caller, bounce(None, "nobody@example.org", ADA, BOB, CAROL))
    assert (result.kind, result.recorded) == (InboundKind.HARD_BOUNCE, 1)
    assert [await decided(tenant, address) for address in (ADA, BOB, CAROL)] == ["SUPPRESSED", "OPTED_IN", "OPTED_IN"]
    many = [f"a{n}@example.org" for n in range(RECIPIENTS_BELIEVED_MAX)]
    for raw in (bounce(None, *many, BOB), bounce(None, *(f"a{n}@example.org" for n in range(99)), BOB)):
        assert (await receive_email(tenant, caller, raw)).kind is InboundKind.IGNORED
    assert await decided(tenant, BOB) == "OPTED_IN"


def status_of(*blocks: tuple[str, str, str]) -> tuple[str, ...]:
    """Fields of a delivery status, by recipient, action and status."""
    return tuple(
        f"Final-Recipient: rfc822;{recipient}\nAction: {action}\nStatus: {status}\n"
        for recipient, action, status in blocks
    )


FAILED, DELIVERED, DELAYED = ("failed", "5.1.1"), ("delivered", "2.0.0"), ("delayed", "4.2.2")


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [
        ([(ADA, *DELIVERED), (BOB, *FAILED)], "OPTED_IN"),
        ([(BOB, *FAILED), (ADA, *DELIVERED)], "OPTED_IN"),
        ([(BOB, *FAILED)], "OPTED_IN"),
        ([(ADA, *DELIVERED), ("redacted", *FAILED)], "OPTED_IN"),
        ([(ADA, *DELIVERED), (ADA, *FAILED)], "OPTED_IN"),
        ([("redacted", *FAILED), ("redacted", *FAILED)], "OPTED_IN"),
        ([(ADA, *DELAYED), (BOB, *FAILED)], "OPTED_IN"),
        ([(BOB, *DELIVERED), (ADA, *FAILED)], "SUPPRESSED"),
        ([(BOB, *FAILED), (ADA, *FAILED)], "SUPPRESSED"),
        ([(ADA, *DELAYED), (ADA, *FAILED)], "SUPPRESSED"),
        ([("redacted", *FAILED)], "SUPPRESSED"),
        ([(ADA.upper(), *FAILED)], "SUPPRESSED"),
    ],
)  # fmt: skip
async def test_each_block_of_a_delivery_status_is_about_its_own_recipient(
    tenant: Tenant, caller: Caller, blocks: list[tuple[str, str, str]], reason: str
) -> None:
    await opted_in(tenant, caller)
    await opted_in(tenant, caller, BOB)
    machine = fields("delivery-status", "Reporting-MTA: dns; mail.provider.example\n", *status_of(*blocks))
    await receive_email(tenant, caller, report("delivery-status", machine, await sent(tenant)))
    assert await decided(tenant, ADA) == reason
    assert await decided(tenant, BOB) == "OPTED_IN", "the link is none of theirs"


async def test_a_forwarded_message_that_failed_further_on_is_of_who_it_was_for_where_the_report_says_so(
    tenant: Tenant, caller: Caller
) -> None:
    [block] = status_of((CAROL, *FAILED))
    machine = fields("delivery-status", "Reporting-MTA: dns; a\n", f"Original-Recipient: rfc822;{ADA}\n{block}")
    result = await receive_email(tenant, caller, report("delivery-status", machine, await sent(tenant)))
    assert result.kind is InboundKind.HARD_BOUNCE
    assert await decided(tenant, ADA) == "SUPPRESSED"
    assert await decided(tenant, CAROL) == "NOT_SET_ALLOWED"


@pytest.mark.parametrize(
    ("said_first", "said_then"),
    [(b"550 no such user", b"550 user unknown"), (b"Action: failed", b"Action: delayed"), (b"<original-1@", b"<original-2@")],
)  # fmt: skip
async def test_a_bounce_that_shares_an_id_and_says_something_else_is_another(
    tenant: Tenant, caller: Caller, said_first: bytes, said_then: bytes
) -> None:
    raw = bounce(await sent(tenant), ADA)
    other = raw.replace(said_first, said_then)
    assert other != raw
    assert [(await receive_email(tenant, caller, mail)).recorded for mail in (raw, other, raw, other)] == [1, 1, 0, 0]


# Mails that are written in odd ways.


async def test_a_report_that_says_twice_what_it_is_is_none(tenant: Tenant, caller: Caller) -> None:
    before = await position(tenant)
    with pytest.raises(Refusal) as refused:
        await receive_email(tenant, caller, complaint(await sent(tenant), "Feedback-Type: abuse"))
    assert "Feedback-Type exactly once" in refused.value.message
    assert await position(tenant) == before


@pytest.mark.parametrize(
    ("charset", "body"),
    [
        ("unicode_escape", b"unsubscribe \\ud800"), ("raw_unicode_escape", b"unsubscribe \\ud800"),
        ("Unicode-Escape", b"unsubscribe \\N{no such}"), ("utf-7", b"unsubscribe +2AA-"), ("utf-7", b"unsubscribe +2-\xff"),
        ("undefined", b"unsubscribe"), ("rot13", b"unsubscribe"), ("idna", b"unsubscribe"), ("klingon", b"unsubscribe\xff"),
        ("utf-16", "unsubscribe \ud800".encode("utf-16", "surrogatepass")), ("utf-8", b"unsubscribe \xed\xa0\x80\x00"),
        ("utf-32", b"\xff\xfe\x00\x00" + "unsubscribe".encode("utf-32-le") + b"\x00\xd8\x00\x00"),
        ("cp037", "unsubscribe".encode("cp037")), ('"a\x00b"', b"unsubscribe"), ("*", b"unsubscribe"),
    ],
)  # fmt: skip
async def test_an_odd_charset_refuses_no_unsubscribe(tenant: Tenant, caller: Caller, charset: str, body: bytes) -> None:
    headers = f"From: {ADA}\r\nSubject: Hello\r\nContent-Type: text/plain; charset={charset}\r\n".encode()
    raw = headers + b"Content-Transfer-Encoding: base64\r\n\r\n" + b64encode(body) + b"\r\n"
    result = await receive_email(tenant, caller, raw)
    assert (result.kind, result.recorded) == (InboundKind.UNSUBSCRIBE, 1)
    [evidence] = await evidence_of(tenant, result)
    assert evidence["attributes"]["text"].startswith("unsubscribe")


def test_blanks_before_a_number_are_looked_through_once() -> None:
    """Two repeats of blanks, with nothing needed between them, would take their number squared where no number follows."""
    assert r":)?\s*" not in _SPELLED.pattern
    for sender in (" tel: +49 30 123456 ;ext=1", "  +49 30 123456", "\ttel:+4930", "sms : +49", "   ", "tel:", "49"):
        plainly = re.fullmatch(
            r"\s*(?:(?:whatsapp|tel|sms|mms|rcs):)?\s*(?:\+|\uff0b|00(?=[1-9 ]))([^;]*)(?:;.*)?", sender, re.IGNORECASE
        )
        spelled = _SPELLED.fullmatch(sender)
        assert (spelled and spelled[1]) == (plainly and plainly[1])
