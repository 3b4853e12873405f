"""Random histories through the HTTP API: every answer is that of a naive model written from SEMANTICS.md alone."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore.database import DatabaseAddress
from ledger import catalogue
from ledger.api_keys import SCOPES, create_key
from ledger.assembly import Ledger, ledger_on
from ledger.tenants import create_tenant
from tests.conftest import APPLICATION, Clock
from tests.model.naive import PURPOSES, TOPICS, Model, Record
from web.app import create_app

START = datetime(2026, 6, 1, tzinfo=UTC)
ADDRESSES = ["ada@example.org", "grace@example.org"]
VALUES = ["OPTED_IN", "OPTED_OUT", "NOT_SET"]
MODELS = ["RESTRICTIVE", "NON_RESTRICTIVE", "DISABLED"]
LEVELS = [(purpose, None) for purpose in PURPOSES] + [(purpose, topic) for topic, purpose in TOPICS.items()]
# Few distinct instants, so that ties and exact bounds come up all the time.
OFFSETS = st.integers(-6, 8).map(lambda hours: timedelta(hours=hours))

RECORDS = st.fixed_dictionaries(
    {
        "do": st.just("record"),
        "address": st.sampled_from(ADDRESSES),
        "level": st.sampled_from(LEVELS),
        "value": st.sampled_from(VALUES),
        "effective": st.none() | st.integers(-6, 0).map(lambda hours: timedelta(hours=hours)),
        "valid_for": st.none() | st.integers(1, 6).map(lambda hours: timedelta(hours=hours)),
        "actor": st.sampled_from(["SYSTEM", "RECIPIENT", "RECIPIENT"]),
    }
)
STEPS = st.lists(
    st.one_of(
        RECORDS,
        RECORDS,
        RECORDS,
        st.fixed_dictionaries(
            {"do": st.just("enforce"), "purpose": st.sampled_from(list(PURPOSES)), "model": st.sampled_from(MODELS)}
        ),
        st.fixed_dictionaries(
            {
                "do": st.just("erase"),
                "address": st.sampled_from(ADDRESSES),
                "keep": st.sampled_from([True, True, False]),
            }
        ),
        st.fixed_dictionaries({"do": st.just("wait"), "hours": st.integers(1, 2)}),
    ),
    max_size=14,
)
TIMES = st.lists(st.tuples(st.none() | OFFSETS, st.none() | OFFSETS), min_size=1, max_size=2)

CHECK = """query ($a: CheckConsentsInput!, $b: CheckConsentInput!) {
  many: checkConsents(input: $a) { address allowed trackingAllowed reasons { code value enforcement } }
  one: checkConsent(input: $b) { allowed reasons { code } }
}"""
RECORD = """mutation ($input: RecordConsentInput!) {
  recordConsent(input: $input) { position consent { value } errors { code path } }
}"""
ERASE = """mutation ($input: EraseContactPointInput!) {
  eraseContactPoint(input: $input) { erasedEvents certificate { type } errors { code path } }
}"""
ENFORCE = """mutation ($input: UpdatePurposeInput!) { updatePurpose(input: $input) { errors { code } } }"""
CONTACT_POINT = """query ($address: String!, $purpose: String!, $topic: String, $as: DateTime, $known: DateTime) {
  contactPoint(address: $address) {
    consent(purpose: $purpose, topic: $topic, asOf: $as, knownAt: $known) { value }
    contactability(asOf: $as, knownAt: $known) { purpose { key } topic { key } value contactability }
    history { totalCount }
  }
}"""
SELECT = """query ($filter: ContactPointFilter!) { contactPoints(filter: $filter) { totalCount nodes { address } } }"""


@dataclass
class Api:
    ledger: Ledger
    clock: Clock
    client: httpx.AsyncClient
    tenants: int = 0

    async def ask(self, document: str, **variables: Any) -> Any:
        response = await self.client.post("/graphql", json={"query": document, "variables": variables})
        body = response.json()
        assert "errors" not in body, body
        return body["data"]


@pytest.fixture
async def api(database: DatabaseAddress, data_dir: Path, clock: Clock) -> AsyncIterator[Api]:
    async with ledger_on(database, data_dir / "master.key", clock=clock) as ledger:
        transport = httpx.ASGITransport(app=create_app(ledger))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield Api(ledger, clock, client)


def text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, times=TIMES)
async def test_every_answer_is_that_of_the_naive_model(api: Api, steps: list[dict[str, Any]], times: list[Any]) -> None:
    model = await play(api, steps)
    now = api.clock.now
    for as_of_offset, known_offset in [(None, None), *times]:
        as_of = None if as_of_offset is None else START + as_of_offset
        known_at = None if known_offset is None else START + known_offset
        resolved_known = known_at or now
        resolved_as = as_of or resolved_known
        for purpose, topic in LEVELS:
            await compare_checks(api, model, purpose, topic, (as_of, known_at), (resolved_as, resolved_known))
            for address in ADDRESSES:
                await compare_contact_point(
                    api, model, address, purpose, topic, (as_of, known_at), (resolved_as, resolved_known)
                )
    for purpose, topic in LEVELS:
        await compare_selection(api, model, purpose, topic, now)


async def play(api: Api, steps: list[dict[str, Any]]) -> Model:
    """A new tenant with this history, in the ledger and in the model."""
    api.clock.now = START
    api.tenants += 1
    tenant = await create_tenant(api.ledger, f"model-{id(api)}-{api.tenants}", "Model")
    for key, purpose in TOPICS.items():
        await catalogue.create_topic(tenant, APPLICATION, key=key, name=key, purpose=purpose)
    secret = await create_key(tenant, "tests", SCOPES)
    api.client.headers["Authorization"] = f"Bearer {secret}"
    model = Model()
    for step in steps:
        if step["do"] == "wait":
            api.clock.now += timedelta(hours=step["hours"])
        elif step["do"] == "enforce":
            enforcement = [{"channel": "EMAIL", "model": step["model"]}]
            data = await api.ask(ENFORCE, input={"ref": step["purpose"], "enforcement": enforcement})
            assert data["updatePurpose"]["errors"] == []
            model.enforcement.append((api.clock.now, step["purpose"], step["model"]))
        elif step["do"] == "erase":
            await erase(api, model, step["address"], keep=step["keep"])
        else:
            await record(api, model, step)
    return model


async def erase(api: Api, model: Model, address: str, *, keep: bool) -> None:
    asked = {"address": address, "reason": "asked for it", "keepSuppression": keep}
    payload = (await api.ask(ERASE, input=asked))["eraseContactPoint"]
    events = sum(record.address == address for record in model.records)
    if not events:
        before = any(suppression.address == address for suppression in model.suppressions)
        assert payload["errors"] == [{"code": "ERASED" if before else "NOT_FOUND", "path": ["address"]}]
        return
    assert payload == {"erasedEvents": events, "certificate": {"type": "ContactPointErased"}, "errors": []}
    model.erase(address, api.clock.now, keep=keep)


async def record(api: Api, model: Model, step: dict[str, Any]) -> None:
    now = api.clock.now
    purpose, topic = step["level"]
    effective = None if step["effective"] is None else now + step["effective"]
    valid_until = None if step["valid_for"] is None else (effective or now) + step["valid_for"]
    data = await api.ask(
        RECORD,
        input={
            "address": step["address"],
            "purpose": purpose,
            "topic": topic,
            "value": step["value"],
            "effectiveAt": text(effective),
            "validUntil": text(valid_until),
            "actor": {"kind": step["actor"]},
        },
    )
    payload = data["recordConsent"]
    if valid_until is not None and step["value"] != "OPTED_IN":
        assert payload["errors"] == [{"code": "INVALID", "path": ["validUntil"]}]
        return
    assert payload["errors"] == []
    model.records.append(
        Record(step["address"], purpose, topic, step["value"], effective or now, now, valid_until, step["actor"])
    )


async def compare_checks(
    api: Api, model: Model, purpose: str, topic: str | None, asked: tuple[Any, Any], at: tuple[datetime, datetime]
) -> None:
    common = {"purpose": purpose, "topic": topic, "asOf": text(asked[0]), "knownAt": text(asked[1])}
    data = await api.ask(
        CHECK, a={"addresses": [*ADDRESSES, "nobody", "new@example.org"], **common},
        b={"address": ADDRESSES[0].upper(), **common},
    )  # fmt: skip
    for answer, address in zip(data["many"][:2] + data["many"][3:], [*ADDRESSES, "new@example.org"], strict=True):
        allowed, codes = model.check(address, purpose, topic, *at)
        assert (answer["allowed"], [reason["code"] for reason in answer["reasons"]]) == (allowed, codes)
        assert answer["trackingAllowed"] is model.tracked(address, *at)
        assert {reason["enforcement"] for reason in answer["reasons"]} == {model.enforced(purpose, at[1])}
    assert [reason["code"] for reason in data["many"][2]["reasons"]] == ["INVALID_ADDRESS"]
    assert not data["many"][2]["allowed"]
    allowed, codes = model.check(ADDRESSES[0], purpose, topic, *at)
    assert data["one"] == {"allowed": allowed, "reasons": [{"code": code} for code in codes]}


async def compare_contact_point(
    api: Api,
    model: Model,
    address: str,
    purpose: str,
    topic: str | None,
    asked: tuple[Any, Any],
    at: tuple[datetime, datetime],
) -> None:
    data = await api.ask(
        CONTACT_POINT, address=address, purpose=purpose, topic=topic, **{"as": text(asked[0]), "known": text(asked[1])}
    )
    found = data["contactPoint"]
    mine = [record for record in model.records if record.address == address]
    if not mine:
        assert found is None
        return
    assert found["history"]["totalCount"] == len(mine)
    counting = model.counting(address, purpose, topic, *at)
    expired = counting is not None and counting.valid_until is not None and counting.valid_until <= at[0]
    assert found["consent"]["value"] == ("NOT_SET" if counting is None or expired else counting.value)
    for row in found["contactability"]:
        key, sub = row["purpose"]["key"], row["topic"] and row["topic"]["key"]
        allowed, _ = model.check(address, key, sub, *at)
        word = "TRACK" if key == "tracking" else "SEND"
        assert row["contactability"] == (f"WILL_{word}" if allowed else f"WILL_NOT_{word}")
    assert {(row["purpose"]["key"], row["topic"] and row["topic"]["key"]) for row in found["contactability"]} == set(
        LEVELS
    )


async def compare_selection(api: Api, model: Model, purpose: str, topic: str | None, now: datetime) -> None:
    known = {record.address for record in model.records}
    word = "TRACK" if purpose == "tracking" else "SEND"
    for wanted, allowed in ((f"WILL_{word}", True), (f"WILL_NOT_{word}", False)):
        data = await api.ask(SELECT, filter={"purpose": purpose, "topic": topic, "contactability": wanted})
        found = data["contactPoints"]
        expected = {address for address in known if model.check(address, purpose, topic, now, now)[0] is allowed}
        assert {node["address"] for node in found["nodes"]} == expected
        assert found["totalCount"] == len(expected)
