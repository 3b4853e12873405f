"""Who asks for the same shares the work: an event is read, executed and encoded once, and what was erased is not kept."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from following import APPLICATION, Socket, capture, running

from domain.addresses import Channel
from domain.consent import ConsentValue
from eventstore import read
from eventstore.database import StoreUnavailable
from ledger import history
from ledger.api_keys import create_key
from ledger.assembly import Ledger, Tenant
from ledger.erasure import erase_contact_point
from ledger.given_evidence import Evidence
from ledger.importing import import_consents
from ledger.record import Capture, record_consents
from web.live import sharing
from web.live.sessions import LiveLimits

Connect = Callable[..., Socket]
ADDRESSES = """subscription($after: Long) { consentEvents(afterPosition: $after) {
    cursor node { position contactPoint { address } } } }"""


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each execution was of."""
    counts: list[int] = []
    genuine = sharing._Group._executed

    async def counting(self: sharing._Group, events: list[history.StoredEntry]) -> object:
        counts.extend(event.position for event in events)
        return await genuine(self, events)

    monkeypatch.setattr(sharing._Group, "_executed", counting)
    return counts


@pytest.fixture
async def many(socket: Connect, tenant: Tenant) -> AsyncIterator[list[Socket]]:
    async with AsyncExitStack() as stack:
        # Keys differ, their scopes do not.
        yield [
            await stack.enter_async_context(socket(await create_key(tenant, f"a{number}", ["read"])))
            for number in range(10)
        ]


async def test_an_event_is_executed_once_for_all_who_ask_for_the_same(
    many: list[Socket], tenant: Tenant, executed: list[int]
) -> None:
    for number, client in enumerate(many):
        # They start apart, and go on together.
        await client.subscribe(afterPosition=number % 7)
    for number, client in enumerate(many):
        await client.positions(6 - number % 7)
    executed.clear()
    recorded: list[int] = []
    for number in range(5):
        recorded.append(await capture(tenant, number))
        for client in many:
            assert await client.positions(1) == [recorded[-1]]
    assert executed == recorded


async def test_another_filter_document_or_scope_is_work_of_its_own(
    socket: Connect, tenant: Tenant, executed: list[int]
) -> None:
    plain, personal = await create_key(tenant, "a", ["read"]), await create_key(tenant, "a", ["read", "read:personal"])
    await capture(tenant, 1)
    async with socket(plain) as one, socket(personal) as two:
        await one.subscribe("same", query=ADDRESSES, after=6)
        assert (await one.edges(1, "same"))[0]["node"]["contactPoint"]["address"] is None
        await two.subscribe("other scope", query=ADDRESSES, after=6)
        assert (await two.edges(1, "other scope"))[0]["node"]["contactPoint"]["address"] == "a1@example.org"
        await one.subscribe("other filter", afterPosition=6, filter={"values": ["OPTED_OUT"]})
        await one.edges(1, "other filter")
        assert executed == [7, 7, 7]


