"""People with a link and a browser: they choose, save, take back, go back, open two tabs; by mouse, keyboard, without scripts."""

import pytest
from playwright.async_api import Page

from tests.web.pages.in_a_browser.conftest import Site, Visitors
from tests.web.pages.in_a_browser.page_states import BUTTON, COMMERCIAL, EVENTS, EVERYTHING, SALES, SAVE, UNDO

TOLD = "main [role=status]"
FOCUSED = "document.activeElement"
OUTLINE = f"getComputedStyle({FOCUSED}).outlineStyle !== 'none' && getComputedStyle({FOCUSED}).outlineWidth !== '0px'"
TABS_MAX = 40


@pytest.mark.parametrize("javascript", [True, False], ids=["with scripts", "without scripts"])
async def test_save_undo_and_everything_commercial(visitors: Visitors, site: Site, javascript: bool) -> None:
    page = (await visitors(javascript=javascript)).page
    address = site.somebody()
    await page.goto(await site.preferences(address))
    await page.uncheck(SALES)
    await page.click(SAVE)
    assert "Your choices are saved" in await page.inner_text(TOLD)
    assert "News and offers – Sales: no" in await page.inner_text(TOLD)
    assert not await page.is_checked(SALES)
    assert await site.value(address, "sales") == "OPTED_OUT"
    await page.click(UNDO)
    assert "News and offers – Sales: as before you chose" in await page.inner_text(TOLD)
    assert await page.is_checked(SALES)
    assert await site.value(address, "sales") == "NOT_SET_ALLOWED"
    await page.click(EVERYTHING)
    assert "News and offers: no" in await page.inner_text(TOLD)
    assert await site.value(address) == "OPTED_OUT"


@pytest.mark.parametrize("javascript", [True, False], ids=["with scripts", "without scripts"])
async def test_one_click_and_on_to_all_choices(visitors: Visitors, site: Site, javascript: bool) -> None:
    page = (await visitors(javascript=javascript)).page
    address = site.somebody()
    await page.goto(await site.one_click(address))
    assert await site.value(address, "newsletter") == "NOT_SET_ALLOWED"
    await page.click(BUTTON)
    assert await page.inner_text("h1") == "You are unsubscribed"
    assert await site.value(address, "newsletter") == "OPTED_OUT"
    await page.click("main p > a")
    assert not await page.is_checked("[id='choice.acme-commercial.newsletter']")


async def test_a_confirmation(visitors: Visitors, site: Site) -> None:
    page = (await visitors()).page
    await page.goto(await site.confirmation())
    await page.click(BUTTON)
    assert await page.inner_text("h1") == "Thank you, it is confirmed"
    await page.reload()
    assert await page.inner_text("h1") == "Thank you, it is confirmed", "the form sent again"


async def test_the_back_button_and_saving_again_loses_no_opt_out(visitors: Visitors, site: Site) -> None:
    page = (await visitors()).page
    address = site.somebody()
    await page.goto(await site.preferences(address))
    await page.uncheck(SALES)
    await page.click(SAVE)
    await page.wait_for_selector(TOLD)
    # As the button does it. Playwright's own `go_back` asks the browser first, and fails while a page is just being replaced.
    async with page.expect_navigation():
        await page.evaluate("setTimeout(() => history.back())")
    await page.uncheck(EVENTS)
    await page.click(SAVE)
    assert await site.value(address, "sales") == "OPTED_OUT"
    assert await site.value(address, "events") == "OPTED_OUT"


async def test_two_open_tabs_change_nothing_that_nobody_touched(visitors: Visitors, site: Site) -> None:
    visitor = await visitors()
    address = site.somebody()
    url = await site.preferences(address)
    first, second = visitor.page, await visitor.context.new_page()
    await first.goto(url)
    await second.goto(url)
    await first.uncheck(SALES)
    await first.click(SAVE)
    await second.uncheck(EVENTS)
    await second.click(SAVE)
    assert (await site.value(address, "sales"), await site.value(address, "events")) == ("OPTED_OUT", "OPTED_OUT")
    assert not await second.is_checked(SALES)


async def test_the_signal_for_privacy_is_told(visitors: Visitors, site: Site) -> None:
    page = (await visitors(headers={"Sec-GPC": "1"})).page
    await page.goto(await site.preferences())
    assert "Global Privacy Control" in await page.inner_text("main")


async def focus(page: Page, selector: str) -> None:
    """Tab until it has the focus; every step can be seen."""
    for _ in range(TABS_MAX):
        await page.keyboard.press("Tab")
        assert await page.evaluate(OUTLINE), await page.evaluate(f"{FOCUSED}.outerHTML")
        if await page.evaluate(f"(wanted) => {FOCUSED}.matches(wanted)", selector):
            return
    pytest.fail(f"{selector} cannot be reached with the Tab key")


@pytest.mark.parametrize("tag", ["en", "ar"])
async def test_everything_is_done_by_keyboard(visitors: Visitors, site: Site, tag: str) -> None:
    page = (await visitors()).page
    address = site.somebody()
    await page.goto(await site.preferences(address) + f"?lang={tag}")
    await page.keyboard.press("Tab")
    assert await page.evaluate(f"{FOCUSED}.className") == "skip", "first of all one can skip to the content"
    skip = await page.locator(".skip").bounding_box()
    assert skip is not None
    assert skip["y"] >= 0, "it can be seen now"
    await page.keyboard.press("Enter")
    await focus(page, SALES)
    await page.keyboard.press("Space")
    await focus(page, SAVE)
    await page.keyboard.press("Enter")
    await page.wait_for_selector(TOLD)
    assert await page.evaluate(f"{FOCUSED}.getAttribute('role')") == "status", "what was saved is read out"
    assert await site.value(address, "sales") == "OPTED_OUT"
    await focus(page, UNDO)
    await page.keyboard.press("Enter")
    await page.wait_for_selector(f"{SALES}:checked")
    assert await site.value(address, "sales") == "NOT_SET_ALLOWED"
    await focus(page, COMMERCIAL)
    await focus(page, EVERYTHING)
    await page.keyboard.press("Enter")
    await page.wait_for_selector(f"{COMMERCIAL}:not(:checked)")
    assert await site.value(address) == "OPTED_OUT"


@pytest.mark.parametrize("which", ["one_click", "confirmation"])
async def test_one_button_is_pressed_by_keyboard(visitors: Visitors, site: Site, which: str) -> None:
    page = (await visitors()).page
    await page.goto(await (site.one_click() if which == "one_click" else site.confirmation()))
    await focus(page, BUTTON)
    await page.keyboard.press("Enter")
    await page.wait_for_selector(TOLD)
    assert await page.evaluate(f"{FOCUSED}.getAttribute('role')") == "status"


async def test_a_preview_can_be_tried_and_does_nothing(visitors: Visitors, site: Site) -> None:
    page = (await visitors()).page
    url = await site.preview()
    await page.goto(url)
    assert await page.inner_text("header p") == "Acme Orchards"
    await page.uncheck(SALES)
    for button in await page.locator("main button").all():
        await button.click(force=True)
    assert page.url == url


async def test_no_link_is_in_the_servers_log(visitors: Visitors, site: Site) -> None:
    page = (await visitors()).page
    await page.goto(await site.preferences())
    await page.click(EVERYTHING)
    log = site.log.read_text()
    assert "/p/{token:path}" in log
    assert [token for token in site.tokens if token in log or token[:40] in log] == []
    assert "example.org" not in log
