"""Clocks of an opt-out: by when everybody has to have stopped, after which law or mailbox provider.

A clock starts when the person chose: of the two instants that the ledger holds, the earlier. Where it is not known which limits
apply, all that may do. Facts with their sources, not legal advice (docs/clocks.md).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domain.addresses import Channel
from domain.presets import PresetKey


class OptOutLimit(StrEnum):
    """Who sets a limit."""

    CAN_SPAM = "CAN_SPAM"
    TCPA = "TCPA"
    CASL = "CASL"
    CCPA = "CCPA"
    GDPR = "GDPR"
    GMAIL = "GMAIL"
    YAHOO = "YAHOO"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How long one may go on. `hours` or `business_days`; `of_provider`: of a mailbox provider, whatever the law."""

    key: OptOutLimit
    name: str
    rule: str
    hours: int | None = None
    business_days: int | None = None
    channels: frozenset[Channel]
    of_provider: bool = False
    source: str

    @property
    def allowed(self) -> str:
        """The time, in words."""
        return f"{self.hours} hours" if self.business_days is None else f"{self.business_days} business days"

    def due_at(self, start: datetime) -> datetime:
        """The last instant that is in time."""
        if self.business_days is None:
            return start + timedelta(hours=self.hours or 0)
        return start + min(_elapsed(start + timedelta(hours=hours), self.business_days) for hours in _EVERYWHERE)


# The local dates that one instant has on earth: with these offsets from UTC, in hours, each of them is met.
_EVERYWHERE = (-12, 0, 14)
_SATURDAY = 5


def _elapsed(local: datetime, business_days: int) -> timedelta:
    """From an instant until the same time of the day that is so many weekdays later."""
    day, left = local, business_days
    while left:
        day += timedelta(days=1)
        left -= day.weekday() < _SATURDAY
    return day - local


_ANY = frozenset(Channel)
_EMAIL = frozenset((Channel.EMAIL,))

LIMITS: Mapping[OptOutLimit, Limit] = {
    limit.key: limit
    for limit in (
        Limit(
            key=OptOutLimit.CAN_SPAM,
            name="CAN-SPAM (United States, e-mail)",
            rule="Honoured within 10 business days; opted-out addresses are not handed on.",
            business_days=10,
            channels=_EMAIL,
            source="16 CFR 316.5; 15 USC 7704(a)(4)",
        ),
        Limit(
            key=OptOutLimit.TCPA,
            name="TCPA (United States, texts and calls)",
            rule="Honoured within a reasonable time, 10 business days at most.",
            business_days=10,
            channels=frozenset((Channel.SMS, Channel.VOICE)),
            source="47 CFR 64.1200(a)(10)",
        ),
        Limit(
            key=OptOutLimit.CASL,
            name="CASL (Canada)",
            rule="Given effect within 10 business days.",
            business_days=10,
            channels=_ANY,
            source="CRTC, crtc.gc.ca/eng/com500/guide.htm",
        ),
        Limit(
            key=OptOutLimit.CCPA,
            name="CCPA (California)",
            rule="Honoured within 15 business days.",
            business_days=15,
            channels=_ANY,
            source="11 CCR 7026 (the days: a secondary source)",
        ),
        Limit(
            key=OptOutLimit.GDPR,
            name="GDPR (European Union)",
            rule="Without delay, and as easy as giving consent. The law names no number: the shortest of this table stands for it"
            " here, as the latest.",
            hours=48,
            channels=_ANY,
            source="GDPR art. 7(3), gdpr-info.eu/art-7-gdpr",
        ),
        Limit(
            key=OptOutLimit.GMAIL,
            name="Gmail (bulk senders)",
            rule="Honoured within 48 hours.",
            hours=48,
            channels=_EMAIL,
            of_provider=True,
            source="Google's sender guidelines, support.google.com/mail/answer/14229414",
        ),
        Limit(
            key=OptOutLimit.YAHOO,
            name="Yahoo (bulk senders)",
            rule="Honoured within 2 days: 48 hours.",
            hours=48,
            channels=_EMAIL,
            of_provider=True,
            source="Yahoo Sender Hub, senders.yahooinc.com/best-practices",
        ),
    )
}
_LAWS = frozenset(limit.key for limit in LIMITS.values() if not limit.of_provider)

