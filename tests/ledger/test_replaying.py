"""Replaying: what is being erased is shown as erased, and no state is given for a position that the log does not have."""

import argparse
import asyncio

import pytest

from cli import replay as command
from cli.refusals import UNUSABLE, exit_code_of
from domain.addresses import Channel
from domain.consent import ConsentValue
from domain.refusals import Refusal, RefusalCode
from eventstore.read import StoredEntry
from ledger import erasure
from ledger.assembly import Caller, Tenant
from ledger.erasure import erase_contact_point
from ledger.erasure_completion import complete_pending
from ledger.record import Capture, record_consent
from ledger.replaying import replay

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


def test_the_command_names_its_option(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def beyond(*_: object, **__: object) -> None:
        raise Refusal(RefusalCode.INVALID, "the log has 7 events", ("until_position",))

    monkeypatch.setattr(command, "replay", beyond)
    monkeypatch.setattr(command, "with_tenant", lambda _, work: asyncio.run(work(None)))
    with pytest.raises(Refusal) as refused:
        command.run(argparse.Namespace(until="9", as_of=None, format="table"))
    assert exit_code_of(refused.value) == UNUSABLE
    assert "--until 9: the log has 7 events" in capsys.readouterr().err
