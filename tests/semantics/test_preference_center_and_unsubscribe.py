"""SEMANTICS.md, "Preference center and unsubscribe" and what it says of double opt-in: one test a sentence, over HTTP alone.

Each test's docstring is its sentence; the last test holds them to the page.
"""

import itertools
import re
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from pathlib import Path
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response

from eventstore.database import DatabaseAddress
from ledger.api_keys import SCOPES, create_key
from ledger.assembly import Ledger, Tenant, ledger_on
from ledger.tenants import create_tenant
from tests.conftest import Clock
from tests.web.pages.reading import Page
from web.app import create_app

ADA = "ada@example.org"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
LINKS = "unsubscribe(messageId: $message, attributes: $attributes) { preferenceCenterUrl oneClickUrl headers { name value } }"
_names = (f"semantics-{number}" for number in itertools.count(1))


@dataclass
class Faces:
    """The server as senders (GraphQL, with a key) and persons (pages, with nothing) meet it."""

    sender: AsyncClient
    person: AsyncClient
    ledger: Ledger
    clock: Clock

    async def ask(self, document: str, **variables: Any) -> Any:
        response = await self.sender.post("/graphql", json={"query": document, "variables": variables})
        answer = response.json()
        assert "errors" not in answer, answer
        assert '"errors":[{' not in response.text, response.text
        return answer["data"]

    async def profile(self, **changes: Any) -> None:
        await self.ask(
            "mutation($input: UpdateComplianceProfileInput!) { updateComplianceProfile(input: $input) { errors { code } } }",
            input={"ref": "default", **changes},
        )

    async def links(
        self, purpose: str = "commercial", topic: str | None = None, attributes: Any = None, message: str = "m-1"
    ) -> Any:
        asked = await self.ask(
            f"""query($input: CheckConsentInput!, $message: String, $attributes: JSON) {{
                checkConsent(input: $input) {{ {LINKS} }} }}""",
            input={"address": ADA, "purpose": purpose, "topic": topic},
            message=message,
            attributes=attributes,
        )
        return asked["checkConsent"]["unsubscribe"]

    async def reasons(self, purpose: str = "commercial", topic: str | None = None) -> list[str]:
        asked = await self.ask(
            "query($input: CheckConsentInput!) { checkConsent(input: $input) { reasons { code } } }",
            input={"address": ADA, "purpose": purpose, "topic": topic},
        )
        return [reason["code"] for reason in asked["checkConsent"]["reasons"]]

    async def events(self) -> list[Any]:
        asked = await self.ask(
            "query { consentEvents(first: 100) { nodes { type position source reason actor { kind } } } }"
        )
        return asked["consentEvents"]["nodes"]

    async def request(self, purpose: str = "commercial") -> Any:
        asked = await self.ask(
            """mutation($purpose: String!) { requestDoubleOptIn(input: {address: "ada@example.org", purpose: $purpose}) {
               token confirmationUrl expiresAt errors { code } } }""",
            purpose=purpose,
        )
        return asked["requestDoubleOptIn"]

    async def open(self, url: str) -> Page:
        response = await self.person.get(url)
        assert response.status_code == 200, response.text
        return Page(response.text)

    async def press(self, url: str, button: str, **boxes: bool) -> Page:
        form = (await self.open(url)).choices.filled(button, **boxes)
        response = await self.person.post(url, data=dict(form))
        assert response.status_code == 200, response.text
        return Page(response.text)


@pytest.fixture
async def faces(database: DatabaseAddress, data_dir: Path, clock: Clock) -> AsyncIterator[Faces]:
    async with ledger_on(database, data_dir / "master.key", clock=clock) as ledger:
        tenant: Tenant = await create_tenant(ledger, next(_names), "Test")
        transport = ASGITransport(create_app(ledger))
        key = {"authorization": f"Bearer {await create_key(tenant, 'sender', SCOPES)}"}
        async with (
            AsyncClient(transport=transport, base_url=ledger.public_url, headers=key) as sender,
            AsyncClient(transport=transport, base_url=ledger.public_url, follow_redirects=False) as person,
        ):
            faces = Faces(sender, person, ledger, clock)
            for name in ("news", "deals"):
                await faces.ask(
                    """mutation($key: String!) {
                       createTopic(input: {key: $key, name: $key, purpose: "commercial"}) { errors { code } } }""",
                    key=name,
                )
            yield faces


