"""Webhooks as they are: where each stands, what it delivered and tries to, and who changed it."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

from domain.refusals import Refusal, RefusalCode
from domain.webhooks import WebhookStatus
from ledger import webhook_lists, webhook_rows
from ledger.webhook_lists import DeliveryRow
from ledger.webhook_rows import Webhook as HeldWebhook
from schema.connections import PAGE_DEFAULT, Connection, connection
from schema.context import Info, RequestContext
from schema.enums import DeliveryState
from schema.inputs import LEFT_OUT, given
from schema.node_ids import NodeKind, read_node_id, webhook_node_id
from schema.nodes import Node
from schema.scalars import JSON, Long
from schema.viewer import Application, application

if TYPE_CHECKING:
    from schema.history import ConsentEvent


@strawberry.type(description="A secret that signs; it is shown once, when it is made.")
class WebhookSecret:
    created_at: datetime
    valid_until: datetime | None = strawberry.field(
        description="Until when it signs beside the newer one; null for the newest."
    )


@strawberry.type(description="A change of a webhook: when, by which application, what, and why.")
class WebhookChange:
    key: strawberry.Private[str | None]
    version: int
    changed_at: datetime
    kind: str = strawberry.field(description="CREATED, UPDATED, SECRET_ROTATED or REDELIVERED.")
    details: JSON = strawberry.field(description="What was changed; never a URL or a secret.")
    reason: str | None

    @strawberry.field(description="Null for the command line.")
    async def application(self, info: Info) -> Application | None:
        return await application(info.context, self.key)


@strawberry.type(description="Sends each event that passes its filter to a URL, in order for each contact point.")
class Webhook(Node):
    held: strawberry.Private[HeldWebhook]
    origin: str = strawberry.field(description="Scheme and host of its URL.")
    includes_personal: bool = strawberry.field(description="Whether it is sent addresses, evidence and actors' ids.")
    filter: JSON = strawberry.field(description="What an event must be to be sent.")
    status: WebhookStatus
    version: int = strawberry.field(description="The version to give as expectedVersion when changing it.")
    position: Long | None = strawberry.field(
        description="Everything up to here was taken, passed by the filter, or waits for another try; null before position 0."
    )
    held_position: Long | None = strawberry.field(description="The event at which it is held.")
    held_because: str | None
    held_at: datetime | None
    delivered: Long = strawberry.field(description="How many events were taken, those sent again included.")
    failed: Long = strawberry.field(description="How many attempts failed.")
    created_at: datetime

    @strawberry.field(
        description="It may hold a credential: null without the scope admin, and for a key of another application."
    )
    def url(self, info: Info) -> str | None:
        context = info.context
        own = context.caller.application in (None, self.held.application)
        return self.held.url if own and context.may("admin") else None

    @strawberry.field(description="The application that knows what it is sent.")
    async def application(self, info: Info) -> Application | None:
        return await application(info.context, self.held.application)

    @strawberry.field(description="How many events of the log it has still to look at.")
    async def lag(self, info: Info) -> Long:
        size = await info.context.loaders.log_size.load(None)
        return Long(max(0, size - 1 - self.held.position))

    @strawberry.field(description="The secrets that sign now, the newest first.")
    async def secrets(self, info: Info) -> list[WebhookSecret]:
        rows = await webhook_lists.secrets_of(info.context.tenant, self.held.id)
        return [WebhookSecret(created_at=row.created_at, valid_until=row.valid_until) for row in rows]

    @strawberry.field(description="Who changed what, oldest first; at most the last thousand.")
    async def changes(self, info: Info) -> list[WebhookChange]:
        return [
            WebhookChange(
                key=row.application,
                version=row.version,
                changed_at=row.changed_at,
                kind=row.kind,
                details=JSON(row.details),
                reason=row.reason,
            )
            for row in await webhook_lists.changes(info.context.tenant, self.held.id)
        ]


@strawberry.type(description="An event, and what became of it at a webhook.")
class WebhookDelivery:
    position: Long
    round: int = strawberry.field(description="1, and one more for each redelivery.")
    state: DeliveryState
    attempts: int
    delivered_at: datetime | None
    status: int | None = strawberry.field(description="The HTTP status by which it was taken.")
    next_attempt_at: datetime | None
    said: str | None = strawberry.field(description="Why the last attempt failed.")

    @strawberry.field
    async def event(self, info: Info) -> Annotated["ConsentEvent", strawberry.lazy("schema.history")] | None:
        from schema.history import shown_event

        event = await info.context.loaders.events.load(self.position)
        return None if event is None else shown_event(info.context, event)


@strawberry.type
class WebhookQuery:
    @strawberry.field(description="The tenant's webhooks, oldest first. Needs the scope read.")
    async def webhooks(self, info: Info) -> list[Webhook]:
        context = info.context
        context.require("read")
        return [shown_webhook(context, held) for held in await webhook_lists.webhooks(context.tenant)]

    @strawberry.field(
        description="What a webhook delivered, and what waits for another try, in log order. Needs the scope read."
    )
    async def webhook_deliveries(
        self,
        info: Info,
        webhook: strawberry.ID,
        *,
        unfinished_only: bool = False,
        first: int = PAGE_DEFAULT,
        after: str | None = LEFT_OUT,
    ) -> Connection[WebhookDelivery]:
        context = info.context
        context.require("read")
        page = await webhook_lists.deliveries(
            context.tenant,
            webhook_of_id(context, webhook),
            unfinished_only=unfinished_only,
            first=first,
            after=given(after),
        )
        return connection(page, _delivery)


async def found_webhook(context: RequestContext, webhook: UUID) -> Webhook | None:
    """The webhook with this id, unless it was deleted."""
    held = await webhook_lists.webhook(context.tenant, webhook)
    return None if held is None else shown_webhook(context, held)


def webhook_of_id(context: RequestContext, node_id: str) -> UUID:
    """What a node id names. Raises Refusal NOT_FOUND."""
    name = read_node_id(context.tenant.id, node_id)
    webhook = name.uuid() if name is not None and name.kind is NodeKind.WEBHOOK else None
    if webhook is None:
        raise Refusal(RefusalCode.NOT_FOUND, "there is no webhook with this id", ("webhook",))
    return webhook


def shown_webhook(context: RequestContext, held: HeldWebhook) -> Webhook:
    """A webhook as GraphQL shows it."""
    return Webhook(
        id=webhook_node_id(context.tenant.id, held.id),
        held=held,
        origin=held.origin,
        includes_personal=held.personal,
        filter=JSON(webhook_rows.filter_fields(held.filter)),
        status=held.status,
        version=held.version,
        position=Long(held.position) if held.position >= 0 else None,
        held_position=None if held.held_position is None else Long(held.held_position),
        held_because=held.held_because,
        held_at=held.held_at,
        delivered=Long(held.delivered),
        failed=Long(held.failed),
        created_at=held.created_at,
    )


def _delivery(row: DeliveryRow) -> WebhookDelivery:
    return WebhookDelivery(
        position=Long(row.position),
        round=row.round,
        state=row.state,
        attempts=row.attempts,
        delivered_at=row.delivered_at,
        status=row.status,
        next_attempt_at=row.next_attempt_at,
        said=row.said,
    )
