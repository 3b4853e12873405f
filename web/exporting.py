"""GET /export/FORMAT: consents and selections for elsewhere, addresses included, of any number; and the catalogue, which names
nobody.

Pages of keys, each read and let go before it is sent: a slow client holds no connection of the database.
"""

import io
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from domain.addresses import Channel
from domain.catalogue import DEFAULT_PROFILE
from domain.consent import ConsentValue
from domain.decision import Contactability
from domain.refusals import Refusal, RefusalCode
from ledger import csv_quotes, exporting
from ledger.assembly import Tenant
from ledger.selection import Selection
from schema.node_ids import NodeKind, ref
from web.graphql_endpoint import NotServed
from web.importing import MEDIA_TYPE
from web.plain_http import caller_with, failed, not_served, refused

_ROWS_AT_ONCE = 200
_LEFT_OUT = "leftOut"
Member = TypeVar("Member", bound=StrEnum)


class _Format(NamedTuple):
    """A format: its media type, its content, whether that holds addresses, and the parameters that it takes."""

    media_type: str
    lines: Callable[[Tenant, Mapping[str, str]], AsyncIterator[bytes]]
    is_personal: bool
    parameters: tuple[str, ...] = ()


def export_routes() -> list[Route]:
    """The route for what goes out."""
    return [Route("/export/{format}", export, methods=["GET"])]


async def export(request: Request) -> Response:
    """One export, streamed."""
    try:
        found = _FORMATS.get(request.path_params["format"])
        if found is None:
            raise refused(404, "NOT_FOUND", f"there is no such format; there are {', '.join(_FORMATS)}")
        tenant, _ = await caller_with("read", request)
        if found.is_personal:
            await caller_with("read:personal", request)
        said = _said(request, found)
        content = found.lines(tenant, said)
        # What fails before the first line is told by a status; later the answer ends without its end.
        first = await anext(content, b"")
    except NotServed as refusal:
        return not_served(refusal)
    except Exception as error:  # noqa: BLE001 - every error is told in our words, as for GraphQL
        return failed(request, error)
    headers = {"cache-control": "no-store"}
    if _LEFT_OUT in said:
        return StreamingResponse(_from(first, content), media_type="application/json", headers=headers)
    if _LEFT_OUT in found.parameters:
        headers["link"] = f'<{request.url.path}?{_LEFT_OUT}=true>; rel="describedby"'
    return StreamingResponse(_from(first, content), media_type=found.media_type, headers=headers)


async def _from(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in rest:
        yield part


def _said(request: Request, found: "_Format") -> Mapping[str, str]:
    """What the address asks for, each once. Raises Refusal INVALID for what the format does not take."""
    said: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in found.parameters or name in said:
            allowed = ", ".join(found.parameters) or "none"
            raise Refusal(RefusalCode.INVALID, f"parameters, each once, are: {allowed}", (name[:64],))
        said[name] = value
    return said


def _records(tenant: Tenant, said: Mapping[str, str]) -> AsyncIterator[bytes]:
    left = exporting.Left()
    rows = exporting.contact_point_consents(tenant, left)
    return _left_out(rows, left) if _only_left_out(said) else _csv(exporting.COLUMNS, rows)


def _only_left_out(said: Mapping[str, str]) -> bool:
    if said.get(_LEFT_OUT, "true") != "true":
        raise Refusal(RefusalCode.INVALID, f"{_LEFT_OUT} is true, or not given", (_LEFT_OUT,))
    return _LEFT_OUT in said


async def _left_out(content: AsyncIterator[object], left: exporting.Left) -> AsyncIterator[bytes]:
    """What an export leaves out, or tells otherwise: a file of rows has no place for it, and its end no headers."""
    async for _ in content:
        pass
    counts = {
        "erased": left.erased,
        "withoutCode": left.without_code,
        "suppressed": left.suppressed,
        "withExpiry": left.with_expiry,
        "erasedSuppressions": left.erased_suppressions,
        "suppressionsByBlindIndex": left.by_blind_index,
        "suppressedNotEnforced": left.not_enforced,
        "needingEvidence": left.needing_evidence,
        "withoutGuid": left.without_guid,
        "endingElsewhere": left.ending_elsewhere,
    }
    yield json.dumps({"leftOut": counts}).encode() + b"\n"


def _contact_points(tenant: Tenant, said: Mapping[str, str]) -> AsyncIterator[bytes]:
    if "purpose" not in said:
        raise Refusal(RefusalCode.INVALID, "purpose is missing", ("purpose",))

    def ref_of(kind: NodeKind, name: str) -> str | None:
        return ref(tenant.id, kind, said[name]) if name in said else None

    selection = Selection(
        channel=_member(Channel, said.get("channel", "EMAIL"), "channel"),
        profile=ref_of(NodeKind.COMPLIANCE_PROFILE, "profile") or DEFAULT_PROFILE,
        purpose=ref_of(NodeKind.PURPOSE, "purpose") or "",
        topic=ref_of(NodeKind.TOPIC, "topic"),
        contactability=_member(Contactability, said["contactability"], "contactability")
        if "contactability" in said
        else None,
        value=_member(ConsentValue, said["value"], "value") if "value" in said else None,
    )
    return _csv(exporting.CONTACT_POINT_COLUMNS, exporting.contact_points(tenant, selection))


def _member(members: type[Member], text: str, name: str) -> Member:
    try:
        return members(text.upper())
    except ValueError as error:
        raise Refusal(RefusalCode.INVALID, f"{name} is one of {', '.join(members)}", (name,)) from error


async def _csv(columns: Sequence[str], rows: AsyncIterator[list[str]]) -> AsyncIterator[bytes]:
    text = io.StringIO(newline="")
    writer = csv_quotes.writer(text)
    writer.writerow(columns)
    number = 0
    async for row in rows:
        writer.writerow(row)
        number += 1
        if number % _ROWS_AT_ONCE == 0:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _ndjson(tenant: Tenant, said: Mapping[str, str]) -> AsyncIterator[bytes]:
    left = exporting.Left()
    lines = exporting.ndjson(tenant, left)
    return _left_out(lines, left) if _only_left_out(said) else _lines(lines)


async def _lines(content: AsyncIterator[str]) -> AsyncIterator[bytes]:
    lines: list[str] = []
    async for line in content:
        lines.append(line)
        if len(lines) == _ROWS_AT_ONCE:
            yield "".join(line + "\n" for line in lines).encode()
            lines.clear()
    yield "".join(line + "\n" for line in lines).encode()


async def _catalogue(tenant: Tenant, _said: Mapping[str, str]) -> AsyncIterator[bytes]:
    yield json.dumps(await exporting.catalogue(tenant), ensure_ascii=False, indent=1).encode() + b"\n"


_CSV = "text/csv; charset=utf-8"
_SELECTED_BY = ("channel", "profile", "purpose", "topic", "contactability", "value")
_FORMATS: Mapping[str, _Format] = {
    "contact-point-consents": _Format(_CSV, _records, is_personal=True, parameters=(_LEFT_OUT,)),
    "contact-points": _Format(_CSV, _contact_points, is_personal=True, parameters=_SELECTED_BY),
    "ndjson": _Format(MEDIA_TYPE, _ndjson, is_personal=True, parameters=(_LEFT_OUT,)),
    "catalogue": _Format("application/json", _catalogue, is_personal=False),
}
