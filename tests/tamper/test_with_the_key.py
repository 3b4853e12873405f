"""Whoever holds the database and the signing key too: nothing on this side finds a history that was written anew.

What does: anything of the true history that somebody else holds (a bundle, a receipt, a checkpoint), and a witness.
"""

import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from domain.addresses import Channel
from domain.consent import ConsentValue
from eventstore.database import DatabaseAddress
from ledger.assembly import Caller, Tenant, ledger_on
from ledger.check import Question, check
from ledger.checkpoint_targets import Targets, WitnessTarget
from ledger.checkpoints import checkpoint
from ledger.evidence import evidence_by_address
from ledger.log_export import log_lines
from ledger.publishing import Publisher
from ledger.receipts import Answered, receipts
from ledger.record import Capture, record_consent
from ledger.signing import verifier_keys
from ledger.verifying import verify_database
from tests.ledger.independent_witness import LocalServer, Witness
from tests.tamper.forging import delete_from, rehash, rewrite
from tlog.note import VerifierKey
from verifier.checkpoint import Trust
from verifier.verify import log_in_file, verify_file

ADA, BOB = "ada@example.org", "bob@example.org"


@dataclass
class Held:
    """What strangers hold of the true history."""

    keys: Trust
    bundle: bytes
    receipt: bytes
    checkpoint: bytes


@pytest.fixture
async def witness(tenant: Tenant) -> AsyncIterator[tuple[Witness, Targets]]:
    one = Witness([key.text() for key in await verifier_keys(tenant)], "witness.test/w1")
    with LocalServer(one.answer) as server:
        target = WitnessTarget(server.url, VerifierKey.parse(one.verifier_key))
        yield one, Targets(files=(), webhooks=(), witnesses=(target,), every_seconds=10)


@pytest.fixture
async def held(tenant: Tenant, caller: Caller, witness: tuple[Witness, Targets]) -> Held:
    for address in (ADA, BOB):
        capture = Capture(channel=Channel.EMAIL, address=address, purpose="commercial", value=ConsentValue.OPTED_OUT)
        await record_consent(tenant, caller, capture)
    bundle = await evidence_by_address(tenant, Channel.EMAIL, ADA, with_openings=True)
    [answer] = await check(tenant, Question(channel=Channel.EMAIL, addresses=[ADA], purpose="commercial"))
    [receipt] = await receipts(tenant, [Answered(answer, Channel.EMAIL, None)])
    async with Publisher(tenant.ledger, witness[1]) as publisher:
        [outcome] = await publisher.publish_once(tenant)
    assert outcome.succeeded
    keys = Trust.parse([key.text() for key in await verifier_keys(tenant)])
    note = (await checkpoint(tenant)).note
    return Held(keys, json.dumps(bundle.json).encode(), receipt.encode(), note.encode())


async def rewritten(connection: asyncpg.Connection, tenant: Tenant) -> None:
    """Ada opted in: in her entry, its columns, the read model, the tree."""
    await rewrite(connection, tenant.id, 7, b'"OPTED_OUT"', b'"OPTED_IN"', columns=True)
    await connection.execute(
        "UPDATE current_consent SET value = 'OPTED_IN', restrictiveness = 0 WHERE tenant = $1 AND position = 7",
        tenant.id,
    )
    await rehash(connection, tenant.id)


async def rolled_back(connection: asyncpg.Connection, tenant: Tenant) -> None:
    """Neither Ada nor Bob ever chose anything."""
    await delete_from(connection, tenant.id, 7)
    await rehash(connection, tenant.id)


Forge = Callable[[asyncpg.Connection, Tenant], Awaitable[None]]


@pytest.mark.parametrize("forge", [rewritten, rolled_back])
async def test_only_others_find_a_history_written_anew_by_who_has_the_key(
    tenant: Tenant,
    database: DatabaseAddress,
    data_dir: Path,
    held: Held,
    witness: tuple[Witness, Targets],
    forge: Forge,
) -> None:
    connection = await asyncpg.connect(**database.owner)
    try:
        await connection.execute("SET session_replication_role = replica")
        await forge(connection, tenant)
        for table in ("checkpoints", "cosignatures"):
            await connection.execute(f"DELETE FROM {table} WHERE tenant = $1", tenant.id)
    finally:
        await connection.close()
    for path in tenant.ledger.signing_keys_dir.glob(f"{tenant.key}.*.signed"):
        path.unlink()
    async with ledger_on(database, data_dir / "master.key") as ledger:
        forged = await ledger.tenant(tenant.key)
        # Nothing on this side: all that is stored agrees, and what is signed and handed out is proven.
        assert (await verify_database(forged))[0].startswith("9 entries" if forge is rewritten else "7 entries")
        log = "".join([line + "\n" async for line in log_lines(forged)]).encode()
        assert verify_file(io.BytesIO(log), held.keys).proven
        # What others hold is still proven by itself, and contradicts it.
        for document in (held.bundle, held.receipt, held.checkpoint):
            assert verify_file(io.BytesIO(document), held.keys).proven
            beside = verify_file(io.BytesIO(document), held.keys, log=log_in_file(io.BytesIO(log), held.keys))
            assert not beside.proven, document
        # A witness gives it no cosignature, so whoever asks for one is not taken in.
        seen = witness[0].latest
        async with Publisher(ledger, witness[1]) as publisher:
            [outcome] = await publisher.publish_once(forged)
        assert not outcome.succeeded
        assert "rewritten" in outcome.said or "rolled back" in outcome.said
        assert witness[0].latest == seen
