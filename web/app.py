"""The application: its routes, and what every request goes through."""

from collections.abc import Awaitable, Callable

from graphql import GraphQLSchema
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route, WebSocketRoute

from ledger.assembly import Ledger
from schema.context import RequestContext
from schema.schema import build_schema
from web.authentication import caller_of
from web.body_limit import BodyLimit
from web.consent_provider import consent_provider
from web.exporting import export_routes
from web.graphiql_page import graphiql_file, graphiql_page
from web.graphql_endpoint import GraphQLEndpoint
from web.graphql_limits import Limits
from web.graphql_operations import Operations
from web.health import healthz, readyz
from web.importing import IMPORT_BYTES_MAX, import_routes
from web.importing import PATH as IMPORT_PATH
from web.inbound import inbound_routes
from web.live.live import Live
from web.live.sessions import LiveLimits
from web.live.sse_endpoint import EventStreams
from web.live.ws_endpoint import GraphQLWebSocket
from web.log_events import log_events
from web.log_tiles import log_checkpoint, log_tile
from web.mcp_endpoint import McpEndpoint
from web.metrics import Metrics
from web.pages.routes import page_routes
from web.request_observer import RequestObserver
from web.security_headers import SecurityHeaders
from web.structured_log import log_request

# Reasons are one or two at each level; a page of 10,000 decisions would be priced beyond what it costs otherwise.
_LIMITS = Limits(known_lists={"ConsentDecision.reasons": 2, "ContactabilityRow.reasons": 2})


def create_app(
    ledger: Ledger,
    *,
    import_bytes_max: int = IMPORT_BYTES_MAX,
    live_limits: LiveLimits | None = None,
    alone: bool = True,
    compiled_documents: bool = True,
) -> Starlette:
    """The application on an open ledger; `alone` where no other process answers at the same address."""
    metrics = Metrics()
    operations = Operations(executable_schema(), _LIMITS, compiled=compiled_documents)
    live = Live(ledger, operations, metrics.live, live_limits)
    ledger.tails.observe_lag_s = metrics.live.feed_lag_s.observe
    graphql = GraphQLEndpoint(operations, context=_context(ledger), page=graphiql_page)
    app = Starlette(
        routes=[
            Route("/graphql", EventStreams(graphql, live, alone=alone)),
            WebSocketRoute("/graphql", GraphQLWebSocket(live)),
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
        middleware=[
            Middleware(RequestObserver, observers=(log_request, metrics.count)),
            Middleware(SecurityHeaders),
            Middleware(BodyLimit, streamed=(IMPORT_PATH,)),
        ],
    )
    app.state.ledger = ledger
    app.state.live = live
    return app


def executable_schema() -> GraphQLSchema:
    """The schema as the executor runs it."""
    return build_schema()._schema  # Strawberry has no public name for it


def _context(ledger: Ledger) -> Callable[[Request], Awaitable[object]]:
    async def context(request: Request) -> RequestContext:
        tenant, caller = await caller_of(request, ledger)
        return RequestContext(tenant, caller)

    return context
