"""What the events of a contact point say besides consent: confirmations that were asked for, messages that bounced, and
suppressions that were brought in.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from domain.bounces import Bounce, ends_bounce, is_bounced
from domain.double_opt_in import Request, levels_of, request_of
from domain.events import EventType
from domain.suppression import Level, Suppression, is_persons_opt_in
from tlog.entry import Entry
from verifier.entries import BROKEN_DATA, capture_of
from verifier.report import NotProven


def requests_of(entries: Sequence[Entry], *, as_of: datetime, known_at: datetime) -> dict[Level, Request]:
    """The latest request for a confirmation at each level, of those made by `as_of` and `known_at`. Raises NotProven."""
    requests: dict[Level, Request] = {}
    for entry in _by(entries, EventType.DOUBLE_OPT_IN_REQUESTED, as_of, known_at):
        where = f"position {entry.position}"
        try:
            request = request_of(entry.data, entry.recorded_at, entry.position)
            if request.expires_at.utcoffset() is None:
                raise NotProven(f"{where}: data.expiresAt: has no offset from UTC")
            if not all(isinstance(key, str) for key in (entry.data["purpose"], *entry.data.get("topics", ()))):
                raise NotProven(f"{where}: data: a purpose or topic is not text")
            requests.update(dict.fromkeys(levels_of(entry.data), request))
        except BROKEN_DATA:
            raise NotProven(f"{where}: data: not as a request for a confirmation has it") from None
    return requests


def bounce_of(entries: Sequence[Entry], *, as_of: datetime, known_at: datetime) -> Entry | None:
    """The latest hard bounce, if it suppresses everything at `as_of`, as known at `known_at`. Raises NotProven."""
    try:
        hard = [
            entry
            for entry in _by(entries, EventType.CONTACT_POINT_BOUNCED, as_of, known_at)
            if Bounce(entry.data["bounce"]) is Bounce.HARD
        ]
    except BROKEN_DATA:
        raise NotProven("events: a bounce in the log lacks what it takes") from None
    if not hard:
        return None
    ends = [
        captured.effective_at
        for entry in entries
        if entry.recorded_at <= known_at
        and (captured := capture_of(entry)) is not None
        and captured.effective_at <= as_of
        and ends_bounce(entry.actor, captured.source, captured.value)
    ]
    return hard[-1] if is_bounced((entry.recorded_at for entry in hard), ends) else None


def brought_of(entries: Sequence[Entry]) -> tuple[Suppression, ...]:
    """What erasures left in another tenant and a file brought in, for this address. Raises NotProven.

    Those that an erasure left here are in no contact point's events: a certificate names nobody.
    """
    try:
        found = tuple(
            Suppression.from_data(entry.data["suppression"], datetime.fromisoformat(entry.data["since"]))
            for entry in entries
            if entry.type == EventType.CONTACT_POINT_SUPPRESSED
        )
    except BROKEN_DATA:
        raise NotProven("events: a suppression in the log lacks what it takes") from None
    keys: list[object] = [key for one in found for level in one.levels for key in level if key is not None]
    if not all(isinstance(key, str) for key in keys) or any(one.since.utcoffset() is None for one in found):
        raise NotProven(
            "events: a suppression in the log has a purpose or topic that is not text, or no offset from UTC"
        )
    return found


def persons_opt_ins_of(entries: Sequence[Entry], *, as_of: datetime, known_at: datetime) -> Mapping[Level, datetime]:
    """The latest opt-in at each level that came from the person, which is what ends a suppression. Raises NotProven."""
    latest: dict[Level, datetime] = {}
    for entry in entries:
        captured = capture_of(entry)
        if captured is None or entry.recorded_at > known_at or captured.effective_at > as_of:
            continue
        if is_persons_opt_in(entry.actor, captured.value):
            level = captured.purpose, captured.topic
            latest[level] = max(latest.get(level, captured.effective_at), captured.effective_at)
    return latest


def _by(entries: Sequence[Entry], event_type: EventType, as_of: datetime, known_at: datetime) -> list[Entry]:
    """The events of a type without an effective time of their own: they count from when they were recorded."""
    return [entry for entry in entries if entry.type == event_type and entry.recorded_at <= min(as_of, known_at)]
