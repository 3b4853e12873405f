"""Changing the catalogue and the tenant's settings: events of one stream, decided on the present catalogue."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Generic, TypeVar

from domain import catalogue_commands as commands
from domain import presets
from domain.agents import SendingAgent
from domain.catalogue import BusinessUnit, Catalogue, ComplianceProfile, Purpose, Topic
from domain.catalogue_import import after_drafts, as_said, changes_by_item
from domain.changed_settings import changed_settings
from domain.consent import ActorKind
from domain.events import CURRENT_VERSIONS, CatalogueDraft, EventType
from domain.loosening import loosened
from domain.presets import PresetKey
from domain.refusals import Refusal, RefusalCode
from domain.unit_scope import Decide
from eventstore.command import Command, Draft, IndexColumns
from ledger.assembly import Caller, Tenant
from ledger.idempotency import append, stored_key
from ledger.pages import Page, cursor, no_cursor, page_size, place_of
from projections.catalogue import CATALOGUE_STREAM

PROFILES = "compliance-profile"
Item = TypeVar("Item", BusinessUnit, ComplianceProfile, Purpose, Topic, SendingAgent)


@dataclass(frozen=True, slots=True)
class Changed(Generic[Item]):
    """What was made or changed, in the catalogue as it was right after."""

    item: Item
    catalogue: Catalogue


@dataclass(frozen=True, slots=True)
class ImportedCatalogue:
    """Of a catalogue file: its items, how many of them changed something, and the events that they led to.

    `looser` says which settings are laxer now, where that was allowed; `left` which the file has otherwise, and stayed.
    """

    items: int
    changed: int
    events: int
    looser: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


async def change(
    tenant: Tenant,
    caller: Caller,
    name: str,
    decide: Decide,
    fields: Mapping[str, Any],
    idempotency_key: str | None,
    *,
    actor: ActorKind = ActorKind.USER,
) -> tuple[Catalogue, int]:
    """(the catalogue after the change, the number of events). Raises Refusal, StoreUnavailable.

    With an idempotency key that was used before: the catalogue as it was after the events of then.
    """

    def drafts(_: datetime) -> list[Draft]:
        return [_draft(draft, actor) for draft in tenant.decided(decide)]

    appended = await append(
        tenant,
        Command(
            decide=drafts,
            application=caller.application,
            stream=CATALOGUE_STREAM,
            idempotency=stored_key(tenant, caller.application, idempotency_key, name, fields),
            moves_catalogue=True,
        ),
    )
    if not appended.entries:
        return tenant.catalogue, 0
    position = appended.entries[-1].position
    await tenant.refresh_catalogue(position)
    return tenant.catalogue_at(position), len(appended.entries)


def subject_of(event_type: str, data: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The keys of the purpose and the topic that an event is about, by which filters find it."""
    if event_type in (EventType.TOPIC_CREATED, EventType.TOPIC_UPDATED):
        return data["purpose"], data["key"]
    if event_type in (EventType.PURPOSE_CREATED, EventType.PURPOSE_UPDATED, EventType.PURPOSE_OPT_IN_RULES_SET):
        return data["key"], None
    return data.get("purpose"), data.get("topic")


def _draft(draft: CatalogueDraft, actor: ActorKind) -> Draft:
    purpose, topic = subject_of(draft.type, draft.data)
    return Draft(
        type=draft.type,
        version=CURRENT_VERSIONS[draft.type],
        data=draft.data,
        effective_at=None,
        actor=actor,
        columns=IndexColumns(purpose=purpose, topic=topic),
    )


async def first_events(tenant: Tenant, decide: Callable[[], Sequence[CatalogueDraft]]) -> None:
    """Write a new tenant's first events, unless they are there."""

    def unless_there(catalogue: Catalogue) -> Sequence[CatalogueDraft]:
        return decide() if catalogue.position < 0 else ()

    await change(tenant, Caller(None, frozenset()), "createTenant", unless_there, {}, None, actor=ActorKind.SYSTEM)


async def create_business_unit(
    tenant: Tenant, caller: Caller, *, idempotency_key: str | None = None, **fields: Any
) -> Changed[BusinessUnit]:
    """Make a business unit; see `domain.catalogue_commands.create_business_unit`."""
    after, _ = await change(
        tenant,
        caller,
        "createBusinessUnit",
        lambda catalogue: commands.create_business_unit(
            catalogue, key=fields["key"], name=fields["name"], parent=fields.get("parent") or tenant.unit
        ),
        fields,
        idempotency_key,
    )
    return Changed(after.unit(fields["key"]), after)


