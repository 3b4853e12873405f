"""Workers of a server that hand captures to the one that writes the log: the same answers, and nothing is lost without it."""

import asyncio
import contextlib
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.addresses import Channel
from domain.catalogue import PurposeType
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.opt_in_rules import EvidenceLacking, RequiredEvidence
from domain.refusals import Refusal, RefusalCode
from eventstore.append import Log
from eventstore.database import DatabaseAddress, StoreUnavailable
from eventstore.idempotency import IdempotencyKey
from ledger import catalogue, erasure, shared_writing, worker_link
from ledger.assembly import Caller, Ledger, Tenant, ledger_on
from ledger.given_evidence import Evidence
from ledger.opt_ins import OptInTerms
from ledger.record import Actor, Capture, PreparedCapture, Recorded, record_consent, record_consents
from ledger.shared_writing import Place, SharedWriting
from ledger.tenants import create_tenant
from ledger.unit_scope import TenantOfUnit
from tests.eventstore.test_append import verify

IN, OUT = ConsentValue.OPTED_IN, ConsentValue.OPTED_OUT
Outcomes = Sequence[Recorded | Refusal]


def capture(value: ConsentValue = OUT, purpose: str = "commercial", **fields: Any) -> Capture:
    return Capture(**{"channel": Channel.EMAIL, "address": "a@example.org"} | fields, purpose=purpose, value=value)


