"""What still blocks an address whose contact point was erased ("Erasure and suppression" in SEMANTICS.md).

A suppression covers levels: every COMMERCIAL purpose, of today and later; tracking; and whatever else was opted out. Where a
message had bounced for good it covers everything, as the bounce did. At each
level it ends for itself, with an OPTED_IN that is effective after the erasure and comes from the person. A purpose's end
does not end what a topic of it was opted out of.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from domain.catalogue import Purpose, PurposeType
from domain.consent import ActorKind, ConsentValue
from domain.refusals import Refusal
from domain.text import clean_key

Level = tuple[str, str | None]
"""A purpose, or a topic of it, by their keys."""


# Two keys of 64 characters each, 300 times, leave room enough in an entry.
LEVELS_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """One suppression of an address, as the certificate of an erasure left it; `since` is when the erasure was recorded, here
    or in the tenant that it was brought from.
    """

    since: datetime
    commercial: bool
    tracking: bool
    levels: frozenset[Level]
    everything: bool = False

    def covers(self, purpose: Purpose, topic: str | None) -> bool:
        """Whether it says something of this level."""
        if self.everything or (purpose.key, topic) in self.levels:
            return True
        if topic is not None:
            return False
        return (self.commercial and purpose.type is PurposeType.COMMERCIAL) or (
            self.tracking and purpose.type is PurposeType.TRACKING
        )

    def to_data(self) -> dict[str, Any]:
        """Its form in the certificate; `since` is the certificate's recordedAt."""
        everything = {"everything": True} if self.everything else {}
        return everything | {
            "commercial": self.commercial,
            "tracking": self.tracking,
            "levels": [
                {"purpose": purpose} if topic is None else {"purpose": purpose, "topic": topic}
                for purpose, topic in sorted(self.levels, key=lambda level: (level[0], level[1] or ""))
            ],
        }

    @staticmethod
    def from_data(data: Mapping[str, Any], since: datetime) -> "Suppression":
        """What a certificate says."""
        return Suppression(
            since=since,
            commercial=data["commercial"],
            tracking=data["tracking"],
            levels=frozenset((level["purpose"], level.get("topic")) for level in data["levels"]),
            everything=data.get("everything", False),
        )


def left_by_erasure(opted_out: Iterable[Level], since: datetime, *, bounced: bool = False) -> Suppression:
    """What an erasure leaves unless asked otherwise, `opted_out` being the levels whose current record is OPTED_OUT.

    It is everything there is where a hard bounce blocked that (`bounced`), which would be forgotten with its contact point; and
    where there are more levels than a certificate can hold: in doubt it is blocked.
    """
    levels = frozenset(opted_out)
    if bounced or len(levels) > LEVELS_MAX:
        return everything(since)
    return Suppression(since=since, commercial=True, tracking=True, levels=levels)


def everything(since: datetime) -> Suppression:
    """What covers whatever there is, today and later."""
    return Suppression(since=since, commercial=True, tracking=True, levels=frozenset(), everything=True)


def brought(covers: object, since: datetime) -> Suppression:
    """What a file says that a suppression covers. What cannot be read, or would cover nothing, covers everything: in doubt it is
    blocked.
    """
    try:
        members = cast(Mapping[str, Any], covers)
        commercial, tracking = members["commercial"], members["tracking"]
        is_everything = members.get("everything", False)
        listed = members["levels"]
        levels = frozenset(
            (
                clean_key(level["purpose"], field="purpose"),
                None if level.get("topic") is None else clean_key(level["topic"], field="topic"),
            )
            for level in listed
        )
    except (AttributeError, KeyError, TypeError, Refusal):
        return everything(since)
    readable = isinstance(listed, list) and all(
        isinstance(flag, bool) for flag in (commercial, tracking, is_everything)
    )
    if not readable or is_everything or len(levels) > LEVELS_MAX or not (commercial or tracking or levels):
        return everything(since)
    return Suppression(since=since, commercial=commercial, tracking=tracking, levels=levels)


def is_persons_opt_in(actor: str, value: str) -> bool:
    """Whether a capture can end a suppression: an OPTED_IN that comes from the person."""
    return actor == ActorKind.RECIPIENT and value == ConsentValue.OPTED_IN


def is_suppressed(
    suppressions: Iterable[Suppression], opt_ins: Mapping[Level, datetime], purpose: Purpose, topic: str | None
) -> bool:
    """Whether a level is blocked; `opt_ins` has for each level the latest effectiveAt of the person's own opt-ins there."""
    opted_in = opt_ins.get((purpose.key, topic))
    return any(
        suppression.covers(purpose, topic) and (opted_in is None or opted_in <= suppression.since)
        for suppression in suppressions
    )
