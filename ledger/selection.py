"""Selecting by consent: whom one will reach for a purpose or topic, and who has opted in, out, or neither.

Must say of each contact point what a check says of it now; a test holds the two together. Expired consent is NOT_SET here
too. Pages follow the order in which contact points came up; memory is constant.

The bits of `projections.selection` answer for nearly everyone, all in one snapshot. The few that they cannot tell of are
looked at one by one ("aside"): those where something happened that the bits do not take account of yet, those whose consent
expired since, and those whose address a suppression names.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from domain.addresses import Channel
from domain.catalogue import EnforcementModel, MessageSubject, PurposeType
from domain.consent import ConsentValue
from domain.decision import ALLOWS, Contactability, contactability
from domain.refusals import NotYetAvailable, Refusal, RefusalCode
from eventstore import read
from eventstore.personal.vault import Connected
from ledger.assembly import WAIT_FOR_POSITION_S, Tenant
from ledger.first_seen import since_first_seen
from ledger.pages import Page, cursor, no_cursor, page_size, place_of
from projections import selection as bits
from projections.checkpoints import followed_to
from projections.contact_points import ContactPoint
from projections.selection_counts import KeptCounts
from projections.selection_masks import LevelAsked, Mask, Masks, Passing

SELECTED = "contact-points"
_ASIDE_MAX = 20_000
_LOOKED_AT_ONCE = 1_000
_CATCH_UP_POLL_S = 0.1
_POSITION_DIGITS_MAX = 18
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which contact points: by what one will do after enforcement, by what the record says, or both."""

    channel: Channel
    profile: str = "default"
    purpose: str
    topic: str | None = None
    contactability: Contactability | None = None
    value: ConsentValue | None = None


# Of the records of one level: the purpose's unit's, else the profile's, else (scoping off) the most recent of any.
# Precedence was made by the inline projection; here it is only compared.
_LEVEL = """
    LEFT JOIN LATERAL (
        SELECT CASE WHEN c.valid_until <= $7 THEN 'NOT_SET' ELSE c.value END AS value
        FROM current_consent c
        WHERE c.tenant = s.tenant AND c.contact_point = s.contact_point AND c.purpose = $3 AND c.topic = {topic}
          AND (c.unit IN ($5, $6) OR NOT $8)
        ORDER BY c.unit = $5 DESC, c.unit = $6 DESC, c.effective_at DESC, c.restrictiveness DESC, c.position DESC
        LIMIT 1
    ) AS {name} ON true
"""

# Whether a level is suppressed, as `domain.suppression` has it: covered, and no opt-in of the person's own since.
_SUPPRESSED = """
    EXISTS (
        SELECT FROM suppressions p
        WHERE p.tenant = s.tenant AND p.blind_index = s.blind_index
          AND (p.covers ? 'everything' OR {covered_by_type} OR EXISTS (
              SELECT FROM jsonb_array_elements(p.covers -> 'levels') level WHERE level = {level}))
          AND NOT EXISTS (
              SELECT FROM persons_opt_ins o
              WHERE o.tenant = s.tenant AND o.contact_point = s.contact_point AND o.purpose = $3 AND o.topic = {topic}
                AND o.effective_at > p.since))
"""
_SUPPRESSED_PURPOSE = _SUPPRESSED.format(
    covered_by_type="($12 <> '' AND (p.covers ->> $12)::boolean)",
    level="jsonb_build_object('purpose', $3::text)",
    topic="''",
)
_SUPPRESSED_TOPIC = _SUPPRESSED.format(
    covered_by_type="false", level="jsonb_build_object('purpose', $3::text, 'topic', $4::text)", topic="$4"
)

