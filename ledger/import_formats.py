"""What is asked of an import: its format, and where its rows go. Says how each format is read, or why it cannot be so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime

from domain.addresses import Channel
from domain.catalogue import DEFAULT_PROFILE, Catalogue
from domain.consent import ConsentValue
from domain.local_time import LocalTimes
from domain.refusals import Refusal, RefusalCode
from ledger import import_contact_point_consents, import_ndjson, import_subscription_list
from ledger.file_encoding import Encoding
from ledger.import_contact_point_consents import COLUMN_OF_FIELD, ConsentRecords
from ledger.import_load import ADDRESS as LOAD_ADDRESS
from ledger.import_load import CONTACTS, LEADS, MODIFIED, Load
from ledger.import_lookups import Lookups
from ledger.import_rows import RowReader
from ledger.import_subscription_list import SubscriptionList


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the rows go, and how they are read, as given: each format takes some of these, and must have some of them."""

    profile: str | None = None
    purpose: str | None = None
    topic: str | None = None
    value: ConsentValue | None = None
    channel: Channel | None = None
    time_zone: str | None = None
    date_format: str | None = None
    encoding: str | None = None


_TAKES: Mapping[str, frozenset[str]] = {
    import_contact_point_consents.FORMAT: frozenset(("profile", "time_zone", "date_format", "encoding")),
    CONTACTS: frozenset(("profile", "purpose", "channel", "time_zone", "date_format", "encoding")),
    LEADS: frozenset(("profile", "purpose", "channel", "time_zone", "date_format", "encoding")),
    import_subscription_list.FORMAT: frozenset(("profile", "purpose", "topic", "value", "channel", "encoding")),
    import_ndjson.FORMAT: frozenset(),
}
FORMATS = tuple(_TAKES)
_SHOWN: Mapping[str, str] = {"time_zone": "timeZone", "date_format": "dateFormat"}


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is read: its reader; which column a refusal's field is; and, of a load, what it makes of addresses."""

    reader: RowReader
    columns: Mapping[str, str]
    load: Load | None = None


def reading(catalogue: Catalogue, format: str, target: Target, clock: Callable[[], datetime]) -> Reading:
    """How a file of this format is read into this place. Raises Refusal, with the name of what was given as its path."""
    takes = _TAKES.get(format)
    if takes is None:
        raise Refusal(RefusalCode.INVALID, f"there is no such format; there are {', '.join(FORMATS)}", ("format",))
    for name in (field.name for field in fields(target)):
        if getattr(target, name) is not None and name not in takes:
            shown = _SHOWN.get(name, name)
            why = "an encoding: it is UTF-8" if name == "encoding" else f"a {shown}: its rows say it"
            raise Refusal(RefusalCode.INVALID, f"{format} does not take {why}", (shown,))
    times = LocalTimes.of(target.time_zone, target.date_format)
    encoding = None if target.encoding is None else Encoding.of(target.encoding)
    profile = target.profile or DEFAULT_PROFILE
    if format in (CONTACTS, LEADS):
        if target.channel not in (None, Channel.EMAIL):
            raise Refusal(RefusalCode.INVALID, f"{format} say what is allowed by EMAIL alone", ("channel",))
        load = Load(catalogue, format=format, profile=profile, purpose=target.purpose, times=times, clock=clock)
        return Reading(load.reader(encoding), {"address": LOAD_ADDRESS, "effectiveAt": MODIFIED}, load)
    if format == import_subscription_list.FORMAT:
        if target.purpose is None:
            raise Refusal(RefusalCode.INVALID, "say which purpose the members go into", ("purpose",))
        if target.value is None:
            values = ", ".join(ConsentValue)
            raise Refusal(RefusalCode.INVALID, f"say which value the members get: {values}", ("value",))
        members = SubscriptionList(
            catalogue,
            profile=profile,
            purpose=target.purpose,
            topic=target.topic,
            value=target.value,
            channel=target.channel or Channel.EMAIL,
        )
        return Reading(members.reader(encoding), {"address": members.column})
    if format == import_ndjson.FORMAT:
        return Reading(import_ndjson.NdjsonRows(), {})
    records = ConsentRecords(Lookups(catalogue, target.profile), times, clock)
    return Reading(records.reader(encoding), COLUMN_OF_FIELD)
