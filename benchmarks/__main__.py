"""`make bench`: every promise that there is something to measure of by now, on a new data directory of its own."""

import asyncio
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
    webhooks,
)
from benchmarks.figures import Figures
from benchmarks.machine import describe


def main() -> None:
    """Run everything, one after the other, and print the table."""
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
        asyncio.run(appends.run(data_dir, figures))
        asyncio.run(webhooks.run(data_dir, figures))
        following.run(data_dir, figures)
        asyncio.run(selecting.run(data_dir, figures))
    print(f"\n{describe()}\n\n{figures.table()}")


if __name__ == "__main__":
    main()
