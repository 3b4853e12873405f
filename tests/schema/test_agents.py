"""Sending agents over GraphQL: configured as a new message may be, asked for by name, and stopped at once."""

from typing import Any

import pytest

from domain.refusals import RefusalCode
from tests.schema.conftest import Asker

ADA = "ada@example.org"
AGENT = "agent { key name active channel version profile { key } purpose { key } topic { key } } errors { code path }"
CREATE = f"mutation($input: CreateAgentInput!) {{ createAgent(input: $input) {{ {AGENT} }} }}"
UPDATE = f"mutation($input: UpdateAgentInput!) {{ updateAgent(input: $input) {{ {AGENT} }} }}"
CHECK = """query($agent: String!, $address: String!) { checkAgentConsent(agent: $agent, address: $address) {
    allowed address reasons { code purpose { key } topic { key } } receipt unsubscribe { headers { name } } } }"""


@pytest.fixture
async def sales(ask: Asker) -> Asker:
    """One agent for a topic, one for a purpose of its own."""
    await ask.data(
        """mutation {
          createTopic(input: {key: "news", name: "News", purpose: "commercial"}) { errors { code } }
          createPurpose(input: {key: "closing", name: "Closing", type: COMMERCIAL, profiles: ["default"]}) { errors { code } }
          one: createAgent(input: {key: "sqa", name: "Sales", purpose: "commercial", topic: "news"}) { errors { code } }
          two: createAgent(input: {key: "sca", name: "Sales close", purpose: "closing"}) { errors { code } }
        }"""
    )
    return ask


async def allowed(ask: Asker, agent: str, address: str = ADA) -> bool:
    return (await ask.data(CHECK, agent=agent, address=address))["checkAgentConsent"]["allowed"]


async def created(ask: Asker, **given: Any) -> Any:
    return (await ask.data(CREATE, input={"key": "a", "name": "A", "purpose": "commercial", **given}))["createAgent"]


async def updated(ask: Asker, ref: str, **given: Any) -> Any:
    return (await ask.data(UPDATE, input={"ref": ref, **given}))["updateAgent"]


async def test_an_agent_is_what_its_messages_name(sales: Asker) -> None:
    made = await created(sales, channel="SMS")
    assert made == {
        "agent": {
            "key": "a", "name": "A", "active": True, "channel": "SMS", "version": 1, "profile": {"key": "default"},
            "purpose": {"key": "commercial"}, "topic": None,
        },
        "errors": [],
    }  # fmt: skip
    listed = await sales.data("{ agents { key } all: agents(includeInactive: true) { key } }")
    assert [agent["key"] for agent in listed["agents"]] == ["sqa", "sca", "a"]
    await updated(sales, "a", active=False)
    listed = await sales.data("{ agents { key } all: agents(includeInactive: true) { key } }")
    assert ([agent["key"] for agent in listed["agents"]], len(listed["all"])) == (["sqa", "sca"], 3)


async def test_an_agent_only_names_itself(sales: Asker) -> None:
    await sales.record(ADA, "OPTED_OUT", "commercial")
    answer = (await sales.data(CHECK, agent="sqa", address=ADA))["checkAgentConsent"]
    assert answer["allowed"] is False
    assert answer["address"] == ADA
    assert [(reason["code"], reason["topic"]) for reason in answer["reasons"]][0] == ("OPTED_OUT", None)
    other = (await sales.data(CHECK, agent="sca", address=ADA))["checkAgentConsent"]
    assert other["allowed"] is True
    assert other["reasons"][0]["purpose"] == {"key": "closing"}
    assert [header["name"] for header in other["unsubscribe"]["headers"]] == [
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
    ]
    assert other["receipt"].startswith("consentry/receipt@v1\n")


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ({"key": "sqa"}, "ALREADY_EXISTS", "key"),
        ({"key": "Not a key"}, "INVALID", "key"),
        ({"name": " "}, "INVALID", "name"),
        ({"purpose": "none"}, "NOT_FOUND", "purpose"),
        ({"purpose": "tracking"}, "INVALID", "purpose"),
        ({"purpose": "closing", "topic": "news"}, "TOPIC_OUTSIDE_PURPOSE", "topic"),
        ({"profile": "none"}, "NOT_FOUND", "profile"),
        ({"topic": "none"}, "NOT_FOUND", "topic"),
    ],
)
async def test_an_agent_for_what_no_message_may_name_is_refused(
    sales: Asker, given: dict[str, Any], code: str, path: str
) -> None:
    assert (await created(sales, **given))["errors"] == [{"code": code, "path": [path]}]


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ({"purpose": "closing"}, "TOPIC_OUTSIDE_PURPOSE", "topic"),
        ({"purpose": None}, "INVALID", "purpose"),
        ({"channel": None}, "INVALID", "channel"),
        ({"name": None}, "INVALID", "name"),
        ({"expectedVersion": 7, "name": "B"}, "VERSION_CONFLICT", "expectedVersion"),
    ],
)
async def test_a_change_to_what_no_message_may_name_is_refused(
    sales: Asker, given: dict[str, Any], code: str, path: str
) -> None:
    assert (await updated(sales, "sqa", **given))["errors"] == [{"code": code, "path": [path]}]
    assert (await updated(sales, "none", name="B"))["errors"] == [{"code": "NOT_FOUND", "path": ["ref"]}]


async def test_a_change_moves_the_agent_and_a_topic_can_be_cleared(sales: Asker) -> None:
    await sales.record(ADA, "OPTED_OUT", "closing")
    assert await allowed(sales, "sqa") is True
    moved = await updated(sales, "sqa", purpose="closing", topic=None, expectedVersion=1)
    assert (moved["agent"]["purpose"], moved["agent"]["topic"], moved["agent"]["version"]) == (
        {"key": "closing"},
        None,
        2,
    )
    assert await allowed(sales, "sqa") is False
    # What changes nothing is no event.
    assert (await updated(sales, "sqa", purpose="closing"))["agent"]["version"] == 2


@pytest.mark.parametrize(
    "switched_off",
    [
        'updateAgent(input: {ref: "sqa", active: false})',
        'updateTopic(input: {ref: "news", active: false})',
        'updatePurpose(input: {ref: "commercial", active: false})',
        'updateComplianceProfile(input: {ref: "default", active: false})',
    ],
)
async def test_an_agent_of_which_anything_is_inactive_is_refused(sales: Asker, switched_off: str) -> None:
    assert await allowed(sales, "sqa") is True
    await sales.data(f"mutation {{ {switched_off} {{ errors {{ code }} }} }}")
    refusal = await sales.refused(CHECK, agent="sqa", address=ADA)
    assert refusal.code is RefusalCode.INACTIVE


async def test_an_agent_that_is_not_there_is_refused(sales: Asker) -> None:
    refusal = await sales.refused(CHECK, agent="none", address=ADA)
    assert (refusal.code, refusal.path) == (RefusalCode.NOT_FOUND, ("agent",))
