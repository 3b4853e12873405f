"""A profile's page looked at before it is saved: who may, what is told, and that nothing is recorded or opened by it."""

from typing import Any

import pytest

from domain.refusals import Refusal
from eventstore import read
from ledger.double_opt_in import open_confirmation
from ledger.links import LinkInvalid, open_message_link
from ledger.page_previews import open_preview
from tests.schema.conftest import Asker

ASK = """query($profile: String! = "default", $page: PreferenceCenterInput, $address: String) {
  preferenceCenterPreview(profile: $profile, preferenceCenter: $page, companyAddress: $address) }"""


async def preview(ask: Asker, **variables: Any) -> str:
    url: str = (await ask.data(ASK, **variables))["preferenceCenterPreview"]
    base, _, token = url.rpartition("/")
    assert base == "http://127.0.0.1:8080/preview"
    return token


async def size(ask: Asker) -> int:
    async with ask.tenant.ledger.connection() as connection:
        return (await read.head(connection, ask.tenant.id)).size


async def test_what_is_not_saved_yet_is_shown_and_not_saved(ask: Asker) -> None:
    before = await size(ask)
    page = {"title": "Größer", "locale": "de", "brandColor": "#ABCDEF", "showTracking": True}
    token = await preview(ask, page=page, address="Acme\n1 Lane")
    tenant, seen = await open_preview(ask.tenant.ledger, token)
    assert tenant is ask.tenant
    shown = seen.profile.preference_center
    assert (shown.title, shown.locale, shown.brand_color, shown.show_tracking) == ("Größer", "de", "#abcdef", True)
    assert seen.profile.company_address == "Acme\n1 Lane"
    assert [(choice.level[0], choice.ticked) for choice in seen.choices] == [
        ("commercial", True), ("transactional", True), ("tracking", True),
    ]  # fmt: skip
    assert await size(ask) == before
    held = (await ask.tenant.latest_catalogue()).profiles["default"]
    assert (held.preference_center.title, held.company_address) == (None, None)


async def test_what_is_left_out_is_as_it_is_when_the_link_is_opened_and_null_clears(ask: Asker) -> None:
    update = """mutation($page: PreferenceCenterInput) { updateComplianceProfile(input: {
      ref: "default", preferenceCenter: $page, companyAddress: "Acme"}) { errors { code } } }"""
    await ask.data(update, page={"title": "Held", "brandColor": "#111111"})
    plain = await preview(ask)
    token = (
        await ask.data("query { preferenceCenterPreview(preferenceCenter: {title: null}, companyAddress: null) }")
    )["preferenceCenterPreview"].rpartition("/")[2]
    await ask.data(update, page={"brandColor": "#222222"})
    _, seen = await open_preview(ask.tenant.ledger, plain)
    assert (seen.profile.preference_center.title, seen.profile.preference_center.brand_color) == ("Held", "#222222")
    _, seen = await open_preview(ask.tenant.ledger, token)
    assert (seen.profile.preference_center.title, seen.profile.company_address) == (None, None)


async def test_only_a_key_with_the_scope_admin_may(ask: Asker) -> None:
    for scope in ("check", "read", "read:personal", "write", "audit", "erase"):
        assert await ask.with_scopes(scope).forbidden(ASK) == "admin"
    assert await preview(ask.with_scopes("admin"))


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"profile": "none"}, ("profile",)),
        ({"page": {"brandColor": "red"}}, ("preferenceCenter", "brandColor")),
        ({"page": {"locale": "tlh"}}, ("preferenceCenter", "locale")),
        ({"page": {"title": "x" * 201}}, ("preferenceCenter", "title")),
        ({"page": {"logoUrl": "data:image/png;base64," + "A" * 4_000}}, ("preferenceCenter", "logoUrl")),
        ({"address": "a\x00"}, ("companyAddress",)),
    ],
)
async def test_what_cannot_be_shown_is_told_by_its_field(ask: Asker, given: Any, path: tuple[str, ...]) -> None:
    assert (await ask.refused(ASK, **given)).path == path


async def test_a_preview_is_no_link_of_a_recipient_and_the_other_way_round(ask: Asker) -> None:
    token = await preview(ask)
    with pytest.raises(LinkInvalid):
        await open_message_link(ask.tenant.ledger, token)
    with pytest.raises(Refusal):
        await open_confirmation(ask.tenant.ledger, token)
    links = await ask.data(
        '{ checkConsent(input: {address: "ann@example.org", purpose: "commercial"}) { unsubscribe { oneClickUrl } } }'
    )
    recipients = links["checkConsent"]["unsubscribe"]["oneClickUrl"].rpartition("/")[2]
    for none in (recipients, token[:-1], token + "A", "AAAAAA" + token[6:], "", "x"):
        with pytest.raises(LinkInvalid):
            await open_preview(ask.tenant.ledger, none)
