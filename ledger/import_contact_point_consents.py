"""Contact point consent records as exported from msdynmkt_contactpointconsent4 ("Dynamics codes" in SEMANTICS.md).

Each accepted row is a capture effective at `modifiedon`. Files are read by `csv_rows`.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from domain import dynamics_codes as codes
from domain.addresses import ADDRESS_CHARS_MAX, Channel
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.refusals import Refusal, RefusalCode
from domain.time import format_instant, parse_instant
from ledger.csv_rows import CsvRows
from ledger.import_rows import IMPORT_APPLICATION
from ledger.record import SYSTEM, Actor, Capture

FORMAT = "contact-point-consents"
ADDRESS = "msdynmkt_contactpointvalue"
REQUIRED = (
    ADDRESS,
    "msdynmkt_contactpointtype",
    "msdynmkt_contactpointconsenttype",
    "msdynmkt_purposeid",
    "msdynmkt_value",
    "modifiedon",
)
ID = "msdynmkt_contactpointconsent4id"
Beside = TypeVar("Beside")
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def rows() -> CsvRows:
    """A reader of such a file."""
    return CsvRows(REQUIRED, _capture, may_say_no=_may_say_no)


def _may_say_no(row: Mapping[str, str] | None) -> bool:
    try:
        return row is None or codes.VALUES.read(row["msdynmkt_value"])[1] is ConsentValue.OPTED_OUT
    except Refusal:
        return True


def _capture(row: Mapping[str, str]) -> Capture:
    address = row[ADDRESS]
    if not address.strip():
        raise Refusal(RefusalCode.INVALID_ADDRESS, "the row has no address", (ADDRESS,))
    if len(address.strip()) > ADDRESS_CHARS_MAX:
        raise Refusal(
            RefusalCode.INVALID_ADDRESS, f"the address has more than {ADDRESS_CHARS_MAX} characters", (ADDRESS,)
        )
    _, channel = codes.CHANNELS.read(row["msdynmkt_contactpointtype"])
    _, level = codes.CONSENT_TYPES.read(row["msdynmkt_contactpointconsenttype"])
    purpose, topic = row["msdynmkt_purposeid"].strip(), row.get("msdynmkt_topicid", "").strip()
    if not purpose:
        raise _refusal(("msdynmkt_purposeid",), "the row names no purpose")
    if level == "TOPIC" and not topic:
        raise _refusal(("msdynmkt_topicid",), "the consent is for a topic, and the row names none")
    if level == "PURPOSE" and topic:
        # Which of the two was meant cannot be known, and a guess could turn an opt-out into a narrower one.
        raise _refusal(("msdynmkt_topicid",), "the consent is for a purpose, but the row names a topic")
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
    reason_code, _ = beside("msdynmkt_logicalreason", codes.REASONS.read, (codes.NO_REASON, None))
    reason = None if reason_code == codes.NO_REASON else codes.REASONS.label(reason_code)
    record_id = row.get(ID, "").strip().strip("{}").lower()
    created = beside("createdon", lambda text: parse_instant(text, field="createdon"), None)
    if created is not None:
        dynamics["createdOn"] = format_instant(created)
    on_behalf = row.get("msdynmkt_modifiedonbehalf", "").strip()
    return Capture(
        channel=channel,
        address=address,
        purpose=_guid(purpose),
        topic=_guid(topic) if topic else None,
        value=value,
        effective_at=parse_instant(row["modifiedon"].strip(), field="modifiedon"),
        source=source,
        reason=reason,
        reason_description=row.get("msdynmkt_reason") or None,
        actor=Actor(kind=ActorKind.USER, id=on_behalf) if on_behalf else SYSTEM,
        message_id=row.get("msdynmkt_messageid") or None,
        idempotency_key=row_key(FORMAT, row),
        key_application=IMPORT_APPLICATION,
        dynamics=dynamics or None,
        dynamics_id=record_id if _GUID.fullmatch(record_id) else None,
        allow_inactive=True,
    )


# A row comes from a file: it holds no cycle to look for.
_spell = json.JSONEncoder(sort_keys=True, check_circular=False).encode


def spelled(row: Mapping[str, object]) -> bytes:
    """The one spelling of all columns of a row."""
    return _spell(row).encode()


def row_key(place: str, row: Mapping[str, object]) -> str:
    """The idempotency key of a row: the same for the same columns, imported into the same place."""
    return f"{place}:{hashlib.sha256(spelled(row)).hexdigest()}"


def _guid(text: str) -> str:
    return text.strip("{}").lower()


def _refusal(path: tuple[str, ...], message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, message, path)


COLUMN_OF_FIELD: Mapping[str, str] = {
    "address": ADDRESS,
    "purpose": "msdynmkt_purposeid",
    "topic": "msdynmkt_topicid",
    "value": "msdynmkt_value",
    "effectiveAt": "modifiedon",
    "reasonDescription": "msdynmkt_reason",
    "messageId": "msdynmkt_messageid",
}
"""Which column a refusal of the ledger is about."""

WITHOUT_CODE = frozenset((Channel.PUSH,))
"""Channels that the table has no code for."""
