"""The log as JSON lines: GET /log/TENANT/events.ndjson, each line an event as GraphQL shows it, for keys with the scope `read`.

It sends as fast as the reader reads: a page at a time, the next one read when this one is gone. It ends where the log ended when
it began, which its headers tell; whatever cuts it short leaves the chunked body without its end, which is an error in any client.
"""

import asyncio
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

from msgspec.json import Encoder
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from domain.events import CATALOGUE_TYPES
from domain.time import format_instant
from domain.upcasting import upcast
from eventstore.read import StoredEntry
from ledger import history, reading_far
from ledger.assembly import Caller, Tenant
from ledger.catalogue import subject_of
from ledger.history import EVENTS, EventFilter, event_cursor
from ledger.pages import cursor
from ledger.reading_far import Span
from schema.node_ids import NodeKind, contact_point_node_id, event_node_id, key_node_id
from web.graphql_endpoint import NotServed
from web.live.connections import cut
from web.log_access import failed, not_served, reader_of_log, refused

SCOPE = "read"
PERSONAL = "read:personal"
AUDIT = "audit"
STREAMS_MAX = 32
# Of these, what one tenant may take with all its keys.
_SHARE = 4
_STALLED_S = 60.0
_written = Encoder().encode
_PARAMETERS = frozenset(("after", "type", "purpose"))


async def log_events(request: Request) -> Response:
    """Every event after `after` that has one of the types and the purpose asked for."""
    try:
        tenant, caller = await reader_of_log(request, SCOPE)
        asked = await reading_far.span(tenant, *_asked(request))
        _reading(request, tenant)
    except NotServed as no:
        return not_served(no)
    except Exception as error:  # noqa: BLE001 - every error is told in our words, as for GraphQL
        return failed(request, error)
    headers = {"cache-control": "private, no-store", "consentry-last-position": str(asked.last)}
    if asked.last >= 0:
        headers["consentry-last-cursor"] = cursor(tenant, EVENTS, str(asked.last))
    if request.method == "HEAD":
        return Response(media_type="application/x-ndjson", headers=headers)
    return _Lines(_reading(request, tenant), tenant, _lines(request, tenant, caller, asked), headers)


def _asked(request: Request) -> tuple[str | None, EventFilter]:
    """The parameters, each known and given once, but for `type`. Raises NotServed."""
    given = request.query_params
    for name in given:
        if name not in _PARAMETERS:
            raise refused(
                400, "BAD_USER_INPUT", "the parameters are after, type (several) and purpose", path=[name[:50]]
            )
        if name != "type" and len(given.getlist(name)) > 1:
            raise refused(400, "BAD_USER_INPUT", f"{name} is given once", path=[name])
    return given.get("after"), EventFilter(types=given.getlist("type") or None, purpose=given.get("purpose"))


def _reading(request: Request, tenant: Tenant) -> Counter[int]:
    """How many read now, in this process, of each tenant: each holds a page. Raises NotServed where there are enough."""
    state = request.app.state
    if not hasattr(state, "reading_logs"):
        state.reading_logs = Counter[int]()
    reading, of_one = state.reading_logs, max(1, STREAMS_MAX // _SHARE)
    for limit, allowed, now in (
        ("logs read at once by one tenant", of_one, reading[tenant.id]),
        ("logs read at once", STREAMS_MAX, reading.total()),
    ):
        if now >= allowed:
            message = f"{limit}: {allowed} are being read here already; try again"
            raise refused(429, "LIMIT_EXCEEDED", message, limit=limit)
    return state.reading_logs


class _Stalled(Exception):
    """The reader takes nothing."""


class _Lines(StreamingResponse):
    """A stream that is counted while it runs, and ended where its reader takes nothing for a minute."""

    media_type = "application/x-ndjson"

    def __init__(
        self, reading: Counter[int], tenant: Tenant, lines: AsyncIterator[bytes], headers: dict[str, str]
    ) -> None:
        super().__init__(lines, headers=headers)
        self._reading = reading
        self._tenant_id = tenant.id
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count while it is sent; where its reader takes nothing, cut the connection: that is no failure of ours."""
        self._reading[self._tenant_id] += 1
        try:
            await super().__call__(scope, receive, send)
        except _Stalled:
            if not cut(scope):
                raise
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self._reading[self._tenant_id] -= 1
            if not self._reading[self._tenant_id]:
                del self._reading[self._tenant_id]
            await self._lines.aclose()  # type: ignore[attr-defined] - it is a generator

    async def stream_response(self, send: Send) -> None:
        """Send all of it, at the reader's pace."""

        async def patient(message: Any) -> None:
            try:
                async with asyncio.timeout(_STALLED_S):
                    await send(message)
            except TimeoutError:
                raise _Stalled from None

        await super().stream_response(patient)


async def _lines(request: Request, tenant: Tenant, caller: Caller, asked: Span) -> AsyncIterator[bytes]:
    async for page in reading_far.pages(tenant, asked):
        # The key may have been revoked since: then this ends, before another event is shown.
        await reader_of_log(request, SCOPE)
        yield await _shown(tenant, caller, page)


async def _shown(tenant: Tenant, caller: Caller, page: Sequence[StoredEntry]) -> bytes:
    opened = await history.evidence(tenant, page) if PERSONAL in caller.scopes else None
    with_entries = AUDIT in caller.scopes
    lines = [_written(_line(tenant, event, opened, with_entry=with_entries)) for event in page]
    return b"\n".join(lines) + b"\n"


def _line(
    tenant: Tenant, event: StoredEntry, opened: dict[int, dict[str, Any]] | None, *, with_entry: bool
) -> dict[str, Any]:
    """An event with the members that `ConsentEvent` has in GraphQL; what has an id there has its id and key here."""
    entry = event.entry
    data = upcast(entry.type, entry.version, entry.data)
    purpose, topic = subject_of(entry.type, data)
    at_contact_point = entry.type not in CATALOGUE_TYPES
    line: dict[str, Any] = {
        "cursor": event_cursor(tenant, event),
        "position": entry.position,
        "id": event_node_id(tenant.id, entry.position, entry.event_id),
        "type": entry.type,
        "recordedAt": format_instant(entry.recorded_at),
        "effectiveAt": None if entry.effective_at is None else format_instant(entry.effective_at),
        "contactPoint": {"id": contact_point_node_id(tenant.id, entry.stream)} if at_contact_point else None,
        "purpose": _named(tenant, NodeKind.PURPOSE, purpose),
        "topic": _named(tenant, NodeKind.TOPIC, topic if purpose is not None else None),
        "value": data.get("value"),
        "source": data.get("source"),
        "reason": data.get("reason"),
        "application": _named(tenant, NodeKind.APPLICATION, entry.application),
        "actor": {"kind": entry.actor},
        "data": data,
    }
    if opened is not None:
        evidence = opened.get(entry.position) or None
        line["actor"]["id"] = None if evidence is None else evidence.get("actorId")
        line["reason"] = line["reason"] or (None if evidence is None else evidence.get("reason"))
        line["evidence"] = evidence
    if with_entry:
        line["entry"] = b64encode(event.raw).decode()
        line["leafHash"] = b64encode(event.leaf_hash).decode()
    return line


def _named(tenant: Tenant, kind: NodeKind, key: str | None) -> dict[str, str] | None:
    return None if key is None else {"id": key_node_id(tenant.id, kind, key), "key": key}
