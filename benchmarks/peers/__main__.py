"""`python -m benchmarks.peers`: the promises that are ratios to peers, alone, on a new data directory."""

import argparse
import asyncio
import tempfile
from pathlib import Path

from benchmarks import appends, importing, over_http
from benchmarks.figures import Figures
from benchmarks.machine import describe
from benchmarks.stopping import end_cleanly

_ABOUT = """The promises that are ratios to peers, alone: checks and records over HTTP against a bare route, Strawberry's view and
c15t, appends against eventsourcing and message-db. On a new data directory, which is gone afterwards, with every server that
it starts. Peers that are not installed are said to be, and left out. Takes some minutes, and a machine that does nothing else."""


def main() -> None:
    """Import some consent, compare, and print the table."""
    argparse.ArgumentParser(prog="python -m benchmarks.peers", description=_ABOUT).parse_args()
    end_cleanly()
    figures = Figures()
    print(describe(), flush=True)
    with tempfile.TemporaryDirectory(prefix="consentry-bench-") as folder:
        data_dir = Path(folder)
        key, addresses = asyncio.run(importing.run(data_dir, figures))
        over_http.run(data_dir, key, list(dict.fromkeys(addresses)), figures)
        appends.run(figures)
    print(f"\n{describe()}\n\n{figures.table()}")


if __name__ == "__main__":
    main()
