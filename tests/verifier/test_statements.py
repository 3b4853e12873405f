"""Stream statements, checkpoints and proofs as files of their own; what proves a statement a lie."""

from io import BytesIO
from typing import Any

import pytest

from tests.verifier.given import (
    ADA,
    BOB,
    FOREIGN_KEY,
    KEY,
    ORIGIN,
    OTHER_KEY,
    TRUST,
    Log,
    capture,
    texts,
    verified,
)
from tlog.checkpoint import open_checkpoint
from tlog.note import encode_base64, signed
from tlog.proof_text import ProofText
from tlog.prove import inclusion
from verifier.checkpoint import Trust
from verifier.report import NotProven, Unusable
from verifier.statements import contradicts, open_stream_statement


def test_a_stream_statement_is_proven_to_be_stated(log: Log) -> None:
    said = texts(verified(log.statement(ADA, 9).encode()))
    assert f"stream {ADA} has 1 event at size 9" in said
    assert "CLAIMED that this is so" in said
    assert "PROVEN  it is so" in texts(verified(log.statement(ADA, 9).encode(), log=log.export))


@pytest.mark.parametrize(
    ("given_here", "fragment"),
    [
        ({"events": 1}, "position 10: holds number 1 of stream"),
        ({"events": 3}, "has 2 events of that stream at size 12: the statement is a lie"),
        ({"root": encode_base64(bytes(32))}, "equivocation"),
    ],
)
def test_a_statement_that_the_log_contradicts_is_not_proven(
    log: Log, given_here: dict[str, Any], fragment: str
) -> None:
    note = log.statement(ADA, **given_here).encode()
    assert verified(note).proven, "that it was stated"
    assert fragment in str(verified(note, log=log.export).failure)


def test_an_entry_that_was_said_not_to_be_there_proves_a_lie(log: Log) -> None:
    lie = open_stream_statement(log.statement(ADA, size=11, events=1), TRUST)
    truth = open_stream_statement(log.statement(ADA, size=11), TRUST)
    early = open_stream_statement(log.statement(ADA, size=10), TRUST)
    of_bob = open_stream_statement(log.statement(BOB, size=11, events=1), TRUST)
    log.add("ConsentCaptured", BOB, capture("OPTED_IN"))
    for size in (11, log.size()):
        checkpoint, _ = open_checkpoint(log.checkpoint(size), TRUST.keys)
        proof = inclusion(10, size, log.node_at(size))
        shown = contradicts(lie, log.entries[10], proof, checkpoint)
        assert shown is not None
        assert "number 1 of it is at position 10: the statement is a lie" in shown
        for statement in (truth, early, of_bob):
            assert contradicts(statement, log.entries[10], proof, checkpoint) is None
        with pytest.raises(NotProven, match="proof"):
            contradicts(lie, log.entries[10].replace(b"OPTED_OUT", b"OPTED_IN"), proof, checkpoint)
        with pytest.raises(NotProven, match="proof"):
            contradicts(lie, log.entries[10], proof[:-1], checkpoint)
    log.key = FOREIGN_KEY
    foreign, _ = open_checkpoint(log.checkpoint(), [FOREIGN_KEY.verifier])
    with pytest.raises(NotProven, match="the checkpoint is of"):
        contradicts(lie, log.entries[10], log_proof(log, 10), foreign)


def log_proof(log: Log, position: int) -> list[bytes]:
    return inclusion(position, log.size(), log.node_at(log.size()))


def note_of(*lines: str) -> bytes:
    text = "".join(f"{line}\n" for line in lines)
    return signed(text, KEY.sign(text)).encode()


@pytest.mark.parametrize(
    ("note", "fragment"),
    [
        (b"consentry/stream-statement@v1\n", "blank line"),
        (b"consentry/stream-statement@v1\n\n- x y\n", "a signature line"),
        (note_of("consentry/stream-statement@v1"), "three lines"),
        (note_of("consentry/stream-statement@v1", ORIGIN), "three lines"),
        (note_of("consentry/stream-statement@v1", ORIGIN, "{}", "{}"), "three lines"),
        (note_of("consentry/stream-statement@v1", "elsewhere", "{}"), "no trusted key of elsewhere"),
        (note_of("consentry/stream-statement@v1", ORIGIN, "[]"), "not canonical JSON"),
        (note_of("consentry/stream-statement@v1", ORIGIN, "{ }"), "not canonical JSON"),
        (note_of("consentry/stream-statement@v1", ORIGIN, '{"events":' + "9" * 5000 + "}"), "number is too long"),
        (note_of("consentry/stream-statement@v1", ORIGIN, "[" * 50_000), "not canonical JSON"),
        (note_of("consentry/stream-statement@v1", ORIGIN, '{"a":1,"a":1}'), "not canonical JSON"),
        (note_of("consentry/stream-statement@v1", ORIGIN, "{}"), "statement.stream: missing"),
        (note_of("consentry/receipt@v1", ORIGIN, "{}"), "receipt.question: missing"),
    ],
)
def test_notes_that_are_none_are_not_proven(note: bytes, fragment: str) -> None:
    report = verified(note)
    assert not report.proven
    assert fragment in str(report.failure)


def test_a_checkpoint_alone(log: Log) -> None:
    note = log.checkpoint(5).encode()
    assert "PROVEN  the log consentry.local/log/demo has 5 events" in texts(verified(note))
    assert "the checkpoint is of this very log, up to size 5" in texts(verified(note, log=log.export))
    assert not verified(note, trust=Trust((OTHER_KEY.verifier,))).proven
    rewritten = log.checkpoint(5, root=bytes(32)).encode()
    assert "equivocation" in str(verified(rewritten, log=log.export).failure)
    with pytest.raises(Unusable):
        verified(b"consentry.local/log/demo\n5\n")


def test_a_proof_as_a_file(log: Log) -> None:
    proof = ProofText(10, tuple(log_proof(log, 10)), log.checkpoint()).text().encode()
    assert "CLAIMED what is at position 10" in texts(verified(proof))
    for entry in (log.entries[10], encode_base64(log.entries[10]).encode() + b"\n"):
        said = texts(verified(proof, entry=entry))
        assert f"PROVEN  event 10 (number 1 of stream {ADA}): ConsentCaptured OPTED_OUT" in said
    assert "another root" in str(verified(proof, entry=log.entries[7]).failure)
    with pytest.raises(Unusable, match="neither JSON nor base64"):
        verified(proof, entry=b"\xff")
    beyond = ProofText(12, (), log.checkpoint()).text().encode()
    assert "index: is 12" in str(verified(beyond).failure)
    assert "proof: " in str(verified(b"c2sp.org/tlog-proof@v1\nindex 05\n\nx\n").failure)
    with pytest.raises(Unusable):
        verified(proof, log=log.export)


def test_keys_that_are_none_are_unusable(log: Log) -> None:
    from tests.verifier.given import witness

    for keys, witnesses in (
        (["x"], []),
        ([KEY.verifier.text()[:-1]], []),
        ([witness().text()], []),
        ([KEY.verifier.text()], [KEY.verifier.text()]),
        ([""], []),
    ):
        with pytest.raises(Unusable):
            Trust.parse(keys, witnesses)
    assert Trust.parse([KEY.verifier.text()]) == TRUST
    assert BytesIO(log.export).readline()
