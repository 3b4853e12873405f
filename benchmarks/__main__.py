"""`make bench`: every promise that there is something to measure of by now, on a new data directory of its own.

`python -m benchmarks --short` measures ratios alone, and exits with 1 where one has fallen behind what is kept.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks import (
    appends,
    following,
    importing,
    over_http,
    proving,
    reading_far,
    rebuilding,
    replaying,
    selecting,
    short,
    webhooks,
    writers,
)
from benchmarks.figures import Figures
from benchmarks.machine import describe
from benchmarks.stopping import end_cleanly
from web import event_loop


def main() -> None:
    """Run everything, one after the other, and print the table; or what is asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="ratios alone, held against those that are kept")
    parser.add_argument("--keep", action="store_true", help="with --short: keep what is measured")
    options = parser.parse_args()
    end_cleanly()
    if options.short:
        print(describe(), flush=True)
        sys.exit(0 if short.run(keep=options.keep) else 1)
    figures = Figures()
    print(describe(), flush=True)
    with tempfile.TemporaryDirectory(prefix="consentry-bench-") as folder:
        data_dir = Path(folder)
        key, addresses = asyncio.run(importing.run(data_dir, figures))
        asyncio.run(replaying.run(data_dir, figures))
        asyncio.run(rebuilding.run(data_dir, figures))
        asyncio.run(proving.run(data_dir, list(dict.fromkeys(addresses)), figures))
        reading_far.run(data_dir, "bench", key, figures)
        over_http.run(data_dir, key, list(dict.fromkeys(addresses)), figures)
        appends.run(figures)
        event_loop.run(writers.run(data_dir, figures))
        event_loop.run(webhooks.run(data_dir, figures))
        following.run(data_dir, figures)
        event_loop.run(selecting.run(data_dir, figures))
    print(f"\n{describe()}\n\n{figures.table()}")


if __name__ == "__main__":
    main()
