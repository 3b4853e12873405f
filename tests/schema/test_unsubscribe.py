"""The links and headers that go with a decision: RFC 2369 and RFC 8058, external links, and that a link works for ever."""

import re
from base64 import urlsafe_b64decode
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ledger.links import LinkInvalid, open_message_link
from ledger.signing import rotate_signing_key
from tests.schema.conftest import Asker

LINKS = "{ preferenceCenterUrl oneClickUrl headers { name value } }"
ASK = f"""query($input: CheckConsentInput!, $message: String, $attributes: JSON) {{
  checkConsent(input: $input) {{ unsubscribe(messageId: $message, attributes: $attributes) {LINKS} }} }}"""
ANN = {"address": " Ann@Example.org ", "purpose": "commercial"}


async def links(ask: Asker, message: str | None = None, attributes: Any = None, **fields: Any) -> Any:
    given = {"input": {**ANN, **fields}, "message": message, "attributes": attributes}
    return (await ask.data(ASK, **given))["checkConsent"]["unsubscribe"]


def token_of(url: str) -> str:
    return urlsplit(url).path.rsplit("/", 1)[1]


async def test_a_commercial_message_gets_page_one_click_and_headers(ask: Asker) -> None:
    found = await links(ask, "m-1")
    token = token_of(found["oneClickUrl"])
    assert found["preferenceCenterUrl"] == f"http://127.0.0.1:8080/p/{token}"
    assert found["headers"] == [
        {"name": "List-Unsubscribe", "value": f"<http://127.0.0.1:8080/u/{token}>"},
        {"name": "List-Unsubscribe-Post", "value": "List-Unsubscribe=One-Click"},
    ]
    message = EmailMessage()
    for header in found["headers"]:
        message[header["name"]] = header["value"]
    assert message["List-Unsubscribe"] == found["headers"][0]["value"]
    assert await links(ask, "m-1") == found, "the same message has the same link"
    assert await links(ask, "m-2") != found


async def test_a_token_says_nothing_and_names_everything_as_it_was(ask: Asker) -> None:
    await ask.data(
        'mutation { createTopic(input: {key: "news", name: "News", purpose: "commercial"}) { errors { code } } }'
    )
    token = token_of((await links(ask, "m-1", topic="news"))["oneClickUrl"])
    # Words so long that chance does not write them.
    for word in ("ann@example", "example", "commercial", "default"):
        assert word not in token.lower()
        assert word.encode() not in urlsafe_b64decode(token + "=" * (-len(token) % 4))
    tenant, link = await open_message_link(ask.tenant.ledger, token)
    assert tenant is ask.tenant
    assert (link.channel, link.address, link.profile) == ("EMAIL", "ann@example.org", "default")
    assert (link.purpose, link.topic, link.message_id) == ("commercial", "news", "m-1")


async def test_transactional_messages_get_no_headers_and_other_channels_no_mail_headers(ask: Asker) -> None:
    found = await links(ask, purpose="transactional")
    assert (found["oneClickUrl"], found["headers"]) == (None, [])
    assert found["preferenceCenterUrl"].startswith("http://127.0.0.1:8080/p/")
    found = await links(ask, address="+4930123456", channel="SMS")
    assert found["oneClickUrl"].startswith("http://127.0.0.1:8080/u/")
    assert found["headers"] == []
    assert await links(ask, address="none") is None


async def test_an_external_link_has_its_placeholders_filled(ask: Asker) -> None:
    guid = "https://brand.example/c?m={{messageid}}&p={{purposeid}}&t={{topicid}}&x={{segment}}&y={{unknown}}"
    update = """mutation($link: String!) {
      updateComplianceProfile(input: {ref: "default", externalLink: $link}) { errors { code } } }"""
    await ask.data(update, link=guid)
    found = await links(ask, "a b&c", {"segment": "spring/1"})
    assert found["preferenceCenterUrl"] == ("https://brand.example/c?m=a%20b%26c&p=commercial&t=&x=spring%2F1&y=")
    assert found["oneClickUrl"].startswith("http://127.0.0.1:8080/u/"), "one click stays ours"
    profile = await ask.data('{ complianceProfile(ref: "default") { preferenceCenter { url } externalLink } }')
    assert profile["complianceProfile"] == {"preferenceCenter": None, "externalLink": guid}


@pytest.mark.parametrize(
    ("message", "attributes", "path"),
    [("m" * 101, None, "messageId"), ("a\x00", None, "messageId"), (None, ["a"], "attributes"), (None, {"a": 1}, "attributes"),
     (None, {"a": "x" * 501}, "attributes"), (None, {str(n): "" for n in range(21)}, "attributes")],
)  # fmt: skip
async def test_what_does_not_fit_into_a_link_is_told(ask: Asker, message: Any, attributes: Any, path: str) -> None:
    refusal = await ask.refused(ASK, input=ANN, message=message, attributes=attributes)
    assert refusal.path == (path,)