async def test_what_was_erased_is_not_sent_from_what_was_kept(
    socket: Connect, tenant: Tenant, executed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_MOMENT_S", 1000)
    key = await create_key(tenant, "a", ["read", "read:personal"])
    await capture(tenant, 1)
    async with socket(key) as first, socket(key) as second, socket(key) as third:
        await first.subscribe(query=ADDRESSES, after=6)
        assert (await first.edges(1))[0]["node"]["contactPoint"]["address"] == "a1@example.org"
        await second.subscribe(query=ADDRESSES, after=6)
        assert (await second.edges(1))[0]["node"]["contactPoint"]["address"] == "a1@example.org"
        assert executed == [7], "the second got what was kept"
        await erase_contact_point(tenant, APPLICATION, channel=Channel.EMAIL, address="a1@example.org", reason="DSAR")
        await first.edges(2)
        await third.subscribe(query=ADDRESSES, after=6)
        assert [edge["node"]["contactPoint"]["address"] for edge in await third.edges(3)] == [None, None, None]


async def test_a_suppression_that_was_brought_in_is_told_live(socket: Connect, tenant: Tenant) -> None:
    key = await create_key(tenant, "a", ["read", "read:personal"])
    line = {"suppression": "ERASURE", "channel": "EMAIL", "address": "a1@example.org", "since": "2026-01-01T00:00:00Z"}
    async with socket(key) as client:
        await client.subscribe(query=ADDRESSES, after=6)
        for _ in range(2):
            await import_consents(
                tenant,
                io.BytesIO(json.dumps(line).encode()),
                format="ndjson",
                report=lambda *_: None,
                progress=lambda _: None,
            )
        await capture(tenant, 1)
        told = [edge["node"] for edge in await client.edges(2)]
    assert told == [
        {"position": 7, "contactPoint": {"address": None}}, {"position": 8, "contactPoint": {"address": "a1@example.org"}},
    ]  # fmt: skip


async def test_a_store_that_is_away_while_an_event_is_answered_delays_it_and_loses_nothing(
    socket: Connect, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine, failures = history.contact_points_by_id, [StoreUnavailable("away")] * 2

    async def failing(*args: object) -> object:
        if failures:
            raise failures.pop()
        return await genuine(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(history, "contact_points_by_id", failing)
    monkeypatch.setattr(sharing, "_AGAIN_S", 0)
    await capture(tenant, 1)
    async with socket(await create_key(tenant, "a", ["read"])) as client:
        await client.subscribe(query=ADDRESSES, after=6)
        assert (await client.edges(1))[0]["node"]["position"] == 7
    assert not failures


async def test_an_event_is_read_from_the_store_once_however_many_follow(
    many: list[Socket], tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    genuine = read.forward_indexed

    async def counting(*args: object, **options: object) -> object:
        found = await genuine(*args, **options)  # type: ignore[arg-type]
        reads.extend(indexed.stored.position for indexed in found)
        return found

    async def none(*_args: object, **_options: object) -> object:
        raise AssertionError("nobody is behind")

    for number, client in enumerate(many):
        await client.subscribe(filter={"toPosition": 1000 + number})
        await client.subscribe("also", afterPosition=6)
    while tenant.ledger.tails._tails.get(tenant.id) is None or tenant.ledger.tails._tails[tenant.id].watchers < 11:
        await asyncio.sleep(0.01)
    monkeypatch.setattr(read, "forward_indexed", counting)
    monkeypatch.setattr(read, "forward", none)
    recorded = [await capture(tenant, number) for number in range(3)]
    for client in many:
        heard = [(await client.hear())["payload"]["data"]["consentEvents"]["node"]["position"] for _ in range(6)]
        assert sorted(heard) == sorted(recorded * 2)
    assert reads == recorded


async def test_a_batch_ends_where_it_is_large_and_the_rest_follows(
    socket: Connect, key: str, executed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_BATCH_CHARS_MAX", 300)
    sizes: list[int] = []
    genuine = sharing._Group._payloads

    async def measured(self: sharing._Group, events: list[history.StoredEntry]) -> tuple[sharing.Payload, ...]:
        payloads = await genuine(self, events)
        sizes.append(sum(len(payload.text) for payload in payloads[:-1]))
        return payloads

    monkeypatch.setattr(sharing._Group, "_payloads", measured)
    async with socket(key) as client:
        await client.subscribe(afterPosition=0)
        assert await client.positions(6) == [1, 2, 3, 4, 5, 6]
    assert len(sizes) > 1
    assert max(sizes) < 300, "without the payload that reached it"
    assert executed == [1, 2, 3, 4, 5, 6], "nothing is executed that the batch may have no room for"


@pytest.mark.parametrize(("scopes", "slices"), [(["read"], [3]), (["read", "read:personal"], [1, 1, 1])])
async def test_of_events_that_may_be_large_few_are_executed_at_once(
    socket: Connect, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, scopes: list[str], slices: list[int]
) -> None:
    executed: list[int] = []
    genuine = sharing._Group._executed

    async def counting(self: sharing._Group, events: list[history.StoredEntry]) -> object:
        executed.append(len(events))
        return await genuine(self, events)

    monkeypatch.setattr(sharing._Group, "_executed", counting)
    captures = [
        Capture(
            channel=Channel.EMAIL, address=f"a{number}@example.org", purpose="commercial", value=ConsentValue.OPTED_IN,
            evidence=Evidence(notice_text="what was shown"),
        )
        for number in range(3)
    ]  # fmt: skip
    await record_consents(tenant, APPLICATION, captures)
    several = " ".join(f"e{number}: evidence" for number in range(20))
    async with socket(await create_key(tenant, "a", scopes)) as client:
        await client.subscribe(query=f"subscription {{ consentEvents(afterPosition: 6) {{ node {{ {several} }} }} }}")
        await client.edges(3)
    assert executed == slices


async def test_an_event_whose_answer_is_too_large_ends_the_stream_and_is_not_skipped(
    socket: Connect, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_EVENT_CHARS_MAX", 100)
    async with socket(key) as client:
        await client.subscribe(afterPosition=5)
        payload = (await client.hear())["payload"]
        assert payload["data"] is None
        assert payload["errors"][0]["extensions"]["limit"] == "characters of an event's answer"
        assert (await client.hear())["type"] == "complete"


async def test_other_things_are_done_between_the_events_of_a_batch(
    socket: Connect, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, between = sharing.encoded, []

    def watched(body: object) -> str:
        asyncio.get_running_loop().call_soon(between.append, len(between))
        seen.append(len(between))
        return encoded(body)  # type: ignore[arg-type]

    seen: list[int] = []
    monkeypatch.setattr(sharing, "encoded", watched)
    async with socket(key) as client:
        await client.subscribe(afterPosition=0)
        await client.positions(6)
    assert seen == [0, 1, 2, 3, 4, 5]


async def test_one_key_has_so_many_different_subscriptions_and_may_ask_for_the_same_again(
    ledger: Ledger, tenant: Tenant, key: str
) -> None:
    async with running(ledger, LiveLimits(documents_per_key=1)) as served:
        url = served.websocket_url
        async with Socket(url, key) as one, Socket(url, key) as two:
            await one.subscribe(afterPosition=5)
            assert await one.positions(1) == [6]
            await two.subscribe("same", afterPosition=5)
            assert await two.positions(1, "same") == [6]
            await two.subscribe("different", query=ADDRESSES, after=5)
            error = (await two.hear())["payload"][0]
            assert error["extensions"]["limit"] == "different subscriptions of one API key"
            async with Socket(url, await create_key(tenant, "other", ["read"])) as other:
                await other.subscribe(query=ADDRESSES, after=5)
                await other.edges(1)
        async with asyncio.timeout(20):
            while served.live.sharing._asked_by:
                await asyncio.sleep(0.01)
