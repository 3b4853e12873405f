"""Sending agents: what each sends for, kept in the catalogue, so that an agent only has to name itself.

An agent is one line of configuration: a profile, a purpose, perhaps a topic, and a channel. It gives no permission of its own:
each message is decided on as if its sender had named all of that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from domain.addresses import Channel


@dataclass(frozen=True, slots=True)
class AgentMessage:
    """What an agent's messages name: keys, which never change."""

    profile: str
    purpose: str
    topic: str | None
    channel: Channel

    def to_data(self) -> dict[str, str]:
        """The wire form."""
        data = {"profile": self.profile, "purpose": self.purpose, "channel": str(self.channel)}
        return data if self.topic is None else {**data, "topic": self.topic}

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> "AgentMessage":
        """What the wire form says."""
        return AgentMessage(data["profile"], data["purpose"], data.get("topic"), Channel(data["channel"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingAgent:
    """An agent as the catalogue knows it. An inactive one may send nothing; what people tell it is still recorded."""

    key: str
    name: str
    active: bool
    message: AgentMessage
    version: int
