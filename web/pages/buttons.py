"""The pages of one button: unsubscribe, and confirm. What they say, as a page and as the text that is evidence.

A page's form carries a seal of how it was shown, so what a person saw when they pressed can be told later. Without it, it is a
mail program's own click, and that says what it is: nobody is kept from acting for want of a seal.
"""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from domain.catalogue import Catalogue, EnforcementModel
from ledger.assembly import Tenant
from ledger.choosing import Click
from ledger.double_opt_in import Confirmed
from ledger.given_evidence import NOTICE_CHARS_MAX, Evidence
from ledger.links import MessageLink, external_page
from web.pages.forms import FormState, new_number, open_button, seal_form
from web.pages.languages import Language, language_of, languages
from web.pages.rendering import brand_of, page, text

ONE_CLICK = ("List-Unsubscribe", "One-Click")
CONFIRM = ("confirm", "yes")
WAITING = ("from", "waiting-page")
_PRESSED = "one-click page, button"
_PRESSED_WHILE_WAITING = "button of the page that asks to wait"
_BY_MAIL_PROGRAM = "List-Unsubscribe-Post (RFC 8058), as a mail program sends it; no page of ours was shown"
_CONFIRMED = "confirmation page, button"


def token_of(request: Request) -> str:
    """The token in the address; some mail programs put a slash behind it."""
    return request.path_params["token"].rstrip("/")


def gpc_of(request: Request) -> bool:
    """Whether the browser sends the signal: several headers may come, and any that is exactly 1 counts."""
    return "1" in request.headers.getlist("sec-gpc")


def beside(request: Request, path: str) -> str:
    """The address of another page of the token, relative, so that it holds under whatever address people reach this server."""
    up = "../" * (1 + request.path_params["token"].count("/"))
    return f"{up}{path}/{token_of(request)}"


# Unsubscribe.


def click_of(request: Request, tenant: Tenant, link: MessageLink, fields: list[tuple[str, str]]) -> Click:
    """How somebody clicked, and what they were shown."""
    gpc = gpc_of(request)
    state = open_button(tenant, token_of(request), fields, ONE_CLICK)
    if state is None:
        return Click(method=_PRESSED_WHILE_WAITING if WAITING in fields else _BY_MAIL_PROGRAM, gpc=gpc)
    language = languages()[state.language]
    shown = text("one_click.txt", language, **_of_link(tenant.catalogue_at(state.position), link))
    return Click(method=_PRESSED, text=shown[:NOTICE_CHARS_MAX], locale=language.tag, gpc=gpc)


async def one_click_page(request: Request, tenant: Tenant, link: MessageLink, state: str) -> Response:
    """`state`: ask, done, or already."""
    catalogue = await tenant.latest_catalogue()
    profile = catalogue.profiles[link.profile]
    language = language_of(request, profile.preference_center.locale)
    asked = request.query_params.get("lang", "")
    # The page of the profile's own, where it has one.
    hosted = beside(request, "p") + (f"?lang={asked}" if asked in languages() else "")
    return page(
        "one_click.html",
        language,
        brand=brand_of(profile),
        state=state,
        seal=_seal(request, tenant, language, ONE_CLICK),
        preferences_link=external_page(catalogue, link) or hosted,
        **_of_link(catalogue, link),
    )


def _of_link(catalogue: Catalogue, link: MessageLink) -> Mapping[str, Any]:
    purpose = catalogue.purposes[link.purpose]
    return {
        "title": brand_of(catalogue.profiles[link.profile]).title,
        "what": purpose.name if link.topic is None else f"{purpose.name} – {catalogue.topics[link.topic].name}",
        "always": purpose.enforcement[link.channel] is EnforcementModel.DISABLED,
    }


# Confirm.


def shown_of_confirmation(
    request: Request, tenant: Tenant, requested: Mapping[str, Any], fields: list[tuple[str, str]]
) -> Evidence | None:
    """The page on which somebody confirmed; None where what came is not from it."""
    state = open_button(tenant, token_of(request), fields, CONFIRM)
    if state is None:
        return None
    language = languages()[state.language]
    shown = text("confirm.txt", language, **_of_request(tenant.catalogue_at(state.position), requested))
    attributes = {"gpc": True} if gpc_of(request) else None
    return Evidence(notice_text=shown[:NOTICE_CHARS_MAX], locale=language.tag, method=_CONFIRMED, attributes=attributes)


async def confirmation_page(
    request: Request, tenant: Tenant, requested: Mapping[str, Any], result: Confirmed | None
) -> Response:
    """The page of a confirmation link: the button, or, once it was pressed, what counts of what was asked for."""
    catalogue = await tenant.latest_catalogue()
    profile = catalogue.profiles[requested["profile"]]
    language = language_of(request, profile.preference_center.locale)
    values: dict[str, Any] = dict(_of_request(catalogue, requested))
    state = "ask"
    if result is not None:
        state = "changed" if not result.counting else "partly" if result.overtaken else "done"
        if result.counting and result.blocked:
            state = "blocked"
        values["what"] = _named(catalogue, result.purpose, [topic for _, topic in result.counting if topic is not None])
        values["overtaken"] = ", ".join(catalogue.topics[topic].name for _, topic in result.overtaken if topic)
    return page(
        "confirm.html",
        language,
        brand=brand_of(profile),
        state=state,
        seal=_seal(request, tenant, language, CONFIRM),
        **values,
    )


def _of_request(catalogue: Catalogue, requested: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "title": brand_of(catalogue.profiles[requested["profile"]]).title,
        "what": _named(catalogue, requested["purpose"], requested.get("topics", [])),
    }


def _named(catalogue: Catalogue, purpose: str, topics: list[str]) -> str:
    name = catalogue.purposes[purpose].name
    return f"{name} – {', '.join(catalogue.topics[key].name for key in topics)}" if topics else name


def _seal(request: Request, tenant: Tenant, language: Language, button: tuple[str, str]) -> str:
    state = FormState(
        number=new_number(),
        position=tenant.catalogue.position,
        language=language.tag,
        suppressed=False,
        gpc=gpc_of(request),
    )
    return seal_form(tenant, token_of(request), state, dict([button]))
