"""The confirmation page of double opt-in: GET shows a button, POST confirms; late, twice, and after another choice."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient, Response
from toy import asking

from domain.addresses import Channel
from domain.bounces import Bounce
from domain.catalogue import DoubleOptInMode
from domain.consent import ConsentValue
from eventstore import read
from eventstore.database import DatabaseAddress
from ledger import history
from ledger.assembly import Caller, Tenant, ledger_on
from ledger.bounces import record_bounce
from ledger.catalogue import create_topic, update_profile
from ledger.double_opt_in import confirm_double_opt_in, request_double_opt_in
from ledger.erasure import erase_contact_point
from ledger.record import Capture, Recorded, record_consent
from ledger.tenants import create_tenant
from ledger.verifying import verify_database
from tests.conftest import Clock
from tests.web.pages.reading import Page
from web.app import create_app
from web.pages import routes

ADA = "ada@example.org"
CONFIRM = {"confirm": "yes"}


@dataclass
class Asked:
    """Ada, who was sent a link to confirm what she asked for."""

    client: AsyncClient
    tenant: Tenant
    token: str

    async def get(self, token: str | None = None, query: str = "") -> Response:
        return await self.client.get(f"/c/{self.token if token is None else token}{query}")

    async def post(self, **fields: str) -> Response:
        return await self.client.post(f"/c/{self.token}", data=fields or CONFIRM)

    async def size(self) -> int:
        async with self.tenant.ledger.connection() as connection:
            return (await read.head(connection, self.tenant.id)).size


@pytest.fixture
async def ada(
    database: DatabaseAddress, data_dir: Path, clock: Clock, caller: Caller, request: pytest.FixtureRequest
) -> AsyncIterator[Asked]:
    async with ledger_on(database, data_dir / "master.key", clock=clock) as ledger:
        tenant = await create_tenant(ledger, f"confirm-{abs(hash(request.node.nodeid))}", "Brand")
        await create_topic(tenant, caller, key="news", name="News", purpose="commercial")
        await update_profile(tenant, caller, ref="default", double_opt_in=DoubleOptInMode.EVERY_SUBMISSION)
        requested = await request_double_opt_in(
            tenant, caller, channel=Channel.EMAIL, address=ADA, purpose="commercial", topics=["news"]
        )
        async with asking(create_app(ledger)) as client:
            yield Asked(client, tenant, requested.token or "")


async def test_get_shows_a_button_and_changes_nothing_and_post_confirms(ada: Asked) -> None:
    before = await ada.size()
    for method in ("GET", "HEAD", "OPTIONS"):
        for _ in range(10):
            response = await ada.client.request(method, f"/c/{ada.token}")
            assert response.status_code in (200, 204)
            assert "set-cookie" not in response.headers
    page = await ada.get()
    assert "Yes, I confirm" in page.text
    assert "Commercial – News" in page.text
    assert ADA not in page.text
    assert await ada.size() == before
    confirmed = await ada.post()
    assert confirmed.status_code == 200
    assert "Thank you, it is confirmed" in confirmed.text
    assert await ada.size() == before + 3
    again = await ada.post()
    assert (again.status_code, again.text) == (200, confirmed.text)
    assert await ada.size() == before + 3


@pytest.mark.parametrize(
    ("language", "words"), [("de", "Ja, ich bestätige"), ("ar", "نعم، أؤكد"), ("fr", "Oui, je confirme")]
)
async def test_it_speaks_the_persons_language(ada: Asked, language: str, words: str) -> None:
    page = (await ada.get(query=f"?lang={language}")).text
    assert words in page
    direction = "rtl" if language == "ar" else "ltr"
    assert f'<html lang="{language}" dir="{direction}">' in page


async def test_an_opt_out_in_between_wins_and_the_page_says_so(ada: Asked, clock: Clock, caller: Caller) -> None:
    clock.now += timedelta(hours=1)
    capture = Capture(channel=Channel.EMAIL, address=ADA, purpose="commercial", value=ConsentValue.OPTED_OUT)
    await record_consent(ada.tenant, caller, capture)
    clock.now += timedelta(hours=1)
    assert "your later choice counts" in (await ada.post()).text


async def test_a_link_that_was_confirmed_says_what_is_so_already(ada: Asked, clock: Clock, caller: Caller) -> None:
    await ada.post()
    size = await ada.size()
    already = await ada.get()
    assert "Thank you, it is confirmed" in already.text
    assert "<form" not in already.text
    clock.now += timedelta(hours=1)
    await record_consent(ada.tenant, caller, out_of("commercial"))
    assert "your later choice counts" in (await ada.get()).text
    assert await ada.size() == size + 1


def out_of(purpose: str, topic: str | None = None) -> Capture:
    return Capture(channel=Channel.EMAIL, address=ADA, purpose=purpose, topic=topic, value=ConsentValue.OPTED_OUT)


async def test_a_topic_that_was_left_in_between_is_told_apart(ada: Asked, clock: Clock, caller: Caller) -> None:
    clock.now += timedelta(hours=1)
    await record_consent(ada.tenant, caller, out_of("commercial", "news"))
    page = Page((await ada.post()).text)
    assert "Thank you, it is confirmed in part" in page.text
    assert "You get messages of this kind from Brand: Commercial." in page.text.replace("Default", "Brand")
    assert "since you asked for them: News." in page.text


async def test_the_page_is_kept_with_what_was_confirmed_on_it(ada: Asked) -> None:
    page = Page((await ada.get(query="?lang=de")).text)
    await ada.post(**dict(page.forms[0].hidden))
    async with ada.tenant.ledger.connection() as connection:
        entries = await read.forward(connection, ada.tenant.id, limit=1_000)
    [confirmed] = [stored for stored in entries if stored.entry.type == "DoubleOptInConfirmed"]
    captures = [stored for stored in entries if stored.entry.type == "ConsentCaptured"]
    opened = await history.evidence(ada.tenant, [confirmed, *captures])
    kept = opened[confirmed.position]
    assert (kept["locale"], kept["method"]) == ("de", "confirmation page, button")
    assert "[Ja, ich bestätige]" in kept["noticeText"]
    assert "Commercial – News" in kept["noticeText"]
    for capture in captures:
        assert opened[capture.position]["noticeText"] == kept["noticeText"], "the form showed none of its own"
    await verify_database(ada.tenant)


async def test_too_late_says_so_and_records_nothing(ada: Asked, clock: Clock) -> None:
    before = await ada.size()
    clock.now += timedelta(days=28)
    for response in (await ada.get(), await ada.post()):
        assert response.status_code == 410
        assert "This link has expired" in response.text
    assert await ada.size() == before


async def test_what_is_erased_since_is_told_politely(ada: Asked, caller: Caller) -> None:
    await erase_contact_point(ada.tenant, caller, channel=Channel.EMAIL, address=ADA, reason="asked")
    before = await ada.size()
    for response in (await ada.get(), await ada.post()):
        assert response.status_code == 410
        assert "nothing left to confirm" in response.text
    assert await ada.size() == before


async def test_what_is_erased_while_its_page_is_made_is_told_politely(
    ada: Asked, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def confirm_and_erase(*given: Any) -> Recorded:
        recorded = await confirm_double_opt_in(*given)
        await erase_contact_point(ada.tenant, caller, channel=Channel.EMAIL, address=ADA, reason="asked")
        return recorded

    monkeypatch.setattr(routes, "confirm_double_opt_in", confirm_and_erase)
    response = await ada.post()
    assert response.status_code == 410
    assert "nothing left to confirm" in response.text


async def test_what_is_confirmed_after_a_message_came_back_does_not_promise_any(
    ada: Asked, clock: Clock, caller: Caller
) -> None:
    clock.now += timedelta(hours=1)
    await record_bounce(ada.tenant, caller, channel=Channel.EMAIL, address=ADA, bounce=Bounce.HARD)
    clock.now += timedelta(hours=1)
    told = (await ada.post()).text
    assert "It is confirmed, but messages did not reach you" in told
    assert "You get messages of this kind" not in told


async def test_a_post_without_the_button_changes_nothing(ada: Asked) -> None:
    before = await ada.size()
    response = await ada.post(other="field")
    assert response.status_code == 400
    assert await ada.size() == before


async def test_tokens_that_are_none_get_one_and_the_same_page(ada: Asked) -> None:
    bad = ["x", ada.token[:-1], ada.token + "A", ada.token + "/x", ada.token.swapcase(), "A" * 3_000]
    answers = [await ada.get(token) for token in bad]
    assert {response.status_code for response in answers} == {404}
    assert len({response.text for response in answers}) == 1
