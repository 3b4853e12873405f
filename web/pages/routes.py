"""What the pages do: show, save, take back, and end it with one click. GET, HEAD and OPTIONS change nothing.

Whatever is wrong is told on a page: a link that is none in the same words whatever is wrong with it, and what was not saved
as not saved.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from domain.catalogue import Catalogue
from domain.consent import ConsentValue
from domain.masked_address import masked
from domain.refusals import Refusal, RefusalCode
from domain.suppression import Level
from eventstore.database import StoreUnavailable
from ledger.assembly import Ledger, Tenant
from ledger.double_opt_in import (
    Confirmation,
    confirm_double_opt_in,
    confirmed,
    is_confirmed,
    open_confirmation,
    requested_by,
)
from ledger.flood_limit import FloodLimit, TooOften
from ledger.links import LinkInvalid, MessageLink, open_message_link
from ledger.page_previews import open_preview
from ledger.preferences import Preferences, Shown, is_out_already, one_click_opt_out, preferences
from web.pages.boxes import OUTCOME_OF, Outcome, groups, has_commercial, heading, lines, text_of_page, text_of_told
from web.pages.buttons import (
    CONFIRM,
    WAITING,
    beside,
    click_of,
    confirmation_page,
    gpc_of,
    one_click_page,
    shown_of_confirmation,
    token_of,
)
from web.pages.forms import (
    EVERYTHING,
    UNDO,
    FormMalformed,
    FormState,
    FormTooBig,
    Submitted,
    new_number,
    read_fields,
    seal_form,
    shown_fields,
    submitted,
    undo_fields,
)
from web.pages.languages import Language, language_of, languages
from web.pages.posted import Posted, posted
from web.pages.rendering import brand_of, page
from web.pages.saving import save_and_look, undo_to, undone, wanted_of
from web.refusals import exception_entry
from web.request_observer import request_record

_ALLOW = "GET, HEAD, OPTIONS"
_RETRY_S = 30
# Of each message one has a link of its own, and scanners look at all of them.
_TIMES_OF_ADDRESS = 240
_BOXES = "preference center, boxes and a button"
_BUTTON = "preference center, button: unsubscribe from everything commercial"
_WORKS = "ticked: this address works"
_TAKEN_BACK = "preference center, button: undo"
_GPC = {"gpc": True, "lastUpdate": "2026-11-24"}

Handler = Callable[[Request], Awaitable[Response]]


def page_routes(of_link: FloodLimit | None = None, of_address: FloodLimit | None = None) -> list[Route]:
    """The routes of the recipients' pages, and how often a link, or all links of an address, may ask for them."""
    pages = _Pages(of_link or FloodLimit(), of_address or FloodLimit(times=_TIMES_OF_ADDRESS))
    return [
        # Whatever stands after the first slash is the token: a link with more behind it is told like any other that is none.
        Route("/p/{token:path}", _Address(pages.show_preferences, pages.save_preferences), name="preferences"),
        Route("/u/{token:path}", _Address(pages.show_one_click, pages.one_click), name="one-click"),
        Route("/c/{token:path}", _Address(pages.show_confirmation, pages.confirm), name="confirmation"),
        Route("/preview/{token:path}", _Address(pages.show_preview), name="preview"),
        Route("/.well-known/gpc.json", global_privacy_control),
    ]


async def global_privacy_control(_request: Request) -> Response:
    """That the Global Privacy Control signal is honoured here."""
    return JSONResponse(_GPC, headers={"cache-control": "public, max-age=86400"})


