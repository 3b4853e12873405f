"""Who may read a tenant's log over HTTP, and how a no is said there: what all routes under /log/TENANT/ share."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ledger.assembly import Caller, Tenant
from schema.refusals import Forbidden
from web.authentication import caller_of
from web.graphql_endpoint import NotServed
from web.refusals import error_entry, exception_entry
from web.request_observer import request_record

_STATUS_OF_CODE = {"UNAVAILABLE": 503, "BAD_USER_INPUT": 400, "NOT_FOUND": 404, "LIMIT_EXCEEDED": 429}


async def reader_of_log(request: Request, scope: str) -> tuple[Tenant, Caller]:
    """The tenant whose log is asked for, and who asks.

    Raises NotServed: without the scope too, and another tenant's log is as unknown as one that is not there.
    """
    tenant, caller = await caller_of(request.scope, request.app.state.ledger)
    if scope not in caller.scopes:
        raise refused(403, "FORBIDDEN", str(Forbidden(scope, unit=caller.unit)), scope=scope)
    if request.path_params["tenant"] != tenant.key:
        raise refused(404, "NOT_FOUND", "this key's tenant has no such log")
    return tenant, caller


def refused(status: int, code: str, message: str, **extensions: object) -> NotServed:
    """A no of the route's own."""
    return NotServed(status, error_entry(code, message, **extensions), {})


def not_served(no: NotServed) -> Response:
    """The answer that a no becomes."""
    return JSONResponse({"errors": [no.error]}, no.status, headers=no.headers)


def failed(request: Request, error: Exception) -> Response:
    """The answer that any other error becomes: the expected ones in their words."""
    entry = exception_entry(error, request_record(request.scope).request_id)
    return JSONResponse({"errors": [entry]}, _STATUS_OF_CODE.get(entry["extensions"]["code"], 500))
