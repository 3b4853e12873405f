"""What our plain HTTP endpoints share: who asks and with which scope, bodies read up to a limit, JSON told once, errors.

Errors are those of GraphQL: an object with `errors`, each with `extensions.code`.
"""

import json
import math
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from domain.json_members import each_once
from domain.refusals import LimitExceeded, Refusal
from ledger.assembly import Caller, Tenant
from ledger.flood_limit import TooOften
from schema.refusals import Forbidden
from web.authentication import caller_of
from web.graphql_endpoint import NotServed
from web.refusals import error_entry, exception_entry
from web.request_observer import request_record

JSON = "application/json"


async def caller_with(scope: str, request: Request, *, within_unit: bool = False) -> tuple[Tenant, Caller]:
    """The tenant and the caller of a request that needs a scope. `within_unit` where the ledger narrows the answer to the
    unit that a key is bound to; anything else refuses such a key. Raises NotServed: 401, 403, 503."""
    tenant, caller = await caller_of(request.scope, request.app.state.ledger)
    if within_unit and caller.may_in_its_unit(scope):
        return tenant, caller
    if scope not in caller.scopes:
        raise refused(403, "FORBIDDEN", str(Forbidden(scope, unit=None if within_unit else caller.unit)), scope=scope)
    return tenant, caller


def content_type(request: Request, *allowed: str) -> str:
    """The body's media type, one of those allowed. Raises NotServed: 415."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in allowed:
        raise refused(415, "BAD_USER_INPUT", f"the body's content type must be {' or '.join(allowed)}")
    return given


async def body_of(request: Request, bytes_max: int) -> bytes:
    """The body, read no further than it may go on. Raises LimitExceeded."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise LimitExceeded("bytes of the body", bytes_max, len(body))
    return bytes(body)


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is. Raises NotServed: 400."""
    try:
        given = json.loads(body, object_pairs_hook=each_once)
    except (ValueError, RecursionError) as error:
        raise refused(400, "BAD_USER_INPUT", "the body must be JSON, each field once") from error
    if not isinstance(given, dict):
        raise refused(400, "BAD_USER_INPUT", "the body must be a JSON object")
    return given


def refused(status: int, code: str, message: str, **extensions: object) -> NotServed:
    """A refusal in the words of `extensions.code`."""
    return NotServed(status, error_entry(code, message, **extensions), {})


def not_served(refusal: NotServed) -> Response:
    """The answer to a request that is not served."""
    return JSONResponse({"errors": [refusal.error]}, refusal.status, headers=refusal.headers)


def failed(request: Request, error: Exception) -> Response:
    """The answer to a request in which an error was met: what is expected in its words, anything else as an id."""
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
        case _ if entry["extensions"]["code"] in ("UNAVAILABLE", "NOT_YET_AVAILABLE"):
            return JSONResponse({"errors": [entry]}, 503, headers={"retry-after": "1"})
        case _:
            return JSONResponse({"errors": [entry]}, 500)
