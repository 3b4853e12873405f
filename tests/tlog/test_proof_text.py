"""Proofs as files: vectors by others, and each rule of the format broken once."""

import json
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlog.proof_text import MalformedProofText, ProofText, parse_proof_text

HASH = "A" * 43 + "="


def test_proofs_to_write_and_to_read(shared: Callable[[str], Path]) -> None:
    for case in json.loads(shared("vectors/tlog_proof/cases.json").read_bytes())["good"]:
        hashes = tuple(b64decode(hash_) for hash_ in case["hashes_b64"])
        extra = None if case["extra_utf8"] is None else case["extra_utf8"].encode()
        proof = ProofText(case["index"], hashes, case["checkpoint"], extra)
        assert proof.text() == case["text"]
        assert parse_proof_text(case["text"]) == proof


def test_proofs_to_reject(shared: Callable[[str], Path]) -> None:
    for case in json.loads(shared("vectors/tlog_proof/cases.json").read_bytes())["bad"]:
        with pytest.raises(MalformedProofText):
            parse_proof_text(case["text"])


HEADER = "c2sp.org/tlog-proof@v1\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEADER,
        HEADER + "index 0\n",
        HEADER + "index 0\n\n",
        HEADER + "index 0\n\ncheckpoint",
        HEADER + "index 0\n\n\ncheckpoint\n",
        HEADER + "\ncheckpoint\n",
        "\n" + HEADER + "index 0\n\ncheckpoint\n",
        HEADER.replace("v1", "v2") + "index 0\n\ncheckpoint\n",
        HEADER + "index 00\n\ncheckpoint\n",
        HEADER + "index  0\n\ncheckpoint\n",
        HEADER + "index 0 \n\ncheckpoint\n",
        HEADER + "index\n\ncheckpoint\n",
        HEADER + f"index {1 << 63}\n\ncheckpoint\n",
        HEADER + "index ٣\n\ncheckpoint\n",
        HEADER + "index 0\nindex 0\n\ncheckpoint\n",
        HEADER + "index 0\nextra AAAA\n\ncheckpoint\n",
        HEADER + "extra AAAA\nextra AAAA\nindex 0\n\ncheckpoint\n",
        HEADER + "extra\nindex 0\n\ncheckpoint\n",
        HEADER + "extra AAA\nindex 0\n\ncheckpoint\n",
        HEADER + "extra AAB=\nindex 0\n\ncheckpoint\n",
        HEADER + f"{HASH}\nindex 0\n\ncheckpoint\n",
        HEADER + f"index 0\n{HASH} \n\ncheckpoint\n",
        HEADER + f"index 0\n{HASH[:-1]}\n\ncheckpoint\n",
        HEADER + "index 0\n" + "A" * 42 + "B=\n\ncheckpoint\n",
        HEADER + "index 0\n" + "A" * 44 + "\n\ncheckpoint\n",
        HEADER + "index 0\n" + f"{HASH}\n" * 64 + "\ncheckpoint\n",
        (HEADER + f"index 0\n{HASH}\n\ncheckpoint\n").replace("\n", "\r\n"),
    ],
)
def test_what_is_no_proof(text: str) -> None:
    with pytest.raises(MalformedProofText):
        parse_proof_text(text)


@pytest.mark.parametrize(
    "parts",
    [
        (-1, (), "checkpoint\n"),
        (1 << 63, (), "checkpoint\n"),
        (0, (bytes(31),), "checkpoint\n"),
        (0, (bytes(32),) * 64, "checkpoint\n"),
        (0, (), ""),
        (0, (), "checkpoint"),
        (0, (), "\ncheckpoint\n"),
    ],
)
def test_what_no_proof_says(parts: tuple[int, tuple[bytes, ...], str]) -> None:
    with pytest.raises(MalformedProofText):
        ProofText(*parts)


@given(
    st.integers(0, (1 << 63) - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=63),
    st.none() | st.binary(max_size=40),
)
def test_a_proof_is_read_back(index: int, hashes: list[bytes], extra: bytes | None) -> None:
    proof = ProofText(index, tuple(hashes), "origin\n\nmore\n\n— name AAAA\n", extra)
    assert parse_proof_text(proof.text()) == proof


@given(st.text(max_size=80) | st.text("A= \n", max_size=80).map(lambda text: HEADER + "index 0\n" + text))
def test_parsing_any_text_ends_in_a_proof_or_a_refusal(text: str) -> None:
    try:
        proof = parse_proof_text(text)
    except MalformedProofText:
        return
    assert proof.text() == text
