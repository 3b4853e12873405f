"""What people send back, over HTTP: `/inbound/sms` and `/inbound/email`, for keys with the scope `write`.

Thin, so that a provider's webhook is a few lines or none: text messages as JSON of ours, or as the form that providers post;
mails as they came. What a provider cannot be told to post is said in the query: `profile`, and of a text message `locale`.
"""

import re
import reprlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.json_members import each_once
from domain.refusals import Refusal
from ledger.inbound_email import MAIL_BYTES_MAX, receive_email
from ledger.inbound_sms import InboundResult, receive_sms
from web.graphql_endpoint import NotServed
from web.plain_http import JSON, body_of, caller_with, content_type, failed, json_object, not_served, refused

SCOPE = "write"
SMS_BYTES_MAX = 64 * 1024
_FORM = "application/x-www-form-urlencoded"
_MAIL = ("message/rfc822", "message/global", "application/octet-stream")
_FIELDS = ("from", "text", "profile", "messageId", "locale", "receivedAt")
# What is wrong with one of these is for the ledger to judge: no opt-out is refused for it.
_SIDE_FIELDS = ("messageId", "locale", "receivedAt")
# Providers' words for ours; what else their forms hold is theirs.
_FIELD_OF_FORM = {"From": "from", "Body": "text", "MessageSid": "messageId"}
_FORM_OF_FIELD = {ours: theirs for theirs, ours in _FIELD_OF_FORM.items()}
_FORM_FIELDS_MAX = 200
_QUERY_OF_SMS = ("profile", "locale")
_QUERY_OF_EMAIL = ("profile",)
# What the ledger calls what is given here by another name.
_GIVEN_AS = {"address": "from", "effectiveAt": "receivedAt"}
_DIGITS = re.compile(r"[ \u00a0]?([1-9][0-9]{6,14})[ \u00a0]?", re.ASCII)


def inbound_routes() -> list[Route]:
    """The routes for what comes in."""
    return [
        Route("/inbound/sms", inbound_sms, methods=["POST"]),
        Route("/inbound/email", inbound_email, methods=["POST"]),
    ]


async def inbound_sms(request: Request) -> Response:
    """A text message that a person sent."""
    try:
        tenant, caller = await caller_with(SCOPE, request)
        said, form = await _text_message(request)
        try:
            result = await receive_sms(
                tenant,
                caller,
                sender=_number(said["from"]),
                text=said["text"],
                profile=said.get("profile"),
                message_id=said.get("messageId"),
                locale=said.get("locale"),
                received_at=said.get("receivedAt"),
            )
        except Refusal as refusal:
            raise _as_given(refusal, form=form) from refusal
    except NotServed as refusal:
        return not_served(refusal)
    except Exception as error:  # noqa: BLE001 - every error is told in our words, as for GraphQL
        return failed(request, error)
    return _answer(result)


async def inbound_email(request: Request) -> Response:
    """A mail, as it came."""
    try:
        tenant, caller = await caller_with(SCOPE, request)
        content_type(request, *_MAIL)
        profile = _query(request, _QUERY_OF_EMAIL).get("profile")
        result = await receive_email(tenant, caller, await body_of(request, MAIL_BYTES_MAX), profile=profile)
    except NotServed as refusal:
        return not_served(refusal)
    except Exception as error:  # noqa: BLE001 - as above
        return failed(request, error)
    return _answer(result)


def _query(request: Request, names: tuple[str, ...]) -> dict[str, str]:
    """What the query says, each of these once and nothing else: a name that is misspelt would be left unheard."""
    pairs = request.query_params.multi_items()
    for name, _ in pairs:
        if name not in names:
            known = " and ".join(names)
            raise refused(400, "BAD_USER_INPUT", f"there is no such query parameter; there is {known}", path=["query"])
    try:
        return each_once(pairs)
    except ValueError as error:
        raise refused(400, "BAD_USER_INPUT", "a query parameter is given twice", path=["query"]) from error


def _number(text: str) -> str:
    """A number with its +: many providers leave it out of an international number. What is no such number stays as it is."""
    digits = _DIGITS.fullmatch(text)
    return text if digits is None else f"+{digits[1]}"


def _as_given(refusal: Refusal, *, form: bool) -> Refusal:
    """A refusal in the words in which the message came."""
    names = [_GIVEN_AS.get(name, name) for name in refusal.path]
    message = refusal.message.replace("effectiveAt", _GIVEN_AS["effectiveAt"])
    if form:
        names = [_FORM_OF_FIELD.get(name, name) for name in names]
    return Refusal(refusal.code, message, tuple(names))


async def _text_message(request: Request) -> tuple[Mapping[str, str], bool]:
    """(the fields of a text message, `from` and `text` among them; whether they came as a form)."""
    asked = _query(request, _QUERY_OF_SMS)
    kind = content_type(request, JSON, _FORM)
    body = await body_of(request, SMS_BYTES_MAX)
    given = json_object(body) if kind == JSON else _form(body)
    said: dict[str, str] = {}
    for name, value in given.items():
        if name not in _FIELDS:
            raise refused(400, "BAD_USER_INPUT", f"there is no such field; the fields are {', '.join(_FIELDS)}")
        if value is None:
            continue
        if not isinstance(value, str) and name not in _SIDE_FIELDS:
            raise refused(400, "BAD_USER_INPUT", f"{name} must be text", path=[name])
        said[name] = value if isinstance(value, str) else reprlib.repr(value)
    for name, value in asked.items():
        if said.setdefault(name, value) != value and name not in _SIDE_FIELDS:
            raise refused(
                400, "BAD_USER_INPUT", f"{name} is one thing in the query and another in the body", path=[name]
            )
    # A message without a word is one; a message from nobody is none.
    for name in ("from", "text"):
        if name not in said:
            given = _FORM_OF_FIELD[name] if kind == _FORM else name
            raise refused(400, "BAD_USER_INPUT", f"{given} is missing", path=[given])
    return said, kind == _FORM


def _form(body: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(
            body.decode(errors="surrogateescape"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="surrogateescape",
            max_num_fields=_FORM_FIELDS_MAX,
        )
        said = each_once([(_FIELD_OF_FORM[name], value) for name, value in pairs if name in _FIELD_OF_FORM])
        for name, value in said.items():
            # In what is theirs, and beside the words of the person, text that is none refuses nothing.
            if name not in _SIDE_FIELDS:
                value.encode()
        return said
    except ValueError as error:
        raise refused(
            400, "BAD_USER_INPUT", "the body must be urlencoded UTF-8, with From, Body and MessageSid once each"
        ) from error


def _answer(result: InboundResult) -> Response:
    said: dict[str, Any] = {
        "kind": result.kind,
        "keyword": result.keyword,
        "known": result.known,
        "recorded": result.recorded,
        "positions": list(result.positions),
        "reply": result.reply,
        "why": result.why,
        "leftOut": list(result.left_out) or None,
    }
    given = {name: value for name, value in said.items() if value is not None}
    return JSONResponse(given, headers={"cache-control": "no-store"})
