"""What one business unit sees of a catalogue, and which changes of it are its own (docs/decisions/business-units.md).

A unit sees itself and the units below it, what these own, and the purposes that their profiles share, topics included. What
it does not see is not there: every ref to it is NOT_FOUND. It changes only what it and the units below it own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from domain.catalogue import BusinessUnit, Catalogue
from domain.events import CatalogueDraft, EventType
from domain.refusals import Refusal, RefusalCode

Decide = Callable[[Catalogue], Sequence[CatalogueDraft]]


def subtree(units: Mapping[str, BusinessUnit], unit: str) -> frozenset[str]:
    """A unit and all below it; nothing where it is not there. Each unit stands after the one above it."""
    seen = {unit} if unit in units else set[str]()
    for key, held in units.items():
        if held.parent in seen:
            seen.add(key)
    return frozenset(seen)


def seen_from(catalogue: Catalogue, unit: str) -> Catalogue:
    """The catalogue as a unit sees it; the tenant's settings and the log's keys are everybody's."""
    own = subtree(catalogue.units, unit)
    profiles = {key: profile for key, profile in catalogue.profiles.items() if profile.unit in own}
    shared = {key for profile in profiles.values() for key in profile.purposes}
    purposes = {key: held for key, held in catalogue.purposes.items() if held.unit in own or key in shared}
    topics = {key: topic for key, topic in catalogue.topics.items() if topic.purpose in purposes}
    return replace(
        catalogue,
        units={key: held for key, held in catalogue.units.items() if key in own},
        profiles=profiles,
        purposes=purposes,
        topics=topics,
        agents={key: agent for key, agent in catalogue.agents.items() if agent.message.profile in profiles},
        purpose_guids={guid: key for guid, key in catalogue.purpose_guids.items() if key in purposes},
        topic_guids={guid: key for guid, key in catalogue.topic_guids.items() if key in topics},
    )


def owned_purposes(seen: Catalogue) -> list[str]:
    """Of the purposes that a unit sees, those that it or a unit below it owns: their records are its own."""
    return [key for key, purpose in seen.purposes.items() if purpose.unit in seen.units]


def decide_within(decide: Decide, seen: Catalogue, whole: Catalogue) -> Sequence[CatalogueDraft]:
    """What a command leads to that a unit gives: first by what it sees, then by the whole, for keys are taken tenant-wide.

    Raises what the command does, and Refusal INVALID where it would change what belongs to another unit.
    """
    decide(seen)
    drafts = decide(whole)
    made: dict[str, str] = {}
    for draft in drafts:
        owner = _OWNER[draft.type](seen, draft) if draft.type in _OWNER else None
        if draft.type is EventType.PURPOSE_CREATED:
            made[draft.data["key"]] = draft.data["unit"]
        elif draft.type is EventType.PURPOSE_OPT_IN_RULES_SET:
            owner = made.get(draft.data["key"], owner)
        if draft.type is not EventType.SIGNING_KEY_ADDED and owner not in seen.units:
            raise Refusal(
                RefusalCode.INVALID,
                "this belongs to another business unit, or to the whole tenant: a key of a unit changes what is its own",
            )
        # The same ref may name a hidden purpose's key and a seen one's GUID: what is reached is looked at, not what was asked.
        reached = {*draft.data.get("purposes", ()), draft.data.get("purpose")} - made.keys() - {None}
        if not reached <= seen.purposes.keys():
            raise Refusal(RefusalCode.NOT_FOUND, "there is no purpose with this key, id or GUID", ("purpose",))
    return drafts


def _unit_of_purpose(seen: Catalogue, key: str) -> str | None:
    held = seen.purposes.get(key)
    return None if held is None else held.unit


def _unit_of_profile(seen: Catalogue, key: str) -> str | None:
    held = seen.profiles.get(key)
    return None if held is None else held.unit


# The unit whose own each change is; a type that is not here is the whole tenant's.
_OWNER: Mapping[EventType, Callable[[Catalogue, CatalogueDraft], str | None]] = {
    EventType.BUSINESS_UNIT_CREATED: lambda _, draft: draft.data["parent"],
    EventType.COMPLIANCE_PROFILE_CREATED: lambda _, draft: draft.data["unit"],
    EventType.COMPLIANCE_PROFILE_UPDATED: lambda seen, draft: _unit_of_profile(seen, draft.data["key"]),
    EventType.PURPOSE_CREATED: lambda _, draft: draft.data["unit"],
    EventType.PURPOSE_UPDATED: lambda seen, draft: _unit_of_purpose(seen, draft.data["key"]),
    EventType.PURPOSE_OPT_IN_RULES_SET: lambda seen, draft: _unit_of_purpose(seen, draft.data["key"]),
    EventType.COMPLIANCE_PRESET_APPLIED: lambda seen, draft: _unit_of_profile(seen, draft.data["profile"]),
    EventType.PURPOSE_ADDED_TO_PROFILE: lambda seen, draft: _unit_of_profile(seen, draft.data["profile"]),
    EventType.TOPIC_CREATED: lambda seen, draft: _unit_of_purpose(seen, draft.data["purpose"]),
    EventType.TOPIC_UPDATED: lambda seen, draft: _unit_of_purpose(seen, draft.data["purpose"]),
}
