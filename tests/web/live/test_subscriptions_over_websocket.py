"""consentEvents over graphql-transport-ws on a real socket: what comes, in which order, and how it ends."""

import asyncio
import contextlib
from collections.abc import Callable

import asyncpg
import httpx
import pytest
from following import Running, Socket, capture, running

from eventstore.database import StoreUnavailable
from ledger.api_keys import create_key, key_id, revoke_key
from ledger.assembly import Ledger, Tenant

Connect = Callable[..., Socket]


async def test_first_what_is_there_and_then_what_comes_each_once_in_order(
    socket: Connect, tenant: Tenant, key: str
) -> None:
    for number in range(3):
        await capture(tenant, number)
    async with socket(key) as client:
        await client.subscribe(afterPosition=3)
        assert await client.positions(6) == list(range(4, 10))
        recorded = [await capture(tenant, number) for number in range(3, 8)]
        assert await client.positions(5) == recorded == list(range(10, 15))


async def test_from_position_is_the_first_that_comes_and_nothing_is_before_the_first_of_the_log(
    socket: Connect, tenant: Tenant, key: str
) -> None:
    async with socket(key) as client:
        await client.subscribe(fromPosition=0)
        assert await client.positions(7) == list(range(7))
        await client.subscribe("later", fromPosition=5)
        assert await client.positions(2, "later") == [5, 6]
        await client.say(id="1", type="complete")
        await client.say(id="later", type="complete")
        # The log's next position is none beyond its end.
        await client.subscribe("next", fromPosition=7)
        assert await capture(tenant, 1) == 7
        assert await client.positions(1, "next") == [7]


async def test_without_a_start_it_is_from_now_on(socket: Connect, tenant: Tenant, key: str) -> None:
    await capture(tenant, 1)
    async with socket(key) as client:
        await client.subscribe()
        # Answered in order on one socket: once the query is, the subscription had begun.
        recorded: list[int] = []
        heard = asyncio.create_task(client.positions(1))
        while not heard.done():
            recorded.append(await capture(tenant, 100 + len(recorded)))
        assert (await heard)[0] in recorded


async def test_a_cursor_of_the_subscription_and_of_the_query_say_where_to_go_on(
    socket: Connect, tenant: Tenant, key: str
) -> None:
    async with socket(key) as client:
        await client.subscribe(afterPosition=0)
        cursor = (await client.edges(3))[-1]["cursor"]
        await client.say(id="1", type="complete")
    async with socket(key) as client:
        await client.subscribe("again", after=cursor)
        assert await client.positions(1, "again") == [4]
        await client.say(id="again", type="complete")
        await client.say(
            id="q", type="subscribe", payload={"query": "{ consentEvents(first: 5) { edges { cursor } } }"}
        )
        while (message := await client.hear())["id"] != "q":
            pass
        from_query = message["payload"]["data"]["consentEvents"]["edges"][4]["cursor"]
        assert await client.hear() == {"id": "q", "type": "complete"}
        await client.subscribe("more", after=from_query)
        assert await client.positions(2, "more") == [5, 6]


async def test_a_revoked_key_ends_its_streams_and_no_others(served: Running, socket: Connect, tenant: Tenant) -> None:
    bad, good = [await create_key(tenant, "a", ["read"]) for _ in range(2)]
    async with socket(bad) as revoked, socket(good) as kept:
        await revoked.subscribe()
        await kept.subscribe(afterPosition=5)
        assert await kept.positions(1) == [6]
        await revoke_key(tenant, key_id(bad).key_id)
        code, reason = await revoked.closed()
        assert (code, reason) == (4403, "the API key was revoked")
        await capture(tenant, 1)
        assert await kept.positions(1) == [7]


async def test_a_server_that_stops_closes_with_1012_and_the_cursor_goes_on_elsewhere(
    ledger: Ledger, tenant: Tenant, key: str
) -> None:
    async with running(ledger) as first:
        async with Socket(first.websocket_url, key) as client:
            await client.subscribe(afterPosition=4)
            cursor = (await client.edges(1))[0]["cursor"]
            first.live.sessions.stop()
            assert (await client.closed())[0] == 1012
        async with running(ledger) as second, Socket(second.websocket_url, key) as client:
            await client.subscribe(after=cursor)
            assert await client.positions(1) == [6]


async def test_a_stream_stays_open_while_the_database_throws_everybody_out(
    socket: Connect, tenant: Tenant, key: str
) -> None:
    async with socket(key) as client:
        await client.subscribe(afterPosition=5)
        assert await client.positions(1) == [6]
        owner = await asyncpg.connect(**tenant.ledger.address.owner)
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        await owner.close()
        recorded = None
        while recorded is None:
            with contextlib.suppress(StoreUnavailable):
                recorded = await capture(tenant, 1)
        assert await client.positions(1) == [7]


async def test_what_is_open_is_measured(served: Running, socket: Connect, tenant: Tenant, key: str) -> None:
    async with socket(key) as client, httpx.AsyncClient(base_url=served.url) as asking:
        await client.subscribe()
        await client.subscribe("2", afterPosition=5)
        assert await client.positions(1, "2") == [6]
        await capture(tenant, 1)
        await client.hear()
        text = (await asking.get("/metrics")).text
    assert "consentry_live_connections 1.0" in text
    assert "consentry_live_subscribers 2.0" in text
    assert "consentry_live_slow_consumers_ended_total 0.0" in text
    assert "consentry_feed_lag_seconds_count 1.0" in text


async def test_who_asks_while_the_database_is_away_is_told_to_ask_again_on_the_same_socket(
    socket: Connect, tenant: Tenant, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_args: object) -> int:
        raise StoreUnavailable("away")

    async with socket(key) as client:
        with monkeypatch.context() as patched:
            patched.setattr(tenant.ledger.tails, "size", away)
            await client.subscribe(fromPosition=0)
            message = await client.hear()
        assert (message["type"], message["id"]) == ("error", "1")
        assert message["payload"][0]["extensions"]["code"] == "UNAVAILABLE"
        await client.subscribe(fromPosition=0)
        assert await client.positions(7) == list(range(7))
