"""Changing webhooks. Each change is kept: when, by which application, what and why."""

from collections.abc import Awaitable, Callable

import strawberry

from domain.catalogue_commands import Unchanged
from domain.refusals import Refusal
from domain.webhooks import WebhookStatus
from ledger import webhooks
from ledger.history import EventFilter
from ledger.webhooks import Changed
from schema.catalogue_changes import EXPECTED_VERSION, IDEMPOTENCY_KEY
from schema.context import Info, RequestContext
from schema.enums import Channel, ConsentSource, ConsentValue
from schema.inputs import LEFT_OUT, change, given
from schema.node_ids import NodeKind, ref
from schema.refusals import UserError, user_error
from schema.scalars import Long
from schema.webhooks import Webhook, shown_webhook, webhook_of_id

REASON = "Why, for whoever reads the webhook's changes later. It must name nobody."
FROM = "Begin with the event at this position."
AFTER = "Begin after the event with this cursor of consentEvents."


@strawberry.input(description="Which events are sent; all that is given must hold.")
class WebhookFilter:
    types: list[str] | None = LEFT_OUT
    channel: Channel | None = LEFT_OUT
    purpose: str | None = LEFT_OUT
    topic: str | None = LEFT_OUT
    values: list[ConsentValue] | None = LEFT_OUT
    sources: list[ConsentSource] | None = LEFT_OUT
    application: str | None = strawberry.field(
        default=LEFT_OUT, description="The key or id of the application that wrote the event."
    )


@strawberry.input(description="A URL that is sent each event that passes a filter.")
class CreateWebhookInput:
    url: str = strawberry.field(description="https; it is kept sealed, for it may hold a credential.")
    application: str | None = strawberry.field(
        default=LEFT_OUT,
        description="The key or id of the application that then knows of each event: the asking key's own, which is also what "
        "leaving it out means. For another application a key of that application makes the webhook.",
    )
    filter: WebhookFilter | None = strawberry.field(default=LEFT_OUT, description="Left out: every event.")
    include_personal: bool = strawberry.field(
        default=False, description="Send addresses, evidence and actors' ids as well. Needs the scope read:personal."
    )
    from_position: Long | None = strawberry.field(
        default=LEFT_OUT, description=FROM + " Left out: with the next event that is recorded."
    )
    after: str | None = strawberry.field(default=LEFT_OUT, description=AFTER)
    reason: str | None = strawberry.field(default=LEFT_OUT, description=REASON)
    idempotency_key: str | None = strawberry.field(default=LEFT_OUT, description=IDEMPOTENCY_KEY)


@strawberry.input(description="Changes of a webhook: what is left out stays; a filter of null passes everything.")
class UpdateWebhookInput:
    webhook: strawberry.ID
    expected_version: int | None = strawberry.field(default=LEFT_OUT, description=EXPECTED_VERSION)
    url: str | None = LEFT_OUT
    filter: WebhookFilter | None = strawberry.field(
        default=LEFT_OUT,
        description="For what is recorded from now on: what the filter before lets pass and is not sent yet is sent all the "
        "same.",
    )
    include_personal: bool | None = LEFT_OUT
    status: WebhookStatus | None = strawberry.field(
        default=LEFT_OUT, description="PAUSED or ACTIVE, which also resumes a webhook that is held."
    )
    reason: str | None = strawberry.field(default=LEFT_OUT, description=REASON)
    idempotency_key: str | None = strawberry.field(default=LEFT_OUT, description=IDEMPOTENCY_KEY)


@strawberry.type(description="The webhook after the change, or why there was none.")
class WebhookPayload:
    webhook: Webhook | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type(description="The webhook and its new secret, or why there is none.")
