"""Recording consent: one change, many at once, and out of everything commercial."""

from datetime import datetime

import strawberry

from domain.refusals import Refusal
from ledger import record
from ledger.given_evidence import Evidence
from schema.contact_points import Consent, consent_after
from schema.context import Info, RequestContext
from schema.enums import ActorKind, Channel, ConsentSource, ConsentValue
from schema.history import ConsentEvent, shown_event
from schema.inputs import LEFT_OUT, given
from schema.node_ids import NodeKind, ref
from schema.refusals import UserError, user_error
from schema.scalars import JSON, Long


@strawberry.input(description="Who was behind a change.")
class ActorInput:
    kind: ActorKind
    id: str | None = strawberry.field(default=LEFT_OUT, description="Personal: kept in the vault, not in the log.")


@strawberry.input(description="What shows that a person chose. Personal: kept in the vault, not in the log.")
class EvidenceInput:
    notice_text: str | None = strawberry.field(default=LEFT_OUT, description="The notice as it was shown.")
    notice_version: str | None = LEFT_OUT
    locale: str | None = LEFT_OUT
    url: str | None = strawberry.field(default=LEFT_OUT, description="Where it was shown.")
    method: str | None = strawberry.field(
        default=LEFT_OUT, description="How the choice was made: an unchecked box ticked, a button, by word of mouth."
    )
    ip_address: str | None = LEFT_OUT
    user_agent: str | None = LEFT_OUT
    attributes: JSON | None = strawberry.field(default=LEFT_OUT, description="Whatever else there is: a JSON object.")


@strawberry.input(description="One change of consent at one contact point, for one purpose or topic.")
class RecordConsentInput:
    channel: Channel = Channel.EMAIL
    address: str
    purpose: str
    topic: str | None = LEFT_OUT
    value: ConsentValue = strawberry.field(description="NOT_SET resets.")
    effective_at: datetime | None = strawberry.field(
        default=LEFT_OUT, description="When the person chose: now, where it is left out. It may lie in the past."
    )
    valid_until: datetime | None = strawberry.field(
        default=LEFT_OUT, description="From then on an OPTED_IN counts as NOT_SET."
    )
    source: ConsentSource = ConsentSource.API
    reason: str | None = strawberry.field(
        default=LEFT_OUT,
        description=(
            "A label of the Dynamics reasons or words of your own; at most 500 characters, like its description."
        ),
    )
    reason_description: str | None = LEFT_OUT
    legal_basis: str | None = strawberry.field(
        default=LEFT_OUT, description="Stays in the log for ever: it must name nobody."
    )
    jurisdiction: str | None = strawberry.field(
        default=LEFT_OUT, description="Stays in the log for ever: it must name nobody."
    )
    actor: ActorInput | None = LEFT_OUT
    evidence: EvidenceInput | None = LEFT_OUT
    idempotency_key: str | None = strawberry.field(
        default=LEFT_OUT,
        description="The same key and the same input give the first answer again. A later choice needs a key of its own.",
    )


@strawberry.input(description="Up to 1,000 changes.")
class RecordConsentsInput:
    consents: list[RecordConsentInput]


@strawberry.input(description="Out of everything commercial, topics included, at one contact point.")
class OptOutOfAllInput:
    channel: Channel = Channel.EMAIL
    address: str
    profile: str | None = strawberry.field(default=LEFT_OUT, description="Of every profile, where it is left out.")
    source: ConsentSource = ConsentSource.API
    reason: str | None = LEFT_OUT
    effective_at: datetime | None = LEFT_OUT
    idempotency_key: str | None = strawberry.field(
        default=LEFT_OUT,
        description="The same key and the same input give the first answer again. A later choice needs a key of its own.",
    )


@strawberry.type(description="What became of one change.")
class RecordConsentPayload:
    event: ConsentEvent | None = strawberry.field(default=None, description="The event that records it.")
    position: Long | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)

    @strawberry.field(
        description="The consent that counts once it is recorded: an older choice does not override. Needs the scope read, "
        "for it may be what another application recorded."
    )
    async def consent(self, info: Info) -> Consent | None:
        info.context.require_in_unit("read")
        return None if self.event is None else await consent_after(info.context, self.event.stored)


