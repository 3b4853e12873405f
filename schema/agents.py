"""Sending agents: configured once, and asked for by their name alone."""

import strawberry

from domain.agents import SendingAgent
from domain.catalogue_commands import Unchanged
from domain.refusals import Refusal
from ledger import agents
from ledger.catalogue import Changed
from schema.catalogue import CatalogueView, ComplianceProfile, Purpose, Topic
from schema.check import ConsentDecision, decisions
from schema.context import Info, RequestContext
from schema.enums import Channel
from schema.inputs import LEFT_OUT, change, given
from schema.node_ids import NodeKind, ref
from schema.refusals import UserError, user_error
from schema.scalars import Long

_IDEMPOTENCY_KEY = "The same key and the same input give the first answer again."


@strawberry.type(description="A sending agent: what its messages name, so that it only has to name itself.")
class Agent:
    held: strawberry.Private[SendingAgent]
    view: strawberry.Private[CatalogueView]
    key: str
    name: str
    active: bool = strawberry.field(description="An inactive one may send nothing.")
    channel: Channel
    version: int = strawberry.field(description="The version to give as expectedVersion when changing it.")

    @strawberry.field
    def profile(self) -> ComplianceProfile:
        return self.view.profile(self.held.message.profile)

    @strawberry.field
    def purpose(self) -> Purpose:
        return self.view.purpose(self.held.message.purpose)

    @strawberry.field
    def topic(self) -> Topic | None:
        topic = self.held.message.topic
        return None if topic is None else self.view.topic(topic)


@strawberry.input(description="An agent: what its messages will name, as a new message may today.")
class CreateAgentInput:
    key: str = strawberry.field(description="Permanent: 1 to 64 lower-case letters, digits, - and _.")
    name: str
    profile: str = "default"
    purpose: str
    topic: str | None = LEFT_OUT
    channel: Channel = Channel.EMAIL
    idempotency_key: str | None = strawberry.field(default=LEFT_OUT, description=_IDEMPOTENCY_KEY)


@strawberry.input(description="Changes of an agent: what is left out stays; null clears a topic.")
class UpdateAgentInput:
    ref: str
    expected_version: int | None = LEFT_OUT
    name: str | None = LEFT_OUT
    profile: str | None = LEFT_OUT
    purpose: str | None = LEFT_OUT
    topic: str | None = LEFT_OUT
    channel: Channel | None = LEFT_OUT
    active: bool | None = LEFT_OUT
    idempotency_key: str | None = strawberry.field(default=LEFT_OUT, description=_IDEMPOTENCY_KEY)


@strawberry.type(description="The agent after the change, or why there was none.")
class AgentPayload:
    agent: Agent | None = None
    errors: list[UserError] = strawberry.field(default_factory=list)


@strawberry.type
class AgentQuery:
    @strawberry.field(description="The sending agents, in the order in which they were made.")
    async def agents(self, info: Info, *, include_inactive: bool = False) -> list[Agent]:
        view = await info.context.catalogue()
        return [_shown(view, held) for held in agents.agents(view.catalogue, include_inactive=include_inactive)]

    @strawberry.field(
        description="May this agent write to this address? As checkConsent with the profile, purpose, topic and channel that "
        "the agent is configured with."
    )
    async def check_agent_consent(
        self, info: Info, agent: str, address: str, min_position: Long | None = LEFT_OUT
    ) -> ConsentDecision:
        context = info.context
        context.require_in_unit("check")
        [answered] = await agents.check_agent(context.tenant, agent, [address], min_position=given(min_position))
        [decision] = decisions(context, answered.agent.message.channel, None, [answered.answer])
        return decision


@strawberry.type
class AgentMutation:
    @strawberry.mutation(description="Configure a sending agent.")
    async def create_agent(self, info: Info, input: CreateAgentInput) -> AgentPayload:
        context = _admin(info)
        topic = given(input.topic)
        try:
            made = await agents.create_agent(
                context.tenant,
                context.caller,
                key=input.key,
                name=input.name,
                profile=ref(context.tenant.id, NodeKind.COMPLIANCE_PROFILE, input.profile),
                purpose=ref(context.tenant.id, NodeKind.PURPOSE, input.purpose),
                topic=None if topic is None else ref(context.tenant.id, NodeKind.TOPIC, topic),
                channel=input.channel,
                idempotency_key=given(input.idempotency_key),
            )
        except Refusal as refusal:
            return AgentPayload(errors=[user_error(refusal)])
        return _payload(context, made)

    @strawberry.mutation(description="Change a sending agent, switch it off or on again.")
    async def update_agent(self, info: Info, input: UpdateAgentInput) -> AgentPayload:
        context = _admin(info)
        try:
            changed = await agents.update_agent(
                context.tenant,
                context.caller,
                ref=input.ref,
                expected_version=given(input.expected_version),
                name=change(input.name),
                profile=_ref(context, NodeKind.COMPLIANCE_PROFILE, input.profile),
                purpose=_ref(context, NodeKind.PURPOSE, input.purpose),
                topic=_ref(context, NodeKind.TOPIC, input.topic),
                channel=change(input.channel),
                active=change(input.active),
                idempotency_key=given(input.idempotency_key),
            )
        except Refusal as refusal:
            return AgentPayload(errors=[user_error(refusal)])
        return _payload(context, changed)


def _admin(info: Info) -> RequestContext:
    context = info.context
    context.require("admin")
    context.after_a_change()
    return context


def _ref(context: RequestContext, kind: NodeKind, value: str | None) -> str | None | Unchanged:
    changed = change(value)
    return ref(context.tenant.id, kind, changed) if isinstance(changed, str) else changed


def _payload(context: RequestContext, changed: Changed[SendingAgent]) -> AgentPayload:
    return AgentPayload(agent=_shown(CatalogueView(context.tenant, changed.catalogue), changed.item))


def _shown(view: CatalogueView, held: SendingAgent) -> Agent:
    return Agent(
        held=held,
        view=view,
        key=held.key,
        name=held.name,
        active=held.active,
        channel=held.message.channel,
        version=held.version,
    )
