"""A schema of our own for the endpoint's tests, small, and with every kind of failure."""

import strawberry
from graphql import GraphQLError, GraphQLSchema
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import Scope

from domain.refusals import LimitExceeded, NotYetAvailable, Refusal, RefusalCode
from eventstore.database import StoreUnavailable
from schema.refusals import Forbidden
from web.body_limit import BodyLimit
from web.graphiql_page import graphiql_file, graphiql_page
from web.graphql_endpoint import GraphQLEndpoint
from web.graphql_limits import Limits
from web.graphql_operations import Operations
from web.http_headers import header
from web.persisted_documents import PersistedDocuments
from web.request_observer import RequestObserver
from web.security_headers import SecurityHeaders
from web.structured_log import log_request

FAILURES = {
    "refusal": Refusal(RefusalCode.INVALID_ADDRESS, "that is no address", ("address",)),
    "not_found": Refusal(RefusalCode.NOT_FOUND, "there is no such purpose", ("purpose",)),
    "inactive": Refusal(RefusalCode.INACTIVE, "the purpose is switched off", ("purpose",)),
    "limit": LimitExceeded("addresses of one call", 10_000, 10_001),
    "later": NotYetAvailable(7),
    "away": StoreUnavailable("connection to 10.0.0.1 lost"),
    "forbidden": Forbidden("read"),
    "coded": GraphQLError("over there", extensions={"code": "FORBIDDEN", "scope": "write"}),
    "foreign": GraphQLError("SELECT secret FROM vault", extensions={"code": "MADE_UP"}),
    "bug": ValueError("SELECT * FROM vault WHERE address = 'ann@example.com'"),
}


@strawberry.type
class Item:
    name: str

    @strawberry.field
    def child(self) -> "Item":
        return Item(name=self.name)

    @strawberry.field
    def children(self) -> list["Item"]:
        return [Item(name=self.name)]

    @strawberry.field
    def page(self, first: int | None = None, last: int | None = None) -> "Page":
        return Page(nodes=[self])


@strawberry.type
class Page:
    nodes: list[Item]


@strawberry.input
class Wanted:
    names: list[str]
    count: int = 1


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"hello {name}"

    @strawberry.field
    async def item(self) -> Item:
        return Item(name="x")

    @strawberry.field
    def items(self, wanted: Wanted) -> list[Item]:
        return [Item(name=name) for name in wanted.names]

    @strawberry.field
    def maybe(self, fail: str) -> str | None:
        raise FAILURES[fail]

    @strawberry.field
    def surely(self, fail: str) -> str:
        raise FAILURES[fail]


@strawberry.type
class Mutation:
    @strawberry.mutation
    def record(self, name: str) -> str:
        return name


def toy_schema() -> GraphQLSchema:
    return strawberry.Schema(Query, Mutation)._schema


async def anyone(scope: Scope) -> object:
    """Whoever they say they are."""
    return header(scope, b"x-tenant")


def toy_app(
    *, limits: Limits | None = None, body_bytes_max: int = 1_000_000, persisted: PersistedDocuments | None = None
) -> Starlette:
    endpoint = GraphQLEndpoint(
        Operations(toy_schema(), limits or Limits(), persisted),
        context=anyone,
        owner=lambda tenant: tenant,
        page=graphiql_page,
    )
    return Starlette(
        routes=[Route("/graphql", endpoint), Route("/graphiql/{name}", graphiql_file)],
        middleware=[
            Middleware(RequestObserver, observers=(log_request,)),
            Middleware(SecurityHeaders),
            Middleware(BodyLimit, bytes_max=body_bytes_max),
        ],
    )


def asking(app: Starlette) -> AsyncClient:
    """A client of the application without a network. It sends no Accept unless told to."""
    client = AsyncClient(transport=ASGITransport(app), base_url="http://consentry.test")
    del client.headers["accept"]
    return client
