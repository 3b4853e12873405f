"""Documents by their identifier over WebSocket and event stream: registered on one transport, run on the other."""

import json
from collections.abc import Callable

import httpx
from following import SUBSCRIBE, WAIT_S, Running, Socket, sse

from web.trusted_documents import sha256_id

VIEWER = "{ viewer { scopes } }"
ANSWER = {"data": {"viewer": {"scopes": ["read"]}}}


async def test_what_a_socket_registers_a_stream_may_name_and_the_other_way_round(
    socket: Callable[..., Socket], served: Running, key: str
) -> None:
    viewer, subscribe = sha256_id(VIEWER), sha256_id(SUBSCRIBE)
    apollo = {"persistedQuery": {"version": 1, "sha256Hash": viewer.removeprefix("sha256:")}}
    headers = {"authorization": f"Bearer {key}", "accept": "text/event-stream"}
    async with socket(key) as client, httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S) as http:
        await client.say(id="1", type="subscribe", payload={"extensions": apollo})
        unknown = await client.hear()
        assert unknown["type"] == "error"
        assert unknown["payload"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
        await client.say(id="2", type="subscribe", payload={"extensions": apollo, "query": VIEWER})
        assert (await client.hear())["payload"] == ANSWER
        assert (await client.hear())["type"] == "complete"
        async with http.stream("POST", "/graphql", json={"documentId": viewer}) as response:
            assert [json.loads(data) async for event, data in sse(response) if event == "next"] == [ANSWER]

        variables = {"afterPosition": 3}
        body = {"documentId": subscribe, "query": SUBSCRIBE, "variables": variables}
        async with http.stream("POST", "/graphql", json=body) as response:
            event = await anext(data async for event, data in sse(response) if event == "next")
        await client.say(id="3", type="subscribe", payload={"documentId": subscribe, "variables": variables})
        assert (await client.hear())["payload"] == json.loads(event)
