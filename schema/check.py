"""May this message go to this address? The hot path: one question, one call of the ledger, plain values out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar, cast

import strawberry
from strawberry.types.nodes import SelectedField, Selection

from domain.addresses import normalise
from domain.decision import Reason
from domain.refusals import Refusal, RefusalCode
from ledger import check
from ledger.answers import Answer, explain
from ledger.check import Question
from ledger.links import unsubscribe_links
from ledger.receipts import Answered
from schema.catalogue import CatalogueView, Purpose, Topic
from schema.context import Info, RequestContext
from schema.enums import Channel, ConsentValue, EnforcementModel, ReasonCode
from schema.history import ConsentEvent, shown_event
from schema.inputs import LEFT_OUT, given
from schema.node_ids import NodeKind, ref
from schema.scalars import JSON, Long

_ATTRIBUTES_MAX = 20
_ATTRIBUTE_CHARS_MAX = 500

_BUSINESS_UNIT = "Its records count in place of those of the profile's unit."
_AS_OF = "What was true then, in effective time; inclusive. By default knownAt."
_KNOWN_AT = "What was known then, in recorded time; inclusive. By default now."
_MIN_POSITION = (
    "Answer from a state that takes account of this event; NOT_YET_AVAILABLE where it is not there within 5 seconds."
)


@strawberry.input(description="A message to one address: what it names, and when the question is about.")
class CheckConsentInput:
    channel: Channel = Channel.EMAIL
    address: str
    profile: str = "default"
    purpose: str
    topic: str | None = LEFT_OUT
    business_unit: str | None = strawberry.field(default=LEFT_OUT, description=_BUSINESS_UNIT)
    as_of: datetime | None = strawberry.field(default=LEFT_OUT, description=_AS_OF)
    known_at: datetime | None = strawberry.field(default=LEFT_OUT, description=_KNOWN_AT)
    min_position: Long | None = strawberry.field(default=LEFT_OUT, description=_MIN_POSITION)


@strawberry.input(description="A message to many addresses: what it names, and when the question is about.")
class CheckConsentsInput:
    channel: Channel = Channel.EMAIL
    addresses: list[str]
    profile: str = "default"
    purpose: str
    topic: str | None = LEFT_OUT
    business_unit: str | None = strawberry.field(default=LEFT_OUT, description=_BUSINESS_UNIT)
    as_of: datetime | None = strawberry.field(default=LEFT_OUT, description=_AS_OF)
    known_at: datetime | None = strawberry.field(default=LEFT_OUT, description=_KNOWN_AT)
    min_position: Long | None = strawberry.field(default=LEFT_OUT, description=_MIN_POSITION)


@strawberry.type(description="Why a decision is as it is, at one level: the purpose, or the topic.")
class DecisionReason:
    reason: strawberry.Private[Reason]
    view: strawberry.Private[CatalogueView]

    @strawberry.field
    def code(self) -> ReasonCode:
        return self.reason.code

    @strawberry.field(description="The value found at this level, as recorded.")
    def value(self) -> ConsentValue:
        return self.reason.value

    @strawberry.field
    def enforcement(self) -> EnforcementModel:
        return self.reason.enforcement

    @strawberry.field(description="The reason as a sentence.")
    def message(self) -> str:
        return self.reason.message

    @strawberry.field
    def purpose(self) -> Purpose:
        return self.view.purpose(self.reason.purpose)

    @strawberry.field
    def topic(self) -> Topic | None:
        return None if self.reason.topic is None else self.view.topic(self.reason.topic)

    @strawberry.field(description="The event that set the value.")
    async def event(self, info: Info) -> ConsentEvent | None:
        return None if self.reason.record is None else await event_at(info.context, self.reason.record.position)


@strawberry.type(description="A header of the message, as RFC 2369 and RFC 8058 have it.")
class HttpHeader:
    name: str
    value: str


@strawberry.type(description="For the message: the person's page, and the headers of RFC 8058 where they apply.")
class UnsubscribeLinks:
    preference_center_url: str
    one_click_url: str | None = strawberry.field(description="For COMMERCIAL purposes: a POST there opts out.")
    headers: list[HttpHeader] = strawberry.field(description="For e-mail with a COMMERCIAL purpose; none otherwise.")


@dataclass(frozen=True, slots=True)
class DecidedTogether:
    """What the decisions of one call have in common."""

    view: CatalogueView
    channel: Channel
    known_at: datetime | None


@strawberry.type(description="May this message go? Where it cannot be known, it may not.")
class ConsentDecision:
    # One call makes thousands of these: what is not asked for is not made.
    answer: strawberry.Private[Answer]
    together: strawberry.Private[DecidedTogether]

    @strawberry.field(description="Exactly as asked.")
    def address(self) -> str:
        return self.answer.address

    @strawberry.field
    def allowed(self) -> bool:
        return self.answer.allowed

    @strawberry.field(description="By the profile's tracking purpose.")
    def tracking_allowed(self) -> bool:
        return self.answer.tracking_allowed

    @strawberry.field(description="The log position at which it was taken.")
    def position(self) -> Long:
        return Long(self.answer.position)

    @strawberry.field
    def decided_at(self) -> datetime:
        return self.answer.decided_at

    @strawberry.field(description="The first is the one that decided.")
    def reasons(self) -> list[DecisionReason]:
        return shown_reasons(self.answer.decision.reasons, self.together.view)

    @strawberry.field(
        description="For the message: the person's page, and the headers of RFC 8058 where they apply. `attributes` fill "
        "further placeholders of an external link. Null for an address that is none."
    )
    def unsubscribe(
        self, info: Info, message_id: str | None = LEFT_OUT, attributes: JSON | None = LEFT_OUT
    ) -> UnsubscribeLinks | None:
        try:
            address = normalise(self.together.channel, self.answer.address)
        except Refusal:
            return None
        links = unsubscribe_links(
            info.context.tenant,
            self.answer.subject,
            self.together.channel,
            address,
            given(message_id),
            _attributes(given(attributes)),
        )
        return UnsubscribeLinks(
            preference_center_url=links.preference_center_url,
            one_click_url=links.one_click_url,
            headers=[HttpHeader(name=name, value=value) for name, value in links.headers],
        )

    @strawberry.field(description="A signed statement of this decision that its holder can keep and anyone can verify.")
    async def receipt(self, info: Info) -> str:
        together = self.together
        return await info.context.loaders.receipts.load(Answered(self.answer, together.channel, together.known_at))


@strawberry.type
class CheckQuery:
    @strawberry.field(description="May this message go to this address? The hot path.")
    async def check_consent(self, info: Info, input: CheckConsentInput) -> ConsentDecision:
        context = info.context
        context.require_in_unit("check")
        answers = await check.check(context.tenant, _question(context, input, [input.address]))
        return decisions(context, input.channel, given(input.known_at), answers)[0]

    @strawberry.field(
        description="The same for up to 10,000 addresses at one log position; answers in the order asked, each address "
        "echoed as given."
    )
    async def check_consents(self, info: Info, input: CheckConsentsInput) -> list[ConsentDecision]:
        context = info.context
        context.require_in_unit("check")
        answers = await check.check(context.tenant, _question(context, input, input.addresses))
        # With the catalogue of now: while they are explained, another request may bring a newer one.
        shown = decisions(context, input.channel, given(input.known_at), answers)
        if _selects(info.selected_fields, "reasons"):
            await explain(answers)
        return shown


def _selects(selections: Iterable[Selection], name: str) -> bool:
    return any(
        (isinstance(one, SelectedField) and one.name == name) or _selects(one.selections, name) for one in selections
    )


Asked = TypeVar("Asked", CheckConsentInput, CheckConsentsInput)


def _question(context: RequestContext, input: Asked, addresses: list[str]) -> Question:
    tenant = context.tenant.id
    topic, unit = given(input.topic), given(input.business_unit)
    return Question(
        channel=input.channel,
        addresses=addresses,
        profile=ref(tenant, NodeKind.COMPLIANCE_PROFILE, input.profile),
        purpose=ref(tenant, NodeKind.PURPOSE, input.purpose),
        topic=None if topic is None else ref(tenant, NodeKind.TOPIC, topic),
        business_unit=None if unit is None else ref(tenant, NodeKind.BUSINESS_UNIT, unit),
        as_of=given(input.as_of),
        known_at=given(input.known_at),
        min_position=given(input.min_position),
    )


def decisions(
    context: RequestContext, channel: Channel, known_at: datetime | None, answers: list[Answer]
) -> list[ConsentDecision]:
    """Answers just given, as GraphQL shows them."""
    together = DecidedTogether(view_known_at(context, known_at), channel, known_at)
    return [ConsentDecision(answer=answer, together=together) for answer in answers]


def _attributes(value: object) -> dict[str, str]:
    """The attributes of an external link. Raises Refusal INVALID for anything but an object of short texts."""
    if value is None:
        return {}
    if isinstance(value, dict):
        members = cast(dict[str, object], value)
        if len(members) <= _ATTRIBUTES_MAX and all(
            isinstance(text, str) and len(text) <= _ATTRIBUTE_CHARS_MAX for text in members.values()
        ):
            return cast(dict[str, str], members)
    raise Refusal(
        RefusalCode.INVALID,
        f"attributes is an object of up to {_ATTRIBUTES_MAX} texts of up to {_ATTRIBUTE_CHARS_MAX} characters",
        ("attributes",),
    )


def view_known_at(context: RequestContext, known_at: datetime | None) -> CatalogueView:
    """The catalogue that an answer just given was taken from: the ledger brought the one it holds up to date for it."""
    tenant = context.tenant
    return CatalogueView(tenant, tenant.catalogue if known_at is None else tenant.catalogue_known_at(known_at))


def shown_reasons(reasons: tuple[Reason, ...], view: CatalogueView) -> list[DecisionReason]:
    """The reasons of a decision as GraphQL shows them."""
    return [DecisionReason(reason=reason, view=view) for reason in reasons]


async def event_at(context: RequestContext, position: int) -> ConsentEvent | None:
    """The event at a position of the log."""
    event = await context.loaders.events.load(position)
    return None if event is None else shown_event(context, event)
