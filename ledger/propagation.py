"""How an opt-out spread: when the ledger had it, when each application knew, and by when each had to.

An application is expected to know of an opt-out where it follows: it acknowledged positions at some time, or a webhook of its
lets such events pass. Who only asks before each message has no copy that could be stale (docs/decisions/clocks.md).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.addresses import Channel
from domain.catalogue import Catalogue
from domain.clocks import Limit, clock_start, limits_of
from domain.consent import ConsentValue
from domain.refusals import Refusal, RefusalCode
from domain.text import clean_key
from domain.upcasting import upcast
from eventstore import read
from eventstore.personal.vault import Connected
from eventstore.read import EntryFilter, IndexedEntry, StoredEntry
from ledger import webhook_rows
from ledger.acknowledgements import Acknowledgement, acknowledgements_of
from ledger.assembly import Tenant
from ledger.history import EVENTS, cursor_position, event_cursor
from ledger.pages import cursor, page_size
from ledger.webhook_rows import EarlierFilter

# One statement's opt-outs, and what one page looks through at most: a filter that hardly anything passes costs no more.
_BATCH = 500
LOOKED_THROUGH_MAX = 5_000

OPT_OUTS = """
SELECT entry, leaf_hash, channel, purpose, topic, value, source FROM log_entries
WHERE tenant = $1 AND value = 'OPTED_OUT' AND position > $2 AND position <= $3
ORDER BY position LIMIT $4
"""
_CURSORS = """
SELECT h.application, h.position, a.created_at FROM acknowledgement_heads h
LEFT JOIN applications a ON a.tenant = h.tenant AND a.key = h.application
WHERE h.tenant = $1
"""
_IS_THERE = "SELECT EXISTS (SELECT FROM applications WHERE tenant = $1 AND key = $2)"
_NOT_FOLLOWING = """
SELECT DISTINCT k.application FROM api_keys k
WHERE k.tenant = $1 AND k.revoked_at IS NULL AND k.scopes && ARRAY['check', 'read']
    AND NOT EXISTS (SELECT FROM acknowledgement_heads h WHERE h.tenant = $1 AND h.application = k.application)
    AND NOT EXISTS (SELECT FROM webhooks w
        WHERE w.tenant = $1 AND w.application = k.application AND w.deleted_at IS NULL)
