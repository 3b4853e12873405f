"""What clients do to a server, over real HTTP: floods, the largest there is, leaving half-way, and a store that is slow.

A lock that a test takes is a slow database. Nothing here is ever answered as a yes that was not seen.
"""

import asyncio
import contextlib
import gc
import json
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from following import WAIT_S, Running, capture
from toy import toy_schema

from domain.consent import ConsentValue
from eventstore.database import DatabaseAddress
from ledger.api_keys import SCOPES, create_key
from ledger.assembly import Ledger, Tenant
from web import graphql_documents
from web.admission import Admission
from web.app import _LIMITS
from web.graphql_limits import Limits
from web.graphql_operations import Operations
from web.graphql_request import GraphQLRequest

CHECK = "query ($i: CheckConsentInput!) { checkConsent(input: $i) { address allowed } }"
CHECKS = "query ($i: CheckConsentsInput!) { checkConsents(input: $i) { address allowed reasons { code } } }"
RECORD = "mutation ($i: RecordConsentInput!) { recordConsent(input: $i) { position errors { code } } }"


def check_of(number: int) -> dict[str, Any]:
    return {"query": CHECK, "variables": {"i": {"address": f"a{number}@example.org", "purpose": "commercial"}}}


@pytest.fixture
async def client(served: Running, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {await create_key(tenant, 'sender', SCOPES)}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S) as client:
        yield client


@contextlib.asynccontextmanager
async def locked(database: DatabaseAddress, table: str) -> AsyncIterator[asyncpg.Connection]:
    """Nobody reads or writes the table until the context ends."""
    connection = await asyncpg.connect(**database.owner)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield connection
    finally:
        await connection.close()


