"""Members of a subscription list, into a chosen purpose or topic with a chosen value, effective at the import.

No column but the address is read: so the same address again is the same member, whatever else its row says.
"""

from collections.abc import Mapping

from domain.addresses import Channel, normalise
from domain.catalogue import Catalogue, by_key
from domain.consent import ConsentSource, ConsentValue
from domain.refusals import Refusal, RefusalCode
from ledger.csv_rows import CsvRows
from ledger.file_encoding import Encoding
from ledger.import_contact_point_consents import row_key
from ledger.import_rows import IMPORT_APPLICATION
from ledger.record import Capture

FORMAT = "subscription-list"
# Where a contact's address is, by channel.
ADDRESS_COLUMNS: Mapping[Channel, str] = {
    Channel.EMAIL: "emailaddress1",
    Channel.SMS: "mobilephone",
    Channel.VOICE: "telephone1",
}


class SubscriptionList:
    """One list: where its members go, and with which value."""

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        profile: str,
        purpose: str,
        topic: str | None,
        value: ConsentValue,
        channel: Channel,
    ) -> None:
        """Raises Refusal for the profile, the purpose, the topic and the channel."""
        to_purpose, to_topic = catalogue.capture_subject_of(catalogue.profile(profile), purpose, topic, value=value)
        if channel not in ADDRESS_COLUMNS:
            raise Refusal(
                RefusalCode.INVALID,
                f"a subscription list has a column for {', '.join(ADDRESS_COLUMNS)}; others come in as ndjson",
                ("channel",),
            )
        self._purpose = to_purpose.key
        self._topic = None if to_topic is None else to_topic.key
        self._value = value
        self._channel = channel
        self.column = ADDRESS_COLUMNS[channel]

    def reader(self, encoding: Encoding | None) -> CsvRows:
        """A reader of such a file."""
        return CsvRows(
            (self.column,),
            self._read,
            identifying=(self.column,),
            encoding=encoding,
            may_say_no=lambda _: self._value is ConsentValue.OPTED_OUT,
        )

    def _read(self, row: Mapping[str, str]) -> Capture:
        if not row[self.column].strip():
            raise Refusal(RefusalCode.INVALID_ADDRESS, "the row has no address", (self.column,))
        try:
            address = normalise(self._channel, row[self.column])
        except Refusal as refusal:
            raise Refusal(refusal.code, refusal.message, (self.column,)) from refusal
        place = f"{FORMAT}:{self._purpose}:{self._topic or ''}"
        return Capture(
            channel=self._channel,
            address=address,
            purpose=by_key(self._purpose),
            topic=None if self._topic is None else by_key(self._topic),
            value=self._value,
            source=ConsentSource.IMPORT,
            key_application=IMPORT_APPLICATION,
            row_keys=(row_key(place, {"channel": self._channel, "address": address, "value": self._value}),),
        )