ORDER BY 1
"""
# Those that were deleted, too: what was recorded while they were there, and not taken, is not known.
_WEBHOOKS = "SELECT application, filter, created_at, deleted_at FROM webhooks WHERE tenant = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PropagationFilter:
    """Which opt-outs; all that is given must hold, instants are inclusive and of recording."""

    overdue: bool = False
    not_acknowledged_by: str | None = None
    recorded_from: datetime | None = None
    recorded_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Deadline:
    """A limit that applies, or may, and the last instant that is in time."""

    limit: Limit
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBy:
    """What an application did about an opt-out. `in_time` goes with the deadlines: None while the time still runs."""

    application: str
    expected: bool
    acknowledgement: Acknowledgement | None
    seconds: float | None
    in_time: tuple[bool | None, ...]

    @property
    def overdue(self) -> bool:
        """Whether it should know by now, and does not."""
        return self.expected and self.acknowledgement is None and False in self.in_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Propagation:
    """An opt-out and its clocks."""

    event: StoredEntry
    channel: Channel
    starts_at: datetime
    deadlines: tuple[Deadline, ...]
    applications: tuple[KnownBy, ...]

    @property
    def overdue(self) -> bool:
        """Whether an application should know of it by now, and does not."""
        return any(known.overdue for known in self.applications)


@dataclass(frozen=True, slots=True)
class PropagationPage:
    """Opt-outs, each with its cursor. With a filter there may be few, even none, though more follow after `end`."""

    items: list[tuple[str, Propagation]]
    has_next_page: bool
    end: str | None


@dataclass(frozen=True, slots=True)
class _Hook:
    application: str
    filter: EntryFilter
    earlier: Sequence[EarlierFilter]
    created_at: datetime
    deleted_at: datetime | None

    def expects(self, event: IndexedEntry) -> bool:
        recorded_at = event.stored.entry.recorded_at
        there = self.created_at <= recorded_at and (self.deleted_at is None or recorded_at < self.deleted_at)
        return there and (
            self.filter.passes(event)
            or any(event.stored.position <= one.to_position and one.filter.passes(event) for one in self.earlier)
        )


@dataclass(frozen=True, slots=True)
class _Followers:
    """Who follows: by acknowledging positions (up to where, and since when the application is there), and by webhook."""

    cursors: Mapping[str, tuple[int, datetime | None]]
    hooks: Sequence[_Hook]

    def expected(self, event: IndexedEntry) -> set[str]:
        recorded_at = event.stored.entry.recorded_at
        by_cursor = {name for name, (_, since) in self.cursors.items() if since is None or since <= recorded_at}
        return by_cursor | {hook.application for hook in self.hooks if hook.expects(event)}

    def known_to_all(self, last: int) -> int:
        """Up to where nothing can be overdue, as everybody who is expected acknowledged it."""
        if self.hooks:
            return -1
        return min((position for position, _ in self.cursors.values()), default=last)


async def page(
    tenant: Tenant, wanted: PropagationFilter, *, first: int | None = None, after: str | None = None
) -> PropagationPage:
    """A page of opt-outs in log order. Its cost does not grow with the log, nor with how few pass the filter.

    Raises Refusal INVALID (a cursor, what is no key), NOT_FOUND (an application), LimitExceeded, StoreUnavailable.
    """
    size = page_size("first", first)
    place, last, followers = await _range(
        tenant, wanted, -1 if after is None else cursor_position(tenant, after, "after")
    )
    place = max(place, _passed_by_none(wanted, followers, last))
    batch = _BATCH if wanted.overdue or wanted.not_acknowledged_by is not None else min(_BATCH, size)
    items: list[tuple[str, Propagation]] = []
    looked_through = 0
    while len(items) < size and place < last and looked_through < LOOKED_THROUGH_MAX:
        found = await _batch(tenant, followers, place, last, batch)
        looked_through += len(found)
        for one in found:
            place = one.event.position
            if _passes(wanted, one):
                items.append((event_cursor(tenant, one.event), one))
                if len(items) == size:
                    break
        else:
            place = last if len(found) < batch else place
    async with tenant.ledger.connection() as connection:
        more = place < last and bool(await connection.fetch(OPT_OUTS, tenant.id, place, last, 1))
    # The place looked through up to, which need not be that of an item.
    return PropagationPage(items, more, None if place < 0 else cursor(tenant, EVENTS, str(place)))


async def total_count(tenant: Tenant, wanted: PropagationFilter) -> int | None:
    """How many opt-outs pass; None where what applications know would have to be looked up of each. Raises StoreUnavailable."""
    if wanted.overdue or wanted.not_acknowledged_by is not None:
        return None
    place, last, _ = await _range(tenant, wanted, -1)
    of_opt_outs = EntryFilter(values=(ConsentValue.OPTED_OUT,), from_position=place + 1, to_position=last)
    async with tenant.ledger.connection() as connection:
        return await read.count(connection, tenant.id, of_opt_outs)


async def every(tenant: Tenant, wanted: PropagationFilter) -> AsyncIterator[tuple[Propagation, bool]]:
    """All that were recorded when it is asked, each with whether it passes the rest of the filter; oldest first, up to the
    log's end as it was at the start; in constant memory, holding no connection.

    Raises Refusal INVALID (what is no key), NOT_FOUND (an application), StoreUnavailable.
    """
    place, last, followers = await _range(tenant, wanted, -1)
    while place < last:
        found = await _batch(tenant, followers, place, last, _BATCH)
        for one in found:
            yield one, _passes(wanted, one)
        place = found[-1].event.position if len(found) == _BATCH else last


async def not_following(tenant: Tenant) -> list[str]:
    """The applications with a valid key that may check or read, and do not follow: nothing is known of what they know."""
    async with tenant.ledger.connection() as connection:
        rows = await connection.fetch(_NOT_FOLLOWING, tenant.id)
    return [row[0] for row in rows]


def _passes(wanted: PropagationFilter, one: Propagation) -> bool:
    name = wanted.not_acknowledged_by
    known = {by.application for by in one.applications if by.acknowledgement is not None}
    return (not wanted.overdue or one.overdue) and (name is None or name not in known)


async def _range(tenant: Tenant, wanted: PropagationFilter, after: int) -> tuple[int, int, _Followers]:
    """(after which position, up to which one, who follows): what was recorded when it is asked."""
    name = wanted.not_acknowledged_by
    if name is not None:
        clean_key(name, field="notAcknowledgedBy")
    async with tenant.ledger.connection() as connection:
        last = (await read.head(connection, tenant.id)).size - 1
        if wanted.recorded_to is not None:
            last = await read.size_at(connection, tenant.id, wanted.recorded_to) - 1
        if wanted.recorded_from is not None:
            after = max(after, await read.size_before(connection, tenant.id, wanted.recorded_from) - 1)
        followers = await _followers(connection, tenant)
        if name is not None:
            there = await connection.fetchval(_IS_THERE, tenant.id, name)
            if not there:
                raise Refusal(RefusalCode.NOT_FOUND, "there is no application with this key", ("notAcknowledgedBy",))
    return after, last, followers


def _passed_by_none(wanted: PropagationFilter, followers: _Followers, last: int) -> int:
    """Up to where the filter lets nothing pass, as far as that is known without looking."""
    name = wanted.not_acknowledged_by
    acknowledged = -1 if name is None else followers.cursors.get(name, (-1, None))[0]
    return max(acknowledged, followers.known_to_all(last) if wanted.overdue else -1)


async def _followers(connection: Connected, tenant: Tenant) -> _Followers:
    return _Followers(
        {row[0]: (row[1], row[2]) for row in await connection.fetch(_CURSORS, tenant.id)},
        [
            _Hook(row[0], *webhook_rows.filters_from(row[1]), row[2], row[3])
            for row in await connection.fetch(_WEBHOOKS, tenant.id)
        ],
    )


async def _batch(tenant: Tenant, followers: _Followers, after: int, last: int, limit: int) -> list[Propagation]:
    async with tenant.ledger.connection() as connection:
        rows = await connection.fetch(OPT_OUTS, tenant.id, after, last, limit)
    events = [IndexedEntry(read.stored(row[0], row[1]), *row[2:]) for row in rows]
    if not events:
        return []
    # After the events: whatever purpose they name is in it.
    catalogue = await tenant.latest_catalogue()
    known = await acknowledgements_of(tenant, [event.stored.position for event in events])
    now = tenant.ledger.clock()
    return [
        _propagation(catalogue, event, followers.expected(event), known[event.stored.position], now) for event in events
    ]


def _propagation(
    catalogue: Catalogue, event: IndexedEntry, expected: set[str], known: Sequence[Acknowledgement], now: datetime
) -> Propagation:
    entry = event.stored.entry
    data = upcast(entry.type, entry.version, entry.data)
    channel = Channel(data["channel"])
    starts_at = clock_start(entry.effective_at or entry.recorded_at, entry.recorded_at)
    presets = [preset for profile in catalogue.profiles_of(data["purpose"]) for preset in profile.presets]
    deadlines = tuple(
        Deadline(limit, limit.due_at(starts_at)) for limit in limits_of(channel, data.get("jurisdiction"), presets)
    )
    told = {acknowledgement.application: acknowledgement for acknowledgement in known}
    return Propagation(
        event=event.stored,
        channel=channel,
        starts_at=starts_at,
        deadlines=deadlines,
        applications=tuple(
            _known_by(name, told.get(name), entry.recorded_at, deadlines, now, expected=name in expected)
            for name in sorted(expected | told.keys())
        ),
    )


def _known_by(
    name: str,
    acknowledgement: Acknowledgement | None,
    recorded_at: datetime,
    deadlines: Sequence[Deadline],
    now: datetime,
    *,
    expected: bool,
) -> KnownBy:
    at = None if acknowledgement is None else acknowledgement.at
    return KnownBy(
        application=name,
        expected=expected,
        acknowledgement=acknowledgement,
        # Clocks of several machines may differ by a little: nothing is known before it is recorded.
        seconds=None if at is None else max(0.0, (at - recorded_at).total_seconds()),
        in_time=tuple(_in_time(deadline.due_at, at, now) for deadline in deadlines),
    )


def _in_time(due_at: datetime, at: datetime | None, now: datetime) -> bool | None:
    if at is not None:
        return at <= due_at
    return False if now > due_at else None
