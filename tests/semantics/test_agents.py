"""SEMANTICS.md, "Agents": each sentence of it, on the real log."""

import io
import itertools
from collections.abc import Sequence

import pytest

from domain import agent_commands
from domain.addresses import Channel
from domain.agents import AgentMessage
from domain.catalogue import EnforcementModel
from domain.catalogue_fold import fold
from domain.consent import ConsentValue
from domain.events import CatalogueEvent, EventType
from ledger.agents import AgentAnswer, check_agent, create_agent
from ledger.assembly import Caller, Tenant
from ledger.catalogue import create_topic, update_purpose
from ledger.check import Question, check
from ledger.links import unsubscribe_links
from ledger.receipts import Answered, receipts
from ledger.record import Capture, record_consent
from ledger.signing import verifier_keys
from tests.semantics.given import NOW, after, catalogue
from verifier.checkpoint import Trust
from verifier.verify import verify_file

ADA = "ada@example.org"


def test_an_agent_is_configured_with_profile_purpose_and_topic() -> None:
    made = after(
        catalogue(), agent_commands.create_agent(catalogue(), key="a", name="A", purpose="commercial", topic="news")
    )
    assert made.agents["a"].message == AgentMessage("default", "commercial", "news", Channel.EMAIL)
    changed = after(made, agent_commands.update_agent(made, ref="a", topic=None, channel=Channel.SMS))
    assert changed.agents["a"].message == AgentMessage("default", "commercial", None, Channel.SMS)
    assert changed.agents["a"].version == 2


def test_an_agent_is_as_it_was_made_before_it_is_known_to_have_changed() -> None:
    made = agent_commands.create_agent(catalogue(), key="a", name="A", purpose="commercial")
    held = after(catalogue(), made)
    drafts = [*made, *agent_commands.update_agent(held, ref="a", name="B")]
    later = NOW.replace(year=2027)
    events = [
        CatalogueEvent(type=draft.type, data=draft.data, recorded_at=later, position=number)
        for number, draft in enumerate(drafts)
    ]
    assert fold(events, known_at=NOW).agents["a"].name == "A"
    assert fold(events, known_at=later).agents["a"].name == "B"
    assert [draft.type for draft in drafts] == [EventType.AGENT_CONFIGURED, EventType.AGENT_UPDATED]


@pytest.mark.parametrize(
    ("model", "purpose_value", "topic_value"),
    list(itertools.product(EnforcementModel, (None, *ConsentValue), (None, *ConsentValue))),
)
async def test_an_agent_is_answered_as_who_names_all_of_it(
    tenant: Tenant,
    caller: Caller,
    model: EnforcementModel,
    purpose_value: ConsentValue | None,
    topic_value: ConsentValue | None,
) -> None:
    await configured(tenant, caller, model)
    for topic, value in ((None, purpose_value), ("news", topic_value)):
        if value is not None:
            await capture(tenant, caller, value, topic)
    [answered] = await check_agent(tenant, "a", [ADA])
    [answer] = await check(tenant, Question(channel=Channel.EMAIL, addresses=[ADA], purpose="commercial", topic="news"))
    assert (answered.answer.decision, answered.answer.tracking) == (answer.decision, answer.tracking)


async def test_a_blocked_answer_means_that_it_does_not_send(tenant: Tenant, caller: Caller) -> None:
    await configured(tenant, caller, EnforcementModel.NON_RESTRICTIVE)
    assert allowed(await check_agent(tenant, "a", [ADA])) == [True]
    await capture(tenant, caller, ConsentValue.OPTED_OUT, None)
    assert allowed(await check_agent(tenant, "a", [ADA, "bob@example.org", "none", ADA])) == [False, True, False, False]


async def test_the_answer_carries_link_headers_and_a_receipt_that_anyone_can_verify(
    tenant: Tenant, caller: Caller
) -> None:
    await configured(tenant, caller, EnforcementModel.NON_RESTRICTIVE)
    [answered] = await check_agent(tenant, "a", [ADA])
    links = unsubscribe_links(tenant, answered.answer.subject, Channel.EMAIL, ADA)
    assert [name for name, _ in links.headers] == ["List-Unsubscribe", "List-Unsubscribe-Post"]
    [receipt] = await receipts(tenant, [Answered(answered.answer, Channel.EMAIL, None)])
    trust = Trust.parse([key.text() for key in await verifier_keys(tenant)])
    assert verify_file(io.BytesIO(receipt.encode()), trust).proven


async def configured(tenant: Tenant, caller: Caller, model: EnforcementModel) -> None:
    await create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    await update_purpose(tenant, caller, ref="commercial", enforcement=[(Channel.EMAIL, model)])
    await create_agent(tenant, caller, key="a", name="A", purpose="commercial", topic="news")


async def capture(tenant: Tenant, caller: Caller, value: ConsentValue, topic: str | None) -> None:
    given = Capture(channel=Channel.EMAIL, address=ADA, purpose="commercial", topic=topic, value=value)
    await record_consent(tenant, caller, given)


def allowed(answers: Sequence[AgentAnswer]) -> list[bool]:
    return [answered.answer.decision.allowed for answered in answers]
