"""Rebuilding projections from the log, tenant by tenant: what `consentry rebuild` does. How is told in `projections.rebuild`."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from domain.refusals import Refusal, RefusalCode
from ledger.assembly import Ledger, Tenant
from projections.known import PROJECTIONS
from projections.rebuild import Progress, Rebuilt, rebuild


@dataclass(frozen=True, slots=True)
class RebuiltProjection:
    """What came of one projection of one tenant."""

    tenant: str
    projection: str
    rebuilt: Rebuilt


def projections_named(name: str | None) -> Sequence[str]:
    """The projection with this name, or all. Raises Refusal NOT_FOUND."""
    if name is None:
        return list(PROJECTIONS)
    if name not in PROJECTIONS:
        raise Refusal(
            RefusalCode.NOT_FOUND, f"there is no projection {name}; there are {', '.join(PROJECTIONS)}", ("projection",)
        )
    return [name]


async def rebuild_projections(
    ledger: Ledger,
    tenants: Sequence[Tenant],
    names: Sequence[str],
    *,
    accept: bool,
    restart: bool,
    progress: Progress,
) -> AsyncGenerator[RebuiltProjection]:
    """Rebuild these projections of these tenants, one after the other.

    Raises RebuildRunning, LeaseLost, UnknownEventVersion, StoreUnavailable; what was done until then is done.
    """
    for name in names:
        for tenant in tenants:
            rebuilt = await rebuild(
                ledger.pool,
                ledger.address.owner,
                tenant.id,
                PROJECTIONS[name],
                accept=accept,
                restart=restart,
                progress=progress,
            )
            yield RebuiltProjection(tenant.key, name, rebuilt)
