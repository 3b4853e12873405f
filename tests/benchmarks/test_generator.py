"""A log that is made in bulk is a log as appends would have written it: verified, rebuilt, checked, and gone on with."""

import random

import pytest

from benchmarks.growth.following import catch_up
from benchmarks.growth.generator import Generator
from benchmarks.growth.made_up import CALLER, address, capture_of, kinds, prepare_catalogue
from domain.addresses import Channel
from domain.consent import ConsentRecord, join
from domain.decision import Contactability
from eventstore import read
from ledger.assembly import Tenant
from ledger.rebuilding import projections_named, rebuild_projections
from ledger.record import record_consents
from ledger.selection import Selection, select
from ledger.verifying import DatabaseMismatch, verify_database
from projections.inline import consent_record

SIZES = (900, 2_200)


@pytest.fixture
async def prepared(tenant: Tenant) -> Tenant:
    """A tenant whose catalogue has what the generated events are about."""
    await prepare_catalogue(tenant)
    return tenant


@pytest.fixture
async def grown(prepared: Tenant) -> Tenant:
    """A log grown twice, by two generators, with followers caught up after each."""
    tenant = prepared
    for size in SIZES:
        await (await Generator.of(tenant)).grow(size)
        await catch_up(tenant)
    return tenant


async def test_all_that_is_stored_is_what_the_log_leads_to(grown: Tenant) -> None:
    async with grown.ledger.connection() as connection:
        assert (await read.head(connection, grown.id)).size == SIZES[-1]
    assert await verify_database(grown)


async def test_a_column_that_says_other_than_its_entry_is_found(prepared: Tenant) -> None:
    tenant = prepared
    generator = await Generator.of(tenant)
    batch_of = generator.prepare

    def bent(entries: int) -> object:
        batch = batch_of(entries)
        row = batch.rows[7]
        batch.rows[7] = (*row[:9], "OPTED_IN" if row[9] == "OPTED_OUT" else "OPTED_OUT", *row[10:])
        return batch

    generator.prepare = bent  # type: ignore[method-assign, assignment]
    await generator.grow(100)
    with pytest.raises(DatabaseMismatch):
        await verify_database(tenant)


async def test_every_projection_is_what_a_rebuild_gives(grown: Tenant) -> None:
    rebuilt = [
        one
        async for one in rebuild_projections(
            grown.ledger, [grown], projections_named(None), accept=False, restart=False, progress=lambda *_: None
        )
    ]
    assert {one.projection: one.rebuilt.compared.differing for one in rebuilt} == dict.fromkeys(
        projections_named(None), 0
    )
    assert {one.projection for one in rebuilt if one.rebuilt.compared.rows} >= {
        "current_consent", "persons_opt_ins", "consent_trend", "selection",
    }  # fmt: skip


async def test_a_selection_is_what_the_entries_say(grown: Tenant) -> None:
    held: dict[object, ConsentRecord | None] = {}
    async with grown.ledger.connection() as connection:
        for stored in await read.forward(connection, grown.id, read.EVERYTHING, after=-1, limit=SIZES[-1]):
            record = consent_record(stored.entry)
            if record is not None and (record.purpose, record.topic) == ("commercial", None):
                held[stored.entry.stream] = join(held.get(stored.entry.stream), record)
    opted_out = {stream for stream, record in held.items() if record is not None and record.value == "OPTED_OUT"}
    page = await select(
        grown,
        Selection(channel=Channel.EMAIL, purpose="commercial", contactability=Contactability.WILL_NOT_SEND),
        first=1_000,
    )
    assert {point.id for _, point in page.items} == opted_out
    assert opted_out


async def test_importing_a_generated_row_again_changes_nothing(prepared: Tenant) -> None:
    tenant = prepared
    generator = await Generator.of(tenant)
    async with tenant.ledger.connection() as connection:
        first = (await read.head(connection, tenant.id)).size
    await generator.grow(first + 50)
    of_kind = {(kind.capture.purpose, kind.capture.topic, kind.capture.value, kind.capture.source): kind
               for kind in kinds(tenant, tenant.ledger.clock())}  # fmt: skip
    async with tenant.ledger.connection() as connection:
        stored = await read.forward(connection, tenant.id, read.EVERYTHING, after=first - 1, limit=50)
    captures, numbers = [], {}
    for one in stored:
        record = consent_record(one.entry)
        assert record is not None
        assert one.entry.effective_at is not None
        number = numbers.setdefault(one.entry.stream, len(numbers))
        kind = of_kind[record.purpose, record.topic, record.value, one.entry.data["source"]]
        captures.append(capture_of(kind, number, one.entry.effective_at, one.position))
    recorded = await record_consents(tenant, CALLER, captures)
    assert [len(one.events) for one in recorded] == [0] * 50
    async with tenant.ledger.connection() as connection:
        assert (await read.head(connection, tenant.id)).size == first + 50


async def test_appends_go_on_after_it_in_the_same_streams(grown: Tenant) -> None:
    number = random.Random(3).randrange(100)
    [kind, *_] = kinds(grown, grown.ledger.clock())
    generator = await Generator.of(grown)
    stream, before = generator._contact_points.id(number), generator._contact_points.numbers[number]
    [recorded] = await record_consents(
        grown, CALLER, [capture_of(kind, number, kind.capture.effective_at or grown.ledger.clock(), 10**9)]
    )
    [event] = recorded.events
    assert (event.entry.stream, event.entry.number) == (stream, before + 1)
    assert generator.contact_points == len({address(n) for n in range(generator.contact_points)})
    await (await Generator.of(grown)).grow(SIZES[-1] + 300)
    await verify_database(grown)
