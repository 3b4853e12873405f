"""What clients get wrong, or mean ill: each has its close code or error, and costs the others nothing."""

import asyncio
import json
import logging
import socket as sockets
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import websockets
from following import WAIT_S, Running, Socket, capture, running

from ledger.api_keys import create_key
from ledger.assembly import Ledger, Tenant
from ledger.pages import cursor
from ledger.tenants import create_tenant
from web.live.sessions import LiveLimits

Connect = Callable[..., Socket]


async def refusal(client: Socket, **variables: Any) -> dict[str, Any]:
    await client.subscribe("bad", **variables)
    message = await client.hear()
    assert (message["type"], message["id"]) == ("error", "bad"), message
    (error,) = message["payload"]
    return error


async def test_a_cursor_that_is_none_of_another_list_of_another_tenant_or_beyond_the_end(
    socket: Connect, tenant: Tenant, ledger: Ledger, key: str
) -> None:
    other = await create_tenant(ledger, f"{tenant.key}-other", "Other")
    async with socket(key) as client:
        for bad in ("", "x", "é", "7", cursor(tenant, "compliance-profile", "3"), cursor(other, "event", "3"),
                    cursor(tenant, "event", "-1"), cursor(tenant, "event", "1" * 30)):  # fmt: skip
            error = await refusal(client, after=bad)
            assert error["extensions"] == {"code": "BAD_USER_INPUT", "path": ["after"]}, bad
            assert "not a cursor that this list gave out" in error["message"]
        beyond = await refusal(client, after=cursor(tenant, "event", "7"))
        assert beyond["extensions"] == {"code": "BAD_USER_INPUT", "path": ["after"]}
        assert "beyond the end of the log, whose last position is 6" in beyond["message"]
        assert (await refusal(client, afterPosition=7))["extensions"]["path"] == ["afterPosition"]
        both = await refusal(client, afterPosition=3, after=cursor(tenant, "event", "3"))
        assert "not both" in both["message"]
        beyond = await refusal(client, fromPosition=8)
        assert beyond["extensions"] == {"code": "BAD_USER_INPUT", "path": ["fromPosition"]}
        assert "not both" in (await refusal(client, fromPosition=0, afterPosition=0))["message"]
        assert (await refusal(client, afterPosition=-1))["extensions"]["code"] == "BAD_USER_INPUT"
        assert (await refusal(client, filter={"purpose": "none"}))["extensions"]["code"] == "NOT_FOUND"
        assert (await refusal(client, filter={"types": ["None"]}))["extensions"]["code"] == "BAD_USER_INPUT"
        # The last position is no error: what comes next is waited for.
        await client.subscribe("good", after=cursor(tenant, "event", "6"))
        assert await capture(tenant, 1) == 7
        assert await client.positions(1, "good") == [7]


async def test_the_scope_read_is_needed_and_what_is_personal_needs_its_own(socket: Connect, tenant: Tenant) -> None:
    query = "subscription { consentEvents(afterPosition: 6) { node { contactPoint { address } } } }"
    await capture(tenant, 1)
    async with socket(await create_key(tenant, "a", ["check", "write", "admin", "audit"])) as client:
        assert (await refusal(client))["extensions"] == {"code": "FORBIDDEN", "scope": "read"}
    for scopes, address in ((["read"], None), (["read", "read:personal"], "a1@example.org")):
        async with socket(await create_key(tenant, "a", scopes)) as client:
            await client.subscribe(query=query)
            assert (await client.edges(1))[0]["node"]["contactPoint"]["address"] == address


