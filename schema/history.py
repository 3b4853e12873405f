"""Events: one, and lists of them in log order, which an auditor replays."""

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from domain.events import CATALOGUE_TYPES
from domain.upcasting import upcast
from ledger import history
from ledger.catalogue import subject_of
from ledger.history import EventFilter, StoredEntry
from schema.acknowledgements import Acknowledgement, acknowledgements_of_event
from schema.catalogue import Purpose, Topic
from schema.connections import Connection, connection
from schema.context import Info, RequestContext
from schema.enums import ActorKind, Channel, ConsentSource, ConsentValue
from schema.inputs import LEFT_OUT, given
from schema.loaders import PageAsked
from schema.node_ids import NodeKind, event_node_id, ref
from schema.nodes import Node
from schema.scalars import JSON, Bytes, Long
from schema.viewer import Application, application

if TYPE_CHECKING:
    from schema.contact_points import ContactPoint


@strawberry.type(description="Who was behind an event.")
class Actor:
    event: strawberry.Private["ConsentEvent"]
    kind: ActorKind

    @strawberry.field(description="Personal: null without the scope to read it, or once erased.")
    async def id(self, info: Info) -> str | None:
        return (await self.event.opened(info.context)).get("actorId")


@strawberry.type(description="One event of the log, of any type; `data` holds what its type adds.")
class ConsentEvent(Node):
    stored: strawberry.Private[StoredEntry]
    position: Long = strawberry.field(description="Its place in the tenant's log: 0, 1, 2 ... without gaps.")
    type: str
    recorded_at: datetime = strawberry.field(description="Given by the log; never decreases with the position.")
    effective_at: datetime | None = strawberry.field(description="From when a change of consent counts.")

    @cached_property
    def current_data(self) -> Mapping[str, Any]:
        """What its type adds, in the type's current version."""
        entry = self.stored.entry
        return upcast(entry.type, entry.version, entry.data)

    async def opened(self, context: RequestContext) -> dict[str, Any]:
        """What is personal of it; nothing without the scope to read that."""
        if not context.may("read:personal"):
            return {}
        return await context.loaders.evidence.load(self.stored) or {}

    @strawberry.field(description="Where it happened; null for changes of the catalogue.")
    async def contact_point(
        self, info: Info
    ) -> Annotated["ContactPoint", strawberry.lazy("schema.contact_points")] | None:
        from schema.contact_points import shown_contact_point

        if self.type in CATALOGUE_TYPES:
            return None
        held = await info.context.loaders.contact_points.load(self.stored.entry.stream)
        return None if held is None else shown_contact_point(info.context, held)

    @strawberry.field(description="The purpose that it is about.")
    async def purpose(self, info: Info) -> Purpose | None:
        purpose, topic = subject_of(self.type, self.current_data)
        return None if purpose is None else (await info.context.catalogue_with(purpose, topic)).purpose(purpose)

    @strawberry.field(description="The topic that it is about.")
    async def topic(self, info: Info) -> Topic | None:
        purpose, topic = subject_of(self.type, self.current_data)
        if purpose is None or topic is None:
            return None
        return (await info.context.catalogue_with(purpose, topic)).topic(topic)

    @strawberry.field(description="The consent that was captured.")
    def value(self) -> ConsentValue | None:
        value = self.current_data.get("value")
        return None if value is None else ConsentValue(value)

    @property
    def captured_source(self) -> ConsentSource | None:
        """How the choice came in."""
        source = self.current_data.get("source")
        return None if source is None else ConsentSource(source)

    async def captured_reason(self, context: RequestContext) -> str | None:
        """The reason that was given: a label stands in the log, words of one's own are in the vault."""
        label = self.current_data.get("reason")
        return label if label is not None else (await self.opened(context)).get("reason")

    async def written_by(self, context: RequestContext) -> Application | None:
        """The application that wrote it."""
        return await application(context, self.stored.entry.application)

    @strawberry.field(description="How the choice came in.")
    def source(self) -> ConsentSource | None:
        return self.captured_source

    @strawberry.field(
        description="A label of the Dynamics reasons, or words of one's own: these are kept in the vault, and null once "
        "erased, or without the scope read:personal."
    )
    async def reason(self, info: Info) -> str | None:
        return await self.captured_reason(info.context)

    @strawberry.field(description="The application that wrote it; null for the command line.")
    async def application(self, info: Info) -> Application | None:
        return await self.written_by(info.context)

    @strawberry.field
    def actor(self) -> Actor:
        return Actor(event=self, kind=ActorKind(self.stored.entry.actor))

    @strawberry.field(description="Null once erased, or without the scope to read it.")
    async def evidence(self, info: Info) -> JSON | None:
        opened = await self.opened(info.context)
        return JSON(opened) if opened else None

    @strawberry.field(
        description="Which applications know of it, and since when: their webhooks took it, or they acknowledged it. Needs "
        "the scope read."
    )
    async def acknowledgements(self, info: Info) -> list[Acknowledgement]:
        return await acknowledgements_of_event(info.context, self.stored.entry.position)

    @strawberry.field(description="What its type adds, in the type's current version. Names nobody.")
    def data(self) -> JSON:
        return JSON(self.current_data)

    @strawberry.field(description="The bytes that the log commits to. Needs the scope audit.")
    def entry(self, info: Info) -> Bytes:
        info.context.require("audit")
        return Bytes(self.stored.raw)

    @strawberry.field(description="SHA-256(0x00 || entry), the leaf of the Merkle tree. Needs the scope audit.")
    def leaf_hash(self, info: Info) -> Bytes:
        info.context.require("audit")
        return Bytes(self.stored.leaf_hash)


