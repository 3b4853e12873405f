"""How often one link, or one address, may ask for something: a flood from there is slowed down, and no opt-out ever is.

Whoever asks here lets an opt-out pass all the same. Only one that was recorded there a moment ago is not recorded again, so that
a flood of them does not fill the log.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta

from domain.catalogue import Catalogue, ComplianceProfile, Purpose, Topic
from domain.consent import ConsentValue
from domain.double_opt_in import is_awaited
from domain.standing import Standing, counting_record

TIMES = 60
SECONDS = 60.0
_KEYS_MAX = 10_000
_MOMENT = timedelta(minutes=1)


class TooOften(Exception):
    """This was asked for too often from there; in so many seconds it may be again."""

    def __init__(self, seconds: float) -> None:
        super().__init__("too often in a short time from one link or address; nothing was recorded")
        self.seconds = seconds


class FloodLimit:
    """A bucket for each key, filled anew all the time; of the keys that asked longest ago nothing is kept."""

    def __init__(
        self, *, times: int = TIMES, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._full = float(times)
        self._per_second = times / seconds
        self._clock = clock
        self._buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def seconds_to_wait(self, key: str) -> float:
        """0 where it may be, which is then counted; else in how many seconds it may."""
        # The key itself is not kept: whoever reads this memory should not find links.
        digest = hashlib.sha256(key.encode("utf-8", "replace")).digest()
        now = self._clock()
        left, since = self._buckets.pop(digest, (self._full, now))
        left = min(self._full, left + (now - since) * self._per_second)
        passes = left >= 1.0
        self._buckets[digest] = (left - 1.0 if passes else left, now)
        if len(self._buckets) > _KEYS_MAX:
            self._buckets.popitem(last=False)
        return 0.0 if passes else (1.0 - left) / self._per_second


def opted_out_a_moment_ago(
    catalogue: Catalogue,
    profile: ComplianceProfile,
    purpose: Purpose,
    topic: Topic | None,
    standing: Standing,
    effective_at: datetime,
) -> bool:
    """Whether an opt-out effective now would say what one of the last minute says, which nothing awaited can overrule."""
    record = counting_record(catalogue, profile.unit, purpose, topic, standing.records)
    if record is None or record.value is not ConsentValue.OPTED_OUT:
        return False
    request = standing.requests.get((purpose.key, None if topic is None else topic.key))
    return record.effective_at >= effective_at - _MOMENT and not is_awaited(request, record, effective_at)
