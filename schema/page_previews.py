"""A look at a profile's hosted page before it is saved."""

import strawberry

from ledger.page_previews import preview_url
from schema.catalogue_changes import PreferenceCenterInput, page_patch
from schema.context import Info
from schema.inputs import LEFT_OUT, change, given
from schema.node_ids import NodeKind, ref


@strawberry.type
class PagePreviewQuery:
    @strawberry.field(
        description="A link, good for an hour, to the profile's page as it would look with these changes: what is left out "
        "is as it is, null clears. Nothing is saved, now or there. Needs the scope admin."
    )
    async def preference_center_preview(
        self,
        info: Info,
        *,
        profile: str = "default",
        preference_center: PreferenceCenterInput | None = LEFT_OUT,
        company_address: str | None = LEFT_OUT,
    ) -> str:
        context = info.context
        context.require("admin")
        return await preview_url(
            context.tenant,
            profile=ref(context.tenant.id, NodeKind.COMPLIANCE_PROFILE, profile),
            preference_center=page_patch(given(preference_center)),
            company_address=change(company_address),
        )
