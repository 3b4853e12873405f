"""Whatever is known of addresses, each is answered by the rules for that alone: what is decided for several at once is theirs."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import catalogue_commands as commands
from domain.addresses import Channel
from domain.catalogue import EMPTY, Catalogue, EnforcementModel, MessageSubject
from domain.consent import ConsentRecord, ConsentValue
from domain.decision import ReasonCode, refuse_address
from domain.double_opt_in import Request
from domain.standing import Standing, decision_of, tracking_of
from domain.suppression import Level, Suppression
from ledger import answers as answering
from ledger import catalogue
from ledger.answers import Deciding, Taken
from ledger.assembly import Caller, Tenant
from ledger.record import Capture, record_consent
from projections.current_consent import Found, is_all_that_decides, rows_by_blind_index, what_decides
from tests.semantics.given import after

AS_OF = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
# Before, at and after what is asked about, by so little that only an exact comparison tells them apart.
MOMENTS = tuple(AS_OF + timedelta(microseconds=number) for number in (-2, -1, 0, 1))
PURPOSES, TOPICS, UNITS = ("commercial", "tracking"), ("news", "offers"), ("root", "emea", "apac", "latam")
LEVELS: tuple[Level, ...] = (*((purpose, None) for purpose in PURPOSES), *(("commercial", topic) for topic in TOPICS))


def _catalogue() -> Catalogue:
    made = after(EMPTY, commands.create_tenant("Test"))
    for key in UNITS[1:]:
        made = after(made, commands.create_business_unit(made, key=key, name=key, parent="root"))
    for key in TOPICS:
        made = after(made, commands.create_topic(made, key=key, name=key, purpose="commercial"))
    return made


CATALOGUE = _catalogue()

times = st.sampled_from(MOMENTS)
records = st.builds(
    ConsentRecord,
    purpose=st.none(),
    topic=st.none(),
    unit=st.sampled_from(UNITS),
    value=st.sampled_from(ConsentValue),
    effective_at=times,
    recorded_at=times,
    position=st.just(0),
    valid_until=st.none() | times,
)
suppressions = st.builds(
    Suppression,
    since=times,
    commercial=st.booleans(),
    tracking=st.booleans(),
    levels=st.frozensets(st.sampled_from(LEVELS), max_size=2),
    everything=st.booleans(),
)
requests = st.builds(Request, requested_at=times, position=st.integers(0, 2**40), expires_at=times)
rarely_any = st.sampled_from([False] * 7 + [True])


@st.composite
def standings(draw: st.DrawFn) -> tuple[UUID | None, Standing]:
    """What may be known of an address: mostly a record or two, sometimes anything."""
    drawn = draw(st.lists(st.tuples(st.sampled_from(LEVELS), records), max_size=3))
    held = _by_level(
        [
            record._replace(purpose=purpose, topic=topic, position=10 * number)  # no two have one
            for number, ((purpose, topic), record) in enumerate(drawn)
        ]
    )
    blocked: tuple[Suppression, ...] = ()
    opt_ins: dict[Level, datetime] = {}
    requested: dict[Level, Request] = {}
    if draw(rarely_any):
        blocked = tuple(draw(st.lists(suppressions, min_size=1, max_size=2)))
        opt_ins = draw(st.dictionaries(st.sampled_from(LEVELS), times, max_size=2))
    if draw(rarely_any):
        requested = draw(st.dictionaries(st.sampled_from(LEVELS), requests, min_size=1, max_size=2))
    bounced, erased = draw(rarely_any), draw(rarely_any)
    somebody = bool(held or requested or bounced or erased) or draw(st.booleans())
    contact_point = UUID(int=draw(st.integers(1, 2**100))) if somebody else None
    return contact_point, Standing(held, erased, blocked, opt_ins, requested, bounced)


def sent(instant: datetime | None) -> bytes | None:
    """As PostgreSQL sends it."""
    if instant is None:
        return None
    return ((instant - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)).to_bytes(8, "big", signed=True)


def rows_of(contact_point: UUID | None, standing: Standing) -> list[Any]:
    """The rows that the statement has of it."""
    nothing = [None] * 4
    made: list[list[Any]] = [
        [
            1, contact_point, one.purpose, one.topic or "", one.unit, str(one.value), sent(one.effective_at),
            sent(one.recorded_at), sent(one.valid_until), one.position, standing.erased, *nothing,
        ]
        for by_unit in standing.records.values() for one in by_unit.values()
    ] + [
        [
            1, contact_point, purpose, topic or "", "", None, sent(one.requested_at), None, sent(one.expires_at),
            one.position, standing.erased, *nothing,
        ]
        for (purpose, topic), one in standing.requests.items()
    ]  # fmt: skip
    if standing.bounced:
        made.append([1, contact_point, "", "", "", None, sent(AS_OF), None, None, 7, standing.erased, *nothing])
    if contact_point is not None and not made:
        made.append([1, contact_point, *[None] * 8, standing.erased, *nothing])
    opt_ins = [[purpose, topic or "", at.isoformat()] for (purpose, topic), at in standing.opt_ins.items()]
    made += [
        [1, None, *[None] * 8, False, None, sent(one.since), json.dumps(one.to_data()), json.dumps(opt_ins) if opt_ins else None]
        for one in standing.suppressions
    ]  # fmt: skip
    return [tuple(row) for row in made]


@st.composite
def asked(draw: st.DrawFn) -> Taken:
    """A question about a purpose or a topic of it, whatever is enforced and in whichever unit."""
    models = st.fixed_dictionaries({Channel.EMAIL: st.sampled_from(EnforcementModel)})
    purposes = {
        key: replace(
            CATALOGUE.purposes[key],
            enforcement={**CATALOGUE.purposes[key].enforcement, **draw(models)},
            unit=draw(st.sampled_from(UNITS[:2])),
            active=key == "commercial" or draw(st.booleans()),
        )
        for key in PURPOSES
    }
    catalogue = replace(CATALOGUE, purposes={**CATALOGUE.purposes, **purposes}, unit_scoping=draw(st.booleans()))
    topic = draw(st.sampled_from((None, *TOPICS)))
    unit = draw(st.sampled_from((None, *UNITS[:2])))
    subject = MessageSubject(
        catalogue.profiles["default"], purposes["commercial"], None if topic is None else catalogue.topics[topic], unit
    )
    return Taken(subject, Channel.EMAIL, catalogue, 3, 9, AS_OF, AS_OF)


def alone(taken: Taken, standing: Standing | None) -> tuple[Any, ...]:
    if standing is None:
        refused = refuse_address(taken.subject.purpose, taken.channel, ReasonCode.INVALID_ADDRESS)
        return refused, refused, False, False
    rules = taken.catalogue, taken.subject, taken.channel, standing, taken.as_of
    decision, tracking = decision_of(*rules), tracking_of(*rules)
    return decision, tracking, decision.allowed, tracking.allowed


@settings(max_examples=60, deadline=None)
@given(asked(), st.lists(standings(), min_size=1, max_size=2), st.randoms())
def test_whatever_is_decided_for_several_at_once_is_the_decision_of_each(
    taken: Taken, kinds: list[tuple[UUID | None, Standing]], order: Random
) -> None:
    given_ones: list[tuple[UUID | None, Standing] | None] = [None, None, (None, Standing({})), (None, Standing({}))]
    for contact_point, standing in kinds:
        given_ones += [(contact_point, standing)] * 2
        given_ones += [(contact_point or UUID(int=1), one) for one in _changed_a_little(standing)]
    order.shuffle(given_ones)
    deciding = Deciding(taken)
    for number, one in enumerate(given_ones):
        rows = None if one is None else rows_of(*one)
        if rows is not None and not number % 5:
            rows = rows[::-1]
        answer = deciding.answer(f"a{number}@example.org", rows)
        told = answer.decision, answer.tracking, answer.allowed, answer.tracking_allowed
        assert told == alone(taken, None if one is None else one[1])
        assert answer.contact_point == (None if one is None else one[0])
        assert (answer.address, answer.position) == (f"a{number}@example.org", 9)


def _changed_a_little(standing: Standing) -> Iterator[Standing]:
    """What differs in one thing from it, whatever that is: one that is not looked at has the answer of the other."""
    yield standing._replace(erased=not standing.erased)
    yield standing._replace(bounced=not standing.bounced)
    yield standing._replace(
        suppressions=(Suppression(since=AS_OF, commercial=True, tracking=False, levels=frozenset()),)
    )
    yield standing._replace(
        suppressions=(Suppression(since=AS_OF, commercial=False, tracking=True, levels=frozenset()),)
    )
    for level in LEVELS:
        yield standing._replace(requests={level: Request(MOMENTS[2], 1, MOMENTS[3])})
    everything = [record for by_unit in standing.records.values() for record in by_unit.values()]
    for number, one in enumerate(everything):
        rest = [*everything[:number], *everything[number + 1 :]]
        others = [
            *(one._replace(unit=unit) for unit in UNITS),
            *(one._replace(value=value) for value in ConsentValue),
            *(one._replace(valid_until=at) for at in (None, *MOMENTS)),
            *(one._replace(effective_at=at, recorded_at=at) for at in MOMENTS),
            *(one._replace(purpose=purpose, topic=topic) for purpose, topic in LEVELS),
            one._replace(position=one.position + 1),
        ]
        for other in others:
            yield standing._replace(records=_by_level([*rest, other]))
        for unit in UNITS:
            for value in ConsentValue:
                for at in MOMENTS[:2]:
                    further = one._replace(unit=unit, value=value, effective_at=at, position=one.position + 1)
                    yield standing._replace(records=_by_level([*everything, further]))


def _by_level(records: list[ConsentRecord]) -> dict[Level, dict[str, ConsentRecord]]:
    held: dict[Level, dict[str, ConsentRecord]] = {}
    for one in records:
        held.setdefault((one.purpose, one.topic), {})[one.unit] = one
    return held


ONE = ConsentRecord("commercial", None, "root", ConsentValue.OPTED_IN, MOMENTS[0], MOMENTS[0], 1)


@pytest.mark.parametrize(
    "standing",
    [
        Standing({}, requests={("commercial", None): Request(MOMENTS[0], 1, MOMENTS[3])}),
        Standing({}, bounced=True),
        Standing({}, suppressions=(Suppression(since=AS_OF, commercial=True, tracking=True, levels=frozenset()),)),
        Standing({("commercial", None): {"root": ONE, "emea": ONE._replace(unit="emea")}}),
    ],
    ids=["awaited", "bounced", "suppressed", "of two units"],
)
def test_what_is_more_than_a_record_for_each_level_is_decided_by_itself(standing: Standing) -> None:
    assert not is_all_that_decides(rows_of(UUID(int=1), standing))


def test_alike_addresses_are_decided_once_and_the_reasons_of_each_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Standing] = []

    def counted(*rules: Any) -> Any:
        made.append(rules[3])
        return decision_of(*rules)

    monkeypatch.setattr(answering, "decision_of", counted)
    subject = CATALOGUE.message("default", "commercial", None)
    deciding = Deciding(Taken(subject, Channel.EMAIL, CATALOGUE, 3, 9, AS_OF, AS_OF))
    records_of = [
        ConsentRecord("commercial", None, "root", ConsentValue.OPTED_OUT, MOMENTS[0], MOMENTS[1], position)
        for position in range(5)
    ]
    standings_of = [Standing({("commercial", None): {"root": record}}) for record in records_of]
    answers = [deciding.answer("a@example.org", rows_of(UUID(int=1), standing)) for standing in standings_of]
    answers += [deciding.answer("b@example.org", ()) for _ in range(5)]
    assert [answer.allowed for answer in answers] == [False] * 5 + [True] * 5
    assert len(made) == 2
    for _ in range(2):
        assert [answer.decision.reasons[0].record for answer in answers] == [*records_of, *[None] * 5]
    assert len(made) == 6
    assert answers[3].decision is answers[3].decision


async def test_the_store_gives_such_rows(tenant: Tenant, caller: Caller) -> None:
    await catalogue.create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    until = datetime(2031, 2, 3, 4, 5, 6, 789_012, tzinfo=UTC)
    known: list[tuple[str, str | None, ConsentValue, datetime | None]] = [
        ("commercial", None, ConsentValue.OPTED_IN, until),
        ("commercial", "news", ConsentValue.OPTED_OUT, None),
        ("tracking", None, ConsentValue.NOT_SET, None),
    ]
    for purpose, topic, value, valid_until in known:
        capture = Capture(
            channel=Channel.EMAIL,
            address="ann@example.org",
            purpose=purpose,
            topic=topic,
            value=value,
            effective_at=datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            valid_until=valid_until,
        )
        await record_consent(tenant, caller, capture)
    asked = [tenant.blind_index(Channel.EMAIL, "ann@example.org")]
    async with tenant.ledger.connection() as connection:
        _, [rows] = await rows_by_blind_index(connection, tenant.id, asked, ["commercial", "tracking"], ["", "news"])
    found = Found(rows)
    records = [record for by_unit in found.records.values() for record in by_unit.values()]
    assert {(one.purpose, one.topic, one.value, one.valid_until) for one in records} == set(known)
    assert {one.effective_at.year for one in records} == {1999}
    decides, made = what_decides(rows), what_decides(rows_of(found.contact_point, found.standing()))
    assert is_all_that_decides(rows)
    assert isinstance(decides, tuple)
    assert isinstance(made, tuple)
    assert sorted(decides) == sorted(made)
    assert len(decides) == len(known)
