"""Clocks: of each opt-out, when each application knew it, and by when it had to."""

from datetime import datetime

import strawberry

from ledger import propagation
from ledger.propagation import KnownBy, Propagation
from schema.connections import PageInfo
from schema.context import Info
from schema.enums import AcknowledgedBy, OptOutLimit
from schema.history import ConsentEvent, shown_event
from schema.inputs import LEFT_OUT, given
from schema.node_ids import NodeKind, ref
from schema.viewer import Application, application


@strawberry.type(description="By when an opt-out has to be honoured everywhere, as a law or a mailbox provider says.")
class OptOutDeadline:
    limit: OptOutLimit
    name: str
    rule: str
    source: str
    due_at: datetime = strawberry.field(
        description="Counted from startsAt, business days without holidays: never later than the law's own."
    )


@strawberry.type(description="Whether an application knew of an opt-out in time.")
class OptOutInTime:
    limit: OptOutLimit
    in_time: bool | None = strawberry.field(description="Null while it does not know, and there is still time.")


@strawberry.type(description="What an application knows of an opt-out.")
class OptOutKnownBy:
    held: strawberry.Private[KnownBy]
    limits: list[OptOutInTime]

    @strawberry.field
    async def application(self, info: Info) -> Application | None:
        return await application(info.context, self.held.application)

    @strawberry.field(description="Whether it follows such events: by acknowledging positions, or by a webhook.")
    def expected(self) -> bool:
        return self.held.expected

    @strawberry.field(description="Null where it did not say so.")
    def acknowledged_at(self) -> datetime | None:
        return None if self.held.acknowledgement is None else self.held.acknowledgement.at

    @strawberry.field
    def by(self) -> AcknowledgedBy | None:
        return None if self.held.acknowledgement is None else self.held.acknowledgement.by

    @strawberry.field(description="From recordedAt on.")
    def seconds(self) -> float | None:
        return self.held.seconds

    @strawberry.field(description="It should know by now, and does not.")
    def overdue(self) -> bool:
        return self.held.overdue


@strawberry.type(description="An opt-out, when each application knew of it, and by when each had to.")
class OptOutPropagation:
    event: ConsentEvent
    starts_at: datetime = strawberry.field(
        description="When the clocks start: its effectiveAt, even where the ledger heard of it later."
    )
    deadlines: list[OptOutDeadline] = strawberry.field(
        description="Of the limits that its jurisdiction and the presets of its profiles name; of all that may apply where "
        "these name none."
    )
    applications: list[OptOutKnownBy]
    overdue: bool = strawberry.field(description="An application that is expected to know by now does not.")


@strawberry.type(description="An opt-out of a page.")
class OptOutPropagationEdge:
    node: OptOutPropagation
    cursor: str


@strawberry.type(
    description="A page of opt-outs. Under a filter it may hold fewer than asked for, even none, though hasNextPage: go on "
    "after endCursor."
)
class OptOutPropagationConnection:
    edges: list[OptOutPropagationEdge]
    page_info: PageInfo
    wanted: strawberry.Private[propagation.PropagationFilter]

    @strawberry.field(
        description="The opt-outs of all pages. Null under overdue and notAcknowledgedBy, where each would have to be looked at."
    )
    async def total_count(self, info: Info) -> int | None:
        return await propagation.total_count(info.context.tenant, self.wanted)

    @strawberry.field(description="The opt-outs of the page, without their cursors.")
    def nodes(self) -> list[OptOutPropagation]:
        return [edge.node for edge in self.edges]


@strawberry.input(description="Which opt-outs; all that is given must hold. Instants are inclusive.")
class OptOutPropagationFilter:
    overdue: bool | None = strawberry.field(default=LEFT_OUT, description="True: only these.")
    not_acknowledged_by: str | None = strawberry.field(
        default=LEFT_OUT, description="An application's key or id: only what it does not know."
    )
    recorded_from: datetime | None = LEFT_OUT
    recorded_to: datetime | None = LEFT_OUT


@strawberry.type
class PropagationQuery:
    @strawberry.field(
        description="Of each opt-out, in log order: when the ledger had it, when each application acknowledged it, and the "
        "limits that law or mailbox providers set. Needs the scope read, for the whole tenant."
    )
    async def propagation(
        self,
        info: Info,
        filter: OptOutPropagationFilter | None = LEFT_OUT,
        first: int | None = LEFT_OUT,
        after: str | None = LEFT_OUT,
    ) -> OptOutPropagationConnection:
        context = info.context
        context.require("read")
        wanted = _wanted(context.tenant.id, given(filter))
        page = await propagation.page(context.tenant, wanted, first=given(first), after=given(after))
        edges = [OptOutPropagationEdge(node=_shown(info, one), cursor=cursor) for cursor, one in page.items]
        return OptOutPropagationConnection(
            edges=edges,
            wanted=wanted,
            page_info=PageInfo(
                has_next_page=page.has_next_page,
                has_previous_page=given(after) is not None,
                start_cursor=edges[0].cursor if edges else None,
                end_cursor=page.end,
            ),
        )


def _wanted(tenant: int, filter: OptOutPropagationFilter | None) -> propagation.PropagationFilter:
    if filter is None:
        return propagation.PropagationFilter()
    by = given(filter.not_acknowledged_by)
    return propagation.PropagationFilter(
        overdue=bool(given(filter.overdue)),
        not_acknowledged_by=None if by is None else ref(tenant, NodeKind.APPLICATION, by),
        recorded_from=given(filter.recorded_from),
        recorded_to=given(filter.recorded_to),
    )


def _shown(info: Info, one: Propagation) -> OptOutPropagation:
    return OptOutPropagation(
        event=shown_event(info.context, one.event),
        starts_at=one.starts_at,
        deadlines=[
            OptOutDeadline(
                limit=deadline.limit.key,
                name=deadline.limit.name,
                rule=deadline.limit.rule,
                source=deadline.limit.source,
                due_at=deadline.due_at,
            )
            for deadline in one.deadlines
        ],
        applications=[
            OptOutKnownBy(
                held=known,
                limits=[
                    OptOutInTime(limit=deadline.limit.key, in_time=in_time)
                    for deadline, in_time in zip(one.deadlines, known.in_time, strict=True)
                ],
            )
            for known in one.applications
        ],
        overdue=one.overdue,
    )
