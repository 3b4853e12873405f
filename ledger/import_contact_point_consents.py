"""Contact point consent records as exported from msdynmkt_contactpointconsent4 ("Dynamics codes" in SEMANTICS.md).

Each accepted row is a capture effective at `modifiedon`. Files are read by `csv_rows`.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeVar

from domain import dynamics_codes as codes
from domain.addresses import ADDRESS_CHARS_MAX, Channel
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.local_time import LocalTimes
from domain.refusals import Refusal, RefusalCode
from domain.time import format_instant
from ledger.csv_rows import CsvRows
from ledger.dynamics_columns import CONSENT_COLUMNS, ColumnNames
from ledger.file_encoding import Encoding
from ledger.import_lookups import PURPOSE, TOPIC, Lookups
from ledger.import_rows import IMPORT_APPLICATION
from ledger.record import SYSTEM, Actor, Capture

FORMAT = "contact-point-consents"
ADDRESS = "msdynmkt_contactpointvalue"
REQUIRED = (
    ADDRESS,
    "msdynmkt_contactpointtype",
    "msdynmkt_contactpointconsenttype",
    PURPOSE,
    "msdynmkt_value",
    "modifiedon",
)
ID = "msdynmkt_contactpointconsent4id"
REASON = "msdynmkt_logicalreason"
Beside = TypeVar("Beside")
_NAMES = ColumnNames(CONSENT_COLUMNS)
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class ConsentRecords:
    """Such a file: what its lookups name, and how its local times are read."""

    def __init__(self, lookups: Lookups, times: LocalTimes, clock: Callable[[], datetime]) -> None:
        self._lookups = lookups
        self._times = times
        self._clock = clock

    def reader(self, encoding: Encoding | None) -> CsvRows:
        """A reader of such a file."""
        return CsvRows(
            REQUIRED,
            self._read,
            _NAMES,
            identifying=(ADDRESS, PURPOSE, TOPIC),
            encoding=encoding,
            may_say_no=_may_say_no,
        )

    def _read(self, row: Mapping[str, str]) -> Capture:
        address = row[ADDRESS]
        if not address.strip():
            raise Refusal(RefusalCode.INVALID_ADDRESS, "the row has no address", (ADDRESS,))
        if len(address.strip()) > ADDRESS_CHARS_MAX:
            raise Refusal(
                RefusalCode.INVALID_ADDRESS, f"the address has more than {ADDRESS_CHARS_MAX} characters", (ADDRESS,)
            )
        _, channel = codes.CHANNELS.read(row["msdynmkt_contactpointtype"])
        _, level = codes.CONSENT_TYPES.read(row["msdynmkt_contactpointconsenttype"])
        purpose, topic = row[PURPOSE].strip(), row.get(TOPIC, "").strip()
        if not purpose:
            raise _refusal((PURPOSE,), "the row names no purpose")
        if level == "TOPIC" and not topic:
            raise _refusal((TOPIC,), "the consent is for a topic, and the row names none")
        if level == "PURPOSE" and topic:
            # Which of the two was meant cannot be known, and a guess could turn an opt-out into a narrower one.
            raise _refusal((TOPIC,), "the consent is for a purpose, but the row names a topic")
        _, value = codes.VALUES.read(row["msdynmkt_value"])
        dynamics: dict[str, object] = {}

        def beside(column: str, read: Callable[[str], Beside], otherwise: Beside) -> Beside:
            """What a column says that decides nothing: no opt-out is refused for it."""
            text = row.get(column, "").strip()
            try:
                return read(text) if text else otherwise
            except Refusal:
                if value is not ConsentValue.OPTED_OUT:
                    raise
                return otherwise

        source_code, source = beside("msdynmkt_source", codes.SOURCES.read, (None, ConsentSource.IMPORT))
        if source_code is not None:
            dynamics["source"] = source_code
        reason_code, _ = beside(REASON, lambda text: codes.REASONS.read(_plain(text)), (codes.NO_REASON, None))
        reason = None if reason_code == codes.NO_REASON else codes.REASONS.label(reason_code)
        record_id = row.get(ID, "").strip().strip("{}").lower()
        created = beside("createdon", lambda text: self._times.read(text, field="createdon"), None)
        if created is not None:
            dynamics["createdOn"] = format_instant(created.earliest)
        on_behalf = row.get("msdynmkt_modifiedonbehalf", "").strip()
        purpose_ref = self._lookups.purpose(purpose)
        topic_ref = self._lookups.topic(topic, purpose_ref) if topic else None
        modified = self._times.read(row["modifiedon"].strip(), field="modifiedon")
        effective_at = modified.counts(value, self._clock()) if modified.local else modified.earliest
        # A cell that needs the options or the catalogue to be read stands in the row's key as it was read.
        meant: dict[str, str] = {}
        if purpose_ref != _guid(purpose):
            meant[PURPOSE] = purpose_ref
        if topic_ref is not None and topic_ref != _guid(topic):
            meant[TOPIC] = topic_ref
        if _plain(row.get(REASON, "")) != row.get(REASON, ""):
            meant[REASON] = str(reason_code)
        if created is not None and created.local:
            meant["createdon"] = format_instant(created.earliest)
        if modified.local:
            meant["modifiedon"] = format_instant(effective_at)
        return Capture(
            channel=channel,
            address=address,
            purpose=purpose_ref,
            topic=topic_ref,
            value=value,
            effective_at=effective_at,
            source=source,
            reason=reason,
            reason_description=row.get("msdynmkt_reason") or None,
            actor=Actor(kind=ActorKind.USER, id=on_behalf) if on_behalf else SYSTEM,
            message_id=row.get("msdynmkt_messageid") or None,
            idempotency_key=row_key(FORMAT, {**row, **meant} if meant else row),
            key_application=IMPORT_APPLICATION,
            dynamics=dynamics or None,
            dynamics_id=record_id if _GUID.fullmatch(record_id) else None,
            allow_inactive=True,
        )


def _may_say_no(row: Mapping[str, str] | None) -> bool:
    try:
        return row is None or codes.VALUES.read(row["msdynmkt_value"])[1] is ConsentValue.OPTED_OUT
    except Refusal:
        return True


# A row comes from a file: it holds no cycle to look for.
_spell = json.JSONEncoder(sort_keys=True, check_circular=False).encode


def spelled(row: Mapping[str, object]) -> bytes:
    """The one spelling of all columns of a row."""
    return _spell(row).encode()


def row_key(place: str, row: Mapping[str, object]) -> str:
    """The idempotency key of a row: the same for the same columns, imported into the same place."""
    return f"{place}:{hashlib.sha256(spelled(row)).hexdigest()}"


def _plain(text: str) -> str:
    """A label with the apostrophe of the codes; Dynamics shows a curved one."""
    return text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def _guid(text: str) -> str:
    return text.strip("{}").lower()


def _refusal(path: tuple[str, ...], message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, message, path)


COLUMN_OF_FIELD: Mapping[str, str] = {
    "address": ADDRESS,
    "purpose": PURPOSE,
    "topic": TOPIC,
    "value": "msdynmkt_value",
    "effectiveAt": "modifiedon",
    "reasonDescription": "msdynmkt_reason",
    "messageId": "msdynmkt_messageid",
}
"""Which column a refusal of the ledger is about."""

WITHOUT_CODE = frozenset((Channel.PUSH,))
"""Channels that the table has no code for."""