class _Address:
    """An address of the pages: what GET and POST do there, and every no as a page."""

    def __init__(self, show: Handler, act: Handler | None = None) -> None:
        self._handlers = {"GET": show, "HEAD": show} | ({} if act is None else {"POST": act})
        self._allow = _ALLOW if act is None else f"{_ALLOW}, POST"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"allow": self._allow})
        language = language_of(request)
        handler = self._handlers.get(request.method)
        if handler is None:
            return page("message.html", language, status=405, headers={"allow": self._allow}, kind="method")
        if not token_of(request) and request.method != "POST":
            return page("message.html", language, kind="no_token")
        try:
            return await handler(request)
        except LinkInvalid:
            return page("message.html", language, status=404, kind="link_invalid")
        except TooOften as too_often:
            return page(
                "message.html",
                language,
                status=429,
                headers={"retry-after": str(math.ceil(too_often.seconds))},
                kind="too_many",
                one_click_link=beside(request, "u"),
                waiting=WAITING,
                seconds=math.ceil(too_often.seconds),
            )
        except FormMalformed:
            return page("message.html", language, status=400, kind="form_malformed")
        except FormTooBig:
            # The rest of the body stays unread, so the connection is of no more use.
            return page("message.html", language, status=413, headers={"connection": "close"}, kind="form_too_big")
        except StoreUnavailable:
            headers = {"retry-after": str(_RETRY_S)}
            return page("message.html", language, status=503, headers=headers, kind="unavailable")
        except Refusal:
            return page("message.html", language, status=409, kind="refused")
        except Exception as error:  # noqa: BLE001 - every error is told on a page, with an id that is in the log
            entry = exception_entry(error, request_record(request.scope).request_id)
            error_id = entry["extensions"].get("id", "")
            return page("message.html", language, status=500, kind="failed", error_id=error_id)