# selected: of the contact points asked, those that pass. Whoever is bound to business units sees the contact points at which
# there is consent of these.
_SELECTED = (
    """
    SELECT s.contact_point, s.channel, s.created_at, s.first_position
    FROM unnest($13::bigint[]) AS asked (position)
    CROSS JOIN LATERAL (
        SELECT e.stream FROM log_entries e WHERE e.tenant = $1 AND e.position = asked.position LIMIT 1
    ) AS began
    CROSS JOIN LATERAL (
        SELECT v.* FROM vault_subjects v WHERE v.tenant = $1 AND v.contact_point = began.stream LIMIT 1
    ) AS s
"""
    + _LEVEL.format(topic="''", name="by_purpose")
    + _LEVEL.format(topic="$4", name="by_topic")
    + """
    WHERE s.channel = $2 AND NOT s.erasing
      AND ($9::boolean IS NULL OR $9 = (
          coalesce(by_purpose.value, 'NOT_SET') = ANY($11::text[])
          AND ($4 = '' OR coalesce(by_topic.value, 'NOT_SET') = ANY($11::text[]))
          AND NOT EXISTS (SELECT FROM bounces b WHERE b.tenant = s.tenant AND b.contact_point = s.contact_point
                          AND b.ended_at IS NULL)
          AND NOT """
    + _SUPPRESSED_PURPOSE
    + " AND ($4 = '' OR NOT "
    + _SUPPRESSED_TOPIC
    + """)))
      AND ($14::text[] IS NULL OR EXISTS (
          SELECT FROM current_consent u
          WHERE u.tenant = s.tenant AND u.contact_point = s.contact_point AND u.unit = ANY($14::text[])))
      AND ($10::text IS NULL OR $10 = coalesce(CASE WHEN $4 = '' THEN by_purpose.value ELSE by_topic.value END, 'NOT_SET'))
    ORDER BY s.first_position
"""
)

# at_positions: the contact points that began at these positions.
_AT_POSITIONS = """
SELECT s.contact_point, s.channel, s.created_at, s.first_position
FROM unnest($2::bigint[]) AS asked (position)
CROSS JOIN LATERAL (
    SELECT e.stream FROM log_entries e WHERE e.tenant = $1 AND e.position = asked.position LIMIT 1
) AS began
CROSS JOIN LATERAL (
    SELECT v.* FROM vault_subjects v WHERE v.tenant = $1 AND v.contact_point = began.stream LIMIT 1
) AS s
ORDER BY s.first_position
"""

