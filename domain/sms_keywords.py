"""Keywords that people send back by text: which one a message is.

A person writes STOP in any way there is: in capitals, with a full stop, in letters of another width, in their own language
whatever the sender's is. A STOP may be followed by a few words, for in doubt it is an opt-out (47 CFR 64.1200(a)(10)); START
and HELP stand alone, for in doubt nobody opted in.
"""

import unicodedata
from collections.abc import Mapping
from enum import StrEnum

WORDS_AFTER_STOP_MAX = 3
_STOP_SIGNS = frozenset("\U0001f6d1\u26d4\U0001f6ab")  # stop sign, no entry, prohibited


class Keyword(StrEnum):
    """What a keyword asks for."""

    STOP = "STOP"
    START = "START"
    HELP = "HELP"


_SPELLINGS: Mapping[Keyword, tuple[str, ...]] = {
    Keyword.STOP: (
        *("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPT OUT", "OPTOUT"),
        *("STOPP", "ABMELDEN", "ENDE"),
        *("ARRET",),
        *("PARAR", "BAJA", "ALTO", "CANCELAR"),
        *("إيقاف", "توقف", "إلغاء"),
    ),
    Keyword.START: ("START", "UNSTOP"),
    Keyword.HELP: ("HELP", "HILFE", "AIDE", "AYUDA", "مساعدة"),
}


def _is_mark(character: str) -> bool:
    """Whether nothing but marks comes of it. The iota below becomes a letter; two marks of katakana count as letters."""
    return (unicodedata.category(character)[0] == "M" and character != "\u0345") or character in "\uff9e\uff9f"


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text, told apart by nothing that people type without meaning it.

    Compatibility forms become the letters that they stand for; case, accents, invisible characters and punctuation go.
    """
    # Marks go first: putting those of one letter in order takes their number squared.
    bare = text if text.isascii() else "".join(character for character in text if not _is_mark(character))
    # Taken apart once more after casefold, which can put together what has an accent of its own.
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", bare).casefold())
    kept: list[str] = []
    for character in folded:
        category = unicodedata.category(character)
        if category[0] in "LN" and category != "Lm":
            kept.append(character)
        elif category[0] not in "ML" and category != "Cf":
            kept.append(" ")
    words = "".join(kept).split()
    # S.T.O.P. is one word.
    spelled_out = len(words) > 1 and all(len(word) == 1 for word in words)
    return ("".join(words),) if spelled_out else tuple(words)


_WORDS: Mapping[tuple[str, ...], Keyword] = {
    words_of(spelling): keyword for keyword, spellings in _SPELLINGS.items() for spelling in spellings
}
_STOP_WORDS_MAX = max(len(words) for words, keyword in _WORDS.items() if keyword is Keyword.STOP)


def keyword_of(text: str, *, alone: bool = False) -> Keyword | None:
    """The keyword that a message is; None for one that merely has such a word in it.

    `alone`: a STOP, too, counts without other words only.
    """
    words = words_of(text)
    exact = _WORDS.get(words)
    if exact is not None or alone:
        return exact
    for length in range(1, _STOP_WORDS_MAX + 1):
        begins = _WORDS.get(words[:length]) is Keyword.STOP
        if begins and len(words) - length <= WORDS_AFTER_STOP_MAX:
            return Keyword.STOP
    shown_a_sign = len(words) <= WORDS_AFTER_STOP_MAX and not _STOP_SIGNS.isdisjoint(text)
    return Keyword.STOP if shown_a_sign else None
