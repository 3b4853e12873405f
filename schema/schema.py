"""The schema put together: every subject's queries and mutations, and nothing else."""

import strawberry
from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from schema.acknowledgements import AcknowledgeMutation
from schema.agents import AgentMutation, AgentQuery
from schema.catalogue_changes import CatalogueMutation
from schema.catalogue_queries import CatalogueQuery
from schema.check import CheckQuery
from schema.contact_points import ContactPointQuery
from schema.double_opt_in import DoubleOptInMutation
from schema.erase import EraseMutation
from schema.feed import FeedSubscription
from schema.finding_nodes import NodeQuery
from schema.history import HistoryQuery
from schema.page_previews import PagePreviewQuery
from schema.presets import PresetMutation, PresetQuery
from schema.proofs import ProofQuery
from schema.propagation import PropagationQuery
from schema.record import RecordMutation
from schema.scalars import SCALARS
from schema.selection import SelectionQuery
from schema.trends import TrendQuery
from schema.viewer import ViewerQuery
from schema.webhook_changes import WebhookMutation
from schema.webhooks import WebhookQuery


@strawberry.type(description="Questions.")
class Query(
    CheckQuery,
    ContactPointQuery,
    SelectionQuery,
    CatalogueQuery,
    PagePreviewQuery,
    PresetQuery,
    HistoryQuery,
    ProofQuery,
    TrendQuery,
    ViewerQuery,
    AgentQuery,
    WebhookQuery,
    PropagationQuery,
    NodeQuery,
):
    pass


@strawberry.type(
    description="Changes. Expected refusals come in a payload's `errors`; each change takes an `idempotencyKey`."
)
class Mutation(
    RecordMutation,
    DoubleOptInMutation,
    EraseMutation,
    AcknowledgeMutation,
    CatalogueMutation,
    PresetMutation,
    AgentMutation,
    WebhookMutation,
):
    pass


@strawberry.type(description="What happens, as it happens.")
class Subscription(FeedSubscription):
    pass


class Schema(strawberry.Schema):
    """A schema whose errors are left to whoever runs it: they may quote what a client sent, so they are not logged."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Log nothing."""


def build_schema() -> Schema:
    """The schema. Building it takes a while: once a process."""
    return Schema(
        query=Query, mutation=Mutation, subscription=Subscription, config=StrawberryConfig(scalar_map=SCALARS)
    )
