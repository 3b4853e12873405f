"""Exporting: consent records with Dynamics codes, captures as JSON lines that the import reads again, and selections.

All open addresses, so they are for who may read what is personal. Memory is constant: pages of keys.
"""

import json
import uuid
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from domain import dynamics_codes as codes
from domain.addresses import Channel
from domain.catalogue import Catalogue, EnforcementModel, Purpose
from domain.catalogue_export import export_catalogue
from domain.consent import ConsentSource, ConsentValue
from domain.events import ConsentCaptured, EventType
from domain.json_lines import one_line
from domain.opt_in_rules import PATHS, RequiredEvidence
from domain.standing import NOTHING_KNOWN
from domain.suppression import is_suppressed
from domain.time import format_instant
from eventstore import read
from eventstore.read import EntryFilter, StoredEntry
from ledger import history
from ledger.assembly import Tenant
from ledger.export_blocked import Blocked, blocked_levels, erased_suppressions, hard_bounces, suppressions
from ledger.import_contact_point_consents import WITHOUT_CODE
from ledger.import_ndjson import SuppressionKind
from ledger.selection import Selection, select
from projections import current_consent
from projections.inline import captured

_PAGE = 1_000
_IDS = UUID("6b6f6e73-656e-4472-8000-000000000000")

COLUMNS = (
    "msdynmkt_contactpointconsent4id",
    "msdynmkt_contactpointvalue",
    "msdynmkt_contactpointtype",
    "msdynmkt_contactpointconsenttype",
    "msdynmkt_purposeid",
    "msdynmkt_topicid",
    "msdynmkt_value",
    "msdynmkt_source",
    "msdynmkt_logicalreason",
    "msdynmkt_reason",
    "msdynmkt_modifiedonbehalf",
    "msdynmkt_messageid",
    "createdon",
    "modifiedon",
    "statecode",
)

CONTACT_POINT_COLUMNS = ("channel", "address", "contactPoint")

_RECORDS = """
SELECT contact_point, purpose, topic, unit, valid_until, position FROM current_consent
WHERE tenant = $1 AND (contact_point, purpose, topic, unit) > ($2, $3, $4, $5)
ORDER BY contact_point, purpose, topic, unit LIMIT $6
"""


class Left:
    """What an export could not carry, to be told to whoever asked for it.

    `erased_suppressions`: addresses that were erased and stay suppressed here; the file cannot name them, so elsewhere they
    will be sendable. `not_enforced`: of `suppressed`, those whose purpose has enforcement DISABLED, which an Opted Out does not
    stop: they will be sendable, too. An ndjson file has lines of their own for all of these. `by_blind_index`: the lines of it
    that name an erased address by blind index; a tenant with another key refuses them, and there the address is sendable.
    `needing_evidence`: opt-ins that go out without what their purpose requires of one: where it requires that too, they are
    refused. `without_guid`: rows that name a purpose or topic by its key, which Dynamics does not know. `ending_elsewhere`:
    opt-ins that go out without an end, or with a later one than their purpose gives such an opt-in by now: where it does
    that too, they end.
    """

    def __init__(self) -> None:
        self.without_code = 0
        self.with_expiry = 0
        self.suppressed = 0
        self.erased = 0
        self.erased_suppressions = 0
        self.by_blind_index = 0
        self.not_enforced = 0
        self.needing_evidence = 0
        self.without_guid = 0
        self.ending_elsewhere = 0


