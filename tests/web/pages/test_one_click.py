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
from tests.web.pages.reading import Page, words

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
    assert (await ada.values())[NEWS] is OUT
    assert len(await ada.captures()) == 3, "each is evidence, and counts from when it came"


async def test_it_needs_no_login_no_cookie_and_no_origin(ada: Recipient) -> None:
    for headers in ({"origin": "https://evil.example"}, {"cookie": "a=b", "authorization": "Bearer x"}, {}):
        assert (await ada.post(ONE_CLICK, "u", **headers)).status_code == 200


async def test_get_shows_a_page_with_a_button_that_does_it(ada: Recipient) -> None:
    page = await ada.page("u")
    assert "Acme to send you no more messages of this kind: Commercial – News." in page.text
    [form] = page.forms
    assert [name for name, _ in form.hidden] == ["List-Unsubscribe", "form"]
    assert form.hidden[0] == ("List-Unsubscribe", "One-Click")
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
    ("multipart cut short", MULTIPART[:30], MULTIPART_TYPE),
    ("a part without a name", MULTIPART.replace(b"name=", b"nam="), MULTIPART_TYPE),
    ("an unknown charset", b"\xff=\xfe", FORM + "; charset=undefined"),
    ("a charset that is none", MULTIPART.replace(b"One", b"\xff"), MULTIPART_TYPE + "; charset=undefined"),
    ("many fields", b"&".join(b"a%d=b" % n for n in range(5_000)), FORM),
    ("more after it", b"List-Unsubscribe=One-Click-Not", "text/plain"),
    ("more before it", b"X-List-Unsubscribe=One-Click", "text/plain"),
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


WRITTEN: list[tuple[str, bytes, str | None]] = [
    ("another type", b"List-Unsubscribe=One-Click", "text/plain"),
    ("no type", b"List-Unsubscribe=One-Click", None),
    ("a type that is none", b"List-Unsubscribe=One-Click", "x"),
    ("JSON", b'{"List-Unsubscribe": "One-Click"}', "application/json"),
    ("a line's end behind", b"List-Unsubscribe=One-Click\r\n", FORM),
    ("blanks around", b"  List-Unsubscribe=One-Click  ", FORM),
    ("blanks around the sign", b"List-Unsubscribe = One-Click", "text/plain"),
    ("small letters", b"list-unsubscribe=one-click", FORM),
    ("capitals", b"LIST-UNSUBSCRIBE=ONE-CLICK", None),
    ("percent signs", b"List%2DUnsubscribe=One%2DClick", FORM),
    ("multipart in small letters", MULTIPART.lower(), MULTIPART_TYPE),
    ("multipart without a boundary", MULTIPART, "multipart/form-data"),
    ("multipart with another boundary", MULTIPART, "multipart/form-data; boundary=x"),
    ("multipart with bare line ends", MULTIPART.replace(b"\r", b""), "multipart/form-data"),
    ("a file", MULTIPART.replace(b'Unsubscribe"', b'Unsubscribe"; filename="f"'), MULTIPART_TYPE),
]  # fmt: skip


