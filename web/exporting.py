"""GET /export/FORMAT: consents for elsewhere, addresses included, of any number; and the catalogue, which names nobody.

Pages of keys, each read and let go before it is sent: a slow client holds no connection of the database.
"""

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ledger import exporting
from ledger.assembly import Tenant
from schema.refusals import Forbidden
from web.authentication import caller_of
from web.graphql_endpoint import NotServed
from web.importing import MEDIA_TYPE
from web.refusals import error_entry, exception_entry
from web.request_observer import request_record

_ROWS_AT_ONCE = 200


def export_routes() -> list[Route]:
    """The route for what goes out."""
    return [Route("/export/{format}", export, methods=["GET"])]


async def export(request: Request) -> Response:
    """One export, streamed."""
    try:
        tenant, caller = await caller_of(request, request.app.state.ledger)
        found = _FORMATS.get(request.path_params["format"])
        if found is None:
            known = ", ".join(_FORMATS)
            raise NotServed(404, error_entry("NOT_FOUND", f"there is no such format; there are {known}"), {})
        scopes, media_type, lines = found
        for scope in scopes:
            if scope not in caller.scopes:
                raise NotServed(403, error_entry("FORBIDDEN", str(Forbidden(scope)), scope=scope), {})
        content = lines(tenant)
        # What fails before the first line is told by a status; later the answer ends without its end.
        first = await anext(content, b"")
    except NotServed as refused:
        return JSONResponse({"errors": [refused.error]}, refused.status, headers=refused.headers)
    except Exception as error:  # noqa: BLE001 - every error is told in our words, as for GraphQL
        entry = exception_entry(error, request_record(request.scope).request_id)
        return JSONResponse({"errors": [entry]}, 503 if entry["extensions"]["code"] == "UNAVAILABLE" else 500)
    return StreamingResponse(_from(first, content), media_type=media_type, headers={"cache-control": "no-store"})


async def _from(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in rest:
        yield part


async def _records(tenant: Tenant) -> AsyncIterator[bytes]:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(exporting.COLUMNS)
    number = 0
    async for row in exporting.contact_point_consents(tenant, exporting.Left()):
        writer.writerow(row)
        number += 1
        if number % _ROWS_AT_ONCE == 0:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


async def _ndjson(tenant: Tenant) -> AsyncIterator[bytes]:
    lines: list[str] = []
    async for line in exporting.ndjson(tenant, exporting.Left()):
        lines.append(line)
        if len(lines) == _ROWS_AT_ONCE:
            yield "".join(line + "\n" for line in lines).encode()
            lines.clear()
    yield "".join(line + "\n" for line in lines).encode()


async def _catalogue(tenant: Tenant) -> AsyncIterator[bytes]:
    yield json.dumps(await exporting.catalogue(tenant), ensure_ascii=False, indent=1).encode() + b"\n"


_PERSONAL = ("read", "read:personal")
_FORMATS: Mapping[str, tuple[tuple[str, ...], str, Callable[[Tenant], AsyncIterator[bytes]]]] = {
    "contact-point-consents": (_PERSONAL, "text/csv; charset=utf-8", _records),
    "ndjson": (_PERSONAL, MEDIA_TYPE, _ndjson),
    "catalogue": (("read",), "application/json", _catalogue),
}
