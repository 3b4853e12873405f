"""The bytes of an entry: one spelling, RFC 8785's, and nothing else is taken for an entry."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore.array_literal import array_literal, bytes_literal, plain_literal
from eventstore.database import DatabaseAddress
from tests.tlog import entry_by_hand
from tlog import canonical_json
from tlog.entry import ENTRY_BYTES_MAX, Entry, EntryTooLarge, MalformedEntry, decode, encode, instant_text, read

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
KEYS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12)
VALUES = st.recursive(
    TEXT | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
INSTANTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda instant: instant.replace(tzinfo=UTC))  # noqa: DTZ001
ENTRIES = st.builds(
    Entry,
    event_id=st.uuids(),
    tenant=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True),
    type=st.sampled_from(["ConsentCaptured", "PurposeCreated"]),
    version=st.integers(1, 9),
    stream=st.uuids(),
    number=st.integers(0, 10**9),
    previous=st.none() | st.integers(0, 10**9),
    position=st.integers(0, 10**12),
    recorded_at=INSTANTS,
    effective_at=st.none() | INSTANTS,
    application=st.none() | st.sampled_from(["import", "mail-sender"]),
    actor=st.sampled_from(["SYSTEM", "RECIPIENT"]),
    data=st.dictionaries(KEYS, VALUES, max_size=5),
    personal=st.dictionaries(st.sampled_from(["address", "evidence"]), st.binary(min_size=32, max_size=32)),
)


def jcs(value: Any) -> str:
    """RFC 8785 section 3.2, slow and obvious, for what an entry may hold."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        short = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
        return '"' + "".join(short.get(ord(c), c if ord(c) >= 32 else f"\\u{ord(c):04x}") for c in value) + '"'
    if isinstance(value, list):
        return "[" + ",".join(map(jcs, value)) + "]"
    ordered = sorted(value.items(), key=lambda item: item[0].encode("utf-16-be"))
    return "{" + ",".join(f"{jcs(key)}:{jcs(item)}" for key, item in ordered) + "}"


@given(ENTRIES)
def test_an_entry_survives_being_written_and_read(entry: Entry) -> None:
    raw = encode(entry)
    assert decode(raw) == entry
    assert read(raw) == entry


@given(ENTRIES)
def test_an_entry_is_canonical_json(entry: Entry) -> None:
    raw = encode(entry)
    assert raw.decode() == jcs(json.loads(raw))


def verdict(how: Callable[[bytes], Entry], raw: bytes) -> Entry | None:
    try:
        return how(raw)
    except MalformedEntry:
        return None


OTHER_MEMBERS = st.dictionaries(
    st.sampled_from(
        ["actor", "application", "data", "effectiveAt", "format", "id", "number", "personal", "position", "previous",
         "recordedAt", "stream", "tenant", "type", "version", "more"]
    ),
    st.none() | st.booleans() | st.floats() | st.integers() | st.sampled_from([2**53 - 1, 2**53, -1, 1, 2**64, 10**30])
    | TEXT | st.text(max_size=3) | INSTANTS.map(lambda instant: instant.isoformat()) | st.uuids().map(str)
    | st.uuids().map(lambda one: str(one).upper())
    | st.sampled_from([
        "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000000", "2026-01-01T01:00:00.000000+01:00",
        "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000+00:00", "2026-01-01 00:00:00.000000Z", "2026-01-01",
        "2026-01-01T24:00:00.000000Z", "0000-01-01T00:00:00.000000Z", "AA==", "a", "00000000000000000000000000000001",
    ])
    | st.dictionaries(st.text(max_size=3), VALUES | st.none() | st.floats() | st.integers() | st.text(max_size=3), max_size=3)
    | st.lists(VALUES, max_size=2)
    | st.dictionaries(
        st.sampled_from(["address", "\u00e4", 'a"b']), st.sampled_from(["AA==", "AB==", "AA", "A A=", "", "++++", "a\n", 1])
    ),
    min_size=1,
    max_size=2,
)  # fmt: skip


