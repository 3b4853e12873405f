"""Selecting by consent: whom one will reach for a purpose or topic, and who has opted in, out, or neither.

Must say of each contact point what a check says of it now; a test holds the two together. Expired consent is NOT_SET here
too. Memory is constant: pages follow the order of contact point ids.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.addresses import Channel
from domain.catalogue import Catalogue, MessageSubject, PurposeType
from domain.consent import ConsentValue
from domain.decision import ALLOWS, Contactability, contactability
from domain.refusals import Refusal, RefusalCode
from eventstore import read
from ledger.assembly import Tenant
from ledger.pages import Page, cursor, page_size, place_of
from projections import contact_points
from projections.contact_points import ContactPoint

SELECTED = "contact-point"


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

# Whoever is bound to business units sees the contact points at which there is consent of these.
_OF_UNITS = """
      AND ($13::text[] IS NULL OR EXISTS (
          SELECT FROM current_consent u
          WHERE u.tenant = s.tenant AND u.contact_point = s.contact_point AND u.unit = ANY($13::text[])))
"""

_SELECTED = (
    " FROM vault_subjects s"
    + _LEVEL.format(topic="''", name="by_purpose")
    + _LEVEL.format(topic="$4", name="by_topic")
    + """
    WHERE s.tenant = $1 AND s.channel = $2 AND NOT s.erasing
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
      AND ($10::text IS NULL OR $10 = coalesce(CASE WHEN $4 = '' THEN by_purpose.value ELSE by_topic.value END, 'NOT_SET'))
"""
    + _OF_UNITS
)

# page and count of a selection; its parameters are those of `_parameters`.
_PAGE = (
    "SELECT s.contact_point, s.channel, s.created_at, s.first_position"
    + _SELECTED
    + " AND ($14::uuid IS NULL OR s.contact_point > $14) ORDER BY s.contact_point LIMIT $15"
)
_COUNT = "SELECT count(*)" + _SELECTED


async def select(
    tenant: Tenant, selection: Selection, *, first: int | None = None, after: str | None = None
) -> Page[ContactPoint]:
    """A page of contact points, in the order of their ids.

    Raises Refusal (unknown, inactive or foreign profile, purpose, topic; a cursor that is none), LimitExceeded.
    """
    size = page_size("first", first)
    after_id = None if after is None else _contact_point(place_of(tenant, SELECTED, after, field="after"))
    async with tenant.ledger.connection() as connection:
        head = await read.head(connection, tenant.id)
        await tenant.refresh_catalogue(head.catalogue_position, connection)
        now = max(tenant.ledger.clock(), head.recorded_at)
        parameters = _parameters(tenant, tenant.catalogue, selection, now)
        rows = await connection.fetch(_PAGE, *parameters, after_id, size + 1)
    found = [contact_points.ContactPoint(row[0], Channel(row[1]), row[2], row[3]) for row in rows[:size]]

    async def total_count() -> int:
        async with tenant.ledger.connection() as connection:
            number: int = await connection.fetchval(_COUNT, *parameters)
            return number

    items = [(cursor(tenant, SELECTED, str(point.id)), point) for point in found]
    return Page(items, len(rows) > size, after_id is not None, total_count)


def _contact_point(place: str) -> UUID:
    try:
        return UUID(place)
    except ValueError as error:
        raise Refusal(RefusalCode.INVALID, "after is not a cursor that this list gave out", ("after",)) from error


def _parameters(tenant: Tenant, catalogue: Catalogue, selection: Selection, now: object) -> list[Any]:
    subject = catalogue.message(selection.profile, selection.purpose, selection.topic)
    enforcement = subject.purpose.enforcement[selection.channel]
    return [
        tenant.id,
        selection.channel,
        subject.purpose.key,
        "" if subject.topic is None else subject.topic.key,
        subject.purpose.unit,
        subject.profile.unit,
        now,
        catalogue.unit_scoping,
        _wants_sending(subject, selection.contactability),
        selection.value,
        [value for value in ConsentValue if ALLOWS[enforcement, value]],
        _COVERED_BY.get(subject.purpose.type, ""),
        tenant.own_units,
    ]


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
