"""Progress of long work, on standard error: one line that moves on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType

_TERMINAL_S = 0.2
_PLAIN_S = 10.0


class Progress:
    """Shows how far one is, not too often."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._terminal = sys.stderr.isatty()
        self._started = time.monotonic()
        self._shown = self._started
        self._line = ""

    def __enter__(self) -> "Progress":
        return self

    def show(self, done: int, detail: str) -> None:
        """Say that `done` are through."""
        now = time.monotonic()
        rate = done / max(now - self._started, 1e-9)
        self._line = f"{done} {self._what} ({detail}), {rate:,.0f} a second"
        if now - self._shown >= (_TERMINAL_S if self._terminal else _PLAIN_S):
            self._shown = now
            self._write()

    def _write(self) -> None:
        if self._terminal:
            print(f"\r\x1b[2K{self._line}", end="", file=sys.stderr, flush=True)
        else:
            print(self._line, file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._line:
            self._write()
            if self._terminal:
                print(file=sys.stderr)
