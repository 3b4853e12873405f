"""A person with a link, at the real application on a real ledger."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import pytest
from httpx import AsyncClient, Response
from toy import asking

from domain.addresses import Channel
from domain.consent import ConsentValue
from domain.preference_center import PreferenceCenterPatch
from domain.suppression import Level
from eventstore import read
from eventstore.read import StoredEntry
from ledger import history
from ledger.assembly import Caller, Ledger, Tenant
from ledger.catalogue import create_profile, create_topic, update_profile
from ledger.flood_limit import FloodLimit
from ledger.links import MessageLink, message_token
from ledger.preferences import preferences
from tests.web.pages.reading import Page
from web.app import create_app
from web.pages.routes import page_routes

ADA = "ada@example.org"
FORM = "application/x-www-form-urlencoded"


@dataclass
class Recipient:
    """Ada, who got a message about the topic `news` of the purpose `commercial`."""

    client: AsyncClient
    tenant: Tenant
    link: MessageLink

    @property
    def token(self) -> str:
        return message_token(self.tenant, self.link)

    def with_link(self, **changes: Any) -> "Recipient":
        """The same person with another link."""
        return replace(self, link=replace(self.link, **changes))

    async def get(self, path: str = "p", query: str = "", **headers: str) -> Response:
        return await self.client.get(f"/{path}/{self.token}{query}", headers=_named(headers))

    async def page(self, path: str = "p", query: str = "", **headers: str) -> Page:
        response = await self.get(path, query, **headers)
        assert response.status_code == 200, response.text
        return Page(response.text)

    async def post(
        self, fields: Sequence[tuple[str, str]] | Mapping[str, str], path: str = "p", query: str = "", **headers: str
    ) -> Response:
        return await self.client.post(
            f"/{path}/{self.token}{query}",
            content=urlencode(list(fields.items()) if isinstance(fields, Mapping) else fields),
            headers={"content-type": FORM, **_named(headers)},
        )

    async def saved(self, fields: Sequence[tuple[str, str]], query: str = "", **headers: str) -> Page:
        response = await self.post(fields, query=query, **headers)
        assert response.status_code == 200, response.text
        return Page(response.text)

    async def change(self, button: str = "save", **changes: bool) -> Page:
        """Open the page, set boxes, press a button."""
        return await self.saved((await self.page()).choices.filled(button, **changes))

    async def position(self) -> int:
        async with self.tenant.ledger.connection() as connection:
            return (await read.head(connection, self.tenant.id)).size

    async def captures(self) -> list[StoredEntry]:
        async with self.tenant.ledger.connection() as connection:
            entries = await read.forward(connection, self.tenant.id, limit=100_000)
        return [stored for stored in entries if stored.entry.type == "ConsentCaptured"]

    async def last_evidence(self) -> dict[str, Any]:
        event = (await self.captures())[-1]
        return (await history.evidence(self.tenant, [event]))[event.position]

    async def recorded(self) -> list[tuple[str, str | None, str]]:
        """(purpose, topic, value) of each capture."""
        data = [stored.entry.data for stored in await self.captures()]
        return [(each["purpose"], each.get("topic"), each["value"]) for each in data]

    async def values(self) -> dict[Level, ConsentValue]:
        return {choice.level: choice.value for choice in (await preferences(self.tenant, self.link)).choices}


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


class StandingClock:
    """The seconds of the limit, which pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Turn:
    """The pause of who floods: over at once, unless a test holds it. `begun` has one for each pause that began."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.begun = asyncio.Queue[float]()

    async def __call__(self, seconds: float) -> None:
        self.begun.put_nowait(seconds)
        await self._open.wait()

    def clear(self) -> None:
        self._open.clear()
        self.begun = asyncio.Queue[float]()

    def set(self) -> None:
        self._open.set()


@pytest.fixture
def turn() -> Turn:
    return Turn()


@pytest.fixture
def limit_clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
async def client(ledger: Ledger, limit_clock: StandingClock, turn: Turn) -> AsyncIterator[AsyncClient]:
    app = create_app(ledger)
    # First, so that the limit is the test's own.
    app.router.routes[:0] = page_routes(
        FloodLimit(times=200, clock=limit_clock), FloodLimit(times=300, clock=limit_clock), turn
    )
    async with asking(app) as client:
        yield client


@pytest.fixture
async def ada(client: AsyncClient, ledger: Ledger, tenant: Tenant, caller: Caller) -> Recipient:
    for key, name, description in (
        ("news", "News", "Once a month: what is new."),
        ("deals", "Deals & <offers>", None),
    ):
        await create_topic(tenant, caller, key=key, name=name, purpose="commercial", description=description)
    await update_profile(
        tenant,
        caller,
        ref="default",
        company_address="Acme Ltd\n1 Long Lane",
        preference_center=PreferenceCenterPatch(title="Acme", brand_color="#ffcc00", show_tracking=True),
    )
    await create_profile(tenant, caller, key="other", name="Other")
    link = MessageLink(
        channel=Channel.EMAIL,
        address=ADA,
        profile="default",
        purpose="commercial",
        topic="news",
        message_id="m-1",
        made_on=ledger.clock().date(),
    )
    return Recipient(client, tenant, link)
