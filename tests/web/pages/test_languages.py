"""The pages in their languages: which one is chosen, and that no word is missing in any."""

import re
from functools import cache
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from domain.preference_center import LOCALES, PreferenceCenterPatch
from ledger.assembly import Caller
from ledger.catalogue import update_profile
from tests.web.pages.conftest import Recipient
from tests.web.pages.reading import Page
from web.pages.languages import LOCALE_FOLDER, SOURCE, catalogue_file, languages

TRANSLATED = [tag for tag in LOCALES if tag != SOURCE]
SAVE = {"en": "Save", "de": "Speichern", "fr": "Enregistrer", "es": "Guardar", "ar": "حفظ"}


@cache
def written() -> frozenset[str]:
    """Every text in the templates and the code."""
    methods = [("**.py", "python"), ("templates/**", "jinja2.ext.babel_extract")]
    found = extract_from_dir(
        LOCALE_FOLDER.parent, method_map=methods, options_map={"templates/**": {"silent": "false"}}
    )
    texts = [message for _, _, message, _, _ in found]
    assert all(isinstance(text, str) for text in texts), "no plural forms, which Arabic has six of"
    return frozenset(str(text) for text in texts)


def words_of(tag: str) -> Catalog:
    with catalogue_file(tag).open("rb") as file:
        return read_po(file, locale=tag, abort_invalid=True)


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"%(?:\(\w+\)s|.)", text))


@pytest.mark.parametrize("tag", TRANSLATED)
def test_no_text_is_missing_stale_fuzzy_or_has_other_placeholders(tag: str) -> None:
    words = words_of(tag)
    held = {str(message.id): message for message in words if message.id}
    assert held.keys() == written()
    assert not words.obsolete
    for text, message in held.items():
        assert message.string, text
        assert not message.fuzzy, text
        assert placeholders(str(message.string)) == placeholders(text), text
        assert text[-1] not in ".?:" or str(message.string).rstrip()[-1] in ".?:؟", text


def test_there_are_words_for_every_language_that_a_profile_can_have() -> None:
    assert tuple(languages()) == LOCALES
    assert sorted(path.name for path in LOCALE_FOLDER.iterdir()) == sorted(TRANSLATED)
    assert not list(Path(LOCALE_FOLDER).rglob("*.mo")), "compiled at the start, in memory"


@pytest.mark.parametrize("tag", LOCALES)
async def test_every_page_in_every_language(ada: Recipient, tag: str) -> None:
    query = f"?lang={tag}"
    page = await ada.page(query=query)
    assert SAVE[tag] in page.text
    answers = [
        await ada.get(query=query), await ada.get("u", query), await ada.post({}, query=query),
        await ada.post({}, "u", query), await ada.client.get(f"/p/none{query}"),
        await ada.post(page.choices.filled("save", commercial=False), query=query),
        await ada.post({"List-Unsubscribe": "One-Click"}, "u", query),
    ]  # fmt: skip
    for answer in answers:
        read = Page(answer.text)
        [html] = read.all("html")
        assert html == {"lang": tag, "dir": "rtl" if tag == "ar" else "ltr"}
        assert answer.headers["content-language"] == tag
        [current] = [link for link in read.all("a") if "aria-current" in link]
        assert current["href"] == query


ACCEPTED = [
    ("de", "de"), ("de-CH, en;q=0.8", "de"), ("en;q=0.5, fr;q=0.9", "fr"), ("EN-us, de", "en"), ("pt, es;q=0.1", "es"),
    ("de;q=0, ar;q=0.2", "ar"), ("pt-BR", "es"), ("*", "es"), ("", "es"), ("de;q=x", "es"), ("de;q=2", "es"), (";;,,=", "es"),
    ("de;q=nan", "es"), ("fr ; q=0.4 , de ; q=0.5", "de"), ("x" * 5_000, "es"),
]  # fmt: skip


@pytest.mark.parametrize(("accepted", "tag"), ACCEPTED)
async def test_the_browsers_language_comes_first_then_the_profiles(
    ada: Recipient, caller: Caller, accepted: str, tag: str
) -> None:
    await update_profile(ada.tenant, caller, ref="default", preference_center=PreferenceCenterPatch(locale="es"))
    for path in ("p", "u"):
        assert (await ada.get(path, accept_language=accepted)).headers["content-language"] == tag
        assert (await ada.get(path, "?lang=ar", accept_language=accepted)).headers["content-language"] == "ar"
        assert (await ada.get(path, "?lang=xx", accept_language=accepted)).headers["content-language"] == tag


async def test_a_form_is_answered_in_the_language_it_was_shown_in(ada: Recipient) -> None:
    form = (await ada.page(accept_language="fr")).choices.filled("save", commercial=False)
    told = await ada.saved(form, accept_language="de")
    assert "Vos choix sont enregistrés" in told.text
    assert "Commercial : non" in told.text
    evidence = await ada.last_evidence()
    assert evidence["locale"] == "fr"
    assert "[Enregistrer]" in evidence["noticeText"]
