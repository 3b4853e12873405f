"""Where contact points stood at other times: the two times of a question, and the fold of a contact point's own events."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.bounces import Bounce, ends_bounce, is_bounced
from domain.double_opt_in import levels_of, request_of
from domain.events import EventType
from domain.standing import Standing, by_level
from domain.suppression import Level, Suppression, is_persons_opt_in
from eventstore import read
from eventstore.read import Head
from ledger.assembly import Tenant
from projections.inline import consent_record


@dataclass(frozen=True, slots=True)
class Times:
    """The two times of a question, resolved."""

    as_of: datetime
    known_at: datetime


def times_of(tenant: Tenant, head: Head, as_of: datetime | None, known_at: datetime | None) -> tuple[Times, datetime]:
    """The times meant, and now. Now is never before what the log holds, or a clock behind another would lose opt-outs.

    A time to come is taken as it is: by what is known now, as of then.
    """
    now = max(tenant.ledger.clock(), head.recorded_at)
    known = now if known_at is None else known_at
    return Times(known if as_of is None else as_of, known), now


def standing_then(
    events: Sequence[read.StoredEntry],
    times: Times,
    purposes: set[str],
    suppressions: Iterable[Suppression],
    *,
    erasing: bool,
) -> Standing:
    """Where a contact point stood at `times`, folded from its events; what suppresses its address is known now."""
    known = [event.entry for event in events if event.entry.recorded_at <= times.known_at]
    made = [(entry, record) for entry in known if (record := consent_record(entry)) is not None]
    opt_ins: dict[Level, datetime] = {}
    for entry, record in made:
        if is_persons_opt_in(entry.actor, record.value) and record.effective_at <= times.as_of:
            level = record.purpose, record.topic
            opt_ins[level] = max(opt_ins.get(level, record.effective_at), record.effective_at)
    requests = {
        level: request_of(entry.data, entry.recorded_at, entry.position)
        for entry in known
        if entry.type == EventType.DOUBLE_OPT_IN_REQUESTED and entry.recorded_at <= times.as_of
        for level in levels_of(entry.data)
    }
    return Standing(
        by_level(
            (record for _, record in made if record.purpose in purposes), as_of=times.as_of, known_at=times.known_at
        ),
        erasing or any(entry.type == EventType.CONTACT_POINT_ERASURE_REQUESTED for entry in known),
        tuple(suppressions),
        opt_ins,
        requests,
        is_bounced(
            [
                entry.recorded_at
                for entry in known
                if entry.type == EventType.CONTACT_POINT_BOUNCED
                and entry.data["bounce"] == Bounce.HARD
                and entry.recorded_at <= times.as_of
            ],
            [
                record.effective_at
                for entry, record in made
                if record.effective_at <= times.as_of and ends_bounce(entry.actor, entry.data["source"], record.value)
            ],
        ),
    )
