"""Keys that are bound to a business unit: the tenant as such a key meets it, and what of the log is that unit's.

Closed unless opened: a bound caller has no scope of the tenant as a whole, so whatever asks for one refuses it; what is
filtered here asks for the scope within the unit (docs/decisions/business-units.md).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from domain.catalogue import Catalogue
from domain.events import CatalogueDraft, EventType
from domain.refusals import Refusal, RefusalCode
from domain.unit_scope import Decide, decide_within, owned_purposes, seen_from
from eventstore.read import EntryFilter, StoredEntry
from ledger.assembly import Caller, Tenant

# What is about the log as a whole, or destroys what other units recorded, too. The database refuses them, too.
WHOLE_TENANT_SCOPES = frozenset(("audit", "erase"))


class TenantOfUnit(Tenant):
    """A tenant as a key of one of its units meets it: the same log, and of the catalogue what the unit sees."""

    def __init__(self, whole: Tenant, unit: str) -> None:
        # Not another log and queue: the whole tenant's own.
        vars(self).update(vars(whole))
        self.unit = unit
        self._whole = whole
        self._seen = (whole.catalogue, seen_from(whole.catalogue, unit))

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue as held, as the unit sees it."""
        held = self._whole.catalogue
        if self._seen[0] is not held:
            self._seen = (held, seen_from(held, self._unit))
        return self._seen[1]

    def catalogue_known_at(self, instant: datetime) -> Catalogue:
        """The catalogue as recorded by `instant`, as the unit sees it."""
        return seen_from(self._whole.catalogue_known_at(instant), self._unit)

    def catalogue_at(self, position: int) -> Catalogue:
        """The catalogue after its event at `position`, as the unit sees it."""
        return seen_from(self._whole.catalogue_at(position), self._unit)

    def decided(self, decide: Decide) -> Sequence[CatalogueDraft]:
        """What a change of the catalogue leads to. Raises Refusal, also for what is not the unit's own."""
        return decide_within(decide, self.catalogue, self._whole.catalogue)

    @property
    def own_units(self) -> Sequence[str]:
        """The unit and all below it."""
        return list(self.catalogue.units)

    def sees(self, event: StoredEntry) -> bool:
        """Whether an event is a capture of a purpose that the unit owns; no other event is shown to it."""
        entry = event.entry
        return entry.type == EventType.CONSENT_CAPTURED and entry.data["purpose"] in owned_purposes(self.catalogue)

    def narrowed(self, wanted: EntryFilter) -> EntryFilter:
        """The same filter, for the events that the unit sees."""
        types = [name for name in wanted.types or (EventType.CONSENT_CAPTURED,) if name == EventType.CONSENT_CAPTURED]
        return replace(wanted, types=types, purposes=owned_purposes(self.catalogue))

    @property
    def _unit(self) -> str:
        if self.unit is None:
            raise AssertionError("a tenant of a unit without one")
        return self.unit


def caller_of_unit(application: str, scopes: Sequence[str], unit: str) -> Caller:
    """Who asks with a key that is bound to a unit."""
    return Caller(application, frozenset(), unit, frozenset(scopes) - WHOLE_TENANT_SCOPES)


def check_scopes_of_unit(scopes: Sequence[str]) -> None:
    """Raises Refusal INVALID for a scope that no key of a unit can have."""
    refused = sorted(WHOLE_TENANT_SCOPES.intersection(scopes))
    if refused:
        raise Refusal(
            RefusalCode.INVALID,
            f"a key of a business unit cannot have {' or '.join(refused)}: that is about the whole tenant",
            ("scope",),
        )
