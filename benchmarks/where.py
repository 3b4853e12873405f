"""`python -m benchmarks.where`: where the time goes, as processor time for each operation: here, in the database, and by folder.

Processor time and not the clock's, so that a busy machine changes little. What Python spends is shared out by a profiler, run
apart since it slows everything; what is built into Python counts for the code that called it.
"""

import argparse
import contextlib
import cProfile
import os
import pstats
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.growth import measures
from benchmarks.growth.following import catch_up
from benchmarks.growth.making import KEY_FILE, directory_of, make
from benchmarks.growth.measures_http import FED, SECONDS, SUBSCRIBED, Served
from benchmarks.growth.measuring import opened
from benchmarks.machine import describe
from benchmarks.serving import ROOT, consentry, free_port
from web import event_loop

SIZE = 100_000
_TICKS = os.sysconf("SC_CLK_TCK")
_FOLDERS = ("domain", "tlog", "eventstore", "projections", "ledger", "schema", "web")
_LIBRARIES = ("asyncpg", "cryptography", "json", "asyncio", "idna", "uuid", "graphql", "starlette", "uvicorn")


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that is measured, and how many of it a figure stands for: a number, or so many seconds of a rate."""

    what: str
    ask: Callable[[measures.Grown], Awaitable[float]]
    number: int | None = None
    seconds: float | None = None


IN_PROCESS = (
    Operation("a check, 64 at once", measures.many_checks, number=64 * 60),
    Operation("an address of a batch of 10,000", measures.batch_check, number=10_000),
    Operation("a first page of a contact point's history", measures.history_page, number=200),
    Operation("two pages of 100 events of the log", measures.log_page, number=40),
    Operation("a page of 1,000 selected contact points", measures.selection_page, number=9),
    Operation("an event of a replay", measures.replayed, number=measures.REPLAYED),
    Operation("an event of a rebuild of current consent", measures.rebuilt, number=SIZE),
    Operation("an append, 256 callers, new contact points", measures.appends_256, seconds=measures.APPEND_S),
    Operation("an append at a contact point that is there", measures.appends_to_old, number=5_000),
    Operation("a row of an import", measures.imported, number=measures.IMPORT_ROWS),
)
OVER_HTTP: tuple[tuple[str, Callable[[Served], Awaitable[float]], int | None], ...] = (
    ("a check over HTTP, 16 connections", Served.checks, None),
    ("an address of a batch over HTTP", Served.batches, None),
    ("a record over HTTP, 64 connections", Served.records, None),
    ("an event of `events.ndjson`", Served.fed, FED),
    ("an event of a subscription", Served.subscribed, SUBSCRIBED),
)


async def run(data_dir: Path) -> None:
    """Measure, and print a row for each operation."""
    await make(data_dir, [SIZE])
    directory = directory_of(data_dir, SIZE)
    print("| processor time of | all, µs | Python | database | of Python |\n|---|---|---|---|---|", flush=True)
    async with contextlib.AsyncExitStack() as stack:
        grown = await opened(stack, directory, SIZE)
        for one in IN_PROCESS:
            await one.ask(grown)
            here, there = time.process_time(), database_s(directory)
            figure = await one.ask(grown)
            here, there = time.process_time() - here, database_s(directory) - there
            number = one.number or figure * (one.seconds or 1)
            print(_row(one.what, here / number, there / number, await _shared_out(one, grown)), flush=True)
        # The server would follow what was recorded above, and that would count as what it is asked.
        await catch_up(grown.tenant)
        port = free_port()
        server = stack.enter_context(consentry(directory, port))
        served = Served(grown, port, (directory / KEY_FILE).read_text(encoding="ascii"))
        for what, ask, count in OVER_HTTP:
            await ask(served)
            here, there = process_s(server.pid), database_s(directory)
            figure = await ask(served)
            here, there = process_s(server.pid) - here, database_s(directory) - there
            number = count or figure * SECONDS
            print(_row(what, here / number, there / number, ""), flush=True)


def _row(what: str, here_s: float, there_s: float, shares: str) -> str:
    here, there = here_s * 1e6, there_s * 1e6
    form = ",.1f" if here + there < 100 else ",.0f"
    return f"| {what} | {here + there:{form}} | {here:{form}} | {there:{form}} | {shares} |"


async def _shared_out(one: Operation, grown: measures.Grown) -> str:
    profile = cProfile.Profile()
    profile.enable()
    try:
        await one.ask(grown)
    finally:
        profile.disable()
    spent: dict[str, float] = defaultdict(float)
    for function, (_, _, own_s, _, callers) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        if function[0] == "~" and callers:
            for caller, (_, _, of_caller_s, _) in callers.items():
                spent[_owner(caller[0])] += of_caller_s
        elif "select.epoll" not in function[2]:
            spent[_owner(function[0])] += own_s
    spent.pop("", None)
    everything = sum(spent.values()) or 1
    largest = sorted(spent.items(), key=lambda item: -item[1])[:6]
    return ", ".join(f"{name} {share / everything:.0%}" for name, share in largest if share / everything >= 0.03)


def _owner(file: str) -> str:
    """The folder of ours, or the library, that a file is of; nothing for waiting."""
    if file.endswith("selectors.py") or file == "~":
        return ""
    path = Path(file)
    if path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / ".venv"):
        folder = path.relative_to(ROOT).parts[0]
        return folder if folder in _FOLDERS else "the benchmark"
    return next((name for name in _LIBRARIES if name in path.parts or path.stem == name), "other")


def process_s(pid: int) -> float:
    """Processor time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def database_s(directory: Path) -> float:
    """Processor time of the embedded server's processes so far, the ones that have ended included."""
    postmaster = int((directory / "postgres" / "postmaster.pid").read_text().split()[0])
    fields = Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()
    spent = sum(int(fields[at]) for at in (11, 12, 13, 14)) / _TICKS
    for child in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split():
        with contextlib.suppress(OSError):
            spent += process_s(int(child))
    return spent


def main() -> None:
    """Make a log of 100,000 events, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "data_dir", nargs="?", type=Path, help="where it is kept; else it is made anew and goes afterwards"
    )
    options = parser.parse_args()
    print(describe())
    if options.data_dir is not None:
        event_loop.run(run(options.data_dir))
        return
    with tempfile.TemporaryDirectory(prefix="consentry-bench-") as folder:
        event_loop.run(run(Path(folder)))


if __name__ == "__main__":
    main()
