"""The pages in a real browser, on a real server: wide and narrow, left to right and right to left.

`CONSENTRY_SCREENSHOTS=docs/screenshots` writes the pictures of the documentation.
"""

import asyncio
import os
import re
import shutil
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from domain.addresses import Channel
from domain.preference_center import PreferenceCenterPatch
from ledger.assembly import Caller, LedgerConfig, open_ledger
from ledger.catalogue import create_profile, create_topic, update_profile, update_purpose
from ledger.links import MessageLink, message_token
from ledger.tenants import create_tenant
from tests.crash.server import Server
from tests.web.pages.reading import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
# Put into a copy of a page, in a frame as narrow as a phone: how wide it becomes, and the least side of what one presses.
MEASURE = """<script>
let side = Infinity
for (const pressed of document.querySelectorAll("a:not(.skip), button, input:not([type=hidden])")) {
  const box = pressed.getBoundingClientRect()
  side = Math.min(side, box.width, box.height)
}
parent.postMessage(`${innerWidth} ${document.documentElement.scrollWidth} ${Math.floor(side)}`, "*")
</script>"""
FRAME = """<!doctype html><body><iframe src="measured.html" width="320" height="1500" style="border: 0"></iframe><script>
addEventListener("message", (told) => { document.body.textContent = `measured ${told.data}` })
</script>"""
NOBODY = Caller(None, frozenset())
WIDE, NARROW = (1200, 1000), (360, 1250)

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium is not on this machine")


@dataclass
class Served:
    """Where a page of a person's is, and a folder for what a browser leaves."""

    url: str
    token: str
    folder: Path

    async def look(self, name: str, url: str, size: tuple[int, int]) -> Path:
        """A picture of a page as a browser shows it."""
        picture = self.folder / f"{name}.png"
        await self._chromium(f"--screenshot={picture}", f"--window-size={size[0]},{size[1]}", url)
        return picture

    async def document(self, url: str, size: tuple[int, int]) -> str:
        """The page as the browser has read it."""
        return await self._chromium("--dump-dom", f"--window-size={size[0]},{size[1]}", url)

    async def _chromium(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            f"--user-data-dir={self.folder / 'profile'}", *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == 0, errors.decode()
        return output.decode()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    data = tmp_path / "data"
    async with open_ledger(LedgerConfig(data_dir=data)) as ledger:
        tenant = await create_tenant(ledger, "demo", "Demo")
        await create_profile(tenant, NOBODY, key="acme", name="Acme", company_address="Acme Ltd\n1 Long Lane, London")
        await update_profile(
            tenant,
            NOBODY,
            ref="acme",
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
        link = MessageLink(
            channel=Channel.EMAIL,
            address="ada@example.org",
            profile="acme",
            purpose="acme-commercial",
            topic="newsletter",
            message_id=None,
            made_on=ledger.clock().date(),
        )
        token = message_token(tenant, link)
    server = Server("--data-dir", str(data))
    await server.start()
    folder = tmp_path / "pictures"
    folder.mkdir()
    yield Served(server.url, token, folder)
    await server.stop()


def size_of(picture: Path) -> tuple[int, int]:
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    return width, height


async def test_the_pages_in_a_browser_wide_and_narrow_left_to_right_and_right_to_left(served: Served) -> None:
    preferences, one_click = f"{served.url}/p/{served.token}", f"{served.url}/u/{served.token}"
    async with httpx.AsyncClient() as client:
        page = Page((await client.get(preferences)).text)
        changed = page.choices.filled(
            "save", **{"acme-commercial__sales": False, "acme-commercial__events": False, "acme-tracking": False}
        )
        saved = (await client.post(preferences, data=dict(changed))).text
    # A browser shows the answer of a POST from a file, as it came; the style that its policy allowed is in it.
    saved_file = served.folder / "saved.html"
    saved_file.write_text(saved)
    pictures = {
        "preference-center": (preferences, WIDE),
        "preference-center-narrow": (preferences, NARROW),
        "preference-center-wide-arabic": (preferences + "?lang=ar", WIDE),
        "preference-center-arabic": (preferences + "?lang=ar", NARROW),
        "saved": (saved_file.as_uri(), (1200, 1200)),
        "one-click": (one_click, (1200, 500)),
        "one-click-arabic": (one_click + "?lang=ar", (360, 640)),
        "no-link": (f"{served.url}/p/none?lang=de", (360, 640)),
    }
    for name, (url, size) in pictures.items():
        picture = await served.look(name, url, size)
        assert size_of(picture) == size
        assert picture.stat().st_size > 5_000, f"{name} shows something"
    shown = await served.document(preferences + "?lang=ar", NARROW)
    assert 'dir="rtl"' in shown
    async with httpx.AsyncClient() as client:
        sources = {name: (await client.get(url)).text for name, (url, _) in pictures.items() if url.startswith("http")}
    for name, source in {**sources, "saved": saved}.items():
        (served.folder / "measured.html").write_text(source.replace("</body>", MEASURE + "</body>"))
        frame = served.folder / "frame.html"
        frame.write_text(FRAME)
        told = re.search(r"measured (\d+) (\d+) (\d+)", await served.document(frame.as_uri(), WIDE))
        assert told is not None, name
        frame_width, width, side = told.groups()
        assert (frame_width, width) == ("320", "320"), f"{name} needs no scrolling sideways"
        assert int(side) >= 24, f"everything on {name} is big enough to press"
    keep = os.environ.get("CONSENTRY_SCREENSHOTS")
    if keep:
        Path(keep).mkdir(parents=True, exist_ok=True)
        for name in ("preference-center", "preference-center-arabic", "saved", "one-click"):
            shutil.copy(served.folder / f"{name}.png", keep)
