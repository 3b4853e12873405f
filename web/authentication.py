"""Who asks: the API key in `Authorization: Bearer KEY`. Knows HTTP's words for it; the keys are the ledger's."""

import re
from collections.abc import Hashable, Sequence

from starlette.types import Scope

from eventstore.database import StoreUnavailable
from ledger.api_keys import Identity, authenticate
from ledger.assembly import Caller, Ledger, Tenant
from web.graphql_endpoint import NotServed
from web.http_headers import header_values
from web.refusals import STORE_UNAVAILABLE, error_entry
from web.request_observer import request_record

_BEARER = re.compile(r"bearer +([\x21-\x7e]{1,200})", re.IGNORECASE)
_MISSING = "say who asks: Authorization: Bearer KEY, with an API key"
_UNKNOWN = "the API key is not valid"


async def caller_of(scope: Scope, ledger: Ledger) -> tuple[Tenant, Caller]:
    """The tenant and the caller of a request. Raises NotServed: 401, or 503 where the store cannot say."""
    identity = await identity_of(header_values(scope, b"authorization"), ledger)
    record = request_record(scope)
    record.tenant, record.application = identity.tenant.key, identity.caller.application
    return identity.tenant, identity.caller


async def identity_of(given: Sequence[str], ledger: Ledger) -> Identity:
    """Who shows these values of Authorization; one is right. Raises NotServed: 401, or 503 where the store cannot say."""
    if not given:
        raise _refused(_MISSING, "Bearer")
    form = _BEARER.fullmatch(given[0].strip()) if len(given) == 1 else None
    if form is None:
        raise _refused(_MISSING, 'Bearer error="invalid_request"')
    try:
        proven = await authenticate(ledger, form[1])
    except StoreUnavailable:
        error = error_entry("UNAVAILABLE", STORE_UNAVAILABLE)
        raise NotServed(503, error, {"retry-after": "1"}) from None
    if proven is None:
        raise _refused(_UNKNOWN, 'Bearer error="invalid_token"')
    return proven


def _refused(message: str, challenge: str) -> NotServed:
    return NotServed(401, error_entry("UNAUTHENTICATED", message), {"www-authenticate": challenge})


def documents_owner(tenant: Tenant) -> Hashable:
    """Whose the documents are that a caller registers: a document may name what others of the tenant do not see."""
    return tenant.id, tenant.unit
