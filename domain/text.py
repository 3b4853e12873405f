"""Text and keys as given by callers: clean, or refused with the field's name."""

import re
import unicodedata
from urllib.parse import urlsplit

from domain.refusals import Refusal, RefusalCode

KEY_FORM = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
GUID_FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LINE_CONTROLS = frozenset("\n\r\t")


def clean_text(
    value: str | None, *, field: str, chars_max: int, required: bool = False, multiline: bool = False
) -> str | None:
    """`value` without outer blanks; None where nothing is left.

    Raises Refusal INVALID for text that is too long, required and missing, or that holds NUL, another control character
    (line breaks and tabs pass where `multiline`) or half of a surrogate pair.
    """
    text = "" if value is None else value.strip()
    if not text and not (value and "\x00" in value):
        if required:
            raise Refusal(RefusalCode.INVALID, f"{field} must not be empty", (field,))
        return None
    if len(text) > chars_max:
        raise Refusal(
            RefusalCode.INVALID, f"{field} has at most {chars_max} characters, this has {len(text)}", (field,)
        )
    allowed = _LINE_CONTROLS if multiline else frozenset[str]()
    if not text.isprintable() and any(
        unicodedata.category(character) in ("Cc", "Cs") and character not in allowed for character in text
    ):
        raise Refusal(RefusalCode.INVALID, f"{field} must be valid Unicode text without control characters", (field,))
    return text


def clean_url(value: str | None, *, field: str, chars_max: int) -> str | None:
    """An http or https URL without outer blanks; None where nothing is left. Raises Refusal INVALID."""
    url = clean_text(value, field=field, chars_max=chars_max)
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in url
    except ValueError:
        good = False
    if not good:
        raise Refusal(RefusalCode.INVALID, f"{field} must be an http or https URL", (field,))
    return url


def clean_key(value: str, *, field: str) -> str:
    """A key of a tenant, profile, purpose, topic, unit or application. Raises Refusal INVALID."""
    if KEY_FORM.fullmatch(value) is None:
        raise Refusal(
            RefusalCode.INVALID,
            f"{field} is 1 to 64 lower-case letters, digits, - and _, and starts with a letter or digit",
            (field,),
        )
    return value


def clean_catalogue_key(value: str, *, field: str) -> str:
    """A key of what a catalogue gets new: it is never taken for the GUID that something has elsewhere. Raises Refusal INVALID."""
    if GUID_FORM.fullmatch(clean_key(value, field=field)) is not None:
        raise Refusal(
            RefusalCode.INVALID,
            f"{field} is a name of your own, such as newsletter, and not a GUID: the GUID that a purpose or topic has elsewhere"
            " comes in as the guid of a catalogue file",
            (field,),
        )
    return value


def mended_text(value: str | None, *, chars_max: int, multiline: bool = False) -> str | None:
    """Text that `clean_text` takes: what is no character is shown as such, and what is too long is cut, and ends with `…`."""
    if value is None:
        return None
    allowed = _LINE_CONTROLS if multiline else frozenset[str]()
    text = "".join(
        "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(character) in ("Cc", "Cs") and character not in allowed
        else character
        for character in value.strip()[: chars_max + 1]
    )
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def shown_text(text: str) -> str:
    """Text that evidence can hold: what is no character is shown as such, for an opt-out is not refused for it."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
