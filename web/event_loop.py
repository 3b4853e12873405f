"""The event loop of a serving process: uvloop's where it is installed, which halves the cost of a socket's turn."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

try:
    from uvloop import new_event_loop
except ImportError:  # no wheels for this platform
    new_event_loop = None

Result = TypeVar("Result")


def run(serving: Coroutine[Any, Any, Result]) -> Result:
    """Run `serving` to its end on a loop of its own; raises what it raises."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(serving)
