"""A line of JSON is one to whoever splits lines as Unicode does, and says the same."""

import json

from hypothesis import given
from hypothesis import strategies as st

from domain.json_lines import one_line

LINE_ENDS = "".join(one for one in map(chr, range(0x110000)) if len(f"a{one}a".splitlines()) > 1)


def test_nothing_that_ends_a_line_is_left() -> None:
    assert set("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029") == set(LINE_ENDS)
    for given_value in ({"a": LINE_ENDS}, {LINE_ENDS: "ü"}, LINE_ENDS):
        line = one_line(json.dumps(given_value, ensure_ascii=False))
        assert len(line.splitlines()) == 1
        assert json.loads(line) == given_value


@given(st.text())
def test_it_says_the_same(text: str) -> None:
    line = one_line(json.dumps(text, ensure_ascii=False))
    assert json.loads(line) == text
    assert len(line.splitlines()) == 1
