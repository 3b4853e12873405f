"""The sum of many opt-outs' clocks, in constant memory: counts, and how long it took until applications knew.

Median and 99th percentile come from buckets that grow by 1 %: they are right to half of that, however many are counted.
"""

import math
from collections import Counter
from typing import Any

from ledger.propagation import Propagation

_GROWTH = math.log(1.01)
_SHORTEST_S = 0.001


class PropagationSummary:
    """Counts what it is shown."""

    def __init__(self) -> None:
        self._opt_outs = 0
        self._overdue = 0
        self._expected_of_nobody = 0
        self._acknowledged = 0
        self._late = 0
        self._unacknowledged = 0
        self._slowest_s: float | None = None
        self._slowest: dict[str, Any] | None = None
        self._buckets: Counter[int] = Counter()

    def add(self, one: Propagation, *, passes: bool = True) -> None:
        """Take account of an opt-out; of one that does not pass the filter, only if nobody is expected to know it.

        Nobody can be late with such a one: no filter lets it pass, and that there are any must be seen all the same.
        """
        self._expected_of_nobody += not any(known.expected for known in one.applications)
        if not passes:
            return
        self._opt_outs += 1
        self._overdue += one.overdue
        for known in one.applications:
            if known.seconds is None:
                self._unacknowledged += 1
                continue
            if not known.expected:
                continue
            self._acknowledged += 1
            self._late += False in known.in_time
            self._buckets[math.ceil(math.log(max(known.seconds, _SHORTEST_S)) / _GROWTH)] += 1
            if self._slowest_s is None or known.seconds > self._slowest_s:
                self._slowest_s = known.seconds
                self._slowest = {"application": known.application, "position": one.event.position}

    def _percentile(self, share: float) -> float | None:
        rank = math.ceil(share * self._acknowledged)
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                # The middle of the bucket, which may lie beyond all that is in it.
                middle = math.exp((bucket - 0.5) * _GROWTH)
                return round(middle if self._slowest_s is None else min(middle, self._slowest_s), 3)
        return None

    def to_json(self) -> dict[str, Any]:
        """The sum. Acknowledgements are counted of who was expected to know; `expectedOfNobody` before a filter."""
        return {
            "optOuts": self._opt_outs,
            "overdue": self._overdue,
            "expectedOfNobody": self._expected_of_nobody,
            "acknowledged": self._acknowledged,
            "late": self._late,
            "notAcknowledged": self._unacknowledged,
            "slowestSeconds": None if self._slowest_s is None else round(self._slowest_s, 3),
            "slowest": self._slowest,
            "medianSeconds": self._percentile(0.5),
            "p99Seconds": self._percentile(0.99),
        }
