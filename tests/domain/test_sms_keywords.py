"""Words are told apart in time proportional to a text's length, whatever marks it is made of."""

import unicodedata

from domain.sms_keywords import _is_mark, words_of


def test_what_goes_before_a_text_is_taken_apart_would_leave_nothing_after_it() -> None:
    gone = [chr(code) for code in range(0x110000) if _is_mark(chr(code))]
    for mark in gone:
        folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", mark).casefold())
        assert {unicodedata.category(one)[0] for one in folded} == {"M"}, hex(ord(mark))
    left = {one for one in map(chr, range(0x110000)) if unicodedata.combining(unicodedata.normalize("NFKD", one)[0])}
    # One class of marks, which is in order however many there are.
    assert left - set(gone) == {"\u0345"}
    assert words_of("s\u0300\u0316t\u0f73o\uff9ep") == ("stop",)
