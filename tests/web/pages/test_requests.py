"""What every page has in common: links that are none, methods, headers, forms that the page did not make, floods, failures."""

import asyncio
import base64
import hashlib
import logging
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient

from domain.consent import ConsentValue
from domain.preference_center import PreferenceCenterPatch
from domain.refusals import Refusal, RefusalCode
from eventstore.database import DatabaseAddress, StoreUnavailable
from ledger import assembly, links
from ledger.assembly import Caller, Ledger, ledger_on
from ledger.catalogue import update_profile
from ledger.tenants import create_tenant
from tests.web.pages.conftest import FORM, Recipient, StandingClock, Turn
from tests.web.pages.reading import Page
from web.pages import routes
from web.pages.forms import BODY_BYTES_MAX
from web.pages.rendering import text_color

TAMPERED: list[tuple[str, Callable[[str], str]]] = [
    ("one character", lambda _: "A"),
    ("first half", lambda token: token[: len(token) // 2]),
    ("without the last", lambda token: token[:-1]),
    ("one more", lambda token: token + "A"),
    ("first changed", lambda token: ("B" if token[0] == "A" else "A") + token[1:]),
    ("tenant changed", lambda token: token[:4] + ("Z" if token[4] != "Z" else "Y") + token[5:]),
    ("middle changed", lambda token: token[:40] + ("A" if token[40] != "A" else "B") + token[41:]),
    ("last changed", lambda token: token[:-1] + ("A" if token[-1] not in "ABCD" else "w")),
    ("twice", lambda token: token + token),
    ("more behind", lambda token: token + "/x"),
    ("padding", lambda token: token + "="),
    ("a blank", lambda token: token + "%20"),
    ("a dot, as a sentence ends", lambda token: token + "."),
    ("NUL", lambda token: token + "%00"),
    ("not ASCII", lambda token: "%C3%A9" + token),
    ("not UTF-8", lambda token: "%FF" + token),
    ("long", lambda token: "A" * 5_000),
    ("a tenant beyond all numbers", lambda token: "____" + token[4:]),
    ("a tenant just beyond all numbers", lambda token: "gAAAAA" + token[6:]),
    ("the last number of a tenant", lambda token: "f____w" + token[6:]),
    ("zeros", lambda token: "A" * 80),
]


@pytest.mark.parametrize("path", ["p", "u", "c"])
async def test_an_address_without_a_link_says_what_it_is_for(ada: Recipient, path: str) -> None:
    response = await ada.client.get(f"/{path}/")
    assert response.status_code == 200
    assert "open the link in one of our messages" in Page(response.text).text
    posted = await ada.client.post(f"/{path}/", content=b"List-Unsubscribe=One-Click", headers={"content-type": FORM})
    assert posted.status_code == 404, "nobody is told that a click was taken that was not"


async def test_a_slash_behind_a_link_is_forgiven_and_leads_to_the_same_pages(ada: Recipient) -> None:
    response = await ada.client.get(f"/u/{ada.token}/")
    assert response.status_code == 200
    assert f'href="../../p/{ada.token}"' in response.text
    clicked = await ada.client.post(
        f"/u/{ada.token}/", content=b"List-Unsubscribe=One-Click", headers={"content-type": FORM}
    )
    assert clicked.status_code == 200
    assert await ada.recorded() == [("commercial", "news", "OPTED_OUT")]
    form = Page((await ada.client.get(f"/p/{ada.token}/")).text).choices
    saved = await ada.client.post(f"/p/{ada.token}/", data=dict(form.filled("save", commercial__news=True)))
    assert saved.status_code == 200
    assert (await ada.recorded())[-1] == ("commercial", "news", "OPTED_IN")


@pytest.mark.parametrize("path", ["p", "u"])
async def test_whatever_is_wrong_with_a_link_is_told_in_the_same_words(
    ada: Recipient, ledger: Ledger, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = Recipient(ada.client, await create_tenant(ledger, f"{ada.tenant.key}-foreign", "Foreign"), ada.link)
    raw = base64.urlsafe_b64decode(foreign.token + "=" * (-len(foreign.token) % 4))
    own = base64.urlsafe_b64decode(ada.token + "=" * (-len(ada.token) % 4))
    swapped = base64.urlsafe_b64encode(own[:4] + raw[4:]).rstrip(b"=").decode()
    form = dict((await ada.page()).choices.hidden)["form"]
    tokens = [(name, change(ada.token)) for name, change in TAMPERED] + [
        ("another tenant's", swapped),
        ("a form's seal", form),
    ]
    answers: dict[tuple[Any, ...], list[str]] = {}
    for name, token in tokens:
        for method in ("GET", "POST"):
            response = await ada.client.request(
                method, f"/{path}/{token}", content=b"List-Unsubscribe=One-Click", headers={"content-type": FORM}
            )
            headers = sorted((key, value) for key, value in response.headers.items() if key != "x-request-id")
            answers.setdefault((response.status_code, response.text, *headers), []).append(f"{method} {name}")
    monkeypatch.setattr(ledger, "link_valid_days", 30)
    expired = ada.with_link(made_on=ada.link.made_on - timedelta(days=31))
    response = await expired.get(path)
    headers = sorted((key, value) for key, value in response.headers.items() if key != "x-request-id")
    answers.setdefault((response.status_code, response.text, *headers), []).append("expired")
    assert len(answers) == 1, list(answers.values())
    [(status, text, *_)] = answers
    assert status == 404
    assert "This link does not work" in Page(text).text
    assert (await ada.with_link(made_on=ada.link.made_on - timedelta(days=30)).get(path)).status_code == 200
    assert await ada.captures() == []


@pytest.mark.parametrize("there", [True, False])
async def test_a_link_that_is_none_costs_the_same_whether_there_is_such_a_tenant(
    ada: Recipient, ledger: Ledger, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = base64.urlsafe_b64decode(ada.token + "=" * (-len(ada.token) % 4))
    number = raw[:4] if there else (2**30).to_bytes(4, "big")
    token = base64.urlsafe_b64encode(number + bytes(60)).rstrip(b"=").decode()
    monkeypatch.setattr(assembly, "_NUMBERS_KEPT_S", 1_000.0)
    await ledger.tenant_numbers()
    asked: list[str] = []
    tried: list[int] = []
    monkeypatch.setattr(ledger, "connection", lambda: asked.append("a query"))
    opened = links.open_token

    def open_and_count(key: bytes, tenant: int, token: str) -> bytes:
        tried.append(tenant)
        return opened(key, tenant, token)

    monkeypatch.setattr(links, "open_token", open_and_count)
    for path in ("p", "u", "c", "preview"):
        assert (await ada.client.get(f"/{path}/{token}")).status_code == 404
    assert asked == [], "who is here was looked up a moment ago"
    assert len(tried) == 4, "each is tried with a key, if it is nobody's"


async def test_a_link_of_a_tenant_that_this_process_has_not_met_yet_is_opened(
    ada: Recipient, database: DatabaseAddress, data_dir: Path
) -> None:
    async with ledger_on(database, data_dir / "master.key") as other:
        tenant, link = await links.open_message_link(other, ada.token)
        assert (tenant.key, link) == (ada.tenant.key, ada.link)


async def test_a_link_has_no_end_unless_it_is_set(ada: Recipient) -> None:
    old = ada.with_link(made_on=ada.link.made_on - timedelta(days=20_000))
    assert (await old.get()).status_code == 200


@pytest.mark.parametrize("path", ["p", "u"])
async def test_the_methods(ada: Recipient, path: str) -> None:
    before = await ada.position()
    head = await ada.client.head(f"/{path}/{ada.token}")
    assert (head.status_code, head.headers["content-type"]) == (200, "text/html; charset=utf-8")
    options = await ada.client.options(f"/{path}/{ada.token}")
    assert (options.status_code, options.headers["allow"], options.content) == (204, "GET, HEAD, OPTIONS, POST", b"")
    for method in ("PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"):
        response = await ada.client.request(method, f"/{path}/{ada.token}")
        assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert await ada.position() == before


async def test_the_headers_of_every_page(ada: Recipient) -> None:
    answers = [
        await ada.get(),
        await ada.get("u"),
        await ada.post({}),
        await ada.post({}, "u"),
        await ada.post({"List-Unsubscribe": "One-Click"}, "u"),
        await ada.post((await ada.page()).choices.filled("save", commercial=False)),
        await ada.client.get("/p/none"),
        await ada.client.put("/p/none"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 400, 400, 200, 200, 404, 405]
    for answer in answers:
        page = Page(answer.text)
        [style] = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert answer.headers["content-security-policy"] == (
            f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'self';"
            " frame-ancestors 'none'; base-uri 'none'"
        )
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-robots-tag"] == "noindex, nofollow, noarchive"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-language"] == "en"
        assert answer.headers["vary"] == "Accept-Language"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in answer.headers
        assert {"name": "robots", "content": "noindex, nofollow, noarchive"} in page.all("meta")
        assert not any("style" in attributes for _, attributes in page.elements), "the policy would drop it"
        assert not any("://" in value for _, attributes in page.elements for value in attributes.values())


async def test_the_pages_are_built_for_keyboard_and_screen_reader(ada: Recipient) -> None:
    for page in (await ada.page(), await ada.change(commercial=False), await ada.page("u")):
        [html] = page.all("html")
        assert (html["lang"], html["dir"]) == ("en", "ltr")
        assert page.all("title") != []
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        labels = {label["for"] for label in page.all("label")}
        boxes = [box for box in page.all("input") if box["type"] == "checkbox"]
        assert {box["id"] for box in boxes} == labels
        assert all(box["aria-describedby"] in ids for box in boxes if "aria-describedby" in box)
        headings = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert headings[0] == 1
        assert headings.count(1) == 1
        assert all(later <= earlier + 1 for earlier, later in zip(headings, headings[1:], strict=False))
        assert len(page.all("fieldset")) == len(page.all("legend"))
        assert len(page.all("main")) == 1
        assert page.all("a")[0] == {"class": "skip", "href": "#main"}
        assert all("alt" in image for image in page.all("img"))
        assert not any(int(attributes.get("tabindex", "0")) > 0 for _, attributes in page.elements)


async def malformed(ada: Recipient, fields: list[tuple[str, str]]) -> None:
    response = await ada.post(fields)
    assert response.status_code == 400, fields
    assert "Nothing was saved" in Page(response.text).text
    assert await ada.captures() == []


async def test_a_form_that_the_page_did_not_make_saves_nothing(ada: Recipient) -> None:
    form = (await ada.page()).choices
    good = form.filled("save", commercial=False)
    hidden = [field for field in good if field[0].startswith("shown.")]
    seal, action = ("form", dict(good)["form"]), ("action", "save")
    boxes = [field for field in good if field[0].startswith("choice.")]
    for field in (seal, action, hidden[0], boxes[0]):
        await malformed(ada, [*good, field])
        await malformed(ada, [*good, (field[0], "other")])
    for field in (
        ("choice.other-commercial", "yes"), ("shown.other-commercial", "yes"), ("choice.nowhere", "yes"),
        ("choice.commercial.nowhere", "yes"), ("choice.", "yes"), ("choice.commercial", "on"), ("choice.commercial", ""),
        ("undo.commercial", "OPTED_OUT OPTED_IN"), ("undo.commercial", "x"), ("colour", "red"), ("", ""), ("\U0001f600", ""),
    ):  # fmt: skip
        await malformed(ada, [*good, field])
    for name in ("form", "action", hidden[0][0]):
        await malformed(ada, [field for field in good if field[0] != name])
    await malformed(ada, [(name, "no" if (name, value) == hidden[0] else value) for name, value in good])
    for value in ("", "undo", "Save", "delete"):
        await malformed(ada, [(name, value if name == "action" else old) for name, old in good])
    for value in ("", "x", seal[1][:-1], seal[1] + "A", ada.token):
        await malformed(ada, [(name, value if name == "form" else old) for name, old in good])
    await malformed(ada, [])


async def test_a_form_of_another_link_saves_nothing(ada: Recipient) -> None:
    bob = ada.with_link(address="bob@example.org")
    await malformed(ada, (await bob.page()).choices.filled("save", commercial=False))


async def test_an_undo_with_other_values_saves_nothing(ada: Recipient) -> None:
    undo = (await ada.change(commercial=False)).undo.filled("undo")
    after = await ada.position()
    for change in (("undo.commercial", "OPTED_OUT OPTED_IN"), ("undo.commercial.news", "OPTED_OUT OPTED_IN")):
        fields = {**dict(undo), change[0]: change[1]}
        assert (await ada.post(fields)).status_code == 400
    assert (await ada.post({**dict(undo), "action": "save"})).status_code == 400
    assert await ada.position() == after


async def test_multipart_is_taken_as_well_and_files_are_not(ada: Recipient) -> None:
    fields = (await ada.page()).choices.filled("save", commercial=False)
    url = f"/p/{ada.token}"
    files: Any = [(name, (None, value)) for name, value in fields]
    with_file = [*files, ("file", ("name.txt", b"x"))]
    assert (await ada.client.post(url, files=with_file)).status_code == 400
    assert await ada.captures() == []
    assert (await ada.client.post(url, files=files)).status_code == 200
    assert await ada.recorded() == [("commercial", None, "OPTED_OUT")]


async def test_text_that_is_none_saves_nothing(ada: Recipient) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n--x--\r\n'
    for charset in ("unicode_escape", "utf-7", "undefined", "idna", "hex", "no-such", "utf-16"):
        for name, value in ((b"\\ud800", b"x"), (b"form", b"\\ud800"), (b"action", b"+2AA-"), (b"\xff", b"\xff\xfe")):
            headers = {"content-type": f"multipart/form-data; charset={charset}; boundary=x"}
            response = await ada.client.post(f"/p/{ada.token}", content=part % (name, value), headers=headers)
            assert response.status_code == 400, (charset, name)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "", "x", "multipart/form-data"])
async def test_another_content_type_saves_nothing(ada: Recipient, content_type: str) -> None:
    response = await ada.client.post(f"/p/{ada.token}", content=b"action=save", headers={"content-type": content_type})
    assert response.status_code == 400


@pytest.mark.parametrize("path", ["p", "u"])
async def test_a_body_that_is_too_big_is_not_read_to_its_end(ada: Recipient, path: str) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 50 * BODY_BYTES_MAX:
            sent += 65_536
            yield b"a=b&" * 16_384

    response = await ada.client.post(f"/{path}/{ada.token}", content=endless(), headers={"content-type": FORM})
    assert response.status_code in (400, 413)
    one_field = b"a=" + b"b" * (2 * BODY_BYTES_MAX)
    response = await ada.client.post(f"/{path}/{ada.token}", content=one_field, headers={"content-type": FORM})
    assert response.status_code in (400, 413)
    assert await ada.captures() == []


async def test_a_flood_from_one_link_is_limited_and_an_opt_out_never(
    ada: Recipient, limit_clock: StandingClock
) -> None:
    form = (await ada.page()).choices
    for _ in range(199):
        assert (await ada.get()).status_code == 200
    limited = await ada.get()
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "1")
    assert "try again in so many seconds: 1." in Page(limited.text).text, "what the header says"
    assert (await ada.get("u")).status_code == 429
    assert (await ada.with_link(address="bob@example.org").get()).status_code == 200, "another link is not"
    page = Page(limited.text)
    assert page.forms[0].action == f"../u/{ada.token}"
    for path in ("c", "preview"):
        for _ in range(201):
            refused = await ada.client.get(f"/{path}/{ada.token}")
        assert refused.status_code == 429
        assert Page(refused.text).forms == [], "there is no opt-out behind a link of this kind"
    assert (await ada.post(page.forms[0].hidden, "u")).status_code == 200
    opted_out = await ada.post(form.filled("save", commercial=False))
    assert opted_out.status_code == 200
    assert (await ada.post(form.filled("everything"))).status_code == 200
    assert (await ada.post(form.filled("save"))).status_code == 429, "nothing is opted out of here"
    before = await ada.position()
    opt_in = Page(opted_out.text).choices.filled("save", commercial=True)
    assert (await ada.post(opt_in)).status_code == 429
    assert await ada.position() == before
    limit_clock.now += 1
    assert (await ada.post(opt_in)).status_code == 200


async def test_a_flood_from_the_links_of_one_address_is_limited_and_an_opt_out_never(
    ada: Recipient, limit_clock: StandingClock
) -> None:
    form = (await ada.page()).choices
    statuses = [(await ada.with_link(message_id=f"m-{number % 20}").get()).status_code for number in range(320)]
    assert statuses == [200] * 299 + [429] * 21
    assert (await ada.with_link(address="bob@example.org").get()).status_code == 200, "another address is not"
    assert (await ada.with_link(message_id="m-99").post({"List-Unsubscribe": "One-Click"}, "u")).status_code == 200
    assert (await ada.post(form.filled("everything"))).status_code == 200
    assert (await ada.values())["commercial", None] is ConsentValue.OPTED_OUT


async def test_a_flood_of_opt_outs_is_answered_and_fills_no_log(ada: Recipient, turn: Turn) -> None:
    for _ in range(200):
        await ada.get()
    told = Page((await ada.client.get(f"/p/{ada.with_link(message_id='m-2').token}")).text)
    other = ada.with_link(message_id="m-2")
    for _ in range(300):
        await other.get()
    before = await ada.position()
    fields = told.choices.filled("everything")
    turn.clear()
    posts = [asyncio.create_task(other.post(fields)) for _ in range(20)]
    clicks = [asyncio.create_task(other.post({"List-Unsubscribe": "One-Click"}, "u")) for _ in range(20)]
    for _ in range(2):
        await turn.begun.get()
    assert not any(task.done() for task in (*posts, *clicks)), "nobody is told before it is recorded"
    turn.set()
    for response in await asyncio.gather(*posts):
        assert response.status_code == 200
        assert "Commercial: no" in Page(response.text).text
    assert {response.status_code for response in await asyncio.gather(*clicks)} == {200}
    assert await ada.position() <= before + 10, "those that came together are recorded together"


async def test_while_it_is_limited_opt_outs_of_a_mixed_form_are_saved_and_the_rest_is_asked_to_come_again(
    ada: Recipient, limit_clock: StandingClock
) -> None:
    form = (await ada.change(commercial__news=False)).choices
    for _ in range(300):
        await ada.get()
    mixed = form.filled("save", commercial__news=True, commercial__deals=False)
    told = await ada.post(mixed)
    assert (told.status_code, told.headers["retry-after"]) == (429, "1")
    assert "Some of your choices are saved, some are not" in Page(told.text).text
    assert "Deals & <offers>: no" in Page(told.text).text
    assert "News: not saved yet, because this page was asked for very often" in Page(told.text).text
    assert (await ada.values())["commercial", "deals"] is ConsentValue.OPTED_OUT
    assert (await ada.values())["commercial", "news"] is ConsentValue.OPTED_OUT
    assert (await ada.post(mixed)).status_code == 429, "never told as saved"
    limit_clock.now += 60
    assert (await ada.post(mixed)).status_code == 200
    assert (await ada.values())["commercial", "news"] is ConsentValue.OPTED_IN


class Failing:
    """What the ledger raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def __call__(self, *_: object) -> Any:
        raise self.error


async def test_while_the_store_is_away_nothing_is_promised(ada: Recipient, monkeypatch: pytest.MonkeyPatch) -> None:
    form = (await ada.page()).choices.filled("save", commercial=False)
    away = Failing(StoreUnavailable("connection to 10.0.0.1 lost"))
    for module, name in ((routes, "preferences"), (routes, "save"), (routes, "one_click_opt_out")):
        monkeypatch.setattr(module, name, away)
    for response in (
        await ada.get(), await ada.post(form), await ada.post({"List-Unsubscribe": "One-Click"}, "u")
    ):  # fmt: skip
        assert (response.status_code, response.headers["retry-after"]) == (503, "30")
        assert "Nothing was saved yet. Please try again in a minute" in Page(response.text).text
        assert "10.0.0.1" not in response.text


async def test_a_refusal_is_told(ada: Recipient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "one_click_opt_out", Failing(Refusal(RefusalCode.INVALID, "no", ())))
    response = await ada.post({"List-Unsubscribe": "One-Click"}, "u")
    assert response.status_code == 409
    assert "Nothing was saved" in Page(response.text).text


async def test_what_nobody_expected_is_told_with_a_number_that_is_in_the_log(
    ada: Recipient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(routes, "preferences", Failing(ValueError("SELECT secret FROM vault")))
    with caplog.at_level(logging.ERROR):
        response = await ada.get()
    assert response.status_code == 500
    [record] = [record for record in caplog.records if record.name == "consentry.web.refusals"]
    error_id = record.__dict__["fields"]["error_id"]
    assert f"please give us this number: {error_id}" in Page(response.text).text
    assert "SELECT" not in response.text


async def test_tokens_are_never_in_the_log(ada: Recipient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await ada.get()
        await ada.get("u", "?lang=de")
        await ada.post({"List-Unsubscribe": "One-Click"}, "u")
    told = "".join(
        f"{record.getMessage()} {record.__dict__}" for record in caplog.records if "httpx" not in record.name
    )
    assert "/p/{token" in told
    assert ada.token not in told


COLORS = ["#000000", "#ffffff", "#767676", "#777777", "#ff0000", "#00ff00", "#0000ff", "#ffcc00", "#0a5fb4", "#808000"]


@pytest.mark.parametrize("color", COLORS)
async def test_words_on_the_brands_colour_can_be_read(ada: Recipient, caller: Caller, color: str) -> None:
    def luminance(text: str) -> float:
        parts = [int(text[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    lighter, darker = sorted((luminance(color), luminance(text_color(color))), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
    patch = PreferenceCenterPatch(brand_color=color)
    await update_profile(ada.tenant, caller, ref="default", preference_center=patch)
    assert f"--brand: {color}; --on-brand: {text_color(color)};" in (await ada.page()).source


async def test_without_a_colour_the_page_has_one_of_its_own(ada: Recipient, caller: Caller) -> None:
    patch = PreferenceCenterPatch(brand_color="")
    await update_profile(ada.tenant, caller, ref="default", preference_center=patch)
    assert "--brand: #1f4e79; --on-brand: #ffffff;" in (await ada.page()).source


async def test_other_addresses_stay_as_they_are(client: AsyncClient) -> None:
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.post("/.well-known/gpc.json")).status_code == 405
