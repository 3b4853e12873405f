"""Compiled or on graphql-core, the same of every question of the schema: random documents about a ledger with some history."""

import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore.database import DatabaseAddress
from ledger.assembly import Caller, Tenant, ledger_on
from ledger.tenants import create_tenant
from schema.context import RequestContext
from schema.plans.plans import Plans
from schema.schema import Schema, build_schema
from tests.conftest import APPLICATION, Clock
from tests.schema.conftest import Asker
from tests.schema.plans.comparing import Both, both
from tests.schema.plans.documents import RandomDocuments

DOCUMENTS = int(os.environ.get("CONSENTRY_TEST_DOCUMENTS", "1000")) // 2
_ADDRESSES = ("ann@example.com", "bob@example.com", "cy@example.com", "no address", "eve@example.com")
# Mostly everything may be asked; some scopes are missing, or all are.
_CALLERS = (*[APPLICATION] * 6, Caller("tests", frozenset(("check", "read"))), Caller("tests", frozenset()))
_AGAIN = 9
_met: Counter[str] = Counter()


class World:
    """A tenant with some history, and what there is in it to ask for."""

    def __init__(self, schema: Schema, tenant: Tenant, pool: dict[str, list[Any]]) -> None:
        self.schema = schema._schema
        self.plans = Plans(self.schema)
        self.tenant = tenant
        self.pool = pool


@pytest.fixture(scope="module")
async def world(database: DatabaseAddress, data_dir: Any) -> AsyncIterator[World]:
    schema = build_schema()
    async with ledger_on(database, data_dir / "master.key", clock=Clock()) as ledger:
        tenant = await create_tenant(ledger, "compiled", "Compiled")
        yield World(schema, tenant, await _with_history(Asker(schema, tenant, APPLICATION.scopes)))
    assert _met["the same"] > 0.5 * DOCUMENTS, _met
    assert _met["with data"] > 0.2 * DOCUMENTS, _met


async def _with_history(ask: Asker) -> dict[str, list[Any]]:
    await ask.data(
        'mutation { createTopic(input: {purpose: "commercial", key: "news", name: "News"})'
        " { topic { id } errors { message } } }"
    )
    for address in _ADDRESSES:
        if "@" in address:
            for value in ("OPTED_IN", "OPTED_OUT") if address.startswith("a") else ("OPTED_IN",):
                await ask.record(address, value, reason="said so", evidence={"ipAddress": "192.0.2.1"})
            await ask.record(address, "OPTED_OUT", topic="news")
    found = await ask.data(
        """{ consentEvents(first: 5) { edges { cursor } nodes { id } }
        contactPoints(filter: {purpose: "commercial"}) { nodes { id } }
        purposes: complianceProfiles { nodes { id purposes { id topics { id } } } } }"""
    )
    profiles = found["purposes"]["nodes"]
    ids = [
        *(node["id"] for node in found["consentEvents"]["nodes"] + found["contactPoints"]["nodes"] + profiles),
        *(purpose["id"] for purpose in profiles[0]["purposes"]),
        "nothing",
    ]
    cursors = [edge["cursor"] for edge in found["consentEvents"]["edges"]]
    return {
        "address": list(_ADDRESSES),
        "addresses": list(_ADDRESSES),
        "purpose": ["commercial"] * 9 + ["no-such"],
        "profile": ["default"] * 9 + ["no-such"],
        "topic": ["news"] * 9 + ["no-such"],
        "ref": ["default", "commercial", "news"],
        "key": ["default", "commercial", "news"],
        "id": ids,
        "ids": ids,
        "after": cursors,
        "before": cursors,
        "first": [1, 2, 5, 1000],
        "last": [1, 2],
        "asOf": ["2026-06-01T12:00:00Z", "2026-05-01T12:00:00Z"],
        "knownAt": ["2026-06-01T12:00:00Z"],
        "position": [0, 1, 5],
        "minPosition": [0, 1, 5],
        "fromPosition": [0, 1, 5],
        "toPosition": [0, 5],
        "application": ["tests"],
    }


def _agree(compiled: str, core: str) -> bool:
    """Whether two answers are the same. Of one that an error has ended as a whole, the specification lets it open which of the
    others are told: those that had come by then. So there the errors of one are among those of the other.
    """
    if compiled == core:
        return True
    one, other = json.loads(compiled), json.loads(core)
    if one.get("data", ...) is not None or other.get("data", ...) is not None:
        return False
    fewer, more = sorted((one["errors"], other["errors"]), key=len)
    return bool(fewer) and all(error in more for error in fewer)


# What an error overtakes may end without ever being awaited, on either side.
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@settings(max_examples=DOCUMENTS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=True))
async def test_random_questions_have_the_same_answers(world: World, random: Random) -> None:
    asked = RandomDocuments(world.schema, random, world.pool, wrong=0.01).asked()
    caller = random.choice(_CALLERS)

    async def run() -> Both | None:
        context = partial(RequestContext, world.tenant, caller)
        return await both(world.schema, world.plans, asked, context, lambda _: "", alone=False)

    outcome = await run()
    # Which of two errors comes first is the database's to say, where each waited for it.
    for _ in range(_AGAIN):
        if outcome is None or outcome.compiled in (None, outcome.core):
            break
        outcome = await run()
    if outcome is None:
        _met["invalid"] += 1
    elif outcome.compiled is None:
        _met["left to graphql-core"] += 1
    else:
        assert _agree(outcome.compiled, outcome.core), asked
        _met["the same"] += 1
        _met["with data"] += '"data": {' in outcome.core
