"""Forms that come again, late, or after something else: no reload, old tab or other header makes an opt-in nobody chose."""

from datetime import timedelta

import pytest

from domain.addresses import Channel
from domain.catalogue import DoubleOptInMode, EnforcementModel, PurposeType
from domain.consent import ActorKind, ConsentSource, ConsentValue
from ledger.assembly import Caller
from ledger.catalogue import create_purpose, create_topic, update_profile
from ledger.check import Question, check
from ledger.double_opt_in import confirm_double_opt_in, open_confirmation, request_double_opt_in
from ledger.erasure import erase_contact_point
from ledger.record import Actor, Capture, record_consent
from tests.web.pages.conftest import ADA, Recipient, StandingClock
from tests.web.pages.reading import Page

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
RECIPIENT = Actor(kind=ActorKind.RECIPIENT)
IN, OUT, NOT_SET = ConsentValue.OPTED_IN, ConsentValue.OPTED_OUT, ConsentValue.NOT_SET


@pytest.fixture
async def person(ada: Recipient, caller: Caller) -> Recipient:
    """Ada, whose profile has two purposes more: `promo`, and `strict`, which needs an opt-in."""
    for key in ("promo", "strict"):
        await create_purpose(
            ada.tenant, caller, key=key, name=key.title(), type=PurposeType.COMMERCIAL, profiles=["default"],
            enforcement=[(Channel.EMAIL, EnforcementModel.RESTRICTIVE if key == "strict" else EnforcementModel.NON_RESTRICTIVE)],
        )  # fmt: skip
    return ada.with_link(topic=None)


async def decided(person: Recipient, purpose: str = "commercial", topic: str | None = None) -> tuple[bool, list[str]]:
    question = Question(channel=Channel.EMAIL, addresses=[ADA], purpose=purpose, topic=topic)
    [answer] = await check(person.tenant, question)
    return answer.decision.allowed, [str(reason.code) for reason in answer.decision.reasons]


async def recorded_late(
    person: Recipient, caller: Caller, effective: timedelta, value: ConsentValue = IN, purpose: str = "commercial"
) -> None:
    """Somebody records what the person chose that long ago."""
    capture = Capture(
        channel=Channel.EMAIL, address=ADA, purpose=purpose, value=value, actor=RECIPIENT,
        effective_at=person.tenant.ledger.clock() - effective,
    )  # fmt: skip
    await record_consent(person.tenant, caller, capture)


async def test_an_undo_that_is_loaded_again_takes_back_no_later_opt_out(person: Recipient) -> None:
    told = await person.change(commercial=False, promo=False)
    undo = told.undo.filled("undo")
    await person.saved(undo)
    assert (await decided(person))[0]
    await person.post(ONE_CLICK, "u")
    size = await person.position()
    page = await person.saved(undo)
    assert await decided(person) == (False, ["OPTED_OUT"])
    assert "Commercial: left as it is" in page.text
    assert "Promo: as before you chose" in page.text
    assert await person.position() == size


async def test_a_save_that_is_loaded_again_opts_nobody_in_after_an_erasure(person: Recipient, caller: Caller) -> None:
    fields = (await person.page()).choices.filled("save", commercial=False, strict=True)
    await person.saved(fields)
    await erase_contact_point(person.tenant, caller, channel=Channel.EMAIL, address=ADA, reason="DSAR-1")
    size = await person.position()
    page = await person.saved(fields)
    assert await decided(person, "strict") == (False, ["SUPPRESSED"])
    assert await decided(person) == (False, ["SUPPRESSED"])
    assert "Strict: left as it is" in page.text
    assert await person.position() == size, "who was erased is not written down again for a reload"