@given(ENTRIES, OTHER_MEMBERS, st.sampled_from([None, "actor", "data", "recordedAt", "format"]))
@settings(max_examples=300)
def test_other_members_are_read_as_by_hand(entry: Entry, others: dict[str, Any], without: str | None) -> None:
    members = {**json.loads(encode(entry)), **others}
    members.pop(without, None)  # type: ignore[arg-type]
    text = json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for raw in (
        text.encode("utf-8", "surrogatepass"),
        json.dumps(members, sort_keys=True, separators=(",", ":")).encode(),
    ):
        assert verdict(decode, raw) == verdict(entry_by_hand.decode, raw)


@given(ENTRIES, st.data())
@settings(max_examples=200)
def test_bent_bytes_are_read_as_by_hand(entry: Entry, data: st.DataObject) -> None:
    raw = encode(entry)
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(raw)), st.integers(0, len(raw)))))
    new = data.draw(
        st.binary(max_size=3)
        | st.sampled_from(
            [b'"', b"\\u0041", b"\\ud800", b"\\/", b"-0", b"1.0", b"1e0", b"null", b"true", b",", b"{}", b"\x7f"]
        )
    )
    for bent in (
        raw[:start] + new + raw[end:],
        raw[:start] + new + raw[start:],
        raw[:start] + raw[start:end] * 2 + raw[end:],
    ):
        assert verdict(decode, bent) == verdict(entry_by_hand.decode, bent)


@pytest.mark.parametrize("how", [decode, entry_by_hand.decode])
def test_what_only_looks_like_an_entry_is_refused(how: Callable[[bytes], Entry]) -> None:
    raw = encode(
        Entry(
            event_id=UUID(int=1), tenant="t", type="T", version=1, stream=UUID(int=2), number=0, previous=None, position=0,
            recorded_at=datetime(2026, 1, 1, 1, tzinfo=UTC), effective_at=datetime(2026, 1, 1, 1, tzinfo=UTC),
            application=None, actor="SYSTEM", data={"x": ""},
        )
    )  # fmt: skip
    assert verdict(how, raw) is not None
    for old, new in [
        (b"2026-01-01T01:00:00.000000Z", b"2026-01-01T02:00:00.000000+01:00"),
        (b"2026-01-01T01:00:00.000000Z", b"2026-01-01T01:00:00.000000"),
        (b'{"x":""}', b'{"x":"","x":""}'),
        (b'{"x":""}', b'{"x":null}'),
        (b'{"x":""}', b'{"x":1.5}'),
        (b'{"x":""}', b'{"x":9007199254740992}'),
        (b'{"x":""}', '{"\u00e4":""}'.encode()),
        (b'{"x":""}', b'{"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}"),
        (b'"format":1', b'"format":2'),
        (b'"format":1', b'"format":true'),
        (b'"number":0', b'"number":-0'),
        (b'"number":0', b'"number":0,"number":0'),
        (b'"number":0', b'"number":0,"more":0'),
        (b'"number":0', b'"number":0,"personal":{}'),
        (b'"tenant":"t"', b'"tenant":"\\ud800"'),
        (b'"tenant":"t"', b'"tenant":"\xed\xa0\x80"'),
    ]:
        bent = raw.replace(old, new)
        assert bent != raw
        # A refused spelling of an instant must not be remembered for the one that it equals.
        instant_text.cache_clear()
        assert verdict(how, bent) is None, new
        assert encode(how(raw)) == raw


@given(ENTRIES, st.data())
def test_other_bytes_are_no_entry(entry: Entry, data: st.DataObject) -> None:
    raw = encode(entry)
    at = data.draw(st.integers(0, len(raw) - 1))
    for bent in (raw[:at], raw + b" ", raw[:at] + b" " + raw[at:], raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]):
        try:
            other = decode(bent)
        except MalformedEntry:
            continue
        assert other != entry
        assert encode(other) == bent


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_canonical_json_is_rfc_8785(value: dict[str, Any]) -> None:
    canonical_json.check(value)
    assert canonical_json.encode(value).decode() == jcs(value)
    assert canonical_json.decode(canonical_json.encode(value)) == value


