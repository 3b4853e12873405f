"""No regress: a few minutes, ratios alone, held against the figures that are kept in `ratios.toml`.

A ratio compares two things that were measured in turn in the same run, so it says little about the machine and much about the
code. `python -m benchmarks --short` exits with 1 where one has fallen below what is kept by more than its tolerance; run it by
hand before a release. With `--keep` what was measured becomes what is kept: commit it with the reason.
"""

import random
import tempfile
import time
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import comparing, importing
from benchmarks.captures import rate
from benchmarks.figures import Figures
from benchmarks.peers.npm_packages import HOW
from benchmarks.rounds import Spread, alternate
from eventstore import read
from ledger.assembly import LedgerConfig, Tenant, open_ledger
from projections.inline import CURRENT_CONSENT
from projections.rebuild import rebuild
from tlog.compact_range import EMPTY
from tlog.hashing import leaf_hash
from web import event_loop

KEPT = Path(__file__).with_name("ratios.toml")
_ROUNDS = 5
_SECONDS = 1.0
_ROWS = 6_000
_TOLERANCE = 0.3


@dataclass(frozen=True, slots=True)
class Ratio:
    """What is kept of one ratio: its value, and how far below it a run may come out."""

    value: float
    tolerance: float

    @property
    def least(self) -> float:
        """Below this it is a regress."""
        return self.value * (1 - self.tolerance)


def kept() -> dict[str, Ratio]:
    """The ratios that are kept, by name."""
    with KEPT.open("rb") as file:
        return {name: Ratio(one["ratio"], one["tolerance"]) for name, one in tomllib.load(file).items()}


def run(*, keep: bool) -> bool:
    """Measure, print the table, and whether nothing has fallen behind; with `keep`, keep what was measured."""
    with tempfile.TemporaryDirectory(prefix="consentry-bench-") as folder:
        measured = event_loop.run(_measure(Path(folder)))
    if keep:
        before = kept() if KEPT.exists() else {}
        KEPT.write_text(text_of(measured, before), encoding="utf-8")
    lines, regressed = compared(measured, kept())
    print("\n".join(lines))
    return not regressed


def compared(measured: Mapping[str, Spread], against: Mapping[str, Ratio]) -> tuple[list[str], list[str]]:
    """(the table, the names of what has fallen behind)."""
    lines = ["| ratio | kept | at least | measured | |", "|---|---|---|---|---|"]
    regressed: list[str] = []
    for name, one in against.items():
        spread = measured.get(name)
        if spread is None:
            lines.append(f"| {name} | {one.value:.3g} | {one.least:.3g} | | not measured: `{HOW}` |")
            continue
        fallen = spread.median < one.least
        regressed += [name] if fallen else []
        verdict = "**behind**" if fallen else "yes"
        lines.append(f"| {name} | {one.value:.3g} | {one.least:.3g} | {spread.text('.3g')} | {verdict} |")
    lines += [
        f"| {name} | | | {measured[name].text('.3g')} | not kept yet |" for name in measured if name not in against
    ]
    return lines, regressed


def text_of(measured: Mapping[str, Spread], before: Mapping[str, Ratio]) -> str:
    """The file of what is kept: what was measured, with the tolerances that there were; what was not measured stays."""
    ratios = {**before, **{name: Ratio(spread.median, _TOLERANCE) for name, spread in measured.items()}}
    lines = ["# Written by `python -m benchmarks --short --keep`; what each ratio is, docs/performance.md says."]
    for name, one in ratios.items():
        tolerance = before[name].tolerance if name in before else one.tolerance
        lines += ["", f'["{name}"]', f"ratio = {one.value:.4g}", f"tolerance = {tolerance:g}"]
    return "\n".join(lines) + "\n"


async def _measure(data_dir: Path) -> dict[str, Spread]:
    importing_rows, importing.ROWS = importing.ROWS, _ROWS * 3
    try:
        key, addresses = await importing.run(data_dir, Figures())
    finally:
        importing.ROWS = importing_rows
    known = list(dict.fromkeys(addresses))
    http = await comparing.over_http(data_dir, key, known, seconds=_SECONDS, rounds=_ROUNDS)
    ours = comparing.OURS
    measured = {
        f"checks over HTTP to {peer}": http.checks[ours].over(rates)
        for peer, rates in http.checks.items()
        if peer != ours
    }
    measured[f"batch checks over HTTP to {comparing.BARE}"] = http.batches[ours].over(http.batches[comparing.BARE])
    for peer, rates in http.records.items():
        if peer != ours:
            measured[f"records over HTTP to {peer}"] = http.records[ours].over(rates)
    async with open_ledger(LedgerConfig(data_dir=data_dir)) as ledger:
        tenant = await ledger.tenant_by_id(1)
        beside = await comparing.appends(tenant, seconds=_SECONDS, rounds=_ROUNDS)
        for peer, rates in beside.items():
            if peer != ours:
                measured[f"appends, 16 callers, to {peer}"] = beside[ours].over(rates)
        own = await alternate(_own(tenant), _ROUNDS)
    measured["appends, 256 callers, to 16 callers"] = own["256"].over(own["16"])
    measured["import of rows to appends, 256 callers"] = own["import"].over(own["256"])
    measured["rebuild of current consent to re-hashing"] = own["rebuild"].over(own["hash"])
    return measured


def _own(tenant: Tenant) -> dict[str, Callable[[], Awaitable[float]]]:
    async def appends_16() -> float:
        return (await rate(tenant, 16, _SECONDS))[0]

    async def appends_256() -> float:
        return (await rate(tenant, 256, _SECONDS))[0]

    return {
        "16": appends_16,
        "256": appends_256,
        "import": lambda: _imported(tenant),
        "rebuild": lambda: _rebuilt(tenant),
        "hash": lambda: _hashed(tenant),
    }


async def _imported(tenant: Tenant) -> float:
    run_of = time.time_ns()
    addresses = [f"s{run_of}.{number}@example.org" for number in range(_ROWS * 3 // 4)]
    content = importing.consent_records(random.Random(run_of), addresses, _ROWS)
    return await importing.rows_a_second(tenant, content, _ROWS)


async def _rebuilt(tenant: Tenant) -> float:
    started = time.perf_counter()
    done = await rebuild(tenant.ledger.pool, tenant.ledger.address.owner, tenant.id, CURRENT_CONSENT, accept=False)
    return (done.compared.position + 1) / (time.perf_counter() - started)


async def _hashed(tenant: Tenant) -> float:
    async with tenant.ledger.connection() as connection:
        page = await read.raw_forward(connection, tenant.id, after=-1, limit=10_000)
    started = time.perf_counter()
    EMPTY.append_many(leaf_hash(raw) for _, raw in page)
    return len(page) / (time.perf_counter() - started)
