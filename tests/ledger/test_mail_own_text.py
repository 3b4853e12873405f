"""HTML as its reader sees it, whatever it was made of."""

import re

from hypothesis import given
from hypothesis import strategies as st

from ledger.mail_own_text import _text_of_html, without_unshown

# What is left out, said plainly; each element without an end has it look through all that follows.
_PLAINLY = re.compile(r"<(style|script|head)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL | re.ASCII)
_PIECES = ("<style>", "</STYLE >", "<script a=1>", "</script>", "<head", "</head>", "<header>", "text", "\n", "<", ">")


@given(st.lists(st.sampled_from(_PIECES), max_size=14).map("".join))
def test_what_no_reader_sees_is_left_out(text: str) -> None:
    assert without_unshown(text) == _PLAINLY.sub("", text)


def test_a_number_of_thousands_of_digits_is_no_character() -> None:
    assert _text_of_html("<p>stop&#" + "9" * 5_000 + ";&#33;") == "\nstop\N{REPLACEMENT CHARACTER}!"
