"""Double opt-in: when a profile asks for a confirmation, and until when a decision says that one is awaited.

    no request --requested--> awaiting --confirmed, or any later choice, or 28 days--> no request

A confirmed opt-in counts from when it was requested: that is when the person chose. So whatever they chose after that, an
opt-out above all, counts before it, and confirming late or twice changes nothing (rule 7 of The decision).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from domain.catalogue import DoubleOptInMode
from domain.consent import ConsentRecord
from domain.suppression import Level

CONFIRMATION_VALID = timedelta(days=28)


class Request(NamedTuple):
    """A request at one level that a confirmation may follow; of several the latest counts."""

    requested_at: datetime
    position: int
    expires_at: datetime


def asks_for_confirmation(mode: DoubleOptInMode, *, opted_in: bool) -> bool:
    """Whether a submission has to be confirmed; `opted_in` is whether a record of that profile says so and counts now.

    Any other record makes nobody known: a reset is none, an expired one is none, and an opted-out person's address may be
    typed in by a stranger.
    """
    if mode is DoubleOptInMode.NEW_CONTACT_POINTS:
        return not opted_in
    return mode is DoubleOptInMode.EVERY_SUBMISSION


def is_awaited(request: Request | None, record: ConsentRecord | None, as_of: datetime) -> bool:
    """Whether a confirmation is awaited at `as_of`: until it comes, or the person chooses anew, or the link expires."""
    if request is None or not request.requested_at <= as_of < request.expires_at:
        return False
    return record is None or record.effective_at < request.requested_at


def levels_of(data: Mapping[str, Any]) -> list[Level]:
    """The purpose and the topics that a request is about."""
    return [(data["purpose"], None), *((data["purpose"], topic) for topic in data.get("topics", ()))]


def request_of(data: Mapping[str, Any], recorded_at: datetime, position: int) -> Request:
    """The request that an event's data makes."""
    return Request(recorded_at, position, datetime.fromisoformat(data["expiresAt"]))
