"""Checks, batch checks and records over HTTP against one API process, beside its peers; start and memory."""

import time
from pathlib import Path

from benchmarks.comparing import BARE, BATCH_ADDRESSES, C15T, OURS, STRAWBERRY, OverHttp, over_http
from benchmarks.figures import Figures
from benchmarks.peers.npm_packages import HOW
from benchmarks.rounds import ROUNDS
from benchmarks.serving import consentry, free_port, resident_mb
from web import event_loop

SECONDS = 3.0


def run(data_dir: Path, key: str, addresses: list[str], figures: Figures) -> None:
    """Measure, and note the figures. `addresses` have records in tenant 1, whose key this is."""
    port = free_port()
    started = time.perf_counter()
    with consentry(data_dir, port) as server:
        seconds = time.perf_counter() - started
        figures.add("start on an existing data directory", "< 3 s", f"{seconds:.1f} s", kept=seconds < 3)
        memory = resident_mb(server.pid)
        figures.add("memory of one API process at rest", "< 150 MB", f"{memory:.0f} MB", kept=memory < 150)
    note(event_loop.run(over_http(data_dir, key, addresses, seconds=SECONDS, rounds=ROUNDS)), figures, len(addresses))


def note(measured: OverHttp, figures: Figures, addresses: int) -> None:
    """Note what was measured beside the peers."""
    checks, batches, records = measured.checks, measured.batches, measured.records
    figures.add(
        "checks over HTTP, 16 connections", "",
        f"{checks[OURS].text()}/s, p99 {measured.check_p99_ms:.0f} ms",
    )  # fmt: skip
    for what, peer, promised in (
        ("a bare Starlette route with one statement", BARE, 1.2),
        ("Strawberry's own view", STRAWBERRY, 15),
        ("c15t's `GET /api/consents/check`", C15T, 6),
    ):
        figures.beside(f"the same against {what}", promised, checks[OURS], checks.get(peer), how=HOW)
    decisions = batches[OURS].median * min(BATCH_ADDRESSES, addresses)
    ratio = batches[OURS].over(batches[BARE])
    figures.add(
        "batch checks, 10,000 addresses a call", "60,000 decisions/s, 0.7 x bare",
        f"{decisions:,.0f}/s, {ratio.text('.2f')} x", kept=decisions >= 60_000 and ratio.median >= 0.7,
    )  # fmt: skip
    figures.add(
        "records over HTTP, 64 connections", "4,000/s",
        f"{records[OURS].text()}/s, p99 {measured.record_p99_ms:.0f} ms", kept=records[OURS].median >= 4_000,
    )  # fmt: skip
    figures.beside("the same against c15t's `POST /api/subjects`", 8, records[OURS], records.get(C15T), how=HOW)
    figures.add(
        "memory of one API process after that", "< 400 MB", f"{measured.memory_mb:.0f} MB",
        kept=measured.memory_mb < 400,
    )  # fmt: skip
