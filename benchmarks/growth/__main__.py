"""`python -m benchmarks.growth DATA_DIR`: makes logs of 10^5, 10^6 and 10^7 events, measures them in turn, and compares."""

import argparse
from pathlib import Path

from benchmarks.growth.making import make
from benchmarks.growth.measuring import measure
from benchmarks.machine import describe
from benchmarks.rounds import ROUNDS
from web import event_loop

SIZES = (100_000, 1_000_000, 10_000_000)


def main() -> None:
    """Make what is not there, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "data_dir", type=Path, help="where the databases are kept: some 1.3 KB an event, for every size"
    )
    parser.add_argument("--sizes", type=lambda text: [int(one) for one in text.split(",")], default=list(SIZES))
    parser.add_argument("--make", action="store_true", help="make them, and measure nothing")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", help="only what has this in its name")
    parser.add_argument("--no-rebuild", action="store_true", help="leave out rebuilding, which reads the whole log")
    options = parser.parse_args()
    print(describe(), flush=True)
    event_loop.run(make(options.data_dir, options.sizes))
    if not options.make:
        event_loop.run(
            measure(
                options.data_dir,
                options.sizes,
                rounds=options.rounds,
                only=options.only,
                rebuild=not options.no_rebuild,
            )
        )


if __name__ == "__main__":
    main()
