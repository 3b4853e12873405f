"""What applications know, and since when: what a webhook's receiver took, and what followers say of themselves.

A follower says "I know everything up to this position", never less than before; each time that it does is kept. So for any
event there is an answer to "since when did application X know?": the first of its deliveries, or the first acknowledgement
that covers it, whichever was earlier.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.refusals import Refusal, RefusalCode
from eventstore import read
from ledger.assembly import Caller, Tenant
from ledger.idempotency import first_answer, stored_key

# A row for each position asked and each application or webhook: both are few, and each look-up is one of an index.
_KNOWN = """
SELECT asked.position, h.application, said.acknowledged_at AS at, 'CURSOR' AS by
FROM unnest($2::bigint[]) AS asked (position)
JOIN acknowledgement_heads h ON h.tenant = $1 AND h.position >= asked.position
CROSS JOIN LATERAL (
    SELECT a.acknowledged_at FROM acknowledgements a
    WHERE a.tenant = $1 AND a.application = h.application AND a.position >= asked.position
    ORDER BY a.position LIMIT 1
) AS said
UNION ALL
SELECT asked.position, w.application, took.delivered_at, 'WEBHOOK'
FROM unnest($2::bigint[]) AS asked (position)
JOIN webhooks w ON w.tenant = $1
CROSS JOIN LATERAL (
    SELECT d.delivered_at FROM webhook_deliveries d
    WHERE d.tenant = $1 AND d.webhook = w.webhook AND d.position = asked.position
    ORDER BY d.delivered_at LIMIT 1
) AS took
ORDER BY 1, 2, 3, 4
"""


class AcknowledgedBy(StrEnum):
    """How it is known that an application knew."""

    WEBHOOK = "WEBHOOK"
    CURSOR = "CURSOR"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """An application knew of an event at this instant, and by this way first."""

    application: str
    at: datetime
    by: AcknowledgedBy


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Up to where an application knows the log, and since when."""

    application: str
    position: int
    at: datetime


async def acknowledge(
    tenant: Tenant, caller: Caller, position: int, *, idempotency_key: str | None = None
) -> Acknowledged:
    """Keep that the caller's application knows everything up to `position`. The same position again changes nothing.

    Raises Refusal INVALID (backwards, beyond the end, no application), IDEMPOTENCY_CONFLICT; StoreUnavailable.
    """
    application = caller.application
    if application is None:
        raise Refusal(RefusalCode.INVALID, "only an application's key can acknowledge", ())
    key = stored_key(tenant, application, idempotency_key, "acknowledge", {"position": position})
    async with tenant.ledger.connection() as connection, connection.transaction():
        size = (await read.head(connection, tenant.id)).size
        if position >= size:
            raise Refusal(RefusalCode.INVALID, f"position is less than {size}: the log ends before that", ("position",))
        repeated = await first_answer(connection, tenant, key, str(position)) is not None
        now = tenant.ledger.clock()
        # One row an application, so that of two at once the second sees the first. Its time never goes back, whatever
        # the clocks of several machines say.
        moved = await connection.fetchrow(
            "INSERT INTO acknowledgement_heads AS h (tenant, application, position, acknowledged_at)"
            " VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, application) DO UPDATE"
            "  SET position = excluded.position, acknowledged_at = greatest(h.acknowledged_at, excluded.acknowledged_at)"
            "  WHERE h.position < excluded.position RETURNING acknowledged_at",
            tenant.id,
            application,
            position,
            now,
        )
        if moved is not None:
            await connection.execute(
                "INSERT INTO acknowledgements (tenant, application, position, acknowledged_at) VALUES ($1, $2, $3, $4)",
                tenant.id,
                application,
                position,
                moved[0],
            )
            return Acknowledged(application, position, moved[0])
        known: int = await connection.fetchval(
            "SELECT position FROM acknowledgement_heads WHERE tenant = $1 AND application = $2",
            tenant.id,
            application,
        )
        if known != position and not repeated:
            raise Refusal(
                RefusalCode.INVALID,
                f"position is at least {known}, which is acknowledged already: what is known is not unlearnt",
                ("position",),
            )
        at = await connection.fetchval(
            "SELECT acknowledged_at FROM acknowledgements WHERE tenant = $1 AND application = $2 AND position = $3",
            tenant.id,
            application,
            position,
        )
        return Acknowledged(application, position, at)


async def acknowledged(tenant: Tenant, application: str) -> Acknowledged | None:
    """Up to where an application said that it knows the log."""
    async with tenant.ledger.connection() as connection:
        row = await connection.fetchrow(
            "SELECT position, acknowledged_at FROM acknowledgement_heads WHERE tenant = $1 AND application = $2",
            tenant.id,
            application,
        )
    return None if row is None else Acknowledged(application, row[0], row[1])


async def acknowledgements_of(tenant: Tenant, positions: Sequence[int]) -> dict[int, list[Acknowledgement]]:
    """For each of these positions, which applications know of that event, and since when; one statement for all."""
    async with tenant.ledger.connection() as connection:
        rows = await connection.fetch(_KNOWN, tenant.id, list(dict.fromkeys(positions)))
    found: dict[int, list[Acknowledgement]] = {position: [] for position in positions}
    for position, application, at, by in rows:
        known = found[position]
        # The earliest of each application comes first.
        if not known or known[-1].application != application:
            known.append(Acknowledgement(application, at, AcknowledgedBy(by)))
    return found
