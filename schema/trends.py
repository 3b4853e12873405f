"""Counts per day, for charts."""

from datetime import datetime
from typing import Annotated

import strawberry

from ledger.trends import consent_trend
from schema.context import Info
from schema.inputs import LEFT_OUT, given
from schema.node_ids import NodeKind, ref

SCOPE = "read"


@strawberry.type(description="How many choices took effect on one day, those for topics included.")
class ConsentTrendDay:
    day: str = strawberry.field(description="YYYY-MM-DD, in UTC.")
    opted_in: int
    opted_out: int
    reset: int


@strawberry.type
class TrendQuery:
    @strawberry.field(
        description="Counts per day, for charts. At most 400 days a call. By effectiveAt, every day from that of `from` to that "
        "of `to`; takes account of all events recorded when it was asked for, or answers NOT_YET_AVAILABLE."
    )
    async def consent_trend(
        self,
        info: Info,
        *,
        profile: str | None = LEFT_OUT,
        purpose: str | None = LEFT_OUT,
        from_: Annotated[datetime, strawberry.argument(name="from")],
        to: datetime,
    ) -> list[ConsentTrendDay]:
        context = info.context
        context.require(SCOPE)
        profile, purpose = given(profile), given(purpose)
        days = await consent_trend(
            context.tenant,
            profile=None if profile is None else ref(context.tenant.id, NodeKind.COMPLIANCE_PROFILE, profile),
            purpose=None if purpose is None else ref(context.tenant.id, NodeKind.PURPOSE, purpose),
            first=from_,
            last=to,
        )
        return [
            ConsentTrendDay(
                day=one.day.isoformat(),
                opted_in=one.counts.opted_in,
                opted_out=one.counts.opted_out,
                reset=one.counts.reset,
            )
            for one in days
        ]
