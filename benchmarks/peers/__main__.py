"""`python -m benchmarks.peers`: the promises that are ratios to peers, alone, on a new data directory."""

import asyncio
import tempfile
from pathlib import Path

from benchmarks import appends, importing, over_http
from benchmarks.figures import Figures
from benchmarks.machine import describe


def main() -> None:
    """Import some consent, compare, and print the table."""
    figures = Figures()
    print(describe(), flush=True)
    with tempfile.TemporaryDirectory(prefix="consentry-bench-") as folder:
        data_dir = Path(folder)
        key, addresses = asyncio.run(importing.run(data_dir, figures))
        over_http.run(data_dir, key, list(dict.fromkeys(addresses)), figures)
        asyncio.run(appends.run(data_dir, figures))
    print(f"\n{describe()}\n\n{figures.table()}")


if __name__ == "__main__":
    main()