@pytest.mark.parametrize("keep", [True, False])
async def test_a_form_shown_before_an_erasure_takes_up_nothing_after_it(
    person: Recipient, caller: Caller, keep: bool
) -> None:
    await person.change(promo=False)
    fields = (await person.page()).choices.filled("save", strict=True)
    await erase_contact_point(
        person.tenant, caller, channel=Channel.EMAIL, address=ADA, reason="DSAR-1", keep_suppression=keep
    )
    assert "Strict: left as it is" in (await person.saved(fields)).text
    assert not (await decided(person, "strict"))[0]


async def test_a_form_shown_to_nobody_yet_takes_up_nothing_after_an_erasure_in_between(
    person: Recipient, caller: Caller
) -> None:
    fields = (await person.page()).choices.filled("save", strict=True)
    await person.change(promo=False)
    await erase_contact_point(person.tenant, caller, channel=Channel.EMAIL, address=ADA, reason="DSAR-1")
    assert "Strict: left as it is" in (await person.saved(fields)).text
    assert await decided(person, "strict") == (False, ["SUPPRESSED"])


@pytest.mark.parametrize(("first", "then"), [({}, {"sec-gpc": "1"}), ({"sec-gpc": "1"}, {})])
async def test_a_form_is_the_same_with_and_without_the_signal(
    person: Recipient, first: dict[str, str], then: dict[str, str]
) -> None:
    await person.change(commercial=False)
    fields = (await person.page()).choices.filled("save", commercial=True)
    await person.saved(fields, **first)
    assert (await person.values())["commercial", None] is IN
    await person.post(ONE_CLICK, "u")
    size = await person.position()
    for headers in (first, then, first):
        assert "Commercial: left as it is" in (await person.saved(fields, **headers)).text
    assert await decided(person) == (False, ["OPTED_OUT"])
    assert await person.position() == size


async def test_an_undo_in_an_old_tab_takes_back_no_later_complaint(person: Recipient, caller: Caller) -> None:
    await recorded_late(person, caller, timedelta(days=1))
    told = await person.change(commercial=False)
    complaint = Capture(
        channel=Channel.EMAIL, address=ADA, purpose="commercial", value=OUT, source=ConsentSource.COMPLAINT
    )
    await record_consent(person.tenant, caller, complaint)
    page = await person.saved(told.undo.filled("undo"))
    assert "Commercial: left as it is" in page.text
    assert await decided(person) == (False, ["OPTED_OUT"])


async def test_a_tick_in_an_old_tab_takes_back_no_later_opt_out(person: Recipient) -> None:
    await person.change(commercial=False)
    old = (await person.page()).choices.filled("save", commercial=True)
    await person.post(ONE_CLICK, "u")
    assert "Commercial: left as it is" in (await person.saved(old)).text
    assert await decided(person) == (False, ["OPTED_OUT"])


async def test_a_form_that_comes_again_with_other_boxes_opts_out_and_takes_up_nothing(person: Recipient) -> None:
    form = (await person.page()).choices
    await person.saved(form.filled("save", promo=False))
    page = await person.saved(form.filled("save", promo=False, commercial=False, strict=True))
    assert "Strict: left as it is" in page.text
    assert "Commercial: no" in page.text
    assert [value for _, _, value in await person.recorded()] == ["OPTED_OUT", "OPTED_OUT"]


async def test_an_opt_out_in_between_wins_over_a_confirmation_also_after_an_erasure(
    person: Recipient, caller: Caller
) -> None:
    await person.change(promo=False)
    await erase_contact_point(person.tenant, caller, channel=Channel.EMAIL, address=ADA, reason="DSAR-1")
    await update_profile(person.tenant, caller, ref="default", double_opt_in=DoubleOptInMode.EVERY_SUBMISSION)
    asked = await request_double_opt_in(person.tenant, caller, channel=Channel.EMAIL, address=ADA, purpose="commercial")
    await person.change("everything")
    await confirm_double_opt_in(*await open_confirmation(person.tenant.ledger, asked.token or ""))
    assert await decided(person) == (False, ["OPTED_OUT"])


