"""What the pages do: show, save, take back, and end it with one click. GET, HEAD and OPTIONS change nothing.

Whatever is wrong is told on a page: a link that is none in the same words whatever is wrong with it, and what was not saved
as not saved.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
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
from ledger.choosing import Saved, Shown, one_click_opt_out, save
from ledger.double_opt_in import (
    Confirmation,
    confirm_double_opt_in,
    confirmed,
    is_confirmed,
    open_confirmation,
    requested_by,
)
from ledger.flood_limit import FloodLimit, JoinedOptOuts, Pause, TooOften
from ledger.links import LinkInvalid, MessageLink, open_message_link
from ledger.page_previews import open_preview
from ledger.preferences import NOTHING_SEEN, Preferences, SeenThen, is_out_already, preferences
from web.pages.boxes import (
    FAILURES,
    Outcome,
    groups,
    has_commercial,
    has_tracking,
    heading,
    lines,
    text_of_busy,
    text_of_page,
    text_of_told,
)
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
from web.pages.saving import outcomes_of, undo_of, wanted_of
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
Busy = Callable[[Request, Language], Awaitable[Mapping[str, str] | None]]
"""What the page that asks to wait offers meanwhile."""


def page_routes(
    of_link: FloodLimit | None = None, of_address: FloodLimit | None = None, pause: Pause = asyncio.sleep
) -> list[Route]:
    """The routes of the recipients' pages, and how often a link, or all links of an address, may ask for them."""
    pages = _Pages(of_link or FloodLimit(), of_address or FloodLimit(times=_TIMES_OF_ADDRESS), pause)
    return [
        # Whatever stands after the first slash is the token: a link with more behind it is told like any other that is none.
        Route(
            "/p/{token:path}",
            _Address(pages.show_preferences, pages.save_preferences, busy=_opt_outs),
            name="preferences",
        ),
        Route("/u/{token:path}", _Address(pages.show_one_click, pages.one_click, busy=_opt_outs), name="one-click"),
        Route("/c/{token:path}", _Address(pages.show_confirmation, pages.confirm), name="confirmation"),
        Route("/preview/{token:path}", _Address(pages.show_preview), name="preview"),
        Route("/.well-known/gpc.json", global_privacy_control),
    ]


async def global_privacy_control(_request: Request) -> Response:
    """That the Global Privacy Control signal is honoured here."""
    return JSONResponse(_GPC, headers={"cache-control": "public, max-age=86400"})