@dataclass(frozen=True)
class Workers:
    """Two workers of a server: the one that writes the tenant's log, and one that does not."""

    writer: Tenant
    other: Tenant
    handing: SharedWriting
    folder: Path

    def hands_over_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From here on it is a mistake if the one that does not write appends."""

        async def appends(*_: object) -> None:
            raise AssertionError("the worker that does not write the log has appended")

        monkeypatch.setattr(self.other.log, "append", appends)
        monkeypatch.setattr(self.other.log, "append_all", appends)


@contextlib.asynccontextmanager
async def worker(
    database: DatabaseAddress, data_dir: Path, place: Place
) -> AsyncIterator[tuple[Ledger, SharedWriting]]:
    async with ledger_on(database, data_dir / "master.key") as ledger:
        writing = SharedWriting(ledger, place)
        async with writing.running():
            yield ledger, writing


async def connected(ledger: Ledger, tenant: Tenant, caller: Caller) -> None:
    """Return once the worker hands over."""
    assert ledger.other_writers is not None
    while await ledger.other_writers.record(tenant, caller.application, []) is None:
        await asyncio.sleep(0.01)


@pytest.fixture
async def workers(tenant: Tenant, database: DatabaseAddress, data_dir: Path, caller: Caller) -> AsyncIterator[Workers]:
    # The folder of a socket must have a short name.
    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        places = [Place(Path(folder), number, 2) for number in range(2)]
        writers, others = places[tenant.id % 2], places[1 - tenant.id % 2]
        async with (
            worker(database, data_dir, writers) as (ledger_that_writes, _),
            worker(database, data_dir, others) as (other_ledger, handing),
        ):
            writer, other = await ledger_that_writes.tenant(tenant.key), await other_ledger.tenant(tenant.key)
            async with asyncio.timeout(10):
                await connected(other_ledger, other, caller)
            yield Workers(writer, other, handing, Path(folder))


def told(outcomes: Outcomes) -> list[object]:
    """What outcomes say, without what differs between two logs."""
    return [
        (type(one), one.code, one.message, one.path)
        if isinstance(one, Refusal)
        else (
            [(e.entry.type, e.entry.data, e.entry.actor, e.entry.application, e.entry.number) for e in one.events],
            [sorted(event.entry.personal) for event in one.events],
            one.repeated,
            one.existing and (one.existing.kept, [known is not None for known in one.existing.known]),
        )
        for one in outcomes
    ]


TOMORROW = datetime.now(UTC) + timedelta(days=1)
CASES: list[list[Capture]] = [
    [capture()],
    [capture(IN), capture(OUT), capture(ConsentValue.NOT_SET)],
    [capture(purpose="nowhere"), capture(topic="nowhere"), capture(address="no address"), capture(effective_at=TOMORROW)],
    [capture(idempotency_key="k"), capture(idempotency_key="k"), capture(IN, idempotency_key="k")],
    [
        capture(
            IN,
            "strict",
            valid_until=datetime(2100, 1, 1, tzinfo=UTC),
            legal_basis="consent",
            jurisdiction="DE",
            actor=Actor(kind=ActorKind.RECIPIENT, id="them"),
            reason="In my own words",
            message_id="m-1",
            evidence=Evidence(notice_text="You agree.", method="form", attributes={"n": 1.5, "list": [None, True, "ü"]}),
            dynamics={"raw": "1", "number": 534120001},
            source=ConsentSource.PREFERENCE_CENTER,
        ),
        capture(IN, "strict"),
    ],
    [
        capture(row_keys=("r1", "r2")),
        capture(IN, row_keys=("r3",)),
        capture(row_keys=("r1", "r2")),
        capture(row_keys=("r2", "r4")),
    ],
    [capture(IN, evidence=Evidence(attributes={"long": "x" * 7_000})), capture(IN, evidence=Evidence(attributes="y" * 9_000))],
    [capture(marks=(IdempotencyKey(b"m" * 16, b"d" * 16),)), capture(spare_erased=True)],
]  # fmt: skip


async def strict_purpose(tenant: Tenant, caller: Caller) -> None:
    await catalogue.create_purpose(
        tenant, caller, key="strict", name="Strict", type=PurposeType.COMMERCIAL, profiles=["default"]
    )
    required = [RequiredEvidence.METHOD, RequiredEvidence.NOTICE_TEXT]
    await catalogue.update_purpose(tenant, caller, ref="strict", required_evidence=required)


@pytest.mark.parametrize("captures", CASES, ids=range(len(CASES)))
async def test_what_is_handed_over_is_answered_as_if_it_were_written_here(
    workers: Workers, ledger: Ledger, caller: Caller, captures: list[Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = await create_tenant(ledger, f"{workers.writer.key}-alone", "Alone")
    await strict_purpose(alone, caller)
    await strict_purpose(workers.writer, caller)
    workers.hands_over_only(monkeypatch)

    async def twice(tenant: Tenant) -> list[Recorded | Refusal]:
        return [*await record_consents(tenant, caller, captures), *await record_consents(tenant, caller, captures[:1])]

    assert told(await twice(workers.other)) == told(await twice(alone))
    await verify(workers.writer)


async def test_one_capture_is_answered_or_refused(
    workers: Workers, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers.hands_over_only(monkeypatch)
    recorded = await record_consent(workers.other, caller, capture(idempotency_key="once"))
    again = await record_consent(workers.other, caller, capture(idempotency_key="once"))
    assert (again.position, again.repeated) == (recorded.position, True)
    assert [one.entry for one in await verify(workers.writer)][recorded.position or 0] == recorded.events[0].entry
    with pytest.raises(Refusal) as refused:
        await record_consent(workers.other, caller, capture(IN, idempotency_key="once"))
    assert refused.value.code is RefusalCode.IDEMPOTENCY_CONFLICT


async def test_a_refusal_for_what_an_opt_in_lacks_is_of_its_own_kind(
    workers: Workers, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await strict_purpose(workers.writer, caller)
    workers.hands_over_only(monkeypatch)
    [refused] = await record_consents(workers.other, caller, [capture(IN, "strict")])
    assert type(refused) is EvidenceLacking


async def test_many_at_once_share_groups_and_each_has_its_own_answer(
    workers: Workers, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers.hands_over_only(monkeypatch)
    addresses = [f"m{number}@example.org" for number in range(300)]
    both = [workers.other if number % 2 else workers.writer for number in range(300)]
    recorded = await asyncio.gather(
        *(record_consent(tenant, caller, capture(address=one)) for tenant, one in zip(both, addresses, strict=True))
    )
    stored = await verify(workers.writer)
    assert len({one.position for one in recorded}) == 300
    for one in recorded:
        assert stored[one.position or 0] == one.events[0]


async def test_who_is_bound_to_a_unit_is_refused_what_it_does_not_see(
    workers: Workers, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await catalogue.create_business_unit(workers.writer, caller, key="emea", name="EMEA")
    await catalogue.create_profile(workers.writer, caller, key="sales", name="Sales", business_unit="emea")
    await workers.other.latest_catalogue()
    workers.hands_over_only(monkeypatch)
    bound = TenantOfUnit(workers.other, "emea")
    refused, recorded = await record_consents(bound, caller, [capture(), capture(purpose="sales-commercial")])
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.NOT_FOUND
    assert isinstance(recorded, Recorded)


async def test_an_erasure_that_was_left_half_done_is_completed_there(
    workers: Workers, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await record_consent(workers.other, caller, capture(IN))

    async def gone(*_: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as broken:
        broken.setattr(erasure, "complete_erasure", gone)
        with pytest.raises(ConnectionResetError):
            await erasure.erase_contact_point(
                workers.writer,
                caller,
                channel=Channel.EMAIL,
                address="a@example.org",
                reason="REQUEST",
                keep_suppression=True,
            )
    workers.hands_over_only(monkeypatch)
    after = await record_consent(workers.other, caller, capture())
    assert after.events[0].entry.stream != before.events[0].entry.stream
    assert "ContactPointErased" in [one.entry.type for one in await verify(workers.writer)]


async def test_what_cannot_be_handed_over_is_written_here(workers: Workers, caller: Caller) -> None:
    large = capture(dynamics={"number": 2**70})
    recorded = await record_consent(workers.other, caller, large)
    assert recorded.events[0].entry.data["dynamics"] == {"number": 2**70}


async def test_without_the_writer_one_writes_oneself(
    tenant: Tenant, database: DatabaseAddress, data_dir: Path, caller: Caller
) -> None:
    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        places = [Place(Path(folder), number, 2) for number in range(2)]
        async with worker(database, data_dir, places[1 - tenant.id % 2]) as (ledger, _):
            other = await ledger.tenant(tenant.key)
            await record_consent(other, caller, capture(address="before@example.org"))
            async with worker(database, data_dir, places[tenant.id % 2]):
                async with asyncio.timeout(10):
                    await connected(ledger, other, caller)
                await record_consent(other, caller, capture(address="with@example.org"))
            await record_consent(other, caller, capture(address="after@example.org"))
    assert len([one for one in await verify(tenant) if one.entry.type == "ConsentCaptured"]) == 3


async def test_who_cannot_be_reached_writes_all_the_same(
    tenant: Tenant, database: DatabaseAddress, data_dir: Path, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        long_name = Path(folder) / ("x" * 120)
        long_name.mkdir(mode=0o700)
        for path, said in (
            (long_name, "other workers cannot hand over to this one"),
            (Path("/nowhere/at/all"), "has gone, or is another's"),
        ):
            async with worker(database, data_dir, Place(path, tenant.id % 2, 2)) as (ledger, _):
                assert (await record_consent(await ledger.tenant(tenant.key), caller, capture())).events
            assert said in caplog.text


async def test_a_writer_that_leaves_answers_first(
    tenant: Tenant, database: DatabaseAddress, data_dir: Path, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, go_on = asyncio.Event(), asyncio.Event()
    append_all = Log.append_all

    async def slowly(self: Log, commands: Any) -> Any:
        if commands:
            taken.set()
            await go_on.wait()
        return await append_all(self, commands)

    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        places = [Place(Path(folder), number, 2) for number in range(2)]
        async with contextlib.AsyncExitStack() as leaving:
            await leaving.enter_async_context(worker(database, data_dir, places[tenant.id % 2]))
            async with worker(database, data_dir, places[1 - tenant.id % 2]) as (ledger, _):
                other = await ledger.tenant(tenant.key)
                async with asyncio.timeout(10):
                    await connected(ledger, other, caller)
                monkeypatch.setattr(Log, "append_all", slowly)
                asked = asyncio.create_task(record_consent(other, caller, capture()))
                await taken.wait()
                left = asyncio.create_task(leaving.aclose())
                while ledger.other_writers is not None and await ledger.other_writers.record(other, None, []) == []:
                    await asyncio.sleep(0.01)
                assert not left.done()
                go_on.set()
                async with asyncio.timeout(10):
                    assert (await asked).events
                    await left


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (worker_link, shared_writing):
        monkeypatch.setattr(module, "SILENCE_MAX_S", 0.2)
    monkeypatch.setattr(worker_link, "_PING_AFTER_S", 0.05)
    monkeypatch.setattr(shared_writing, "TAKEN_FOR_S", 0.5)
    monkeypatch.setattr(shared_writing, "_CONNECT_EVERY_S", 0.01)


async def test_what_is_asked_in_the_moment_of_leaving_is_answered(workers: Workers, caller: Caller) -> None:
    """The question and the goodbye may come together."""
    writer = workers.handing.writers[workers.writer.id % 2]
    asked = asyncio.create_task(record_consent(workers.other, caller, capture()))
    await asyncio.sleep(0)
    writer.received([shared_writing._Leaving()])
    async with asyncio.timeout(10):
        assert (await asked).events
        await writer.closed


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("answers", [0, 1])
async def test_a_writer_that_hangs_is_given_up_and_not_waited_for_again(
    tenant: Tenant, database: DatabaseAddress, data_dir: Path, caller: Caller, answers: int
) -> None:
    """As long as it is stopped, connections to it are still taken: by the system."""
    connections: list[asyncio.StreamWriter] = []
    pong = msgspec.msgpack.encode(["pong"])

    def connected_to(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        if len(connections) <= answers:
            writer.write(struct.pack(">I", len(pong)) + pong)

    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        places = [Place(Path(folder), number, 2) for number in range(2)]
        path = places[0].socket(tenant.id % 2)
        hanging = await asyncio.start_unix_server(connected_to, path)
        async with worker(database, data_dir, places[1 - tenant.id % 2]) as (ledger, writing):
            other = await ledger.tenant(tenant.key)
            while not connections or len(writing.writers) < answers:
                await asyncio.sleep(0.01)
            if answers:
                started = time.monotonic()
                said_in_may = datetime(2026, 5, 1, tzinfo=UTC)
                # An opt-in that got the instant of now would overrule what came while it was waited for.
                not_again = [capture(IN), capture(IN, idempotency_key="k"), capture(IN, effective_at=said_in_may)]
                again = [capture(), capture(IN, idempotency_key="m", effective_at=said_in_may)]
                both = await asyncio.gather(
                    *(record_consent(other, caller, one) for one in (*not_again, *again)), return_exceptions=True
                )
                refused, recorded = both[: len(not_again)], both[len(not_again) :]
                assert all(isinstance(one, StoreUnavailable) for one in refused), refused
                assert all(isinstance(one, Recorded) for one in recorded), recorded
                assert time.monotonic() - started >= 0.5, "tried again, or told so, while it may still be recorded"
            while len(connections) < answers + 3:
                assert (await record_consent(other, caller, capture())).events
                await asyncio.sleep(0.01)
        hanging.close()
        for writer in connections:
            writer.close()


async def test_what_was_handed_over_too_long_ago_is_not_written(
    workers: Workers, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked has been told so, and an opt-out may have come since: an opt-in that is recorded now would overrule it."""
    monkeypatch.setattr(shared_writing, "TAKEN_FOR_S", 0.0)
    await record_consent(workers.writer, caller, capture(OUT))
    for late in (capture(IN), capture(IN, idempotency_key="k"), capture(ConsentValue.NOT_SET)):
        with pytest.raises(StoreUnavailable):
            await record_consent(workers.other, caller, late)
    said = [one.entry.data["value"] for one in await verify(workers.writer) if "value" in one.entry.data]
    assert said == [OUT]


