"""The languages of the pages: which one a visitor gets, and its words.

The words are gettext catalogues, kept as text (`locale/LANG/LC_MESSAGES/pages.po`) and compiled in memory at the start.
English is what is written in the templates.
"""

import gettext
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from starlette.requests import Request

LOCALE_FOLDER = Path(__file__).with_name("locale")
SOURCE = "en"
_HEADER_CHARS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Language:
    """A language: its tag, its name in itself, the way it runs, and its words."""

    tag: str
    name: str
    direction: str = "ltr"
    words: gettext.NullTranslations = field(default_factory=gettext.NullTranslations, repr=False, compare=False)


_NAMES = {"en": "English", "de": "Deutsch", "fr": "Français", "es": "Español", "ar": "العربية"}
_RIGHT_TO_LEFT = frozenset({"ar"})


@cache
def languages() -> dict[str, Language]:
    """All of them by tag, in the order in which pages offer them."""
    return {
        tag: Language(tag, name, "rtl" if tag in _RIGHT_TO_LEFT else "ltr", _words(tag)) for tag, name in _NAMES.items()
    }


def catalogue_file(tag: str) -> Path:
    """Where the words of a language are."""
    return LOCALE_FOLDER / tag / "LC_MESSAGES" / "pages.po"


def language_of(request: Request, otherwise: str = SOURCE) -> Language:
    """What the address asks for; else what the browser prefers; else `otherwise`, which is the profile's."""
    known = languages()
    asked = request.query_params.get("lang", "")
    if asked in known:
        return known[asked]
    return known[_preferred(",".join(request.headers.getlist("accept-language"))) or otherwise]


def _preferred(accept_language: str) -> str | None:
    """The language of ours with the greatest weight in the header; of equal ones the first (RFC 9110, 12.5.4)."""
    best, best_weight = None, 0.0
    for part in accept_language[:_HEADER_CHARS_MAX].split(","):
        tag, *parameters = (piece.strip().lower() for piece in part.split(";"))
        tag = tag.partition("-")[0]
        weight = _weight(parameters)
        if tag in _NAMES and weight > best_weight:
            best, best_weight = tag, weight
    return best


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0.0 <= weight <= 1.0 else 0.0
    return 1.0


def _words(tag: str) -> gettext.NullTranslations:
    if tag == SOURCE:
        return gettext.NullTranslations()
    with catalogue_file(tag).open("rb") as file:
        catalogue = read_po(file, locale=tag)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
