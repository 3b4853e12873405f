"""One click ends it, as mailbox providers press it (RFC 8058), and nothing that only looks does."""

import itertools
from email import message_from_bytes, policy
from email.message import EmailMessage, Message

import pytest
from httpx import Response

from domain.catalogue import MessageSubject
from domain.consent import ConsentValue
from domain.preference_center import PreferenceCenterPatch
from ledger.assembly import Caller
from ledger.catalogue import update_profile, update_purpose, update_topic
from ledger.erasure import erase_contact_point
from ledger.links import unsubscribe_links
from tests.web.pages.conftest import ADA, FORM, Recipient
from tests.web.pages.reading import Page

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
COMMERCIAL, NEWS, DEALS = ("commercial", None), ("commercial", "news"), ("commercial", "deals")
OUT, NOT_SET = ConsentValue.OPTED_OUT, ConsentValue.NOT_SET
BOUNDARY = "_----------=_1234"
MULTIPART_TYPE = f'multipart/form-data; boundary="{BOUNDARY}"'
MULTIPART = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--{BOUNDARY}--\r\n'
).encode()


def message_as_received(ada: Recipient, purpose: str, topic: str | None) -> Message:
    """A message with the headers that a sender is given, sent and read again."""
    catalogue = ada.tenant.catalogue
    subject = MessageSubject(
        catalogue.profiles["default"], catalogue.purposes[purpose], catalogue.topics[topic] if topic else None
    )
    links = unsubscribe_links(ada.tenant, subject, ada.link.channel, ADA, "m-1")
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "news@acme.example", ADA, "News"
    for name, value in links.headers:
        message[name] = value
    message.set_content(f"Hello.\n\nYour choices: {links.preference_center_url}\n")
    # By itself the library encodes a header longer than a line; whoever reads it here decodes nothing, as providers do.
    sent = message.as_bytes(policy=policy.SMTP.clone(max_line_length=998))
    return message_from_bytes(sent, policy=policy.compat32)


def address_of(message: Message) -> str:
    """The path of the one URI in the header, as a provider takes it from between the angle brackets."""
    [header] = message.get_all("List-Unsubscribe", [])
    assert header.startswith("<")
    assert header.endswith(">")
    assert "," not in header
    return header[1:-1].partition("://")[2].partition("/")[2]


@pytest.mark.parametrize("how", ["urlencoded", "multipart"])
async def test_a_mailbox_provider_unsubscribes_with_what_the_message_says(ada: Recipient, how: str) -> None:
    message = message_as_received(ada, "commercial", "news")
    assert message.get_all("List-Unsubscribe-Post") == ["List-Unsubscribe=One-Click"]
    body, content_type = (b"List-Unsubscribe=One-Click", FORM) if how == "urlencoded" else (MULTIPART, MULTIPART_TYPE)
    response = await ada.client.post(
        "/" + address_of(message), content=body, headers={"content-type": content_type}, follow_redirects=False
    )
    assert response.status_code == 200
    assert "set-cookie" not in response.headers
    assert (await ada.values())[NEWS] is OUT
    [event] = await ada.captures()
    data = event.entry.data
    assert (data["source"], data["reason"]) == ("ONE_CLICK_UNSUBSCRIBE", "Opt-out - One-click unsubscribe")
    assert event.entry.actor == "RECIPIENT"


async def test_a_transactional_message_has_no_such_headers(ada: Recipient) -> None:
    message = message_as_received(ada, "transactional", None)
    assert message.get("List-Unsubscribe") is None
    assert message.get("List-Unsubscribe-Post") is None


async def test_it_opts_out_of_the_topic_if_the_message_had_one_else_of_the_purpose(ada: Recipient) -> None:
    await ada.post(ONE_CLICK, "u")
    assert await ada.values() | {NEWS: OUT, COMMERCIAL: NOT_SET, DEALS: NOT_SET} == await ada.values()
    await ada.with_link(topic=None).post(ONE_CLICK, "u")
    assert await ada.values() | {NEWS: OUT, COMMERCIAL: OUT, DEALS: NOT_SET} == await ada.values()