async def test_an_event_that_cannot_be_answered_ends_its_stream_rather_than_being_skipped(
    socket: Connect, key: str
) -> None:
    async with socket(key) as client:
        await client.subscribe(query="subscription { consentEvents(afterPosition: 3) { node { entry } } }")
        message = await client.hear()
        assert message["payload"]["data"] is None
        assert message["payload"]["errors"][0]["extensions"] == {"code": "FORBIDDEN", "scope": "audit"}
        assert await client.hear() == {"id": "1", "type": "complete"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { a: consentEvents { cursor } b: consentEvents { cursor } }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { viewer { actor } } query B { viewer { actor } }", "BAD_USER_INPUT"),
        ("{ x" + " { x" * 20 + " }" * 21, "GRAPHQL_VALIDATION_FAILED"),
        (
            "subscription { consentEvents { node { contactPoint { history(first: 1000) { nodes { id type position"
            " recordedAt reason data } } } } } }",
            "LIMIT_EXCEEDED",
        ),
    ],
)
async def test_an_operation_that_cannot_run_is_an_error_and_its_id_is_free_again(
    socket: Connect, key: str, query: str, code: str
) -> None:
    async with socket(key) as client:
        for _ in range(2):
            await client.subscribe(query=query)
            message = await client.hear()
            assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", code)


async def test_a_payload_that_is_no_request_is_an_error_that_names_its_member(socket: Connect, key: str) -> None:
    async with socket(key) as client:
        await client.say(id="1", type="subscribe", payload={"query": 1})
        message = await client.hear()
        assert message["payload"][0]["extensions"] == {"code": "BAD_USER_INPUT", "path": ["payload", "query"]}


async def test_two_operations_with_one_id_messages_before_init_and_a_second_init(socket: Connect, key: str) -> None:
    async with socket(key) as client:
        await client.subscribe("same")
        await client.subscribe("same")
        assert await client.closed() == (4409, "Subscriber for same already exists")
    async with socket() as client:
        await client.subscribe()
        assert await client.closed() == (4401, "Unauthorized")
    async with socket(key) as client:
        await client.say(type="connection_init")
        assert await client.closed() == (4429, "Too many initialisation requests")
    async with socket(key) as client:
        await client.connection.send("no JSON")
        assert await client.closed() == (4400, "Invalid message received: a message is not JSON")
    async with socket(key) as client:
        await client.connection.send(b"{}")
        assert (await client.closed())[0] == 4400
    async with socket(key) as client:
        await client.connection.send("x" * (256 * 1024 + 1))
        assert (await client.closed())[0] == 1009


async def test_a_ping_is_answered_before_and_after_the_key_is_known(socket: Connect, key: str) -> None:
    async with socket() as client:
        await client.say(type="ping", payload={"x": 1})
        assert await client.hear() == {"type": "pong"}
        await client.say(type="connection_init", payload={"authorization": f"Bearer {key}"})
        assert await client.hear() == {"type": "connection_ack"}
        await client.say(type="ping")
        assert await client.hear() == {"type": "pong"}
        await (await client.connection.ping())


async def test_who_does_not_say_who_it_is(served: Running, socket: Connect, ledger: Ledger, tenant: Tenant) -> None:
    key, another = [await create_key(tenant, "a", ["read"]) for _ in range(2)]
    for payload in (None, {}, {"Authorization": 1}, {"Authorization": "Bearer x"}, {"Authorization": key}):
        async with socket() as client:
            await client.say(type="connection_init", payload=payload)
            code, reason = await client.closed()
            assert code == 4403, payload
            assert key not in reason
    headers = {"authorization": f"Bearer {key}"}
    async with socket(additional_headers=headers) as client:
        await client.say(type="connection_init")
        assert await client.hear() == {"type": "connection_ack"}
    async with socket(additional_headers=headers) as client:
        await client.say(type="connection_init", payload={"Authorization": f"Bearer {another}"})
        assert (await client.closed())[0] == 4403
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with socket(additional_headers={"authorization": "Bearer nobody"}):
            pass
    assert refused.value.response.status_code == 401
    async with socket(subprotocols=["graphql-ws"]) as client:
        assert await client.closed() == (4406, "Subprotocol not acceptable")
    async with socket(subprotocols=None) as client:
        assert (await client.closed())[0] == 4406
    async with running(ledger, LiveLimits(introduction_s=0.05)) as hasty, Socket(hasty.websocket_url) as client:
        assert await client.closed() == (4408, "Connection initialisation timeout")


