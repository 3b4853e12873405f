"""The application: its routes, and what every request goes through."""

from collections.abc import Hashable, Sequence

from graphql import GraphQLSchema
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from ledger.assembly import Ledger
from schema.context import RequestContext
from schema.schema import build_schema
from web.authentication import caller_of, documents_owner
from web.body_limit import BodyLimit
from web.consent_provider import consent_provider
from web.exporting import export_routes
from web.graphiql_page import graphiql_file, graphiql_page
from web.graphql_endpoint import ContextFactory, GraphQLEndpoint
from web.graphql_limits import Limits
from web.graphql_operations import Operations
from web.health import healthz, readyz
from web.importing import IMPORT_BYTES_MAX, import_routes
from web.importing import PATH as IMPORT_PATH
from web.inbound import inbound_routes
from web.lingering_close import LingeringClose
from web.live.live import Live
from web.live.sessions import LiveLimits
from web.live.sse_endpoint import EventStreams
from web.live.ws_endpoint import GraphQLWebSocket
from web.log_events import log_events
from web.log_tiles import log_checkpoint, log_tile
from web.mcp_endpoint import McpEndpoint
from web.metrics import Metrics
from web.pages.routes import page_routes
from web.persisted_documents import PersistedDocuments
from web.request_observer import Observer, RequestObserver, request_record
from web.security_headers import SecurityHeaders
from web.structured_log import log_request

_GRAPHQL = "/graphql"
# Reasons are one or two at each level; a page of 10,000 decisions would be priced beyond what it costs otherwise.
_RECEIPT_COST = 25  # a signature
_UNSUBSCRIBE_COST = 8  # a sealed link, which its fields repeat
_LIMITS = Limits(
    known_lists={"ConsentDecision.reasons": 2, "ContactabilityRow.reasons": 2, "UnsubscribeLinks.headers": 2},
    dear_fields={
        "ConsentDecision.receipt": _RECEIPT_COST,
        "ConsentDecision.unsubscribe": _UNSUBSCRIBE_COST,
    },
)


class _Application(Starlette):
    """Starlette's, but for GraphQL's POST, of which a sender makes one before each message: it goes past the routing.

    What every request goes through stands outside of Starlette's own handling of errors, so that a request that failed has
    its id and its headers, too.
    """

    def __init__(self, routes: Sequence[BaseRoute], *, graphql: ASGIApp, observers: Sequence[Observer]) -> None:
        super().__init__(routes=routes)
        self._graphql = graphql
        self._observers = observers

    def build_middleware_stack(self) -> ASGIApp:
        """What a request goes through, from the outside in."""
        routed = super().build_middleware_stack()
        graphql = self._graphql

        async def past_the_routing(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"] == _GRAPHQL and scope["method"] == "POST":
                request_record(scope).route = _GRAPHQL
                await graphql(scope, receive, send)
            else:
                await routed(scope, receive, send)

        return RequestObserver(
            SecurityHeaders(LingeringClose(BodyLimit(past_the_routing, streamed=(IMPORT_PATH,)))),
            observers=self._observers,
        )


def create_app(
    ledger: Ledger,
    *,
    import_bytes_max: int = IMPORT_BYTES_MAX,
    live_limits: LiveLimits | None = None,
    persisted: PersistedDocuments | None = None,
    alone: bool = True,
    compiled_documents: bool = True,
) -> Starlette:
    """The application on an open ledger; `alone` where no other process answers at the same address.

    Raises DocumentsInvalid where a persisted document cannot be run.
    """
    metrics = Metrics()
    operations = Operations(executable_schema(), _LIMITS, persisted, compiled=compiled_documents)
    live = Live(ledger, operations, metrics.live, live_limits)
    ledger.tails.observe_lag_s = metrics.live.feed_lag_s.observe
    graphql = EventStreams(
        GraphQLEndpoint(operations, context=_context(ledger), owner=_owner, page=graphiql_page), live, alone=alone
    )
    app = _Application(
        [
            Route(_GRAPHQL, graphql),
            WebSocketRoute(_GRAPHQL, GraphQLWebSocket(live)),
            Route("/graphiql/{name}", graphiql_file),
            Route("/log/{tenant}/checkpoint", log_checkpoint),
            Route("/log/{tenant}/events.ndjson", log_events),
            Route("/log/{tenant}/{path:path}", log_tile),
            Route("/consent-provider", consent_provider, methods=["POST"]),
            Route("/mcp", McpEndpoint(ledger)),
            *inbound_routes(),
            *import_routes(import_bytes_max),
            *export_routes(),
            *page_routes(),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics.endpoint),
        ],
        graphql=graphql,
        observers=(log_request, metrics.count),
    )
    app.state.ledger = ledger
    app.state.live = live
    app.state.unsent = operations.unsent
    return app


def executable_schema() -> GraphQLSchema:
    """The schema as the executor runs it."""
    return build_schema()._schema  # Strawberry has no public name for it


def _owner(context: RequestContext) -> Hashable:
    return documents_owner(context.tenant)


def _context(ledger: Ledger) -> ContextFactory:
    async def context(scope: Scope) -> RequestContext:
        tenant, caller = await caller_of(scope, ledger)
        return RequestContext(tenant, caller)

    return context
