"""Every page in every language, wide and on a phone, with and without scripts: no barrier, nothing cut off, its direction."""

import json
from pathlib import Path
from typing import Any

import pytest

from domain.preference_center import LOCALES
from tests.web.pages.in_a_browser.conftest import PHONE, WIDE, Site, Visitors
from tests.web.pages.in_a_browser.page_states import WAYS

NARROWEST = (320, 640)  # WCAG 2.2, 1.4.10
PRESSED = "a:not(.skip), button, input:not([type=hidden])"
# What goes beyond the window, and the least side of what one presses (2.5.8), in CSS pixels.
MEASURE = f"""() => {{
  const sides = [...document.querySelectorAll("{PRESSED}")].map((each) => each.getBoundingClientRect())
    .flatMap((box) => [box.width, box.height])
  const cut = [...document.querySelectorAll("body *")].filter((each) => {{
    const box = each.getBoundingClientRect()
    return box.width && !each.matches(".skip") && (box.left < -1 || box.right > innerWidth + 1)
  }})
  return {{ width: document.documentElement.scrollWidth, window: innerWidth, side: Math.min(...sides), cut: cut.length }}
}}"""
AXE = """async () => (await axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa",
  "best-practice"] })).violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map((node) => node.html) }))"""
# What of it is looked at in the documentation.
KEPT = {
    ("preference-center", "en", WIDE): "preference-center",
    ("preference-center", "en", PHONE): "preference-center-phone",
    ("preference-center", "ar", PHONE): "preference-center-arabic",
    ("saved", "en", WIDE): "saved",
    ("one-click", "en", PHONE): "one-click",
    ("confirmation", "de", PHONE): "confirmation-german",
    ("preview", "en", WIDE): "preview",
}


@pytest.mark.parametrize("tag", LOCALES)
async def test_every_page_has_no_barrier_and_nothing_cut_off(
    visitors: Visitors, site: Site, axe: str, pictures: Path, tag: str
) -> None:
    found: dict[str, Any] = {}
    # One window for all of them: a new one costs more than all that is looked at in it.
    page = (await visitors()).page
    for name, way in WAYS.items():
        await page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
        await way(page, site, f"?lang={tag}")
        assert await page.get_attribute("html", "lang") == tag
        assert await page.evaluate("getComputedStyle(document.body).direction") == ("rtl" if tag == "ar" else "ltr")
        for size in (WIDE, PHONE, NARROWEST):
            await page.set_viewport_size({"width": size[0], "height": size[1]})
            if keep := KEPT.get((name, tag, size)):
                await page.screenshot(path=pictures / f"{keep}.png", full_page=True)
            measured = await page.evaluate(MEASURE)
            assert (measured["width"], measured["cut"]) == (size[0], 0), f"{name} needs no scrolling sideways"
            assert measured["side"] >= 24, f"everything on {name} is big enough to press"
        # In the inspector's own world: the page's policy lets in no script, and stays as it is.
        await page.evaluate(axe)
        if violations := await page.evaluate(AXE):
            found[name] = violations
    assert found == {}, json.dumps(found, indent=1)


async def test_a_barrier_is_found_where_there_is_one(visitors: Visitors, site: Site, axe: str) -> None:
    page = (await visitors()).page
    await WAYS["preference-center"](page, site, "")
    await page.evaluate("document.querySelector('main label').remove()")
    await page.evaluate(axe)
    assert ("label", "critical") in [(each["id"], each["impact"]) for each in await page.evaluate(AXE)]


@pytest.mark.parametrize("tag", ["en", "ar"])
async def test_boxes_stand_before_their_words_in_either_direction(visitors: Visitors, site: Site, tag: str) -> None:
    visitor = await visitors(size=PHONE, javascript=False)
    await WAYS["preference-center"](visitor.page, site, f"?lang={tag}")
    box = await visitor.page.locator("main input[type=checkbox]").first.bounding_box()
    label = await visitor.page.locator("main label").first.bounding_box()
    assert box is not None
    assert label is not None
    assert (box["x"] > label["x"]) is (tag == "ar")


async def test_every_page_is_the_same_without_scripts(visitors: Visitors, site: Site) -> None:
    with_and_without = [(await visitors(size=PHONE, javascript=javascript)).page for javascript in (True, False)]
    for name, way in WAYS.items():
        shown: list[str] = []
        for page in with_and_without:
            await way(page, site, "?lang=en")
            shown.append(await page.locator("body").inner_text())
            assert await page.locator("script").count() == 0, name
        assert shown[0] == shown[1], name


async def test_words_made_twice_as_big_still_fit(visitors: Visitors, site: Site) -> None:
    page = (await visitors(size=(640, 900))).page
    for name, way in WAYS.items():
        await way(page, site, "?lang=de")
        # As the browser's own setting does it (WCAG 2.2, 1.4.4): the root's size, on which all others rest.
        await page.wait_for_load_state()
        await page.evaluate("document.documentElement.style.fontSize = '32px'")
        measured = await page.evaluate(MEASURE)
        assert (measured["width"], measured["cut"]) == (640, 0), name
