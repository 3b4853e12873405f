"""An address as a page may show it."""

import pytest

from domain.addresses import Channel
from domain.masked_address import masked


@pytest.mark.parametrize(
    ("channel", "address", "shown"),
    [
        (Channel.EMAIL, "lea@example.org", "l…@e….org"), (Channel.EMAIL, "a@b.de", "…@….de"),
        (Channel.EMAIL, "jörg.w@mail.example.co.uk", "j…@m….uk"), (Channel.SMS, "+4930123456", "+49…56"),
        (Channel.VOICE, "+12125550123", "+12…23"), (Channel.PUSH, "device-1", None), (Channel.CUSTOM, "@lea", None),
    ],
)  # fmt: skip
def test_most_of_it_is_hidden(channel: Channel, address: str, shown: str | None) -> None:
    assert masked(channel, address) == shown