@pytest.mark.parametrize("value", [{"a": None}, {"a": 1.5}, {"a": 2**53}, {"ä": 1}, {"a": b""}, {"a": {1: 2}}])
def test_what_has_no_canonical_form_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(canonical_json.NotCanonical):
        canonical_json.check(value)


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(canonical_json.NotCanonical):
        canonical_json.encode({"a": "\ud800"})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'{"a":1, "b":2}',
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1e2}',
        b"\xff",
        b'{"a":' + b"9" * 5_000 + b"}",
    ],
)
def test_other_spellings_are_refused(raw: bytes) -> None:
    with pytest.raises(canonical_json.NotCanonical):
        canonical_json.decode(raw)


def test_an_entry_has_at_most_65535_bytes() -> None:
    entry = Entry(
        event_id=UUID(int=1), tenant="t", type="T", version=1, stream=UUID(int=2), number=0, previous=None, position=0,
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC), effective_at=None, application=None, actor="SYSTEM", data={"x": ""},
    )  # fmt: skip
    spare = ENTRY_BYTES_MAX - len(encode(entry))
    assert len(encode(entry._replace(data={"x": "x" * spare}))) == ENTRY_BYTES_MAX
    with pytest.raises(EntryTooLarge):
        encode(entry._replace(data={"x": "x" * (spare + 1)}))


def test_the_published_vectors_of_rfc_8785(shared: Callable[[str], Path]) -> None:
    folder = shared("vectors/jcs")
    seen = 0
    for source in sorted(folder.rglob("*.json")):
        if "input" not in source.parts:
            continue
        value = json.loads(source.read_bytes())
        expected = Path(str(source).replace("/input/", "/output/"))
        try:
            canonical_json.check(value)
        except canonical_json.NotCanonical:
            continue
        if isinstance(value, dict):
            assert canonical_json.encode(value) == expected.read_bytes().rstrip(b"\n")
            seen += 1
    if not seen:
        pytest.skip("no vector stays within strings, integers and booleans")


@pytest.mark.parametrize("element", ['a"b', "a\\b", '"', '","'])
def test_array_literals_refuse_what_would_need_escapes(element: str) -> None:
    with pytest.raises(ValueError, match="no place"):
        array_literal(["x", element])


async def test_array_literals_are_what_the_database_reads(database: DatabaseAddress) -> None:
    connection = await asyncpg.connect(**database.owner)
    try:
        elements = ["null", "NULL", "", "a,b", "{", "}", " x ", "1", None]
        assert await connection.fetchval("SELECT $1::text::text[]", array_literal(elements)) == elements
        assert await connection.fetchval("SELECT $1::text::bigint[]", array_literal([1, None, -2])) == [1, None, -2]
        assert await connection.fetchval("SELECT $1::text::uuid[]", array_literal([])) == []
        pieces = [b"", b'\0"\\x,{', bytes(range(256))]
        assert await connection.fetchval("SELECT $1::text::bytea[]", bytes_literal(pieces)) == pieces
        assert await connection.fetchval("SELECT $1::text::bigint[]", plain_literal([1, -2])) == [1, -2]
    finally:
        await connection.close()


@given(st.dictionaries(KEYS, VALUES | st.text(max_size=40).filter(lambda text: text.isascii() or text.isprintable())))
def test_canonical_json_is_what_the_standard_library_writes(value: dict[str, Any]) -> None:
    plain = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert canonical_json.encode(value) == plain.encode()
    assert canonical_json.loads(plain.encode()) == value


def test_canonical_json_goes_as_deep_as_the_standard_library() -> None:
    value: Any = []
    for _ in range(400):
        value = [value]
    assert canonical_json.encode({"a": value}) == b'{"a":' + b"[" * 401 + b"]" * 401 + b"}"
    assert canonical_json.decode(canonical_json.encode({"a": value})) == {"a": value}
