"""What a running operation holds of the request that began it: what it needs, and no more of one key than it may."""

import asyncio
import gc
from typing import Any

import httpx
import pytest
from following import SUBSCRIBE, WAIT_S, Running, Socket, running, sse
from starlette.requests import Request

from ledger.api_keys import create_key
from ledger.assembly import Ledger, Tenant
from web.live.sessions import LiveLimits

EVENTS = {"accept": "text/event-stream"}
MARK = "left" + "Over"


def with_junk() -> str:
    """A subscription as JSON, with extensions and a variable that nothing asks for: no object of the test holds them."""
    junk = f'{{"{MARK}": [[], {{}}]}}'
    query = SUBSCRIBE.replace("\n", " ")
    variables = f'{{"afterPosition": 5, "other": {junk}}}'
    return f'{{"query": "{query}", "variables": {variables}, "extensions": {{"x": {junk}}}}}'


def kept() -> list[Any]:
    gc.collect()
    return [one for one in gc.get_objects() if type(one) is dict and MARK in one]


async def test_a_subscription_over_websocket_lets_go_of_what_it_does_not_need(served: Running, key: str) -> None:
    async with Socket(served.websocket_url, key) as client:
        await client.connection.send(f'{{"type": "subscribe", "id": "1", "payload": {with_junk()}}}')
        assert await client.positions(1) == [6]
        assert kept() == []


async def test_a_stream_lets_go_of_its_body_and_of_what_it_does_not_need(served: Running, key: str) -> None:
    headers = {**EVENTS, "authorization": f"Bearer {key}", "content-type": "application/json"}
    async with (
        httpx.AsyncClient(base_url=served.url, timeout=WAIT_S) as client,
        client.stream("POST", "/graphql", content=with_junk(), headers=headers) as response,
    ):
        async for event, _ in sse(response):
            if event == "next":
                break
        assert kept() == []
        requests = [one for one in gc.get_objects() if type(one) is Request]
        assert requests
        assert not any(hasattr(one, "_body") for one in requests)


async def test_a_subscription_over_sse_is_as_small_as_one_over_websocket(served: Running, key: str) -> None:
    headers = {**EVENTS, "authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S) as client:
        padded = {"query": SUBSCRIBE, "extensions": {"x": "x" * 256 * 1024}}
        refused = await client.post("/graphql", json=padded)
        assert refused.status_code == 413
        assert refused.json()["errors"][0]["message"].startswith("a subscription has at most 262144 bytes")
        # A question is answered and forgotten.
        async with client.stream("POST", "/graphql", json={**padded, "query": "{ viewer { scopes } }"}) as response:
            assert response.status_code == 200


async def test_the_subscriptions_of_one_key_keep_so_many_bytes(ledger: Ledger, tenant: Tenant, key: str) -> None:
    async with running(ledger, LiveLimits(kept_bytes_per_key=2 * len(SUBSCRIBE) + 100)) as served:
        async with Socket(served.websocket_url, key) as client:
            for number in ("1", "2"):
                await client.subscribe(number, afterPosition=5)
                assert await client.positions(1, number) == [6]
            await client.subscribe("3", afterPosition=5)
            [error] = (await client.hear())["payload"]
            assert error["extensions"]["limit"] == "bytes of the subscriptions of one API key"
            async with Socket(served.websocket_url, await create_key(tenant, "other", ["read"])) as other:
                await other.subscribe(afterPosition=5)
                assert await other.positions(1) == [6]
        async with asyncio.timeout(WAIT_S):
            while served.live.sharing._kept_bytes:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_only_opening_a_stream_does_without_the_key(served: Running, key: str, method: str) -> None:
    async with httpx.AsyncClient(base_url=served.url, timeout=WAIT_S) as client:
        token = (await client.put("/graphql", headers={"authorization": f"Bearer {key}"})).text
        told = {**EVENTS, "x-graphql-event-stream-token": token}
        refused = await client.request(method, "/graphql", headers=told, params={"operationId": "1"})
        assert refused.status_code == 401
        async with client.stream("GET", "/graphql", headers=told) as response:
            assert response.status_code == 200