async def test_it_is_idempotent_and_says_the_same_each_time(ada: Recipient) -> None:
    answers = [await ada.post(ONE_CLICK, "u") for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(await ada.captures()) == 1


async def test_it_needs_no_login_no_cookie_and_no_origin(ada: Recipient) -> None:
    for headers in ({"origin": "https://evil.example"}, {"cookie": "a=b", "authorization": "Bearer x"}, {}):
        assert (await ada.post(ONE_CLICK, "u", **headers)).status_code == 200


async def test_get_shows_a_page_with_a_button_that_does_it(ada: Recipient) -> None:
    page = await ada.page("u")
    assert "Acme to send you no more messages of this kind: Commercial – News." in page.text
    [form] = page.forms
    assert form.hidden == [("List-Unsubscribe", "One-Click")]
    assert await ada.captures() == []
    told = Page((await ada.post(form.hidden, "u")).text)
    assert "You are unsubscribed" in told.text
    [link] = [a["href"] for a in told.all("a") if a["href"].startswith("../p/")]
    assert link == f"../p/{ada.token}"
    german = Page((await ada.post(form.hidden, "u", "?lang=de")).text)
    assert f"../p/{ada.token}?lang=de" in [a["href"] for a in german.all("a")]


BODIES: list[tuple[str, bytes, str | None]] = [
    ("nothing", b"", FORM),
    ("another field", b"Unsubscribe=One-Click", FORM),
    ("another value", b"List-Unsubscribe=Two-Clicks", FORM),
    ("an empty value", b"List-Unsubscribe=", FORM),
    ("another type", b"List-Unsubscribe=One-Click", "text/plain"),
    ("JSON", b'{"List-Unsubscribe": "One-Click"}', "application/json"),
    ("no type", b"List-Unsubscribe=One-Click", None),
    ("multipart without a boundary", MULTIPART, "multipart/form-data"),
    ("multipart with another boundary", MULTIPART, "multipart/form-data; boundary=x"),
    ("multipart cut short", MULTIPART[:30], MULTIPART_TYPE),
    ("a file", MULTIPART.replace(b'Unsubscribe"', b'Unsubscribe"; filename="f"'), MULTIPART_TYPE),
    ("a part without a name", MULTIPART.replace(b"name=", b"nam="), MULTIPART_TYPE),
    ("an unknown charset", b"\xff=\xfe", FORM + "; charset=undefined"),
    ("a charset that is none", MULTIPART.replace(b"One", b"\xff"), MULTIPART_TYPE + "; charset=undefined"),
    ("many fields", b"&".join(b"a%d=b" % n for n in range(5_000)), FORM),
    ("a long field", b"List-Unsubscribe=One-Click" + b"x" * 20_000, FORM),
]  # fmt: skip


@pytest.mark.parametrize(("body", "content_type"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
async def test_a_post_that_does_not_say_one_click_changes_nothing_and_says_so(
    ada: Recipient, body: bytes, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    response = await ada.client.post(f"/u/{ada.token}", content=body, headers=headers)
    assert response.status_code == 400
    assert "so nothing was changed" in Page(response.text).text
    assert await ada.captures() == []


async def test_further_fields_and_the_field_twice_are_no_reason_to_keep_writing(ada: Recipient) -> None:
    response = await ada.post([("a", "b"), ("List-Unsubscribe", "One-Click"), ("List-Unsubscribe", "One-Click")], "u")
    assert response.status_code == 200
    assert (await ada.values())[NEWS] is OUT


async def test_link_scanners_that_look_at_every_address_change_no_position(ada: Recipient) -> None:
    await ada.change(commercial__deals=False)
    before = await ada.position()
    seen: list[Response] = []
    for _ in range(50):
        for method, path in itertools.product(("GET", "HEAD", "OPTIONS"), ("p", "u")):
            for query in ("", "?List-Unsubscribe=One-Click", "?lang=fr"):
                seen.append(await ada.client.request(method, f"/{path}/{ada.token}{query}"))
    assert {response.status_code for response in seen} == {200, 204, 429}
    assert await ada.position() == before
    assert (await ada.values())[DEALS] is OUT


async def test_it_works_after_renaming_deactivation_and_with_an_external_link(ada: Recipient, caller: Caller) -> None:
    await update_topic(ada.tenant, caller, ref="news", name="Renamed", active=False)
    await update_purpose(ada.tenant, caller, ref="commercial", active=False)
    await update_profile(
        ada.tenant,
        caller,
        ref="default",
        active=False,
        external_link="https://acme.example/prefs",
        preference_center=PreferenceCenterPatch(title="Acme again"),
    )
    page = await ada.page("u")
    assert "Acme again" in page.text
    assert "Commercial – Renamed" in page.text
    assert (await ada.post(ONE_CLICK, "u")).status_code == 200
    assert await ada.recorded() == [("commercial", "news", "OPTED_OUT")]


async def test_after_erasure_it_confirms_politely_and_nothing_is_recorded(ada: Recipient, caller: Caller) -> None:
    live = await ada.post(ONE_CLICK, "u")
    await erase_contact_point(ada.tenant, caller, channel=ada.link.channel, address=ADA, reason="DSAR-1")
    before = await ada.position()
    erased = await ada.post(ONE_CLICK, "u")
    assert (erased.status_code, erased.content) == (200, live.content)
    assert await ada.position() == before


async def test_one_click_of_what_is_sent_in_any_case_says_so(ada: Recipient) -> None:
    page = await ada.with_link(purpose="transactional", topic=None).page("u")
    assert "These messages may reach you whatever you choose here." in page.text
