"""Data loaders, one set a request: what many fields of an answer need is asked of the ledger at once.

Each is named for what it gives; so what a resolver awaits shows what it costs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from domain.addresses import Channel
from ledger import api_keys, contactability, history, webhook_lists
from ledger.acknowledgements import Acknowledgement, acknowledgements_of
from ledger.api_keys import ApplicationRow
from ledger.assembly import Tenant
from ledger.contactability import ConsentAt, ContactabilityRow
from ledger.history import ContactPoint, EventFilter, StoredEntry
from ledger.pages import Page
from ledger.receipts import Answered, receipts
from schema.catalogue import CatalogueView

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Times:
    """When a question is about: None is now."""

    as_of: datetime | None = None
    known_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AskedConsent:
    """The consent of one contact point for a purpose or topic, both given as keys or GUIDs."""

    contact_point: UUID
    purpose: str
    topic: str | None
    times: Times


@dataclass(frozen=True, slots=True)
class AskedContactability:
    """What would happen at one contact point with everything of a profile."""

    contact_point: UUID
    channel: Channel
    profile: str
    times: Times


@dataclass(frozen=True, slots=True)
class PageAsked:
    """A page of the events that pass a filter."""

    filter: EventFilter
    first: int | None
    after: str | None
    last: int | None
    before: str | None


@dataclass(frozen=True, slots=True)
class AskedHistory:
    """A page of what happened at one contact point."""

    contact_point: UUID
    page: PageAsked


class Loaders:
    """The loaders of one request; each remembers what it gave."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self.catalogue: DataLoader[None, CatalogueView] = DataLoader(self._catalogue)
        self.applications: DataLoader[str, ApplicationRow | None] = DataLoader(
            lambda keys: _found(keys, api_keys.applications(tenant, keys))
        )
        self.contact_points: DataLoader[UUID, ContactPoint | None] = DataLoader(
            lambda ids: _found(ids, history.contact_points_by_id(tenant, ids))
        )
        self.addresses: DataLoader[UUID, str | None] = DataLoader(
            lambda ids: _found(ids, history.addresses(tenant, ids))
        )
        self.events: DataLoader[int, StoredEntry | None] = DataLoader(
            lambda positions: _found(positions, history.events_at(tenant, positions))
        )
        self.acknowledgements: DataLoader[int, list[Acknowledgement] | None] = DataLoader(
            lambda positions: _found(positions, acknowledgements_of(tenant, positions))
        )
        self.log_size: DataLoader[None, int] = DataLoader(self._log_size)
        self.evidence: DataLoader[StoredEntry, dict[str, Any] | None] = DataLoader(
            self._evidence, cache_key_fn=lambda event: event.position
        )
        self.consent: DataLoader[AskedConsent, ConsentAt] = DataLoader(self._consent)
        self.contactability: DataLoader[AskedContactability, list[ContactabilityRow]] = DataLoader(self._contactability)
        self.receipts: DataLoader[Answered, str] = DataLoader(lambda answered: receipts(tenant, answered), cache=False)
        self.histories: DataLoader[AskedHistory, Page[StoredEntry]] = DataLoader(self._histories)

    async def _catalogue(self, keys: Sequence[None]) -> list[CatalogueView]:
        return [CatalogueView(self._tenant, await self._tenant.latest_catalogue())] * len(keys)

    async def _log_size(self, keys: Sequence[None]) -> list[int]:
        return [await webhook_lists.log_size(self._tenant)] * len(keys)

    async def _evidence(self, events: Sequence[StoredEntry]) -> list[dict[str, Any] | None]:
        opened = await history.evidence(self._tenant, events)
        return [opened.get(event.position) for event in events]

    async def _consent(self, asked: list[AskedConsent]) -> list[ConsentAt | BaseException]:
        async def of(times: Times, group: Sequence[AskedConsent]) -> Sequence[ConsentAt | BaseException]:
            return await contactability.consent_of(
                self._tenant,
                [(one.contact_point, one.purpose, one.topic) for one in group],
                as_of=times.as_of,
                known_at=times.known_at,
            )

        return await _grouped(asked, lambda one: one.times, of)

    async def _contactability(self, asked: list[AskedContactability]) -> list[list[ContactabilityRow] | BaseException]:
        async def of(
            profile_and_times: tuple[str, Times], group: Sequence[AskedContactability]
        ) -> Sequence[list[ContactabilityRow]]:
            profile, times = profile_and_times
            return await contactability.contactability_of(
                self._tenant,
                [(one.contact_point, one.channel) for one in group],
                profile=profile,
                as_of=times.as_of,
                known_at=times.known_at,
            )

        return await _grouped(asked, lambda one: (one.profile, one.times), of)

    async def _histories(self, asked: list[AskedHistory]) -> list[Page[StoredEntry] | BaseException]:
        async def of(page: PageAsked, group: Sequence[AskedHistory]) -> Sequence[Page[StoredEntry]]:
            pages = await history.histories(
                self._tenant,
                [one.contact_point for one in group],
                page.filter,
                first=page.first,
                after=page.after,
                last=page.last,
                before=page.before,
            )
            return [pages[one.contact_point] for one in group]

        return await _grouped(asked, lambda one: one.page, of)


async def _found(keys: Sequence[Key], found: Awaitable[Mapping[Key, Value]]) -> list[Value | None]:
    by_key = await found
    return [by_key.get(key) for key in keys]


Group = TypeVar("Group", bound=Hashable)


async def _grouped(
    asked: Sequence[Key],
    group_of: Callable[[Key], Group],
    answers_of: Callable[[Group, Sequence[Key]], Awaitable[Sequence[Value | BaseException]]],
) -> list[Value | BaseException]:
    """The answers in the order asked, asking once for each group; what a group raises answers its own alone."""
    groups: dict[Group, list[Key]] = {}
    for one in asked:
        groups.setdefault(group_of(one), []).append(one)
    answers = await asyncio.gather(
        *(answers_of(group, members) for group, members in groups.items()), return_exceptions=True
    )
    by_one: dict[Key, Value | BaseException] = {}
    for members, given in zip(groups.values(), answers, strict=True):
        if isinstance(given, BaseException):
            by_one.update(dict.fromkeys(members, given))
        else:
            by_one.update(zip(members, given, strict=True))
    return [by_one[one] for one in asked]
