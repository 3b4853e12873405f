"""Who asks: a key that is valid now, or 401; and 503 where the store cannot say. On the real ledger."""

from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Scope
from toy import asking, toy_schema

from eventstore.database import StoreUnavailable
from ledger.api_keys import Identity, create_key, list_keys, revoke_key
from ledger.assembly import Ledger, Tenant
from web import authentication
from web.authentication import caller_of
from web.graphql_endpoint import GraphQLEndpoint
from web.graphql_limits import Limits
from web.graphql_operations import Operations

QUERY = {"query": "{ hello }"}


@pytest.fixture
async def guarded(ledger: Ledger) -> AsyncIterator[AsyncClient]:
    async def context(scope: Scope) -> object:
        return await caller_of(scope, ledger)

    endpoint = GraphQLEndpoint(Operations(toy_schema(), Limits()), context=context, owner=lambda _: None)
    async with asking(Starlette(routes=[Route("/graphql", endpoint)])) as client:
        yield client


async def test_a_valid_key_is_answered(guarded: AsyncClient, tenant: Tenant) -> None:
    secret = await create_key(tenant, "shop", ["check"])
    for scheme in ("Bearer", "bearer"):
        response = await guarded.post("/graphql", json=QUERY, headers={"authorization": f"{scheme} {secret}"})
        assert response.json() == {"data": {"hello": "hello world"}}


@pytest.mark.parametrize(
    ("authorization", "challenge"),
    [
        (None, "Bearer"),
        ("Basic YTpi", 'Bearer error="invalid_request"'),
        ("Bearer", 'Bearer error="invalid_request"'),
        ("Bearer a b", 'Bearer error="invalid_request"'),
        ("Bearer " + "x" * 10_000, 'Bearer error="invalid_request"'),
        ("Bearer nothing", 'Bearer error="invalid_token"'),
        ("Bearer ck_1_000000000000_" + "A" * 43, 'Bearer error="invalid_token"'),
        ("Bearer ck_999999999_000000000000_" + "A" * 43, 'Bearer error="invalid_token"'),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json"])
async def test_anyone_else_is_401_before_anything_is_read(
    guarded: AsyncClient, authorization: str | None, challenge: str, accept: str
) -> None:
    headers = {"accept": accept} | ({} if authorization is None else {"authorization": authorization})
    for body in (b'{"query":"{hello}"}', b"NONSENSE"):
        response = await guarded.post("/graphql", content=body, headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == challenge
        assert response.headers["content-type"].startswith(accept)
        assert response.json()["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}


async def test_a_revoked_key_is_refused_at_once(guarded: AsyncClient, tenant: Tenant) -> None:
    secret = await create_key(tenant, "shop", ["check"])
    headers = {"authorization": f"Bearer {secret}"}
    assert (await guarded.post("/graphql", json=QUERY, headers=headers)).status_code == 200
    (row,) = await list_keys(tenant)
    await revoke_key(tenant, row.key_id)
    assert (await guarded.post("/graphql", json=QUERY, headers=headers)).status_code == 401


async def test_where_the_store_is_away_nobody_is_turned_away_as_unknown(
    guarded: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_ledger: Ledger, _secret: str) -> Identity | None:
        raise StoreUnavailable("10.0.0.1")

    monkeypatch.setattr(authentication, "authenticate", away)
    response = await guarded.post("/graphql", json=QUERY, headers={"authorization": "Bearer x"})
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
