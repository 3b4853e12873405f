"""Contact points: where messages go, what was consented to there, what would happen now, and all that happened."""

from datetime import datetime

import strawberry

from domain.decision import Decision as HeldDecision
from ledger import history, selection
from ledger.contactability import ConsentAt
from ledger.history import ContactPoint as HeldContactPoint
from ledger.history import StoredEntry
from ledger.selection import Selection
from schema.catalogue import BusinessUnit, CatalogueView, Purpose, Topic
from schema.check import DecisionReason, event_at, shown_reasons, view_known_at
from schema.connections import PAGE_DEFAULT, Connection, connection
from schema.context import Info, RequestContext
from schema.enums import Channel, ConsentSource, ConsentValue, Contactability
from schema.history import ConsentEvent, ConsentEventFilter, asked_page, shown_event
from schema.inputs import LEFT_OUT, given
from schema.loaders import AskedConsent, AskedContactability, AskedHistory, Times
from schema.node_ids import NodeKind, contact_point_node_id, ref
from schema.nodes import Node
from schema.viewer import Application


@strawberry.type(description="What counts for one purpose or topic at one contact point.")
class Consent:
    held: strawberry.Private[ConsentAt]
    view: strawberry.Private[CatalogueView]
    value: ConsentValue = strawberry.field(description="NOT_SET where there is no record, or an expired one.")
    effective_at: datetime | None
    recorded_at: datetime | None
    valid_until: datetime | None

    async def record(self, context: RequestContext) -> ConsentEvent | None:
        """The event that made the record which counts."""
        return None if self.held.record is None else await event_at(context, self.held.record.position)

    @strawberry.field
    def purpose(self) -> Purpose:
        return self.view.purpose(self.held.purpose.key)

    @strawberry.field
    def topic(self) -> Topic | None:
        return None if self.held.topic is None else self.view.topic(self.held.topic.key)

    @strawberry.field(description="How the choice came in.")
    async def source(self, info: Info) -> ConsentSource | None:
        event = await self.record(info.context)
        return None if event is None else event.captured_source

    @strawberry.field(
        description="A label of the Dynamics reasons, or words of one's own: these are kept in the vault, and null once "
        "erased, or without the scope read:personal."
    )
    async def reason(self, info: Info) -> str | None:
        event = await self.record(info.context)
        return None if event is None else await event.captured_reason(info.context)

    @strawberry.field(description="The application that wrote it.")
    async def application(self, info: Info) -> Application | None:
        event = await self.record(info.context)
        return None if event is None else await event.written_by(info.context)

    @strawberry.field(description="The unit of the record: the one that its purpose had when it was recorded.")
    def business_unit(self) -> BusinessUnit | None:
        return None if self.held.record is None else self.view.unit_if_seen(self.held.record.unit)

    @strawberry.field(description="The event that set it.")
    async def event(self, info: Info) -> ConsentEvent | None:
        return await self.record(info.context)


@strawberry.type(description="What would happen for one purpose or topic.")
class ContactabilityRow:
    decision: strawberry.Private[HeldDecision]
    view: strawberry.Private[CatalogueView]
    purpose: Purpose
    topic: Topic | None
    value: ConsentValue = strawberry.field(description="NOT_SET where there is no record, or an expired one.")
    contactability: Contactability

    @strawberry.field(description="The first is the one that decided.")
    def reasons(self) -> list[DecisionReason]:
        return shown_reasons(self.decision.reasons, self.view)


