"""What is known of contact points, asked by their ids: the consent at a level, and what one would do for each purpose and topic.

By the same rules as a check by address (`ledger.check`), whatever the time that is asked about.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.addresses import Channel
from domain.catalogue import Catalogue, ComplianceProfile, MessageSubject, Purpose, Topic
from domain.consent import ConsentRecord, ConsentValue, record_that_counts
from domain.decision import Contactability, Decision, contactability
from domain.refusals import Refusal, RefusalCode
from domain.standing import Standing, counting_record, decision_of
from eventstore import read
from ledger.assembly import Tenant
from ledger.standing_then import standing_then, times_of
from projections import current_consent

_STREAMS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class ConsentAt:
    """The consent of one contact point at one level: the record that counts, and its value, NOT_SET once it expired."""

    purpose: Purpose
    topic: Topic | None
    record: ConsentRecord | None
    value: ConsentValue


async def consent_of(
    tenant: Tenant,
    asked: Sequence[tuple[UUID, str, str | None]],
    *,
    as_of: datetime | None = None,
    known_at: datetime | None = None,
) -> list[ConsentAt | Refusal]:
    """The consent of contact points, each asked as (contact point, purpose ref, topic ref), or the refusal of that one.

    One look-up for any number of them. The purpose's own unit counts, else (with scoping off) any; inactive ones too.
    """
    contact_points = list(dict.fromkeys(contact_point for contact_point, _, _ in asked))
    held = await _standings_of_contact_points(tenant, contact_points, as_of, known_at)
    catalogue = held.catalogue
    results: list[ConsentAt | Refusal] = []
    for contact_point, purpose_ref, topic_ref in asked:
        try:
            purpose = catalogue.purposes[held.today.purpose(purpose_ref).key]
            topic = held.today.topic_of(purpose, topic_ref)
        except Refusal as refusal:
            results.append(refusal)
            continue
        record = record_that_counts(
            held.standings[contact_point].records.get((purpose.key, None if topic is None else topic.key), {}),
            purpose_unit=purpose.unit,
            profile_unit=purpose.unit,
            unit_scoping=catalogue.unit_scoping,
        )
        # The value is what a check goes by; the record behind it is shown to the units whose it is.
        shown = record is None or tenant.own_units is None or record.unit in tenant.own_units
        results.append(ConsentAt(purpose, topic, record if shown else None, _value(record, held.as_of)))
    return results


@dataclass(frozen=True, slots=True)
class ContactabilityRow:
    """What would happen for one purpose or topic of a profile; `value` is NOT_SET once it expired."""

    purpose: Purpose
    topic: Topic | None
    decision: Decision
    value: ConsentValue
    contactability: Contactability


async def contactability_of(
    tenant: Tenant,
    contact_points: Sequence[tuple[UUID, Channel]],
    *,
    profile: str,
    as_of: datetime | None = None,
    known_at: datetime | None = None,
) -> list[list[ContactabilityRow]]:
    """For each contact point a row per active purpose of the profile and per active topic; one look-up for all of them.

    Raises Refusal NOT_FOUND, INACTIVE for the profile, and LogWentBack.
    """
    tenant.going_back.require_none()
    ids = list(dict.fromkeys(contact_point for contact_point, _ in contact_points))
    held = await _standings_of_contact_points(tenant, ids, as_of, known_at)
    found = held.catalogue.profiles[held.today.profile(profile).key]
    if not found.active:
        raise Refusal(RefusalCode.INACTIVE, f"profile {found.key} is inactive", ("profile",))
    return [
        list(_rows(held.catalogue, found, channel, held.standings[contact_point], held.as_of))
        for contact_point, channel in contact_points
    ]


def _rows(
    catalogue: Catalogue, profile: ComplianceProfile, channel: Channel, standing: Standing, as_of: datetime
) -> Iterable[ContactabilityRow]:
    for key in profile.purposes:
        purpose = catalogue.purposes[key]
        if not purpose.active:
            continue
        for topic in (None, *catalogue.topics_of(key)):
            if topic is not None and not topic.active:
                continue
            decision = decision_of(catalogue, MessageSubject(profile, purpose, topic), channel, standing, as_of)
            yield ContactabilityRow(
                purpose,
                topic,
                decision,
                _value(counting_record(catalogue, profile.unit, purpose, topic, standing.records), as_of),
                contactability(purpose.type, allowed=decision.allowed),
            )


def _value(record: ConsentRecord | None, as_of: datetime) -> ConsentValue:
    return ConsentValue.NOT_SET if record is None or record.expired_at(as_of) else record.value


@dataclass(frozen=True, slots=True)
class _Held:
    """What is known of contact points: where they stand; the catalogues of today (for refs) and of then (for rules)."""

    today: Catalogue
    catalogue: Catalogue
    standings: Mapping[UUID, Standing]
    as_of: datetime


async def _standings_of_contact_points(
    tenant: Tenant, contact_points: Sequence[UUID], as_of: datetime | None, known_at: datetime | None
) -> _Held:
    async with (
        tenant.ledger.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        head = await read.head(connection, tenant.id)
        await tenant.refresh_catalogue(head.catalogue_position, connection)
        times, _ = times_of(tenant, head, as_of, known_at)
        today = tenant.catalogue_at(head.catalogue_position)
        now = as_of is None and known_at is None
        _, found = await current_consent.by_contact_point(
            connection, tenant.id, contact_points, list(today.purposes) if now else []
        )
        held = {one.contact_point: one for one in found.values() if one.contact_point is not None}
        if now:
            return _Held(today, today, {key: one.standing() for key, one in held.items()}, times.as_of)
        catalogue = tenant.catalogue_known_at(times.known_at)
        size = await read.size_at(connection, tenant.id, times.known_at)
        purposes = set(catalogue.purposes)
        standings: dict[UUID, Standing] = {}
        for start in range(0, len(contact_points), _STREAMS_AT_ONCE):
            chunk = contact_points[start : start + _STREAMS_AT_ONCE]
            streams = await read.streams(connection, tenant.id, chunk, to_position=size - 1)
            for key, events in streams.items():
                # By its id the past of an erased contact point can be asked for: its erasure counts once it was known.
                standings[key] = standing_then(events, times, purposes, held[key].suppressions, erasing=False)
    return _Held(today, catalogue, standings, times.as_of)
