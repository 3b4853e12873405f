"""The second step of an erasure: the key is destroyed, what must still block the address stays, the certificate is written.

All of it is one statement, so there are two states only: requested, when every check answers ERASED, and erased. Whoever
meets the first one after a crash (a server that starts, a writer at that address, the same command again) completes it.
"""

import logging
from datetime import timedelta
from uuid import UUID

from domain.consent import ActorKind, ConsentValue
from domain.events import CURRENT_VERSIONS, EventType
from domain.suppression import left_by_erasure
from eventstore import read
from eventstore.command import Command, Draft, ErasureStep, IndexColumns, SubjectGone, decided
from eventstore.database import StoreUnavailable
from eventstore.idempotency import IdempotencyKey
from eventstore.read import EntryFilter, StoredEntry
from ledger.assembly import Ledger, Tenant

_LEFT_ALONE = timedelta(seconds=10)
_log = logging.getLogger("consentry.ledger.erasure")


async def complete_erasure(
    tenant: Tenant, contact_point: UUID, *, idempotency: IdempotencyKey | None = None
) -> StoredEntry:
    """Complete a requested erasure, or find that it is; the certificate. Raises StoreUnavailable.

    With an idempotency key that is the certificate's from then on, and SubjectGone is raised where another was first. Once
    requested, nothing else is appended to the contact point's stream, so what is read here is still so when written.
    """
    async with tenant.ledger.connection() as connection:
        [request] = await read.backward(
            connection,
            tenant.id,
            EntryFilter(stream=contact_point, types=[EventType.CONTACT_POINT_ERASURE_REQUESTED]),
            before=None,
            limit=1,
        )
        opted_out = await connection.fetch(
            "SELECT DISTINCT purpose, topic FROM current_consent WHERE tenant = $1 AND contact_point = $2 AND value = $3",
            tenant.id,
            contact_point,
            ConsentValue.OPTED_OUT,
        )
        bounced = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM bounces WHERE tenant = $1 AND contact_point = $2 AND ended_at IS NULL)",
            tenant.id,
            contact_point,
        )
    asked = request.entry
    data = {"channel": asked.data["channel"], "requested": asked.position, "events": asked.number}
    if asked.data["keepSuppression"]:
        levels = [(row[0], row[1] or None) for row in opted_out]
        data["suppression"] = left_by_erasure(levels, asked.recorded_at, bounced=bounced).to_data()
    certificate = Draft(
        type=EventType.CONTACT_POINT_ERASED,
        version=CURRENT_VERSIONS[EventType.CONTACT_POINT_ERASED],
        data=data,
        effective_at=None,
        actor=ActorKind.SYSTEM,
        columns=IndexColumns(channel=asked.data["channel"]),
    )
    command = Command(
        decide=decided(certificate),
        application=asked.application,
        stream=contact_point,
        idempotency=idempotency,
        erasure=ErasureStep.COMPLETE,
    )
    try:
        return (await tenant.log.append(command)).entries[0]
    except SubjectGone:
        if idempotency is not None:
            raise
        # Another process was first: its certificate is the last event of the stream.
        async with tenant.ledger.connection() as connection:
            [last] = await read.backward(connection, tenant.id, EntryFilter(stream=contact_point), before=None, limit=1)
        return last


async def complete_pending(ledger: Ledger, *, older_than: timedelta = timedelta(0)) -> int:
    """Complete every erasure that was requested and is not complete; how many there were. Raises StoreUnavailable.

    With `older_than`, those requested longer ago than that: a younger one is likely in the hands of whoever asked for it.
    """
    async with ledger.connection() as connection:
        rows = await connection.fetch(
            "SELECT tenant, contact_point FROM erasures WHERE erased_at IS NULL AND requested_at <= $1",
            ledger.clock() - older_than,
        )
    for tenant_id, contact_point in rows:
        fields = {"tenant": tenant_id, "contact_point": str(contact_point)}
        try:
            await complete_erasure(await ledger.tenant_by_id(tenant_id), contact_point)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one that cannot be completed must not keep back the others
            _log.error("an erasure cannot be completed", exc_info=error, extra={"fields": fields})
        else:
            _log.warning("completed an erasure that was left half done", extra={"fields": fields})
    return len(rows)


async def complete_pending_if_it_can(ledger: Ledger) -> None:
    """The same for a loop that tries again: a store that does not answer is tried later."""
    try:
        await complete_pending(ledger, older_than=_LEFT_ALONE)
    except StoreUnavailable:
        _log.warning("the store does not answer; erasures left half done are completed later")