class _Pages:
    """The pages' handlers."""

    def __init__(self, of_link: FloodLimit, of_address: FloodLimit) -> None:
        self._of_link = of_link
        self._of_address = of_address

    async def show_preferences(self, request: Request) -> Response:
        """The preference page, as things stand now."""
        tenant, link = await self._counted(request)
        return await _preference_page(request, tenant, link, None, None)

    async def save_preferences(self, request: Request) -> Response:
        """Record what was changed relative to what was shown, and tell what became of it."""
        tenant, link = await _opened(request)
        came = await posted(request)
        if came.one_click:
            # A mail program that was given this address.
            return await _clicked(request, tenant, link, came)
        if came.fields is None:
            raise FormMalformed
        form = submitted(tenant, token_of(request), came.fields)
        language = languages()[form.state.language]
        before, catalogue = await _present(tenant, link)
        if form.action == UNDO:
            wanted, outcomes = undone(form, before)
            text = text_of_told(
                tenant.catalogue_at(form.state.position),
                link.profile,
                {level: now for level, (now, _) in form.undo.items()},
                language,
            )
            method = _TAKEN_BACK
        else:
            wanted, outcomes = wanted_of(form, before, catalogue, link)
            text = text_of_page(
                tenant.catalogue_at(form.state.position), link.profile, link.channel, form.shown, form.state, language
            )
            method = _BUTTON if form.action == EVERYTHING else _BOXES
            if form.address_works:
                method = f"{method}; {_WORKS}"
        later: dict[Level, ConsentValue] = {}
        flooded = self._seconds_to_wait(request) or self._seconds_of_address(tenant, link)
        if flooded:
            repeated = {choice.level for choice in before.choices if choice.opted_out_a_moment_ago}
            opt_outs = {level for level, value in wanted.items() if value is ConsentValue.OPTED_OUT}
            if not opt_outs:
                raise TooOften(flooded)
            # Every opt-out passes; what else was chosen is asked to come again.
            later = {level: value for level, value in wanted.items() if level not in opt_outs}
            outcomes |= dict.fromkeys(opt_outs & repeated, Outcome.OFF)
            wanted = {level: wanted[level] for level in opt_outs - repeated}
        gpc = gpc_of(request)
        # With another signal it is another input, which the same number must not stand for.
        number = f"{form.state.number}:gpc" if gpc else form.state.number
        shown = Shown(form=number, text=text, locale=language.tag, method=method, gpc=gpc)
        undo = None
        if wanted:
            saved = await save_and_look(tenant, link, wanted, shown)
            outcomes |= saved
            undo = {
                level: (wanted[level], undo_to(before, level, link))
                for level, outcome in saved.items()
                if outcome is OUTCOME_OF[wanted[level]]
            }
        if later:
            raise TooOften(flooded)
        # What let messages through to an address that they came back from is not taken back by half: boxes are there for it.
        lifted = before.bounced and ConsentValue.OPTED_IN in wanted.values()
        told = _Told(form, outcomes, {} if form.action == UNDO or undo is None or lifted else undo)
        return await _preference_page(request, tenant, link, language, told)

    async def show_one_click(self, request: Request) -> Response:
        """A page with one button, or what is so already."""
        tenant, link = await self._counted(request)
        return await one_click_page(request, tenant, link, "already" if await is_out_already(tenant, link) else "ask")

    async def one_click(self, request: Request) -> Response:
        """Out of what the message was about (RFC 8058): the same answer however often it is asked."""
        tenant, link = await _opened(request)
        came = await posted(request)
        if not came.one_click:
            return page("message.html", language_of(request), status=400, kind="not_one_click")
        return await _clicked(request, tenant, link, came)

    async def show_confirmation(self, request: Request) -> Response:
        """A page with one button, or what is so already; nothing is confirmed yet."""
        self._count(request)
        try:
            tenant, confirmation = await _confirmation(request)
            requested = await _requested(tenant, confirmation)
            result = await confirmed(tenant, confirmation) if await is_confirmed(tenant, confirmation) else None
            return await confirmation_page(request, tenant, requested, result)
        except _NoConfirmation as no:
            return page("confirm.html", language_of(request), status=410, state=no.state)

    async def confirm(self, request: Request) -> Response:
        """What was asked for becomes consent of the person; as often as the button is pressed, the same."""
        self._count(request)
        try:
            tenant, confirmation = await _confirmation(request)
            fields = await read_fields(request)
            if CONFIRM not in fields:
                return page("message.html", language_of(request), status=400, kind="form_malformed")
            requested = await _requested(tenant, confirmation)
            shown = shown_of_confirmation(request, tenant, requested, fields)
            try:
                await confirm_double_opt_in(tenant, confirmation, shown)
            except Refusal as refusal:
                raise _NoConfirmation("gone") from refusal
            result = await confirmed(tenant, confirmation)
            if result is None:
                raise _NoConfirmation("gone")
            return await confirmation_page(request, tenant, requested, result)
        except _NoConfirmation as no:
            return page("confirm.html", language_of(request), status=410, state=no.state)

    async def show_preview(self, request: Request) -> Response:
        """The preference page as an administrator would have it; there is no form on it."""
        self._count(request)
        _, seen = await open_preview(request.app.state.ledger, token_of(request))
        asked = request.query_params.get("lang", "")
        # In the profile's language, whatever the administrator's browser prefers: it is the profile that is looked at.
        language = languages().get(asked) or languages()[seen.profile.preference_center.locale]
        shown = {choice.level: choice.ticked for choice in seen.choices}
        return page(
            "preview.html",
            language,
            brand=brand_of(seen.profile),
            groups=groups(seen.catalogue, seen.profile, seen.channel, shown, language),
            commercial=has_commercial(seen.catalogue, shown),
        )

    async def _counted(self, request: Request) -> tuple[Tenant, MessageLink]:
        """What the link names. Raises TooOften where it, or another of its address, asked for too much."""
        self._count(request)
        tenant, link = await _opened(request)
        if seconds := self._seconds_of_address(tenant, link):
            raise TooOften(seconds)
        return tenant, link

    def _count(self, request: Request) -> None:
        if seconds := self._seconds_to_wait(request):
            raise TooOften(seconds)

    def _seconds_to_wait(self, request: Request) -> float:
        return self._of_link.seconds_to_wait(token_of(request))

    def _seconds_of_address(self, tenant: Tenant, link: MessageLink) -> float:
        index = tenant.blind_index(link.channel, link.address)
        return self._of_address.seconds_to_wait(f"{tenant.id}:{link.channel}:{index.hex()}")