async def contact_point_consents(tenant: Tenant, left: Left) -> AsyncIterator[list[str]]:
    """The current consent records, one row each, as the columns of COLUMNS with codes.

    The table knows no expiry: an opt-in that has one goes out as Not Set, since without it it would last for ever. It knows
    no suppression: what is not opted out at an address that is suppressed there goes out as Opted Out, with a row of its own
    where there is no record, or elsewhere it would be sent to. Channels without a code are left out, and what is suppressed of
    erased addresses is: nobody can name these. All of these are counted in `left`.
    """
    left.erased_suppressions += await erased_suppressions(tenant)
    async with tenant.ledger.connection() as connection:
        began_at = (await read.head(connection, tenant.id)).size
    place: tuple[UUID, str, str, str] = (UUID(int=0), "", "", "")
    while True:
        async with tenant.ledger.connection() as connection:
            rows = await connection.fetch(_RECORDS, tenant.id, *place, _PAGE)
            # After the records, page by page: they may be of what was made since the export began.
            catalogue = await tenant.latest_catalogue(connection)
            ids = list({row[0] for row in rows})
            _, found = await current_consent.by_contact_point(connection, tenant.id, ids, list(catalogue.purposes))
        if not rows:
            break
        standings = {one.contact_point: one.standing() for one in found.values()}
        events = await history.events_at(tenant, [row[5] for row in rows])
        addresses = await history.addresses(tenant, list({row[0] for row in rows}))
        evidence = await history.evidence(tenant, list(events.values()))
        for contact_point, purpose, topic, unit, valid_until, position in rows:
            place = contact_point, purpose, topic, unit
            if contact_point not in addresses:
                left.erased += 1
                continue
            event = events[position]
            capture = captured(event.entry)
            if capture is None or capture.channel in WITHOUT_CODE:
                left.without_code += 1
                continue
            value = capture.value
            if valid_until is not None:
                left.with_expiry += 1
                value = ConsentValue.NOT_SET
            standing = standings.get(contact_point, NOTHING_KNOWN)
            if value is not ConsentValue.OPTED_OUT and (
                standing.bounced
                or is_suppressed(standing.suppressions, standing.opt_ins, catalogue.purposes[purpose], topic or None)
            ):
                left.suppressed += 1
                left.not_enforced += _is_not_enforced(catalogue, capture.channel, purpose)
                value = ConsentValue.OPTED_OUT
            if value is ConsentValue.OPTED_IN:
                left.needing_evidence += _lacks_evidence(catalogue.purposes[purpose], {})
                left.ending_elsewhere += _ends(catalogue.purposes[purpose], capture, legal_basis=None)
            left.without_guid += _is_named_by_key(catalogue, purpose, topic)
            dynamics = capture.dynamics or {}
            opened = evidence.get(position, {})
            yield [
                opened.get("dynamicsId")
                or dynamics.get("id")
                or str(uuid.uuid5(_IDS, f"{contact_point}/{purpose}/{topic}/{unit}")),
                addresses[contact_point],
                str(codes.code_of(codes.CHANNELS, capture.channel)),
                str(codes.code_of(codes.CONSENT_TYPES, "TOPIC" if topic else "PURPOSE")),
                catalogue.purposes[purpose].guid or purpose,
                (catalogue.topics[topic].guid or topic) if topic else "",
                str(codes.code_of(codes.VALUES, value)),
                str(dynamics.get("source") or codes.SOURCE_CODES[capture.source]),
                str(codes.reason_code(capture.reason)),
                opened.get("reasonDescription") or opened.get("reason") or "",
                opened.get("actorId", ""),
                opened.get("messageId", ""),
                dynamics.get("createdOn") or format_instant(event.entry.recorded_at),
                format_instant(capture.effective_at),
                "0",
            ]
    catalogue = await tenant.latest_catalogue()
    async for blocked in blocked_levels(tenant, catalogue):
        recorded = blocked.standing.records.get(blocked.level, {})
        # What was recorded while the pages before were read may not be among them; its row is the same twice at worst.
        if any(record.position < began_at for record in recorded.values()):
            continue
        if blocked.channel in WITHOUT_CODE:
            left.without_code += 1
            continue
        left.suppressed += 1
        left.not_enforced += _is_not_enforced(catalogue, blocked.channel, blocked.level[0])
        left.without_guid += _is_named_by_key(catalogue, *blocked.level)
        yield _blocked_row(catalogue, blocked)