class WebhookSecretPayload:
    webhook: Webhook | None = None
    secret: str | None = strawberry.field(
        default=None,
        description="whsec_..., to verify signatures with. Shown here, and within a day to who repeats the mutation with its "
        "idempotencyKey; then never again.",
    )
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type(description="Whether the webhook is gone, or why not.")
class DeleteWebhookPayload:
    deleted: bool = False
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class WebhookMutation:
    @strawberry.mutation(description="Make a webhook. Needs the scopes admin and read.")
    async def create_webhook(self, info: Info, input: CreateWebhookInput) -> WebhookSecretPayload:
        context = _managing(info)
        application = given(input.application)
        return await _with_secret(
            context,
            lambda: webhooks.create_webhook(
                context.tenant,
                context.caller,
                url=input.url,
                application=None if application is None else ref(context.tenant.id, NodeKind.APPLICATION, application),
                event_filter=_filter(context, given(input.filter)),
                personal=input.include_personal,
                from_position=given(input.from_position),
                after=given(input.after),
                reason=given(input.reason),
                idempotency_key=given(input.idempotency_key),
            ),
        )

    @strawberry.mutation(
        description="Change a webhook, pause it or resume it. Needs a key of its application, with the scopes admin and read."
    )
    async def update_webhook(self, info: Info, input: UpdateWebhookInput) -> WebhookPayload:
        context = _managing(info)
        changed = change(input.filter)
        return await _without_secret(
            context,
            lambda: webhooks.update_webhook(
                context.tenant,
                context.caller,
                webhook=webhook_of_id(context, input.webhook),
                expected_version=given(input.expected_version),
                url=change(input.url),
                event_filter=changed if isinstance(changed, Unchanged) else _filter(context, changed),
                personal=change(input.include_personal),
                status=change(input.status),
                reason=given(input.reason),
                idempotency_key=given(input.idempotency_key),
            ),
        )

    @strawberry.mutation(
        description="Give a webhook a new secret. Old ones sign beside it for 24 hours, so that receivers can change over; "
        "one that has leaked is revoked at once. Needs a key of its application, with the scopes admin and read."
    )
    async def rotate_webhook_secret(
        self,
        info: Info,
        webhook: strawberry.ID,
        *,
        revoke_old: bool = False,
        reason: str | None = LEFT_OUT,
        idempotency_key: str | None = LEFT_OUT,
    ) -> WebhookSecretPayload:
        context = _managing(info)
        return await _with_secret(
            context,
            lambda: webhooks.rotate_webhook_secret(
                context.tenant,
                context.caller,
                webhook=webhook_of_id(context, webhook),
                revoke_old=revoke_old,
                reason=given(reason),
                idempotency_key=given(idempotency_key),
            ),
        )

    @strawberry.mutation(
        description="Send everything from a position on once more; resumes a webhook that is held or paused. Nothing can be "
        "skipped. Needs a key of its application, with the scopes admin and read."
    )
    async def redeliver_webhook(
        self,
        info: Info,
        webhook: strawberry.ID,
        from_position: Long | None = LEFT_OUT,
        after: str | None = LEFT_OUT,
        reason: str | None = LEFT_OUT,
        idempotency_key: str | None = LEFT_OUT,
    ) -> WebhookPayload:
        context = _managing(info)
        return await _without_secret(
            context,
            lambda: webhooks.redeliver_webhook(
                context.tenant,
                context.caller,
                webhook=webhook_of_id(context, webhook),
                from_position=given(from_position),
                after=given(after),
                reason=given(reason),
                idempotency_key=given(idempotency_key),
            ),
        )

    @strawberry.mutation(
        description="End a webhook. What it delivered, and when, stays an acknowledgement. Needs a key of its "
        "application, with the scopes admin and read."
    )
    async def delete_webhook(
        self,
        info: Info,
        webhook: strawberry.ID,
        reason: str | None = LEFT_OUT,
        idempotency_key: str | None = LEFT_OUT,
    ) -> DeleteWebhookPayload:
        context = _managing(info)
        try:
            await webhooks.delete_webhook(
                context.tenant,
                context.caller,
                webhook=webhook_of_id(context, webhook),
                reason=given(reason),
                idempotency_key=given(idempotency_key),
            )
        except Refusal as refusal:
            return DeleteWebhookPayload(errors=[user_error(refusal)])
        return DeleteWebhookPayload(deleted=True)


def _managing(info: Info) -> RequestContext:
    context = info.context
    context.require("admin")
    # A webhook reads the log for whoever made it.
    context.require("read")
    context.after_a_change()
    return context


async def _with_secret(context: RequestContext, run: Callable[[], Awaitable[Changed]]) -> WebhookSecretPayload:
    try:
        changed = await run()
    except Refusal as refusal:
        return WebhookSecretPayload(errors=[user_error(refusal)])
    return WebhookSecretPayload(webhook=shown_webhook(context, changed.webhook), secret=changed.secret)


async def _without_secret(context: RequestContext, run: Callable[[], Awaitable[Changed]]) -> WebhookPayload:
    try:
        changed = await run()
    except Refusal as refusal:
        return WebhookPayload(errors=[user_error(refusal)])
    return WebhookPayload(webhook=shown_webhook(context, changed.webhook))


def _filter(context: RequestContext, asked: WebhookFilter | None) -> EventFilter | None:
    if asked is None:
        return None
    tenant = context.tenant.id
    purpose, topic, application = given(asked.purpose), given(asked.topic), given(asked.application)
    types, values, sources = given(asked.types), given(asked.values), given(asked.sources)
    return EventFilter(
        types=None if types is None else tuple(types),
        channel=given(asked.channel),
        purpose=None if purpose is None else ref(tenant, NodeKind.PURPOSE, purpose),
        topic=None if topic is None else ref(tenant, NodeKind.TOPIC, topic),
        values=None if values is None else tuple(values),
        sources=None if sources is None else tuple(sources),
        application=None if application is None else ref(tenant, NodeKind.APPLICATION, application),
    )
