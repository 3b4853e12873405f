"""Presets for jurisdictions: what each sets and why, and applying one to a profile."""

import strawberry

from domain.presets import NO_ADVICE, PRESETS, Preset
from domain.refusals import Refusal
from ledger import catalogue
from schema.catalogue_changes import ComplianceProfilePayload, admin_within_unit, profile_payload
from schema.context import Info
from schema.enums import PresetKey
from schema.inputs import LEFT_OUT, given
from schema.node_ids import NodeKind, ref
from schema.refusals import user_error


@strawberry.type(description="One setting of a preset: what it raises, to what, why, and where that stands.")
class CompliancePresetSetting:
    what: str
    value: str = strawberry.field(description="To at least this: what is stricter already stays.")
    why: str
    source: str


@strawberry.type(description=f"What the rules of a jurisdiction ask of a profile, as settings. {NO_ADVICE}")
class CompliancePreset:
    key: PresetKey
    name: str
    about: str
    settings: list[CompliancePresetSetting]


@strawberry.type
class PresetQuery:
    @strawberry.field(description=f"The presets that there are. {NO_ADVICE}")
    def compliance_presets(self) -> list[CompliancePreset]:
        return [_shown(preset) for preset in PRESETS.values()]


@strawberry.type
class PresetMutation:
    @strawberry.mutation(
        description="Raise a profile, and its purposes in every profile that shares them, to a preset. Applying several, in any "
        "order, gives the strictest of each; every setting can be changed afterwards. Needs the scope admin."
    )
    async def apply_compliance_preset(
        self,
        info: Info,
        profile: str,
        preset: PresetKey,
        idempotency_key: str | None = LEFT_OUT,
    ) -> ComplianceProfilePayload:
        context = admin_within_unit(info)
        try:
            changed = await catalogue.apply_preset(
                context.tenant,
                context.caller,
                profile=ref(context.tenant.id, NodeKind.COMPLIANCE_PROFILE, profile),
                preset=preset,
                idempotency_key=given(idempotency_key),
            )
        except Refusal as refusal:
            return ComplianceProfilePayload(errors=[user_error(refusal)])
        return profile_payload(context, changed)


def _shown(preset: Preset) -> CompliancePreset:
    return CompliancePreset(
        key=preset.key,
        name=preset.name,
        about=preset.about,
        settings=[
            CompliancePresetSetting(what=one.what, value=one.value, why=one.why, source=one.source)
            for one in preset.settings
        ],
    )
