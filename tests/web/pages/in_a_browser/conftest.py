"""A real server with one brand on it, and Debian's chromium to look at its pages with; skipped by name where that is absent."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

from domain.catalogue import DoubleOptInMode
from domain.preference_center import PreferenceCenterPatch
from ledger.api_keys import SCOPES, create_key
from ledger.assembly import Caller, LedgerConfig, open_ledger
from ledger.catalogue import create_profile, create_topic, update_profile, update_purpose
from ledger.tenants import create_tenant
from tests.crash.server import Server

CHROMIUM = shutil.which("chromium") or ""
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
)  # fmt: skip
WIDE, PHONE = (1200, 900), (360, 740)
NOBODY = Caller(None, frozenset())
_AXE_FOLDER = Path(__file__).with_name("axe")
_numbers = count(1)


@dataclass
class Site:
    """A server with the profile `acme`, spoken to as a sender does; everybody who asks for links is somebody new."""

    url: str
    key: str
    log: Path
    client: httpx.AsyncClient
    tokens: list[str] = field(default_factory=list)

    async def ask(self, document: str, **variables: Any) -> Any:
        response = await self.client.post(
            f"{self.url}/graphql",
            json={"query": document, "variables": variables},
            headers={"authorization": f"Bearer {self.key}"},
        )
        answer = response.json()
        assert "errors" not in answer, answer
        return answer["data"]

    def somebody(self) -> str:
        return f"ada-{next(_numbers)}@example.org"

    async def preferences(self, address: str | None = None) -> str:
        return (await self._links(address or self.somebody()))["preferenceCenterUrl"]

    async def one_click(self, address: str | None = None) -> str:
        return (await self._links(address or self.somebody()))["oneClickUrl"]

    async def confirmation(self) -> str:
        asked = await self.ask(
            """mutation($address: String!) { requestDoubleOptIn(input: {address: $address, profile: "acme",
               purpose: "acme-commercial", topics: ["newsletter"]}) { confirmationUrl errors { code } } }""",
            address=self.somebody(),
        )
        return self._noted(asked["requestDoubleOptIn"]["confirmationUrl"])

    async def preview(self) -> str:
        asked = await self.ask(
            """{ preferenceCenterPreview(profile: "acme", preferenceCenter: {title: "Acme Orchards",
               brandColor: "#7c2d12"}, companyAddress: "Acme Ltd\\n2 New Lane, London") }"""
        )
        return self._noted(asked["preferenceCenterPreview"])

    async def erase(self, address: str) -> None:
        erased = await self.ask(
            """mutation($address: String!) {
              recordConsent(input: {address: $address, purpose: "acme-commercial", value: OPTED_IN}) { errors { code } }
              eraseContactPoint(input: {address: $address, reason: "DSAR-1"}) { errors { code } } }""",
            address=address,
        )
        assert erased["eraseContactPoint"]["errors"] == []

    async def value(self, address: str, topic: str | None = None) -> str:
        asked = await self.ask(
            """query($address: String!, $topic: String) { checkConsent(input: {address: $address, profile: "acme",
               purpose: "acme-commercial", topic: $topic}) { reasons { code } } }""",
            address=address,
            topic=topic,
        )
        return asked["checkConsent"]["reasons"][0]["code"]

    async def _links(self, address: str) -> dict[str, str]:
        asked = await self.ask(
            """query($address: String!) { checkConsent(input: {address: $address, profile: "acme",
               purpose: "acme-commercial", topic: "newsletter"}) {
               unsubscribe(messageId: "m-1") { preferenceCenterUrl oneClickUrl } } }""",
            address=address,
        )
        links: dict[str, str] = asked["checkConsent"]["unsubscribe"]
        self._noted(links["oneClickUrl"])
        return links

    def _noted(self, url: str) -> str:
        self.tokens.append(url.rpartition("/")[2])
        return url


@pytest.fixture(scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    if not CHROMIUM:
        pytest.skip("pages in a browser: chromium is not installed")
    folder = tmp_path_factory.mktemp("site")
    async with open_ledger(LedgerConfig(data_dir=folder / "data")) as ledger:
        tenant = await create_tenant(ledger, "demo", "Demo")
        await create_profile(tenant, NOBODY, key="acme", name="Acme", company_address="Acme Ltd\n1 Long Lane, London")
        await update_profile(
            tenant,
            NOBODY,
            ref="acme",
            double_opt_in=DoubleOptInMode.EVERY_SUBMISSION,
            preference_center=PreferenceCenterPatch(title="Acme Gardens", brand_color="#14532d", show_tracking=True),
        )
        for ref, name in (
            ("commercial", "News and offers"),
            ("transactional", "Your orders"),
            ("tracking", "Measuring"),
        ):
            await update_purpose(tenant, NOBODY, ref=f"acme-{ref}", name=name)
        for key, name, description in (
            ("newsletter", "Newsletter", "Once a month: what grows, and when to plant it."),
            ("sales", "Sales", "Four times a year, before it begins."),
            ("events", "Open days", "When you can walk through the gardens."),
        ):
            await create_topic(tenant, NOBODY, key=key, name=name, purpose="acme-commercial", description=description)
        key = await create_key(tenant, "sender", SCOPES)
    server = Server("--data-dir", str(folder / "data"), log=folder / "log")
    await server.start()
    async with httpx.AsyncClient() as client:
        yield Site(server.url, key, folder / "log", client)
    await server.stop()


@pytest.fixture(scope="session")
async def chromium(site: Site) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        await browser.close()


@dataclass
class Visitor:
    """A browser of somebody's, that notes whom it asks and what it complains of."""

    context: BrowserContext
    page: Page
    asked: list[str]
    complaints: list[str]


