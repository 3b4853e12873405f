"""A catalogue to test with: a new tenant's, with two topics, made by the commands themselves."""

from collections.abc import Sequence
from datetime import UTC, datetime

from domain.catalogue import EMPTY, Catalogue
from domain.catalogue_commands import create_tenant, create_topic
from domain.catalogue_fold import apply
from domain.events import CatalogueDraft, CatalogueEvent

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def after(catalogue: Catalogue, drafts: Sequence[CatalogueDraft], at: datetime = NOW) -> Catalogue:
    """The catalogue after these events."""
    for draft in drafts:
        event = CatalogueEvent(type=draft.type, data=draft.data, recorded_at=at, position=catalogue.position + 1)
        catalogue = apply(catalogue, event)
    return catalogue


def catalogue() -> Catalogue:
    """A new tenant's catalogue, with the topics `news` and `deals` under `commercial`."""
    made = after(EMPTY, create_tenant("Test"))
    for key in ("news", "deals"):
        made = after(made, create_topic(made, key=key, name=key.title(), purpose="commercial"))
    return made
