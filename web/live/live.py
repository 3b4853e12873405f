"""What all connections that stay open share in one process: sessions, operations, what is sent once for many."""

import contextlib
import secrets
from collections.abc import AsyncGenerator

from graphql import OperationType

from ledger.api_keys import Identity
from ledger.assembly import Ledger
from web.authentication import documents_owner
from web.graphql_operations import OperationRefused, Operations
from web.graphql_request import GraphQLRequest
from web.live.results import results
from web.live.sessions import LiveLimits, Session, Sessions
from web.live.sharing import Sharing
from web.metrics import LiveMetrics


class Live:
    """The open connections of one process."""

    def __init__(
        self, ledger: Ledger, operations: Operations, metrics: LiveMetrics, limits: LiveLimits | None = None
    ) -> None:
        self.ledger = ledger
        self.limits = limits or LiveLimits()
        self.sessions = Sessions(ledger, self.limits, metrics)
        self.sharing = Sharing(operations, metrics, self.limits)
        self.metrics = metrics
        self.operations = operations

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Watch over the connections for as long as the context lasts."""
        async with self.sessions.watching_keys():
            yield

    def needed(self, identity: Identity, asked: GraphQLRequest) -> tuple[GraphQLRequest, OperationType | None]:
        """(what of a request to keep for as long as its operation runs, its kind); of one that will be refused, all of it."""
        try:
            runnable = self.operations.runnable(asked, documents_owner(identity.tenant))
        except OperationRefused:
            return asked, None
        return runnable.needed(), runnable.kind

    def results(
        self, session: Session, asked: GraphQLRequest, counted: contextlib.ExitStack | None = None
    ) -> AsyncGenerator[str]:
        """What an operation sends back; `counted` is that it counts as the session's already. Raises OperationRefused."""
        return results(self.operations, self.sharing, session, asked, secrets.token_hex(8), counted)

    def count_slow(self) -> None:
        """A connection was too slow."""
        self.metrics.slow.inc()
