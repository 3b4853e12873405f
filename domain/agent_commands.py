"""Changes of sending agents: each command is handed the present catalogue and gives the events, or refuses.

An agent is set to what a new message may name today. What becomes inactive later stops it by itself, message by message.
"""

from typing import Any

from domain.addresses import Channel
from domain.agents import AgentMessage
from domain.catalogue import DEFAULT_PROFILE, Catalogue, PurposeType, by_keys
from domain.catalogue_commands import NAME_CHARS_MAX, UNCHANGED, Unchanged
from domain.events import CatalogueDraft, EventType
from domain.refusals import Refusal, RefusalCode
from domain.text import clean_key, clean_text


def create_agent(
    catalogue: Catalogue,
    *,
    key: str,
    name: str,
    purpose: str,
    profile: str = DEFAULT_PROFILE,
    topic: str | None = None,
    channel: Channel = Channel.EMAIL,
) -> list[CatalogueDraft]:
    """An agent that sends for this purpose. Raises Refusal ALREADY_EXISTS, INVALID, and what a new message is refused for."""
    if clean_key(key, field="key") in catalogue.agents:
        raise Refusal(RefusalCode.ALREADY_EXISTS, f"there is an agent {key} already", ("key",))
    message = _message(catalogue, profile, purpose, topic, channel)
    return [
        CatalogueDraft(EventType.AGENT_CONFIGURED, {"key": key, "name": _name(name), "message": message.to_data()}),
    ]


def update_agent(
    catalogue: Catalogue,
    *,
    ref: str,
    expected_version: int | None = None,
    name: str | None | Unchanged = UNCHANGED,
    profile: str | None | Unchanged = UNCHANGED,
    purpose: str | None | Unchanged = UNCHANGED,
    topic: str | None | Unchanged = UNCHANGED,
    channel: Channel | None | Unchanged = UNCHANGED,
    active: bool | None | Unchanged = UNCHANGED,
) -> list[CatalogueDraft]:
    """Change an agent; of what its messages name, only a topic can be cleared.

    Raises Refusal NOT_FOUND, VERSION_CONFLICT, INVALID, and what a new message is refused for.
    """
    held = catalogue.agent(ref, field="ref")
    if expected_version is not None and expected_version != held.version:
        raise Refusal(
            RefusalCode.VERSION_CONFLICT,
            f"it was changed meanwhile: its version is {held.version}, not {expected_version}; read it again",
            ("expectedVersion",),
        )
    changes: dict[str, Any] = {}
    if not isinstance(name, Unchanged) and _name(name) != held.name:
        changes["name"] = _name(name)
    if isinstance(active, bool) and active != held.active:
        changes["active"] = active
    if any(not isinstance(value, Unchanged) for value in (profile, purpose, topic, channel)):
        held_purpose, held_topic = by_keys((held.message.purpose, held.message.topic))
        message = _message(
            catalogue,
            _kept(profile, held.message.profile, "profile"),
            _kept(purpose, held_purpose, "purpose"),
            held_topic if isinstance(topic, Unchanged) else topic,
            _kept(channel, held.message.channel, "channel"),
        )
        if message != held.message:
            changes["message"] = message.to_data()
    return [CatalogueDraft(EventType.AGENT_UPDATED, {"key": held.key, **changes})] if changes else []


def _message(catalogue: Catalogue, profile: str, purpose: str, topic: str | None, channel: Channel) -> AgentMessage:
    subject = catalogue.message(profile, purpose, topic)
    if subject.purpose.type is PurposeType.TRACKING:
        raise Refusal(
            RefusalCode.INVALID, "an agent sends messages; a purpose of type TRACKING is for none", ("purpose",)
        )
    return AgentMessage(
        subject.profile.key, subject.purpose.key, None if subject.topic is None else subject.topic.key, channel
    )


def _kept(value: Any, held: Any, field: str) -> Any:
    if isinstance(value, Unchanged):
        return held
    if value is None:
        raise Refusal(RefusalCode.INVALID, f"an agent has a {field}: it cannot be cleared", (field,))
    return value


def _name(name: str | None) -> str:
    return clean_text(name, field="name", chars_max=NAME_CHARS_MAX, required=True) or ""