async def test_an_opt_out_that_was_handed_over_too_long_ago_is_written_here(
    workers: Workers, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_writing, "TAKEN_FOR_S", 0.0)
    assert (await record_consent(workers.other, caller, capture(OUT))).events
    both = await record_consents(workers.other, caller, [capture(OUT), capture(OUT, address="b@example.org")])
    assert all(isinstance(one, Recorded) and one.events for one in both)
    with pytest.raises(StoreUnavailable):
        await record_consents(workers.other, caller, [capture(OUT), capture(IN)])


@pytest.mark.parametrize("mode", [0o755, 0o770])
async def test_a_folder_that_others_may_enter_is_not_used(
    tenant: Tenant, database: DatabaseAddress, data_dir: Path, caller: Caller, tmp_path: Path, mode: int
) -> None:
    """Whoever clears temporary files takes it along, and anybody may make one by the same name."""
    tmp_path.chmod(mode)
    async with worker(database, data_dir, Place(tmp_path, 1 - tenant.id % 2, 2)) as (ledger, _):
        assert ledger.other_writers is None
        assert (await record_consent(await ledger.tenant(tenant.key), caller, capture())).events
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("impatient")
async def test_a_writer_whose_database_is_slow_is_waited_for(
    workers: Workers, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that it is there; only who says nothing at all is given up."""
    workers.hands_over_only(monkeypatch)
    async with workers.writer.ledger.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT 1 FROM log_heads WHERE tenant = $1 FOR UPDATE", workers.writer.id)
        asked = asyncio.create_task(record_consent(workers.other, caller, capture()))
        done, _ = await asyncio.wait([asked], timeout=1)
        assert not done
    async with asyncio.timeout(10):
        assert (await asked).events


@pytest.mark.parametrize("said", [b"\x00\x00\x00\x03abc", struct.pack(">I", 2**31), b"GET / HTTP/1.1\r\n\r\n", b"\x00"])
async def test_whoever_says_something_else_disturbs_nobody(
    workers: Workers, caller: Caller, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = workers.writer.id % 2
    _, stranger = await asyncio.open_unix_connection(Place(workers.folder, number, 2).socket(number))
    stranger.write(said)
    await stranger.drain()
    workers.hands_over_only(monkeypatch)
    assert (await record_consent(workers.other, caller, capture())).events
    stranger.close()


async def test_the_writers_store_is_away(workers: Workers, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(commands: Sequence[object]) -> list[object]:
        return [StoreUnavailable("the store does not answer") for _ in commands]

    monkeypatch.setattr(workers.writer.log, "append_all", away)
    with pytest.raises(StoreUnavailable):
        await record_consent(workers.other, caller, capture(IN))
    with pytest.raises(StoreUnavailable):
        await record_consents(workers.other, caller, [capture(IN), capture()])
    # This worker's own connections may still reach it.
    assert (await record_consent(workers.other, caller, capture())).events


async def test_what_fails_there_is_logged_there_and_tells_nothing(
    workers: Workers, caller: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(*_: object) -> None:
        raise ValueError("with a@example.org in it")

    monkeypatch.setattr(workers.writer.log, "append_all", fails)
    with pytest.raises(RuntimeError, match="has logged why") as failed:
        await record_consent(workers.other, caller, capture())
    assert "a@example.org" not in str(failed.value)
    assert "writing for another worker failed" in caplog.text


_instants = st.datetimes(timezones=st.just(UTC))
_keys = st.builds(IdempotencyKey, st.binary(min_size=16, max_size=16), st.binary(max_size=16))
_texts = st.text(max_size=20)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_prepared = st.builds(
    PreparedCapture,
    channel=st.sampled_from(Channel),
    value=st.sampled_from(ConsentValue),
    source=st.sampled_from(ConsentSource),
    actor=st.sampled_from(ActorKind),
    key=st.none() | _keys,
    terms=st.builds(OptInTerms, valid_until=st.none() | _instants),
    effective_at=st.none() | _instants,
    shown=st.frozensets(st.sampled_from(RequiredEvidence)),
    dynamics=st.none() | st.dictionaries(_texts, _json, max_size=3),
    parts=st.lists(_keys, max_size=3).map(tuple),
    marks=st.lists(_keys, max_size=3).map(tuple),
)


@given(_prepared)
def test_a_capture_is_the_same_at_the_other_end(prepared: PreparedCapture) -> None:
    sent = msgspec.msgpack.encode(prepared)
    assert worker_link.decoder_of(PreparedCapture).decode(sent) == prepared
