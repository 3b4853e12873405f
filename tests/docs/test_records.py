"""The worked example of docs/records.md, as it stands there: its mutations lead to its records, in which nothing is missing."""

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

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
