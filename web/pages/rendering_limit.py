"""How many pages one link may ask for: a flood from one link is slowed down, opt-outs never are (they do not ask here)."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

RENDERINGS = 60
SECONDS = 60.0
_LINKS_MAX = 10_000


class RenderingLimit:
    """A bucket for each link, filled anew all the time; of the links that asked longest ago nothing is kept."""

    def __init__(
        self, *, renderings: int = RENDERINGS, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._full = float(renderings)
        self._per_second = renderings / seconds
        self._clock = clock
        self._buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def seconds_to_wait(self, token: str) -> float:
        """0 where a page may be rendered, which is then counted; else in how many seconds one may."""
        # The token itself is not kept: whoever reads this memory should not find links.
        key = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        now = self._clock()
        left, since = self._buckets.pop(key, (self._full, now))
        left = min(self._full, left + (now - since) * self._per_second)
        passes = left >= 1.0
        self._buckets[key] = (left - 1.0 if passes else left, now)
        if len(self._buckets) > _LINKS_MAX:
            self._buckets.popitem(last=False)
        return 0.0 if passes else (1.0 - left) / self._per_second
