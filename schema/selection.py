"""What another enforcement model would change, before it is changed."""

import strawberry

from ledger import selection
from schema.catalogue import ComplianceProfile
from schema.context import Info
from schema.enums import Channel, EnforcementModel
from schema.node_ids import NodeKind, ref
from schema.scalars import Long


@strawberry.type(
    description="How many contact points a change of a purpose's enforcement would turn. Nothing is changed."
)
class EnforcementPreview:
    held: strawberry.Private[selection.EnforcementPreview]
    to_block: int = strawberry.field(description="To how many one may send now, and could no more.")
    to_send: int = strawberry.field(description="To how many one may not send now, and could.")
    position: Long = strawberry.field(description="That of the last event taken account of.")

    @strawberry.field(description="All that share the purpose: the change would be theirs, too.")
    async def profiles(self, info: Info) -> list[ComplianceProfile]:
        view = await info.context.catalogue()
        return [view.profile(key) for key in self.held.profiles]


@strawberry.type
class SelectionQuery:
    @strawberry.field(
        description="How many would turn from send to block and back if the purpose had this model on this channel. "
        "Needs the scope read."
    )
    async def preview_enforcement(
        self, info: Info, purpose: str, channel: Channel, model: EnforcementModel
    ) -> EnforcementPreview:
        context = info.context
        context.require("read")
        held = await selection.preview_enforcement(
            context.tenant, purpose=ref(context.tenant.id, NodeKind.PURPOSE, purpose), channel=channel, model=model
        )
        return EnforcementPreview(held=held, to_block=held.to_block, to_send=held.to_send, position=Long(held.position))
