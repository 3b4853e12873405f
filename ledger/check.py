"""May this message go to this address? One look-up and the pure rules of `domain.decision`, the catalogue in memory.

Fails closed: an address that cannot be normalised, or a store that does not answer, is never "send". A decision is
never taken with an older catalogue than the log position that it names.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from domain.addresses import Channel, normalise
from domain.bounces import Bounce, ends_bounce, is_bounced
from domain.catalogue import Catalogue, ComplianceProfile, MessageSubject, Purpose, PurposeType, Topic
from domain.consent import ConsentRecord, ConsentValue, record_that_counts
from domain.decision import Contactability, Decision, ReasonCode, contactability, refuse_address
from domain.double_opt_in import levels_of, request_of
from domain.events import EventType
from domain.refusals import LimitExceeded, Refusal, RefusalCode
from domain.standing import NOTHING_KNOWN, Standing, by_level, counting_record, decision_of, tracking_of
from domain.suppression import Level, Suppression, is_persons_opt_in
from eventstore import read
from eventstore.read import Head
from ledger.assembly import Tenant
from ledger.check_queue import FLIGHT_ADDRESSES_MAX
from ledger.look_up import LookUp, look_up
from projections import current_consent
from projections.current_consent import HeadSeen
from projections.inline import consent_record

ADDRESSES_MAX = 10_000
_CHUNK_ADDRESSES = 1_000
_ADDRESSES_PER_TURN = 500
_STREAMS_PER_READ = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of one or many addresses. `as_of` is effective, `known_at` recorded time, both inclusive.

    `business_unit` stands for the profile's.
    """

    channel: Channel
    addresses: Sequence[str] = field(repr=False)
    profile: str = "default"
    purpose: str
    topic: str | None = None
    business_unit: str | None = None
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
    as_of: datetime
    contact_point: UUID | None
    subject: MessageSubject


@dataclass(frozen=True, slots=True)
class Times:
    """The two times of a question, resolved."""

    as_of: datetime
    known_at: datetime


@dataclass(frozen=True, slots=True)
class _Taken:
    """What the answers to a question are taken from: one state of the log, its catalogue, and who was found in it."""

    subject: MessageSubject
    catalogue: Catalogue
    catalogue_position: int
    found: Sequence[tuple[UUID | None, Standing]]
    position: int
    as_of: datetime
    decided_at: datetime


async def check_for_message(tenant: Tenant, question: Question) -> list[Answer]:
    """The same for who is about to send a message: no message is for a TRACKING purpose, and its yes is no "send".

    Raises Refusal INVALID for such a purpose, and what `check` raises.
    """
    answers = await check(tenant, question)
    if any(answer.subject.purpose.type is PurposeType.TRACKING for answer in answers):
        raise Refusal(RefusalCode.INVALID, "no message is for a purpose of type TRACKING", ("purpose",))
    return answers


async def check(tenant: Tenant, question: Question) -> list[Answer]:
    """The answers, in the order asked.

    Raises Refusal (unknown, inactive or foreign profile, purpose, topic), LimitExceeded, NotYetAvailable and
    StoreUnavailable.
    """
    if len(question.addresses) > ADDRESSES_MAX:
        raise LimitExceeded("addresses", ADDRESSES_MAX, len(question.addresses))
    blind_indexes, places = await _blind_indexes(tenant, question)
    if question.as_of is None and question.known_at is None:
        taken = await _see_now(tenant, question, blind_indexes)
    else:
        taken = await _see_then(tenant, question, blind_indexes)
    # Made once: in a large batch most addresses have no record at all.
    unknown: tuple[Decision, Decision] | None = None
    answers: list[Answer] = []
    for address, place in zip(question.addresses, places, strict=True):
        contact_point, standing = (None, NOTHING_KNOWN) if place is None else taken.found[place]
        if place is None:
            decision = refuse_address(taken.subject.purpose, question.channel, ReasonCode.INVALID_ADDRESS)
            tracking = decision
        elif standing is not NOTHING_KNOWN:
            decision, tracking = _decided(taken, question.channel, standing)
        else:
            unknown = unknown or _decided(taken, question.channel, NOTHING_KNOWN)
            decision, tracking = unknown
        answers.append(
            Answer(
                address,
                decision,
                tracking,
                taken.position,
                taken.catalogue_position,
                taken.decided_at,
                taken.as_of,
                contact_point,
                taken.subject,
            )
        )
        if not len(answers) % _ADDRESSES_PER_TURN:
            await _others_first()
    return answers


