"""Who asks: the API key in `Authorization: Bearer KEY`. Knows HTTP's words for it; the keys are the ledger's."""

import re

from starlette.requests import Request

from eventstore.database import StoreUnavailable
from ledger.api_keys import authenticate
from ledger.assembly import Caller, Ledger, Tenant
from web.graphql_endpoint import NotServed
from web.refusals import error_entry
from web.request_observer import request_record

_BEARER = re.compile(r"bearer +([\x21-\x7e]{1,200})", re.IGNORECASE)
_MISSING = "say who asks: Authorization: Bearer KEY, with an API key"
_UNKNOWN = "the API key is not valid"


async def caller_of(request: Request, ledger: Ledger) -> tuple[Tenant, Caller]:
    """The tenant and the caller of a request. Raises NotServed: 401, or 503 where the store cannot say."""
    given = request.headers.getlist("authorization")
    if not given:
        raise _refused(_MISSING, "Bearer")
    form = _BEARER.fullmatch(given[0].strip()) if len(given) == 1 else None
    if form is None:
        raise _refused(_MISSING, 'Bearer error="invalid_request"')
    try:
        identity = await authenticate(ledger, form[1])
    except StoreUnavailable:
        error = error_entry("UNAVAILABLE", "the store does not answer; nothing can be said now, ask again")
        raise NotServed(503, error, {"retry-after": "1"}) from None
    if identity is None:
        raise _refused(_UNKNOWN, 'Bearer error="invalid_token"')
    tenant, caller = identity
    record = request_record(request.scope)
    record.tenant, record.application = tenant.key, caller.application
    return identity


def _refused(message: str, challenge: str) -> NotServed:
    return NotServed(401, error_entry("UNAUTHENTICATED", message), {"www-authenticate": challenge})
