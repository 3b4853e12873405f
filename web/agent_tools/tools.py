"""The tools: their definitions, the scope that each needs, and one call that runs any of them and never fails but in words.

A tool translates, calls the ledger once or twice, translates back. Whatever goes wrong is an error result that says not to send.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp import types
from pydantic import BaseModel, ValidationError

from domain.addresses import Channel, normalise
from domain.consent import ConsentRecord
from domain.decision import Reason as DecisionReason
from domain.time import format_instant
from domain.upcasting import upcast
from ledger import history
from ledger.agents import OptOutScope, ToldToStop, check_agent, record_opt_out
from ledger.answers import Answer
from ledger.assembly import Caller, Tenant
from ledger.check import Question, check_for_message
from ledger.history import EventFilter, StoredEntry
from ledger.links import unsubscribe_links
from ledger.receipts import Answered, receipts
from ledger.still_sent import still_sent_to
from schema.node_ids import NodeKind, ref
from schema.refusals import Forbidden
from web.agent_tools.answers import (
    DO_NOT_SEND,
    CheckAnswer,
    Header,
    HistoryAnswer,
    HistoryEvent,
    LinkAnswer,
    OptOutAnswer,
    Reason,
    RecordedOptOut,
    Unsubscribe,
)
from web.agent_tools.arguments import CheckConsent, ConsentHistory, GetUnsubscribeLink, RecordOptOut, wrong_arguments
from web.agent_tools.protocol import failed
from web.refusals import exception_entry

INSTRUCTIONS = (
    "Before every single message, call check_consent. Only an answer that starts with `You may send` allows that one message; "
    f"`{DO_NOT_SEND}`, an error, or no answer at all means that nothing is sent. Put the link and the headers of the answer into "
    "the message and keep the receipt with it. When a person says in any words that they want no more messages, call "
    "record_opt_out at once."
)


async def check_consent(tenant: Tenant, caller: Caller, asked: CheckConsent) -> CheckAnswer:
    """The decision, with what goes into the message where it may go."""
    agent, channel, answer = await _answer(tenant, asked)
    [receipt] = await receipts(tenant, [Answered(answer, channel, None)])
    decision = answer.decision
    return CheckAnswer(
        decision="YOU MAY SEND" if decision.allowed else "DO NOT SEND",
        allowed=decision.allowed,
        address=answer.address,
        agent=agent,
        **_subject(answer, channel),
        tracking_allowed=answer.tracking_allowed,
        reasons=[
            Reason(
                code=reason.code,
                message=reason.message,
                purpose=reason.purpose,
                topic=reason.topic,
                value=reason.value,
                enforcement=reason.enforcement,
                position=_shown_position(tenant, reason.record),
            )
            for reason in decision.reasons
        ],
        position=answer.position,
        decided_at=format_instant(answer.decided_at),
        unsubscribe=_unsubscribe(tenant, answer, channel, asked.message_id) if decision.allowed else None,
        receipt=receipt,
    )


async def get_unsubscribe_link(tenant: Tenant, caller: Caller, asked: GetUnsubscribeLink) -> LinkAnswer:
    """The links of a message to this address, whether or not it may go."""
    agent, channel, answer = await _answer(tenant, asked)
    return LinkAnswer(
        decision="YOU MAY SEND" if answer.allowed else "DO NOT SEND",
        allowed=answer.allowed,
        address=answer.address,
        agent=agent,
        **_subject(answer, channel),
        unsubscribe=_unsubscribe(tenant, answer, channel, asked.message_id),
    )


async def record_no(tenant: Tenant, caller: Caller, told: RecordOptOut) -> OptOutAnswer:
    """The opt-out, recorded durably, and whether a check will heed it."""
    recorded = await record_opt_out(
        tenant,
        caller,
        ToldToStop(
            channel=None if told.channel is None else Channel(told.channel),
            address=told.address,
            agent=told.agent,
            purpose=None if told.purpose is None else ref(tenant.id, NodeKind.PURPOSE, told.purpose),
            topic=None if told.topic is None else ref(tenant.id, NodeKind.TOPIC, told.topic),
            scope=None if told.scope is None else OptOutScope(told.scope),
            words=told.words,
            idempotency_key=told.idempotency_key,
        ),
    )
    levels = [(event.entry.data["purpose"], event.entry.data.get("topic")) for event in recorded.events]
    reasons: list[DecisionReason | None] = []
    if recorded.events:
        channel = Channel(recorded.events[0].entry.data["channel"])
        reasons = await still_sent_to(tenant, channel, told.address, levels)
    return OptOutAnswer(
        decision="RECORDED, NOT ENFORCED" if reasons and None not in reasons else "DO NOT SEND",
        recorded=bool(recorded.events),
        repeated=recorded.repeated,
        position=recorded.position,
        opted_out=[
            RecordedOptOut(
                position=event.position,
                purpose=purpose,
                topic=topic,
                allowed=reason is not None,
                reason=None if reason is None else reason.code,
                message=None if reason is None else reason.message,
            )
            for event, (purpose, topic), reason in zip(recorded.events, levels, reasons, strict=True)
        ],
    )


async def consent_history(tenant: Tenant, caller: Caller, asked: ConsentHistory) -> HistoryAnswer:
    """What happened at this address; what is personal of it only for keys that may read that."""
    found = await history.find_contact_point(tenant, Channel(asked.channel), asked.address)
    if found is None:
        return HistoryAnswer(known=False, events=[], next_before_position=None)
    if asked.before_position == 0:
        return HistoryAnswer(known=True, events=[], next_before_position=None)
    wanted = EventFilter(
        purpose=None if asked.purpose is None else ref(tenant.id, NodeKind.PURPOSE, asked.purpose),
        topic=None if asked.topic is None else ref(tenant.id, NodeKind.TOPIC, asked.topic),
        to_position=None if asked.before_position is None else asked.before_position - 1,
    )
    page = (await history.histories(tenant, [found.id], wanted, last=asked.limit))[found.id]
    events = [event for _, event in reversed(page.items)]
    opened: Mapping[int, dict[str, Any]] = {}
    if caller.may_in_its_unit("read:personal"):
        opened = await history.evidence(tenant, events)
    return HistoryAnswer(
        known=True,
        events=[_event(event, opened.get(event.position)) for event in events],
        next_before_position=events[-1].position if page.has_previous_page else None,
    )


@dataclass(frozen=True, slots=True)
class AgentTool:
    """One tool: what a client is told of it, what it takes, the scope it needs and what it does."""

    definition: types.Tool
    arguments: type[BaseModel]
    scope: str
    run: Callable[[Tenant, Caller, Any], Awaitable[Any]]


def _tool(
    name: str,
    title: str,
    description: str,
    arguments: type[BaseModel],
    answer: type[BaseModel],
    scope: str,
    run: Callable[[Tenant, Caller, Any], Awaitable[Any]],
    *,
    changes: bool = False,
) -> AgentTool:
    definition = types.Tool(
        name=name,
        title=title,
        description=f"{description} Needs a key with the scope {scope}.",
        inputSchema=arguments.model_json_schema(),
        outputSchema=answer.model_json_schema(),
        annotations=types.ToolAnnotations(
            title=title, readOnlyHint=not changes, destructiveHint=False, idempotentHint=True, openWorldHint=False
        ),
    )
    return AgentTool(definition, arguments, scope, run)


TOOLS: Mapping[str, AgentTool] = {
    tool.definition.name: tool
    for tool in (
        _tool(
            "check_consent",
            "May I write to this address?",
            "Ask before every message. Only an answer that starts with `You may send` allows that one message; "
            f"`{DO_NOT_SEND}`, an error, or no answer means that you do not send. The answer holds the links and headers "
            "to put into the message, and a signed receipt to keep.",
            CheckConsent,
            CheckAnswer,
            "check",
            check_consent,
        ),
        _tool(
            "get_unsubscribe_link",
            "The unsubscribe link of a message",
            "The person's link, the one-click address and the headers for one message. A link is no permission to send.",
            GetUnsubscribeLink,
            LinkAnswer,
            "check",
            get_unsubscribe_link,
        ),
        _tool(
            "record_opt_out",
            "They said no",
            "Call it at once when a person says, in any words, that they want no more messages. It is recorded for ever.",
            RecordOptOut,
            OptOutAnswer,
            "write",
            record_no,
            changes=True,
        ),
        _tool(
            "consent_history",
            "What happened at this address",
            "Every choice that was recorded at an address, newest first. History is no permission to send.",
            ConsentHistory,
            HistoryAnswer,
            "read",
            consent_history,
        ),
    )
}


async def call_tool(
    tenant: Tenant, caller: Caller, name: str, arguments: Mapping[str, Any], request_id: str
) -> types.CallToolResult:
    """Run a tool. Every error is a result that says, first of all, not to send."""
    tool = TOOLS.get(name)
    if tool is None:
        return failed(f"There is no such tool; there are {', '.join(TOOLS)}.")
    try:
        if not caller.may_in_its_unit(tool.scope):
            raise Forbidden(tool.scope)
        answer = await tool.run(tenant, caller, tool.arguments.model_validate(arguments))
    except ValidationError as error:
        return failed(f"{_undone(tool)}{wrong_arguments(error, tool.arguments)}.")
    except Exception as error:  # noqa: BLE001 - whatever it is, the agent has to be told not to send
        entry = exception_entry(error, request_id)
        extensions = entry["extensions"]
        path = ".".join(extensions.get("path", ()))
        said = f"{path}: {entry['message']}" if path else entry["message"]
        number = f" {extensions['id']}" if "id" in extensions else ""
        return failed(f"{_undone(tool)}{said} ({extensions['code']}{number}).")
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=answer.words())], structuredContent=answer.model_dump(mode="json")
    )


def _undone(tool: AgentTool) -> str:
    changes = tool.definition.annotations is not None and not tool.definition.annotations.readOnlyHint
    return "The opt-out may not be recorded yet: mend what is wrong and call again. " if changes else ""


async def _answer(tenant: Tenant, asked: CheckConsent | GetUnsubscribeLink) -> tuple[str | None, Channel, Answer]:
    if asked.agent is not None:
        [answered] = await check_agent(tenant, asked.agent, [asked.address])
        return answered.agent.key, answered.agent.message.channel, answered.answer
    channel = Channel(asked.channel or Channel.EMAIL)
    question = Question(
        channel=channel,
        addresses=[asked.address],
        profile=ref(tenant.id, NodeKind.COMPLIANCE_PROFILE, asked.profile or "default"),
        purpose=ref(tenant.id, NodeKind.PURPOSE, asked.purpose or ""),
        topic=None if asked.topic is None else ref(tenant.id, NodeKind.TOPIC, asked.topic),
    )
    [answer] = await check_for_message(tenant, question)
    return None, channel, answer


def _shown_position(tenant: Tenant, record: ConsentRecord | None) -> int | None:
    """Where the event of a record is, for whoever sees the unit whose it is."""
    seen = record is not None and (tenant.own_units is None or record.unit in tenant.own_units)
    return record.position if record is not None and seen else None


def _subject(answer: Answer, channel: Channel) -> dict[str, Any]:
    subject = answer.subject
    return {
        "profile": subject.profile.key,
        "purpose": subject.purpose.key,
        "topic": None if subject.topic is None else subject.topic.key,
        "channel": str(channel),
    }


def _unsubscribe(tenant: Tenant, answer: Answer, channel: Channel, message_id: str | None) -> Unsubscribe:
    """The links of a message. Raises Refusal INVALID_ADDRESS for an address that is none."""
    links = unsubscribe_links(tenant, answer.subject, channel, normalise(channel, answer.address), message_id)
    return Unsubscribe(
        preference_center_url=links.preference_center_url,
        one_click_url=links.one_click_url,
        headers=[Header(name=name, value=value) for name, value in links.headers],
    )


def _event(event: StoredEntry, personal: dict[str, Any] | None) -> HistoryEvent:
    entry = event.entry
    data = upcast(entry.type, entry.version, entry.data)
    return HistoryEvent(
        position=entry.position,
        type=entry.type,
        recorded_at=format_instant(entry.recorded_at),
        effective_at=None if entry.effective_at is None else format_instant(entry.effective_at),
        purpose=data.get("purpose"),
        topic=data.get("topic"),
        value=data.get("value"),
        source=data.get("source"),
        reason=data.get("reason"),
        application=entry.application,
        actor=entry.actor,
        personal=personal,
    )
