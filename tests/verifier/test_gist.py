"""The quick reading of entries says what decoding says, and takes nothing for an entry that is none."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.verifier.given import demo_log
from tlog.entry import Entry, decode, encode
from verifier.gist import gist_of, read_gist

INSTANTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(lambda i: i.replace(tzinfo=UTC))  # noqa: DTZ001
WORDS = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True) | st.text(max_size=5)
WHOLES = st.integers(0, 2**53 - 1)
VALUES = st.recursive(
    st.text(max_size=20) | st.integers(-(2**53), 2**53) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
HASHES = st.binary(min_size=32, max_size=32)
ENTRIES = st.builds(
    Entry,
    event_id=st.uuids(),
    tenant=WORDS,
    type=WORDS,
    version=WHOLES,
    stream=st.uuids(),
    number=WHOLES,
    previous=st.none() | WHOLES,
    position=WHOLES,
    recorded_at=INSTANTS,
    effective_at=st.none() | INSTANTS,
    application=st.none() | WORDS,
    actor=WORDS,
    data=st.dictionaries(st.sampled_from(["format", "id", "a"]), VALUES, max_size=3),
    personal=st.dictionaries(st.sampled_from(["address", "evidence", "other"]), HASHES),
)


def agree(raw: bytes) -> None:
    gist = read_gist(raw)
    if gist is not None:
        assert gist == gist_of(decode(raw))


@given(ENTRIES)
def test_it_says_what_decoding_says(entry: Entry) -> None:
    try:
        raw = encode(entry)
    except ValueError:
        return
    agree(raw)


RAWS = demo_log().entries


@pytest.mark.parametrize("raw", RAWS)
def test_entries_as_they_are_written_are_read_quickly(raw: bytes) -> None:
    assert read_gist(raw) == gist_of(decode(raw))


@given(st.sampled_from(RAWS), st.data())
def test_no_byte_makes_it_take_what_is_no_entry(raw: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(raw) - 1))
    agree(raw[:at] + data.draw(st.binary(max_size=2)) + raw[at + data.draw(st.integers(0, 2)) :])


@given(st.sampled_from([b"data", b"recordedAt", b"effectiveAt", b"number", b"version"]), st.text(max_size=20))
@example(b"number", "1.0")
@example(b"number", "01")
@example(b"number", "true")
@example(b"recordedAt", '"2026-02-30T00:00:00.000000Z"')
@example(b"effectiveAt", '"2026-06-01T24:00:00.000000Z"')
@example(b"data", '{"a":1.0}')
@example(b"data", '{"a":null}')
@example(b"data", '{"b":1,"a":1}')
@example(b"data", '{"a":1,"a":1}')
@example(b"data", '{"a":1}{}')
@example(b"data", '{"a":1},"data":{}')
@example(b"data", '{"a":"\\u0041"}')
@example(b"data", '{"a":' + "1" * 5000 + "}")
@example(b"data", '{"a":' + "[" * 50_000 + "}")
@example(b"data", '{"a":"' + "x" * 66_000 + '"}')
def test_no_value_makes_it_take_what_is_no_entry(name: bytes, value: str) -> None:
    raw = RAWS[10]
    start = raw.index(b'"' + name + b'":') + len(name) + 3
    end = raw.index(b"}" if name in (b"data", b"version") else b",", start) + (name == b"data")
    changed = raw[:start] + value.encode() + raw[end:]
    agree(changed)


def test_an_inner_object_is_no_tail_of_an_entry() -> None:
    raw = RAWS[10]
    tail: Any = raw[raw.index(b',"format":1') :]
    agree(raw[: raw.index(b"}")] + b',"x":{"y":{}' + tail + b"}" + tail)
