"""Double opt-in: a submission that the person confirms by a link."""

from datetime import datetime

import strawberry

from domain.refusals import Refusal
from ledger import double_opt_in
from ledger.opt_ins import OptInTerms
from schema.context import Info
from schema.enums import Channel
from schema.history import shown_event
from schema.inputs import LEFT_OUT, given
from schema.node_ids import NodeKind, ref
from schema.record import EvidenceInput, RecordConsentPayload, RecordConsentsPayload, given_evidence, results_of
from schema.refusals import UserError, user_error
from schema.scalars import Long


@strawberry.input(description="A submission: what a person asked for, and what shows it.")
class RequestDoubleOptInInput:
    channel: Channel = Channel.EMAIL
    address: str
    profile: str = "default"
    purpose: str
    topics: list[str] | None = LEFT_OUT
    evidence: EvidenceInput | None = LEFT_OUT
    valid_until: datetime | None = strawberry.field(
        default=LEFT_OUT, description="Of the consent, once it is confirmed: from then on it counts as NOT_SET."
    )
    legal_basis: str | None = strawberry.field(
        default=LEFT_OUT, description="Stays in the log for ever: it must name nobody."
    )
    jurisdiction: str | None = strawberry.field(
        default=LEFT_OUT, description="Stays in the log for ever: it must name nobody."
    )
    idempotency_key: str | None = strawberry.field(
        default=LEFT_OUT, description="The same key and the same input give the first answer again."
    )


@strawberry.type(
    description="The caller sends the message; `token` goes into the link. Null token: this profile asks for no confirmation "
    "here, and the consent is recorded."
)
class RequestDoubleOptInPayload:
    token: str | None = None
    confirmation_url: str | None = None
    expires_at: datetime | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class DoubleOptInMutation:
    @strawberry.mutation(description="Take a submission, to be confirmed where the profile asks for that.")
    async def request_double_opt_in(self, info: Info, input: RequestDoubleOptInInput) -> RequestDoubleOptInPayload:
        context = info.context
        context.require_in_unit("write")
        context.after_a_change()
        tenant, topics, evidence = context.tenant.id, given(input.topics), given(input.evidence)
        try:
            requested = await double_opt_in.request_double_opt_in(
                context.tenant,
                context.caller,
                channel=input.channel,
                address=input.address,
                profile=ref(tenant, NodeKind.COMPLIANCE_PROFILE, input.profile),
                purpose=ref(tenant, NodeKind.PURPOSE, input.purpose),
                topics=[ref(tenant, NodeKind.TOPIC, topic) for topic in topics or ()],
                evidence=None if evidence is None else given_evidence(evidence),
                terms=OptInTerms(
                    legal_basis=given(input.legal_basis),
                    jurisdiction=given(input.jurisdiction),
                    valid_until=given(input.valid_until),
                ),
                idempotency_key=given(input.idempotency_key),
            )
        except Refusal as refusal:
            return RequestDoubleOptInPayload(errors=[user_error(refusal)])
        return RequestDoubleOptInPayload(
            token=requested.token, confirmation_url=requested.confirmation_url, expires_at=requested.expires_at
        )

    @strawberry.mutation(
        description="Confirm by the token of the link: consent of the person, effective when it was asked for. Needs the "
        "scope write."
    )
    async def confirm_double_opt_in(self, info: Info, token: str) -> RecordConsentsPayload:
        context = info.context
        context.require("write")
        context.after_a_change()
        try:
            tenant, confirmation = await double_opt_in.open_confirmation(context.tenant.ledger, token)
            if tenant.id != context.tenant.id:
                raise double_opt_in.invalid_token()
            recorded = await double_opt_in.confirm_double_opt_in(tenant, confirmation)
        except Refusal as refusal:
            return RecordConsentsPayload(errors=[user_error(refusal)])
        # The first event is the confirmation itself; the captures that it leads to follow it.
        return results_of(
            [
                RecordConsentPayload(event=shown_event(context, event), position=Long(event.position))
                for event in recorded.events[1:]
            ]
        )