@pytest.mark.parametrize(("body", "content_type"), [row[1:] for row in WRITTEN], ids=[row[0] for row in WRITTEN])
@pytest.mark.parametrize("path", ["u", "p"])
async def test_a_post_that_says_one_click_opts_out_however_it_is_written_and_at_either_address(
    ada: Recipient, body: bytes, content_type: str | None, path: str
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    response = await ada.client.post(f"/{path}/{ada.token}", content=body, headers=headers)
    assert response.status_code == 200
    assert "You are unsubscribed" in Page(response.text).text
    [event] = await ada.captures()
    assert (event.entry.data["value"], event.entry.data["source"]) == ("OPTED_OUT", "ONE_CLICK_UNSUBSCRIBE")


async def test_what_was_shown_is_kept_and_a_mail_programs_click_is_told_apart(ada: Recipient) -> None:
    page = await ada.page("u", "?lang=de")
    await ada.post(page.forms[0].hidden, "u", sec_gpc="1")
    pressed = await ada.last_evidence()
    assert (pressed["locale"], pressed["method"], pressed["attributes"]) == (
        "de",
        "one-click page, button",
        {"gpc": True},
    )
    shown = pressed["noticeText"]
    assert words(shown.splitlines()[2]) in page.squeezed.replace("\n", "").replace(" ", ""), "the very words"
    assert "[Abmelden]" in shown
    await ada.with_link(topic="deals").post(ONE_CLICK, "u")
    by_program = await ada.last_evidence()
    assert "noticeText" not in by_program
    assert "locale" not in by_program
    assert "RFC 8058" in by_program["method"]
    other = dict(page.forms[0].hidden) | {"form": "x"}
    await ada.with_link(topic=None).post(other, "u")
    assert "noticeText" not in await ada.last_evidence(), "a seal that is none keeps nobody from leaving"
    assert (await ada.values())[COMMERCIAL] is OUT


async def test_a_link_that_was_used_says_what_is_so_already(ada: Recipient) -> None:
    before = await ada.page("u")
    assert before.forms
    await ada.post(ONE_CLICK, "u")
    size = await ada.position()
    after = await ada.page("u")
    assert "You are unsubscribed already" in after.text
    assert not after.forms
    assert await ada.position() == size
    await ada.change(commercial__news=True)
    assert (await ada.page("u")).forms, "who came back can leave again"


async def test_all_choices_are_where_the_profile_has_them(ada: Recipient, caller: Caller) -> None:
    link = "https://acme.example/prefs?t={{topicid}}&m={{messageid}}&c={{contact}}"
    await update_profile(ada.tenant, caller, ref="default", external_link=link)
    for page in (await ada.page("u"), Page((await ada.post(ONE_CLICK, "u")).text)):
        addresses = [a["href"] for a in page.all("a")]
        assert "https://acme.example/prefs?t=news&m=m-1&c=" in addresses
        assert not any("/p/" in address for address in addresses)


async def test_further_fields_and_the_field_twice_are_no_reason_to_keep_writing(ada: Recipient) -> None:
    response = await ada.post([("a", "b"), ("List-Unsubscribe", "One-Click"), ("List-Unsubscribe", "One-Click")], "u")
    assert response.status_code == 200
    assert (await ada.values())[NEWS] is OUT


_FILE = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'.encode() + b"\xff" * 300_000


@pytest.mark.parametrize(
    "body",
    [
        _FILE + b"\r\n" + MULTIPART,
        (_FILE[:100] + b"\r\n") * 50 + MULTIPART,
        MULTIPART.replace(b'Unsubscribe"', b'Unsubscribe"; filename="f"'),
    ],
    ids=["a file", "files", "the field as a file"],
)
async def test_a_file_in_the_form_is_no_reason_to_keep_writing(ada: Recipient, body: bytes) -> None:
    response = await ada.client.post(f"/u/{ada.token}", content=body, headers={"content-type": MULTIPART_TYPE})
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


async def test_after_erasure_it_says_the_same_and_is_recorded_with_the_address_alone(
    ada: Recipient, caller: Caller
) -> None:
    live = await ada.post(ONE_CLICK, "u")
    await erase_contact_point(ada.tenant, caller, channel=ada.link.channel, address=ADA, reason="DSAR-1")
    erased = await ada.post(ONE_CLICK, "u")
    assert (erased.status_code, erased.content) == (200, live.content)
    [_, event] = await ada.captures()
    assert event.entry.data["value"] == "OPTED_OUT"
    assert event.entry.personal.keys() == {"address"}, "no message, and nothing else of who was erased"


async def test_one_click_of_what_is_sent_in_any_case_says_so(ada: Recipient) -> None:
    page = await ada.with_link(purpose="transactional", topic=None).page("u")
    assert "These messages may reach you whatever you choose here." in page.text
    told = Page((await ada.with_link(purpose="transactional", topic=None).post(ONE_CLICK, "u")).text).text
    assert "Your choice is noted" in told
    assert "sends you no more" not in told, "it does not say what is not so"
    assert "They may reach you all the same" in told
