"""What shows that a person chose, as a caller gives it: cleaned, and told apart into what is personal and what is not."""

import hashlib
import html
import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import idna

from domain.refusals import Refusal, RefusalCode
from domain.text import clean_text, mended_text
from tlog import canonical_json

NOTICE_CHARS_MAX = 50_000
ATTRIBUTES_CHARS_MAX = 8_000
_DIGITS_OF_A_NUMBER = 7
_NO_DIGIT = re.compile(r"[^0-9]+")
_NOT_IN_MAIL = re.compile(r"[\s<>()\[\]\"',;:=&?/]+")
# Ordering the marks of one letter takes their number squared; the Stream-Safe Text Format of Unicode has at most 30.
_MARKS_MAX = 30
_DECOMPOSED_TO_MARKS = "\u0f73\u0f75\u0f81\uff9e\uff9f"
# As JSON writes it; after an even number of backslashes, since `\\u0000` is a backslash and five characters.
_NUL_IN_JSON = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


# Of each text but the notice's: its name, and how long it may be.
_TEXTS: Mapping[str, tuple[str, int]] = {
    "notice_version": ("noticeVersion", 100),
    "locale": ("locale", 35),
    "url": ("url", 2_000),
    "method": ("method", 200),
    "ip_address": ("ipAddress", 45),
    "user_agent": ("userAgent", 1_000),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What shows that a person chose: the notice as shown, and how and from where the choice came."""

    notice_text: str | None = None
    notice_version: str | None = None
    locale: str | None = None
    url: str | None = None
    method: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    attributes: object = None


def mended_evidence(evidence: Evidence | None) -> Evidence | None:
    """The evidence of an opt-out, which is not refused for it: texts are mended, attributes that are none are left out."""
    if evidence is None:
        return None
    attributes = evidence.attributes
    if attributes is not None:
        try:
            check_attributes(attributes)
        except Refusal:
            attributes = None
    texts = {
        field: mended_text(getattr(evidence, field), chars_max=chars_max) for field, (_, chars_max) in _TEXTS.items()
    }
    notice = mended_text(evidence.notice_text, chars_max=NOTICE_CHARS_MAX, multiline=True)
    return Evidence(**texts, notice_text=notice, attributes=attributes)


def given_evidence(
    evidence: Evidence | None, others: Mapping[str, Any], *addresses: str
) -> tuple[bytes | None, tuple[bytes, str] | None]:
    """(what goes to the vault, the notice as its SHA-256 and text); `others` is personal too and goes with the first.

    A notice that holds one of the addresses is personal itself: it is kept, but not shared by its content. Raises Refusal
    INVALID, its path under `evidence`.
    """
    personal = dict(others)
    notice: tuple[bytes, str] | None = None
    if evidence is not None:
        text = under("evidence", lambda: _cleaned(evidence, personal))
        if text is not None and names_address(text, *addresses):
            personal["noticeText"] = text
        elif text is not None:
            notice = hashlib.sha256(text.encode()).digest(), text
    return _evidence_bytes(personal), notice


def _cleaned(evidence: Evidence, personal: dict[str, Any]) -> str | None:
    """Put what an evidence holds, but the notice's text, into `personal`; the notice's text."""
    for field, (name, chars_max) in _TEXTS.items():
        personal[name] = clean_text(getattr(evidence, field), field=name, chars_max=chars_max)
    if evidence.attributes is not None:
        check_attributes(evidence.attributes)
        personal["attributes"] = evidence.attributes
    return clean_text(evidence.notice_text, field="noticeText", chars_max=NOTICE_CHARS_MAX, multiline=True)


def check_attributes(attributes: object) -> None:
    """Raise Refusal where attributes are none that can be kept."""
    try:
        if not isinstance(attributes, dict):
            raise TypeError("not an object")
        text = json.dumps(attributes, allow_nan=False, ensure_ascii=False)
        text.encode()
        if _NUL_IN_JSON.search(text):
            raise ValueError("NUL")
    except (TypeError, ValueError, RecursionError) as error:
        raise Refusal(RefusalCode.INVALID, "attributes must be a JSON object of valid text", ("attributes",)) from error
    if len(text) > ATTRIBUTES_CHARS_MAX:
        raise Refusal(
            RefusalCode.INVALID, f"attributes has at most {ATTRIBUTES_CHARS_MAX} characters of JSON", ("attributes",)
        )


def _evidence_bytes(personal: Mapping[str, Any]) -> bytes | None:
    given = {name: value for name, value in personal.items() if value is not None}
    return canonical_json.encode(given) if given else None


def names_address(text: str, *addresses: str) -> bool:
    """Whether a text holds one of the addresses, however it is spelled: in a link, as HTML, with other blanks or signs.

    Of a text that nobody would write, which cannot be looked into, it is assumed. Takes time in proportion to the length.
    """
    try:
        # Twice, for what was quoted in a link that was quoted.
        decoded = html.unescape(unquote(unquote(html.unescape(text))))
    except ValueError:  # a character's number of thousands of digits
        return True
    if _has_many_marks(text) or _has_many_marks(decoded):
        return True
    spellings = [_folded(text), _folded(decoded)]
    digits = [_NO_DIGIT.sub("", one) for one in spellings]
    words = {_mail(word) for one in spellings for word in mail_words(one)}
    for address in addresses:
        wanted = _folded(address.strip())
        if any(wanted in one for one in spellings) or _mail(wanted) in words:
            return True
        # Written at home, a number has no country code: its end tells it.
        number = "" if "@" in wanted else _NO_DIGIT.sub("", wanted)[-_DIGITS_OF_A_NUMBER:]
        if len(number) == _DIGITS_OF_A_NUMBER and any(number in one for one in digits):
            return True
    return False


def mail_words(text: str) -> list[str]:
    """The words that may be e-mail addresses: those with an @ inside."""
    return [word for word in _NOT_IN_MAIL.split(text) if "@" in word[1:-1]]


def _has_many_marks(text: str) -> bool:
    if text.isascii():
        return False
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) or character in _DECOMPOSED_TO_MARKS else 0
        if marks > _MARKS_MAX:
            return True
    return False


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _mail(address: str) -> str:
    """An e-mail address with its domain as it is looked up, so that two spellings of it are the same."""
    local, at, domain = address.rpartition("@")
    try:
        return f"{local}@{idna.encode(domain.strip('.'), uts46=True).decode()}" if at else address
    except idna.IDNAError:
        return address


def under(name: str, clean: Callable[[], str | None]) -> str | None:
    """What `clean` gives; its refusal, seen from the outer field."""
    try:
        return clean()
    except Refusal as refusal:
        raise refusal.under(name) from refusal
