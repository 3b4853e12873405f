"""The rules of SEMANTICS.md once more, slow and obvious, sharing nothing with `domain/`."""

from dataclasses import dataclass, field
from datetime import datetime

BLOCKED_BY = {"RESTRICTIVE": {"OPTED_OUT", "NOT_SET"}, "NON_RESTRICTIVE": {"OPTED_OUT"}, "DISABLED": set()}
MOST_RESTRICTIVE_LAST = ["OPTED_IN", "NOT_SET", "OPTED_OUT"]
PURPOSES = {"commercial": "NON_RESTRICTIVE", "transactional": "DISABLED", "tracking": "NON_RESTRICTIVE"}
TOPICS = {"news": "commercial", "deals": "commercial", "bills": "transactional"}


@dataclass
class Record:
    address: str
    purpose: str
    topic: str | None
    value: str
    effective_at: datetime
    recorded_at: datetime
    valid_until: datetime | None
    actor: str = "SYSTEM"


@dataclass
class Suppression:
    address: str
    since: datetime
    levels: list[tuple[str, str | None]]


@dataclass
class Model:
    """A history, and what is to be answered from it."""

    records: list[Record] = field(default_factory=list)
    suppressions: list[Suppression] = field(default_factory=list)
    enforcement: list[tuple[datetime, str, str]] = field(default_factory=list)

    def enforced(self, purpose: str, known_at: datetime) -> str:
        model = PURPOSES[purpose]
        for recorded_at, changed, to in self.enforcement:
            if changed == purpose and recorded_at <= known_at:
                model = to
        return model

    def counting(
        self, address: str, purpose: str, topic: str | None, as_of: datetime, known_at: datetime
    ) -> Record | None:
        candidates = [
            (record.effective_at, MOST_RESTRICTIVE_LAST.index(record.value), position, record)
            for position, record in enumerate(self.records)
            if (record.address, record.purpose, record.topic) == (address, purpose, topic)
            and record.effective_at <= as_of
            and record.recorded_at <= known_at
        ]
        return max(candidates, key=lambda candidate: candidate[:3])[3] if candidates else None

    def erase(self, address: str, now: datetime, *, keep: bool) -> None:
        levels: list[tuple[str, str | None]] = [("commercial", None), ("tracking", None)]
        for record in self.records:
            counting = self.counting(address, record.purpose, record.topic, now, now)
            if counting is not None and counting.value == "OPTED_OUT":
                levels.append((record.purpose, record.topic))
        self.records = [record for record in self.records if record.address != address]
        if keep:
            self.suppressions.append(Suppression(address, now, levels))

    def suppressed(self, address: str, purpose: str, topic: str | None, as_of: datetime, known_at: datetime) -> bool:
        def ended(suppression: Suppression) -> bool:
            return any(
                record.value == "OPTED_IN"
                and record.actor == "RECIPIENT"
                and (record.address, record.purpose, record.topic) == (address, purpose, topic)
                and suppression.since < record.effective_at <= as_of
                and record.recorded_at <= known_at
                for record in self.records
            )

        return any(
            suppression.address == address and (purpose, topic) in suppression.levels and not ended(suppression)
            for suppression in self.suppressions
        )

    def tracked(self, address: str, as_of: datetime, known_at: datetime) -> bool:
        if self.suppressed(address, "tracking", None, as_of, known_at):
            return False
        return self.level(address, "tracking", None, as_of, known_at)[0]

    def level(
        self, address: str, purpose: str, topic: str | None, as_of: datetime, known_at: datetime
    ) -> tuple[bool, list[str], str]:
        """(passes, reason codes, value as recorded)."""
        model = self.enforced(purpose, known_at)
        record = self.counting(address, purpose, topic, as_of, known_at)
        value = record.value if record else "NOT_SET"
        if model == "DISABLED":
            return True, ["ENFORCEMENT_DISABLED"], value
        expired = record is not None and record.valid_until is not None and record.valid_until <= as_of
        counted = "NOT_SET" if expired else value
        passes = counted not in BLOCKED_BY[model]
        if counted == "NOT_SET":
            codes = ["NOT_SET_ALLOWED" if passes else "NOT_SET_BLOCKED"]
            return passes, (["CONSENT_EXPIRED", *codes] if expired else codes), value
        return passes, [counted], value

    def check(
        self, address: str, purpose: str, topic: str | None, as_of: datetime, known_at: datetime
    ) -> tuple[bool, list[str]]:
        if self.suppressed(address, purpose, None, as_of, known_at):
            return False, ["SUPPRESSED"]
        if topic is not None and self.suppressed(address, purpose, topic, as_of, known_at):
            return False, ["SUPPRESSED"]
        passes, codes, _ = self.level(address, purpose, None, as_of, known_at)
        if topic is None:
            return passes, codes
        if not passes:
            return False, [*codes, "PURPOSE_BLOCKS_TOPIC"]
        topic_passes, topic_codes, _ = self.level(address, purpose, topic, as_of, known_at)
        return topic_passes, codes + topic_codes if topic_passes else topic_codes + codes
