"""What people send back, over HTTP: `/inbound/sms` and `/inbound/email`, for keys with the scope `write`.

Thin, so that a provider's webhook is a few lines or none: text messages as JSON of ours, or as the form that providers post;
mails as they came.
"""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.refusals import LimitExceeded, Refusal
from domain.time import parse_instant
from ledger.assembly import Caller, Tenant
from ledger.flood_limit import TooOften
from ledger.inbound_email import MAIL_BYTES_MAX, receive_email
from ledger.inbound_sms import InboundResult, receive_sms
from schema.refusals import Forbidden
from web.authentication import caller_of
from web.graphql_endpoint import NotServed
from web.refusals import error_entry, exception_entry
from web.request_observer import request_record

SCOPE = "write"
SMS_BYTES_MAX = 64 * 1024
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_MAIL = ("message/rfc822", "message/global", "application/octet-stream")
_FIELDS = ("from", "text", "profile", "messageId", "locale", "receivedAt")
# Providers' words for ours; what else their forms hold is theirs.
_FIELD_OF_FORM = {"From": "from", "Body": "text", "MessageSid": "messageId"}
_FORM_FIELDS_MAX = 200


def inbound_routes() -> list[Route]:
    """The routes for what comes in."""
    return [
        Route("/inbound/sms", inbound_sms, methods=["POST"]),
        Route("/inbound/email", inbound_email, methods=["POST"]),
    ]


async def inbound_sms(request: Request) -> Response:
    """A text message that a person sent."""
    try:
        tenant, caller = await _caller(request)
        said = await _text_message(request)
        received_at = said.get("receivedAt")
        result = await receive_sms(
            tenant,
            caller,
            sender=said["from"],
            text=said["text"],
            profile=said.get("profile", "default"),
            message_id=said.get("messageId"),
            locale=said.get("locale"),
            received_at=None if received_at is None else _instant(received_at),
        )
    except NotServed as refused:
        return _not_served(refused)
    except Exception as error:  # noqa: BLE001 - every error is told in our words, as for GraphQL
        return _failed(request, error)
    return _answer(result)


async def inbound_email(request: Request) -> Response:
    """A mail, as it came."""
    try:
        tenant, caller = await _caller(request)
        _content_type(request, *_MAIL)
        result = await receive_email(tenant, caller, await _body(request, MAIL_BYTES_MAX))
    except NotServed as refused:
        return _not_served(refused)
    except Exception as error:  # noqa: BLE001 - as above
        return _failed(request, error)
    return _answer(result)


async def _caller(request: Request) -> tuple[Tenant, Caller]:
    tenant, caller = await caller_of(request, request.app.state.ledger)
    if SCOPE not in caller.scopes:
        raise _refused(403, "FORBIDDEN", str(Forbidden(SCOPE, unit=caller.unit)), scope=SCOPE)
    return tenant, caller


def _content_type(request: Request, *allowed: str) -> str:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in allowed:
        raise _refused(415, "BAD_USER_INPUT", f"the body's content type must be {' or '.join(allowed)}")
    return given


async def _body(request: Request, bytes_max: int) -> bytes:
    """The body, read no further than it may go on."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise LimitExceeded("bytes of the body", bytes_max, len(body))
    return bytes(body)


async def _text_message(request: Request) -> Mapping[str, str]:
    """The fields of a text message, `from` and `text` among them."""
    kind = _content_type(request, _JSON, _FORM)
    body = await _body(request, SMS_BYTES_MAX)
    given = _json_object(body) if kind == _JSON else _form(body)
    said: dict[str, str] = {}
    for name, value in given.items():
        if name not in _FIELDS:
            raise _refused(400, "BAD_USER_INPUT", f"there is no such field; the fields are {', '.join(_FIELDS)}")
        if value is None:
            continue
        if not isinstance(value, str):
            raise _refused(400, "BAD_USER_INPUT", f"{name} must be text", path=[name])
        said[name] = value
    # A message without a word is one; a message from nobody is none.
    for name in ("from", "text"):
        if name not in said:
            raise _refused(400, "BAD_USER_INPUT", f"{name} is missing", path=[name])
    return said


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _refused(400, "BAD_USER_INPUT", "the body must be JSON, each field once") from error
    if not isinstance(given, dict):
        raise _refused(400, "BAD_USER_INPUT", "the body must be a JSON object")
    return given


def _form(body: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_FORM_FIELDS_MAX,
        )
        return _once([(_FIELD_OF_FORM[name], value) for name, value in pairs if name in _FIELD_OF_FORM])
    except ValueError as error:
        raise _refused(
            400, "BAD_USER_INPUT", "the body must be urlencoded UTF-8, with From, Body and MessageSid once each"
        ) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field twice")
    return fields


def _instant(text: str) -> datetime:
    return parse_instant(text, field="receivedAt")


def _answer(result: InboundResult) -> Response:
    said: dict[str, Any] = {
        "kind": result.kind,
        "keyword": result.keyword,
        "known": result.known,
        "recorded": result.recorded,
        "positions": list(result.positions),
        "reply": result.reply,
        "why": result.why,
    }
    given = {name: value for name, value in said.items() if value is not None}
    return JSONResponse(given, headers={"cache-control": "no-store"})


def _refused(status: int, code: str, message: str, **extensions: object) -> NotServed:
    return NotServed(status, error_entry(code, message, **extensions), {})


def _not_served(refused: NotServed) -> Response:
    return JSONResponse({"errors": [refused.error]}, refused.status, headers=refused.headers)


def _failed(request: Request, error: Exception) -> Response:
    if isinstance(error, TooOften):
        too_often = error_entry("LIMIT_EXCEEDED", str(error))
        return JSONResponse({"errors": [too_often]}, 429, headers={"retry-after": str(math.ceil(error.seconds))})
    entry = exception_entry(error, request_record(request.scope).request_id)
    match error:
        case LimitExceeded():
            # The rest is not read.
            return JSONResponse({"errors": [entry]}, 413, headers={"connection": "close"})
        case Refusal():
            return JSONResponse({"errors": [entry]}, 400)
        case _ if entry["extensions"]["code"] == "UNAVAILABLE":
            return JSONResponse({"errors": [entry]}, 503, headers={"retry-after": "1"})
        case _:
            return JSONResponse({"errors": [entry]}, 500)