class Visitors:
    """Browsers of people, closed at the end: each must have asked nobody but us, complained of nothing, and hold no cookie."""

    def __init__(self, chromium: Browser, site: Site) -> None:
        self._chromium = chromium
        self._site = site
        self._all: list[Visitor] = []

    async def __call__(
        self, *, size: tuple[int, int] = WIDE, javascript: bool = True, headers: dict[str, str] | None = None
    ) -> Visitor:
        context = await self._chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            java_script_enabled=javascript,
            locale="en-GB",
            extra_http_headers=headers or {},
        )
        visitor = Visitor(context, await context.new_page(), [], [])

        def asked(request: Request) -> None:
            visitor.asked.append(request.url)

        def said(message: ConsoleMessage) -> None:
            # A page told with a status of its own is no complaint of the browser's about the page.
            if message.type == "error" and "Failed to load resource" not in message.text:
                visitor.complaints.append(message.text)

        context.on("request", asked)
        context.on("console", said)
        self._all.append(visitor)
        return visitor

    async def leave(self) -> None:
        for visitor in self._all:
            cookies = await visitor.context.cookies()
            await visitor.context.close()
            assert cookies == []
            assert visitor.complaints == []
            assert [url for url in visitor.asked if not url.startswith(self._site.url)] == []


@pytest.fixture
async def visitors(chromium: Browser, site: Site) -> AsyncIterator[Visitors]:
    visitors = Visitors(chromium, site)
    yield visitors
    await visitors.leave()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script that finds barriers."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("barriers on pages: node and npm are not installed")
    folder = tmp_path_factory.mktemp("axe")
    for file in ("package.json", "package-lock.json"):
        shutil.copy(_AXE_FOLDER / file, folder)
    installed = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, capture_output=True, timeout=120
    )
    if installed.returncode != 0:
        pytest.skip("barriers on pages: npm cannot get axe-core here")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the pages go: `CONSENTRY_SCREENSHOTS=docs/screenshots` keeps them."""
    keep = os.environ.get("CONSENTRY_SCREENSHOTS")
    if keep is None:
        return tmp_path_factory.mktemp("pictures")
    Path(keep).mkdir(parents=True, exist_ok=True)
    return Path(keep)