async def test_every_profile_has_either_a_preference_center_or_an_external_link(faces: Faces) -> None:
    """Every profile has either a preference center (hosted page) or an external link with tokens {{messageid}},
    {{purposeid}}, {{topicid}} and any attribute the sender passes."""
    hosted = await faces.links()
    assert "save" in (await faces.open(hosted["preferenceCenterUrl"])).choices.buttons
    shown = '{ complianceProfile(ref: "default") { preferenceCenter { url } externalLink } }'
    assert (await faces.ask(shown))["complianceProfile"]["preferenceCenter"] is not None
    link = "https://brand.example/{{messageid}}/{{purposeid}}/{{topicid}}?from={{Campaign}}"
    await faces.profile(externalLink=link)
    assert (await faces.ask(shown))["complianceProfile"] == {"preferenceCenter": None, "externalLink": link}
    filled = await faces.links(topic="news", attributes={"Campaign": "spring 1"})
    assert filled["preferenceCenterUrl"] == "https://brand.example/m-1/commercial/news?from=spring%201"


async def test_a_link_is_signed_and_names_everything_as_it_was_and_stays_valid(faces: Faces) -> None:
    """A link is signed, names contact point, profile, purpose, topic and message as they were when the message was sent,
    works more than once, and stays valid after contact or profile are gone or changed."""
    links = await faces.links(topic="news")
    for number in range(len(links["oneClickUrl"]) - 20, len(links["oneClickUrl"])):
        url = links["oneClickUrl"]
        forged = url[:number] + ("A" if url[number] != "A" else "B") + url[number + 1 :]
        assert (await faces.person.post(forged, data=ONE_CLICK)).status_code == 404
    await faces.ask(
        """mutation { updateTopic(input: {ref: "news", name: "Renamed", active: false}) { errors { code } }
           updatePurpose(input: {ref: "commercial", name: "Other", active: false}) { errors { code } }
           updateComplianceProfile(input: {ref: "default", name: "Elsewhere", active: false}) { errors { code } } }"""
    )
    for _ in range(2):
        assert (await faces.person.post(links["oneClickUrl"], data=ONE_CLICK)).status_code == 200
    captured = [event for event in await faces.events() if event["type"] == "ConsentCaptured"]
    assert len(captured) == 2
    await faces.ask(
        """mutation { eraseContactPoint(input: {address: "ada@example.org", reason: "DSAR-1"}) { errors { code } } }"""
    )
    assert (await faces.person.post(links["oneClickUrl"], data=ONE_CLICK)).status_code == 200
    assert (await faces.person.get(links["preferenceCenterUrl"])).status_code == 200


async def test_validity_is_a_setting(faces: Faces) -> None:
    """Validity is a setting (default: no expiry; law wants 30 to 60 days at least)."""
    url = (await faces.links())["preferenceCenterUrl"]
    faces.clock.now += timedelta(days=3_650)
    assert (await faces.person.get(url)).status_code == 200
    faces.ledger.link_valid_days = 60
    assert (await faces.person.get(url)).status_code == 404
    fresh = (await faces.links())["preferenceCenterUrl"]
    faces.clock.now += timedelta(days=60)
    assert (await faces.person.get(fresh)).status_code == 200


# As docs/recipients.md says: by itself the library encodes a header that is longer than a line, and no provider decodes it.
LONG_LINES = policy.SMTP.clone(max_line_length=998)


def message(links: Any) -> Message:
    """A message as it arrives, with the headers that its sender was given; read as it came, nothing decoded."""
    sent = EmailMessage()
    sent["From"], sent["To"], sent["Subject"] = "news@acme.example", ADA, "News"
    for header in links["headers"]:
        sent[header["name"]] = header["value"]
    sent.set_content(f"Hello.\n\nYour choices: {links['preferenceCenterUrl']}\n", cte="8bit")
    sent.add_alternative(
        f'<p><a href="{links["preferenceCenterUrl"]}">Your choices</a></p>', subtype="html", cte="8bit"
    )
    return message_from_bytes(sent.as_bytes(policy=LONG_LINES), policy=policy.compat32)


def one_click_of(received: Message) -> str:
    """The one address, from between its angle brackets, as a mailbox provider takes it."""
    [header] = received.get_all("List-Unsubscribe", [])
    found = re.fullmatch(r"<(https?://[^<>,\s]+)>", header)
    assert found is not None, header
    return found[1]


def links_in(received: Message) -> set[str]:
    """Every address in headers and bodies, as a scanner finds them."""
    return set(re.findall(r"https?://[^<>\"\s]+", received.as_bytes().decode()))


async def test_get_never_changes_anything(faces: Faces) -> None:
    """GET never changes anything (link scanners)."""
    await faces.profile(doubleOptIn="EVERY_SUBMISSION")
    confirmation = (await faces.request())["confirmationUrl"]
    received = message(await faces.links(topic="news"))
    urls = sorted(links_in(received) | {confirmation})
    assert {url.split("/")[-2] for url in urls} == {"p", "u", "c"}
    before = await faces.events()
    looks = itertools.cycle(
        itertools.product(
            urls,
            ("GET", "HEAD", "OPTIONS"),
            ("", "?List-Unsubscribe=One-Click", "?confirm=yes", "?action=everything"),
            ({}, {"sec-purpose": "prefetch"}, {"purpose": "prefetch"}, {"user-agent": "LinkScanner/1.0"}),
        )
    )
    statuses = {
        (await faces.person.request(method, url + query, headers=headers)).status_code
        for url, method, query, headers in itertools.islice(looks, 1_000)
    }
    assert statuses <= {200, 204, 429}
    assert await faces.events() == before
    assert await faces.reasons() == ["NOT_SET_ALLOWED", "AWAITING_CONFIRMATION"]


