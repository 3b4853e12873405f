"""What the tools take: checked strictly, nothing unknown passes, and what is wrong is said by field.

These classes are also the tools' input schemas, so their descriptions are written for the agent that reads them.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

ADDRESS_CHARS_MAX = 1_000
REF_CHARS_MAX = 200
EVENTS_MAX = 100
_POSITION_MAX = 2**53 - 1


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


ChannelName = Literal["EMAIL", "SMS", "VOICE", "PUSH", "CUSTOM"]
Ref = Annotated[str, Field(min_length=1, max_length=REF_CHARS_MAX)]
Address = Annotated[
    str,
    Field(
        max_length=ADDRESS_CHARS_MAX, description="Where the message would go: an e-mail address, +number, or token."
    ),
]
MessageId = Annotated[str, Field(max_length=100, description="Your own id of the message; the link will carry it.")]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class _AboutAMessage(_Arguments):
    address: Address
    agent: Ref | None = Field(
        default=None, description="Your own name, if you are configured: then give nothing below."
    )
    purpose: Ref | None = Field(default=None, description="Why you write: the key or GUID of a purpose.")
    topic: Ref | None = Field(default=None, description="The key or GUID of a topic inside that purpose.")
    profile: Ref | None = Field(default=None, description="The key of a compliance profile; by default `default`.")
    channel: ChannelName | None = Field(default=None, description="By default EMAIL.")

    @model_validator(mode="after")
    def _an_agent_or_a_purpose(self) -> "_AboutAMessage":
        if (self.agent is None) == (self.purpose is None):
            raise ValueError("give either your name as `agent`, or a `purpose`")
        if self.agent is not None and (self.topic, self.profile, self.channel) != (None, None, None):
            raise ValueError(
                "an agent is configured with its topic, profile and channel: do not give them beside `agent`"
            )
        return self


class CheckConsent(_AboutAMessage):
    """May this message go to this address?"""

    message_id: MessageId | None = None


class GetUnsubscribeLink(_AboutAMessage):
    """The links and headers for one message to this address."""

    message_id: MessageId | None = None


class RecordOptOut(_Arguments):
    """This person said no."""

    address: Address
    agent: Ref | None = Field(default=None, description="Your own name, if you are configured.")
    purpose: Ref | None = Field(default=None, description="What they said no to, where you are not configured.")
    topic: Ref | None = Field(default=None, description="A topic inside that purpose.")
    channel: Annotated[ChannelName, BeforeValidator(_upper)] | None = Field(
        default=None, description="By default the agent's, else EMAIL."
    )
    scope: Annotated[Literal["topic", "purpose", "everything_commercial"], BeforeValidator(_lower)] | None = Field(
        default=None,
        description="How much they said no to. If they did not say, leave it out: the wider is taken. `topic` only where "
        "they clearly meant that topic alone.",
    )
    words: str | None = Field(
        default=None,
        description="What they said, in their words; kept sealed. Cut after 500 characters; control characters are replaced.",
    )
    idempotency_key: str | None = Field(
        default=None, description="The same key records the same opt-out once, for as long as it counts."
    )
    # A model gives what it gave check_consent: that is no reason to lose an opt-out.
    profile: Any = Field(default=None, description="Ignored: an opt-out counts in every profile.")
    message_id: Any = Field(default=None, description="Ignored.")


class ConsentHistory(_Arguments):
    """What happened at this address, newest first."""

    address: Address
    channel: ChannelName = "EMAIL"
    purpose: Ref | None = Field(default=None, description="Only what is about this purpose.")
    topic: Ref | None = Field(default=None, description="Only what is about this topic.")
    limit: int = Field(default=20, ge=1, le=EVENTS_MAX)
    before_position: int | None = Field(
        default=None, ge=0, le=_POSITION_MAX, description="For older events: `next_before_position` of the last answer."
    )


def wrong_arguments(error: ValidationError, arguments: type[BaseModel]) -> str:
    """What is wrong with a tool's arguments, field by field. Quotes none of their values."""
    unknown = f"there is no such argument; there are {', '.join(arguments.model_fields)}"
    said: list[str] = []
    for one in error.errors(include_input=False, include_url=False, include_context=False):
        # The name of an argument that is unknown is the caller's own text.
        where = ".".join(str(part)[:100] for part in one["loc"])
        message = unknown if one["type"] == "extra_forbidden" else one["msg"]
        message = message.removeprefix("Value error, ")
        said.append(f"{where}: {message}" if where else message)
    return "; ".join(said)
