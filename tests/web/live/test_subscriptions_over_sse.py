"""consentEvents over graphql-sse, both modes of its protocol, on a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from following import SUBSCRIBE, WAIT_S, Running, capture, running, sse

from ledger.api_keys import create_key, key_id, revoke_key
from ledger.assembly import Ledger, Tenant
from web.live.sessions import LiveLimits

EVENTS = {"accept": "text/event-stream"}


class Stream:
    """The events of an open stream."""

    def __init__(self, response: httpx.Response) -> None:
        self._events = sse(response)

    async def comment_or_event(self) -> tuple[str, Any]:
        event, data = await asyncio.wait_for(anext(self._events), WAIT_S)
        return event, json.loads(data) if data else None

    async def event(self) -> tuple[str, Any]:
        while True:
            event, data = await self.comment_or_event()
            if event != ":":
                return event, data

    async def position(self) -> int:
        event, data = await self.event()
        assert event == "next", data
        return data.get("payload", data)["data"]["consentEvents"]["node"]["position"]


@pytest.fixture
async def client(served: Running, key: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S) as client:
        yield client


def subscription(operation_id: str | None = None, **variables: Any) -> dict[str, Any]:
    extensions = {} if operation_id is None else {"extensions": {"operationId": operation_id}}
    return {"query": SUBSCRIBE, "variables": variables, **extensions}


async def test_a_distinct_connection_streams_what_is_there_and_then_what_comes(
    client: httpx.AsyncClient, tenant: Tenant
) -> None:
    async with client.stream("POST", "/graphql", json=subscription(afterPosition=3), headers=EVENTS) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        stream = Stream(response)
        assert [await stream.position() for _ in range(3)] == [4, 5, 6]
        assert await capture(tenant, 1) == await stream.position() == 7


async def test_a_get_streams_too_and_queries_and_mutations_come_as_one_event(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", "/graphql", params={"query": SUBSCRIBE, "variables": '{"afterPosition": 5}'},
                             headers=EVENTS) as response:  # fmt: skip
        assert await Stream(response).position() == 6
    async with client.stream("POST", "/graphql", json={"query": "{ viewer { scopes } }"}, headers=EVENTS) as response:
        stream = Stream(response)
        assert await stream.event() == ("next", {"data": {"viewer": {"scopes": ["read"]}}})
        assert await stream.event() == ("complete", None)
    mutation = 'mutation { updateTenant(name: "x") { errors { code } } }'
    refused = await client.get("/graphql", params={"query": mutation}, headers=EVENTS)
    assert refused.status_code == 405


async def test_what_is_wrong_with_an_operation_is_an_event_of_the_stream(client: httpx.AsyncClient) -> None:
    for query, code in (("{ nonsense }", "GRAPHQL_VALIDATION_FAILED"), ("{", "GRAPHQL_PARSE_FAILED")):
        async with client.stream("POST", "/graphql", json={"query": query}, headers=EVENTS) as response:
            assert response.status_code == 200
            stream = Stream(response)
            event, data = await stream.event()
            assert (event, data["errors"][0]["extensions"]["code"]) == ("next", code)
            assert await stream.event() == ("complete", None)


async def test_a_single_connection_carries_all_operations_by_their_ids(
    client: httpx.AsyncClient, served: Running, tenant: Tenant
) -> None:
    reserved = await client.put("/graphql")
    assert reserved.status_code == 201
    token = reserved.text
    with_token = {"x-graphql-event-stream-token": token}
    # An operation may come before its stream.
    accepted = await client.post("/graphql", json=subscription("one", afterPosition=5), headers=with_token)
    assert (accepted.status_code, accepted.content) == (202, b"")
    # As EventSource does it: without any header of its own.
    async with httpx.AsyncClient(base_url=served.url, timeout=WAIT_S) as plain, plain.stream(
        "GET", "/graphql", params={"token": token}, headers=EVENTS
    ) as response:  # fmt: skip
        stream = Stream(response)
        event, data = await stream.event()
        assert (event, data["id"], data["payload"]["data"]["consentEvents"]["node"]["position"]) == ("next", "one", 6)
        again = await client.get("/graphql", headers={**EVENTS, **with_token})
        assert again.status_code == 409
        taken = await client.post("/graphql", json=subscription("one"), headers=with_token)
        assert taken.status_code == 409
        query = {"query": "{ viewer { scopes } }", "extensions": {"operationId": "two"}}
        assert (await client.post("/graphql", json=query, headers=with_token)).status_code == 202
        assert await stream.event() == ("next", {"id": "two", "payload": {"data": {"viewer": {"scopes": ["read"]}}}})
        assert await stream.event() == ("complete", {"id": "two"})
        wrong = await client.post(
            "/graphql", json={"query": "{ nonsense }", "extensions": {"operationId": "x"}}, headers=with_token
        )
        assert wrong.json()["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        nameless = await client.post("/graphql", json={"query": "{ viewer { scopes } }"}, headers=with_token)
        assert (nameless.status_code, nameless.json()["errors"][0]["extensions"]["path"]) == (
            400,
            ["extensions", "operationId"],
        )
        assert (await client.delete("/graphql", headers=with_token)).status_code == 400
        stopped = await client.delete("/graphql", params={"operationId": "one"}, headers=with_token)
        assert stopped.status_code == 200
        assert (await client.post("/graphql", json=subscription("one"), headers=with_token)).status_code == 202
        stop = await client.delete("/graphql", params={"operationId": "one"}, headers=with_token)
        assert stop.status_code == 200
    # With the stream its token has gone.
    while (await client.post("/graphql", json=subscription("n"), headers=with_token)).status_code != 404:
        await asyncio.sleep(0.01)


async def test_a_stream_is_of_one_key(client: httpx.AsyncClient, served: Running, tenant: Tenant) -> None:
    token = (await client.put("/graphql")).text
    with_token = {"x-graphql-event-stream-token": token}
    other = {**with_token, "authorization": f"Bearer {await create_key(tenant, 'other', ['read'])}"}
    assert (await client.post("/graphql", json=subscription("a"), headers=other)).status_code == 404
    assert (await client.delete("/graphql?operationId=a", headers=other)).status_code == 404
    assert (await client.get("/graphql", headers={**EVENTS, **other})).status_code == 404
    async with httpx.AsyncClient(base_url=served.url) as nobody:
        assert (await nobody.put("/graphql")).status_code == 401
        assert (await nobody.post("/graphql", json=subscription("a"), headers=with_token)).status_code == 401
        assert (await nobody.post("/graphql", json=subscription(), headers=EVENTS)).status_code == 401
        assert (await nobody.get("/graphql", params={"token": "x"}, headers=EVENTS)).status_code == 404
    assert (await client.delete("/graphql?operationId=a")).status_code == 404


async def test_a_quiet_stream_says_that_it_lives(ledger: Ledger, key: str) -> None:
    async with (
        running(ledger, LiveLimits(heartbeat_s=0.01)) as served,
        httpx.AsyncClient(base_url=served.url) as client,
    ):
        headers = {**EVENTS, "authorization": f"Bearer {key}"}
        async with client.stream("POST", "/graphql", json=subscription(), headers=headers) as response:
            stream = Stream(response)
            assert [(await stream.comment_or_event())[0] for _ in range(4)] == [":"] * 4


@pytest.mark.parametrize("single", [False, True])
async def test_a_revoked_key_and_a_server_that_stops_end_streams_with_their_reason(
    ledger: Ledger, tenant: Tenant, single: bool
) -> None:
    async with running(ledger) as served, httpx.AsyncClient(base_url=served.url, timeout=WAIT_S) as client:
        for code in ("UNAUTHENTICATED", "UNAVAILABLE"):
            secret = await create_key(tenant, "a", ["read"])
            headers = {"authorization": f"Bearer {secret}"}
            if single:
                token = {"x-graphql-event-stream-token": (await client.put("/graphql", headers=headers)).text}
                await client.post("/graphql", json=subscription("1", afterPosition=5), headers={**headers, **token})
                opening = client.stream("GET", "/graphql", headers={**headers, **EVENTS, **token})
            else:
                opening = client.stream(
                    "POST", "/graphql", json=subscription(afterPosition=5), headers={**headers, **EVENTS}
                )
            async with opening as response:
                stream = Stream(response)
                assert await stream.position() == 6
                if code == "UNAUTHENTICATED":
                    await revoke_key(tenant, key_id(secret).key_id)
                else:
                    served.live.sessions.stop()
                event, data = await stream.event()
                payload = data["payload"] if single else data
                assert (event, payload["errors"][0]["extensions"]["code"]) == ("next", code)
                assert await stream.event() == ("complete", {"id": "1"} if single else None)
                with pytest.raises(StopAsyncIteration):
                    await stream.event()


async def test_several_workers_refuse_a_single_connection_rather_than_losing_it_now_and_then(
    ledger: Ledger, key: str
) -> None:
    async with running(ledger, alone=False) as served, httpx.AsyncClient(base_url=served.url) as client:
        headers = {"authorization": f"Bearer {key}"}
        refused = await client.put("/graphql", headers=headers)
        assert refused.status_code == 501
        assert "open a connection for each operation" in refused.json()["errors"][0]["message"]
