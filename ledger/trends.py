"""The trend of consent, for charts: counts per day, from what a follower keeps; honest about how far that one is.

An answer takes account of everything that was in the log when it was asked for. A follower is rarely more than a moment
behind; the answer waits for it as one with `minPosition` does, and where it does not get there in time says NOT_YET_AVAILABLE,
never an old count.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from domain.refusals import LimitExceeded, NotYetAvailable, Refusal, RefusalCode
from ledger.assembly import WAIT_FOR_POSITION_S, Tenant
from projections import trends
from projections.trends import Counts, Trend

TREND_DAYS_MAX = 400
_LOOK_AGAIN_S = 0.05
_NONE = Counts()


@dataclass(frozen=True, slots=True)
class TrendDay:
    """What took effect on one day, in UTC."""

    day: date
    counts: Counts


async def consent_trend(
    tenant: Tenant,
    *,
    profile: str | None,
    purpose: str | None,
    first: datetime,
    last: datetime,
    wait_s: float = WAIT_FOR_POSITION_S,
) -> list[TrendDay]:
    """Every day from that of `first` to that of `last`, both included, for one purpose, those of one profile, or all.

    Raises Refusal (NOT_FOUND, PURPOSE_OUTSIDE_PROFILE, INVALID), LimitExceeded, NotYetAvailable, StoreUnavailable.
    """
    from_day, to_day = first.astimezone(UTC).date(), last.astimezone(UTC).date()
    days = (to_day - from_day).days + 1
    if last < first:
        raise Refusal(RefusalCode.INVALID, "to must not be earlier than from", ("to",))
    if days > TREND_DAYS_MAX:
        raise LimitExceeded("days from `from` to `to`", TREND_DAYS_MAX, days)
    purposes = await _purposes(tenant, profile, purpose)
    found = await _level(tenant, from_day, to_day, purposes, wait_s)
    all_days = [from_day + timedelta(days=number) for number in range(days)]
    return [TrendDay(day, found.days.get(day, _NONE)) for day in all_days]


async def _purposes(tenant: Tenant, profile: str | None, purpose: str | None) -> list[str] | None:
    """Inactive ones too: what was recorded with them stays."""
    catalogue = await tenant.latest_catalogue()
    within = None if profile is None else catalogue.profile(profile)
    if purpose is None:
        return None if within is None else list(within.purposes)
    key = catalogue.purpose(purpose).key
    if within is not None and key not in within.purposes:
        raise Refusal(
            RefusalCode.PURPOSE_OUTSIDE_PROFILE, f"purpose {key} does not belong to profile {within.key}", ("purpose",)
        )
    return [key]


async def _level(tenant: Tenant, first: date, last: date, purposes: Sequence[str] | None, wait_s: float) -> Trend:
    """The trend, once the follower is where the log was when this was asked."""
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    wanted: int | None = None
    while True:
        async with tenant.ledger.connection() as connection:
            found = await trends.trend(connection, tenant.id, first=first, last=last, purposes=purposes)
        wanted = found.head if wanted is None else wanted
        if found.position >= wanted:
            return found
        if loop.time() >= until:
            raise NotYetAvailable(wanted, "in the counts")
        await asyncio.sleep(_LOOK_AGAIN_S)
