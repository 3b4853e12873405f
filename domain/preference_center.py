"""How a profile's hosted page looks: title, language, colour, logo, and whether tracking is shown on it."""

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from domain.refusals import Refusal, RefusalCode
from domain.text import clean_text

LOCALES = ("en", "de", "fr", "es", "ar")
TITLE_CHARS_MAX = 200
LOGO_CHARS_MAX = 40_000
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")
_INLINE_LOGO = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,([A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceCenter:
    """The page of a profile. Without a title it has the profile's name, without a colour ours."""

    title: str | None = None
    locale: str = "en"
    brand_color: str | None = None
    logo_url: str | None = None
    show_tracking: bool = False

    def changed(self, data: Mapping[str, Any]) -> "PreferenceCenter":
        """The page after the changes that an event holds; an empty text clears."""
        return PreferenceCenter(
            title=data.get("title", self.title) or None,
            locale=data.get("locale", self.locale),
            brand_color=data.get("brandColor", self.brand_color) or None,
            logo_url=data.get("logoUrl", self.logo_url) or None,
            show_tracking=data.get("showTracking", self.show_tracking),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceCenterPatch:
    """What an update says of the page; None stays as it is, an empty text clears."""

    title: str | None = None
    locale: str | None = None
    brand_color: str | None = None
    logo_url: str | None = None
    show_tracking: bool | None = None

    def to_data(self, held: PreferenceCenter) -> dict[str, Any]:
        """What changes, as an event holds it; nothing where it is all so already. Raises Refusal INVALID."""
        wanted: dict[str, Any] = {}
        if self.title is not None:
            wanted["title"] = clean_text(self.title, field="title", chars_max=TITLE_CHARS_MAX) or ""
        if self.locale is not None:
            wanted["locale"] = _locale(self.locale)
        if self.brand_color is not None:
            wanted["brandColor"] = _color(self.brand_color)
        if self.logo_url is not None:
            wanted["logoUrl"] = _logo(self.logo_url)
        if self.show_tracking is not None:
            wanted["showTracking"] = self.show_tracking
        return wanted if held.changed(wanted) != held else {}


def _locale(text: str) -> str:
    if text not in LOCALES:
        raise Refusal(RefusalCode.INVALID, f"locale is one of {', '.join(LOCALES)}", ("locale",))
    return text


def _color(text: str) -> str:
    if text and _COLOR.fullmatch(text) is None:
        raise Refusal(
            RefusalCode.INVALID, "brandColor is # and six hexadecimal digits, such as #0a5fb4", ("brandColor",)
        )
    return text.lower()


def _logo(text: str) -> str:
    """An image in the page itself. Older events hold https URLs, which are read and not shown."""
    if len(text) > LOGO_CHARS_MAX:
        raise Refusal(RefusalCode.INVALID, f"logoUrl has at most {LOGO_CHARS_MAX} characters", ("logoUrl",))
    if not text:
        return text
    inline = _INLINE_LOGO.fullmatch(text)
    try:
        if inline is not None:
            b64decode(inline[1], validate=True)
            return text
    except ValueError:
        pass
    raise Refusal(
        RefusalCode.INVALID,
        "logoUrl is the image itself as a data: URL (png, jpeg, gif or webp in base64): pages ask no other host for anything, so"
        " one of https would never be shown",
        ("logoUrl",),
    )
