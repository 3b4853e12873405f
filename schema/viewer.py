"""Who is asking: the application behind the key, its tenant, and the scopes that the key has."""

import strawberry

from domain.catalogue import Catalogue
from schema.catalogue import BusinessUnit
from schema.context import Info, RequestContext
from schema.node_ids import NodeKind, key_node_id
from schema.nodes import Node


@strawberry.type(description="One organisation. Nothing crosses it.")
class Tenant:
    key: str
    name: str
    unit_scoping: bool = strawberry.field(
        description="Off: consent of any business unit counts, after that of the purpose's and the profile's."
    )


@strawberry.type(description="An application that has keys to this tenant.")
class Application(Node):
    key: str
    name: str
    scopes: list[str] = strawberry.field(description="The scopes of all its valid keys together.")


@strawberry.type(description="Who is asking: the application or person behind the credential.")
class Viewer:
    scopes: list[str] = strawberry.field(description="What this key may do; none implies another.")
    actor: str | None = strawberry.field(description="The person, where the credential is a person's.")

    @strawberry.field(description="The unit that the key is bound to: it sees that and those below.")
    async def business_unit(self, info: Info) -> BusinessUnit | None:
        view = await info.context.catalogue()
        return view.unit_if_seen(info.context.caller.unit)

    @strawberry.field
    async def application(self, info: Info) -> Application | None:
        return await application(info.context, info.context.caller.application)

    @strawberry.field
    async def tenant(self, info: Info) -> Tenant:
        return shown_tenant(info.context, (await info.context.catalogue()).catalogue)


@strawberry.type
class ViewerQuery:
    @strawberry.field(description="Who is asking: the application or person behind the credential.")
    def viewer(self, info: Info) -> Viewer:
        return Viewer(scopes=sorted(info.context.caller.scopes | info.context.caller.unit_scopes), actor=None)


def shown_tenant(context: RequestContext, catalogue: Catalogue) -> Tenant:
    """The caller's tenant, with the settings that `catalogue` holds."""
    return Tenant(key=context.tenant.key, name=catalogue.tenant_name, unit_scoping=catalogue.unit_scoping)


async def application(context: RequestContext, key: str | None) -> Application | None:
    """The application with this key."""
    if key is None:
        return None
    row = await context.loaders.applications.load(key)
    if row is None:
        return None
    return Application(
        id=key_node_id(context.tenant.id, NodeKind.APPLICATION, key),
        key=key,
        name=row.name,
        scopes=list(row.scopes),
    )