class _Told:
    """What a page says of a submit: what became of each choice, and what the button that takes it back would do."""

    def __init__(
        self,
        form: Submitted,
        outcomes: Mapping[Level, Outcome],
        undo: Mapping[Level, tuple[ConsentValue, ConsentValue]],
    ) -> None:
        self.action = form.action
        self.works = form.address_works
        self.outcomes = outcomes
        self.undo = undo


async def _clicked(request: Request, tenant: Tenant, link: MessageLink, came: Posted) -> Response:
    await one_click_opt_out(tenant, link, click_of(request, tenant, link, came.fields or []))
    return await one_click_page(request, tenant, link, "done")


async def _opened(request: Request) -> tuple[Tenant, MessageLink]:
    ledger: Ledger = request.app.state.ledger
    return await open_message_link(ledger, token_of(request))


async def _present(tenant: Tenant, link: MessageLink) -> tuple[Preferences, Catalogue]:
    """What the page shows now, and the very catalogue that it is from."""
    catalogue = await tenant.latest_catalogue()
    while True:
        seen = await preferences(tenant, link)
        if tenant.catalogue.position == catalogue.position:
            return seen, catalogue
        catalogue = tenant.catalogue


async def _preference_page(
    request: Request, tenant: Tenant, link: MessageLink, language: Language | None, told: _Told | None
) -> Response:
    seen, catalogue = await _present(tenant, link)
    profile = seen.profile
    language = language or language_of(request, profile.preference_center.locale)
    shown = {choice.level: choice.ticked for choice in seen.choices}
    hidden = shown_fields(shown)

    def seal(fields: Mapping[str, str]) -> str:
        state = FormState(
            number=new_number(),
            position=catalogue.position,
            language=language.tag,
            suppressed=seen.suppressed,
            gpc=gpc_of(request),
            bounced=seen.bounced,
        )
        return seal_form(tenant, token_of(request), state, fields)

    return page(
        "preferences.html",
        language,
        brand=brand_of(profile),
        groups=groups(catalogue, profile, link.channel, shown, language),
        commercial=has_commercial(catalogue, shown),
        suppressed=seen.suppressed,
        bounced=seen.bounced,
        address=masked(link.channel, link.address),
        gpc=gpc_of(request),
        hidden=hidden,
        seal=seal(hidden),
        told=None if told is None else _told_values(told, catalogue, language, seal),
    )


def _told_values(
    told: _Told, catalogue: Catalogue, language: Language, seal: Callable[[Mapping[str, str]], str]
) -> Mapping[str, object]:
    said: list[str] = list(lines(catalogue, told.outcomes, language))
    if not said and told.works:
        said.append(
            language.words.gettext(
                "Nothing that we could send is ticked, so no messages come to this address, as before."
            )
        )
    elif not said and told.action == EVERYTHING:
        said.append(language.words.gettext("This address gets nothing commercial from us already."))
    elif not said:
        said.append(language.words.gettext("You changed nothing, so nothing was saved."))
    fields = undo_fields(told.undo)
    return {
        "heading": heading(told.outcomes, language),
        "failed": any(outcome in (Outcome.GONE, Outcome.LEFT) for outcome in told.outcomes.values()),
        "lines": said,
        "undo": {"seal": seal(fields), "fields": fields} if fields else None,
    }


class _NoConfirmation(Exception):
    """A confirmation link that leads to nothing any more; `state` says what the page tells."""

    def __init__(self, state: str) -> None:
        super().__init__()
        self.state = state


async def _confirmation(request: Request) -> tuple[Tenant, Confirmation]:
    try:
        return await open_confirmation(request.app.state.ledger, token_of(request))
    except Refusal as refusal:
        if refusal.code is RefusalCode.EXPIRED_TOKEN:
            raise _NoConfirmation("expired") from refusal
        raise LinkInvalid from refusal


async def _requested(tenant: Tenant, confirmation: Confirmation) -> Mapping[str, Any]:
    requested = await requested_by(tenant, confirmation)
    if requested is None:
        raise _NoConfirmation("gone")
    return requested
