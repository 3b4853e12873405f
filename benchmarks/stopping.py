"""SIGTERM and Ctrl-C end a benchmark as an error would: its servers, databases and folders go first."""

import signal
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def end_cleanly() -> None:
    """From now on the first of these signals raises SystemExit wherever the program is; further ones change nothing.

    Exits with 128 and the signal's number, as shells have it.
    """
    for number in _SIGNALS:
        signal.signal(number, _end)


def _end(number: int, _: FrameType | None) -> None:
    for one in _SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    raise SystemExit(128 + number)
