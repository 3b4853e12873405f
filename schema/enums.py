"""The enums of the contract: the domain's own, named for GraphQL. Imported from here, so that they are named by then.

Resolvers hand their members through as they are.
"""

from collections.abc import Mapping
from enum import StrEnum

import strawberry

from domain.addresses import Channel
from domain.catalogue import DoubleOptInMode, EnforcementModel, PurposeType
from domain.clocks import OptOutLimit
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.controller import ConsentType
from domain.decision import Contactability, ReasonCode
from domain.opt_in_rules import RequiredEvidence
from domain.presets import PresetKey
from domain.refusals import RefusalCode
from domain.webhooks import WebhookStatus
from ledger.acknowledgements import AcknowledgedBy
from ledger.webhook_lists import DeliveryState

_DESCRIPTIONS: Mapping[type[StrEnum], str] = {
    Channel: "How a message goes.",
    ConsentValue: "What a record says. NOT_SET is the absence of a record, and can be restored by a reset.",
    PurposeType: "Why one communicates. A profile has exactly one TRACKING purpose.",
    EnforcementModel: (
        "What lets a message pass: RESTRICTIVE an opt-in, NON_RESTRICTIVE that nobody opted out, DISABLED anything."
    ),
    DoubleOptInMode: "When a profile asks for a confirmation: never, always, or where there is no record under it yet.",
    Contactability: "What would happen now: a message is sent or not; with a TRACKING purpose, tracked or not.",
    ConsentSource: "How a choice came in.",
    ActorKind: "What kind of actor was behind an event.",
    ReasonCode: "Why a decision is as it is.",
    RequiredEvidence: "What an opt-in has to bring.",
    PresetKey: "The jurisdictions that there is a preset for.",
    RefusalCode: "Why a mutation refused its input.",
    WebhookStatus: (
        "Whether events are sent. HELD: an event could not be delivered for three days, or the receiver wants no more; "
        "nothing is lost, and all goes on from there once it is ACTIVE again."
    ),
    DeliveryState: "How far an event came: taken, tried and to be tried again, or waiting behind one that is.",
    OptOutLimit: "Who sets a limit to how long an opt-out may take: a law, or a mailbox provider.",
    ConsentType: "How opt-ins are given: EXPLICIT by a statement of its own, EXPRESSED by an act, IMPLIED by something else.",
    AcknowledgedBy: "How it is known that an application knew: its webhook took the event, or it said so itself.",
}
_NAMES: Mapping[type[StrEnum], str] = {
    ReasonCode: "DecisionReasonCode",
    RefusalCode: "UserErrorCode",
    DeliveryState: "WebhookDeliveryState",
    PresetKey: "CompliancePresetKey",
}


for _enum, _description in _DESCRIPTIONS.items():
    strawberry.enum(_enum, name=_NAMES.get(_enum), description=_description)
