"""Bounces: a message that can never be delivered suppresses everything at its contact point ("Erasure and suppression").

It ends, for everything at once, with an OPTED_IN that is effective later and comes from the person or from an operator: both
know that the address lives. Messages that could only not be delivered yet are counted, and suppress nothing.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from domain.consent import ActorKind, ConsentSource, ConsentValue


class Bounce(StrEnum):
    """Whether a message could never, or only not yet, be delivered."""

    HARD = "HARD"
    SOFT = "SOFT"


class Bounced(NamedTuple):
    """The latest hard bounce at a contact point, and when it ended, if it did."""

    bounced_at: datetime
    position: int
    ended_at: datetime | None = None

    def after_opt_in(self, effective_at: datetime) -> "Bounced":
        """This bounce after an opt-in that can end one; the latest of them is kept."""
        if effective_at <= self.bounced_at:
            return self
        return self._replace(ended_at=max(self.ended_at or effective_at, effective_at))


def ends_bounce(actor: str, source: str, value: str) -> bool:
    """Whether a capture can end a hard bounce's suppression."""
    return value == ConsentValue.OPTED_IN and (actor == ActorKind.RECIPIENT or source == ConsentSource.OPERATOR)


def is_bounced(hard_bounces: Iterable[datetime], opt_ins: Iterable[datetime]) -> bool:
    """Whether everything is suppressed, by when messages bounced for good and from when what can end that counts."""
    latest = max(hard_bounces, default=None)
    return latest is not None and all(effective_at <= latest for effective_at in opt_ins)