def _decided(taken: _Taken, channel: Channel, standing: Standing) -> tuple[Decision, Decision]:
    return (
        decision_of(taken.catalogue, taken.subject, channel, standing, taken.as_of),
        tracking_of(taken.catalogue, taken.subject, channel, standing, taken.as_of),
    )


async def _blind_indexes(tenant: Tenant, question: Question) -> tuple[list[bytes], list[int | None]]:
    """The blind indexes to look up, and which of them is each address's; None for an address that is none."""
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
        if not len(places) % _ADDRESSES_PER_TURN:
            await _others_first()
    return blind_indexes, places


async def _others_first() -> None:
    """Let the other callers of this process go on in between: 10,000 addresses are a tenth of a second."""
    await asyncio.sleep(0)


async def _see_now(tenant: Tenant, question: Question, blind_indexes: Sequence[bytes]) -> _Taken:
    catalogue = tenant.catalogue
    while True:
        try:
            subject = catalogue.message(question.profile, question.purpose, question.topic, question.business_unit)
        except Refusal:
            # What is not in the catalogue as held may have been made since.
            latest = await tenant.latest_catalogue()
            if latest.position == catalogue.position:
                raise
            catalogue = latest
            continue
        asked = LookUp(
            blind_indexes,
            (subject.purpose.key, subject.profile.tracking_purpose),
            ("",) if subject.topic is None else ("", subject.topic.key),
        )
        head, found = await _look_up(tenant, asked)
        if question.min_position is not None and head.size <= question.min_position:
            await tenant.wait_for_position(question.min_position)
        elif head.catalogue_position <= catalogue.position:
            now = max(tenant.ledger.clock(), head.recorded_at)
            return _Taken(subject, catalogue, catalogue.position, found, head.size - 1, now, now)
        else:
            await tenant.refresh_catalogue(head.catalogue_position)
        catalogue = tenant.catalogue


async def _look_up(tenant: Tenant, asked: LookUp) -> tuple[HeadSeen, Sequence[tuple[UUID | None, Standing]]]:
    if len(asked.blind_indexes) <= FLIGHT_ADDRESSES_MAX:
        seen = await tenant.check_queue.submit(asked)
    else:
        # A large batch has its own statement, beside those that the others wait for.
        async with tenant.ledger.connection() as connection:
            [seen] = await look_up(connection, tenant.id, [asked])
    return seen.head, seen.found


def _times(tenant: Tenant, head: Head, as_of: datetime | None, known_at: datetime | None) -> tuple[Times, datetime]:
    """The times meant, and now. Now is never before what the log holds, or a clock behind another would lose opt-outs.

    A time to come is taken as it is: by what is known now, as of then.
    """
    now = max(tenant.ledger.clock(), head.recorded_at)
    known = now if known_at is None else known_at
    return Times(known if as_of is None else as_of, known), now