async def test_one_click_counts_from_when_it_came_whatever_is_recorded_late(person: Recipient, caller: Caller) -> None:
    await recorded_late(person, caller, timedelta(hours=2), OUT)
    assert (await person.post(ONE_CLICK, "u")).status_code == 200
    await recorded_late(person, caller, timedelta(hours=1))
    assert await decided(person) == (False, ["OPTED_OUT"])


async def test_an_opt_out_after_an_erasure_counts_over_what_was_chosen_before_it(
    person: Recipient, caller: Caller
) -> None:
    await person.change(promo=False)
    await erase_contact_point(person.tenant, caller, channel=Channel.EMAIL, address=ADA, reason="DSAR-1")
    between = person.tenant.ledger.clock()
    assert (await person.post(ONE_CLICK, "u")).status_code == 200
    capture = Capture(
        channel=Channel.EMAIL, address=ADA, purpose="commercial", value=IN, actor=RECIPIENT, effective_at=between
    )
    await record_consent(person.tenant, caller, capture)
    assert await decided(person) == (False, ["OPTED_OUT"])


async def test_an_opt_out_of_a_flood_counts_over_what_was_chosen_before_it(
    person: Recipient, caller: Caller, limit_clock: StandingClock
) -> None:
    await person.post(ONE_CLICK, "u")
    for _ in range(300):
        await person.get()
    between = person.tenant.ledger.clock()
    assert (await person.post(ONE_CLICK, "u")).status_code == 200
    capture = Capture(channel=Channel.EMAIL, address=ADA, purpose="commercial", value=IN, effective_at=between)
    await record_consent(person.tenant, caller, capture)
    assert await decided(person) == (False, ["OPTED_OUT"])


async def test_the_page_that_asks_to_wait_ends_everything_commercial(person: Recipient) -> None:
    await person.change(commercial=False)
    for _ in range(300):
        limited = await person.get(query="?lang=de")
    assert limited.status_code == 429
    one, everything = Page(limited.text).forms
    assert one.buttons == {"": ""}
    assert everything.action == f"../p/{person.token}?lang=de"
    told = await person.saved(everything.filled("everything"))
    assert "Promo: nein" in told.text
    assert await decided(person, "promo") == (False, ["OPTED_OUT"])
    evidence = await person.last_evidence()
    assert evidence["noticeText"].splitlines()[1:] == [
        "Bitte warten Sie einen Moment",
        "Zum Abmelden müssen Sie nicht warten.",
        "[Von aller Werbung abmelden]",
    ]


async def test_a_page_of_very_many_boxes_is_saved(person: Recipient, caller: Caller) -> None:
    for number in range(2_100):
        await create_topic(person.tenant, caller, key=f"topic-{number}", name=f"Topic {number}", purpose="promo")
    form = (await person.page()).choices
    assert len(form.boxes) > 2_100
    told = await person.saved([
        (name, value) for name, value in form.filled("save") if name != "choice.promo.topic-2099"
    ])  # fmt: skip
    assert await person.recorded() == [("promo", "topic-2099", "OPTED_OUT")]
    await person.saved(told.choices.filled("everything"))
    assert not (await decided(person, "promo"))[0]


async def test_the_signal_is_kept_and_says_no_to_tracking_where_the_person_said_nothing(person: Recipient) -> None:
    page = await person.page(sec_gpc="1")
    assert "If you save here, we note with it that you want no tracking" in page.text
    told = await person.saved(page.choices.filled("save"), sec_gpc="1")
    assert "Tracking: no" in told.text
    assert await person.recorded() == [("tracking", None, "OPTED_OUT")]
    evidence = await person.last_evidence()
    assert evidence["attributes"] == {"gpc": True}
    assert "we note with it that you want no tracking" in evidence["noticeText"]
    await person.saved(told.choices.filled("save", tracking=True), sec_gpc="1")
    await person.saved((await person.page(sec_gpc="1")).choices.filled("save"), sec_gpc="1")
    assert (await person.values())["tracking", None] is IN, "what the person said counts"
