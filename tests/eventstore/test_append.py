"""Appending: gap-free positions, idempotency, one refusal refuses one caller, groups, races between processes."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from domain.addresses import Channel
from domain.consent import ConsentValue
from domain.refusals import Refusal, RefusalCode
from eventstore import read
from eventstore.append import Log
from eventstore.database import DatabaseAddress
from eventstore.read import EntryFilter, StoredEntry
from ledger.assembly import Caller, Ledger, Tenant, ledger_on
from ledger.record import Capture, Recorded, capture_command, record_consent, record_consents
from tlog.compact_range import EMPTY
from tlog.entry import decode
from tlog.hashing import leaf_hash


def capture(address: str = "ada@example.org", **fields: object) -> Capture:
    given = {"channel": Channel.EMAIL, "purpose": "commercial", "value": ConsentValue.OPTED_OUT, **fields}
    return Capture(address=address, **given)  # type: ignore[arg-type]


async def everything(tenant: Tenant) -> list[StoredEntry]:
    async with tenant.ledger.connection() as connection:
        return await read.forward(connection, tenant.id, limit=100_000)


async def verify(tenant: Tenant) -> list[StoredEntry]:
    """The whole log: strict entries, gap-free positions and streams, leaf hashes, root, columns."""
    async with tenant.ledger.connection() as connection:
        head = await read.head(connection, tenant.id)
        rows = await connection.fetch("SELECT * FROM log_entries WHERE tenant = $1 ORDER BY position", tenant.id)
    stored = await everything(tenant)
    tree = EMPTY
    streams: dict[object, tuple[int, int]] = {}
    for position, (row, item) in enumerate(zip(rows, stored, strict=True)):
        entry = decode(item.raw)
        assert (entry.position, row["position"]) == (position, position)
        number, previous = streams.get(entry.stream, (-1, None))
        assert (entry.number, entry.previous) == (number + 1, previous)
        streams[entry.stream] = entry.number, position
        assert item.leaf_hash == leaf_hash(item.raw)
        assert entry.tenant == tenant.key
        if entry.type == "ConsentCaptured":
            for column in ("channel", "purpose", "topic", "value", "source"):
                assert row[column] == entry.data.get(column)
        assert (row["stream"], row["number"], row["type"]) == (entry.stream, entry.number, entry.type)
        assert (row["recorded_at"], row["application"]) == (entry.recorded_at, entry.application)
        tree = tree.append_many([item.leaf_hash])
    assert (head.size, head.frontier, head.root) == (tree.size, tree.to_bytes(), tree.root())
    assert all(a.entry.recorded_at <= b.entry.recorded_at for a, b in zip(stored, stored[1:], strict=False))
    return stored


async def test_concurrent_callers_are_numbered_without_gap(tenant: Tenant, caller: Caller) -> None:
    before = len(await everything(tenant))
    results = await asyncio.gather(
        *(record_consent(tenant, caller, capture(f"a{number % 70}@example.org")) for number in range(300))
    )
    assert sorted(result.position or 0 for result in results) == list(range(before, before + 300))
    await verify(tenant)


async def test_one_refusal_refuses_its_caller_alone(tenant: Tenant, caller: Caller) -> None:
    results = await record_consents(
        tenant,
        caller,
        [capture("a@example.org"), capture("b@example.org", purpose="nope"), capture("no"), capture("c@example.org")],
    )
    assert [type(result) for result in results] == [Recorded, Refusal, Refusal, Recorded]
    assert [result.code for result in results if isinstance(result, Refusal)] == [
        RefusalCode.NOT_FOUND,
        RefusalCode.INVALID_ADDRESS,
    ]
    await verify(tenant)


async def test_the_same_key_and_input_give_the_first_answer_again(tenant: Tenant, caller: Caller) -> None:
    first = await record_consent(tenant, caller, capture(idempotency_key="k"))
    again = await record_consent(tenant, caller, capture(idempotency_key="k"))
    together = await record_consents(tenant, caller, [capture(idempotency_key="t"), capture(idempotency_key="t")])
    assert (first.repeated, again.repeated, again.events) == (False, True, first.events)
    assert isinstance(together[0], Recorded)
    assert isinstance(together[1], Recorded)
    assert together[0].events == together[1].events
    assert together[1].repeated


async def test_the_same_key_with_another_input_is_a_conflict(tenant: Tenant, caller: Caller) -> None:
    await record_consent(tenant, caller, capture(idempotency_key="k"))
    with pytest.raises(Refusal) as refused:
        await record_consent(tenant, caller, capture(idempotency_key="k", value=ConsentValue.OPTED_IN))
    assert refused.value.code is RefusalCode.IDEMPOTENCY_CONFLICT
    other = Caller("another", frozenset())
    assert not (await record_consent(tenant, other, capture(idempotency_key="k"))).repeated


async def test_a_refused_command_leaves_its_key_free(tenant: Tenant, caller: Caller) -> None:
    with pytest.raises(Refusal):
        await record_consent(tenant, caller, capture(idempotency_key="k", purpose="nope"))
    assert not (await record_consent(tenant, caller, capture(idempotency_key="k"))).repeated


async def test_an_entry_has_no_address_and_the_vault_has_it_sealed(
    tenant: Tenant, caller: Caller, database: DatabaseAddress
) -> None:
    await record_consent(tenant, caller, capture("very.secret@example.org", reason="because very.secret asked"))
    connection = await asyncpg.connect(**database.owner)
    try:
        for table in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'consentry'"):
            for row in await connection.fetch(f"SELECT * FROM {table['tablename']}"):
                assert "very.secret" not in repr(dict(row)).lower()
    finally:
        await connection.close()


async def test_several_ledgers_on_one_log_race_and_lose_nothing(
    ledger: Ledger, tenant: Tenant, caller: Caller, database: DatabaseAddress, data_dir: Path
) -> None:
    async def write(own: Tenant, name: str) -> Sequence[Recorded]:
        return [await record_consent(own, caller, capture(f"{name}{n % 5}@example.org")) for n in range(40)]

    async with (
        ledger_on(database, data_dir / "master.key") as second,
        ledger_on(database, data_dir / "master.key") as third,
    ):
        owns = [tenant, await second.tenant(tenant.key), await third.tenant(tenant.key)]
        results = await asyncio.gather(*(write(own, "shared") for own in owns))
    positions = [result.position for written in results for result in written]
    assert len(set(positions)) == 120
    stored = await verify(tenant)
    streams = {item.entry.stream for item in stored if item.entry.type == "ConsentCaptured"}
    assert len(streams) == 5, "the same address is one contact point whoever writes it first"


async def test_reading_backward_is_forward_reversed_whatever_the_filter(tenant: Tenant, caller: Caller) -> None:
    values = [ConsentValue.OPTED_IN, ConsentValue.OPTED_OUT, ConsentValue.NOT_SET]
    for number in range(12):
        await record_consent(
            tenant, caller, capture(f"r{number % 3}@example.org", value=values[number % 3], purpose="commercial")
        )
    async with tenant.ledger.connection() as connection:
        for entry_filter in (
            EntryFilter(),
            EntryFilter(types=["ConsentCaptured"]),
            EntryFilter(values=["OPTED_IN", "NOT_SET"], channel="EMAIL"),
            EntryFilter(from_position=3, to_position=9),
            EntryFilter(purpose="commercial", sources=["API"], application="tests"),
            EntryFilter(recorded_to=datetime(2000, 1, 1, tzinfo=UTC)),
        ):
            ahead = await read.forward(connection, tenant.id, entry_filter, limit=1_000)
            back = await read.backward(connection, tenant.id, entry_filter, before=None, limit=1_000)
            assert back == ahead[::-1]
            assert await read.count(connection, tenant.id, entry_filter) == len(ahead)


@pytest.mark.parametrize("statement", ["UPDATE log_entries SET type = ''", "DELETE FROM log_entries",
                                       "TRUNCATE log_entries"])  # fmt: skip
@pytest.mark.parametrize("role", ["service", "owner"])
async def test_the_database_itself_refuses_to_change_the_log(
    tenant: Tenant, database: DatabaseAddress, statement: str, role: str
) -> None:
    connection = await asyncpg.connect(**getattr(database, role))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_processes_that_race_queue_up_at_the_head_and_prepare_for_nothing_no_more(
    tenant: Tenant, caller: Caller, database: DatabaseAddress, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[bool] = []
    write = Log._write

    async def noting(log: Log, connection: Any, group: Any) -> bool:
        outcomes.append(await write(log, connection, group))
        return outcomes[-1]

    async def callers(own: Tenant, name: str) -> None:
        for number in range(25):
            await record_consent(own, caller, capture(f"{name}{number}@example.org"))

    async with ledger_on(database, data_dir / "master.key") as second:
        other = await second.tenant(tenant.key)
        monkeypatch.setattr(Log, "_write", noting)
        await asyncio.gather(*(callers(own, f"{at}.{n}") for n in range(4) for at, own in enumerate((tenant, other))))
    # One at first, and one where the other has not yet seen that it is not alone: taking turns from then on.
    assert outcomes.count(False) <= len(outcomes) / 8
    assert len(await verify(tenant)) >= 200


async def test_a_key_recorded_with_all_of_its_digest_stands_for_the_same_command(
    tenant: Tenant, caller: Caller, database: DatabaseAddress
) -> None:
    def given(value: ConsentValue) -> Capture:
        return capture(idempotency_key="k", value=value)

    first = await record_consent(tenant, caller, given(ConsentValue.OPTED_OUT))
    key = capture_command(tenant, caller, given(ConsentValue.OPTED_OUT)).idempotency
    assert key is not None
    connection = await asyncpg.connect(**database.owner)
    try:
        for digest in (key.command_digest[:8], key.command_digest):
            kept = await connection.execute(
                "UPDATE idempotency_records SET command_digest = $3 WHERE tenant = $1 AND key_hash = $2",
                tenant.id, key.key_hash, digest,
            )  # fmt: skip
            assert kept == "UPDATE 1"
            assert (await record_consent(tenant, caller, given(ConsentValue.OPTED_OUT))).events == first.events
            with pytest.raises(Refusal):
                await record_consent(tenant, caller, given(ConsentValue.OPTED_IN))
    finally:
        await connection.close()
