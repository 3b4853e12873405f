"""Proofs: made from the stored tree, verified by a stranger; replay and verification of the whole log; what tiles cost."""

import io
import json
import random
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO
from uuid import UUID

from benchmarks.figures import Figures
from domain.addresses import Channel
from eventstore import read, tree
from ledger.assembly import LedgerConfig, Tenant, open_ledger
from ledger.checkpoints import checkpoint
from ledger.evidence import evidence_by_address
from ledger.history import find_contact_point
from ledger.log_export import log_lines
from ledger.replaying import replay
from ledger.signing import verifier_keys
from ledger.verifying import verify_database
from tlog.checkpoint import Checkpoint
from tlog.compact_range import EMPTY
from tlog.entry import Entry, encode
from tlog.hashing import leaf_hash
from tlog.note import SigningKey, encode_base64, signed
from tlog.prove import inclusion, nodes_of
from verifier.checkpoint import Trust
from verifier.verify import verify_file

ENTRIES = 1_000_000
_ORIGIN = "bench.example/log/bench/1"
_CATALOGUE = UUID("ca7a106e-0000-8000-8000-000000000000")


async def run(data_dir: Path, addresses: list[str], figures: Figures) -> None:
    """Measure on tenant 1's log, then the verification of a log of 1,000,000 entries made up here."""
    async with open_ledger(LedgerConfig(data_dir=data_dir)) as ledger:
        tenant = await ledger.tenant("bench")
        await _proofs(tenant, figures)
        await _bundles(tenant, addresses, figures)
        await _whole_log(tenant, figures)
    _million(figures)


async def _proofs(tenant: Tenant, figures: Figures) -> None:
    draw = random.Random(3)
    async with tenant.ledger.connection() as connection:
        size = (await read.head(connection, tenant.id)).size
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < 3:
            await tree.inclusion_proofs(connection, tenant.id, [draw.randrange(size)], size)
            count += 1
        figures.add("inclusion proofs, one at a time", "", f"{count / 3:,.0f}/s")
        started = time.perf_counter()
        for start in range(0, min(size, 25_600) - 256, 256):
            await tree.inclusion_proofs(connection, tenant.id, range(start, start + 256), size)
        rate = (min(size, 25_600) - 256) / (time.perf_counter() - started)
        figures.add("inclusion proofs, 256 neighbours at a time", "", f"{rate:,.0f}/s")
        bytes_a_event = await connection.fetchval("SELECT pg_total_relation_size('log_nodes')") / size
    figures.add("tiles, per event, beside the 32 bytes of its leaf hash", "", f"{bytes_a_event:.1f} bytes")
    started = time.perf_counter()
    for step in range(1, 51):
        await checkpoint(tenant, size - step)
    figures.add("checkpoints signed, each remembered durably", "", f"{50 / (time.perf_counter() - started):,.0f}/s")


async def _bundles(tenant: Tenant, addresses: list[str], figures: Figures) -> None:
    trust = Trust.parse([key.text() for key in await verifier_keys(tenant)])
    # Drawn by chance, some of the addresses have no record.
    there = [
        address for address in addresses[:200] if await find_contact_point(tenant, Channel.EMAIL, address) is not None
    ]
    made: list[bytes] = []
    started = time.perf_counter()
    for address in there[:50]:
        bundle = await evidence_by_address(tenant, Channel.EMAIL, address, with_openings=True)
        made.append(json.dumps(bundle.json).encode())
    figures.add("an evidence bundle", "", f"{(time.perf_counter() - started) * 1000 / len(made):.1f} ms")
    started = time.perf_counter()
    if not all(verify_file(io.BytesIO(bundle), trust).proven for bundle in made):
        raise RuntimeError("a bundle is not proven")
    figures.add("verifying one", "", f"{(time.perf_counter() - started) * 1000 / len(made):.1f} ms")


async def _whole_log(tenant: Tenant, figures: Figures) -> None:
    started = time.perf_counter()
    state = await replay(tenant)
    rate = state.entries / (time.perf_counter() - started)
    figures.add("`consentry replay`: read, re-hashed, folded", "", f"{rate:,.0f} events/s")
    started = time.perf_counter()
    await verify_database(tenant)
    rate = state.entries / (time.perf_counter() - started)
    figures.add("`consentry verify --database`: all that is stored", "", f"{rate:,.0f} events/s")
    started = time.perf_counter()
    lines = [line async for line in log_lines(tenant)]
    rate = len(lines) / (time.perf_counter() - started)
    figures.add("`consentry export --format log`, a proof for each", "", f"{rate:,.0f} events/s")


def _million(figures: Figures) -> None:
    key = SigningKey.generate(_ORIGIN)
    with tempfile.TemporaryFile(prefix="consentry-bench-") as file:
        _write_log(file, key)
        file.seek(0)
        started = time.perf_counter()
        report = verify_file(file, Trust.parse([key.verifier.text()]))
        took = time.perf_counter() - started
    if not report.proven:
        raise RuntimeError(report.failure)
    figures.add(
        "`consentry verify` of a log of 1,000,000 entries, a proof for each",
        "",
        f"{took:.0f} s, {ENTRIES / took:,.0f}/s",
    )


def _entries() -> Iterator[bytes]:
    """A tenant's first event, then captures at 200,000 contact points."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    contact_points = ENTRIES // 5
    for position in range(ENTRIES):
        at = start + timedelta(milliseconds=position)
        stream, number = (_CATALOGUE, 0) if position == 0 else _place(position - 1, contact_points)
        data = (
            {"name": "Bench", "unitScoping": True}
            if position == 0
            else {
                "channel": "EMAIL", "purpose": "commercial", "source": "FORM", "trust": "SERVER_KEY", "unit": "root",
                "value": "OPTED_IN" if position % 3 else "OPTED_OUT",
            }
        )  # fmt: skip
        yield encode(
            Entry(
                event_id=UUID(int=position),
                tenant="bench",
                type="TenantCreated" if position == 0 else "ConsentCaptured",
                version=1 if position == 0 else 2,
                stream=stream,
                number=number,
                previous=None if number == 0 else position - contact_points,
                position=position,
                recorded_at=at,
                effective_at=None if position == 0 else at,
                application="bench",
                actor="SYSTEM",
                data=data,
                personal={"address": bytes(32)} if number == 0 and position else {},
            )
        )


def _place(place: int, contact_points: int) -> tuple[UUID, int]:
    """(the contact point's stream, the event's number in it) of captures that go round all contact points."""
    number, index = divmod(place, contact_points)
    return UUID(int=index + 1), number


def _write_log(file: IO[bytes], key: SigningKey) -> None:
    leaves = [leaf_hash(entry) for entry in _entries()]
    node_at = nodes_of(leaves)
    root = Checkpoint(_ORIGIN, ENTRIES, EMPTY.append_many(leaves).root())
    header = {
        "format": "consentry-log", "version": 1, "origin": _ORIGIN, "verifierKeys": [key.verifier.text()],
        "checkpoint": signed(root.text(), key.sign(root.text())), "entries": ENTRIES,
    }  # fmt: skip
    file.write(json.dumps(header, ensure_ascii=False).encode() + b"\n")
    for position, entry in enumerate(_entries()):
        proof = [encode_base64(node) for node in inclusion(position, ENTRIES, node_at)]
        file.write(json.dumps({"position": position, "entry": encode_base64(entry), "proof": proof}).encode() + b"\n")
