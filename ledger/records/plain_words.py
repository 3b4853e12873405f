"""What was recorded and what follows of it, said to the person that it belongs to: no code, and no word of the trade."""

from collections.abc import Mapping
from typing import Any

from domain.addresses import Channel
from domain.catalogue import Catalogue
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.decision import Contactability, Reason, ReasonCode
from domain.events import EventType

CHANNELS: Mapping[Channel, str] = {
    Channel.EMAIL: "E-mail address",
    Channel.SMS: "Number for text messages",
    Channel.VOICE: "Number for calls",
    Channel.PUSH: "Device for push messages",
    Channel.CUSTOM: "Address of another kind",
}
OUTCOMES: Mapping[Contactability, str] = {
    Contactability.WILL_SEND: "we may write to you",
    Contactability.WILL_NOT_SEND: "we will not write to you",
    Contactability.WILL_TRACK: "we may see whether you open messages and click in them",
    Contactability.WILL_NOT_TRACK: "we will not look whether you open messages or click in them",
}
ACTORS: Mapping[ActorKind, str] = {
    ActorKind.RECIPIENT: "by you",
    ActorKind.USER: "by somebody who works with it",
    ActorKind.AGENT: "by an automated agent",
    ActorKind.SYSTEM: "by a program",
}
_REASONS: Mapping[ReasonCode, str] = {
    ReasonCode.OPTED_IN: "You said yes.",
    ReasonCode.OPTED_OUT: "You said no.",
    ReasonCode.NOT_SET_ALLOWED: "You said neither yes nor no, and your yes is not needed for this.",
    ReasonCode.NOT_SET_BLOCKED: "You said neither yes nor no, and this needs your yes.",
    ReasonCode.ENFORCEMENT_DISABLED: "This does not depend on what you said.",
    ReasonCode.PURPOSE_BLOCKS_TOPIC: "It is blocked as a whole, and with it this part.",
    ReasonCode.CONSENT_EXPIRED: "Your yes has run out.",
    ReasonCode.AWAITING_CONFIRMATION: "A yes of yours waits for your confirmation.",
    ReasonCode.SUPPRESSED: "Your address is blocked for this.",
    ReasonCode.ERASED: "Your data were erased.",
    ReasonCode.INVALID_ADDRESS: "No message can go to this address.",
}
_CAPTURED: Mapping[ConsentValue, str] = {
    ConsentValue.OPTED_IN: "yes to",
    ConsentValue.OPTED_OUT: "no to",
    ConsentValue.NOT_SET: "neither yes nor no any more to",
}
_WAYS: Mapping[ConsentSource, str] = {
    ConsentSource.FORM: "by a form",
    ConsentSource.PREFERENCE_CENTER: "on the page of your preferences",
    ConsentSource.ONE_CLICK_UNSUBSCRIBE: "by the unsubscribe button of a mail program",
    ConsentSource.IMPORT: "from a file that was read in",
    ConsentSource.LOAD_CONSENT: "from your entry among our contacts",
    ConsentSource.API: "from an application",
    ConsentSource.SMS_KEYWORD: "by a text message",
    ConsentSource.EMAIL_REPLY: "by an e-mail",
    ConsentSource.VOICE: "by voice",
    ConsentSource.PAPER: "on paper",
    ConsentSource.COMPLAINT: "by a complaint to your mail provider",
    ConsentSource.AGENT: "by an automated agent",
    ConsentSource.OPERATOR: "by our staff",
}
_OTHERS: Mapping[EventType, str] = {
    EventType.CONTACT_POINT_ERASURE_REQUESTED: "erasure was asked for",
    EventType.CONTACT_POINT_ERASED: "what was personal was erased",
}


def level(catalogue: Catalogue, purpose: str, topic: str | None) -> str:
    """A purpose, or a topic of it, by name."""
    name = catalogue.purposes[purpose].name
    return name if topic is None else f"{name}, {catalogue.topics[topic].name}"


def reason(catalogue: Catalogue, one: Reason, topic: str | None) -> str:
    """Why a decision is as it is; whose reason it is where it is not that of the topic itself."""
    sentence = _REASONS[one.code]
    return sentence if one.topic == topic else f"{level(catalogue, one.purpose, one.topic)}: {sentence}"


def happened(catalogue: Catalogue, event_type: str, data: Mapping[str, Any]) -> str:
    """What an event says happened."""
    match event_type:
        case EventType.CONSENT_CAPTURED:
            what = level(catalogue, data["purpose"], data.get("topic"))
            return f"{_CAPTURED[ConsentValue(data['value'])]} {what}, {_WAYS[ConsentSource(data['source'])]}"
        case EventType.DOUBLE_OPT_IN_REQUESTED:
            return f"you were asked to confirm a yes to {_all_of(catalogue, data)}"
        case EventType.DOUBLE_OPT_IN_CONFIRMED:
            return f"the yes to {_all_of(catalogue, data)} was confirmed"
        case EventType.CONTACT_POINT_BOUNCED:
            return f"a message could not be delivered{' for good' if data['bounce'] == 'HARD' else ', at that time'}"
        case _:
            return _OTHERS[EventType(event_type)]


def _all_of(catalogue: Catalogue, data: Mapping[str, Any]) -> str:
    topics: list[str] = list(data.get("topics") or [])
    return "; ".join(level(catalogue, data["purpose"], topic) for topic in [None, *topics])
