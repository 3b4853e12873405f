"""What the tools answer: a structure for programs, and words whose first ones cannot be misread."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

DO_NOT_SEND = "DO NOT SEND"
NOT_ENFORCED = "RECORDED, NOT ENFORCED"
YOU_MAY_SEND = "You may send"


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Reason(_Answer):
    """Why, at one level."""

    code: str
    message: str
    purpose: str
    topic: str | None
    value: str
    enforcement: str
    position: int | None = Field(description="Of the event that set the value.")


class Header(_Answer):
    """A header of the message."""

    name: str
    value: str


class Unsubscribe(_Answer):
    """What goes into the message."""

    preference_center_url: str
    one_click_url: str | None
    headers: list[Header]


class CheckAnswer(_Answer):
    """May this message go?"""

    decision: Literal["DO NOT SEND", "YOU MAY SEND"]
    allowed: bool
    address: str = Field(description="Exactly as asked.")
    agent: str | None
    profile: str
    purpose: str
    topic: str | None
    channel: str
    tracking_allowed: bool = Field(description="Whether opens and clicks may be tracked.")
    reasons: list[Reason] = Field(description="The first is the one that decided.")
    position: int = Field(description="The log position at which it was decided.")
    decided_at: str
    unsubscribe: Unsubscribe | None = Field(description="To be put into the message. Null where it may not be sent.")
    receipt: str = Field(description="A signed statement of this decision: keep it with the message.")

    def words(self) -> str:
        """The answer as text."""
        subject = _subject(self)
        lines = [f"{YOU_MAY_SEND} {subject}." if self.allowed else f"{DO_NOT_SEND} {subject}."]
        lines += [f"{reason.code}: {reason.message}" for reason in self.reasons]
        if self.allowed:
            lines.append("This holds for this one message, now: ask again before the next.")
            lines.append(f"Tracking of opens and clicks: {'allowed' if self.tracking_allowed else 'NOT allowed'}.")
        if self.unsubscribe is not None:
            lines += ["Put into the message:", *_unsubscribe_words(self.unsubscribe)]
        lines.append(f"Decided at log position {self.position}, {self.decided_at}. Receipt, to keep:")
        lines.append(self.receipt)
        return "\n".join(lines)


class LinkAnswer(_Answer):
    """The links for one message, beside the decision: a link is no permission."""

    decision: Literal["DO NOT SEND", "YOU MAY SEND"]
    allowed: bool
    address: str
    agent: str | None
    profile: str
    purpose: str
    topic: str | None
    channel: str
    unsubscribe: Unsubscribe

    def words(self) -> str:
        """The answer as text."""
        subject = _subject(self)
        first = f"{YOU_MAY_SEND} {subject}." if self.allowed else f"{DO_NOT_SEND} {subject}. A link is no permission."
        return "\n".join([first, "The person's link:", *_unsubscribe_words(self.unsubscribe)])


class RecordedOptOut(_Answer):
    """One opt-out, recorded."""

    position: int
    purpose: str
    topic: str | None
    allowed: bool = Field(description="Whether check_consent lets messages go there all the same.")
    reason: str | None = Field(description="Why: ENFORCEMENT_DISABLED, say. Null where it lets none go.")
    message: str | None = Field(description="The same as a sentence.")

    def level(self) -> str:
        """What it is an opt-out of."""
        return self.purpose if self.topic is None else f"{self.purpose} (topic {self.topic})"

    def why_allowed(self) -> str:
        """What is to be known of it where messages go all the same."""
        enforced = self.reason != "ENFORCEMENT_DISABLED"
        why = self.message if enforced else f"Purpose {self.purpose} does not enforce consent."
        return f"For {self.level()} it is recorded, but check_consent still lets messages go. {why}"


class OptOutAnswer(_Answer):
    """What was recorded."""

    decision: Literal["DO NOT SEND", "RECORDED, NOT ENFORCED"] = Field(
        description="The second where check_consent lets messages go all the same for all that is opted out of."
    )
    recorded: bool
    repeated: bool = Field(description="Whether the idempotency key had recorded it before.")
    position: int | None
    opted_out: list[RecordedOptOut]

    def words(self) -> str:
        """The answer as text."""
        if not self.recorded:
            return f"{DO_NOT_SEND}. There is no purpose to opt out of, so nothing was recorded."
        blocked = ", ".join(one.level() for one in self.opted_out if not one.allowed)
        said = f"{DO_NOT_SEND} to this address any more for: {blocked}" if blocked else NOT_ENFORCED
        lines = [f"{said}. The opt-out is recorded, at position {self.position}."]
        lines += [one.why_allowed() for one in self.opted_out if one.allowed]
        if len(lines) > 1:
            lines.append("They said no all the same. This answer is no permission: call check_consent before you send.")
        return "\n".join(lines)


class HistoryEvent(_Answer):
    """One event."""

    position: int
    type: str
    recorded_at: str
    effective_at: str | None
    purpose: str | None
    topic: str | None
    value: str | None
    source: str | None
    reason: str | None
    application: str | None
    actor: str
    personal: dict[str, Any] | None = Field(
        description="Evidence. Null without the scope read:personal, or once erased."
    )


class HistoryAnswer(_Answer):
    """What happened at one address."""

    known: bool = Field(description="Whether anything is known of this address.")
    events: list[HistoryEvent] = Field(description="Newest first.")
    next_before_position: int | None = Field(description="Where older events go on; null where there are none.")

    def words(self) -> str:
        """The answer as text."""
        lines = ["This is history, not permission: call check_consent before you send."]
        lines += [_event_words(event) for event in self.events]
        if not self.events:
            lines.append("Nothing is recorded here." if self.known else "Nothing is known of this address.")
        if self.next_before_position is not None:
            lines.append(f"There is more: ask again with before_position {self.next_before_position}.")
        return "\n".join(lines)


def _subject(answer: CheckAnswer | LinkAnswer) -> str:
    topic = "" if answer.topic is None else f", topic {answer.topic}"
    return f"to this address for purpose {answer.purpose}{topic}, by {answer.channel}"


def _unsubscribe_words(unsubscribe: Unsubscribe) -> list[str]:
    lines = [f"- link for the person: {unsubscribe.preference_center_url}"]
    if unsubscribe.one_click_url is not None:
        lines.append(f"- one-click address: {unsubscribe.one_click_url}")
    return lines + [f"- header {header.name}: {header.value}" for header in unsubscribe.headers]


def _event_words(event: HistoryEvent) -> str:
    what = [event.value, None if event.purpose is None else f"purpose {event.purpose}"]
    what += [
        None if event.topic is None else f"topic {event.topic}",
        None if event.source is None else f"by {event.source}",
    ]
    said = " ".join(word for word in what if word is not None)
    return f"{event.position}: {event.type} {said} recorded {event.recorded_at}, actor {event.actor}".replace("  ", " ")
