"""The preview that an administrator opens: the brand and the boxes, no form, and nothing that outlives its hour."""

from datetime import timedelta

import pytest
from toy import asking

from domain.preference_center import PreferenceCenterPatch
from ledger.assembly import Caller, Tenant
from ledger.catalogue import create_topic
from ledger.page_previews import PREVIEW_VALID, preview_url
from tests.conftest import Clock
from tests.web.pages.conftest import Recipient
from tests.web.pages.reading import Page
from web.app import create_app

BRAND = PreferenceCenterPatch(title="Brand of <tomorrow>", brand_color="#14532d", locale="fr", show_tracking=True)


async def path_of(tenant: Tenant) -> str:
    url = await preview_url(tenant, profile="default", preference_center=BRAND, company_address="1 New Street")
    return "/preview/" + url.rpartition("/")[2]


async def test_it_shows_the_brand_and_the_boxes_in_the_profiles_language(ada: Recipient) -> None:
    response = await ada.client.get(await path_of(ada.tenant), headers={"accept-language": "de"})
    assert response.status_code == 200
    assert response.headers["content-language"] == "fr"
    page = Page(response.text)
    for words in ("Brand of <tomorrow>", "1 New Street", "Aperçu", "Commercial", "Deals & <offers>", "Tracking"):
        assert words in page.text or words in response.text
    assert "--brand: #14532d" in response.text
    assert len([box for box in page.all("input") if box["type"] == "checkbox"]) == 5


@pytest.mark.parametrize("tag", ["en", "de", "fr", "es", "ar"])
async def test_it_can_be_seen_in_every_language(ada: Recipient, tag: str) -> None:
    response = await ada.client.get(f"{await path_of(ada.tenant)}?lang={tag}")
    assert Page(response.text).all("html") == [{"lang": tag, "dir": "rtl" if tag == "ar" else "ltr"}]


async def test_there_is_no_form_on_it_and_nothing_can_be_sent_to_it(ada: Recipient) -> None:
    path = await path_of(ada.tenant)
    page = Page((await ada.client.get(path)).text)
    assert page.forms == []
    assert {button["type"] for button in page.all("button")} == {"button"}
    before = await ada.position()
    form = (await ada.page()).choices.filled("everything")
    for fields in (dict(form), {"List-Unsubscribe": "One-Click"}, {"confirm": "yes"}):
        refused = await ada.client.post(path, data=fields)
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
        for other in ("p", "u", "c"):
            assert (await ada.client.post(path.replace("preview", other, 1), data=fields)).status_code == 404
    assert (await ada.client.get(f"/preview/{ada.token}")).status_code == 404
    assert await ada.position() == before


async def test_after_an_hour_it_is_told_like_any_link_that_is_none(
    clocked_tenant: Tenant, caller: Caller, clock: Clock
) -> None:
    await create_topic(clocked_tenant, caller, key="news", name="News", purpose="commercial")
    path = await path_of(clocked_tenant)
    async with asking(create_app(clocked_tenant.ledger)) as client:
        clock.now += PREVIEW_VALID - timedelta(seconds=1)
        assert (await client.get(path)).status_code == 200
        clock.now += timedelta(seconds=1)
        over = await client.get(path)
        none = await client.get("/preview/none")
    assert (over.status_code, over.text) == (404, none.text)
