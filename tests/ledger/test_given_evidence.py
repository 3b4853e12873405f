"""A notice that holds the address, however it is spelled, is personal: it goes to the vault and is destroyed with it."""

import pytest

from ledger.given_evidence import Evidence, given_evidence

NAMING = [
    ("nora.secret@x.org", "Write to nora.secret@x.org"),
    ("nora.secret@x.org", "https://x.org/?e=nora.secret%40x.org"),
    ("nora.secret@x.org", "https://x.org/?e=NORA.secret%2540x.org"),
    ("nora.secret@x.org", "nora.secret&#64;x.org"),
    ("nora.secret@x.org", "nora.secret＠x.org"),
    ("ivy@xn--bcher-kva.example", "ivy@BÜCHER.example"),
    ("ivy@bücher.example", "<ivy@xn--bcher-kva.example>"),
    ("+4915123456789", "We will text you on +49 151 23456789"),
    ("+4915123456789", "Call (0151) 234-567-89"),
    ("device-1", "Device-1 shows this"),
]
NAMING_NOBODY = [
    ("nora.secret@x.org", "Write to privacy@brand.example, or call +49 30 1234567"),
    ("+4915123456789", "Reply STOP to 4567"),
    ("nora.secret@x.org", "We write monthly. Agree?"),
]


@pytest.mark.parametrize(("address", "text"), NAMING)
def test_a_notice_that_names_the_address_is_personal(address: str, text: str) -> None:
    sealed, notice = given_evidence(Evidence(notice_text=text), {}, address)
    assert notice is None
    assert sealed is not None


@pytest.mark.parametrize(("address", "text"), NAMING_NOBODY)
def test_another_is_shared_by_its_content(address: str, text: str) -> None:
    sealed, notice = given_evidence(Evidence(notice_text=text), {}, address)
    assert notice is not None
    assert (sealed, notice[1]) == (None, text)