def _is_not_enforced(catalogue: Catalogue, channel: Channel, purpose: str) -> bool:
    return catalogue.purposes[purpose].enforcement[channel] is EnforcementModel.DISABLED


def _is_named_by_key(catalogue: Catalogue, purpose: str, topic: str | None) -> bool:
    """Whether a row of this level, as `_RECORDS` or `blocked_levels` has it, names something that has no GUID."""
    return catalogue.purposes[purpose].guid is None or bool(topic and catalogue.topics[topic].guid is None)


def _blocked_row(catalogue: Catalogue, blocked: Blocked) -> list[str]:
    """The row of a level that is suppressed and has no record of its own, as the columns of COLUMNS."""
    purpose, topic = blocked.level
    return [
        str(uuid.uuid5(_IDS, f"{blocked.contact_point}/{purpose}/{topic or ''}/suppressed")),
        blocked.address,
        str(codes.code_of(codes.CHANNELS, blocked.channel)),
        str(codes.code_of(codes.CONSENT_TYPES, "PURPOSE" if topic is None else "TOPIC")),
        catalogue.purposes[purpose].guid or purpose,
        "" if topic is None else (catalogue.topics[topic].guid or topic),
        str(codes.code_of(codes.VALUES, ConsentValue.OPTED_OUT)),
        str(codes.SOURCE_CODES[ConsentSource.OPERATOR]),
        str(codes.reason_code(None)),
        "",
        "",
        "",
        format_instant(blocked.since),
        format_instant(blocked.since),
        "0",
    ]


async def contact_points(tenant: Tenant, selection: Selection) -> AsyncIterator[list[str]]:
    """The contact points of a selection, one row each, as the columns of CONTACT_POINT_COLUMNS, in the order in which they
    came up. Each was selected at the moment when its page was read.

    Raises what `select` raises; an address that was erased meanwhile is left out.
    """
    after: str | None = None
    while True:
        page = await select(tenant, selection, first=_PAGE, after=after)
        addresses = await history.addresses(tenant, [point.id for _, point in page.items])
        for _, point in page.items:
            if point.id in addresses:
                yield [str(point.channel), addresses[point.id], str(point.id)]
        if not page.has_next_page:
            return
        after = page.items[-1][0]


async def catalogue(tenant: Tenant) -> dict[str, Any]:
    """The catalogue as a file that an import reads; names nobody."""
    return export_catalogue(await tenant.latest_catalogue())


async def ndjson(tenant: Tenant, left: Left) -> AsyncIterator[str]:
    """Every capture, in log order, as one JSON object a line with the fields of RecordConsentInput.

    Those of erased contact points are left out, and counted in `left`: they have no address any more. After them a line of its
    own for each hard bounce that blocks an address. Last one for each suppression that an erasure left: by its address where
    that came up again, or else, and counted too, by blind index.
    """
    after = -1
    only = EntryFilter(types=[EventType.CONSENT_CAPTURED])
    while True:
        async with tenant.ledger.connection() as connection:
            page = await read.forward(connection, tenant.id, only, after=after, limit=_PAGE)
            # After the events: whatever purpose they name is in it, also one that was made since the export began.
            catalogue = await tenant.latest_catalogue(connection)
        if not page:
            break
        addresses = await history.addresses(tenant, list({event.entry.stream for event in page}))
        evidence = await history.evidence(tenant, page)
        for event in page:
            if event.entry.stream not in addresses:
                left.erased += 1
                continue
            line = _line(event, addresses[event.entry.stream], evidence.get(event.position, {}))
            capture = captured(event.entry)
            if capture is not None and capture.value is ConsentValue.OPTED_IN:
                purpose = catalogue.purposes[capture.purpose]
                left.needing_evidence += _lacks_evidence(purpose, line)
                left.ending_elsewhere += _ends(purpose, capture, legal_basis=capture.legal_basis)
            yield one_line(json.dumps(line, ensure_ascii=False))
        after = page[-1].position
    async for line in _bounced_lines(tenant):
        yield one_line(json.dumps(line, ensure_ascii=False))
    # What was erased meanwhile is here, too.
    async for line in _suppression_lines(tenant, left):
        yield one_line(json.dumps(line, ensure_ascii=False))


