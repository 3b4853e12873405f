"""Sending agents: configuring them, asking by an agent's name, and recording what a person told one.

An agent's configuration and the decision come from one state of the log: an agent that was switched off, or set to another
purpose, is never answered for by what it was before.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from domain import agent_commands
from domain.addresses import Channel
from domain.agents import AgentMessage, SendingAgent
from domain.catalogue import Catalogue, PurposeType, by_keys
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.refusals import Refusal, RefusalCode
from domain.text import clean_text
from ledger.answers import Answer
from ledger.assembly import Caller, Tenant
from ledger.catalogue import Changed, change, given_fields
from ledger.check import Question, check
from ledger.idempotency import KEY_CHARS_MAX
from ledger.record import Actor, Capture, Recorded, opt_out_of_all, record_consent
from ledger.repeated_opt_outs import are_out


async def create_agent(
    tenant: Tenant, caller: Caller, *, idempotency_key: str | None = None, **fields: Any
) -> Changed[SendingAgent]:
    """Configure an agent; see `domain.agent_commands.create_agent`."""
    after, _ = await change(
        tenant,
        caller,
        "createAgent",
        lambda catalogue: agent_commands.create_agent(catalogue, **fields),
        fields,
        idempotency_key,
    )
    return Changed(after.agent(fields["key"]), after)


async def update_agent(
    tenant: Tenant, caller: Caller, *, idempotency_key: str | None = None, **fields: Any
) -> Changed[SendingAgent]:
    """Change an agent; see `domain.agent_commands.update_agent`."""
    after, _ = await change(
        tenant,
        caller,
        "updateAgent",
        lambda catalogue: agent_commands.update_agent(catalogue, **fields),
        given_fields(fields),
        idempotency_key,
    )
    return Changed(after.agent(fields["ref"]), after)


@dataclass(frozen=True, slots=True)
class AgentAnswer:
    """The answer for one address, and the agent as it was configured in that state of the log."""

    agent: SendingAgent
    answer: Answer


async def check_agent(
    tenant: Tenant, ref: str, addresses: Sequence[str], *, min_position: int | None = None
) -> list[AgentAnswer]:
    """May this agent write to these addresses? In the order asked.

    Raises Refusal NOT_FOUND, INACTIVE (the agent, or what its messages name), and what `check` raises.
    """
    agent = await find_agent(tenant, ref)
    while True:
        _require_active(agent)
        answers = await check(tenant, _question(agent.message, addresses, min_position))
        if not answers:
            return []
        # The decision may have been taken in a later state of the catalogue than the agent was found in.
        decided_for = tenant.catalogue_at(answers[0].catalogue_position).agent(ref)
        if decided_for.message == agent.message and decided_for.active:
            return [AgentAnswer(decided_for, answer) for answer in answers]
        agent = decided_for


async def find_agent(tenant: Tenant, ref: str) -> SendingAgent:
    """The agent with this key, inactive or not. Raises Refusal NOT_FOUND, StoreUnavailable."""
    if ref in tenant.catalogue.agents:
        return tenant.catalogue.agents[ref]
    # What is not in the catalogue as held may have been made since.
    return (await tenant.latest_catalogue()).agent(ref)


def agents(catalogue: Catalogue, *, include_inactive: bool) -> list[SendingAgent]:
    """The agents, in the order in which they were made."""
    return [agent for agent in catalogue.agents.values() if include_inactive or agent.active]


def _question(message: AgentMessage, addresses: Sequence[str], min_position: int | None) -> Question:
    purpose, topic = by_keys((message.purpose, message.topic))
    return Question(
        channel=message.channel,
        addresses=addresses,
        profile=message.profile,
        purpose=purpose,
        topic=topic,
        min_position=min_position,
    )


def _require_active(agent: SendingAgent) -> None:
    if not agent.active:
        raise Refusal(RefusalCode.INACTIVE, f"agent {agent.key} is inactive: it may send nothing", ("agent",))


class OptOutScope(StrEnum):
    """How much a person said no to."""

    TOPIC = "topic"
    PURPOSE = "purpose"
    EVERYTHING_COMMERCIAL = "everything_commercial"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldToStop:
    """What a person told an agent. `agent` names the agent that was told, if it is configured; all others are refs."""

    channel: Channel | None = None
    address: str = field(repr=False)
    agent: str | None = None
    purpose: str | None = None
    topic: str | None = None
    scope: OptOutScope | None = None
    words: str | None = field(default=None, repr=False)
    idempotency_key: str | None = field(default=None, repr=False)


async def record_opt_out(tenant: Tenant, caller: Caller, told: ToldToStop) -> Recorded:
    """Record that a person said no, with source and actor AGENT; inactive agents and purposes are no hindrance.

    Silence is taken as the wider: no scope means the whole purpose, and with no purpose either everything commercial.
    A key loses none: one that is too long or cannot be stored stands for what it is; one that stands for another opt-out, or
    for one that does not count any more, is left out. Raises Refusal, StoreUnavailable: then nothing is recorded, or ask again
    with the same idempotency key.
    """
    told = replace(told, idempotency_key=_storable(told.idempotency_key))
    no = await _understood(tenant, told)
    try:
        recorded = await _record(tenant, caller, told, no)
    except Refusal as refusal:
        if refusal.code is not RefusalCode.IDEMPOTENCY_CONFLICT:
            raise
        recorded = None
    if recorded is not None and not (recorded.repeated and await _is_lost(tenant, no, told.address)):
        return recorded
    return await _record(tenant, caller, replace(told, idempotency_key=None), no)


def _storable(key: str | None) -> str | None:
    try:
        return clean_text(key, field="idempotencyKey", chars_max=KEY_CHARS_MAX)
    except Refusal:
        return hashlib.sha256((key or "").encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _No:
    """What a person said no to, by refs: everything commercial where no purpose is named."""

    channel: Channel
    purpose: str | None = None
    topic: str | None = None


async def _understood(tenant: Tenant, told: ToldToStop) -> _No:
    message = None if told.agent is None else (await find_agent(tenant, told.agent)).message
    if message is not None and not _is_its_own(await tenant.latest_catalogue(), message, told):
        raise Refusal(
            RefusalCode.INVALID, "an agent has its purpose and topic: name it or others, not both", ("purpose",)
        )
    purpose, topic = (told.purpose, told.topic) if message is None else by_keys((message.purpose, message.topic))
    channel = told.channel or (Channel.EMAIL if message is None else message.channel)
    if topic is not None and purpose is None:
        raise Refusal(RefusalCode.INVALID, "a topic is named with its purpose", ("purpose",))
    scope = told.scope or (OptOutScope.EVERYTHING_COMMERCIAL if purpose is None else OptOutScope.PURPOSE)
    if scope is OptOutScope.EVERYTHING_COMMERCIAL:
        return _No(channel=channel)
    if purpose is None:
        raise Refusal(RefusalCode.INVALID, f"scope {scope} needs an agent or a purpose", ("scope",))
    if scope is OptOutScope.TOPIC and topic is None:
        raise Refusal(RefusalCode.INVALID, "scope topic needs a topic, and none is named or configured", ("scope",))
    if scope is OptOutScope.PURPOSE and topic is not None:
        # A topic of another purpose is a mistake about what the person said no to, even where the topic does not count.
        (await tenant.latest_catalogue()).capture_subject(purpose, topic, value=ConsentValue.OPTED_OUT)
    return _No(channel=channel, purpose=purpose, topic=topic if scope is OptOutScope.TOPIC else None)


async def _record(tenant: Tenant, caller: Caller, told: ToldToStop, no: _No) -> Recorded:
    actor = Actor(kind=ActorKind.AGENT, id=told.agent)
    if no.purpose is None:
        return await opt_out_of_all(
            tenant,
            caller,
            channel=no.channel,
            address=told.address,
            source=ConsentSource.AGENT,
            reason=told.words,
            idempotency_key=told.idempotency_key,
            actor=actor,
        )
    return await record_consent(
        tenant,
        caller,
        Capture(
            channel=no.channel,
            address=told.address,
            purpose=no.purpose,
            topic=no.topic,
            value=ConsentValue.OPTED_OUT,
            source=ConsentSource.AGENT,
            reason=told.words,
            actor=actor,
            idempotency_key=told.idempotency_key,
        ),
    )


async def _is_lost(tenant: Tenant, no: _No, address: str) -> bool:
    """Whether what an opt-out is of, everything that is commercial by now, is not all opted out any more."""
    catalogue = await tenant.latest_catalogue()
    if no.purpose is None:
        levels = [(key, None) for key, one in catalogue.purposes.items() if one.type is PurposeType.COMMERCIAL]
    else:
        topic = None if no.topic is None else catalogue.topic(no.topic).key
        levels = [(catalogue.purpose(no.purpose).key, topic)]
    async with tenant.ledger.connection() as connection:
        return not all(await are_out(connection, tenant, [(no.channel, address, level) for level in levels]))


def _is_its_own(catalogue: Catalogue, message: AgentMessage, told: ToldToStop) -> bool:
    """Whether what is named beside an agent, if anything, is what the agent is configured with."""
    if told.purpose is not None and catalogue.purpose(told.purpose).key != message.purpose:
        return False
    if told.topic is None:
        return True
    return message.topic is not None and catalogue.topic(told.topic).key == message.topic