_OF_PRESET: Mapping[str, OptOutLimit] = {
    PresetKey.GDPR: OptOutLimit.GDPR,
    PresetKey.CAN_SPAM: OptOutLimit.CAN_SPAM,
    PresetKey.CASL: OptOutLimit.CASL,
    PresetKey.CCPA: OptOutLimit.CCPA,
    PresetKey.TCPA: OptOutLimit.TCPA,
}
_US = frozenset((OptOutLimit.CAN_SPAM, OptOutLimit.TCPA))
_US_OF_ANY_STATE = _US | {OptOutLimit.CCPA}
_CANADA = frozenset((OptOutLimit.CASL,))
_EUROPE = frozenset((OptOutLimit.GDPR,))
# The European Economic Area, and the United Kingdom, whose law says the same.
_EUROPEAN = frozenset(
    (
        *("EU", "EEA", "AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "EL", "HU", "IE"),
        *("IT", "LV", "LT", "LU", "MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE", "IS", "LI", "NO", "GB"),
    )
)
_NAMED: Mapping[str, frozenset[OptOutLimit]] = {
    "US": _US_OF_ANY_STATE,
    "USA": _US_OF_ANY_STATE,
    "UNITED STATES": _US_OF_ANY_STATE,
    "US-CA": _US_OF_ANY_STATE,
    "CALIFORNIA": _US_OF_ANY_STATE,
    "CANADA": _CANADA,
    # Canada by its code, or California by its own.
    "CA": _CANADA | _US_OF_ANY_STATE,
    **{str(law): frozenset((law,)) for law in _LAWS},
    "CAN-SPAM": frozenset((OptOutLimit.CAN_SPAM,)),
}


def laws_of(jurisdiction: str) -> frozenset[OptOutLimit] | None:
    """The laws that a jurisdiction, as a capture names it, stands for; None where it is not known here."""
    text = jurisdiction.strip().upper()
    if text in _NAMED:
        return _NAMED[text]
    country, _, region = text.replace("_", "-").partition("-")
    if country in _EUROPEAN:
        return _EUROPE
    if region and country in ("US", "CA"):
        return _NAMED["US-CA"] if (country, region) == ("US", "CA") else (_US if country == "US" else _CANADA)
    return None


def limits_of(channel: Channel, jurisdiction: str | None, presets: Iterable[str]) -> list[Limit]:
    """The limits of an opt-out: of its jurisdiction and of its profiles' presets together, and of mailbox providers.

    Where these name no law, or one that is not known, or none that is about this channel: every law that may apply.
    """
    named = frozenset(_OF_PRESET[preset] for preset in presets if preset in _OF_PRESET)
    if jurisdiction is not None:
        known = laws_of(jurisdiction)
        named = _LAWS if known is None else named | known
    if not any(channel in LIMITS[law].channels for law in named):
        named = _LAWS
    return [
        limit for limit in LIMITS.values() if channel in limit.channels and (limit.of_provider or limit.key in named)
    ]


def clock_start(effective_at: datetime, recorded_at: datetime) -> datetime:
    """From when the time counts: when the person chose, even where the ledger heard of it later."""
    return min(effective_at, recorded_at)


def as_markdown() -> str:
    """The table of limits, to read."""
    lines = ["| limit | whose | channels | time | rule | source |", "|---|---|---|---|---|---|"]
    for limit in LIMITS.values():
        channels = "every" if limit.channels == _ANY else ", ".join(one for one in Channel if one in limit.channels)
        lines.append(f"| {limit.key} | {limit.name} | {channels} | {limit.allowed} | {limit.rule} | {limit.source} |")
    return "\n".join(lines) + "\n"
