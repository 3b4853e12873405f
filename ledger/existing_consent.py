"""The consent that is there, read under the very head that a new event is written on: what must not be turned by it.

Between the reading and the writing nothing can come in: the log would have moved, and the event is decided anew. What a load
or a list meets stands here too: an OPTED_OUT that counts now, in whatever business unit, stays; so does what suppresses the
address (an erasure, a bounce).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.bounces import Bounce
from domain.catalogue import Catalogue, Purpose, Topic
from domain.consent import ConsentRecord, ConsentValue, join, record_that_counts
from domain.events import EventType
from domain.refusals import Refusal, RefusalCode
from domain.standing import NOTHING_KNOWN, Standing
from domain.suppression import Level, Suppression, is_suppressed
from eventstore.command import Circumstances, Command
from eventstore.personal.vault import Connected
from projections import current_consent
from projections.inline import consent_record


class ConsentKept(StrEnum):
    """What stood in the way of what a row says."""

    OPTED_OUT = "OPTED_OUT"
    SUPPRESSED = "SUPPRESSED"
    BOUNCED = "BOUNCED"
    SUPPRESSION_KNOWN = "SUPPRESSION_KNOWN"
    BOUNCE_ENDED = "BOUNCE_ENDED"


@dataclass(slots=True, kw_only=True)
class StandingNow(Circumstances, ABC):
    """Where an address stands at the head that a command is written on, with what the same group records before it."""

    blind_index: bytes = field(repr=False)
    found: UUID | None = None
    standing: Standing = NOTHING_KNOWN

    @abstractmethod
    def levels(self, catalogue: Catalogue) -> Iterable[Level]:
        """The levels that it is asked for. Raises Refusal for what is not in the catalogue: nothing is looked up then."""

    @property
    def contact_point(self) -> UUID | None:
        """The contact point of the address, if it has one."""
        return self.found or next((entry.stream for entry in self.earlier), None)

    @property
    def only_suppressed(self) -> bool:
        """Whether nothing but a suppression is known of the address: it was erased."""
        return self.contact_point is None and bool(self.standing.suppressions)

    def records(self, level: Level) -> dict[str, ConsentRecord]:
        """The current records at a level, by unit."""
        by_unit = dict(self.standing.records.get(level, {}))
        for entry in self.earlier:
            record = consent_record(entry)
            if record is not None and (record.purpose, record.topic) == level:
                winner = join(by_unit.get(record.unit), record)
                if winner is not None:
                    by_unit[record.unit] = winner
        return by_unit

    def counting(self, catalogue: Catalogue, unit: str, purpose: Purpose, topic: Topic | None) -> ConsentRecord | None:
        """The record that counts at a level for a profile of `unit`."""
        level = purpose.key, None if topic is None else topic.key
        return record_that_counts(
            self.records(level), purpose_unit=purpose.unit, profile_unit=unit, unit_scoping=catalogue.unit_scoping
        )

    def opted_out_by(self, level: Level, effective_at: datetime) -> bool:
        """Whether an OPTED_OUT counts there, in whatever business unit, that is no later than this."""
        return any(
            record.value is ConsentValue.OPTED_OUT and record.effective_at <= effective_at
            for record in self.records(level).values()
        )

    def keep_from_implied(
        self, purpose: Purpose, topic: Topic | None, legal_basis: str | None, effective_at: datetime, *, of_person: bool
    ) -> None:
        """Raises Refusal INVALID for an opt-in on this basis that an opt-out stands against: implied consent turns none.

        What comes from the person (`of_person`) is express, unless it says itself that it rests on a basis that implies it.
        """
        implied = (
            purpose.opt_in.names_implied(legal_basis)
            if of_person
            else purpose.opt_in.implies(legal_basis or purpose.legal_basis)
        )
        if implied and self.opted_out_by((purpose.key, None if topic is None else topic.key), effective_at):
            raise Refusal(
                RefusalCode.INVALID,
                "they opted out: implied consent does not turn that; what they say themselves has the basis express",
                ("legalBasis",),
            )

    def suppressed(self, purpose: Purpose, topic: str | None) -> bool:
        """Whether an erasure or a bounce blocks a level."""
        standing = self.standing
        return self.bounced or is_suppressed(standing.suppressions, standing.opt_ins, purpose, topic)

    @property
    def bounced(self) -> bool:
        """Whether a hard bounce blocks everything."""
        return self.standing.bounced or any(
            entry.type == EventType.CONTACT_POINT_BOUNCED and entry.data["bounce"] == Bounce.HARD
            for entry in self.earlier
        )


@dataclass(slots=True, kw_only=True)
class StandingAtLevels(StandingNow):
    """The same at levels that are named, by refs."""

    named: tuple[Level, ...]

    def levels(self, catalogue: Catalogue) -> Iterable[Level]:
        """By their keys."""
        return [
            (catalogue.purpose(purpose).key, None if topic is None else catalogue.topic(topic).key)
            for purpose, topic in self.named
        ]


@dataclass(slots=True, kw_only=True)
class StandingOfRows(StandingNow):
    """The same for a command that is made of rows, its parts. `kept` says, once it was decided, what stood in its way."""

    kept: ConsentKept | None = None

    @property
    def all_known(self) -> bool:
        """Whether each part of the command was recorded before."""
        return bool(self.parts) and None not in self.known


@dataclass(slots=True, kw_only=True)
class ExistingBounce(StandingOfRows):
    """What a row that says that a message bounced for good meets."""

    ended: bool
    """Whether the same bounce is known, or what came since has ended it."""

    def levels(self, catalogue: Catalogue) -> Iterable[Level]:
        """None: a bounce is of the address."""
        return ()

    def keeps(self) -> bool:
        """Whether there is nothing to record."""
        self.kept = ConsentKept.BOUNCED if self.bounced else ConsentKept.BOUNCE_ENDED if self.ended else None
        return self.kept is not None


@dataclass(slots=True, kw_only=True)
class ExistingSuppression(StandingOfRows):
    """What a row that says that an erasure left a suppression meets."""

    def levels(self, catalogue: Catalogue) -> Iterable[Level]:
        """None: a suppression is of the address."""
        return ()

    def keeps(self, brought: Suppression | None) -> bool:
        """Whether there is nothing to record: the same suppression stands, by this row or another, or by the erasure itself.

        `brought` is what the row says, if its time could be read.
        """
        known = brought is not None and brought in self.standing.suppressions
        self.kept = ConsentKept.SUPPRESSION_KNOWN if known else None
        return known


@dataclass(slots=True, kw_only=True)
class ExistingConsent(StandingOfRows):
    """What there is at one level of one address."""

    purpose: str
    topic: str | None

    def levels(self, catalogue: Catalogue) -> Iterable[Level]:
        """Its level, by its keys."""
        topic = None if self.topic is None else catalogue.topic(self.topic).key
        return [(catalogue.purpose(self.purpose).key, topic)]

    def keeps(self, purpose: Purpose, topic: Topic | None, value: ConsentValue) -> bool:
        """Whether what is there must stay as it is: then the capture is not recorded."""
        self.kept = None
        if value is not ConsentValue.OPTED_OUT:
            level = purpose.key, None if topic is None else topic.key
            if any(record.value is ConsentValue.OPTED_OUT for record in self.records(level).values()):
                self.kept = ConsentKept.OPTED_OUT
            elif self.suppressed(purpose, level[1]):
                self.kept = ConsentKept.SUPPRESSED
        return self.kept is not None


async def read_standing(connection: Connected, tenant: int, catalogue: Catalogue, commands: Sequence[Command]) -> None:
    """Tell the commands of a group that ask for it where their addresses stand, by one statement."""
    asking = [one for command in commands if isinstance(one := command.circumstances, StandingNow)]
    if not asking:
        return
    purposes: set[str] = set()
    topics = {""}
    for one in asking:
        try:
            levels = list(one.levels(catalogue))
        except Refusal:
            # What is not in the catalogue is refused when it is decided.
            continue
        purposes.update(purpose for purpose, _ in levels)
        topics.update(topic for _, topic in levels if topic is not None)
    blind_indexes = list({one.blind_index for one in asking})
    _, found = await current_consent.by_blind_index(connection, tenant, blind_indexes, list(purposes), list(topics))
    held = {blind_indexes[number]: one for number, one in found.items()}
    for one in asking:
        known = held.get(one.blind_index)
        one.found = None if known is None else known.contact_point
        one.standing = NOTHING_KNOWN if known is None else known.standing()
