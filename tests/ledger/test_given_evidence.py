"""A notice that holds the address, however it is spelled, is personal: it goes to the vault and is destroyed with it."""

import re
import unicodedata
from re import _constants as constants  # pyright: ignore[reportAttributeAccessIssue]
from re import _parser as parser  # pyright: ignore[reportAttributeAccessIssue]
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import given_evidence as module
from ledger.given_evidence import NOTICE_CHARS_MAX, Evidence, given_evidence, mail_words, names_address

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


# What an address in a text is, said plainly; it takes the square of the length where there is no @.
_PLAINLY = re.compile(r"[^\s<>()\[\]\"',;:=&?/]+@[^\s<>()\[\]\"',;:=&?/]+")


@given(st.text(alphabet="ab@ .<>/,\n\u2028", max_size=30))
def test_the_words_of_a_notice_are_those_that_may_be_addresses(text: str) -> None:
    assert mail_words(text) == _PLAINLY.findall(text)


def test_no_pattern_here_starts_again_at_each_character() -> None:
    """What can be repeated without end stands last in each pattern, so no failure behind it sends the search back."""
    patterns = {name: value for name, value in vars(module).items() if isinstance(value, re.Pattern)}
    # It starts only where a run of backslashes does.
    assert patterns.pop("_NUL_IN_JSON").pattern.startswith(r"(?<!\\)(?:\\\\)*")
    for name, pattern in patterns.items():
        assert not _repeats_before_something(parser.parse(pattern.pattern)), name
    assert _repeats_before_something(parser.parse(_PLAINLY.pattern))


def _repeats_before_something(parsed: Any) -> bool:
    repeats = [
        number
        for number, (operation, argument) in enumerate(parsed)
        if operation in (constants.MAX_REPEAT, constants.MIN_REPEAT) and argument[1] is constants.MAXREPEAT
    ]
    return any(number < len(parsed) - 1 for number in repeats)


@pytest.mark.parametrize(
    "text",
    ["&#" + "9" * 5_000, "&amp;#" + "9" * 5_000, "%26%23" + "9" * 5_000, "a" + "\u0300\u0316" * 20, "&#x300;" * 40],
)
def test_what_cannot_be_looked_into_is_taken_as_personal_and_refused_to_nobody(text: str) -> None:
    sealed, notice = given_evidence(Evidence(notice_text=text), {}, "nora.secret@x.org")
    assert notice is None
    assert sealed is not None


def test_letters_with_ordinary_marks_can_be_looked_into() -> None:
    assert not names_address("Ti\u0302\u0301\u0323ng Vie\u0323\u0302t, \u0f42\u0f73", "nora.secret@x.org")


def test_normalising_orders_no_more_marks_than_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = 0
    normalize = unicodedata.normalize

    def spied(form: Any, text: str) -> str:
        nonlocal longest
        runs = "".join("m" if unicodedata.combining(one) else " " for one in normalize("NFKD", text)).split()
        longest = max(longest, *map(len, runs), 0)
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", spied)
    marks = [chr(code) for code in range(0x110000) if unicodedata.combining(normalize("NFKD", chr(code))[0])]
    for mark in marks:
        names_address("a" + mark * 200, "nora.secret@x.org")
    assert longest <= 100
    assert len("".join(marks)) < NOTICE_CHARS_MAX
