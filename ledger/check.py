"""May this message go to this address? One look-up and the pure rules of `domain.decision`, over the catalogue in memory.

Fails closed: an address that cannot be normalised, or a store that does not answer, is never "send". A decision is never
taken with an older catalogue than the log position that it names.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from domain.addresses import Channel, normalise
from domain.catalogue import Catalogue, ComplianceProfile, MessageSubject, Purpose, Topic
from domain.consent import ConsentRecord, ConsentValue, current, record_that_counts
from domain.decision import (
    Contactability,
    Decision,
    ReasonCode,
    contactability,
    decide,
    decide_tracking,
    refuse_address,
)
from domain.refusals import LimitExceeded, Refusal, RefusalCode
from eventstore import read
from ledger.assembly import Tenant
from ledger.look_up import NOTHING, LookUp, Records, Seen
from projections import current_consent
from projections.current_consent import HeadSeen, Level
from projections.inline import consent_record

ADDRESSES_MAX = 10_000
_CHUNK_ADDRESSES = 1_000

@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of one or many addresses. `as_of` is effective time and `known_at` recorded time, both inclusive."""

    channel: Channel
    addresses: Sequence[str] = field(repr=False)
    profile: str = "default"
    purpose: str
    topic: str | None = None
    as_of: datetime | None = None
    known_at: datetime | None = None
    min_position: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for one address, and what it was taken from."""

    address: str = field(repr=False)
    decision: Decision
    tracking: Decision
    position: int
    catalogue_position: int
    decided_at: datetime
    contact_point: UUID | None
    subject: MessageSubject


@dataclass(frozen=True, slots=True)
class Times:
    """The two times of a question, resolved."""

    as_of: datetime
    known_at: datetime


async def check(tenant: Tenant, question: Question) -> list[Answer]:
    """The answers, in the order asked.

    Raises Refusal (unknown, inactive or foreign profile, purpose, topic), LimitExceeded, NotYetAvailable, StoreUnavailable.
    """
    if len(question.addresses) > ADDRESSES_MAX:
        raise LimitExceeded("addresses", ADDRESSES_MAX, len(question.addresses))
    if question.min_position is not None:
        await tenant.wait_for_position(question.min_position)
    blind_indexes: list[bytes] = []
    places: list[int | None] = []
    for address in question.addresses:
        try:
            normalised = normalise(question.channel, address)
        except Refusal:
            places.append(None)
        else:
            places.append(len(blind_indexes))
            blind_indexes.append(tenant.blind_index(question.channel, normalised))
    if question.as_of is None and question.known_at is None:
        subject, seen, catalogue = await _see_now(tenant, question, blind_indexes)
        now = max(tenant.ledger.clock(), seen.head.recorded_at)
        times = Times(now, now)
    else:
        times = _times(tenant, question.as_of, question.known_at)
        subject, seen, catalogue = await _see_then(tenant, question, blind_indexes, times)
        now = max(tenant.ledger.clock(), seen.head.recorded_at)
    # The catalogue held may be newer than the snapshot, and then the answer takes account of that too.
    position = max(seen.head.size - 1, catalogue.position)
    answers: list[Answer] = []
    for address, place in zip(question.addresses, places, strict=True):
        if place is None:
            contact_point = None
            decision = refuse_address(subject.purpose, question.channel, ReasonCode.INVALID_ADDRESS)
            tracking = decision
        else:
            contact_point, records = seen.found[place]
            decision = decision_of(catalogue, subject, question.channel, records, times.as_of)
            tracking = tracking_of(catalogue, subject.profile, question.channel, records, times.as_of)
        answers.append(
            Answer(address, decision, tracking, position, catalogue.position, now, contact_point, subject)
        )
    return answers


def decision_of(
    catalogue: Catalogue, subject: MessageSubject, channel: Channel, records: Records, as_of: datetime
) -> Decision:
    """The decision for one contact point by its records."""
    topic = subject.topic
    return decide(
        subject,
        channel,
        purpose_record=_counting(catalogue, subject.profile, subject.purpose, None, records),
        topic_record=None if topic is None else _counting(catalogue, subject.profile, subject.purpose, topic, records),
        as_of=as_of,
    )


def tracking_of(
    catalogue: Catalogue, profile: ComplianceProfile, channel: Channel, records: Records, as_of: datetime
) -> Decision:
    """Whether interactions of one contact point may be tracked."""
    purpose = catalogue.purposes[profile.tracking_purpose]
    record = _counting(catalogue, profile, purpose, None, records)
    return decide_tracking(catalogue, profile, channel, record, as_of)


def _counting(
    catalogue: Catalogue, profile: ComplianceProfile, purpose: Purpose, topic: Topic | None, records: Records
) -> ConsentRecord | None:
    return record_that_counts(
        records.get((purpose.key, None if topic is None else topic.key), {}),
        purpose_unit=purpose.unit,
        profile_unit=profile.unit,
        unit_scoping=catalogue.unit_scoping,
    )


async def _see_now(
    tenant: Tenant, question: Question, blind_indexes: Sequence[bytes]
) -> tuple[MessageSubject, Seen, Catalogue]:
    catalogue = tenant.catalogue
    while True:
        try:
            subject = catalogue.message(question.profile, question.purpose, question.topic)
        except Refusal:
            # What is not in the catalogue as held may have been made since.
            latest = await tenant.latest_catalogue()
            if latest.position == catalogue.position:
                raise
            catalogue = latest
            continue
        purposes = (subject.purpose.key, subject.profile.tracking_purpose)
        seen = await tenant.check_queue.submit(LookUp(blind_indexes, purposes))
        if seen.head.catalogue_position <= catalogue.position:
            return subject, seen, catalogue
        await tenant.refresh_catalogue(seen.head.catalogue_position)
        catalogue = tenant.catalogue


def _times(tenant: Tenant, as_of: datetime | None, known_at: datetime | None) -> Times:
    known = tenant.ledger.clock() if known_at is None else known_at
    return Times(known if as_of is None else as_of, known)


async def _see_then(
    tenant: Tenant, question: Question, blind_indexes: Sequence[bytes], times: Times
) -> tuple[MessageSubject, Seen, Catalogue]:
    """The same at other times: folded from the contact points' own events, in one snapshot and bounded memory."""
    async with (
        tenant.ledger.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        head = await read.head(connection, tenant.id)
        await tenant.refresh_catalogue(head.catalogue_position, connection)
        catalogue = tenant.catalogue_known_at(times.known_at)
        subject = catalogue.message(question.profile, question.purpose, question.topic)
        wanted = {subject.purpose.key, subject.profile.tracking_purpose}
        rows: list[tuple[UUID | None, Records]] = []
        for start in range(0, len(blind_indexes), _CHUNK_ADDRESSES):
            chunk = blind_indexes[start : start + _CHUNK_ADDRESSES]
            _, found = await current_consent.by_blind_index(connection, tenant.id, chunk, [])
            contact_points = {number: held.contact_point for number, held in found.items()}
            streams = await read.streams(connection, tenant.id, list(set(contact_points.values())))
            for number in range(len(chunk)):
                contact_point = contact_points.get(number)
                events = streams.get(contact_point, []) if contact_point is not None else []
                if not any(event.entry.recorded_at <= times.known_at for event in events):
                    contact_point = None
                rows.append((contact_point, records_of(events, times, wanted)))
    seen = HeadSeen(head.size, head.recorded_at, head.catalogue_position)
    return subject, Seen(seen, rows), catalogue


def records_of(events: Iterable[read.StoredEntry], times: Times, purposes: set[str]) -> Records:
    """The records that counted at `times`, folded from a contact point's events."""
    made = (consent_record(event.entry) for event in events)
    folded = current(
        (record for record in made if record is not None and record.purpose in purposes),
        as_of=times.as_of,
        known_at=times.known_at,
    )
    records: dict[Level, dict[str, ConsentRecord]] = {}
    for (purpose, topic, unit), record in folded.items():
        records.setdefault((purpose, topic), {})[unit] = record
    return records


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
    """The consent of contact points, each asked as (contact point, purpose ref, topic ref); a refusal stands for its own.

    One look-up for any number of them. The purpose's own unit counts, else (with scoping off) any; inactive ones too.
    """
    contact_points = list(dict.fromkeys(contact_point for contact_point, _, _ in asked))
    catalogue, records, times = await _records_of_contact_points(tenant, contact_points, as_of, known_at)
    results: list[ConsentAt | Refusal] = []
    for contact_point, purpose_ref, topic_ref in asked:
        try:
            purpose = catalogue.purpose(purpose_ref)
            topic = catalogue.topic_of(purpose, topic_ref)
        except Refusal as refusal:
            results.append(refusal)
            continue
        record = record_that_counts(
            records[contact_point].get((purpose.key, None if topic is None else topic.key), {}),
            purpose_unit=purpose.unit,
            profile_unit=purpose.unit,
            unit_scoping=catalogue.unit_scoping,
        )
        results.append(ConsentAt(purpose, topic, record, _value(record, times.as_of)))
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

    Raises Refusal NOT_FOUND, INACTIVE for the profile.
    """
    ids = list(dict.fromkeys(contact_point for contact_point, _ in contact_points))
    catalogue, records, times = await _records_of_contact_points(tenant, ids, as_of, known_at)
    found = catalogue.profile(profile)
    if not found.active:
        raise Refusal(RefusalCode.INACTIVE, f"profile {found.key} is inactive", ("profile",))
    return [
        list(_rows(catalogue, found, channel, records[contact_point], times.as_of))
        for contact_point, channel in contact_points
    ]


def _rows(
    catalogue: Catalogue, profile: ComplianceProfile, channel: Channel, records: Records, as_of: datetime
) -> Iterable[ContactabilityRow]:
    for key in profile.purposes:
        purpose = catalogue.purposes[key]
        if not purpose.active:
            continue
        for topic in (None, *catalogue.topics_of(key)):
            if topic is not None and not topic.active:
                continue
            decision = decision_of(catalogue, MessageSubject(profile, purpose, topic), channel, records, as_of)
            yield ContactabilityRow(
                purpose,
                topic,
                decision,
                _value(_counting(catalogue, profile, purpose, topic, records), as_of),
                contactability(purpose.type, allowed=decision.allowed),
            )


def _value(record: ConsentRecord | None, as_of: datetime) -> ConsentValue:
    return ConsentValue.NOT_SET if record is None or record.expired_at(as_of) else record.value


async def _records_of_contact_points(
    tenant: Tenant, contact_points: Sequence[UUID], as_of: datetime | None, known_at: datetime | None
) -> tuple[Catalogue, dict[UUID, Records], Times]:
    async with (
        tenant.ledger.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        head = await read.head(connection, tenant.id)
        await tenant.refresh_catalogue(head.catalogue_position, connection)
        if as_of is None and known_at is None:
            catalogue = tenant.catalogue_at(head.catalogue_position)
            now = max(tenant.ledger.clock(), head.recorded_at)
            _, found = await current_consent.by_contact_point(
                connection, tenant.id, contact_points, list(catalogue.purposes)
            )
            records: dict[UUID, Records] = dict.fromkeys(contact_points, NOTHING)
            records |= {held.contact_point: held.records for held in found.values()}
            return catalogue, records, Times(now, now)
        times = _times(tenant, as_of, known_at)
        catalogue = tenant.catalogue_known_at(times.known_at)
        streams = await read.streams(connection, tenant.id, contact_points)
    purposes = set(catalogue.purposes)
    return catalogue, {key: records_of(events, times, purposes) for key, events in streams.items()}, times