async def _see_then(tenant: Tenant, question: Question, blind_indexes: Sequence[bytes]) -> _Taken:
    """The same at other times: folded from the contact points' own events, in one snapshot and bounded memory."""
    if question.min_position is not None:
        await tenant.wait_for_position(question.min_position)
    async with (
        tenant.ledger.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        head = await read.head(connection, tenant.id)
        await tenant.refresh_catalogue(head.catalogue_position, connection)
        times, now = _times(tenant, head, question.as_of, question.known_at)
        subject, catalogue = _subject_then(tenant, question, times)
        size = await read.size_at(connection, tenant.id, times.known_at)
        wanted = {subject.purpose.key, subject.profile.tracking_purpose}
        found: list[tuple[UUID | None, Standing]] = []
        folded: dict[UUID, tuple[UUID | None, Standing]] = {}
        for start in range(0, len(blind_indexes), _CHUNK_ADDRESSES):
            chunk = blind_indexes[start : start + _CHUNK_ADDRESSES]
            _, held = await current_consent.by_blind_index(connection, tenant.id, chunk, [], [])
            # An address may be asked many times, and much may have happened at it: each is folded once.
            new = {
                one.contact_point: one
                for one in held.values()
                if one.contact_point is not None and one.contact_point not in folded
            }
            contact_points = list(new)
            for at in range(0, len(contact_points), _STREAMS_PER_READ):
                part = contact_points[at : at + _STREAMS_PER_READ]
                streams = await read.streams(connection, tenant.id, part, to_position=size - 1)
                for contact_point in part:
                    folded[contact_point] = _folded(new[contact_point], streams[contact_point], times, wanted)
                    await asyncio.sleep(0)
            for number in range(len(chunk)):
                one = held.get(number)
                if one is None:
                    found.append((None, NOTHING_KNOWN))
                elif one.contact_point is None:
                    found.append(_folded(one, (), times, wanted))
                else:
                    found.append(folded[one.contact_point])
                if not len(found) % _ADDRESSES_PER_TURN:
                    await _others_first()
    # The first event of all is known at any time: the catalogue is taken as it was made.
    position = max(size - 1, 0)
    return _Taken(subject, catalogue, tenant.catalogue_version_at(position), found, position, times.as_of, now)


def _folded(
    one: current_consent.Found, events: Sequence[read.StoredEntry], times: Times, purposes: set[str]
) -> tuple[UUID | None, Standing]:
    """The contact point as it was known then, and where the address stood.

    An address that is being erased, or suppressed, is so whatever time is asked about: by address the past is gone, and what
    is gone is never "send".
    """
    if not (events or one.suppressions or one.erasing):
        return None, NOTHING_KNOWN
    standing = standing_then(events, times, purposes, one.suppressions, erasing=one.erasing)
    return (one.contact_point if events else None), standing


def _subject_then(tenant: Tenant, question: Question, times: Times) -> tuple[MessageSubject, Catalogue]:
    """What the message names, by refs of today and in the catalogue of then: a GUID may have come later."""
    today, then = tenant.catalogue, tenant.catalogue_known_at(times.known_at)
    topic = None if question.topic is None else today.topic(question.topic).key
    unit = None if question.business_unit is None else today.unit(question.business_unit).key
    subject = then.message(today.profile(question.profile).key, today.purpose(question.purpose).key, topic, unit)
    return subject, then


def standing_then(
    events: Sequence[read.StoredEntry],
    times: Times,
    purposes: set[str],
    suppressions: Iterable[Suppression],
    *,
    erasing: bool,
) -> Standing:
    """Where a contact point stood at `times`, folded from its events; what suppresses its address is known now."""
    known = [event.entry for event in events if event.entry.recorded_at <= times.known_at]
    made = [(entry, record) for entry in known if (record := consent_record(entry)) is not None]
    opt_ins: dict[Level, datetime] = {}
    for entry, record in made:
        if is_persons_opt_in(entry.actor, record.value) and record.effective_at <= times.as_of:
            level = record.purpose, record.topic
            opt_ins[level] = max(opt_ins.get(level, record.effective_at), record.effective_at)
    requests = {
        level: request_of(entry.data, entry.recorded_at, entry.position)
        for entry in known
        if entry.type == EventType.DOUBLE_OPT_IN_REQUESTED and entry.recorded_at <= times.as_of
        for level in levels_of(entry.data)
    }
    return Standing(
        by_level(
            (record for _, record in made if record.purpose in purposes), as_of=times.as_of, known_at=times.known_at
        ),
        erasing or any(entry.type == EventType.CONTACT_POINT_ERASURE_REQUESTED for entry in known),
        tuple(suppressions),
        opt_ins,
        requests,
        is_bounced(
            [
                entry.recorded_at
                for entry in known
                if entry.type == EventType.CONTACT_POINT_BOUNCED
                and entry.data["bounce"] == Bounce.HARD
                and entry.recorded_at <= times.as_of
            ],
            [
                record.effective_at
                for entry, record in made
                if record.effective_at <= times.as_of and ends_bounce(entry.actor, entry.data["source"], record.value)
            ],
        ),
    )


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

    Raises Refusal NOT_FOUND, INACTIVE for the profile.
    """
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
        times, _ = _times(tenant, head, as_of, known_at)
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
        for start in range(0, len(contact_points), _CHUNK_ADDRESSES):
            chunk = contact_points[start : start + _CHUNK_ADDRESSES]
            streams = await read.streams(connection, tenant.id, chunk, to_position=size - 1)
            for key, events in streams.items():
                # By its id the past of an erased contact point can be asked for: its erasure counts once it was known.
                standings[key] = standing_then(events, times, purposes, held[key].suppressions, erasing=False)
    return _Held(today, catalogue, standings, times.as_of)
