"""Bounces: a message that can never be delivered suppresses everything at its contact point ("Erasure and suppression").

It ends, for everything at once, with an OPTED_IN that is effective later and comes from the person or from an operator: both
know that the address lives. Messages that could only not be delivered yet are counted, and suppress nothing.

A failure is hard only where the address is dead. What says that it was the message, the sender, a policy or a full mailbox is
soft, however final its class 5 is: the table goes by the registry of enhanced status codes (RFC 3463, RFC 5248).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from domain.consent import ActorKind, ConsentSource, ConsentValue


class Bounce(StrEnum):
    """Whether a message could never, or only not yet, be delivered."""

    HARD = "HARD"
    SOFT = "SOFT"


# By subject and detail of a code of class 5; the row of a whole subject is for the details that have none of their own.
PERMANENT_FAILURES: Mapping[str, Bounce] = {
    "1.5": Bounce.SOFT,  # the address is valid
    "1.7": Bounce.SOFT,  # the sender's address is malformed
    "1.8": Bounce.SOFT,  # the sender's system is bad
    "1.9": Bounce.SOFT,  # the address is valid, and the message was relayed to what does not speak the protocol
    "2.1": Bounce.HARD,  # the mailbox is disabled
    "2": Bounce.SOFT,  # the mailbox is there: full (2.2), the message too long for it (2.3), a list that fails (2.4)
    "3": Bounce.SOFT,  # the system: full, closed, misconfigured, the message too big (3.4)
    "4.4": Bounce.HARD,  # nowhere to send it: the domain has no host
    "4": Bounce.SOFT,  # the network: no answer, congestion, a loop, too late
    "5": Bounce.SOFT,  # the protocol
    "6": Bounce.SOFT,  # the content
    "7.17": Bounce.HARD,  # the mailbox has another owner by now (RFC 7293)
    "7.18": Bounce.HARD,  # the domain has another owner by now
    "7": Bounce.SOFT,  # policy, authentication, encryption
}


def bounce_of(status: str) -> Bounce:
    """What a message that failed for good with this enhanced status code is; what no row speaks of is hard."""
    failure_class, _, code = status.partition(".")
    if failure_class != "5":
        return Bounce.SOFT
    return PERMANENT_FAILURES.get(code) or PERMANENT_FAILURES.get(code.partition(".")[0], Bounce.HARD)


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
