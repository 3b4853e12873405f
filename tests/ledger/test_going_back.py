"""A database that is older than what was signed or seen of its log allows nothing: the opt-outs since then are not in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.addresses import Channel
from domain.catalogue import EnforcementModel
from domain.consent import ConsentValue
from domain.decision import Contactability
from eventstore.database import DatabaseAddress
from ledger.assembly import Caller, Ledger, Tenant, ledger_on
from ledger.check import Question, check
from ledger.checkpoints import checkpoint
from ledger.contactability import contactability_of
from ledger.going_back import LogWentBack, look_at_all
from ledger.history import find_contact_point
from ledger.record import Capture, record_consent
from ledger.selection import Selection, preview_enforcement, select
from tests.ledger.test_checkpoints import tampering
from tests.tamper.forging import delete_from, rehash
from web.refusals import exception_entry

OUT = ConsentValue.OPTED_OUT
ADA, BOB = "ada@example.org", "bob@example.org"


async def opt_out(tenant: Tenant, caller: Caller, address: str) -> int:
    capture = Capture(channel=Channel.EMAIL, address=address, purpose="commercial", value=OUT)
    position = (await record_consent(tenant, caller, capture)).position
    assert position is not None
    return position


async def allowed(tenant: Tenant, address: str) -> bool:
    [answer] = await check(tenant, Question(channel=Channel.EMAIL, addresses=[address], purpose="commercial"))
    return answer.decision.allowed


async def go_back(database: DatabaseAddress, tenant: Tenant, position: int) -> None:
    """As restored from a backup that was taken before the event at this position."""
    async with tampering(database) as connection:
        await delete_from(connection, tenant.id, position)
        await rehash(connection, tenant.id)


@pytest.fixture
async def another(database: DatabaseAddress, data_dir: Path) -> AsyncIterator[Ledger]:
    """Another process, which has met no tenant yet."""
    async with ledger_on(database, data_dir / "master.key") as ledger:
        yield ledger


async def test_a_database_that_is_older_than_what_was_signed_allows_nothing_and_takes_every_opt_out(
    tenant: Tenant, caller: Caller, database: DatabaseAddress, another: Ledger
) -> None:
    await opt_out(tenant, caller, ADA)
    lost = await opt_out(tenant, caller, BOB)
    await checkpoint(tenant)
    await go_back(database, tenant, lost)
    restored = await another.tenant(tenant.key)
    for address in (ADA, BOB):
        with pytest.raises(LogWentBack, match="opt-outs may be missing"):
            await allowed(restored, address)
    wanted = Selection(
        channel=Channel.EMAIL, profile="default", purpose="commercial", contactability=Contactability.WILL_SEND
    )
    with pytest.raises(LogWentBack):
        await select(restored, wanted)
    with pytest.raises(LogWentBack):
        await preview_enforcement(
            restored, purpose="commercial", channel=Channel.EMAIL, model=EnforcementModel.RESTRICTIVE
        )
    held = await find_contact_point(restored, Channel.EMAIL, ADA)
    assert held is not None
    with pytest.raises(LogWentBack):
        await contactability_of(restored, [(held.id, Channel.EMAIL)], profile="default")
    assert await opt_out(restored, caller, BOB) == lost


async def test_one_that_has_grown_again_since_is_no_continuation_of_what_was_signed(
    tenant: Tenant, caller: Caller, database: DatabaseAddress, data_dir: Path
) -> None:
    lost = await opt_out(tenant, caller, BOB)
    await checkpoint(tenant)
    await go_back(database, tenant, lost)
    async with ledger_on(database, data_dir / "master.key") as first:
        restored = await first.tenant(tenant.key)
        for number in range(3):
            await opt_out(restored, caller, f"other{number}@example.org")
    async with ledger_on(database, data_dir / "master.key") as second:
        with pytest.raises(LogWentBack, match="not its continuation"):
            await allowed(await second.tenant(tenant.key), BOB)


async def test_one_that_goes_on_from_what_was_signed_answers(tenant: Tenant, caller: Caller, another: Ledger) -> None:
    await opt_out(tenant, caller, ADA)
    await checkpoint(tenant)
    await opt_out(tenant, caller, BOB)
    same = await another.tenant(tenant.key)
    assert [await allowed(same, address) for address in (ADA, BOB, "nobody@example.org")] == [False, False, True]


async def test_a_database_that_goes_back_under_a_process_is_noticed(
    tenant: Tenant, caller: Caller, database: DatabaseAddress
) -> None:
    lost = await opt_out(tenant, caller, BOB)
    await look_at_all(tenant.ledger)
    assert await allowed(tenant, ADA)
    await go_back(database, tenant, lost)
    await look_at_all(tenant.ledger)
    with pytest.raises(LogWentBack, match=f"has seen {lost + 1} entries of this log, and it has {lost}"):
        await allowed(tenant, ADA)
    # For good: what comes after does not bring back what is lost.
    await opt_out(tenant, caller, ADA)
    await look_at_all(tenant.ledger)
    with pytest.raises(LogWentBack):
        await allowed(tenant, "nobody@example.org")


async def test_what_was_signed_cannot_be_read(tenant: Tenant, caller: Caller, another: Ledger, data_dir: Path) -> None:
    await checkpoint(tenant)
    [noted] = (data_dir / "signing-keys").glob(f"{tenant.key}.*.signed")
    noted.write_text("damaged")
    same = await another.tenant(tenant.key)
    with pytest.raises(LogWentBack, match="cannot be told"):
        await allowed(same, ADA)
    await opt_out(same, caller, ADA)


def test_clients_are_told_that_nothing_can_be_said() -> None:
    entry = exception_entry(LogWentBack("tenant shop: of its size"), "request")
    assert entry["extensions"]["code"] == "UNAVAILABLE"
    assert "shop" not in entry["message"]
