"""What a load or a list must not turn: the consent that is there, read under the very head that the new event is written on.

An OPTED_OUT that counts now, in whatever business unit, stays; so does what suppresses the address (an erasure, a bounce).
Between the reading and the writing nothing can come in: the log would have moved, and the event is decided anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from domain.bounces import Bounce
from domain.catalogue import Catalogue, Purpose, Topic
from domain.consent import ConsentRecord, ConsentValue, join
from domain.events import EventType
from domain.refusals import Refusal
from domain.standing import NOTHING_KNOWN, Standing
from domain.suppression import is_suppressed
from eventstore.append import Circumstances, Command
from eventstore.personal.vault import Connected
from projections import current_consent
from projections.inline import consent_record


class ConsentKept(StrEnum):
    """What stood in the way of a capture."""

    OPTED_OUT = "OPTED_OUT"
    SUPPRESSED = "SUPPRESSED"


@dataclass(slots=True, kw_only=True)
class ExistingConsent(Circumstances):
    """What there is at one level of one address. `kept` says, once it was decided, what stood in the way of a capture."""

    blind_index: bytes = field(repr=False)
    purpose: str
    topic: str | None
    standing: Standing = NOTHING_KNOWN
    kept: ConsentKept | None = None

    @property
    def all_known(self) -> bool:
        """Whether each part of the command was recorded before."""
        return bool(self.parts) and None not in self.known

    def keeps(self, purpose: Purpose, topic: Topic | None, value: ConsentValue) -> bool:
        """Whether what is there must stay as it is: then the capture is not recorded."""
        self.kept = None
        if value is not ConsentValue.OPTED_OUT:
            level = purpose.key, None if topic is None else topic.key
            if self._opted_out(level):
                self.kept = ConsentKept.OPTED_OUT
            elif self._suppressed(purpose, level[1]):
                self.kept = ConsentKept.SUPPRESSED
        return self.kept is not None

    def _opted_out(self, level: tuple[str, str | None]) -> bool:
        by_unit: dict[str, ConsentRecord | None] = dict(self.standing.records.get(level, {}))
        for entry in self.earlier:
            record = consent_record(entry)
            if record is not None and (record.purpose, record.topic) == level:
                by_unit[record.unit] = join(by_unit.get(record.unit), record)
        return any(record is not None and record.value is ConsentValue.OPTED_OUT for record in by_unit.values())

    def _suppressed(self, purpose: Purpose, topic: str | None) -> bool:
        standing = self.standing
        return (
            standing.bounced
            or is_suppressed(standing.suppressions, standing.opt_ins, purpose, topic)
            or any(
                entry.type == EventType.CONTACT_POINT_BOUNCED and entry.data["bounce"] == Bounce.HARD
                for entry in self.earlier
            )
        )


async def read_existing_consent(
    connection: Connected, tenant: int, catalogue: Catalogue, commands: Sequence[Command]
) -> None:
    """Tell the commands of a group that ask for it what there is, by one statement."""
    asking = [one for command in commands if isinstance(one := command.circumstances, ExistingConsent)]
    if not asking:
        return
    purposes: set[str] = set()
    topics = {""}
    for one in asking:
        try:
            purposes.add(catalogue.purpose(one.purpose).key)
            if one.topic is not None:
                topics.add(catalogue.topic(one.topic).key)
        except Refusal:
            # What is not in the catalogue is refused when it is decided.
            continue
    blind_indexes = list({one.blind_index for one in asking})
    _, found = await current_consent.by_blind_index(connection, tenant, blind_indexes, list(purposes), list(topics))
    standings = {blind_indexes[number]: held.standing() for number, held in found.items()}
    for one in asking:
        one.standing = standings.get(one.blind_index, NOTHING_KNOWN)
