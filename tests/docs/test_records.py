"""The worked example of docs/records.md, as it stands there: its mutations lead to its records, in which nothing is missing."""

import json
import re
import shlex
import uuid
from pathlib import Path
from typing import Any

import pytest

from cli.main import parser
from domain.addresses import Channel
from domain.controller import MEMBERS
from ledger.assembly import Tenant
from ledger.records.facts import facts_of
from ledger.records.iso_27560 import iso_27560
from ledger.records.kantara import kantara
from schema.schema import build_schema
from tests.schema.conftest import ALL_SCOPES, Asker

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "records.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
async def example(tenant: Tenant) -> Tenant:
    ask = Asker(build_schema(), tenant, ALL_SCOPES)
    for document in blocks("graphql"):
        [answered] = (await ask.data(document)).values()
        assert answered == {"errors": []}
    return tenant


async def test_the_example_leads_to_its_records(example: Tenant) -> None:
    facts = await facts_of(example, Channel.EMAIL, "ada@example.org")
    now = example.ledger.clock()
    [kept] = kantara(facts, now=now)["receipts"]
    receipt, process = map(json.loads, blocks("json"))
    said: dict[str, Any] = dict(kept["receipt"])
    assert uuid.UUID(said.pop("consentReceiptID"))
    assert uuid.UUID(receipt.pop("consentReceiptID"))
    assert said == receipt
    assert kept["missing"] == []
    whole = iso_27560(facts, receipt_id=uuid.uuid4(), now=now)
    assert whole["consentry:missing"] == []
    assert whole["dct:hasPart"][0]["dpv:hasProcess"] == process


def test_the_page_names_every_setting() -> None:
    setting = blocks("graphql")[0]
    assert not [name for name in MEMBERS if f"{name}:" not in setting and name != "sensitiveCategories"]


def test_each_command_takes_what_the_page_says_that_it_takes() -> None:
    commands = re.findall(r"^\| `consentry (.*?)` \|", PAGE, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        words = [*shlex.split(command), "--channel", "SMS"]
        assert parser().parse_args(words).channel == "SMS"
        if words[0] == "export":
            assert parser().parse_args([*words, "--profile", "brand"]).profile == "brand"
    assert [line for line in PAGE.splitlines() if "--profile" in line and "of the two exports" not in line] == []
    with pytest.raises(SystemExit):
        parser().parse_args(["subject-access", "a@example.org", "--tenant", "demo", "--profile", "brand"])
