"""The end of a log in memory: what it holds, and that a filter asked there answers as the database does."""

import asyncio
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.addresses import Channel
from domain.consent import ConsentSource, ConsentValue
from eventstore import read
from eventstore.read import EntryFilter
from ledger.assembly import Caller, Tenant
from ledger.record import Capture, record_consent


async def record_some(tenant: Tenant, caller: Caller, count: int) -> None:
    values, sources = list(ConsentValue), list(ConsentSource)
    for number in range(count):
        await record_consent(
            tenant,
            caller,
            Capture(
                channel=(Channel.EMAIL, Channel.PUSH)[number % 2],
                address=f"a{number % 4}@example.org",
                purpose=("commercial", "tracking")[number % 3 % 2],
                value=values[number % 3],
                source=sources[number % 4],
            ),
        )


async def test_it_holds_what_came_since_it_is_watched_and_no_more_than_it_may(
    tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.tail._HELD_ENTRIES_MAX", 3)
    tails = tenant.ledger.tails
    with tails.watching(tenant.id, await tails.size(tenant.id)) as tail, tails.watching(tenant.id, 0) as same:
        assert same is tail
        assert (tail.low, tail.size) == (7, 7)
        assert tail.after(6, 10) == []
        for number in range(5):
            growth = tail.growth()
            await record_some(tenant, caller, 1)
            await asyncio.wait_for(growth.wait(), 10)
            assert tail.size == 8 + number
        assert (tail.low, tail.size) == (9, 12)
        assert [indexed.stored.position for indexed in tail.after(8, 2)] == [9, 10]
        assert [indexed.stored.position for indexed in tail.after(11, 2)] == []
        with pytest.raises(LookupError):
            tail.after(7, 1)
        assert tail.last_of_type == {"ConsentCaptured": 11}


async def test_a_hole_is_never_passed_on(tenant: Tenant, caller: Caller) -> None:
    await record_some(tenant, caller, 2)
    async with tenant.ledger.connection() as connection:
        entries = await read.forward_indexed(connection, tenant.id, after=7, limit=1)
    tails = tenant.ledger.tails
    with tails.watching(tenant.id, 7) as tail, pytest.raises(RuntimeError, match="hole"):
        tail.grow(entries)


_POSITIONS = st.none() | st.integers(0, 40)
_INSTANTS = st.none() | st.sampled_from([datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)])
_MEMBERS = {
    "types": st.lists(st.sampled_from(["ConsentCaptured", "PurposeCreated", "TenantCreated"]), max_size=2),
    "channel": st.sampled_from(["EMAIL", "PUSH", "SMS"]),
    "purpose": st.sampled_from(["commercial", "tracking", "none"]),
    "purposes": st.lists(st.sampled_from(["commercial", "tracking", "none"]), max_size=2),
    "topic": st.sampled_from(["none"]),
    "values": st.lists(st.sampled_from(["OPTED_IN", "OPTED_OUT", "NOT_SET"]), max_size=2),
    "sources": st.lists(st.sampled_from(["FORM", "IMPORT", "PREFERENCE_CENTER"]), max_size=2),
    "application": st.sampled_from(["tests", "other"]),
    "stream": st.integers(0, 30),
    "recorded_from": _INSTANTS,
    "recorded_to": _INSTANTS,
    "from_position": _POSITIONS,
    "to_position": _POSITIONS,
}


async def test_a_filter_passes_in_memory_what_it_passes_in_the_database(tenant: Tenant, caller: Caller) -> None:
    await record_some(tenant, caller, 24)
    async with tenant.ledger.connection() as connection:
        everything = await read.forward_indexed(connection, tenant.id, after=-1, limit=100)

    async def check(given: dict[str, Any]) -> None:
        if "stream" in given:
            given = {**given, "stream": everything[given["stream"]].stored.entry.stream}
        wanted = EntryFilter(**given)
        async with tenant.ledger.connection() as connection:
            found = await read.forward(connection, tenant.id, wanted, limit=100)
        in_memory = [indexed.stored.position for indexed in everything if wanted.passes(indexed)]
        assert in_memory == [stored.position for stored in found]

    assert {member.name for member in fields(EntryFilter)} == set(_MEMBERS)
    examples: list[dict[str, Any]] = []

    @settings(max_examples=150, database=None, suppress_health_check=list(HealthCheck))
    @given(st.fixed_dictionaries({}, optional=_MEMBERS))
    def collect(example: dict[str, Any]) -> None:
        examples.append(example)

    collect()
    assert len(examples) > 100
    for example in examples:
        await check(example)
