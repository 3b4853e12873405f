"""A log as it is served: its checkpoint and its tiles (C2SP tlog-tiles), from wherever `fetch` gets them."""

from collections.abc import Callable

from tlog.tile_reader import LogMismatch, TileReader
from verifier.checkpoint import Trust, open_trusted
from verifier.log_export import Progress, say_what_was_replayed
from verifier.replay import Replay, Replayer, Wanted
from verifier.report import Findings, NotProven

Fetch = Callable[[str], bytes]
"""Gets the bytes at a path below the log's prefix; raises Unusable where it cannot."""


def verify_tile_log(
    fetch: Fetch, trust: Trust, findings: Findings, *, wanted: Wanted | None = None, progress: Progress | None = None
) -> Replay:
    """Return what is wanted of the log if all of it is proven by these keys.

    Raises NotProven for the first thing that is wrong, Unusable, and what `fetch` raises.
    """
    checkpoint = open_trusted(fetch("checkpoint"), trust, findings)
    replayer = Replayer(wanted or Wanted())
    try:
        for raw in TileReader(fetch, checkpoint).verified_entries(progress=progress):
            replayer.take(raw)
    except LogMismatch as error:
        raise NotProven(str(error)) from None
    replay = replayer.finish(checkpoint)
    say_what_was_replayed(replayer, findings)
    return replay