@pytest.mark.parametrize("topic", ["news", None])
@pytest.mark.parametrize("how", ["urlencoded", "multipart"])
async def test_one_click_opts_out_of_the_topic_or_else_of_the_purpose(
    faces: Faces, how: str, topic: str | None
) -> None:
    """POST with `List-Unsubscribe=One-Click`, urlencoded or multipart, no cookie, no redirect,
    200, idempotent (RFC 8058): opts out of the topic if the message had one, else of the purpose."""
    received = message(await faces.links(topic=topic))
    url = one_click_of(received)
    name, _, value = str(received["List-Unsubscribe-Post"]).partition("=")

    async def provider() -> Response:
        if how == "multipart":
            return await faces.person.post(url, files={name: (None, value)})
        return await faces.person.post(url, data={name: value})

    answers = [await provider() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert not any("set-cookie" in answer.headers or "location" in answer.headers for answer in answers)
    captured = [event for event in await faces.events() if event["type"] == "ConsentCaptured"]
    assert [(event["source"], event["reason"], event["actor"]["kind"]) for event in captured] == [
        ("ONE_CLICK_UNSUBSCRIBE", "Opt-out - One-click unsubscribe", "RECIPIENT")
    ] * 3, "a capture that changes nothing is still an event"
    assert await faces.reasons(topic="news") == (
        ["OPTED_OUT", "NOT_SET_ALLOWED"] if topic else ["OPTED_OUT", "PURPOSE_BLOCKS_TOPIC"]
    )
    assert ("OPTED_OUT" in await faces.reasons()) is (topic is None)
    assert ("OPTED_OUT" in await faces.reasons(topic="deals")) is (topic is None)


async def test_it_never_needs_a_login(faces: Faces) -> None:
    """It never needs a login."""
    url = (await faces.links())["oneClickUrl"]
    assert "authorization" not in faces.person.headers
    for headers in ({}, {"authorization": "Bearer none"}, {"origin": "https://evil.example"}, {"cookie": "a=b"}):
        response = await faces.person.post(url, data=ONE_CLICK, headers=headers)
        assert (response.status_code, "www-authenticate" in response.headers) == (200, False)
    assert await faces.reasons() == ["OPTED_OUT"]


async def test_the_page_shows_saves_and_says_all(faces: Faces) -> None:
    """The page shows purposes and topics of the profile with their present values, saves all of them in one submit, has
    "unsubscribe from everything commercial", works without JavaScript, and says what was saved."""
    url = (await faces.links())["preferenceCenterUrl"]
    await faces.ask(
        """mutation { recordConsent(input: {address: "ada@example.org", purpose: "commercial", topic: "deals",
           value: OPTED_OUT}) { errors { code } } }"""
    )
    faces.clock.now += timedelta(minutes=1)
    page = await faces.open(url)
    assert page.choices.boxes == {
        "choice.commercial": True,
        "choice.commercial.news": True,
        "choice.commercial.deals": False,
        "choice.transactional": True,
    }
    assert "script" not in {name for name, _ in page.elements}
    told = await faces.press(url, "save", commercial__news=False, commercial__deals=True, transactional=False)
    for sentence in ("Commercial – news: no", "Commercial – deals: yes", "Transactional: no"):
        assert sentence in told.text
    assert "OPTED_OUT" in await faces.reasons(topic="news")
    assert "OPTED_IN" in await faces.reasons(topic="deals")
    assert "Commercial: no" in (await faces.press(url, "everything")).text
    assert await faces.reasons() == ["OPTED_OUT"]


async def test_tracking_is_shown_only_if_the_profile_puts_it_there(faces: Faces) -> None:
    """TRACKING is shown only if the profile puts it there."""
    url = (await faces.links())["preferenceCenterUrl"]
    assert "choice.tracking" not in (await faces.open(url)).choices.boxes
    await faces.profile(preferenceCenter={"showTracking": True})
    assert "choice.tracking" in (await faces.open(url)).choices.boxes


async def test_headers_for_the_sender_go_with_commercial_purposes_alone(faces: Faces) -> None:
    """Headers for the sender: `List-Unsubscribe`, `List-Unsubscribe-Post` for COMMERCIAL purposes; not for TRANSACTIONAL."""
    links = await faces.links()
    assert links["headers"] == [
        {"name": "List-Unsubscribe", "value": f"<{links['oneClickUrl']}>"},
        {"name": "List-Unsubscribe-Post", "value": "List-Unsubscribe=One-Click"},
    ]
    assert (await faces.links("transactional"))["headers"] == []


@pytest.mark.parametrize(
    ("mode", "with_a_record", "asks"),
    [
        ("OFF", False, False),
        ("OFF", True, False),
        ("EVERY_SUBMISSION", False, True),
        ("EVERY_SUBMISSION", True, True),
        ("NEW_CONTACT_POINTS", False, True),
        ("NEW_CONTACT_POINTS", True, False),
    ],
)
async def test_double_opt_in_is_off_for_every_submission_or_for_new_contact_points(
    faces: Faces, mode: str, with_a_record: bool, asks: bool
) -> None:
    """Double opt-in per profile: off, for every submission, or for new contact points only (no record under that profile)."""
    await faces.profile(doubleOptIn=mode)
    await faces.ask(
        """mutation { createComplianceProfile(input: {key: "other", name: "Other"}) { errors { code } }
           recordConsent(input: {address: "ada@example.org", purpose: "other-commercial", value: OPTED_IN}) {
             errors { code } } }"""
    )
    if with_a_record:
        await faces.ask(
            """mutation { recordConsent(input: {address: "ada@example.org", purpose: "transactional", value: OPTED_IN}) {
                 errors { code } } }"""
        )
    requested = await faces.request()
    assert (requested["token"] is not None) is asks
    assert await faces.reasons() == (["NOT_SET_ALLOWED", "AWAITING_CONFIRMATION"] if asks else ["OPTED_IN"])


@pytest.mark.parametrize(("late", "status"), [(timedelta(0), 410), (timedelta(seconds=1), 200)])
async def test_a_confirmation_link_is_valid_for_28_days(faces: Faces, late: timedelta, status: int) -> None:
    """Link valid 28 days."""
    await faces.profile(doubleOptIn="EVERY_SUBMISSION")
    url = (await faces.request())["confirmationUrl"]
    faces.clock.now += timedelta(days=28) - late
    [form] = (await faces.open(url)).forms if status == 200 else [None]
    fields = dict(form.hidden) if form is not None else {"confirm": "yes"}
    assert (await faces.person.post(url, data=fields)).status_code == status
    assert ("OPTED_IN" in await faces.reasons()) is (status == 200)


async def test_until_confirmed_the_value_is_what_it_was(faces: Faces) -> None:
    """Double opt-in: until confirmed, the value is what it was before the request; the decision adds AWAITING_CONFIRMATION."""
    await faces.profile(doubleOptIn="EVERY_SUBMISSION")
    await faces.ask(
        """mutation { recordConsent(input: {address: "ada@example.org", purpose: "commercial", value: OPTED_OUT}) {
             errors { code } } }"""
    )
    faces.clock.now += timedelta(minutes=1)
    url = (await faces.request())["confirmationUrl"]
    assert await faces.reasons() == ["OPTED_OUT", "AWAITING_CONFIRMATION"]
    faces.clock.now += timedelta(minutes=1)
    await faces.person.post(url, data={"confirm": "yes"})
    assert await faces.reasons() == ["OPTED_IN"]


async def test_a_message_already_sent_with_an_inactive_one_can_still_be_unsubscribed_from(faces: Faces) -> None:
    """Inactive ones are hidden from every picker and refused in new messages, but records and history keep them, and a
    message already sent with one can still be unsubscribed from."""
    links = await faces.links(topic="news")
    await faces.ask('mutation { updateTopic(input: {ref: "news", active: false}) { errors { code } } }')
    page = await faces.open(links["preferenceCenterUrl"])
    assert "choice.commercial.news" not in page.choices.boxes
    assert (await faces.person.post(links["oneClickUrl"], data=ONE_CLICK)).status_code == 200
    captured = [event for event in await faces.events() if event["type"] == "ConsentCaptured"]
    assert len(captured) == 1


def _words(text: str) -> str:
    return " ".join(text.split())


def test_every_sentence_has_its_test(shared: Callable[[str], Path]) -> None:
    page = _words(shared("SEMANTICS.md").read_text("utf-8"))
    section = page.partition("## Preference center and unsubscribe ")[2].partition(" ## ")[0]
    tested = [
        _words(value.__doc__)
        for name, value in vars(sys.modules[__name__]).items()
        if name.startswith("test_") and value.__doc__
    ]
    for sentence in tested:
        assert sentence in page, "the page says so"
    left = section
    for sentence in sorted(tested, key=len, reverse=True):
        left = left.replace(sentence, "")
    assert set(left) <= set(" -"), "a sentence without a test"