@strawberry.type(
    description="Where a message goes: a channel and an address. Consent belongs to it, never to a person record."
)
class ContactPoint(Node):
    held: strawberry.Private[HeldContactPoint]
    channel: Channel
    erased_at: datetime | None = None

    @strawberry.field(
        description="When the first of what the key sees was recorded here. Needs the scope read, or check: for who only "
        "writes it would tell whether others know the address."
    )
    def created_at(self, info: Info) -> datetime:
        if not info.context.may("check"):
            info.context.require_in_unit("read")
        return self.held.created_at

    @strawberry.field(description="Null once erased, or without the scope to read it.")
    async def address(self, info: Info) -> str | None:
        if not info.context.may("read:personal"):
            return None
        return await info.context.loaders.addresses.load(self.held.id)

    @strawberry.field(description="What counts for a purpose, or for a topic of it. Needs the scope read.")
    async def consent(
        self,
        info: Info,
        purpose: str,
        topic: str | None = LEFT_OUT,
        as_of: datetime | None = LEFT_OUT,
        known_at: datetime | None = LEFT_OUT,
    ) -> Consent:
        context = info.context
        context.require_in_unit("read")
        tenant = context.tenant.id
        topic_ref = given(topic)
        return await _consent(
            context,
            AskedConsent(
                self.held.id,
                ref(tenant, NodeKind.PURPOSE, purpose),
                None if topic_ref is None else ref(tenant, NodeKind.TOPIC, topic_ref),
                Times(given(as_of), given(known_at)),
            ),
        )

    @strawberry.field(
        description="One row per purpose and topic of the profile: the communication tab and the contactability grid. "
        "Needs the scope read."
    )
    async def contactability(
        self,
        info: Info,
        profile: str = "default",
        as_of: datetime | None = LEFT_OUT,
        known_at: datetime | None = LEFT_OUT,
    ) -> list[ContactabilityRow]:
        context = info.context
        context.require_in_unit("read")
        asked = AskedContactability(
            self.held.id,
            self.channel,
            ref(context.tenant.id, NodeKind.COMPLIANCE_PROFILE, profile),
            Times(given(as_of), given(known_at)),
        )
        rows = await context.loaders.contactability.load(asked)
        view = view_known_at(context, asked.times.known_at)
        return [
            ContactabilityRow(
                decision=row.decision,
                view=view,
                purpose=view.purpose(row.purpose.key),
                topic=None if row.topic is None else view.topic(row.topic.key),
                value=row.value,
                contactability=row.contactability,
            )
            for row in rows
        ]

    @strawberry.field(description="Everything that happened here, in log order. Needs the scope read.")
    async def history(
        self,
        info: Info,
        filter: ConsentEventFilter | None = LEFT_OUT,
        first: int | None = LEFT_OUT,
        after: str | None = LEFT_OUT,
        last: int | None = LEFT_OUT,
        before: str | None = LEFT_OUT,
    ) -> Connection[ConsentEvent]:
        context = info.context
        context.require_in_unit("read")
        asked = AskedHistory(self.held.id, asked_page(context, filter, first, after, last, before))
        return connection(await context.loaders.histories.load(asked), lambda event: shown_event(context, event))


@strawberry.input(description="Which contact points: by what one will do, by what the record says, or both.")
class ContactPointFilter:
    channel: Channel = Channel.EMAIL
    profile: str = "default"
    purpose: str
    topic: str | None = LEFT_OUT
    contactability: Contactability | None = strawberry.field(
        default=LEFT_OUT, description="What one will do, after enforcement."
    )
    value: ConsentValue | None = strawberry.field(default=LEFT_OUT, description="What the record says.")


@strawberry.type
class ContactPointQuery:
    @strawberry.field(description="The contact point with this address; null where nothing was recorded for it.")
    async def contact_point(self, info: Info, address: str, channel: Channel = Channel.EMAIL) -> ContactPoint | None:
        context = info.context
        context.require_in_unit("read")
        held = await history.find_contact_point(context.tenant, channel, address)
        return None if held is None else shown_contact_point(context, held)

    @strawberry.field(description="Whom one will reach, and who has opted in, out, or neither.")
    async def contact_points(
        self,
        info: Info,
        filter: ContactPointFilter,
        first: int | None = PAGE_DEFAULT,
        after: str | None = LEFT_OUT,
    ) -> Connection[ContactPoint]:
        context = info.context
        context.require_in_unit("read")
        tenant = context.tenant.id
        topic = given(filter.topic)
        page = await selection.select(
            context.tenant,
            Selection(
                channel=filter.channel,
                profile=ref(tenant, NodeKind.COMPLIANCE_PROFILE, filter.profile),
                purpose=ref(tenant, NodeKind.PURPOSE, filter.purpose),
                topic=None if topic is None else ref(tenant, NodeKind.TOPIC, topic),
                contactability=given(filter.contactability),
                value=given(filter.value),
            ),
            first=first,
            after=given(after),
        )
        return connection(page, lambda held: shown_contact_point(context, held))


def shown_contact_point(context: RequestContext, held: HeldContactPoint) -> ContactPoint:
    """A contact point as GraphQL shows it."""
    return ContactPoint(
        id=contact_point_node_id(context.tenant.id, held.id),
        held=held,
        channel=held.channel,
        erased_at=held.erased_at,
    )


async def consent_after(context: RequestContext, event: StoredEntry) -> Consent | None:
    """What counted once a capture was recorded: the same answer whenever it is asked."""
    capture = event.entry.data
    return await _consent(
        context,
        AskedConsent(
            event.entry.stream, capture["purpose"], capture.get("topic"), Times(known_at=event.entry.recorded_at)
        ),
    )


async def _consent(context: RequestContext, asked: AskedConsent) -> Consent:
    held = await context.loaders.consent.load(asked)
    return Consent(
        held=held,
        view=view_known_at(context, asked.times.known_at),
        value=held.value,
        effective_at=None if held.record is None else held.record.effective_at,
        recorded_at=None if held.record is None else held.record.recorded_at,
        valid_until=None if held.record is None else held.record.valid_until,
    )