async def waiting_for(connection: asyncpg.Connection, count: int) -> None:
    """Return once so many statements wait for the lock that the connection holds."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    async with asyncio.timeout(WAIT_S):
        while await connection.fetchval(waiting) < count:
            await connection.execute("SELECT pg_stat_clear_snapshot()")


def code(response: httpx.Response) -> str:
    (error,) = response.json()["errors"]
    return error["extensions"]["code"]


async def asked_on(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], client: httpx.AsyncClient, body: Any
) -> None:
    """Send a request, and wait for nothing."""
    content = json.dumps(body).encode()
    head = f"POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: {client.headers['authorization']}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    connection[1].write(head.encode() + content)
    await connection[1].drain()


class TestSlowStore:
    async def test_a_check_is_unavailable_in_time_and_right_again_afterwards(
        self, client: httpx.AsyncClient, tenant: Tenant, database: DatabaseAddress, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await capture(tenant, 1, ConsentValue.OPTED_OUT)
        await client.post("/graphql", json=check_of(1))
        monkeypatch.setattr("ledger.assembly.CHECK_TIMEOUT_S", 0.2)
        async with locked(database, "current_consent"):
            answers = await asyncio.gather(*(client.post("/graphql", json=check_of(number)) for number in range(20)))
            for answer in answers:
                assert (answer.status_code, answer.headers["retry-after"], code(answer)) == (503, "1", "UNAVAILABLE")
                assert "data" not in answer.json()
        monkeypatch.undo()
        after = await client.post("/graphql", json=check_of(1))
        assert after.json() == {"data": {"checkConsent": {"address": "a1@example.org", "allowed": False}}}

    async def test_what_waits_for_a_short_lock_is_answered_by_what_is_true_after_it(
        self, client: httpx.AsyncClient, tenant: Tenant, database: DatabaseAddress
    ) -> None:
        await capture(tenant, 1, ConsentValue.OPTED_IN)
        record = {"address": "a1@example.org", "purpose": "commercial", "value": "OPTED_OUT", "idempotencyKey": "k"}
        async with locked(database, "current_consent") as lock:
            checking = asyncio.create_task(client.post("/graphql", json=check_of(1)))
            recording = asyncio.create_task(client.post("/graphql", json={"query": RECORD, "variables": {"i": record}}))
            await waiting_for(lock, 2)
        assert "errors" not in (await checking).json()
        recorded = (await recording).json()["data"]["recordConsent"]
        again = await client.post("/graphql", json={"query": RECORD, "variables": {"i": record}})
        assert again.json()["data"]["recordConsent"] == recorded, "written once"
        after = await client.post("/graphql", json=check_of(1))
        assert after.json()["data"]["checkConsent"]["allowed"] is False

    async def test_clients_that_leave_in_the_middle_of_a_group_disturb_nobody(
        self, client: httpx.AsyncClient, served: Running, tenant: Tenant, database: DatabaseAddress
    ) -> None:
        for number, value in enumerate((ConsentValue.OPTED_IN, ConsentValue.OPTED_OUT) * 3):
            await capture(tenant, number, value)
        await client.post("/graphql", json=check_of(0))
        port = served.server.servers[0].sockets[0].getsockname()[1]
        leaving = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        async with locked(database, "current_consent") as lock:
            staying = []
            for number in range(6):
                staying.append(asyncio.create_task(client.post("/graphql", json=check_of(number))))
                if number < len(leaving):
                    await asked_on(leaving[number], client, check_of(number))
            await waiting_for(lock, 2)
            for _, writer in leaving:
                writer.transport.abort()
        answers = [answer.json()["data"]["checkConsent"] for answer in await asyncio.gather(*staying)]
        assert answers == [{"address": f"a{n}@example.org", "allowed": n % 2 == 0} for n in range(6)]
        assert (await client.post("/graphql", json=check_of(1))).json()["data"]["checkConsent"]["allowed"] is False

    async def test_a_pool_without_a_free_connection_is_unavailable_and_comes_back(
        self, client: httpx.AsyncClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await client.post("/graphql", json=check_of(1))
        monkeypatch.setattr("ledger.assembly.CONNECTION_WAIT_S", 0.1)
        many = {"query": CHECKS, "variables": {"i": {"addresses": ["a@b.org"] * 600, "purpose": "commercial"}}}
        read = {"query": "{ consentEvents(first: 1) { totalCount } }"}
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(ledger.pool.get_max_size()):
                await stack.enter_async_context(ledger.pool.acquire())
            asked = (check_of(1), many, read) * 5
            answers = await asyncio.gather(*(client.post("/graphql", json=body) for body in asked))
            assert {(answer.status_code, code(answer)) for answer in answers} == {(503, "UNAVAILABLE")}
        for body in (check_of(1), many, read):
            assert (await client.post("/graphql", json=body)).status_code == 200


class TestLargest:
    async def test_a_document_of_the_largest_size_is_answered_and_one_more_is_not(
        self, client: httpx.AsyncClient
    ) -> None:
        text = "{ viewer { scopes } } #"
        largest = text + "x" * (_LIMITS.source_chars - len(text))
        assert "errors" not in (await client.post("/graphql", json={"query": largest})).json()
        refused = await client.post("/graphql", json={"query": largest + "x"})
        assert code(refused) == "LIMIT_EXCEEDED"

    @pytest.mark.parametrize("aliases", [201, 10_000])
    async def test_many_aliases_of_a_check_are_refused_and_none_is_asked(
        self, client: httpx.AsyncClient, aliases: int
    ) -> None:
        fields = " ".join(f"a{number}: checkConsent(input: $i) {{ allowed }}" for number in range(aliases))
        body = {**check_of(1), "query": f"query ($i: CheckConsentInput!) {{ {fields} }}"}
        refused = await client.post("/graphql", json=body)
        assert code(refused) == "LIMIT_EXCEEDED"
        assert "data" not in refused.json()

    async def test_as_many_aliases_as_may_be_share_few_statements(
        self, client: httpx.AsyncClient, tenant: Tenant
    ) -> None:
        await capture(tenant, 7, ConsentValue.OPTED_OUT)
        fields = " ".join(f"a{number}: checkConsent(input: $i) {{ allowed }}" for number in range(200))
        body = {**check_of(7), "query": f"query ($i: CheckConsentInput!) {{ {fields} }}"}
        answer = (await client.post("/graphql", json=body)).json()
        assert answer["data"] == {f"a{number}": {"allowed": False} for number in range(200)}

    async def test_a_batch_half_of_which_is_no_address_is_answered_for_each(
        self, client: httpx.AsyncClient, tenant: Tenant
    ) -> None:
        await capture(tenant, 0, ConsentValue.OPTED_IN)
        await capture(tenant, 1, ConsentValue.OPTED_OUT)
        good = [f"a{number}@example.org" for number in range(500)]
        bad = ["", "nobody", "@", "a@", "x" * 2_000, "a b@c.de", "\x00@a.de", "a@b@c.de", "a..b@c.de", "a@-.de"] * 50
        addresses = [address for pair in zip(good, bad, strict=True) for address in pair]
        body = {"query": CHECKS, "variables": {"i": {"addresses": addresses, "purpose": "commercial"}}}
        decisions = (await client.post("/graphql", json=body)).json()["data"]["checkConsents"]
        assert [decision["address"] for decision in decisions] == addresses
        for decision in decisions[1::2]:
            assert decision["allowed"] is False
            assert [reason["code"] for reason in decision["reasons"]] == ["INVALID_ADDRESS"]
        assert [decision["allowed"] for decision in decisions[:4:2]] == [True, False]
        assert not any(reason["code"] == "INVALID_ADDRESS" for one in decisions[::2] for reason in one["reasons"])


async def test_more_operations_than_are_answered_at_once_are_unavailable(
    client: httpx.AsyncClient, served: Running, database: DatabaseAddress
) -> None:
    served.live.operations._admission = Admission(operations_max=3)
    await client.post("/graphql", json=check_of(0))
    async with locked(database, "current_consent") as lock:
        waiting = [asyncio.create_task(client.post("/graphql", json=check_of(number))) for number in range(3)]
        while served.live.operations._admission._running < 3:
            await waiting_for(lock, 1)
        refused = await client.post("/graphql", json=check_of(4))
        assert (refused.status_code, code(refused)) == (503, "UNAVAILABLE")
        assert not any(task.done() for task in waiting)
    assert all(answer.status_code == 200 for answer in await asyncio.gather(*waiting))


def test_a_flood_of_distinct_documents_holds_no_more_memory_than_the_first_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(graphql_documents, "_KEPT_CHARS_MAX", 5_000)
    operations = Operations(toy_schema(), Limits())

    def flood(numbers: range) -> None:
        for number in numbers:
            text = f"query Q{number} {{ " + " ".join(f"a{n}: hello" for n in range(4)) + " } #" + "x" * 200
            operations.runnable(GraphQLRequest(text, None, {}, {}), "tenant")

    tracemalloc.start()
    try:
        flood(range(30))
        gc.collect()  # what was parsed is cycles
        before, _ = tracemalloc.get_traced_memory()
        flood(range(30, 90))
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after < before * 1.3
    assert operations._documents._kept_chars <= 5_000