@strawberry.input(description="Which events; all that is given must hold. Instants and positions are inclusive.")
class ConsentEventFilter:
    types: list[str] | None = LEFT_OUT
    channel: Channel | None = LEFT_OUT
    purpose: str | None = LEFT_OUT
    topic: str | None = LEFT_OUT
    values: list[ConsentValue] | None = LEFT_OUT
    sources: list[ConsentSource] | None = LEFT_OUT
    application: str | None = strawberry.field(default=LEFT_OUT, description="The application's key or id.")
    recorded_from: datetime | None = LEFT_OUT
    recorded_to: datetime | None = LEFT_OUT
    from_position: Long | None = LEFT_OUT
    to_position: Long | None = LEFT_OUT


@strawberry.type
class HistoryQuery:
    @strawberry.field(description="Everything that happened, in log order: what an auditor replays.")
    async def consent_events(
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
        asked = asked_page(context, filter, first, after, last, before)
        page = await history.events(
            context.tenant,
            asked.filter,
            first=asked.first,
            after=asked.after,
            last=asked.last,
            before=asked.before,
        )
        return connection(page, lambda event: shown_event(context, event))


def shown_event(context: RequestContext, event: StoredEntry) -> ConsentEvent:
    """An event of the log as GraphQL shows it."""
    entry = event.entry
    return ConsentEvent(
        id=event_node_id(context.tenant.id, entry.position, entry.event_id),
        stored=event,
        position=Long(entry.position),
        type=entry.type,
        recorded_at=entry.recorded_at,
        effective_at=entry.effective_at,
    )


def asked_page(
    context: RequestContext,
    filter: ConsentEventFilter | None,
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
) -> PageAsked:
    """A page of events as the ledger takes it."""
    return PageAsked(
        event_filter(context, filter),
        given(first),
        given(after),
        given(last),
        given(before),
    )


def event_filter(context: RequestContext, filter: ConsentEventFilter | None) -> EventFilter:
    """A filter as the ledger takes it; everything passes the one that was left out."""
    asked = given(filter)
    if asked is None:
        return EventFilter()
    tenant = context.tenant.id
    types, values, sources = given(asked.types), given(asked.values), given(asked.sources)
    purpose, topic, application_ref = given(asked.purpose), given(asked.topic), given(asked.application)
    return EventFilter(
        types=None if types is None else tuple(types),
        channel=given(asked.channel),
        purpose=None if purpose is None else ref(tenant, NodeKind.PURPOSE, purpose),
        topic=None if topic is None else ref(tenant, NodeKind.TOPIC, topic),
        values=None if values is None else tuple(values),
        sources=None if sources is None else tuple(sources),
        application=None if application_ref is None else ref(tenant, NodeKind.APPLICATION, application_ref),
        recorded_from=given(asked.recorded_from),
        recorded_to=given(asked.recorded_to),
        from_position=given(asked.from_position),
        to_position=given(asked.to_position),
    )