async def test_more_than_may_be_open_is_refused_and_the_rest_goes_on(
    ledger: Ledger, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    key = await create_key(tenant, "a", ["read"])
    limits = LiveLimits(
        connections=4, strangers=1, connections_per_key=2, operations_per_connection=2, operations_per_key=3
    )
    async with running(ledger, limits) as served:
        url = served.websocket_url
        async with Socket(url, key) as one, Socket(url, key) as two:
            async with Socket(url) as third:
                await third.say(type="connection_init", payload={"Authorization": f"Bearer {key}"})
                assert await third.closed() == (1013, "connections of one API key: at most 2")
            async with Socket(url):
                with pytest.raises(websockets.InvalidStatus) as refused:
                    async with Socket(url):
                        pass
                assert refused.value.response.status_code == 503
                error = json.loads(refused.value.response.body or b"")["errors"][0]
                assert error["extensions"]["limit"] == "connections that have yet to authenticate"
                assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []
            for number in range(2):
                await one.subscribe(str(number), afterPosition=6)
            assert (await refusal(one))["extensions"]["limit"] == "operations of one connection"
            await two.subscribe("0", afterPosition=6)
            assert (await refusal(two))["extensions"]["limit"] == "operations of one API key"
            await one.say(id="1", type="complete")
            await capture(tenant, 1)
            assert await one.positions(1, "0") == [7]
            assert await two.positions(1, "0") == [7]


async def narrow(served: Running) -> sockets.socket:
    """A connection whose system takes little of what the client does not read."""
    host, port = served.url.removeprefix("http://").split(":")
    connection = sockets.socket()
    connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
    return connection


@pytest.fixture
async def impatient(ledger: Ledger) -> AsyncIterator[Running]:
    async with running(ledger, LiveLimits(stall_s=0.2)) as served:
        yield served


LONG = "subscription { consentEvents(afterPosition: 0) { cursor node { " + " ".join(
    f"a{n}: data" for n in range(100)
) + " } } }"  # fmt: skip


async def fill(tenant: Tenant, events: int) -> None:
    await asyncio.gather(*(capture(tenant, number) for number in range(events)))


async def slow_noticed(served: Running) -> None:
    async with asyncio.timeout(WAIT_S):
        while served.live.metrics.slow._value.get() == 0:
            await asyncio.sleep(0.01)


async def test_a_socket_that_never_reads_is_told_so_closed_and_holds_nothing(
    impatient: Running, tenant: Tenant, key: str
) -> None:
    await fill(tenant, 300)
    connection = await narrow(impatient)
    async with Socket(impatient.websocket_url, key, max_queue=1, sock=connection) as client:
        await client.subscribe(query=LONG)
        await slow_noticed(impatient)
        cursors: list[str] = []
        while (message := await client.hear())["type"] == "next" and "data" in message["payload"]:
            cursors.append(message["payload"]["data"]["consentEvents"]["cursor"])
        assert message["payload"]["errors"][0]["extensions"]["code"] == "SLOW_CONSUMER"
        assert await client.hear() == {"id": "1", "type": "complete"}
        assert (await client.closed())[0] == 1013
    # What came is without a hole, and the last cursor goes on after it.
    assert cursors == [cursor(tenant, "event", str(position)) for position in range(1, len(cursors) + 1)]
    assert len(cursors) < 300
    async with Socket(impatient.websocket_url, key) as client:
        await client.subscribe(after=cursors[-1])
        assert await client.positions(1) == [len(cursors) + 1]


async def test_a_stream_that_is_never_read_is_told_so_and_ended(impatient: Running, tenant: Tenant, key: str) -> None:
    await fill(tenant, 300)
    body = json.dumps({"query": LONG}).encode()
    reader, writer = await asyncio.open_connection(sock=await narrow(impatient), limit=4096)
    writer.write(
        b"POST /graphql HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer " + key.encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    await slow_noticed(impatient)
    heard = await asyncio.wait_for(reader.read(-1), WAIT_S)
    assert b'"code":"SLOW_CONSUMER"' in heard
    assert heard.endswith(b"event: complete\ndata: \n\n\r\n0\r\n\r\n")
    async with asyncio.timeout(WAIT_S):
        while impatient.live.metrics.connections._value.get():
            await asyncio.sleep(0.01)
    writer.close()


async def test_a_subscription_over_plain_http_is_told_where_to_go(served: Running, key: str) -> None:
    async with httpx.AsyncClient(base_url=served.url) as client:
        answered = await client.post(
            "/graphql",
            json={"query": "subscription { consentEvents { cursor } }"},
            headers={"authorization": f"Bearer {key}"},
        )
    assert "graphql-transport-ws" in answered.json()["errors"][0]["message"]


WITH_TOKEN = "x-graphql-event-stream-token"


def waiting(operation_id: str, padding: int = 0) -> dict[str, Any]:
    query = "subscription { consentEvents(afterPosition: 6) { cursor } }"
    return {"query": query + " " * padding, "extensions": {"operationId": operation_id}}


async def refused_limit(answer: httpx.Response) -> str:
    assert answer.status_code == 429, answer.text
    return answer.json()["errors"][0]["extensions"]["limit"]


async def test_operations_before_their_stream_is_opened_count_from_when_they_are_posted(
    ledger: Ledger, key: str
) -> None:
    headers = {"authorization": f"Bearer {key}"}
    async with (
        running(ledger, LiveLimits(operations_per_connection=2)) as served,
        httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S) as client,
    ):
        token = {WITH_TOKEN: (await client.put("/graphql")).text}
        for number in range(2):
            assert (await client.post("/graphql", json=waiting(str(number)), headers=token)).status_code == 202
        refused = await client.post("/graphql", json=waiting("2"), headers=token)
        assert await refused_limit(refused) == "operations of one connection"
        await client.delete("/graphql", params={"operationId": "1"}, headers=token)
        assert (await client.post("/graphql", json=waiting("2"), headers=token)).status_code == 202
        async with client.stream("GET", "/graphql", headers={**token, "accept": "text/event-stream"}) as response:
            assert response.status_code == 200
            refused = await client.post("/graphql", json=waiting("3"), headers=token)
            assert await refused_limit(refused) == "operations of one connection"
        async with asyncio.timeout(WAIT_S):
            while served.live.sessions.operations_of:
                await asyncio.sleep(0.01)


async def test_streams_that_are_reserved_and_not_opened_are_few_and_keep_little(
    ledger: Ledger, tenant: Tenant, key: str
) -> None:
    headers = {"authorization": f"Bearer {key}"}
    limits = LiveLimits(unopened_per_key=2, unopened_bytes_per_key=1000, unopened_bytes=1500)
    async with (
        running(ledger, limits) as served,
        httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S) as client,
    ):
        token, second = [{WITH_TOKEN: (await client.put("/graphql")).text} for _ in range(2)]
        assert await refused_limit(await client.put("/graphql")) == "streams reserved and not opened of one API key"
        assert (await client.post("/graphql", json=waiting("1", 500), headers=token)).status_code == 202
        refused = await client.post("/graphql", json=waiting("1", 500), headers=second)
        assert await refused_limit(refused) == "bytes that wait for streams of one API key"
        assert served.live.sessions.operations_of.total() == 1, "what was refused does not count"
        other = {"authorization": f"Bearer {await create_key(tenant, 'other', ['read'])}"}
        others = {**other, WITH_TOKEN: (await client.put("/graphql", headers=other)).text}
        refused = await client.post("/graphql", json=waiting("1", 800), headers=others)
        assert await refused_limit(refused) == "bytes that wait for streams of this server"
        # What is open waits for nothing.
        async with client.stream("GET", "/graphql", headers={**token, "accept": "text/event-stream"}):
            assert (await client.put("/graphql")).status_code == 201
            assert (await client.post("/graphql", json=waiting("1", 500), headers=second)).status_code == 202
            assert (await client.post("/graphql", json=waiting("2", 2000), headers=token)).status_code == 202