@strawberry.type(description="What became of many changes.")
class RecordConsentsPayload:
    results: list[RecordConsentPayload] = strawberry.field(
        default_factory=list, description="In the order asked, each with its own errors."
    )
    position: Long | None = strawberry.field(default=None, description="That of the last event recorded.")
    recorded: int = 0
    refused: int = 0
    errors: list[UserError] = strawberry.field(
        default_factory=list, description="Those of all the results, and of the input as a whole."
    )


@strawberry.type
class RecordMutation:
    @strawberry.mutation(description="Record one change of consent.")
    async def record_consent(self, info: Info, input: RecordConsentInput) -> RecordConsentPayload:
        context = info.context
        context.require_in_unit("write")
        context.after_a_change()
        try:
            recorded = await record.record_consent(context.tenant, context.caller, _capture(context, input))
        except Refusal as refusal:
            return _refused(refusal)
        return _recorded(context, recorded)

    @strawberry.mutation(description="Up to 1,000 at once; each stands or falls alone.")
    async def record_consents(self, info: Info, input: RecordConsentsInput) -> RecordConsentsPayload:
        context = info.context
        context.require_in_unit("write")
        context.after_a_change()
        outcomes = await record.record_consents(
            context.tenant, context.caller, [_capture(context, consent) for consent in input.consents]
        )
        return results_of(
            [
                _refused(outcome.under("consents", str(number)))
                if isinstance(outcome, Refusal)
                else _recorded(context, outcome)
                for number, outcome in enumerate(outcomes)
            ]
        )

    @strawberry.mutation(description="Out of everything commercial of the profile, or of every profile.")
    async def opt_out_of_all(self, info: Info, input: OptOutOfAllInput) -> RecordConsentsPayload:
        context = info.context
        context.require_in_unit("write")
        context.after_a_change()
        profile = given(input.profile)
        try:
            recorded = await record.opt_out_of_all(
                context.tenant,
                context.caller,
                channel=input.channel,
                address=input.address,
                profile=None if profile is None else ref(context.tenant.id, NodeKind.COMPLIANCE_PROFILE, profile),
                source=input.source,
                reason=given(input.reason),
                effective_at=given(input.effective_at),
                idempotency_key=given(input.idempotency_key),
            )
        except Refusal as refusal:
            return RecordConsentsPayload(errors=[user_error(refusal)])
        return results_of(
            [
                RecordConsentPayload(event=shown_event(context, event), position=Long(event.position))
                for event in recorded.events
            ]
        )


def _capture(context: RequestContext, input: RecordConsentInput) -> record.Capture:
    tenant = context.tenant.id
    topic, actor, evidence = given(input.topic), given(input.actor), given(input.evidence)
    return record.Capture(
        channel=input.channel,
        address=input.address,
        purpose=ref(tenant, NodeKind.PURPOSE, input.purpose),
        topic=None if topic is None else ref(tenant, NodeKind.TOPIC, topic),
        value=input.value,
        effective_at=given(input.effective_at),
        valid_until=given(input.valid_until),
        source=input.source,
        reason=given(input.reason),
        reason_description=given(input.reason_description),
        legal_basis=given(input.legal_basis),
        jurisdiction=given(input.jurisdiction),
        actor=record.SYSTEM if actor is None else record.Actor(kind=actor.kind, id=given(actor.id)),
        evidence=None if evidence is None else given_evidence(evidence),
        idempotency_key=given(input.idempotency_key),
    )


def given_evidence(evidence: EvidenceInput) -> Evidence:
    """Evidence as the ledger takes it."""
    return Evidence(
        notice_text=given(evidence.notice_text),
        notice_version=given(evidence.notice_version),
        locale=given(evidence.locale),
        url=given(evidence.url),
        method=given(evidence.method),
        ip_address=given(evidence.ip_address),
        user_agent=given(evidence.user_agent),
        attributes=given(evidence.attributes),
    )


def _recorded(context: RequestContext, recorded: record.Recorded) -> RecordConsentPayload:
    event = recorded.events[-1]
    return RecordConsentPayload(event=shown_event(context, event), position=Long(event.position))


def _refused(refusal: Refusal) -> RecordConsentPayload:
    return RecordConsentPayload(errors=[user_error(refusal)])


def results_of(results: list[RecordConsentPayload]) -> RecordConsentsPayload:
    """What became of many, summed up."""
    recorded = [result.position for result in results if result.position is not None]
    return RecordConsentsPayload(
        results=results,
        position=max(recorded, default=None),
        recorded=len(recorded),
        refused=len(results) - len(recorded),
        errors=[error for result in results for error in result.errors],
    )
