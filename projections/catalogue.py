"""The catalogue as held in memory: loaded from its stream, replaced as a whole when the log says so, never changed in place.

All events of a tenant's catalogue and settings are in one fixed stream, and the head of the log names the position of
its last one. So "is what is held current?" is a comparison of two numbers, in whatever snapshot an answer is taken from.
"""

from collections import OrderedDict
from datetime import datetime
from uuid import UUID

from domain.catalogue import EMPTY, Catalogue
from domain.catalogue_fold import apply, fold
from domain.events import CATALOGUE_TYPES, CatalogueEvent, EventType
from domain.upcasting import upcast
from eventstore import read
from eventstore.personal.vault import Connected
from tlog.entry import Entry

CATALOGUE_STREAM = UUID("ca7a106e-0000-8000-8000-000000000000")
_PAST_CATALOGUES_MAX = 16
_PAGE_ENTRIES = 1_000


def catalogue_event(entry: Entry) -> CatalogueEvent:
    """The catalogue event that an entry of the catalogue stream holds."""
    event_type = EventType(entry.type)
    if event_type not in CATALOGUE_TYPES:
        raise ValueError(f"{entry.type} in the catalogue's stream")
    return CatalogueEvent(
        type=event_type,
        data=upcast(entry.type, entry.version, entry.data),
        recorded_at=entry.recorded_at,
        position=entry.position,
    )


class HeldCatalogue:
    """The catalogue of one tenant in this process."""

    def __init__(self, tenant: int) -> None:
        self._tenant = tenant
        self._events: tuple[CatalogueEvent, ...] = ()
        self._past: OrderedDict[int, Catalogue] = OrderedDict()
        self.current: Catalogue = EMPTY

    @property
    def position(self) -> int:
        """The position of the last catalogue event taken account of: the catalogue's version. -1 before the first."""
        return self.current.position

    async def refresh(self, connection: Connected, position: int) -> None:
        """Take account of every catalogue event up to `position` at least."""
        while self.position < position:
            after = self.position
            page = await read.forward(
                connection,
                self._tenant,
                read.EntryFilter(stream=CATALOGUE_STREAM),
                after=after,
                limit=_PAGE_ENTRIES,
            )
            if not page:
                raise LookupError("the head names a catalogue event that the log does not hold")
            if self.position != after:
                continue  # another task loaded the same page meanwhile
            events = [catalogue_event(stored.entry) for stored in page]
            catalogue = self.current
            for event in events:
                catalogue = apply(catalogue, event)
            self._past.clear()
            self._events += tuple(events)
            self.current = catalogue

    def known_at(self, instant: datetime) -> Catalogue:
        """The catalogue as recorded by `instant`; what was made later is as it was made."""
        known = sum(event.recorded_at <= instant for event in self._events)
        if known == len(self._events):
            return self.current
        held = self._past.get(known)
        if held is None:
            held = self._past[known] = fold(self._events, known_at=instant)
            if len(self._past) > _PAST_CATALOGUES_MAX:
                self._past.popitem(last=False)
        return held

    def at(self, position: int) -> Catalogue:
        """The catalogue after its event at `position`, and no later one."""
        if position >= self.position:
            return self.current
        return fold([event for event in self._events if event.position <= position])

    def version_at(self, position: int) -> int:
        """The position of the last catalogue event up to `position`, or -1."""
        return max((event.position for event in self._events if event.position <= position), default=-1)
