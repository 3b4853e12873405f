"""Finding and listing compliance profiles, purposes, topics and business units. Any valid key may."""

import strawberry

from ledger import catalogue
from schema.catalogue import BusinessUnit, ComplianceProfile, Purpose, Topic
from schema.connections import PAGE_DEFAULT, Connection, connection
from schema.context import Info
from schema.inputs import LEFT_OUT, given
from schema.node_ids import NodeKind
from schema.node_ids import ref as key_of


@strawberry.type
class CatalogueQuery:
    @strawberry.field(description="The profile with this key or id.")
    async def compliance_profile(self, info: Info, ref: str) -> ComplianceProfile | None:
        view = await info.context.catalogue()
        found = view.catalogue.profile(key_of(view.tenant, NodeKind.COMPLIANCE_PROFILE, ref), field="ref")
        return view.profile(found.key)

    @strawberry.field(description="The profiles, in the order in which they were made.")
    async def compliance_profiles(
        self,
        info: Info,
        *,
        include_inactive: bool = False,
        first: int | None = PAGE_DEFAULT,
        after: str | None = LEFT_OUT,
    ) -> Connection[ComplianceProfile]:
        view = await info.context.catalogue()
        page = catalogue.profiles(
            info.context.tenant, view.catalogue, include_inactive=include_inactive, first=first, after=given(after)
        )
        return connection(page, lambda profile: view.profile(profile.key))

    @strawberry.field(description="The purpose with this key, id or GUID.")
    async def purpose(self, info: Info, ref: str) -> Purpose | None:
        view = await info.context.catalogue()
        return view.purpose(view.catalogue.purpose(key_of(view.tenant, NodeKind.PURPOSE, ref), field="ref").key)

    @strawberry.field(description="The topic with this key, id or GUID.")
    async def topic(self, info: Info, ref: str) -> Topic | None:
        view = await info.context.catalogue()
        return view.topic(view.catalogue.topic(key_of(view.tenant, NodeKind.TOPIC, ref), field="ref").key)

    @strawberry.field(description="The business units, each after the one above it.")
    async def business_units(self, info: Info) -> list[BusinessUnit]:
        view = await info.context.catalogue()
        return [view.unit(key) for key in view.catalogue.units]
