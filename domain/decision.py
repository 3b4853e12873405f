"""May this message go? The table of "The decision" in SEMANTICS.md, and the reasons that come with each answer."""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from domain.addresses import Channel
from domain.catalogue import Catalogue, ComplianceProfile, EnforcementModel, MessageSubject, Purpose, PurposeType
from domain.consent import ConsentRecord, ConsentValue

ALLOWS: Mapping[tuple[EnforcementModel, ConsentValue], bool] = {
    (EnforcementModel.RESTRICTIVE, ConsentValue.OPTED_OUT): False,
    (EnforcementModel.RESTRICTIVE, ConsentValue.NOT_SET): False,
    (EnforcementModel.RESTRICTIVE, ConsentValue.OPTED_IN): True,
    (EnforcementModel.NON_RESTRICTIVE, ConsentValue.OPTED_OUT): False,
    (EnforcementModel.NON_RESTRICTIVE, ConsentValue.NOT_SET): True,
    (EnforcementModel.NON_RESTRICTIVE, ConsentValue.OPTED_IN): True,
    (EnforcementModel.DISABLED, ConsentValue.OPTED_OUT): True,
    (EnforcementModel.DISABLED, ConsentValue.NOT_SET): True,
    (EnforcementModel.DISABLED, ConsentValue.OPTED_IN): True,
}


class ReasonCode(StrEnum):
    """Why a decision is as it is."""

    OPTED_IN = "OPTED_IN"
    OPTED_OUT = "OPTED_OUT"
    NOT_SET_ALLOWED = "NOT_SET_ALLOWED"
    NOT_SET_BLOCKED = "NOT_SET_BLOCKED"
    ENFORCEMENT_DISABLED = "ENFORCEMENT_DISABLED"
    PURPOSE_BLOCKS_TOPIC = "PURPOSE_BLOCKS_TOPIC"
    CONSENT_EXPIRED = "CONSENT_EXPIRED"
    AWAITING_CONFIRMATION = "AWAITING_CONFIRMATION"
    SUPPRESSED = "SUPPRESSED"
    ERASED = "ERASED"
    INVALID_ADDRESS = "INVALID_ADDRESS"


class Contactability(StrEnum):
    """What would happen now."""

    WILL_SEND = "WILL_SEND"
    WILL_NOT_SEND = "WILL_NOT_SEND"
    WILL_TRACK = "WILL_TRACK"
    WILL_NOT_TRACK = "WILL_NOT_TRACK"


class Reason(NamedTuple):
    """One reason at one level: the value as recorded there, the record that it comes from, the enforcement applied.

    A named tuple, as is a decision: a batch makes thousands of them.
    """

    code: ReasonCode
    purpose: str
    topic: str | None
    value: ConsentValue
    enforcement: EnforcementModel
    record: ConsentRecord | None

    @property
    def message(self) -> str:
        """The reason as a sentence."""
        level = f"purpose {self.purpose}" if self.topic is None else f"topic {self.topic}"
        return _SENTENCES[self.code](level, self)


_SENTENCES: Mapping[ReasonCode, Callable[[str, Reason], str]] = {
    ReasonCode.OPTED_IN: lambda level, _: f"Opted in to {level}.",
    ReasonCode.OPTED_OUT: lambda level, _: f"Opted out of {level}.",
    ReasonCode.NOT_SET_ALLOWED: lambda level, reason: (
        f"Nothing is set for {level}, whose {reason.enforcement} enforcement allows that."
    ),
    ReasonCode.NOT_SET_BLOCKED: lambda level, reason: (
        f"Nothing is set for {level}, whose {reason.enforcement} enforcement needs an opt-in."
    ),
    ReasonCode.ENFORCEMENT_DISABLED: lambda level, reason: (
        f"Opted out of {level}, but consent is not enforced for it."
        if reason.value is ConsentValue.OPTED_OUT
        else f"Consent is not enforced for {level}."
    ),
    ReasonCode.PURPOSE_BLOCKS_TOPIC: lambda level, reason: (
        f"Purpose {reason.purpose} blocks every topic under it, {level} included."
    ),
    ReasonCode.CONSENT_EXPIRED: lambda level, _: f"The opt-in to {level} has expired.",
    ReasonCode.AWAITING_CONFIRMATION: lambda level, _: f"The opt-in to {level} is not confirmed yet.",
    ReasonCode.SUPPRESSED: lambda level, _: f"The address is suppressed for {level}.",
    ReasonCode.ERASED: lambda level, _: "The contact point is erased.",
    ReasonCode.INVALID_ADDRESS: lambda level, _: "The address is none that messages of this channel can go to.",
}


class Decision(NamedTuple):
    """The answer and every reason for it; the first is the one that decided."""

    allowed: bool
    reasons: tuple[Reason, ...]