async def test_the_longest_link_fits_into_a_header(ask: Asker) -> None:
    address = f"{'a' * 64}@{'.'.join(['b' * 58] * 3)}.example"
    found = await links(ask, "m" * 100, address=address)
    assert len(f"List-Unsubscribe: {found['headers'][0]['value']}") < 998


async def test_links_work_after_renaming_deactivation_rotation_and_erasure(ask: Asker) -> None:
    await ask.record("ann@example.org", "OPTED_IN")
    token = token_of((await links(ask))["oneClickUrl"])
    await ask.data(
        """mutation {
          updateComplianceProfile(input: {ref: "default", name: "Renamed", active: false}) { errors { code } }
          updatePurpose(input: {ref: "commercial", name: "Renamed", active: false}) { errors { code } }
          eraseContactPoint(input: {address: "ann@example.org", reason: "asked"}) { errors { code } }
        }"""
    )
    await rotate_signing_key(ask.tenant, ask.caller)
    for _ in range(2):
        _, link = await open_message_link(ask.tenant.ledger, token)
        assert (link.address, link.purpose) == ("ann@example.org", "commercial")


async def test_tokens_of_others_and_changed_ones_are_none(ask: Asker) -> None:
    token = token_of((await links(ask))["oneClickUrl"])
    other = ("A" if token[-3] != "A" else "B").join((token[:-3], token[-2:]))
    for bad in (
        "",
        "x",
        token[:-1],
        token + "=",
        token + "A",
        other,
        "AAAAAA" + token[6:],
        "\u00e4" * 40,
        "A" * 10_000,
    ):
        with pytest.raises(LinkInvalid):
            await open_message_link(ask.tenant.ledger, bad)


async def test_the_hosted_pages_settings(ask: Asker) -> None:
    document = """mutation($page: PreferenceCenterInput) {
      updateComplianceProfile(input: {ref: "default", preferenceCenter: $page}) {
        complianceProfile { version preferenceCenter { url title locale brandColor logoUrl showTracking } }
        errors { code path } } }"""
    shown = await ask.data('{ complianceProfile(ref: "default") { preferenceCenter { title locale showTracking } } }')
    assert shown["complianceProfile"]["preferenceCenter"] == {"title": "Default", "locale": "en", "showTracking": False}
    page = {"title": "Choices", "locale": "ar", "brandColor": "#0A5FB4", "showTracking": True}
    changed = (await ask.data(document, page=page))["updateComplianceProfile"]
    expected = {**page, "brandColor": "#0a5fb4", "logoUrl": None, "url": "http://127.0.0.1:8080/p/"}
    assert changed["complianceProfile"] == {"version": 2, "preferenceCenter": expected}
    cleared = (await ask.data(document, page={"title": None, "brandColor": None}))["updateComplianceProfile"]
    assert cleared["complianceProfile"]["preferenceCenter"]["title"] == "Default"
    assert cleared["complianceProfile"]["preferenceCenter"]["brandColor"] is None
    for bad, name in (({"locale": "tlh"}, "locale"), ({"brandColor": "red"}, "brandColor"), ({"title": "x" * 201}, "title"),
                      ({"logoUrl": "http://x"}, "logoUrl"), ({"logoUrl": "https://x.example/l.png"}, "logoUrl"),
                       ({"logoUrl": "data:text/html;base64,AA=="}, "logoUrl")):  # fmt: skip
        errors = (await ask.data(document, page=bad))["updateComplianceProfile"]["errors"]
        assert errors == [{"code": "INVALID", "path": ["preferenceCenter", name]}]


async def test_the_documents_example_of_an_external_link_works(ask: Asker) -> None:
    document = (Path(__file__).resolve().parents[2] / "docs" / "recipients.md").read_text("utf-8")
    [link] = re.findall(r'`externalLink: "(.*?)"`', document)
    [asked] = re.findall(r"`(unsubscribe\(messageId: .*?)`", document)
    update = """mutation($link: String!) {
      updateComplianceProfile(input: {ref: "default", externalLink: $link}) { errors { code } } }"""
    await ask.data(update, link=link)
    found = await ask.data(
        f'{{ checkConsent(input: {{address: "ada@example.org", purpose: "commercial"}}) {{ {asked} }} }}'
    )
    assert found["checkConsent"]["unsubscribe"]["preferenceCenterUrl"] == "https://acme.example/choices?m=m-1&c=4711"
