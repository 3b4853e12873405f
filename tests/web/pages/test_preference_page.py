"""The preference page: what it shows, what it saves, what it says ("Preference center and unsubscribe" in SEMANTICS.md)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient

from domain.addresses import Channel
from domain.bounces import Bounce
from domain.catalogue import EnforcementModel, PurposeType
from domain.consent import ConsentValue
from domain.preference_center import PreferenceCenter, PreferenceCenterPatch
from domain.refusals import Refusal
from ledger.assembly import Caller
from ledger.bounces import record_bounce
from ledger.catalogue import create_purpose, create_topic, update_profile, update_purpose, update_topic
from ledger.check import Question, check
from ledger.erasure import erase_contact_point
from tests.conftest import Clock
from tests.web.pages.conftest import ADA, Recipient
from tests.web.pages.reading import Page, words
from web.pages.rendering import brand_of

IN, OUT, NOT_SET = ConsentValue.OPTED_IN, ConsentValue.OPTED_OUT, ConsentValue.NOT_SET
COMMERCIAL, NEWS, DEALS = ("commercial", None), ("commercial", "news"), ("commercial", "deals")
TRACKING, TRANSACTIONAL = ("tracking", None), ("transactional", None)
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


async def allowed(ada: Recipient, purpose: str = "commercial", topic: str | None = None) -> bool:
    question = Question(channel=Channel.EMAIL, addresses=[ADA], purpose=purpose, topic=topic)
    [answer] = await check(ada.tenant, question)
    return answer.decision.allowed


async def test_the_page_shows_purposes_and_topics_of_the_profile_with_their_present_values(ada: Recipient) -> None:
    page = await ada.page()
    assert page.choices.boxes == {
        "choice.commercial": True,
        "choice.commercial.news": True,
        "choice.commercial.deals": True,
        "choice.transactional": True,
        "choice.tracking": True,
    }, "nothing is set, and e-mail may be sent without an opt-in"
    assert "Once a month: what is new." in page.text
    assert "Deals & <offers>" in page.text, "names are text, never markup"
    assert "Acme Ltd" in page.text
    assert ADA not in page.source, "whoever sees the page or has the link does not learn the address"
    await ada.change(commercial__news=False)
    boxes = (await ada.page()).choices.boxes
    assert (boxes["choice.commercial.news"], boxes["choice.commercial.deals"]) == (False, True)


async def test_all_of_them_are_saved_in_one_submit(ada: Recipient) -> None:
    page = await ada.change(commercial=False, commercial__deals=False, tracking=False)
    assert await ada.recorded() == [
        ("commercial", None, "OPTED_OUT"),
        ("commercial", "deals", "OPTED_OUT"),
        ("tracking", None, "OPTED_OUT"),
    ]
    assert not page.choices.boxes["choice.commercial"]
    assert page.choices.boxes["choice.transactional"]


async def test_the_page_says_what_was_saved(ada: Recipient) -> None:
    page = await ada.change(commercial=False)
    assert "Your choices are saved Commercial: no" in page.text
    assert [element["role"] for element in page.all("section")] == ["status"]
    page = await ada.change(commercial=True)
    assert "Your choices are saved Commercial: yes" in page.text
    page = await ada.change(commercial__deals=False)
    assert "Commercial – Deals & <offers>: no" in page.text


async def test_it_has_unsubscribe_from_everything_commercial(ada: Recipient, caller: Caller) -> None:
    await create_purpose(
        ada.tenant, caller, key="fairs", name="Fairs", type=PurposeType.COMMERCIAL, profiles=["default"]
    )
    page = await ada.change("everything")
    assert await ada.recorded() == [("commercial", None, "OPTED_OUT"), ("fairs", None, "OPTED_OUT")], (
        "no topic is needed"
    )
    assert "Commercial: no" in page.text
    assert "Fairs: no" in page.text
    assert not await allowed(ada, topic="news")
    evidence = await ada.last_evidence()
    assert evidence["method"] == "preference center, button: unsubscribe from everything commercial"


async def test_the_everything_button_takes_no_opt_in_from_the_boxes_but_every_opt_out(ada: Recipient) -> None:
    await ada.change(commercial__news=False)
    await ada.change("everything", commercial__news=True, tracking=False)
    assert (await ada.values()) == {COMMERCIAL: OUT, NEWS: OUT, DEALS: NOT_SET, TRACKING: OUT, TRANSACTIONAL: NOT_SET}


async def test_it_works_without_javascript(ada: Recipient) -> None:
    for page in (await ada.page(), await ada.change(commercial=False), await ada.page("u")):
        assert page.all("script") == []
        assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


async def test_tracking_is_shown_only_if_the_profile_puts_it_there(ada: Recipient, caller: Caller) -> None:
    assert "choice.tracking" in (await ada.page()).choices.boxes
    hidden = PreferenceCenterPatch(show_tracking=False)
    await update_profile(ada.tenant, caller, ref="default", preference_center=hidden)
    assert "choice.tracking" not in (await ada.page()).choices.boxes


async def test_what_is_saved_is_the_persons_with_the_very_text_shown(ada: Recipient) -> None:
    page = await ada.page()
    await ada.saved(page.choices.filled("save", commercial__deals=False))
    [event] = await ada.captures()
    assert (event.entry.data["source"], event.entry.actor) == ("PREFERENCE_CENTER", "RECIPIENT")
    assert "noticeDigest" in event.entry.data, "addressed by its content"
    evidence = await ada.last_evidence()
    assert (evidence["locale"], evidence["method"]) == ("en", "preference center, boxes and a button")
    assert evidence["messageId"] == "m-1"
    text = evidence["noticeText"]
    assert ADA not in text
    lines = text.splitlines()
    assert lines[:2] == ["Acme", "Your choices"]
    for line in (
        "[x] Commercial",
        "[x] News",
        "Once a month: what is new.",
        "[x] Deals & <offers>",
        "[x] Tracking",
        "[Save]",
    ):
        assert line in lines
    for line in lines:
        shown = line.removeprefix("[x] ").removeprefix("[ ] ").removeprefix("[").removesuffix("]")
        assert words(shown) in words(page.squeezed), "every word of it stood on the page"


async def test_the_text_is_that_of_the_page_that_was_open_when_the_catalogue_changed(
    ada: Recipient, caller: Caller
) -> None:
    page = await ada.page(query="?lang=de")
    await update_topic(ada.tenant, caller, ref="news", name="Renamed", description="Every day.")
    told = await ada.saved(page.choices.filled("save", commercial__news=False))
    assert "Renamed: nein" in told.text, "what is said is said with today's names, in the language of the form"
    text = (await ada.last_evidence())["noticeText"]
    assert "[x] News" in text
    assert "Renamed" not in text
    assert "[Speichern]" in text


async def test_only_what_was_changed_is_recorded_and_nothing_changed_is_said(ada: Recipient) -> None:
    before = await ada.position()
    page = await ada.change()
    assert "You changed nothing, so nothing was saved." in page.text
    assert await ada.position() == before


async def test_undo_puts_back_what_was_there(ada: Recipient) -> None:
    await ada.change(commercial__news=False)
    page = await ada.change(commercial__news=True, commercial__deals=False)
    page = await ada.saved(page.undo.filled("undo"))
    assert (await ada.values())[NEWS] is OUT
    assert (await ada.values())[DEALS] is NOT_SET
    assert "News: no" in page.text
    assert "Deals & <offers>: as before you chose" in page.text
    evidence = await ada.last_evidence()
    assert evidence["method"] == "preference center, button: undo"
    assert evidence["noticeText"].endswith("Commercial – News: yes\nCommercial – Deals & <offers>: no\n[Undo]")


async def test_undo_twice_does_no_harm(ada: Recipient) -> None:
    undo = (await ada.change(commercial__news=False)).undo.filled("undo")
    await ada.saved(undo)
    after = await ada.position()
    page = await ada.saved(undo)
    assert "News: as before you chose" in page.text
    assert await ada.position() == after


async def test_an_old_undo_takes_back_nothing_that_was_chosen_since(ada: Recipient) -> None:
    first = await ada.change(commercial__news=False)
    await ada.saved(first.undo.filled("undo"))
    opted_in = await ada.change(commercial__news=False)
    opted_in = await ada.change(commercial__news=True)
    await ada.change(commercial__news=False)
    page = await ada.saved(opted_in.undo.filled("undo"))
    assert (await ada.values())[NEWS] is OUT, "it is so already"
    assert "News: no" in page.text
    assert "Undo" not in page.text, "there is nothing to take back"
    await ada.change(commercial__deals=False)
    out_of_deals = await ada.change("everything")
    await ada.change(commercial=True)
    page = await ada.saved(out_of_deals.undo.filled("undo"))
    assert (await ada.values())[COMMERCIAL] is IN
    assert "Commercial: left as it is" in page.text


async def test_a_form_sent_twice_is_saved_once(ada: Recipient) -> None:
    fields = (await ada.page()).choices.filled("save", commercial__news=False)
    first = await ada.saved(fields)
    after = await ada.position()
    second = await ada.saved(fields)
    assert await ada.position() == after
    assert "News: no" in first.text
    assert "News: no" in second.text


async def test_the_back_button_and_the_same_form_again_never_loses_an_opt_out(ada: Recipient) -> None:
    fields = (await ada.page()).choices.filled("save", commercial__news=False)
    first = await ada.saved(fields)
    await ada.saved(first.undo.filled("undo"))
    assert (await ada.values())[NEWS] is NOT_SET
    page = await ada.saved(fields)
    assert "News: no" in page.text
    assert (await ada.values())[NEWS] is OUT, "it is said to be saved, and it is"


async def test_the_same_form_again_never_opts_in_after_an_opt_out(ada: Recipient) -> None:
    await ada.change(commercial__news=False)
    fields = (await ada.page()).choices.filled("save", commercial__news=True)
    await ada.saved(fields)
    await ada.change(commercial__news=False)
    page = await ada.saved(fields)
    assert "News: left as it is" in page.text
    assert (await ada.values())[NEWS] is OUT


async def test_two_open_tabs_change_nothing_that_nobody_touched(ada: Recipient) -> None:
    one, other = await ada.page(), await ada.page()
    await ada.saved(one.choices.filled("save", commercial__news=False))
    await ada.saved(other.choices.filled("save", commercial__deals=False))
    values = await ada.values()
    assert (values[NEWS], values[DEALS]) == (OUT, OUT), "the second tab, which still showed news ticked, left it out"


async def test_what_is_not_offered_any_more_can_be_left_but_not_taken_up(ada: Recipient, caller: Caller) -> None:
    await ada.change(commercial__news=False)
    page = await ada.page()
    for topic in ("news", "deals"):
        await update_topic(ada.tenant, caller, ref=topic, active=False)
    fields = page.choices.filled("save", commercial__news=True, commercial__deals=False, tracking=False)
    told = await ada.saved(fields)
    assert "Some of your choices are saved, some are not" in told.text
    assert "Commercial – News: not saved, because it is not offered any more" in told.text
    assert "Commercial – Deals & <offers>: no" in told.text
    assert "Tracking: no" in told.text
    assert (await ada.recorded())[1:] == [("commercial", "deals", "OPTED_OUT"), ("tracking", None, "OPTED_OUT")]
    assert "choice.commercial.news" not in told.choices.boxes


async def test_a_purpose_that_is_inactive_now_is_left_with_everything_commercial_of_an_old_form(
    ada: Recipient, caller: Caller
) -> None:
    page = await ada.page()
    await update_purpose(ada.tenant, caller, ref="commercial", active=False)
    told = await ada.saved(page.choices.filled("everything"))
    assert "Commercial: no" in told.text
    assert await ada.recorded() == [("commercial", None, "OPTED_OUT")]
    assert "choice.commercial" not in (await ada.page()).choices.boxes


async def test_a_page_without_anything_to_choose_says_so(ada: Recipient, caller: Caller) -> None:
    for purpose in ("commercial", "transactional", "tracking"):
        await update_purpose(ada.tenant, caller, ref=purpose, active=False)
    page = await ada.page()
    assert "There is nothing to choose here at the moment." in page.text
    assert page.forms == []


async def test_a_link_stays_valid_after_the_profile_is_changed_or_gone(ada: Recipient, caller: Caller) -> None:
    old = PreferenceCenterPatch(title="")
    await update_profile(ada.tenant, caller, ref="default", name="New name", active=False, preference_center=old)
    assert "New name" in (await ada.page()).text
    await ada.change(commercial=False)
    assert (await ada.values())[COMMERCIAL] is OUT


async def test_a_link_works_more_than_once(ada: Recipient) -> None:
    for ticked in (False, True, False):
        await ada.change(commercial=ticked)
        assert (await ada.values())[COMMERCIAL] is (IN if ticked else OUT)


async def test_after_erasure_the_page_confirms_politely_and_keeps_the_suppression(
    ada: Recipient, caller: Caller
) -> None:
    old_form = await ada.page()
    await ada.change(commercial__deals=False)
    await erase_contact_point(ada.tenant, caller, channel=Channel.EMAIL, address=ADA, reason="DSAR-1")
    page = await ada.page()
    assert "This address is on our do-not-contact list" in page.text
    assert not page.choices.boxes["choice.commercial"]
    told = await ada.saved(page.choices.filled("everything"))
    assert "Commercial: no" in told.text
    assert "This address is on our do-not-contact list" in told.text
    assert not any("undo" in form.buttons for form in told.forms), "nothing came before, so nothing is taken back"
    event = (await ada.captures())[-1]
    assert event.entry.personal.keys() == {"address"}, "nothing of who was erased but what an opt-out needs"
    told = await ada.saved(old_form.choices.filled("save", commercial=False))
    assert "Commercial: no" in told.text
    assert not await allowed(ada)


async def test_after_erasure_one_can_opt_in_again_here_and_take_that_back(ada: Recipient, caller: Caller) -> None:
    await ada.change(commercial__deals=False)
    await erase_contact_point(ada.tenant, caller, channel=Channel.EMAIL, address=ADA, reason="DSAR-1")
    page = await ada.change(commercial=True)
    assert "Commercial: yes" in page.text
    assert "do-not-contact list" not in page.text
    assert await allowed(ada)
    await ada.saved(page.undo.filled("undo"))
    assert not await allowed(ada), "not set alone would let messages come that did not come before"
    assert (await ada.values())[COMMERCIAL] is OUT


async def test_what_is_sent_in_any_case_is_said_to_be(ada: Recipient, caller: Caller) -> None:
    sentence = "These messages may reach you whatever you choose here."
    assert (await ada.page()).text.count(sentence) == 1, "of what is transactional"
    await update_purpose(ada.tenant, caller, ref="commercial", enforcement=[(Channel.EMAIL, EnforcementModel.DISABLED)])
    assert (await ada.page()).text.count(sentence) == 4


async def test_a_channel_that_needs_an_opt_in_shows_its_boxes_empty(ada: Recipient) -> None:
    bob = ada.with_link(channel=Channel.SMS, address="+14255550123")
    page = await bob.page()
    assert not page.choices.boxes["choice.commercial"]
    await bob.saved(page.choices.filled("save", commercial=True))
    assert (await bob.values())[COMMERCIAL] is IN


async def test_the_logo_is_in_the_page_itself(ada: Recipient, caller: Caller) -> None:
    patch = PreferenceCenterPatch(logo_url=PIXEL)
    await update_profile(ada.tenant, caller, ref="default", preference_center=patch)
    page = await ada.page()
    assert [image["src"] for image in page.all("img")] == [PIXEL]
    assert "https:" not in page.source


async def test_a_logo_elsewhere_is_refused_and_one_that_was_held_before_is_not_asked_for(
    ada: Recipient, caller: Caller
) -> None:
    elsewhere = "https://example.org/logo.png"
    patch = PreferenceCenterPatch(logo_url=elsewhere)
    with pytest.raises(Refusal) as refused:
        await update_profile(ada.tenant, caller, ref="default", preference_center=patch)
    assert refused.value.path == ("preferenceCenter", "logoUrl")
    assert "data: URL" in refused.value.message
    held = PreferenceCenter().changed({"logoUrl": elsewhere})
    assert held.logo_url == elsewhere, "older events stay readable"
    profile = replace(ada.tenant.catalogue.profiles["default"], preference_center=held)
    assert brand_of(profile).logo is None


async def test_the_text_of_a_page_that_is_too_long_for_evidence_is_kept_without_descriptions(
    ada: Recipient, caller: Caller
) -> None:
    for number in range(60):
        await create_topic(
            ada.tenant, caller, key=f"t{number}", name=f"Topic {number}", purpose="commercial", description="x" * 1_000
        )
    await ada.change(commercial=False)
    assert (await ada.values())[COMMERCIAL] is OUT
    text = (await ada.last_evidence())["noticeText"]
    assert "[x] Topic 59" in text
    assert "xxx" not in text


SIGNALS: list[tuple[list[str], bool]] = [
    (["1"], True), (["0", "1"], True), (["1", "x"], True), ([], False),
    (["0"], False), (["true"], False), (["1, 1"], False), (["01"], False), ([""], False),
]  # fmt: skip


@pytest.mark.parametrize(("values", "noticed"), SIGNALS)
async def test_global_privacy_control_is_told_and_kept_as_evidence(
    ada: Recipient, values: list[str], noticed: bool
) -> None:
    headers: Any = [("sec-gpc", value) for value in values]
    url = f"/p/{ada.token}"
    page = Page((await ada.client.get(url, headers=headers)).text)
    assert ("Global Privacy Control" in page.text) is noticed
    data = dict(page.choices.filled("save", commercial=False))
    response = await ada.client.post(url, data=data, headers=headers)
    assert response.status_code == 200
    evidence = await ada.last_evidence()
    assert evidence.get("attributes") == ({"gpc": True} if noticed else None)
    assert ("Global Privacy Control" in evidence["noticeText"]) is noticed


async def test_the_support_resource_of_global_privacy_control(client: AsyncClient) -> None:
    response = await client.get("/.well-known/gpc.json")
    assert response.json() == {"gpc": True, "lastUpdate": "2026-11-24"}
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "public, max-age=86400"


async def bounced(ada: Recipient, caller: Caller) -> None:
    await record_bounce(ada.tenant, caller, channel=Channel.EMAIL, address=ADA, bounce=Bounce.HARD, status="5.1.1")


WORKS = ("works", "yes")


async def test_an_address_from_which_messages_came_back_is_told_so_and_lifts_it_in_one_action(
    ada: Recipient, caller: Caller, clock: Clock
) -> None:
    await ada.change(commercial__news=False)
    assert "came back" not in (await ada.page()).text
    await bounced(ada, caller)
    clock.now += timedelta(minutes=1)
    assert not await allowed(ada)
    page = await ada.page()
    assert "Messages to this address came back" in page.text
    assert page.choices.boxes["works"] is False
    same = await ada.saved(page.choices.filled("save"))
    assert "Nothing was changed" in same.text
    assert not await allowed(ada), "a form sent as it was says nothing"
    told = await ada.saved([*(await ada.page()).choices.filled("save"), WORKS])
    assert "Your choices are saved" in told.text
    assert "came back" not in told.text
    assert not any("undo" in form.buttons for form in told.forms), "a bounce is not taken back by half"
    assert await allowed(ada)
    assert await allowed(ada, "transactional")
    assert not await allowed(ada, "commercial", "news"), "what they had left stays so"
    assert ("tracking", None, "OPTED_IN") not in await ada.recorded(), "an address that works is no yes to tracking"
    evidence = await ada.last_evidence()
    assert "this address works" in evidence["method"]
    assert "Messages to this address came back" in evidence["noticeText"]
    assert "[ ] This address works" in evidence["noticeText"]


async def test_an_address_that_works_and_wants_nothing_stays_as_it_is(ada: Recipient, caller: Caller) -> None:
    await ada.change(
        commercial=False, commercial__news=False, commercial__deals=False, transactional=False, tracking=False
    )
    await bounced(ada, caller)
    before = await ada.position()
    told = await ada.saved([*(await ada.page()).choices.filled("save"), WORKS])
    assert "no messages come to this address, as before" in told.text
    assert await ada.position() == before


async def test_out_of_everything_commercial_is_no_opt_in_of_an_address_that_works(
    ada: Recipient, caller: Caller, clock: Clock
) -> None:
    await bounced(ada, caller)
    clock.now += timedelta(minutes=1)
    await ada.saved([*(await ada.page()).choices.filled("everything"), WORKS])
    assert await ada.recorded() == [("commercial", None, "OPTED_OUT")]


@pytest.mark.parametrize("field", [WORKS, ("works", "no"), ("works", "")])
async def test_that_an_address_works_is_taken_only_from_the_page_that_asks(
    ada: Recipient, field: tuple[str, str]
) -> None:
    before = await ada.position()
    response = await ada.post([*(await ada.page()).choices.filled("save"), field])
    assert response.status_code == 400
    assert await ada.position() == before


async def test_topics_of_a_purpose_that_is_off_are_shown_as_off(ada: Recipient) -> None:
    page = await ada.page()
    assert "They reach you only while Commercial is ticked" in page.text
    assert not any(each.get("class") == "off" for each in page.all("fieldset"))
    page = await ada.change("everything")
    assert "None of them reaches you, because Commercial is not ticked." in page.text
    assert [each.get("class") for each in page.all("fieldset")] == ["off"]
    assert page.choices.boxes["choice.commercial.deals"], "their own value stays"
    await ada.change(commercial=True)
    assert "None of them reaches you, because Commercial is not ticked." in (await ada.last_evidence())["noticeText"]


async def test_the_address_is_named_so_that_only_who_has_it_knows_it(ada: Recipient) -> None:
    page = await ada.page()
    assert "They are about this address: a…@e….org" in page.text
    await ada.change(commercial=False)
    assert "a…@" not in (await ada.last_evidence())["noticeText"], "a notice is shared by its content"
    sms = await ada.with_link(channel=Channel.SMS, address="+4930123456").page()
    assert "+49…56" in sms.text
    push = await ada.with_link(channel=Channel.PUSH, address="device").page()
    assert "They are about this address" not in push.text
