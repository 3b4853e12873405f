"""Pages made from templates: words, brand, and headers that keep them private and let them load nothing.

The style is in the page, and the policy allows that very style: no font, image or script comes from anywhere.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.responses import Response

from domain.catalogue import ComplianceProfile
from web.pages.languages import Language, languages

TEMPLATES_FOLDER = Path(__file__).with_name("templates")
DEFAULT_COLOR = "#1f4e79"
_STYLE_FILE = Path(__file__).with_name("style.css")
_BLACK, _WHITE = "#000000", "#ffffff"


@dataclass(frozen=True, slots=True)
class Brand:
    """How a profile presents itself on its pages."""

    title: str
    color: str = DEFAULT_COLOR
    logo: str | None = None
    company_address: str | None = None


def brand_of(profile: ComplianceProfile) -> Brand:
    """The brand of a profile; its logo only where that is in the page itself, for pages ask no other host for anything."""
    page = profile.preference_center
    logo = page.logo_url if page.logo_url is not None and page.logo_url.startswith("data:") else None
    return Brand(page.title or profile.name, page.brand_color or DEFAULT_COLOR, logo, profile.company_address)


def text_color(background: str) -> str:
    """Black or white, whichever is easier to read on a colour: at least 4.5 to 1, as WCAG 2.2 asks (1.4.3)."""
    luminance = _luminance(background)
    return _WHITE if 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 else _BLACK


def page(
    template: str,
    language: Language,
    *,
    status: int = 200,
    brand: Brand | None = None,
    headers: Mapping[str, str] | None = None,
    **values: object,
) -> Response:
    """The answer that shows a template in a language."""
    style = _style(DEFAULT_COLOR if brand is None else brand.color)
    content = (
        _environment(language.tag)
        .get_template(template)
        .render(
            values,
            brand=brand,
            language=language,
            languages=list(languages().values()),
            style=Markup(style),  # noqa: S704 - our own file, and a colour that the domain has checked
        )
    )
    policy = (
        f"default-src 'none'; style-src 'sha256-{_sha256(style)}'; img-src data:; form-action 'self';"
        " frame-ancestors 'none'; base-uri 'none'"
    )
    return Response(
        content,
        status_code=status,
        media_type="text/html",
        headers={
            "content-security-policy": policy,
            "content-language": language.tag,
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
            "vary": "Accept-Language",
            "x-robots-tag": "noindex, nofollow, noarchive",
            **(headers or {}),
        },
    )


def text(template: str, language: Language, **values: object) -> str:
    """A template of plain text, without blank ends."""
    return _environment(language.tag).get_template(template).render(values).strip()


@cache
def _environment(tag: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES_FOLDER),
        autoescape=select_autoescape(disabled_extensions=("txt",), default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.filters["isolated"] = isolated
    words = languages()[tag].words
    # The extension adds these to the environment; it has no typed name for it.
    environment.install_gettext_callables(words.gettext, words.ngettext, newstyle=True)  # type: ignore[attr-defined]
    return environment


def isolated(words: str) -> Markup:
    """Words of the tenant's, which may run the other way than the page."""
    return Markup("<bdi>{}</bdi>").format(words)


@cache
def _style_sheet() -> str:
    return _STYLE_FILE.read_text()


def _style(color: str) -> str:
    return f":root {{ --brand: {color}; --on-brand: {text_color(color)}; }}\n{_style_sheet()}"


@cache
def _sha256(content: str) -> str:
    return b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _luminance(color: str) -> float:
    """The relative luminance of #rrggbb, as WCAG defines it."""

    def linear(channel: int) -> float:
        part = channel / 255
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(color[start : start + 2], 16)) for start in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
