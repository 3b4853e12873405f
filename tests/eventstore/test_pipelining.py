"""Two groups in flight: the second is prepared on what the first will leave, and nobody learns of it before that is so.

Each test holds the first group's write back until the second is prepared behind it, and then lets that write come out well,
be lost, or lose its race.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.addresses import Channel
from domain.consent import ActorKind, ConsentValue
from domain.refusals import Refusal, RefusalCode
from eventstore import append_queue
from eventstore.append import Log
from eventstore.append_group import Group, Preparing
from eventstore.database import DatabaseAddress, StoreUnavailable
from ledger.assembly import Caller, Ledger, Tenant, ledger_on
from ledger.catalogue import update_tenant
from ledger.erasure import erase_contact_point
from ledger.existing_consent import ConsentKept
from ledger.record import Actor, Capture, Recorded, record_consent, record_consents
from ledger.tenants import create_tenant
from tests.eventstore.test_append import verify
from tests.eventstore.test_recover import LOST

OUT, IN = ConsentValue.OPTED_OUT, ConsentValue.OPTED_IN


def capture(address: str, value: ConsentValue = OUT, **fields: Any) -> Capture:
    return Capture(
        channel=Channel.EMAIL, address=f"{address}@example.org", purpose=fields.pop("purpose", "commercial"), value=value,
        **fields,
    )  # fmt: skip


async def nothing() -> None:
    pass


@dataclass
class Held:
    """A log whose next write is held back; `then` is what happens to it before it goes on, and may raise."""

    tenant: Tenant
    caller: Caller
    held: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    behind: asyncio.Event = field(default_factory=asyncio.Event)
    armed: bool = False
    before: Callable[[], Awaitable[None]] = nothing
    after: Callable[[], Awaitable[None]] = nothing
    prepared: list[tuple[Group, Group | None]] = field(default_factory=list)

    async def both(self, first: Sequence[Capture], second: Sequence[Capture]) -> tuple[list[Any], list[Any]]:
        """Record both, the second prepared while the first is being written; what their callers got, or what was raised."""
        self.armed = True
        one = asyncio.create_task(record_consents(self.tenant, self.caller, first))
        await self.held.wait()
        two = asyncio.create_task(record_consents(self.tenant, self.caller, second))
        await self.behind.wait()
        assert not one.done()
        assert not two.done(), "nothing is answered before it is durable"
        self.go_on.set()
        first_got, second_got = await asyncio.gather(one, two, return_exceptions=True)
        return first_got, second_got  # type: ignore[return-value]


@pytest.fixture
async def held(tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Held]:
    monkeypatch.setattr(append_queue, "_BEHIND_MIN", 1)
    monkeypatch.setattr(append_queue, "_HALVED_FROM", 1_000)
    held = Held(tenant, caller)
    write, prepare = Log._write, Preparing.prepare

    async def holding(log: Log, connection: Any, group: Group) -> bool:
        if not held.armed or log is not tenant.log:
            return await write(log, connection, group)
        held.armed = False
        held.held.set()
        await held.go_on.wait()
        await held.before()
        moved = await write(log, connection, group)
        await held.after()
        return moved

    def noting(preparing: Preparing, pending: Any, found: Any, ahead: Group | None = None) -> Group:
        group = prepare(preparing, pending, found, ahead)
        held.prepared.append((group, ahead))
        if ahead is not None:
            held.behind.set()
        return group

    monkeypatch.setattr(Log, "_write", holding)
    monkeypatch.setattr(Preparing, "prepare", noting)
    yield held
    held.go_on.set()


def raises(error: Exception) -> Callable[[], Awaitable[None]]:
    async def fail() -> None:
        raise error

    return fail


def many(name: str, count: int, **fields: Any) -> list[Capture]:
    return [capture(f"{name}{number}", idempotency_key=f"{name}{number}", **fields) for number in range(count)]


async def captures_of(tenant: Tenant) -> list[Any]:
    return [stored.entry for stored in await verify(tenant) if stored.entry.type == "ConsentCaptured"]


async def test_the_second_is_written_as_it_was_prepared_behind_the_first(held: Held) -> None:
    first, second = await held.both(many("a", 3), many("b", 4))
    positions = [recorded.position for recorded in (*first, *second)]
    assert positions == list(range(positions[0], positions[0] + 7))
    assert len(held.prepared) == 2, "neither was prepared again"
    assert held.prepared[1][1] is held.prepared[0][0]
    assert len(await captures_of(held.tenant)) == 7


@pytest.mark.parametrize("error", LOST)
@pytest.mark.parametrize("kept", [False, True])
async def test_the_first_never_answered(held: Held, error: Callable[[], Exception], kept: bool) -> None:
    setattr(held, "after" if kept else "before", raises(error()))
    first, second = await held.both(many("a", 3), [*many("b", 3), capture("a0", IN)])
    assert [recorded.repeated for recorded in (*first, *second)] == [False] * 7
    assert len(held.prepared) == (3 if kept else 4), "what rests on an unknown outcome is prepared again"
    assert len(await captures_of(held.tenant)) == 7
    again = await record_consents(held.tenant, held.caller, [*many("a", 3), *many("b", 3)])
    assert [one.events for one in again] == [one.events for one in (*first, *second[:3])]  # type: ignore[union-attr]


async def test_the_first_fails_for_good_and_the_second_does_not_rest_on_it(held: Held) -> None:
    held.before = raises(asyncpg.DiskFullError("no space left on device"))
    first, second = await held.both(many("a", 2), [*many("b", 2), capture("a0", IN, idempotency_key="a0")])
    assert isinstance(first, StoreUnavailable)
    # The key stood for nothing, so it stands for this one.
    assert [recorded.repeated for recorded in second] == [False] * 3
    assert [event.data["value"] for event in await captures_of(held.tenant)] == ["OPTED_OUT", "OPTED_OUT", "OPTED_IN"]


async def test_another_process_moves_the_head_under_both(
    held: Held, database: DatabaseAddress, data_dir: Path, caller: Caller
) -> None:
    async with ledger_on(database, data_dir / "master.key") as other:
        own = await other.tenant(held.tenant.key)

        async def meanwhile() -> None:
            await record_consent(own, caller, capture("b1"))

        held.before = meanwhile
        first, second = await held.both(many("a", 2), many("b", 3))
    assert [recorded.repeated for recorded in (*first, *second)] == [False] * 5
    events = await captures_of(held.tenant)
    assert len(events) == 6
    assert len({event.stream for event in events}) == 5, "the same address is one contact point whoever writes it first"


async def test_a_key_of_the_first_comes_again_in_the_second(held: Held) -> None:
    first, second = await held.both(many("a", 2), [*many("a", 2), *many("b", 1)])
    assert [recorded.repeated for recorded in second] == [True, True, False]
    assert [recorded.events for recorded in second[:2]] == [recorded.events for recorded in first]
    assert len(await captures_of(held.tenant)) == 3


async def test_a_second_that_only_repeats_the_first(held: Held) -> None:
    first, second = await held.both(many("a", 2), many("a", 2))
    assert [recorded.events for recorded in second] == [recorded.events for recorded in first]
    assert all(recorded.repeated for recorded in second)
    assert len(await captures_of(held.tenant)) == 2


async def test_a_conflict_with_the_first_is_told_once_that_is_durable(held: Held) -> None:
    _, second = await held.both(many("a", 1), [capture("a0", IN, idempotency_key="a0"), capture("b")])
    assert isinstance(second[0], Refusal)
    assert second[0].code is RefusalCode.IDEMPOTENCY_CONFLICT
    assert isinstance(second[1], Recorded)


async def test_a_refusal_in_the_second_refuses_its_caller_alone(held: Held) -> None:
    _, second = await held.both(many("a", 1), [capture("b"), capture("c", purpose="nope"), capture("d")])
    assert [type(one) for one in second] == [Recorded, Refusal, Recorded]
    assert len(await captures_of(held.tenant)) == 3


async def test_what_follows_at_a_contact_point_that_the_first_begins(held: Held) -> None:
    evidence = {"reason": "because I say so"}
    _, second = await held.both([capture("a", IN, **evidence)], [capture("a", OUT, **evidence), capture("a", IN)])
    events = await captures_of(held.tenant)
    assert [(event.number, event.previous) for event in events] == [
        (0, None),
        (1, events[0].position),
        (2, events[1].position),
    ]
    assert len({event.stream for event in events}) == 1
    async with held.tenant.ledger.connection() as connection:
        rows = await connection.fetch(
            "SELECT s.contact_point, c.position FROM vault_subjects s JOIN current_consent c USING (tenant, contact_point)"
            " WHERE tenant = $1",
            held.tenant.id,
        )
    # All at one instant or later ones: the last word counts, and the most restrictive of one instant.
    counting = max(events, key=lambda e: (e.effective_at, e.data["value"] == "OPTED_OUT", e.position))
    assert [tuple(row) for row in rows] == [(events[0].stream, counting.position)]
    assert second[0].events[0].entry == events[1]


async def test_a_load_behind_an_opt_out_leaves_it(held: Held) -> None:
    _, second = await held.both(
        [capture("a", OUT, actor=Actor(kind=ActorKind.RECIPIENT))],
        [capture("a", IN, row_keys=("row",)), capture("b", IN, row_keys=("other",))],
    )
    assert [one.existing.kept for one in second] == [ConsentKept.OPTED_OUT, None]
    assert [len(one.events) for one in second] == [0, 1]
    assert [event.data["value"] for event in await captures_of(held.tenant)] == ["OPTED_OUT", "OPTED_IN"]


async def test_a_load_behind_an_opt_out_that_was_never_written(held: Held) -> None:
    held.before = raises(asyncpg.DiskFullError("no space left on device"))
    first, _ = await held.both([capture("a", OUT)], [capture("a", IN, row_keys=("row",))])
    assert isinstance(first, StoreUnavailable)
    assert [event.data["value"] for event in await captures_of(held.tenant)] == ["OPTED_IN"]


async def test_the_rows_of_a_load_come_again_behind_themselves(held: Held) -> None:
    rows = [capture(f"r{number}", IN, row_keys=(f"row{number}",)) for number in range(3)]
    first, second = await held.both(rows, rows)
    assert [len(one.events) for one in (*first, *second)] == [1, 1, 1, 0, 0, 0]
    assert all(one.existing.all_known for one in second)


async def around(held: Held, alone: Callable[[], Awaitable[Any]]) -> list[str]:
    """Hold a group back and ask for something that is written alone, and for more: nothing is prepared behind one of them.

    The types of what was written, in order.
    """
    held.armed = True
    before = asyncio.create_task(record_consents(held.tenant, held.caller, many("a", 2)))
    await held.held.wait()
    between = asyncio.ensure_future(alone())
    while not held.tenant.log._queue._queue:
        await asyncio.sleep(0)
    after = asyncio.create_task(record_consents(held.tenant, held.caller, many("b", 2)))
    for _ in range(20):
        await asyncio.sleep(0)
    held.go_on.set()
    await asyncio.gather(before, between, after)
    assert not held.behind.is_set()
    return [stored.entry.type for stored in await verify(held.tenant)]


async def test_nothing_is_prepared_across_a_change_of_the_catalogue(held: Held) -> None:
    types = await around(held, lambda: update_tenant(held.tenant, held.caller, name="Another"))
    assert types[-5:] == ["ConsentCaptured"] * 2 + ["TenantUpdated"] + ["ConsentCaptured"] * 2


async def test_nothing_is_prepared_across_the_steps_of_an_erasure(held: Held) -> None:
    await record_consent(held.tenant, held.caller, capture("gone"))
    types = await around(
        held,
        lambda: erase_contact_point(
            held.tenant, held.caller, channel=Channel.EMAIL, address="gone@example.org", reason="asked"
        ),
    )
    assert types[-6:-3] == ["ConsentCaptured"] * 2 + ["ContactPointErasureRequested"]
    assert sorted(types[-3:]) == ["ConsentCaptured"] * 2 + ["ContactPointErased"]


async def test_the_server_ends_the_session_of_the_first(held: Held, database: DatabaseAddress) -> None:
    """The very thing: the statement waits for the head's row, the session is ended, and the row is let go."""
    blocker = await asyncpg.connect(**database.owner)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("SELECT 1 FROM log_heads WHERE tenant = $1 FOR UPDATE", held.tenant.id)

    async def end_session() -> None:
        while not await blocker.fetchval(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid = (SELECT min(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            "  AND pg_blocking_pids(pid) @> ARRAY[pg_backend_pid()])"
        ):
            # Within a transaction what others do is shown as it was at the first look.
            await blocker.execute("SELECT pg_stat_clear_snapshot()")
        await transaction.rollback()

    async def begin() -> None:
        ending.append(asyncio.create_task(end_session()))

    ending: list[asyncio.Task[None]] = []
    held.before = begin
    try:
        first, second = await held.both(many("a", 2), many("b", 2))
        await ending[0]
    finally:
        await blocker.close()
    assert [recorded.repeated for recorded in (*first, *second)] == [False] * 4
    assert len(await captures_of(held.tenant)) == 4


ADDRESSES = ["ada", "grace", "edsger"]
ASKED = st.lists(
    st.tuples(
        st.sampled_from(ADDRESSES),
        st.sampled_from([IN, OUT]),
        st.none() | st.integers(0, 5),
        st.sampled_from(["commercial", "commercial", "commercial", "nope"]),
    ),
    max_size=8,
)
# What becomes of each write, in their order: nothing, lost before, lost after, lost to another process.
FATES = st.lists(st.sampled_from(["kept", "kept", "before", "after", "raced", "full"]), max_size=6)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=ASKED, fates=FATES, size=st.integers(1, 4))
async def test_whatever_becomes_of_each_write(
    ledger: Ledger,
    caller: Caller,
    database: DatabaseAddress,
    data_dir: Path,
    asked: list[tuple[str, ConsentValue, int | None, str]],
    fates: list[str],
    size: int,
) -> None:
    """What was acknowledged is there once, what was refused is not, and each answer is true of the log as it came to be."""
    tenant = await create_tenant(ledger, f"fates-{secrets.token_hex(6)}", "Fates")
    coming = iter(fates)
    write = Log._write
    async with ledger_on(database, data_dir / "master.key") as other:
        own = await other.tenant(tenant.key)

        async def fated(log: Log, connection: Any, group: Group) -> bool:
            if log is not tenant.log or not group.entries:
                return await write(log, connection, group)
            match next(coming, "kept"):
                case "before":
                    raise ConnectionResetError
                case "full":
                    raise asyncpg.DiskFullError("no space left on device")
                case "after":
                    await write(log, connection, group)
                    raise ConnectionResetError
                case "raced":
                    # A lock, where there is one, keeps the other from it.
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(record_consent(own, caller, capture("other")), 0.2)
            return await write(log, connection, group)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(append_queue, "_BEHIND_MIN", 1)
            patch.setattr(append_queue, "_HALVED_FROM", 2)
            patch.setattr(append_queue, "GROUP_COMMANDS_MAX", size)
            patch.setattr(Log, "_write", fated)
            answers = await asyncio.gather(*(_one(tenant, caller, one) for one in asked))
    stored = {item.position: item for item in await verify(tenant)}
    recorded = [answer for answer in answers if isinstance(answer, Recorded)]
    firsts = [answer.position for answer in recorded if not answer.repeated]
    assert len(set(firsts)) == len(firsts), "nothing is recorded twice"
    for (address, value, key, purpose), answer in zip(asked, answers, strict=True):
        if isinstance(answer, Recorded):
            assert purpose != "nope"
            assert stored[answer.events[0].position] == answer.events[0]
            assert answer.events[0].entry.data["value"] == value
        elif isinstance(answer, Refusal):
            assert answer.code is RefusalCode.IDEMPOTENCY_CONFLICT or purpose == "nope"
            if answer.code is RefusalCode.IDEMPOTENCY_CONFLICT:
                assert key is not None
                assert any(
                    other == key and isinstance(got, Recorded)
                    for (_, _, other, _), got in zip(asked, answers, strict=True)
                ), f"nobody was told that {key} stands for something, and {address} was refused for it"
        else:
            assert isinstance(answer, StoreUnavailable)
            assert "full" in fates
    written = [item for item in stored.values() if item.entry.type == "ConsentCaptured" and item.entry.application]
    assert {item.position for item in written if item.entry.application == "tests"} >= set(firsts)


async def _one(tenant: Tenant, caller: Caller, asked: tuple[str, ConsentValue, int | None, str]) -> Any:
    address, value, key, purpose = asked
    try:
        return await record_consent(
            tenant,
            caller,
            capture(address, value, purpose=purpose, idempotency_key=None if key is None else f"k{key}"),
        )
    except (Refusal, StoreUnavailable) as error:
        return error


async def test_a_refusal_for_what_a_neighbour_records_stands_only_if_that_is_recorded(
    tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Log._write
    fail = True

    async def full_once(log: Log, connection: Any, group: Group) -> bool:
        nonlocal fail
        if fail and log is tenant.log:
            fail = False
            raise asyncpg.DiskFullError("no space left on device")
        return await write(log, connection, group)

    monkeypatch.setattr(Log, "_write", full_once)
    asked = [
        capture("ada", purpose="nope"),
        capture("ada", IN, idempotency_key="k"),
        capture("ada", OUT, idempotency_key="k"),
    ]

    async def answers() -> list[Any]:
        return await asyncio.gather(*(record_consent(tenant, caller, one) for one in asked), return_exceptions=True)

    unknown, first, second = await answers()
    assert isinstance(unknown, Refusal)
    assert isinstance(first, StoreUnavailable)
    # The key stands for nothing: what comes under it again is recorded, and this may be the one.
    assert isinstance(second, StoreUnavailable)
    unknown, first, second = await answers()
    assert isinstance(unknown, Refusal)
    assert isinstance(first, Recorded)
    assert isinstance(second, Refusal)
    assert second.code is RefusalCode.IDEMPOTENCY_CONFLICT
