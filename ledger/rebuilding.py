"""Rebuilding projections from the log, tenant by tenant: what `consentry rebuild` does. How is told in `projections.rebuild`."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from domain.refusals import Refusal, RefusalCode
from ledger.assembly import Ledger, Tenant
from projections.known import PROJECTIONS
from projections.rebuild import Progress, Rebuilt, rebuild
from projections.selection import NAME as SELECTION
from projections.selection_rebuild import rebuild_selection


@dataclass(frozen=True, slots=True)
class RebuiltProjection:
    """What came of one projection of one tenant."""

    tenant: str
    projection: str
    rebuilt: Rebuilt


def projections_named(name: str | None) -> Sequence[str]:
    """The projection with this name, or all. Raises Refusal NOT_FOUND."""
    known = [*PROJECTIONS, SELECTION]
    if name is None:
        return known
    if name not in known:
        raise Refusal(
            RefusalCode.NOT_FOUND, f"there is no projection {name}; there are {', '.join(known)}", ("projection",)
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
            if name == SELECTION:
                rebuilt = await rebuild_selection(ledger.pool, tenant.id, accept=accept, progress=progress)
            else:
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
