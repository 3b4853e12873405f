"""Every page that a person can come to, and how: by opening a link, and pressing what is on it."""

from collections.abc import Awaitable, Callable

from playwright.async_api import Page

from tests.web.pages.in_a_browser.conftest import Site

Way = Callable[[Page, Site, str], Awaitable[None]]

SAVE, EVERYTHING, UNDO = ("main button[value=save]", "main button[value=everything]", "main button[value=undo]")
BUTTON = "main form button"
SALES, EVENTS = "[id='choice.acme-commercial.sales']", "[id='choice.acme-commercial.events']"
COMMERCIAL, TRACKING = "[id='choice.acme-commercial']", "[id='choice.acme-tracking']"


async def preference_center(page: Page, site: Site, query: str) -> None:
    await page.goto(await site.preferences() + query)


async def saved(page: Page, site: Site, query: str) -> None:
    await preference_center(page, site, query)
    for box in (SALES, EVENTS, TRACKING):
        await page.uncheck(box)
    await page.click(SAVE)


async def undone(page: Page, site: Site, query: str) -> None:
    await saved(page, site, query)
    await page.click(UNDO)


async def nothing_changed(page: Page, site: Site, query: str) -> None:
    await preference_center(page, site, query)
    await page.click(SAVE)


async def everything(page: Page, site: Site, query: str) -> None:
    await preference_center(page, site, query)
    await page.click(EVERYTHING)


async def erased(page: Page, site: Site, query: str) -> None:
    address = site.somebody()
    await site.erase(address)
    await page.goto(await site.preferences(address) + query)


async def one_click(page: Page, site: Site, query: str) -> None:
    await page.goto(await site.one_click() + query)


async def one_click_done(page: Page, site: Site, query: str) -> None:
    await one_click(page, site, query)
    await page.click(BUTTON)


async def confirmation(page: Page, site: Site, query: str) -> None:
    await page.goto(await site.confirmation() + query)


async def confirmed(page: Page, site: Site, query: str) -> None:
    await confirmation(page, site, query)
    await page.click(BUTTON)


async def no_link(page: Page, site: Site, query: str) -> None:
    await page.goto(f"{site.url}/p/none{query}")


async def preview(page: Page, site: Site, query: str) -> None:
    await page.goto(await site.preview() + query)


WAYS: dict[str, Way] = {
    "preference-center": preference_center,
    "saved": saved,
    "undone": undone,
    "nothing-changed": nothing_changed,
    "everything-commercial": everything,
    "erased": erased,
    "one-click": one_click,
    "one-click-done": one_click_done,
    "confirmation": confirmation,
    "confirmed": confirmed,
    "no-link": no_link,
    "preview": preview,
}