async def create_profile(
    tenant: Tenant, caller: Caller, *, idempotency_key: str | None = None, **fields: Any
) -> Changed[ComplianceProfile]:
    """Make a profile; see `domain.catalogue_commands.create_profile`."""
    after, _ = await change(
        tenant,
        caller,
        "createComplianceProfile",
        lambda catalogue: commands.create_profile(catalogue, **_owned(tenant, fields)),
        fields,
        idempotency_key,
    )
    return Changed(after.profile(fields["key"]), after)


async def update_profile(
    tenant: Tenant, caller: Caller, *, idempotency_key: str | None = None, **fields: Any
) -> Changed[ComplianceProfile]:
    """Change a profile; see `domain.catalogue_commands.update_profile`."""
    after, _ = await change(
        tenant,
        caller,
        "updateComplianceProfile",
        lambda catalogue: commands.update_profile(catalogue, **fields),
        given_fields(fields),
        idempotency_key,
    )
    return Changed(after.profile(fields["ref"]), after)


@dataclass(frozen=True, slots=True)
class PresetApplied:
    """A profile that has a preset, and which settings that changed, as words; none where it had it already."""

    profile: ComplianceProfile
    changes: tuple[str, ...]


async def apply_preset(
    tenant: Tenant, caller: Caller, *, profile: str, preset: PresetKey, idempotency_key: str | None = None
) -> Changed[ComplianceProfile]:
    """Bring a profile up to a preset; see `domain.presets.apply_preset`."""
    after, _ = await change(
        tenant,
        caller,
        "applyCompliancePreset",
        lambda catalogue: presets.apply_preset(catalogue, profile=profile, preset=preset),
        {"profile": profile, "preset": preset},
        idempotency_key,
    )
    return Changed(after.profile(profile), after)


async def apply_preset_telling(
    tenant: Tenant, caller: Caller, *, profile: str, preset: PresetKey, dry_run: bool
) -> PresetApplied:
    """Bring a profile up to a preset, or only say what that would change. Raises Refusal NOT_FOUND, StoreUnavailable."""
    told: list[PresetApplied] = []

    def decide(catalogue: Catalogue) -> list[CatalogueDraft]:
        drafts = presets.apply_preset(catalogue, profile=profile, preset=preset)
        after = after_drafts(catalogue, drafts)
        told.append(PresetApplied(after.profile(profile), tuple(changed_settings(catalogue, after))))
        return drafts

    if dry_run:
        decide(await tenant.latest_catalogue())
    else:
        await change(tenant, caller, "applyCompliancePreset", decide, {"profile": profile, "preset": preset}, None)
    # A decision that has to be made again is told as it was made last.
    return told[-1]


async def create_purpose(
    tenant: Tenant, caller: Caller, *, idempotency_key: str | None = None, **fields: Any
) -> Changed[Purpose]:
    """Make a purpose; see `domain.catalogue_commands.create_purpose`."""
    after, _ = await change(
        tenant,
        caller,
        "createPurpose",
        lambda catalogue: commands.create_purpose(catalogue, **_owned(tenant, fields)),
        fields,
        idempotency_key,
    )
    return Changed(after.purpose(fields["key"]), after)


async def update_purpose(
    tenant: Tenant, caller: Caller, *, idempotency_key: str | None = None, **fields: Any
) -> Changed[Purpose]:
    """Change a purpose; see `domain.catalogue_commands.update_purpose`."""
    after, _ = await change(
        tenant,
        caller,
        "updatePurpose",
        lambda catalogue: commands.update_purpose(catalogue, **fields),
        given_fields(fields),
        idempotency_key,
    )
    return Changed(after.purpose(fields["ref"]), after)


async def add_purpose_to_profile(
    tenant: Tenant, caller: Caller, *, profile: str, purpose: str, idempotency_key: str | None = None
) -> Changed[ComplianceProfile]:
    """Share a purpose with a further profile."""
    after, _ = await change(
        tenant,
        caller,
        "addPurposeToProfile",
        lambda catalogue: commands.add_purpose_to_profile(catalogue, profile=profile, purpose=purpose),
        {"profile": profile, "purpose": purpose},
        idempotency_key,
    )
    return Changed(after.profile(profile), after)


async def create_topic(
    tenant: Tenant, caller: Caller, *, idempotency_key: str | None = None, **fields: Any
) -> Changed[Topic]:
    """Make a topic; see `domain.catalogue_commands.create_topic`."""
    after, _ = await change(
        tenant,
        caller,
        "createTopic",
        lambda catalogue: commands.create_topic(catalogue, **fields),
        fields,
        idempotency_key,
    )
    return Changed(after.topic(fields["key"]), after)