# moved: where the contact points began at which something happened after $2, up to $7, or whose consent expired between $3
# and $4 at this purpose. A contact point that is erased is still a bit that may be set. Positions have no gaps, so each is an
# index probe of its own; asked for a range, a planner without statistics reads a whole index for it.
MOVED = """
SELECT DISTINCT began.first_position
FROM (
    SELECT event.stream AS contact_point
    FROM generate_series($2::bigint + 1, $7::bigint) AS late (position)
    CROSS JOIN LATERAL (
        SELECT e.stream FROM log_entries e WHERE e.tenant = $1 AND e.position = late.position LIMIT 1
    ) AS event
    UNION
    SELECT c.contact_point FROM current_consent c
    WHERE c.tenant = $1 AND c.valid_until > $3 AND c.valid_until <= $4 AND c.purpose = $5
) AS moved
CROSS JOIN LATERAL (
    (SELECT s.first_position FROM vault_subjects s
     WHERE s.tenant = $1 AND s.contact_point = moved.contact_point LIMIT 1)
    UNION ALL
    (SELECT g.first_position FROM erasures g
     WHERE g.tenant = $1 AND g.contact_point = moved.contact_point LIMIT 1)
) AS began
ORDER BY 1 LIMIT $6
"""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A selection as it is asked of one snapshot."""

    tenant: Tenant
    connection: Connected
    subject: MessageSubject
    selection: Selection
    unit_scoping: bool
    now: datetime
    aside: tuple[int, ...]

    @property
    def counts(self) -> KeptCounts:
        """What this process keeps of the bits."""
        return self.tenant.ledger.selection_counts

    @property
    def masks(self) -> Masks:
        """The bits that it is about."""
        purpose, topic = self.subject.purpose, self.subject.topic
        units = list(dict.fromkeys((purpose.unit, self.subject.unit)))
        levels = [(purpose.key, "")] if topic is None else [(purpose.key, ""), (purpose.key, topic.key)]
        return Masks(
            self.tenant.id,
            self.selection.channel,
            [LevelAsked(level, units, other_units=not self.unit_scoping) for level in levels],
            seen=_seen_levels(self.tenant),
        )

    def passing(self, model: EnforcementModel, *, sending: bool | None) -> Passing:
        """Who passes under an enforcement model."""
        return Passing(
            sending=None if sending is None else frozenset(value for value in ConsentValue if ALLOWS[model, value]),
            negated=sending is False,
            value=self.selection.value,
        )

    async def look_at(
        self, positions: Sequence[int], model: EnforcementModel, *, sending: bool | None
    ) -> list[ContactPoint]:
        """Of the contact points that began at these positions, those that pass, looked at one by one."""
        topic = self.subject.topic
        rows = await self.connection.fetch(
            _SELECTED,
            self.tenant.id,
            self.selection.channel,
            self.subject.purpose.key,
            "" if topic is None else topic.key,
            self.subject.purpose.unit,
            self.subject.unit,
            self.now,
            self.unit_scoping,
            sending,
            self.selection.value,
            [value for value in ConsentValue if ALLOWS[model, value]],
            _COVERED_BY.get(self.subject.purpose.type, ""),
            list(positions),
            self.tenant.own_units,
        )
        return _contact_points(rows)

    async def count(self, masks: Masks, mask: Mask) -> int:
        """How many a mask holds whom the bits can tell of."""
        number = (await self.counts.of(self.connection, masks, mask)).total
        return number - await masks.held(self.connection, mask, self.aside) if self.aside else number

    async def apart(self, masks: Masks, *, after: int = -1, until: int | None = None) -> AsyncIterator[list[int]]:
        """All whom the bits cannot tell of, in order, so many at once as are looked at in one statement."""
        aside = frozenset(self.aside)
        while True:
            unsure = await self.counts.positions(
                self.connection, masks, masks.unsure, after=after, until=until, limit=_LOOKED_AT_ONCE, without=aside
            )
            moved = [position for position in self.aside if position > after]
            batch = sorted((*unsure, *moved))[:_LOOKED_AT_ONCE]
            within = [position for position in batch if until is None or position <= until]
            if within:
                yield within
            if len(within) < _LOOKED_AT_ONCE:
                return
            after = within[-1]


async def select(
    tenant: Tenant, selection: Selection, *, first: int | None = None, after: str | None = None
) -> Page[ContactPoint]:
    """A page of contact points, in the order in which they came up.

    Raises Refusal (unknown, inactive or foreign profile, purpose, topic; a cursor that is none), LimitExceeded, and
    NotYetAvailable while the bits are too far behind the log to be set right.
    """
    size = page_size("first", first)
    after_position = -1 if after is None else _position(place_of(tenant, SELECTED, after, field="after"))
    async with _asked(tenant, selection) as asked:
        found = await _page(asked, after=after_position, limit=size + 1)

    async def total_count() -> int:
        async with _asked(tenant, selection) as again:
            return await _count(again)

    items = [(cursor(tenant, SELECTED, str(point.first_position)), point) for point in found[:size]]
    return Page(items, len(found) > size, after is not None, total_count)


@dataclass(frozen=True, slots=True)
class EnforcementPreview:
    """What another enforcement model would change: how many contact points one would send to no more, and to how many anew.

    `position` is that of the last event taken account of; `profiles` share the purpose, and so the change.
    """

    to_block: int
    to_send: int
    profiles: tuple[str, ...]
    position: int


async def preview_enforcement(
    tenant: Tenant, *, purpose: str, channel: Channel, model: EnforcementModel
) -> EnforcementPreview:
    """How many would turn from send to block and back if the purpose had this model on this channel.

    Nothing is changed. Raises Refusal NOT_FOUND (purpose), NotYetAvailable.
    """
    catalogue = await tenant.latest_catalogue()
    held = catalogue.purpose(purpose)
    sharing = catalogue.profiles_of(held.key)
    selection = Selection(channel=channel, profile=sharing[0].key, purpose=held.key)
    async with _asked(tenant, selection, subject=MessageSubject(sharing[0], held, None)) as asked:
        masks, present = asked.masks, held.enforcement[channel]
        before = masks.passing(asked.passing(present, sending=True))
        after = masks.passing(asked.passing(model, sending=True))
        to_block = await asked.count(masks, before.without(after))
        to_send = await asked.count(masks, after.without(before))
        async for positions in asked.apart(masks):
            sent = {point.id for point in await asked.look_at(positions, present, sending=True)}
            would = {point.id for point in await asked.look_at(positions, model, sending=True)}
            to_block += len(sent - would)
            to_send += len(would - sent)
        size = (await read.head(asked.connection, tenant.id)).size
    return EnforcementPreview(to_block, to_send, tuple(profile.key for profile in sharing), size - 1)


@asynccontextmanager
async def _asked(
    tenant: Tenant, selection: Selection, *, subject: MessageSubject | None = None
) -> AsyncGenerator[_Asked]:
    """One snapshot, with all that the bits do not say in it set aside. Raises NotYetAvailable where that is too much."""
    tenant.going_back.require_none()
    loop = asyncio.get_running_loop()
    until = loop.time() + WAIT_FOR_POSITION_S
    while True:
        async with (
            tenant.ledger.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            head = await read.head(connection, tenant.id)
            await tenant.refresh_catalogue(head.catalogue_position, connection)
            named = subject or tenant.catalogue.message(selection.profile, selection.purpose, selection.topic)
            now = max(tenant.ledger.clock(), head.recorded_at)
            aside = await _moved(connection, tenant, named.purpose.key, head.size, now)
            if aside is not None:
                yield _Asked(tenant, connection, named, selection, tenant.catalogue.unit_scoping, now, aside)
                return
        if loop.time() >= until:
            raise NotYetAvailable(head.size - 1)
        await asyncio.sleep(_CATCH_UP_POLL_S)


async def _moved(
    connection: Connected, tenant: Tenant, purpose: str, size: int, now: datetime
) -> tuple[int, ...] | None:
    """Where the contact points began that the bits do not tell right of; None where there are too many of them."""
    followed = await followed_to(connection, tenant.id, bits.NAME)
    if size - 1 - followed > _ASIDE_MAX:
        return None
    expired_to = await bits.expired_to(connection, tenant.id) or _LONG_AGO
    rows = await connection.fetch(
        MOVED,
        tenant.id,
        followed,
        min(expired_to, now),
        max(expired_to, now),
        purpose,
        _ASIDE_MAX + 1,
        size - 1,
    )
    return None if len(rows) > _ASIDE_MAX else tuple(row[0] for row in rows)


async def _page(asked: _Asked, *, after: int, limit: int) -> list[ContactPoint]:
    sending = _wants_sending(asked.subject, asked.selection.contactability)
    model = asked.subject.purpose.enforcement[asked.selection.channel]
    masks = asked.masks
    mask = masks.passing(asked.passing(model, sending=sending))
    told = await asked.counts.positions(
        asked.connection, masks, mask, after=after, limit=limit, without=frozenset(asked.aside)
    )
    found = _contact_points(await asked.connection.fetch(_AT_POSITIONS, asked.tenant.id, told))
    apart: list[ContactPoint] = []
    async for positions in asked.apart(masks, after=after, until=told[-1] if len(told) == limit else None):
        apart += await asked.look_at(positions, model, sending=sending)
        if len(apart) >= limit:
            break
    page = sorted((*found, *apart), key=lambda point: point.first_position)[:limit]
    seen = await since_first_seen(asked.connection, asked.tenant, {point.id: point for point in page})
    return [seen[point.id] for point in page if point.id in seen]


async def _count(asked: _Asked) -> int:
    sending = _wants_sending(asked.subject, asked.selection.contactability)
    model = asked.subject.purpose.enforcement[asked.selection.channel]
    masks = asked.masks
    number = await asked.count(masks, masks.passing(asked.passing(model, sending=sending)))
    async for positions in asked.apart(masks):
        number += len(await asked.look_at(positions, model, sending=sending))
    return number


def _seen_levels(tenant: Tenant) -> list[tuple[str, str, str]] | None:
    """Where there may be consent of the units that whoever asks is bound to: (purpose, topic, unit); None: it sees all."""
    units = tenant.own_units
    if units is None:
        return None
    catalogue = tenant.catalogue
    return [
        (purpose.key, topic, purpose.unit)
        for purpose in catalogue.purposes.values()
        if purpose.unit in units
        for topic in ("", *(topic.key for topic in catalogue.topics_of(purpose.key)))
    ]


def _contact_points(rows: Sequence[Any]) -> list[ContactPoint]:
    return [ContactPoint(row[0], Channel(row[1]), row[2], row[3]) for row in rows]


def _position(place: str) -> int:
    if not (place.isascii() and place.isdigit() and len(place) <= _POSITION_DIGITS_MAX):
        raise no_cursor("after")
    return int(place)


# Which member of a suppression covers every purpose of a type.
_COVERED_BY = {PurposeType.COMMERCIAL: "commercial", PurposeType.TRACKING: "tracking"}


def _wants_sending(subject: MessageSubject, wanted: Contactability | None) -> bool | None:
    if wanted is None:
        return None
    for allowed in (True, False):
        if wanted is contactability(subject.purpose.type, allowed=allowed):
            return allowed
    kind = "tracked" if subject.purpose.type is PurposeType.TRACKING else "sent"
    raise Refusal(
        RefusalCode.INVALID, f"with this purpose something is {kind} or not; ask for that", ("contactability",)
    )
