"""Columns as Dynamics shows them: "Export to Excel" has the display names for headers, where a table has logical ones.

The first name of each is the one of Microsoft's table reference; the others are met in older versions and in views.
"""

from collections.abc import Mapping

CONSENT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "msdynmkt_contactpointconsent4id": ("Contact Point Consent",),
    "msdynmkt_contactpointvalue": ("Contact point", "Contact Point Value"),
    "msdynmkt_contactpointtype": ("Channel", "Contact Point Type"),
    "msdynmkt_contactpointconsenttype": ("Consent type", "Contact Point Consent Type"),
    "msdynmkt_purposeid": ("Purpose",),
    "msdynmkt_topicid": ("Topic",),
    "msdynmkt_value": ("Consent status", "Value"),
    "msdynmkt_source": ("Source",),
    "msdynmkt_logicalreason": ("Reason",),
    "msdynmkt_reason": ("Reason Description",),
    "msdynmkt_modifiedonbehalf": ("Who requested the change",),
    "createdon": ("Created On",),
    "modifiedon": ("Modified On",),
}
PERSON_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "emailaddress1": ("Email",),
    "donotemail": ("Do not allow Emails",),
    "donotbulkemail": ("Do not allow Bulk Emails",),
    "msgdpr_donottrack": ("Do not track",),
    "modifiedon": ("Modified On",),
}
# What Excel's export has in hidden columns; used where the column is not there by a name of its own.
_HIDDEN = "(do not modify) "


class ColumnNames:
    """The names of a format's columns, whatever a header calls them."""

    def __init__(self, columns: Mapping[str, tuple[str, ...]]) -> None:
        self._columns = columns
        self._logical = {shown.casefold(): name for name, names in columns.items() for shown in names}

    def of(self, header: list[str]) -> list[str]:
        """The logical names of a header's cells; a cell that is none of them is only put in lower case."""
        names = [name.strip().casefold() for name in header]
        names = [self._logical.get(" ".join(name.split()), name) for name in names]
        return [name if (other := self._otherwise(name)) in names else other for name in names]

    def shown(self, name: str) -> str:
        """A column by its logical name and as Dynamics shows it."""
        shown = self._columns.get(name)
        return name if shown is None else f"{name} ({shown[0]})"

    def _otherwise(self, name: str) -> str:
        if name.startswith("_") and name.endswith("_value") and len(name) > 7:
            # As Dataverse names a lookup.
            return name[1:-6]
        if name.startswith(_HIDDEN):
            return self._logical.get(name.removeprefix(_HIDDEN), name)
        return name


AS_THEY_ARE = ColumnNames({})