async def update_topic(
    tenant: Tenant, caller: Caller, *, idempotency_key: str | None = None, **fields: Any
) -> Changed[Topic]:
    """Change a topic; see `domain.catalogue_commands.update_topic`."""
    after, _ = await change(
        tenant,
        caller,
        "updateTopic",
        lambda catalogue: commands.update_topic(catalogue, **fields),
        given_fields(fields),
        idempotency_key,
    )
    return Changed(after.topic(fields["ref"]), after)


async def update_tenant(
    tenant: Tenant, caller: Caller, *, idempotency_key: str | None = None, **fields: Any
) -> Catalogue:
    """Change the tenant's name or settings; see `domain.catalogue_commands.update_tenant`."""
    after, _ = await change(
        tenant,
        caller,
        "updateTenant",
        lambda catalogue: commands.update_tenant(catalogue, **fields),
        given_fields(fields),
        idempotency_key,
    )
    return after


def profiles(
    tenant: Tenant, catalogue: Catalogue, *, include_inactive: bool, first: int | None = None, after: str | None = None
) -> Page[ComplianceProfile]:
    """A page of the profiles, in the order in which they were made. Raises Refusal INVALID, LimitExceeded."""
    size = page_size("first", first)
    listed = [profile for profile in catalogue.profiles.values() if include_inactive or profile.active]
    rest = listed
    if after is not None:
        key = place_of(tenant, PROFILES, after, field="after")
        if key not in catalogue.profiles:
            raise no_cursor("after")
        # The one that the cursor names may be inactive by now: it keeps its place among all of them.
        before = set(islice(catalogue.profiles, list(catalogue.profiles).index(key) + 1))
        rest = [profile for profile in listed if profile.key not in before]

    async def total_count() -> int:
        return len(listed)

    items = [(cursor(tenant, PROFILES, profile.key), profile) for profile in rest[:size]]
    return Page(items, len(rest) > size, len(rest) < len(listed), total_count)


async def import_catalogue(
    tenant: Tenant, caller: Caller, document: object, *, dry_run: bool = False, allow_looser: bool = False
) -> ImportedCatalogue:
    """Make what a catalogue file has and the catalogue lacks, and note its GUIDs.

    A file may be older than what was set since: what would make a setting laxer is refused, unless `allow_looser`. So is a file
    that has something stricter than what is there, and would leave that as it is. `dry_run` only says what there would be.
    Raises Refusal with the path in the file.
    """
    changes: list[list[CatalogueDraft]] = []
    looser: list[str] = []
    left: list[str] = []

    def decide(catalogue: Catalogue) -> list[CatalogueDraft]:
        changes[:] = changes_by_item(catalogue, document)
        drafts = [draft for drafts in changes for draft in drafts]
        after, said = after_drafts(catalogue, drafts), as_said(catalogue, document)
        looser[:] = loosened(catalogue, after)
        if looser and not allow_looser:
            raise Refusal(
                RefusalCode.INVALID,
                f"this would make laxer what is set now: {'; '.join(looser)}. Nothing was changed; if all of it is meant, say"
                " so: --allow-looser, over HTTP allowLooser=true",
                ("overwrite",),
            )
        stays_laxer = loosened(said, after)
        if stays_laxer:
            raise Refusal(
                RefusalCode.INVALID,
                f"the file is stricter than what is there and would stay (the file's -> what stays): {'; '.join(stays_laxer)}."
                ' Nothing was changed. For what is there to become as the file says, it says "overwrite": true; what it is not'
                " to change, it leaves out",
                ("overwrite",),
            )
        left[:] = changed_settings(after, said)
        return drafts

    if dry_run:
        decide(await tenant.latest_catalogue())
    else:
        await change(tenant, caller, "importCatalogue", decide, {}, None)
    return ImportedCatalogue(len(changes), sum(map(bool, changes)), sum(map(len, changes)), tuple(looser), tuple(left))


def _owned(tenant: Tenant, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of what is made: owned, where nothing is said, by the unit that whoever asks is bound to."""
    return {**fields, "business_unit": fields.get("business_unit") or tenant.unit}


def given_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an update that were given, None (which clears) told apart from not given."""
    return {
        name: "\0cleared" if value is None else value
        for name, value in fields.items()
        if value is not commands.UNCHANGED
    }