def decide(
    subject: MessageSubject,
    channel: Channel,
    *,
    purpose_record: ConsentRecord | None,
    topic_record: ConsentRecord | None,
    as_of: datetime,
    purpose_awaited: bool = False,
    topic_awaited: bool = False,
) -> Decision:
    """Whether a message may go, by the records that count for its purpose and topic. Expiry is judged at `as_of`.

    Where a confirmation is awaited, that is added to the level's reasons, and decides nothing (rule 7).
    """
    enforcement = subject.purpose.enforcement[channel]
    key = subject.purpose.key
    passes, reasons = _level(key, None, enforcement, purpose_record, as_of, awaited=purpose_awaited)
    if subject.topic is None:
        return Decision(passes, reasons)
    topic = subject.topic.key
    if not passes:
        value = ConsentValue.NOT_SET if topic_record is None else topic_record.value
        blocks = Reason(ReasonCode.PURPOSE_BLOCKS_TOPIC, key, topic, value, enforcement, topic_record)
        return Decision(False, (*reasons, blocks))
    topic_passes, topic_reasons = _level(key, topic, enforcement, topic_record, as_of, awaited=topic_awaited)
    if not topic_passes:
        return Decision(False, (*topic_reasons, *reasons))
    return Decision(True, (*reasons, *topic_reasons))


def decide_tracking(
    catalogue: Catalogue, profile: ComplianceProfile, channel: Channel, record: ConsentRecord | None, as_of: datetime
) -> Decision:
    """Whether interactions may be tracked, by the profile's tracking purpose; an inactive one never allows it."""
    purpose = catalogue.purposes[profile.tracking_purpose]
    passes, reasons = _level(purpose.key, None, purpose.enforcement[channel], record, as_of)
    return Decision(passes and purpose.active, reasons)


def refuse_address(purpose: Purpose, channel: Channel, code: ReasonCode, *, topic: str | None = None) -> Decision:
    """The answer where the address alone decides: INVALID_ADDRESS, ERASED or SUPPRESSED, whatever the enforcement."""
    reason = Reason(code, purpose.key, topic, ConsentValue.NOT_SET, purpose.enforcement[channel], None)
    return Decision(False, (reason,))


def contactability(purpose_type: PurposeType, *, allowed: bool) -> Contactability:
    """What a decision for a purpose of this type means."""
    if purpose_type is PurposeType.TRACKING:
        return Contactability.WILL_TRACK if allowed else Contactability.WILL_NOT_TRACK
    return Contactability.WILL_SEND if allowed else Contactability.WILL_NOT_SEND


def _level(
    purpose: str,
    topic: str | None,
    enforcement: EnforcementModel,
    record: ConsentRecord | None,
    as_of: datetime,
    *,
    awaited: bool = False,
) -> tuple[bool, tuple[Reason, ...]]:
    """Whether one level passes, and why."""
    if record is None:
        value, expired = ConsentValue.NOT_SET, False
    else:
        value, expired = record.value, record.valid_until is not None and record.expired_at(as_of)
    passes, code, further = _OUTCOMES[enforcement, value, expired]
    reasons: tuple[Reason, ...] = (Reason(code, purpose, topic, value, enforcement, record),)
    if further is not None:
        reasons = (*reasons, Reason(further, purpose, topic, value, enforcement, record))
    if awaited:
        code = ReasonCode.AWAITING_CONFIRMATION
        reasons = (*reasons, Reason(code, purpose, topic, value, enforcement, record))
    return passes, reasons


def _outcome(
    enforcement: EnforcementModel, value: ConsentValue, *, expired: bool
) -> tuple[bool, ReasonCode, ReasonCode | None]:
    """Whether a level passes by a value found there, the reason, and the one that follows it, if any."""
    if enforcement is EnforcementModel.DISABLED:
        return True, ReasonCode.ENFORCEMENT_DISABLED, None
    counted = ConsentValue.NOT_SET if expired else value
    passes = ALLOWS[enforcement, counted]
    if counted is ConsentValue.OPTED_IN:
        return passes, ReasonCode.OPTED_IN, None
    if counted is ConsentValue.OPTED_OUT:
        return passes, ReasonCode.OPTED_OUT, None
    not_set = ReasonCode.NOT_SET_ALLOWED if passes else ReasonCode.NOT_SET_BLOCKED
    return (passes, ReasonCode.CONSENT_EXPIRED, not_set) if expired else (passes, not_set, None)


# Worked out once for each case: a batch asks thousands of times.
_OUTCOMES = {
    (enforcement, value, expired): _outcome(enforcement, value, expired=expired)
    for enforcement in EnforcementModel
    for value in ConsentValue
    for expired in (False, True)
}
