"""POST /import/FORMAT: a file as the body of a request, of any size, its rows told as JSON lines while they are settled.

    {"row": 3, "outcome": "refused", "code": "INVALID", "path": ["msdynmkt_value"], "message": "..."}   a row not recorded,
                                                                                          or not all of it
    {"progress": {"rows": 512, ...}}                                                               now and then
    {"rows": 5000, "recorded": 4948, "unchanged": 0, "refused": 52, "events": 9546}               the last line; with
                                                            "partlyRefused": rows of which a part was refused;
                                                            "refusedOptOuts": rows whose refused part says no or may
    {"error": {"code": "UNAVAILABLE", "message": "..."}}                                        the last line, if it failed

Where neither of the last two came, the answer was cut off: what is recorded is recorded, and the same request goes on.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from domain.addresses import Channel
from domain.consent import ConsentValue
from domain.json_lines import one_line
from domain.json_members import each_once
from domain.refusals import LimitExceeded, Refusal, RefusalCode
from ledger.assembly import Caller, Tenant
from ledger.catalogue import import_catalogue
from ledger.import_formats import FORMATS, Target, reading
from ledger.import_rows import FileUnusable, RowTold, Totals, of_catalogue
from ledger.import_runs import begin_run
from ledger.importing import run_import
from schema.refusals import Forbidden
from web.authentication import caller_of
from web.graphql_endpoint import NotServed
from web.line_spool import LineSpool
from web.refusals import error_entry, exception_entry
from web.request_observer import request_record

CATALOGUE = "catalogue"
CATALOGUE_BYTES_MAX = 20_000_000
IMPORT_BYTES_MAX = 4 * 1024**3
MEDIA_TYPE = "application/x-ndjson"
PATH = "/import/"
_PARAMETERS = (
    "profile",
    "purpose",
    "topic",
    "value",
    "channel",
    "timeZone",
    "dateFormat",
    "encoding",
    "dryRun",
    "allowLooser",
)
# Of a file that cannot be used so much is still read, so that the client gets to read why.
_DISCARDED_BYTES_MAX = 8 * 1024 * 1024
_NO_STORE = {"cache-control": "no-store"}

Member = TypeVar("Member", bound=StrEnum)
Work = Callable[[Callable[[RowTold], None], Callable[[Totals], None]], Any]


def import_routes(bytes_max: int) -> list[Route]:
    """The route for files that come in; `bytes_max` is how long one may be."""

    async def import_file(request: Request) -> Response:
        try:
            return await _answer(request, bytes_max)
        except NotServed as refused:
            return JSONResponse({"errors": [refused.error]}, refused.status, headers=refused.headers)
        except Exception as error:  # noqa: BLE001 - every error is told in our words, as for GraphQL
            return _failed(request, error)

    return [Route(PATH + "{format}", import_file, methods=["POST"])]


async def _answer(request: Request, bytes_max: int) -> Response:
    tenant, caller = await caller_of(request.scope, request.app.state.ledger)
    format = request.path_params["format"]
    _require("admin" if format == CATALOGUE else "write", caller)
    if format != CATALOGUE and format not in FORMATS:
        known = ", ".join((CATALOGUE, *FORMATS))
        raise NotServed(404, error_entry("NOT_FOUND", f"there is no such format; there are {known}"), {})
    given = _parameters(request)
    dry_run = _flag(given, "dryRun")
    if dry_run and format != CATALOGUE:
        # It records nothing, and what would become of a row tells what is recorded for its address: it is a check.
        _require("check", caller)
    if format != CATALOGUE and "allowLooser" in given:
        raise Refusal(RefusalCode.INVALID, "allowLooser is of a catalogue", ("allowLooser",))
    _plain_body(request, bytes_max)
    if format == CATALOGUE:
        return await _catalogue(request, tenant, caller, given, dry_run=dry_run)
    target = Target(
        profile=given.get("profile"),
        purpose=given.get("purpose"),
        topic=given.get("topic"),
        value=_member(ConsentValue, given, "value"),
        channel=_member(Channel, given, "channel"),
        time_zone=given.get("timeZone"),
        date_format=given.get("dateFormat"),
        encoding=given.get("encoding"),
    )
    asked = reading(await tenant.latest_catalogue(), format, target, tenant.ledger.clock)
    key = None if dry_run else request.headers.get("idempotency-key")
    run = await begin_run(tenant, caller, key, format, target)

    async def work(told: Callable[[RowTold], None], progress: Callable[[Totals], None]) -> Totals:
        pieces = _pieces(request, bytes_max)
        totals = await run_import(
            tenant,
            caller,
            pieces if run is None else run.checked(pieces),
            asked,
            told=told,
            progress=progress,
            dry_run=dry_run,
            run=None if run is None else run.marks,
        )
        if run is not None:
            await run.finish()
        return totals

    return ImportAnswer(request, work)


def _require(scope: str, caller: Caller) -> None:
    if scope not in caller.scopes:
        raise NotServed(403, error_entry("FORBIDDEN", str(Forbidden(scope, unit=caller.unit)), scope=scope), {})


class ImportAnswer(Response):
    """Runs an import and answers with its lines as they come; with a status of its own where the file is of no use at all."""

    def __init__(self, request: Request, work: Work) -> None:
        super().__init__()
        self._request = request
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the request and write the answer at once, neither waiting for the other."""
        with LineSpool() as spool:
            run = asyncio.create_task(self._run(spool), name="import")
            try:
                lines = await spool.read()
                if not lines:
                    # Not a line was written: the file as a whole is refused, or the client has gone.
                    refused = await run
                    if refused is not None:
                        await _discard(self._request)
                        await refused(scope, receive, send)
                    return
                headers = [(b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                while lines:
                    await send({"type": "http.response.body", "body": lines, "more_body": True})
                    lines = await spool.read()
                await run
                await send({"type": "http.response.body", "body": b""})
            finally:
                run.cancel()
                await asyncio.wait([run])

    async def _run(self, spool: LineSpool) -> Response | None:
        begun = False

        def write(line: Mapping[str, object]) -> None:
            nonlocal begun
            begun = True
            spool.write(one_line(json.dumps(line, ensure_ascii=False)).encode() + b"\n")

        try:
            totals = await self._work(
                lambda row: write(_told(row)), lambda totals: write({"progress": totals.to_json()})
            )
            write(totals.to_json())
        except ClientDisconnect:
            return None
        except Exception as error:  # noqa: BLE001 - every error is told in our words
            if not begun:
                return _failed(self._request, error)
            entry = _entry(self._request, error)
            write({"error": {"message": entry["message"], **entry["extensions"]}})
        finally:
            spool.close()
        return None


def _told(row: RowTold) -> dict[str, object]:
    said = {"row": row.line, "outcome": row.outcome, "code": row.code, "path": row.path, "message": row.message}
    told: dict[str, object] = {name: value for name, value in said.items() if value not in ("", ())}
    return {**told, "optOut": True} if row.opt_out else told


async def _catalogue(
    request: Request, tenant: Tenant, caller: Caller, given: Mapping[str, str], *, dry_run: bool
) -> Response:
    others = set(given) - {"dryRun", "allowLooser"}
    if others:
        raise Refusal(RefusalCode.INVALID, "a catalogue takes dryRun and allowLooser alone", (min(others),))
    body = b"".join([piece async for piece in _pieces(request, CATALOGUE_BYTES_MAX)])
    try:
        document: object = json.loads(body, object_pairs_hook=each_once)
    except (ValueError, RecursionError) as error:
        raise FileUnusable("the catalogue file is not JSON in which each member stands once") from error
    done = await import_catalogue(tenant, caller, document, dry_run=dry_run, allow_looser=_flag(given, "allowLooser"))
    totals: dict[str, object] = {**of_catalogue(done.items, done.changed, done.events).to_json()}
    if done.looser:
        totals["looser"] = done.looser
    if done.left:
        totals["left"] = done.left
    return Response(json.dumps(totals) + "\n", media_type=MEDIA_TYPE, headers=_NO_STORE)


async def _pieces(request: Request, bytes_max: int) -> AsyncIterator[bytes]:
    read = 0
    async for piece in request.stream():
        read += len(piece)
        if read > bytes_max:
            raise LimitExceeded("bytes of the file", bytes_max, read)
        yield piece


async def _discard(request: Request) -> None:
    read = 0
    try:
        async for piece in request.stream():
            read += len(piece)
            if read > _DISCARDED_BYTES_MAX:
                return
    except (RuntimeError, ClientDisconnect):
        # Read to its end already, or nobody is there any more.
        return


def _parameters(request: Request) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in _PARAMETERS:
            raise Refusal(
                RefusalCode.INVALID, f"there is no such parameter; there are {', '.join(_PARAMETERS)}", (name[:64],)
            )
        if name in given:
            raise Refusal(RefusalCode.INVALID, f"{name} is given twice", (name,))
        given[name] = value
    return given


def _flag(given: Mapping[str, str], name: str) -> bool:
    text = given.get(name)
    if text not in (None, "true", "false"):
        raise Refusal(RefusalCode.INVALID, f"{name} is true or false", (name,))
    return text == "true"


def _member(members: type[Member], given: Mapping[str, str], name: str) -> Member | None:
    value = given.get(name)
    if value is None:
        return None
    try:
        return members(value.upper())
    except ValueError as error:
        raise Refusal(RefusalCode.INVALID, f"{name} is one of {', '.join(members)}", (name,)) from error


def _plain_body(request: Request, bytes_max: int) -> None:
    """The body is the file itself, and not too long where it says how long it is."""
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise NotServed(415, error_entry("BAD_USER_INPUT", "the file is compressed: send it as it is"), {})
    if request.headers.get("content-type", "").strip().lower().startswith("multipart/"):
        raise NotServed(415, error_entry("BAD_USER_INPUT", "send the file as the body, not as a form"), {})
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > bytes_max:
        raise LimitExceeded("bytes of the file", bytes_max, int(announced[:20]))


def _entry(request: Request, error: Exception) -> dict[str, Any]:
    if isinstance(error, FileUnusable):
        return error_entry("BAD_USER_INPUT", str(error))
    return exception_entry(error, request_record(request.scope).request_id)


def _failed(request: Request, error: Exception) -> Response:
    entry = _entry(request, error)
    match error:
        case LimitExceeded():
            # The rest is not read.
            return JSONResponse({"errors": [entry]}, 413, headers={"connection": "close"})
        case Refusal() | FileUnusable():
            status = 409 if entry["extensions"]["code"] == "CONFLICT" else 400
            return JSONResponse({"errors": [entry]}, status)
        case _ if entry["extensions"]["code"] == "UNAVAILABLE":
            return JSONResponse({"errors": [entry]}, 503, headers={"retry-after": "1"})
        case _:
            return JSONResponse({"errors": [entry]}, 500)
