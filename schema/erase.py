"""Erasing a contact point."""

import strawberry

from domain.refusals import Refusal
from ledger.erasure import erase_contact_point
from schema.context import Info
from schema.enums import Channel
from schema.history import ConsentEvent, shown_event
from schema.inputs import LEFT_OUT, given
from schema.refusals import UserError, user_error


@strawberry.input(description="Which contact point to erase, and why.")
class EraseContactPointInput:
    channel: Channel = Channel.EMAIL
    address: str
    keep_suppression: bool = strawberry.field(
        default=True,
        description="Keep blocking the address: for everything commercial, for tracking, and for whatever else it was "
        "opted out of, until the person opts in again.",
    )
    reason: str = strawberry.field(
        description="Stays in the log for ever: it must name nobody. A ticket's name will do."
    )
    idempotency_key: str | None = strawberry.field(
        default=LEFT_OUT, description="The same key and the same input give the first answer again."
    )


@strawberry.type(description="What became of an erasure.")
class EraseContactPointPayload:
    erased_events: int = strawberry.field(default=0, description="How many events lost what was personal of them.")
    certificate: ConsentEvent | None = strawberry.field(default=None, description="The event that certifies it.")
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class EraseMutation:
    @strawberry.mutation(
        description="Destroy everything personal of a contact point. Its history stays, and still verifies. Needs the scope "
        "erase."
    )
    async def erase_contact_point(self, info: Info, input: EraseContactPointInput) -> EraseContactPointPayload:
        context = info.context
        context.require("erase")
        context.after_a_change()
        try:
            erased = await erase_contact_point(
                context.tenant,
                context.caller,
                channel=input.channel,
                address=input.address,
                reason=input.reason,
                keep_suppression=input.keep_suppression,
                idempotency_key=given(input.idempotency_key),
            )
        except Refusal as refusal:
            return EraseContactPointPayload(errors=[user_error(refusal)])
        return EraseContactPointPayload(
            erased_events=erased.events, certificate=shown_event(context, erased.certificate)
        )
