"""Log exports: one that is proven, every way to falsify one, and proofs in order held to proofs one by one."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.given import (
    ADA,
    BOB,
    CATALOGUE,
    FOREIGN_KEY,
    OTHER_KEY,
    START,
    TRUST,
    Log,
    Members,
    capture,
    demo_log,
    json_lines,
    texts,
    verified,
    witness,
)
from tlog.checkpoint import Checkpoint
from tlog.hashing import leaf_hash
from tlog.note import encode_base64
from tlog.prove import inclusion, nodes_of, subtree_root
from verifier.checkpoint import Trust
from verifier.inclusion import InclusionInOrder
from verifier.report import NotProven, Unusable

Edit = Callable[[Log, list[Members]], Any]


def test_a_log_export_is_proven_whole(log: Log) -> None:
    report = verified(log.export)
    assert report.proven
    said = texts(report)
    assert "PROVEN  the log consentry.local/log/demo has 12 events with root " in said
    assert "PROVEN  the log is here whole: 12 entries, positions 0 to 11, of 3 streams" in said
    assert "CLAIMED the times" in said
    assert verified(log.export.rstrip(b"\n")).proven, "the last line's end may be missing"


def test_the_smallest_logs() -> None:
    log = Log()
    assert "PROVEN  the log is empty" in texts(verified(log.export))
    log.add("TenantCreated", CATALOGUE, {"name": "Demo", "unitScoping": True})
    assert "1 entry, positions 0 to 0, of 1 stream" in texts(verified(log.export))


def test_a_witness_of_an_export_is_named(log: Log) -> None:
    lines = log.lines()
    lines[0]["checkpoint"] = log.checkpoint(cosigned_s=1_780_000_000)
    assert "cosigned by witness.example" in texts(verified(json_lines(lines), trust=Trust(TRUST.keys, (witness(),))))


def put(line: int, name: str, value: Any) -> Edit:
    def edit(log: Log, lines: list[Members]) -> None:
        lines[line][name] = value

    return edit


def signed_by(key: Any) -> Edit:
    def edit(log: Log, lines: list[Members]) -> None:
        log.key = key
        lines[0]["checkpoint"] = log.checkpoint()

    return edit


def swapped(log: Log, lines: list[Members]) -> None:
    lines[4], lines[5] = lines[5], lines[4]


def renumbered(log: Log, lines: list[Members]) -> None:
    swapped(log, lines)
    lines[4]["position"], lines[5]["position"] = 3, 4


def bad_entry(log: Log, lines: list[Members]) -> None:
    lines[9]["entry"] = encode_base64(log.entries[8].replace(b"OPTED_IN", b"NOT_SET"))


def with_bytes(edit: Callable[[bytes], bytes]) -> Edit:
    return lambda log, lines: edit(json_lines(lines))


NOT_PROVEN: dict[str, tuple[Edit, str]] = {
    "truncated": (lambda log, lines: lines.pop(), "line 13 (position 11): missing"),
    "truncated within a line": (with_bytes(lambda raw: raw[:-40]), "line 13 (position 11): not JSON"),
    "nothing but the header": (lambda log, lines: json_lines(lines[:1]), "line 2 (position 0): missing"),
    "a line left out": (lambda log, lines: lines.pop(5), "line 6 (position 4).position: is 5"),
    "reordered": (swapped, "line 5 (position 3).position: is 4"),
    "reordered and renumbered": (renumbered, "position 3: position: the entry's own is 4"),
    "a line twice": (lambda log, lines: lines.insert(5, lines[5]), "line 7 (position 5).position: is 4"),
    "a line more": (lambda log, lines: lines.append(lines[-1]), "line 14: follows the last"),
    "an empty line more": (with_bytes(lambda raw: raw + b"\n"), "line 14: follows the last"),
    "an empty line between": (with_bytes(lambda raw: raw.replace(b"\n", b"\n\n", 1)), "line 2 (position 0): not JSON"),
    "an entry edited": (bad_entry, "line 10 (position 8): proof: "),
    "another count": (put(0, "entries", 11), "entries: is 11"),
    "another origin": (put(0, "origin", "elsewhere"), "not of elsewhere"),
    "a member more in the header": (put(0, "more", 1), "more: not a member"),
    "a listed key that is none": (put(0, "verifierKeys", ["x"]), "verifierKeys[0]"),
    "no checkpoint": (lambda log, lines: lines[0].pop("checkpoint"), "checkpoint: missing"),
    "the checkpoint of another key": (signed_by(OTHER_KEY), "no trusted key"),
    "the checkpoint of another log": (signed_by(FOREIGN_KEY), "no trusted key"),
    "a member more": (put(3, "more", 1), "line 4 (position 2).more"),
    "a position as text": (put(3, "position", "2"), "line 4 (position 2).position: not a whole number"),
    "a position with a fraction": (put(3, "position", 2.0), "line 4 (position 2).position: not a whole number"),
    "a position that is true": (put(2, "position", True), "line 3 (position 1).position: not a whole number"),
    "a huge position": (put(3, "position", 10**30), "line 4 (position 2).position"),
    "no entry": (lambda log, lines: lines[3].pop("entry"), "line 4 (position 2).entry: missing"),
    "an entry that is no base64": (put(3, "entry", "?"), "line 4 (position 2).entry: not canonical base64"),
    "an entry that is no text": (put(3, "entry", 3), "line 4 (position 2).entry: not text"),
    "a proof that is no list": (put(3, "proof", "abc"), "line 4 (position 2).proof: not a list"),
    "a proof of numbers": (put(3, "proof", [1]), "line 4 (position 2): proof: not texts of canonical base64"),
    "a proof that is no base64": (
        put(3, "proof", ["?", "?"]),
        "line 4 (position 2): proof: not texts of canonical base64",
    ),
    "no proof": (put(3, "proof", []), "line 4 (position 2): proof: the proof has too few hashes"),
    "a proof too long": (lambda log, lines: lines[3]["proof"].append(lines[3]["proof"][0]), "too many hashes"),
    "a name twice": (
        with_bytes(lambda raw: raw.replace(b'{"position":2,', b'{"position":2,"position":2,')),
        "line 4 (position 2): a name is there twice",
    ),
    "a line without end": (
        with_bytes(lambda raw: raw.replace(b'{"position":2,', b'{"position":2' + b" " * 300_000 + b",")),
        "line 4 (position 2): longer than any entry's line",
    ),
    "a line that is no object": (
        with_bytes(lambda raw: raw.split(b"\n")[0] + b"\n[]\n"),
        "line 2 (position 0): not an",
    ),
    "a line that is no UTF-8": (with_bytes(lambda raw: raw.split(b"\n")[0] + b"\n\xff\n"), "not UTF-8"),
    "a line nested deeply": (with_bytes(lambda raw: raw.split(b"\n")[0] + b"\n" + b"[" * 100_000), "nested too deeply"),
}


@pytest.mark.parametrize("case", NOT_PROVEN)
def test_what_is_false_is_not_proven_and_named(log: Log, case: str) -> None:
    edit, fragment = NOT_PROVEN[case]
    lines = log.lines()
    raw = edit(log, lines)
    report = verified(raw if isinstance(raw, bytes) else json_lines(lines))
    assert not report.proven
    assert fragment in str(report.failure)


@pytest.mark.parametrize(
    ("edit", "fragment"),
    [
        (put(0, "format", "consentry-logs"), "none of the known formats"),
        (put(0, "version", 2), "version 1 only"),
        (with_bytes(lambda raw: raw[1:]), "none of the known formats"),
        (
            with_bytes(lambda raw: raw.replace(b'"version":1', b'"version":1,"version":1', 1)),
            "none of the known formats",
        ),
        (with_bytes(lambda raw: raw[:50]), "none of the known formats"),
    ],
)
def test_what_is_no_log_export_is_unusable(log: Log, edit: Edit, fragment: str) -> None:
    lines = log.lines()
    raw = edit(log, lines)
    with pytest.raises(Unusable, match=fragment):
        verified(raw or json_lines(lines))


@pytest.mark.parametrize(
    ("given_here", "fragment"),
    [
        ({"position": 3}, "position 12: position: the entry's own is 3"),
        ({"tenant": "evil"}, "position 12: tenant: is evil, not demo"),
        ({"number": 4}, "position 12: number: is 4, where number 2"),
        ({"number": 1}, "position 12: number: is 1, where number 2"),
        ({"previous": 7}, "position 12: previous: is 7, and its stream's event before is at 10"),
        ({"previous": None}, "position 12: previous: is None"),
        ({"recorded_at": START}, "position 12: recordedAt: is before that of position 11"),
        ({"version": 9}, "position 12: type: version 9 of ConsentCaptured"),
        ({"stream": CATALOGUE, "number": 8, "previous": 11}, "position 12: stream: ConsentCaptured has no place"),
        ({"personal": {"evidence": b"short"}}, "position 12: personal.evidence"),
    ],
)
def test_a_log_that_signs_nonsense_is_not_proven(log: Log, given_here: Members, fragment: str) -> None:
    log.add("ConsentCaptured", ADA, capture("OPTED_OUT"), **given_here)
    report = verified(log.export)
    assert not report.proven
    assert fragment in str(report.failure)


def test_an_event_of_an_unknown_type_is_not_guessed_at(log: Log) -> None:
    log.add("ConsentGuessed", ADA, {})
    assert "position 12: type: events of type ConsentGuessed are not known here" in str(verified(log.export).failure)


def long_log(entries: int) -> Log:
    log = demo_log()
    while log.size() < entries:
        log.add("ConsentCaptured", ADA if log.size() % 3 else BOB, capture("OPTED_IN"))
    return log


@pytest.mark.parametrize("size", [13, 16, 31, 33, 64, 100])
def test_logs_of_any_size_are_proven(size: int) -> None:
    assert verified(long_log(size).export).proven


@given(st.data())
def test_proofs_in_order_are_proofs_one_by_one(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70))
    leaves = [leaf_hash(bytes([number])) for number in range(size)]
    node_at = nodes_of(leaves)
    checkpoint = Checkpoint("log", size, subtree_root(0, size, node_at))
    proofs = [[encode_base64(hash_) for hash_ in inclusion(index, size, node_at)] for index in range(size)]
    whole = InclusionInOrder(checkpoint)
    for index, leaf in enumerate(leaves):
        whole.check(index, leaf, proofs[index], "here")
    wrong = data.draw(st.integers(0, size - 1))
    change = data.draw(st.sampled_from(["leaf", "hash", "short", "long", "order"]))
    leaf, proof = leaves[wrong], list(proofs[wrong])
    if change == "leaf":
        leaf = leaf_hash(b"another")
    elif change == "long":
        proof.append(encode_base64(bytes(32)))
    elif not proof:
        return
    elif change == "hash":
        proof[data.draw(st.integers(0, len(proof) - 1))] = encode_base64(leaf_hash(b"another"))
    elif change == "short":
        del proof[data.draw(st.integers(0, len(proof) - 1))]
    else:
        proof.reverse()
        if proof == proofs[wrong]:
            return
    broken = InclusionInOrder(checkpoint)
    for index in range(wrong):
        broken.check(index, leaves[index], proofs[index], "here")
    with pytest.raises(NotProven):
        broken.check(wrong, leaf, proof, "here")


LINES = demo_log().lines()
RAW = json_lines(LINES)


def parsed(raw: bytes) -> Any:
    try:
        return [json.loads(line) for line in raw.split(b"\n")[:-1]]
    except ValueError:
        return None


@given(st.integers(0, len(RAW) - 2), st.integers(0, 255))
def test_any_byte_changed_is_noticed(at: int, byte: int) -> None:
    raw = RAW[:at] + bytes([byte]) + RAW[at + 1 :]
    try:
        proven = verified(raw).proven
    except Unusable:
        return
    assert not proven or parsed(raw) == LINES
