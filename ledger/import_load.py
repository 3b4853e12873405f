"""Load consent from contacts and leads ("Bringing consent in" in SEMANTICS.md): flags of people become consent of addresses.

An address is opted in to a purpose only if every row with that address allows it; it counts from the latest `modifiedon`
among them. An OPTED_OUT that is there is never turned.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from domain.addresses import Channel, normalise
from domain.catalogue import Catalogue, Purpose, PurposeType, by_key
from domain.consent import ConsentSource, ConsentValue, effective_instant
from domain.local_time import LocalTimes
from domain.refusals import Refusal, RefusalCode
from domain.time import format_instant
from ledger.csv_rows import CsvRows
from ledger.dynamics_columns import PERSON_COLUMNS, ColumnNames
from ledger.file_encoding import Encoding
from ledger.import_contact_point_consents import spelled
from ledger.import_rows import IMPORT_APPLICATION, LoadedRow, OptOutRefused, refused_as
from ledger.load_groups import AddressGroup
from ledger.record import Capture

CONTACTS, LEADS = "contacts", "leads"
ADDRESS, MODIFIED = "emailaddress1", "modifiedon"
_NAMES = ColumnNames(PERSON_COLUMNS)
# The columns that a purpose looks at, by its type; each says whether something is NOT allowed.
_LOOKED_AT: Mapping[PurposeType, tuple[str, ...]] = {
    PurposeType.COMMERCIAL: ("donotemail", "donotbulkemail"),
    PurposeType.TRANSACTIONAL: ("donotemail",),
    PurposeType.TRACKING: ("msgdpr_donottrack",),
}
_TYPES: Mapping[str, tuple[PurposeType, ...]] = {
    CONTACTS: (PurposeType.COMMERCIAL, PurposeType.TRANSACTIONAL, PurposeType.TRACKING),
    LEADS: (PurposeType.COMMERCIAL, PurposeType.TRANSACTIONAL),
}
# Whether a spelling of a column's value allows.
_ALLOWS: Mapping[str, bool] = {
    "allow": True,
    "0": True,
    "false": True,
    "no": True,
    "do not allow": False,
    "1": False,
    "true": False,
    "yes": False,
}


class Load:
    """One load: the purposes of a profile that it sets, and what it makes of rows."""

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        format: str,
        profile: str,
        purpose: str | None,
        times: LocalTimes,
        clock: Callable[[], datetime],
    ) -> None:
        """Raises Refusal for the profile and the purpose."""
        self.purposes = _purposes(catalogue, format, profile, purpose)
        # No file needs a column for the sake of what is inactive alone, unless that is all there is; one that it has is read.
        decisive = [one for one in self.purposes if one.active] or self.purposes
        self._opt_in = {one.key for one in decisive}
        self._required = _columns_of(decisive)
        self.columns = _columns_of(self.purposes)
        self._format = format
        self._times = times
        self._clock = clock

    def reader(self, encoding: Encoding | None) -> CsvRows:
        """A reader of such a file; only the columns that the purposes look at need be there."""
        return CsvRows(
            (ADDRESS, *self._required, MODIFIED),
            self._read,
            _NAMES,
            identifying=(ADDRESS,),
            encoding=encoding,
            may_say_no=self._may_say_no,
        )

    def _allows(self, row: Mapping[str, str]) -> tuple[bool | None, ...]:
        return tuple(self._allowed(name, row.get(name, "").strip().casefold()) for name in self.columns)

    def _allowed(self, name: str, cell: str) -> bool | None:
        # What need not be there forbids nothing where it is not.
        return _ALLOWS.get(cell) if cell or name in self._required else True

    def _may_say_no(self, row: Mapping[str, str] | None) -> bool:
        return row is None or not all(self._allows(row))

    def captures(self, group: AddressGroup) -> list[Capture]:
        """One capture for each purpose that they speak of, from the rows of one address."""
        found: list[Capture] = []
        for one in self.purposes:
            allows = [
                allowed
                for name, allowed in zip(self.columns, group.allows, strict=True)
                if name in _LOOKED_AT[one.type]
            ]
            if not (group.whole and one.key in self._opt_in) and False not in allows:
                # A row of which not all can be read opts nobody in, and what it does not say readably is not recorded. Nor
                # does any row opt in to what is inactive, beside what is not.
                continue
            found.append(
                Capture(
                    channel=Channel.EMAIL,
                    address=group.address,
                    purpose=by_key(one.key),
                    value=ConsentValue.OPTED_IN if all(allows) else ConsentValue.OPTED_OUT,
                    effective_at=group.modified_on if all(allows) else group.modified_latest,
                    source=ConsentSource.LOAD_CONSENT,
                    key_application=IMPORT_APPLICATION,
                    row_keys=tuple(f"{self._format}:{one.key}:{digest.hex()}" for digest in group.digests),
                )
            )
        return found

    def unread(self, group: AddressGroup) -> dict[int, Refusal]:
        """By its line, why not all of a row could be read, and for which purposes nothing is recorded for that."""
        if not group.unread:
            return {}
        recorded = {capture.purpose for capture in self.captures(group)}
        lacking = [one for one in self.purposes if by_key(one.key) not in recorded]
        return {line: self._unread(columns, lacking) for line, columns in group.unread.items()}

    def _unread(self, numbers: Sequence[int], lacking: Sequence[Purpose]) -> Refusal:
        columns = [self.columns[number] for number in numbers]
        purposes = [one.key for one in lacking if any(name in columns for name in _LOOKED_AT[one.type])]
        refusal = _unreadable(columns[0])
        others = "".join(f"; so does {name}" for name in columns[1:])
        nothing = f"; nothing is recorded for {', '.join(purposes)}" if purposes else ""
        return OptOutRefused(refusal.code, f"{refusal.message}{others}{nothing}", refusal.path)

    def _read(self, row: Mapping[str, str]) -> LoadedRow:
        if not row[ADDRESS].strip():
            raise Refusal(RefusalCode.INVALID_ADDRESS, "the row has no address", (ADDRESS,))
        try:
            address = normalise(Channel.EMAIL, row[ADDRESS])
        except Refusal as refusal:
            raise Refusal(refusal.code, refusal.message, (ADDRESS,)) from refusal
        allows = self._allows(row)
        refused = _unreadable(self.columns[allows.index(None)]) if None in allows else None
        modified_on = modified_latest = None
        try:
            now = self._clock()
            modified = self._times.read(row[MODIFIED].strip(), field=MODIFIED)
            modified_on = modified_latest = effective_instant(modified.earliest, now)
            if modified.local:
                modified_latest = effective_instant(modified.counts(ConsentValue.OPTED_OUT, now), now)
                row = {**row, MODIFIED: format_instant(modified.earliest)}
        except Refusal as refusal:
            refused = Refusal(refusal.code, refusal.message, (MODIFIED,))
        digest = hashlib.sha256(spelled(row)).digest()
        if refused is not None:
            refused = refused_as(refused, opt_out=not all(allows))
        return LoadedRow(address, allows, modified_on, digest, refused, modified_latest)


def _columns_of(purposes: Sequence[Purpose]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for one in purposes for name in _LOOKED_AT[one.type]))


def _unreadable(column: str) -> Refusal:
    return Refusal(
        RefusalCode.INVALID,
        "it must say Allow or Do Not Allow, 0 or 1, false or true, No or Yes; "
        "what it says counts as not allowed for this address",
        (column,),
    )


def _purposes(catalogue: Catalogue, format: str, profile_ref: str, purpose_ref: str | None) -> Sequence[Purpose]:
    """The purposes that a load sets: all of the profile that it has columns for, or the one that is named.

    What is inactive is opted out of, too: a message that was sent with it can still be unsubscribed from.
    """
    profile = catalogue.profile(profile_ref)
    if not profile.active:
        raise Refusal(RefusalCode.INACTIVE, f"profile {profile.key} is inactive", ("profile",))
    if purpose_ref is not None:
        purpose, _ = catalogue.capture_subject_of(profile, purpose_ref, None, value=ConsentValue.OPTED_OUT)
        if purpose.type not in _TYPES[format]:
            raise Refusal(RefusalCode.INVALID, f"{format} have no column for {purpose.type}", ("purpose",))
        return [purpose]
    purposes = [catalogue.purposes[key] for key in profile.purposes]
    found = [one for one in purposes if one.type in _TYPES[format]]
    if not found:
        raise Refusal(RefusalCode.INVALID, f"profile {profile.key} has no purpose that {format} speak of", ("profile",))
    return found
