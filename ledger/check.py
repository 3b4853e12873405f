"""May this message go to this address? One look-up and the pure rules of `domain.decision`, the catalogue in memory.

Fails closed: an address that cannot be normalised, or a store that does not answer, is never "send". A decision is
never taken with an older catalogue than the log position that it names.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import NamedTuple
from uuid import UUID

from domain.addresses import Channel, normalise_all
from domain.catalogue import Catalogue, MessageSubject, PurposeType, by_key
from domain.refusals import LimitExceeded, Refusal, RefusalCode
from eventstore import read
from ledger.answers import Answer, Deciding, Known, Stood, Taken
from ledger.assembly import Tenant
from ledger.check_queue import FLIGHT_ADDRESSES_MAX
from ledger.look_up import LookUp, Seen, look_up
from ledger.standing_then import Times, standing_then, times_of
from ledger.turns import Turn
from projections import current_consent

ADDRESSES_MAX = 10_000
_CHUNK_ADDRESSES = 1_000
_ADDRESSES_AT_ONCE = 100
_ADDRESSES_PER_PART = 2_000
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


async def check_for_message(tenant: Tenant, question: Question) -> list[Answer]:
    """The same for who is about to send a message: no message is for a TRACKING purpose, and its yes is no "send".

    Raises Refusal INVALID for such a purpose, and what `check` raises.
    """
    answers = await check(tenant, question)
    # All of them are about the same purpose.
    if answers and answers[0].subject.purpose.type is PurposeType.TRACKING:
        raise Refusal(RefusalCode.INVALID, "no message is for a purpose of type TRACKING", ("purpose",))
    return answers


async def check(tenant: Tenant, question: Question) -> list[Answer]:
    """The answers, in the order asked.

    Raises Refusal (unknown, inactive or foreign profile, purpose, topic), LimitExceeded, NotYetAvailable and
    StoreUnavailable, LogWentBack too.
    """
    tenant.going_back.require_none()
    if len(question.addresses) > ADDRESSES_MAX:
        raise LimitExceeded("addresses", ADDRESSES_MAX, len(question.addresses))
    if question.as_of is None and question.known_at is None:
        return await _check_now(tenant, question)
    part = await _part(tenant, question.channel, question.addresses)
    taken, found = await _see_then(tenant, question, part.blind_indexes)
    return await _answers(Deciding(taken), part, found)


class _Part(NamedTuple):
    """Some of the addresses of a question: the blind indexes to look up, and which of them is each address's.

    None is the place of an address that is none.
    """

    addresses: Sequence[str]
    blind_indexes: Sequence[bytes]
    places: Sequence[int | None]


async def _part(tenant: Tenant, channel: Channel, addresses: Sequence[str]) -> _Part:
    blind_indexes: list[bytes] = []
    places: list[int | None] = []
    place = count()
    turn = Turn()
    for start in range(0, len(addresses), _ADDRESSES_AT_ONCE):
        if turn.is_over:
            await turn.others_first()
        normalised = normalise_all(channel, addresses[start : start + _ADDRESSES_AT_ONCE])
        places += [None if one is None else next(place) for one in normalised]
        blind_indexes += tenant.blind_index.each(channel, [one for one in normalised if one is not None])
    return _Part(addresses, blind_indexes, places)


async def _answers(deciding: Deciding, part: _Part, held: Sequence[Known]) -> list[Answer]:
    answers: list[Answer] = []
    turn = Turn()
    for address, place in zip(part.addresses, part.places, strict=True):
        answers.append(deciding.answer(address, None if place is None else held[place]))
        if not len(answers) % _ADDRESSES_AT_ONCE and turn.is_over:
            await turn.others_first()
    return answers


async def _check_now(tenant: Tenant, question: Question) -> list[Answer]:
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
        answers: list[Answer] = []
        deciding: Deciding | None = None
        async with aclosing(_seen_now(tenant, question, subject)) as parts:
            async for part, seen in parts:
                head = seen.head
                if deciding is None:
                    if head.catalogue_position > catalogue.position or (
                        question.min_position is not None and head.size <= question.min_position
                    ):
                        break
                    now = max(tenant.ledger.clock(), head.recorded_at)
                    position = head.size - 1
                    deciding = Deciding(
                        Taken(subject, question.channel, catalogue, catalogue.position, position, now, now)
                    )
                answers += await _answers(deciding, part, seen.rows)
            else:
                return answers
        # No connection is held by now: what is too old is asked again once it is not.
        if question.min_position is not None and head.size <= question.min_position:
            await tenant.wait_for_position(question.min_position)
        else:
            await tenant.refresh_catalogue(head.catalogue_position)
        catalogue = tenant.catalogue


async def _seen_now(tenant: Tenant, question: Question, subject: MessageSubject) -> AsyncGenerator[tuple[_Part, Seen]]:
    """The addresses of a question, some at a time, and what the store holds for them, all in one snapshot."""
    purposes = (subject.purpose.key, subject.profile.tracking_purpose)
    topics = ("",) if subject.topic is None else ("", subject.topic.key)
    if len(question.addresses) <= FLIGHT_ADDRESSES_MAX:
        part = await _part(tenant, question.channel, question.addresses)
        yield part, await tenant.check_queue.submit(LookUp(part.blind_indexes, purposes, topics))
        return
    # A large batch has statements of its own, beside those that the others wait for. The database looks up one part of it
    # while this process decides the one before and normalises the next.
    asking: asyncio.Task[list[Seen]] | None = None
    asked: _Part | None = None
    async with (
        tenant.ledger.connection_of_batch() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        try:
            for start in range(0, len(question.addresses), _ADDRESSES_PER_PART):
                part = await _part(tenant, question.channel, question.addresses[start : start + _ADDRESSES_PER_PART])
                before, seen = asked, None if asking is None else await asking
                look = LookUp(part.blind_indexes, purposes, topics)
                asked, asking = part, asyncio.create_task(look_up(connection, tenant.id, [look]))
                # Off it goes, before deciding takes the processor.
                await asyncio.sleep(0)
                if before is not None and seen is not None:
                    yield before, seen[0]
            if asked is not None and asking is not None:
                yield asked, (await asking)[0]
        finally:
            if asking is not None and not asking.done():
                # The caller left, or has seen enough: nothing may run on the connection when it goes back.
                asking.cancel()
                await asyncio.wait([asking])


async def _see_then(
    tenant: Tenant, question: Question, blind_indexes: Sequence[bytes]
) -> tuple[Taken, Sequence[Known]]:
    """The same at other times: folded from the contact points' own events, in one snapshot and bounded memory."""
    if question.min_position is not None:
        await tenant.wait_for_position(question.min_position)
    # More streams than one statement reads keep a connection as long as a large batch does.
    several = len(blind_indexes) > _STREAMS_PER_READ
    async with (
        tenant.ledger.connection_of_batch() if several else tenant.ledger.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        head = await read.head(connection, tenant.id)
        await tenant.refresh_catalogue(head.catalogue_position, connection)
        times, now = times_of(tenant, head, question.as_of, question.known_at)
        subject, catalogue = _subject_then(tenant, question, times)
        size = await read.size_at(connection, tenant.id, times.known_at)
        wanted = {subject.purpose.key, subject.profile.tracking_purpose}
        found: list[Known] = []
        turn = Turn()
        folded: dict[UUID, Known] = {}
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
                    found.append(())
                elif one.contact_point is None:
                    found.append(_folded(one, (), times, wanted))
                else:
                    found.append(folded[one.contact_point])
                if not len(found) % _ADDRESSES_AT_ONCE and turn.is_over:
                    await turn.others_first()
    # The first event of all is known at any time: the catalogue is taken as it was made.
    position = max(size - 1, 0)
    version = tenant.catalogue_version_at(position)
    return Taken(subject, question.channel, catalogue, version, position, times.as_of, now), found


def _folded(one: current_consent.Found, events: Sequence[read.StoredEntry], times: Times, purposes: set[str]) -> Known:
    """The contact point as it was known then, and where the address stood.

    An address that is being erased, or suppressed, is so whatever time is asked about: by address the past is gone, and what
    is gone is never "send".
    """
    if not (events or one.suppressions or one.erasing):
        return ()
    standing = standing_then(events, times, purposes, one.suppressions, erasing=one.erasing)
    return Stood(one.contact_point if events else None, standing)


def _subject_then(tenant: Tenant, question: Question, times: Times) -> tuple[MessageSubject, Catalogue]:
    """What the message names, by refs of today and in the catalogue of then: a GUID may have come later."""
    today, then = tenant.catalogue, tenant.catalogue_known_at(times.known_at)
    topic = None if question.topic is None else by_key(today.topic(question.topic).key)
    unit = None if question.business_unit is None else today.unit(question.business_unit).key
    subject = then.message(
        today.profile(question.profile).key, by_key(today.purpose(question.purpose).key), topic, unit
    )
    return subject, then