class _Address:
    """An address of the pages: what GET and POST do there, and every no as a page."""

    def __init__(self, show: Handler, act: Handler | None = None, *, busy: Busy | None = None) -> None:
        self._busy = busy
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
            busy = None if self._busy is None else await self._busy(request, language)
            return page(
                "message.html",
                language,
                status=429,
                headers=_retry_after(too_often.seconds),
                kind="too_many",
                busy=busy,
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

    def __init__(self, of_link: FloodLimit, of_address: FloodLimit, pause: Pause) -> None:
        self._of_link = of_link
        self._of_address = of_address
        self._joined = JoinedOptOuts[Saved](pause=pause)
        self._joined_clicks = JoinedOptOuts[None](pause=pause)

    async def show_preferences(self, request: Request) -> Response:
        """The preference page, as things stand now."""
        tenant, link = await self._counted(request)
        return await _preference_page(request, tenant, link, None, None)

    async def save_preferences(self, request: Request) -> Response:
        """Record what was changed relative to what was shown, and tell what became of it."""
        tenant, link = await _opened(request)
        came = await posted(request, boxes=_boxes(tenant))
        if came.one_click:
            # A mail program that was given this address.
            return await self._clicked(request, tenant, link, came)
        if came.fields is None:
            raise FormMalformed
        form = submitted(tenant, token_of(request), came.fields)
        language = languages()[form.state.language]
        before, catalogue = await _present(tenant, link)
        wanted = (
            {level: restored for level, (_, restored) in form.undo.items()}
            if form.action == UNDO
            else wanted_of(form, before, catalogue)
        )
        later: set[Level] = set()
        flooded = self._seconds_to_wait(request) or self._seconds_of_address(tenant, link)
        if flooded:
            # Every opt-out passes; what else was chosen is asked to come again.
            later = {level for level, value in wanted.items() if value is not ConsentValue.OPTED_OUT}
            wanted = {level: value for level, value in wanted.items() if level not in later}
            if not wanted:
                raise TooOften(flooded)
        text, method = _evidence(tenant, link, form, language)
        shown = Shown(
            form=form.state.number,
            button=form.action,
            seen=form.state.seen,
            text=text,
            locale=language.tag,
            method=method,
            gpc=gpc_of(request),
        )
        if flooded:
            place = f"{self._place(tenant, link)}:{sorted(wanted, key=str)}"
            saved = await self._joined.record(
                place, None, lambda _: save(tenant, link, wanted, shown, only_opt_outs=True)
            )
        else:
            saved = await save(tenant, link, wanted, shown)
        # What let messages through to an address that they came back from is not taken back by half: boxes are there for it.
        lifted = before.bounced and ConsentValue.OPTED_IN in saved.values.values()
        told = _Told(
            action=form.action,
            works=form.address_works,
            outcomes=outcomes_of(saved) | dict.fromkeys(later, Outcome.LATER),
            undo={} if form.action == UNDO or lifted else undo_of(saved, before, link),
            seen=saved.seen,
        )
        wait_s = flooded if later else 0.0
        return await _preference_page(request, tenant, link, language, told, wait_s=wait_s)

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
        return await self._clicked(request, tenant, link, came)

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
        return self._of_address.seconds_to_wait(self._place(tenant, link))

    def _place(self, tenant: Tenant, link: MessageLink) -> str:
        return f"{tenant.id}:{link.channel}:{tenant.blind_index(link.channel, link.address).hex()}"

    async def _clicked(self, request: Request, tenant: Tenant, link: MessageLink, came: Posted) -> Response:
        click = click_of(request, tenant, link, came.fields or [])
        if self._seconds_to_wait(request) or self._seconds_of_address(tenant, link):
            place = f"{self._place(tenant, link)}:{link.purpose}:{link.topic}"
            await self._joined_clicks.record(place, None, lambda _: one_click_opt_out(tenant, link, click))
        else:
            await one_click_opt_out(tenant, link, click)
        return await one_click_page(request, tenant, link, "done")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What a page says of a submit: what became of each choice, and what the button that takes it back would do.

    `seen` is what was known right after it was recorded: what comes later is not taken back.
    """

    action: str
    works: bool
    outcomes: Mapping[Level, Outcome]
    undo: Mapping[Level, tuple[ConsentValue, ConsentValue]]
    seen: SeenThen | None


def _evidence(tenant: Tenant, link: MessageLink, form: Submitted, language: Language) -> tuple[str, str]:
    """(the text that was shown above the button that was pressed, which button that was)."""
    catalogue = tenant.catalogue_at(form.state.position)
    if form.action == UNDO:
        values = {level: now for level, (now, _) in form.undo.items()}
        return text_of_told(catalogue, link.profile, values, language), _TAKEN_BACK
    if form.state.busy:
        return text_of_busy(catalogue, link.profile, language), _BUTTON
    text = text_of_page(catalogue, link.profile, link.channel, form.shown, form.state, language)
    method = _BUTTON if form.action == EVERYTHING else _BOXES
    return text, f"{method}; {_WORKS}" if form.address_works else method


async def _opt_outs(request: Request, language: Language) -> Mapping[str, str] | None:
    """The buttons of the page that asks to wait: the message's own opt-out, and that from everything commercial."""
    tenant, _ = await _opened(request)
    state = FormState(
        number=new_number(),
        position=tenant.catalogue.position,
        language=language.tag,
        # It takes nothing but opt-outs, which need not know what was there.
        seen=NOTHING_SEEN,
        busy=True,
    )
    return {
        "one_click_link": beside(request, "u"),
        "everything_link": f"{beside(request, 'p')}?lang={language.tag}",
        "seal": seal_form(tenant, token_of(request), state, {}),
    }


def _retry_after(seconds: float) -> dict[str, str]:
    return {"retry-after": str(math.ceil(seconds))}


async def _fields_of_one_click(request: Request) -> list[tuple[str, str]]:
    try:
        return await read_fields(request)
    except FormMalformed:
        return []


def _boxes(tenant: Tenant) -> int:
    """At least as many boxes as any page of the tenant has or had."""
    return len(tenant.catalogue.purposes) + len(tenant.catalogue.topics)


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
    request: Request,
    tenant: Tenant,
    link: MessageLink,
    language: Language | None,
    told: _Told | None,
    *,
    wait_s: float = 0.0,
) -> Response:
    seen, catalogue = await _present(tenant, link)
    profile = seen.profile
    language = language or language_of(request, profile.preference_center.locale)
    shown = {choice.level: choice.ticked for choice in seen.choices}
    hidden = shown_fields(shown)

    def seal(fields: Mapping[str, str], then: SeenThen) -> str:
        state = FormState(
            number=new_number(),
            position=catalogue.position,
            language=language.tag,
            seen=then,
            suppressed=seen.suppressed,
            gpc=gpc_of(request),
            bounced=seen.bounced,
        )
        return seal_form(tenant, token_of(request), state, fields)

    return page(
        "preferences.html",
        language,
        status=429 if wait_s else 200,
        headers=_retry_after(wait_s) if wait_s else None,
        brand=brand_of(profile),
        groups=groups(catalogue, profile, link.channel, shown, language),
        commercial=has_commercial(catalogue, shown),
        suppressed=seen.suppressed,
        bounced=seen.bounced,
        address=masked(link.channel, link.address),
        gpc=gpc_of(request),
        gpc_saves=has_tracking(catalogue, shown),
        hidden=hidden,
        seal=seal(hidden, seen.seen),
        told=None if told is None else _told_values(told, catalogue, language, seal),
    )


def _told_values(
    told: _Told, catalogue: Catalogue, language: Language, seal: Callable[[Mapping[str, str], SeenThen], str]
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
        "failed": not FAILURES.isdisjoint(told.outcomes.values()),
        "lines": said,
        "undo": {"seal": seal(fields, told.seen), "fields": fields} if fields and told.seen is not None else None,
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
