"""Finding what has an id by that id. What is no id of this tenant finds nothing."""

import asyncio

import strawberry

from domain.refusals import LimitExceeded
from schema.contact_points import shown_contact_point
from schema.context import Info, RequestContext
from schema.history import shown_event
from schema.node_ids import NodeKind, NodeName, read_node_id
from schema.nodes import Node
from schema.viewer import application
from schema.webhooks import found_webhook

NODES_MAX = 1_000


@strawberry.type
class NodeQuery:
    @strawberry.field(description="What has this id; null where there is no such thing.")
    async def node(self, info: Info, id: strawberry.ID) -> Node | None:
        return await _node(info.context, id)

    @strawberry.field(description="The same for up to 1,000 ids, in the order asked.")
    async def nodes(self, info: Info, ids: list[strawberry.ID]) -> list[Node | None]:
        if len(ids) > NODES_MAX:
            raise LimitExceeded("ids", NODES_MAX, len(ids))
        # An exception among the results is the error of that item alone.
        found = await asyncio.gather(*(_node(info.context, id) for id in ids), return_exceptions=True)
        return found  # pyright: ignore[reportReturnType]


async def _node(context: RequestContext, node_id: str) -> Node | None:
    name = read_node_id(context.tenant.id, node_id)
    return None if name is None else await _FINDERS[name.kind](context, name)


async def _application(context: RequestContext, name: NodeName) -> Node | None:
    key = name.key()
    if key != context.caller.application:
        context.require("read")
    return await application(context, key)


async def _compliance_profile(context: RequestContext, name: NodeName) -> Node | None:
    view = await context.catalogue()
    return view.profile(name.key()) if name.key() in view.catalogue.profiles else None


async def _business_unit(context: RequestContext, name: NodeName) -> Node | None:
    return (await context.catalogue()).unit_if_seen(name.key())


async def _purpose(context: RequestContext, name: NodeName) -> Node | None:
    view = await context.catalogue()
    return view.purpose(name.key()) if name.key() in view.catalogue.purposes else None


async def _topic(context: RequestContext, name: NodeName) -> Node | None:
    view = await context.catalogue()
    return view.topic(name.key()) if name.key() in view.catalogue.topics else None


async def _contact_point(context: RequestContext, name: NodeName) -> Node | None:
    context.require_in_unit("read")
    contact_point = name.contact_point()
    held = None if contact_point is None else await context.loaders.contact_points.load(contact_point)
    return None if held is None else shown_contact_point(context, held)


async def _event(context: RequestContext, name: NodeName) -> Node | None:
    context.require_in_unit("read")
    place = name.event()
    if place is None:
        return None
    position, event_id = place
    event = await context.loaders.events.load(position)
    return None if event is None or event.entry.event_id != event_id else shown_event(context, event)


async def _webhook(context: RequestContext, name: NodeName) -> Node | None:
    context.require("read")
    webhook = name.uuid()
    return None if webhook is None else await found_webhook(context, webhook)


_FINDERS = {
    NodeKind.APPLICATION: _application,
    NodeKind.BUSINESS_UNIT: _business_unit,
    NodeKind.COMPLIANCE_PROFILE: _compliance_profile,
    NodeKind.PURPOSE: _purpose,
    NodeKind.TOPIC: _topic,
    NodeKind.CONTACT_POINT: _contact_point,
    NodeKind.EVENT: _event,
    NodeKind.WEBHOOK: _webhook,
}
