"""Large answers: what of them is not taken is bounded, whoever takes nothing is not waited for, and others are told at once."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from following import WAIT_S, Running
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.api_keys import create_key
from ledger.assembly import Tenant
from web import graphql_operations, unsent
from web.admission import Overloaded
from web.graphql_response import parts_of
from web.live import connections
from web.unsent import Unsent

FIELDS = " ".join(f"a{number}: address" for number in range(24))
LARGE = {
    "query": f'query ($a: [String!]!) {{ checkConsents(input: {{addresses: $a, purpose: "commercial"}}) {{ {FIELDS} }} }}',
    "variables": {"a": [f"{number:060}@example.com" for number in range(10_000)]},
}
LARGE_BYTES = 10_000 * (24 * len('"a0":"",') + 24 * 72)


@pytest.fixture
async def key(tenant: Tenant) -> str:
    return await create_key(tenant, "sender", ["check"])


@pytest.fixture
async def client(served: Running, key: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S) as client:
        yield client


class Mute:
    """A connection that asks for a large answer, and reads of it when it is told to."""

    def __init__(self, url: str, key: str) -> None:
        self._url = httpx.URL(url)
        self._key = key
        self._socket = socket.socket()

    async def ask(self) -> None:
        loop = asyncio.get_running_loop()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self._socket.setblocking(False)
        await loop.sock_connect(self._socket, (self._url.host, self._url.port))
        body = json.dumps(LARGE).encode()
        head = (
            f"POST /graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {self._key}\r\nconnection: close\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        await loop.sock_sendall(self._socket, head.encode() + body)

    async def rest(self) -> bytes:
        loop = asyncio.get_running_loop()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        got = bytearray()
        try:
            while part := await loop.sock_recv(self._socket, 1 << 20):
                got += part
        except ConnectionResetError:
            pass
        return bytes(got)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
async def mute(served: Running, key: str) -> AsyncIterator[Mute]:
    mute = Mute(served.url, key)
    yield mute
    mute.close()


async def held_by(served: Running, *, nothing: bool) -> int:
    """The bytes that wait to be taken, once there are some and no more come, or once there are none."""
    unsent_ = served.live.operations.unsent
    async with asyncio.timeout(WAIT_S):
        last = -1
        while (unsent_.bytes != 0) if nothing else (unsent_.bytes == 0 or unsent_.bytes != last):
            last = unsent_.bytes
            await asyncio.sleep(0.05)
    return unsent_.bytes


async def test_while_somebody_does_not_read_others_are_told_and_then_answered(
    served: Running, client: httpx.AsyncClient, mute: Mute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unsent, "UNSENT_OF_ONE_BYTES_MAX", LARGE_BYTES + 1_000_000)
    await mute.ask()
    held = await held_by(served, nothing=False)
    assert LARGE_BYTES / 3 < held <= LARGE_BYTES
    for _ in range(3):
        refused = await client.post("/graphql", json=LARGE)
        assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (503, "UNAVAILABLE")
        assert served.live.operations.unsent.bytes <= held
        assert served.live.operations._admission._large_cost == 0
    head, _, body = (await mute.rest()).partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert len(json.loads(body)["data"]["checkConsents"]) == 10_000
    await held_by(served, nothing=True)
    answered = await client.post("/graphql", json=LARGE)
    assert (answered.status_code, answered.content) == (200, body)
    assert await held_by(served, nothing=True) == 0


async def test_who_takes_nothing_is_not_waited_for(
    served: Running, client: httpx.AsyncClient, mute: Mute, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(connections, "_TAKING_S", 0.2)
        await mute.ask()
        await held_by(served, nothing=False)
        await held_by(served, nothing=True)
    head, _, body = (await mute.rest()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert len(body) < LARGE_BYTES
    assert (await client.post("/graphql", json=LARGE)).status_code == 200


async def test_an_answer_that_is_too_large_is_none(
    served: Running, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphql_operations, "ANSWER_BYTES_MAX", 1_000_000)
    body = (await client.post("/graphql", json=LARGE)).json()
    assert body == {"errors": [body["errors"][0]]}
    assert body["errors"][0]["extensions"] == {
        "code": "LIMIT_EXCEEDED", "limit": "bytes of the answer", "allowed": 1_000_000,
    }  # fmt: skip
    assert served.live.operations.unsent.bytes == 0


def test_of_one_owner_half_is_held_and_of_all_no_more_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsent, "UNSENT_BYTES_MAX", 100)
    monkeypatch.setattr(unsent, "UNSENT_OF_ONE_BYTES_MAX", 60)
    counted = Unsent()
    first, second, third = (counted.held(owner, may_refuse=True) for owner in ("a", "a", "b"))
    first.take(50)
    with pytest.raises(Overloaded):
        second.take(11)
    second.take(10)
    with pytest.raises(Overloaded):
        third.take(41)
    third.take(40)
    done = counted.held("b", may_refuse=False)  # a change that was made is told
    done.take(1_000)
    assert counted.bytes == 1_100
    first.sent(20)
    for held in (first, second, third, done):
        held.close()
        held.close()
    assert counted.bytes == 0
    assert not counted._of


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(st.characters(codec=None), max_size=5),
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=60,
)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4), st.integers(0, 100))
@settings(deadline=None)
def test_the_parts_of_an_answer_are_the_answer(body: dict[str, Any], times: int) -> None:
    body = {**body, "data": {"many": [body] * times}}
    assert json.loads(b"".join(parts_of(body))) == body
