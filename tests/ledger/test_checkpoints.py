"""Checkpoints: signed for what is committed, one root for each size, whatever processes and databases do."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from domain.addresses import Channel
from domain.consent import ConsentValue
from domain.refusals import Refusal
from eventstore.database import DatabaseAddress
from eventstore.signing_keys import SigningKeyUnusable
from ledger.assembly import Caller, Tenant, ledger_on
from ledger.check import Question, check
from ledger.checkpoints import LogRewritten, SignedCheckpoint, checkpoint
from ledger.proofs import consistency_proof
from ledger.receipts import Answered, receipts
from ledger.record import Capture, record_consent, record_consents
from ledger.signing import rotate_signing_key, verifier_keys
from ledger.verifying import DatabaseMismatch, verify_database
from tests.tamper.forging import delete_from, rehash, rewrite
from tlog.checkpoint import Checkpoint, open_checkpoint
from tlog.note import VerifierKey
from tlog.verify import verify_consistency


def capture(address: str = "ada@example.org") -> Capture:
    return Capture(channel=Channel.EMAIL, address=address, purpose="commercial", value=ConsentValue.OPTED_OUT)


def opened(signed: SignedCheckpoint) -> Checkpoint:
    return open_checkpoint(signed.note, [VerifierKey.parse(signed.verifier_key)], origin=signed.checkpoint.origin)[0]


@contextlib.asynccontextmanager
async def tampering(database: DatabaseAddress) -> AsyncIterator[asyncpg.Connection]:
    """As whoever owns the database: nothing that is refused to the service is refused here."""
    connection = await asyncpg.connect(**database.owner)
    try:
        await connection.execute("SET session_replication_role = replica")
        yield connection
    finally:
        await connection.close()


async def test_a_checkpoint_is_of_the_present_log_and_signed_by_the_key_that_the_log_lists(
    tenant: Tenant, caller: Caller
) -> None:
    first = await checkpoint(tenant)
    await record_consent(tenant, caller, capture())
    second = await checkpoint(tenant)
    assert (opened(first), opened(second)) == (first.checkpoint, second.checkpoint)
    assert second.checkpoint.size == first.checkpoint.size + 1
    assert second.verifier_key in tenant.catalogue.verifier_keys
    assert first.checkpoint.origin.startswith(f"consentry.local/log/{tenant.key}/")
    proof = await consistency_proof(tenant, first.checkpoint.size)
    verify_consistency(proof.first, proof.second, proof.hashes, first.checkpoint.root, second.checkpoint.root)
    assert await checkpoint(tenant, first.checkpoint.size) == first, "what was signed is given out again"


async def test_a_size_between_two_checkpoints_is_signed_as_what_it_was(tenant: Tenant, caller: Caller) -> None:
    for number in range(5):
        await record_consent(tenant, caller, capture(f"a{number}@example.org"))
    last = await checkpoint(tenant)
    earlier = await checkpoint(tenant, last.checkpoint.size - 3)
    proof = await consistency_proof(tenant, earlier.checkpoint.size, last.checkpoint.size)
    verify_consistency(proof.first, proof.second, proof.hashes, opened(earlier).root, last.checkpoint.root)


@pytest.mark.parametrize("size", [0, -1, 10**6, 2**62])
async def test_a_size_that_the_log_never_had_is_refused(tenant: Tenant, size: int) -> None:
    with pytest.raises(Refusal, match="treeSize is from 1 to 7"):
        await checkpoint(tenant, size)


async def test_all_who_ask_at_once_get_one_signature(
    tenant: Tenant, caller: Caller, database: DatabaseAddress, data_dir: Path
) -> None:
    async with ledger_on(database, data_dir / "master.key") as another:
        twin = await another.tenant(tenant.key)
        for number in range(3):
            await record_consent(tenant, caller, capture(f"a{number}@example.org"))
            signed = await asyncio.gather(*(checkpoint(one) for one in (tenant, twin) for _ in range(8)))
            assert len({one.note for one in signed}) == 1


async def test_a_database_that_was_rolled_back_gets_nothing_signed(
    tenant: Tenant, caller: Caller, database: DatabaseAddress
) -> None:
    await record_consent(tenant, caller, capture())
    signed = await checkpoint(tenant)
    size = signed.checkpoint.size
    async with tampering(database) as connection:
        before = await connection.fetchrow("SELECT * FROM log_heads WHERE tenant = $1", tenant.id)
        await record_consent(tenant, caller, capture("b@example.org"))
        await checkpoint(tenant)
        # As restored from a backup that was taken before the last event.
        await connection.execute("DELETE FROM log_entries WHERE tenant = $1 AND position >= $2", tenant.id, size)
        await connection.execute("DELETE FROM checkpoints WHERE tenant = $1 AND size > $2", tenant.id, size)
        await connection.execute(
            "DELETE FROM vault_subjects WHERE tenant = $1 AND first_position >= $2", tenant.id, size
        )
        await connection.execute("DELETE FROM current_consent WHERE tenant = $1 AND position >= $2", tenant.id, size)
        await connection.execute(
            "UPDATE log_heads SET size = $2, frontier = $3, root = $4 WHERE tenant = $1",
            tenant.id, before["size"], before["frontier"], before["root"],
        )  # fmt: skip
        await connection.execute("DELETE FROM checkpoints WHERE tenant = $1", tenant.id)
    with pytest.raises(LogRewritten, match=f"size {size + 1} was signed before"):
        await checkpoint(tenant)
    await record_consent(tenant, caller, capture("c@example.org"))
    with pytest.raises(LogRewritten, match="not consistent with what was signed before"):
        await checkpoint(tenant)


async def test_a_leaf_that_was_changed_gets_nothing_signed(
    tenant: Tenant, caller: Caller, database: DatabaseAddress
) -> None:
    await record_consent(tenant, caller, capture())
    async with tampering(database) as connection:
        await connection.execute(
            "UPDATE log_entries SET leaf_hash = sha256('x') WHERE tenant = $1 AND position = 7", tenant.id
        )
    with pytest.raises(LogRewritten, match="does not lead to the root"):
        await checkpoint(tenant)


async def test_a_new_key_signs_from_then_on_and_the_old_one_stays_listed(tenant: Tenant, caller: Caller) -> None:
    before = await checkpoint(tenant)
    [old] = await verifier_keys(tenant)
    new = await rotate_signing_key(tenant, caller)
    assert await verifier_keys(tenant) == [old, new]
    assert (new.name, new.key_id != old.key_id) == (old.name, True)
    after = await checkpoint(tenant)
    assert (before.verifier_key, after.verifier_key) == (old.text(), new.text())
    assert (opened(before), opened(after)) == (before.checkpoint, after.checkpoint)
    assert (await checkpoint(tenant, before.checkpoint.size)).note == before.note


async def test_what_the_old_key_signed_binds_the_new_one(
    tenant: Tenant, caller: Caller, database: DatabaseAddress
) -> None:
    signed = await checkpoint(tenant)
    await rotate_signing_key(tenant, caller)
    async with tampering(database) as connection:
        await connection.execute("DELETE FROM checkpoints WHERE tenant = $1", tenant.id)
        await connection.execute(
            "UPDATE log_entries SET leaf_hash = sha256('x') WHERE tenant = $1 AND position = 3", tenant.id
        )
    with pytest.raises(LogRewritten):
        await checkpoint(tenant, signed.checkpoint.size)


async def test_a_smaller_size_is_signed_only_as_what_the_larger_one_holds(
    tenant: Tenant, caller: Caller, database: DatabaseAddress
) -> None:
    """A forged entry must not be proven by a checkpoint of a size that nobody had asked for before."""
    await record_consents(tenant, caller, [capture(f"b{number}@example.org") for number in range(600)])
    before = await checkpoint(tenant, 9)
    await checkpoint(tenant)
    async with tampering(database) as connection:
        await rewrite(connection, tenant.id, 8, b'"OPTED_OUT"', b'"OPTED_IN"', columns=True)
        await connection.execute("DELETE FROM checkpoints WHERE tenant = $1 AND size = 9", tenant.id)
    for size in (9, 10, 100):
        with pytest.raises(LogRewritten, match="not consistent"):
            await checkpoint(tenant, size)
    async with tampering(database) as connection:
        await rewrite(connection, tenant.id, 8, b'"OPTED_IN"', b'"OPTED_OUT"', columns=True)
    assert (await checkpoint(tenant, 9)).note == before.note


async def test_a_larger_size_is_signed_only_as_what_the_smaller_one_began(
    tenant: Tenant, caller: Caller, database: DatabaseAddress
) -> None:
    await record_consents(tenant, caller, [capture(f"a{number}@example.org") for number in range(293)])
    assert (await checkpoint(tenant)).checkpoint.size == 300
    await record_consents(tenant, caller, [capture(f"b{number}@example.org") for number in range(300)])
    async with tampering(database) as connection:
        # The root of the second tile is made of other leaves than the ones that were signed.
        await rewrite(connection, tenant.id, 270, b'"OPTED_OUT"', b'"OPTED_IN"', columns=True)
        await rehash(connection, tenant.id)
    with pytest.raises(LogRewritten, match="not consistent"):
        await checkpoint(tenant)


async def test_what_a_key_signed_that_a_restored_database_does_not_list_binds_too(
    tenant: Tenant, caller: Caller, database: DatabaseAddress, data_dir: Path
) -> None:
    await record_consent(tenant, caller, capture())
    await checkpoint(tenant)
    await rotate_signing_key(tenant, caller)
    await record_consent(tenant, caller, capture("b@example.org"))
    last = await checkpoint(tenant)
    async with tampering(database) as connection:
        await delete_from(connection, tenant.id, 8)
        await connection.execute("UPDATE log_heads SET catalogue_position = 6 WHERE tenant = $1", tenant.id)
        await rehash(connection, tenant.id)
    async with ledger_on(database, data_dir / "master.key") as ledger:
        restored = await ledger.tenant(tenant.key)
        assert len(await verifier_keys(restored)) == 1
        await record_consent(restored, caller, capture("other@example.org"))
        with pytest.raises(LogRewritten, match="rolled back"):
            await checkpoint(restored)
        for number in range(3):
            await record_consent(restored, caller, capture(f"other{number}@example.org"))
        for size in (None, last.checkpoint.size):
            with pytest.raises(LogRewritten, match="not consistent"):
                await checkpoint(restored, size)
        with pytest.raises(DatabaseMismatch, match="rewritten or rolled back"):
            await verify_database(restored)


async def test_no_receipt_is_signed_over_another_history(
    tenant: Tenant, caller: Caller, database: DatabaseAddress
) -> None:
    await record_consent(tenant, caller, capture())
    question = Question(channel=Channel.EMAIL, addresses=["ada@example.org"], purpose="commercial")
    answered = [Answered(answer, Channel.EMAIL, None) for answer in await check(tenant, question)]
    assert len(await receipts(tenant, answered)) == 1
    async with tampering(database) as connection:
        await rewrite(connection, tenant.id, 7, b'"OPTED_OUT"', b'"OPTED_IN"', columns=True)
        await rehash(connection, tenant.id)
    with pytest.raises(LogRewritten):
        await receipts(tenant, answered)


@pytest.mark.parametrize("harm", ["missing", "readable by others", "another's", "garbage"])
async def test_a_key_file_that_cannot_be_used_is_told(
    tenant: Tenant, database: DatabaseAddress, data_dir: Path, tmp_path: Path, harm: str
) -> None:
    [verifier] = await verifier_keys(tenant)
    folder = tmp_path / "keys"
    shutil.copytree(tenant.ledger.signing_keys_dir, folder)
    file = folder / f"{tenant.key}.{verifier.key_id_hex}.key"
    if harm == "missing":
        file.unlink()
    elif harm == "readable by others":
        file.chmod(0o644)
    elif harm == "garbage":
        file.write_text("PRIVATE+KEY+what")
    else:
        shutil.copy(next(path for path in folder.glob("*.key") if path != file), file)
    async with ledger_on(database, data_dir / "master.key", signing_keys_dir=folder) as another:
        with pytest.raises(SigningKeyUnusable, match=str(file)):
            await checkpoint(await another.tenant(tenant.key))


async def test_a_log_from_before_there_were_keys_gets_one(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    from ledger import tenants

    async def none(_: object) -> list[Any]:
        return []

    monkeypatch.setattr(tenants, "verifier_keys", none)
    old = await tenants.create_tenant(tenant.ledger, f"{tenant.key}-old", "Old")
    assert old.catalogue.verifier_keys == ()
    signed = await asyncio.gather(checkpoint(old), checkpoint(old))
    assert {opened(one).origin for one in signed} == {(await verifier_keys(old))[0].name}
    assert len(await verifier_keys(old)) == 1
    files = list(old.ledger.signing_keys_dir.glob(f"{old.key}.*.key"))
    assert len(files) == 1, "a key that did not become the log's is not kept"


async def test_a_host_of_ones_own_names_the_logs(database: DatabaseAddress, data_dir: Path, tenant: Tenant) -> None:
    from ledger.tenants import create_tenant

    async with ledger_on(database, data_dir / "master.key", log_host="consent.example.com") as ledger:
        made = await create_tenant(ledger, f"{tenant.key}-host", "Host")
        assert (await checkpoint(made)).checkpoint.origin == f"consent.example.com/log/{made.key}"
