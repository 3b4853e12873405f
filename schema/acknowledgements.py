"""Acknowledgements: which applications know of an event, and since when; and an application's word that it does."""

from datetime import datetime

import strawberry

from domain.refusals import Refusal
from ledger.acknowledgements import acknowledge
from schema.context import Info, RequestContext
from schema.enums import AcknowledgedBy
from schema.inputs import LEFT_OUT, given
from schema.refusals import UserError, user_error
from schema.scalars import Long
from schema.viewer import Application, application


@strawberry.type(description="An application knew of the event at this instant, and by this way first.")
class Acknowledgement:
    key: strawberry.Private[str]
    at: datetime
    by: AcknowledgedBy

    @strawberry.field
    async def application(self, info: Info) -> Application | None:
        return await application(info.context, self.key)


@strawberry.type(description="Up to where the application knows the log, and since when; or why that was not kept.")
class AcknowledgePayload:
    position: Long | None = None
    at: datetime | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class AcknowledgeMutation:
    @strawberry.mutation(
        description="The key's application knows everything up to this position, and stops what it has to. Never backwards; "
        "the same position again changes nothing. Needs the scope read."
    )
    async def acknowledge(
        self, info: Info, position: Long, idempotency_key: str | None = LEFT_OUT
    ) -> AcknowledgePayload:
        context = info.context
        context.require("read")
        context.after_a_change()
        try:
            known = await acknowledge(context.tenant, context.caller, position, idempotency_key=given(idempotency_key))
        except Refusal as refusal:
            return AcknowledgePayload(errors=[user_error(refusal)])
        return AcknowledgePayload(position=Long(known.position), at=known.at)


async def acknowledgements_of_event(context: RequestContext, position: int) -> list[Acknowledgement]:
    """Who knows of an event."""
    context.require("read")
    known = await context.loaders.acknowledgements.load(position) or []
    return [Acknowledgement(key=one.application, at=one.at, by=one.by) for one in known]
