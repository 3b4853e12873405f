"""Replaying: what is being erased is shown as erased, and no state is given for a position that the log does not have."""

import argparse
import asyncio
import random
from datetime import timedelta

import pytest

from cli import replay as command
from cli.refusals import UNUSABLE, exit_code_of
from domain.addresses import Channel
from domain.consent import ConsentRecord, ConsentValue, join
from domain.refusals import Refusal, RefusalCode
from eventstore import read
from eventstore.read import StoredEntry
from ledger import erasure
from ledger.assembly import Caller, Tenant
from ledger.catalogue import create_topic
from ledger.erasure import erase_contact_point
from ledger.erasure_completion import complete_pending
from ledger.record import Capture, record_consent
from ledger.replaying import replay
from projections.inline import captured
from tests.conftest import Clock

ADA = "ada@example.org"


async def opt_out(tenant: Tenant, caller: Caller) -> None:
    given = Capture(channel=Channel.EMAIL, address=ADA, purpose="commercial", value=ConsentValue.OPTED_OUT)
    await record_consent(tenant, caller, given)


async def erased_at(tenant: Tenant, position: int | None = None) -> list[bool]:
    return [row.erased for row in (await replay(tenant, until_position=position)).rows]


async def test_a_contact_point_is_erased_from_the_request_on(
    tenant: Tenant, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object) -> StoredEntry:
        raise ConnectionResetError

    await opt_out(tenant, caller)
    before = (await replay(tenant)).entries - 1
    with monkeypatch.context() as patched:
        patched.setattr(erasure, "complete_erasure", gone)
        with pytest.raises(ConnectionResetError):
            await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address=ADA, reason="asked")
    assert await erased_at(tenant) == [True], "requested, and not complete"
    assert await complete_pending(tenant.ledger) >= 1
    assert [await erased_at(tenant, position) for position in (before, before + 1, before + 2)] == [
        [False], [True], [True],
    ]  # fmt: skip


async def test_a_position_beyond_the_log_is_refused(tenant: Tenant, caller: Caller) -> None:
    await opt_out(tenant, caller)
    size = (await replay(tenant)).entries
    assert (await replay(tenant, until_position=size - 1)).entries == size
    for beyond in (size, 10**30):
        with pytest.raises(Refusal) as refused:
            await replay(tenant, until_position=beyond)
        assert (refused.value.code, refused.value.message) == (RefusalCode.INVALID, f"the log has {size} events")


async def test_any_cut_is_the_join_of_the_captures_up_to_it(
    clocked_tenant: Tenant, caller: Caller, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.replaying._PAGE_ENTRIES", 3)
    tenant, start = clocked_tenant, clock.now
    await create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    draw = random.Random(5)
    for minute in range(24):
        clock.now = start + timedelta(minutes=minute // 2)
        value = draw.choice(list(ConsentValue))
        effective_at = start - timedelta(days=draw.randrange(3))
        await record_consent(
            tenant,
            caller,
            Capture(
                channel=draw.choice((Channel.EMAIL, Channel.CUSTOM)),
                address=f"a{draw.randrange(3)}@example.org",
                purpose="commercial",
                topic=draw.choice((None, "news")),
                value=value,
                effective_at=effective_at,
                valid_until=start + timedelta(minutes=6) if value is ConsentValue.OPTED_IN else None,
            ),
        )
    async with tenant.ledger.connection() as connection:
        entries = [one.entry for one in await read.forward(connection, tenant.id, limit=1_000)]
    positions = [(len(entries) - 1 - number, None) for number in range(24)]
    instants = [(None, start + timedelta(seconds=30 * number)) for number in range(-1, 26)]
    for position, instant in [(None, None), *positions, *instants]:
        for as_of in (None, start - timedelta(days=1), start + timedelta(minutes=6)):
            state = await replay(tenant, until_position=position, until=instant, as_of=as_of)
            known = [
                one
                for one in entries
                if (position is None or one.position <= position) and (instant is None or one.recorded_at <= instant)
            ]
            held: dict[tuple[object, ...], ConsentRecord | None] = {}
            for one in known:
                capture = captured(one)
                if capture is not None and (as_of is None or capture.effective_at <= as_of):
                    key = one.stream, capture.purpose, capture.topic or "", capture.unit
                    held[key] = join(held.get(key), capture.record(one.position, one.recorded_at))
            assert state.entries == len(known)
            assert [row.record for row in state.rows] == [held[key] for key in sorted(held)]  # type: ignore[type-var]
            assert [row.value for row in state.rows] == [
                ConsentValue.NOT_SET if row.record.expired_at(state.as_of) else row.record.value for row in state.rows
            ]
            channels = {one.stream: one.data["channel"] for one in known if one.data.get("channel")}
            assert [row.channel for row in state.rows] == [channels[row.contact_point] for row in state.rows]


def test_the_command_names_its_option(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def beyond(*_: object, **__: object) -> None:
        raise Refusal(RefusalCode.INVALID, "the log has 7 events", ("until_position",))

    monkeypatch.setattr(command, "replay", beyond)
    monkeypatch.setattr(command, "with_tenant", lambda _, work: asyncio.run(work(None)))
    with pytest.raises(Refusal) as refused:
        command.run(argparse.Namespace(until="9", as_of=None, format="table"))
    assert exit_code_of(refused.value) == UNUSABLE
    assert "--until 9: the log has 7 events" in capsys.readouterr().err