async def _bounced_lines(tenant: Tenant) -> AsyncIterator[dict[str, Any]]:
    async for page in hard_bounces(tenant):
        evidence = await history.evidence(tenant, [one.event for one in page])
        for one in page:
            data = one.event.entry.data
            yield _given(
                {
                    "suppression": SuppressionKind.HARD_BOUNCE,
                    "channel": data["channel"],
                    "address": one.address,
                    "since": format_instant(one.since),
                    "status": data.get("status"),
                    "evidence": _evidence_of(evidence.get(one.event.position, {})),
                }
            )


async def _suppression_lines(tenant: Tenant, left: Left) -> AsyncIterator[dict[str, Any]]:
    key_id = b64encode(tenant.blind_index.key_id).decode()
    async for one in suppressions(tenant):
        named = {"address": one.address}
        if one.address is None:
            left.by_blind_index += 1
            named = {"blindIndex": b64encode(one.blind_index).decode(), "blindIndexKey": key_id}
        yield {
            "suppression": SuppressionKind.ERASURE,
            "channel": one.channel,
            **named,
            "since": format_instant(one.suppression.since),
            "covers": one.suppression.to_data(),
        }


_EVIDENCE_FIELDS = (
    "noticeText", "noticeVersion", "locale", "url", "method", "ipAddress", "userAgent", "attributes",
)  # fmt: skip


def _line(event: StoredEntry, address: str, opened: dict[str, Any]) -> dict[str, Any]:
    capture = captured(event.entry)
    if capture is None:
        raise ValueError("not a capture")
    actor = {"kind": event.entry.actor, "id": opened.get("actorId")}
    line: dict[str, Any] = {
        "position": event.position,
        "id": str(event.entry.event_id),
        "recordedAt": format_instant(event.entry.recorded_at),
        "application": event.entry.application,
        "channel": capture.channel,
        "address": address,
        "purpose": capture.purpose,
        "topic": capture.topic,
        "value": capture.value,
        "effectiveAt": format_instant(capture.effective_at),
        "validUntil": _instant(capture.valid_until),
        "source": capture.source,
        "reason": capture.reason or opened.get("reason"),
        "reasonDescription": opened.get("reasonDescription"),
        "legalBasis": capture.legal_basis,
        "jurisdiction": capture.jurisdiction,
        "actor": _given(actor),
        "messageId": opened.get("messageId"),
        "evidence": _evidence_of(opened),
    }
    return _given(line)


def _evidence_of(opened: Mapping[str, Any]) -> dict[str, Any] | None:
    return _given({name: opened.get(name) for name in _EVIDENCE_FIELDS}) or None


def _lacks_evidence(purpose: Purpose, line: Mapping[str, Any]) -> bool:
    """Whether an opt-in that goes out as this line would be refused for what the purpose requires of one."""

    def there(one: RequiredEvidence) -> bool:
        *above, name = PATHS[one]
        held: Mapping[str, Any] = line
        for part in above:
            held = held.get(part) or {}
        return bool(held.get(name)) or (one is RequiredEvidence.LEGAL_BASIS and bool(purpose.legal_basis))

    return not all(map(there, purpose.opt_in.required))


def _ends(purpose: Purpose, capture: ConsentCaptured, *, legal_basis: str | None) -> bool:
    """Whether an opt-in that goes out with this legal basis gets an end by it, as its purpose is now, that is not its own."""
    until = purpose.opt_in.valid_until(legal_basis or purpose.legal_basis, capture.effective_at)
    return until is not None and (capture.valid_until is None or until < capture.valid_until)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)
