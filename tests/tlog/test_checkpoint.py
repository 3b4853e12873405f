"""Checkpoints: those of a foreign log, and each rule of their text broken once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tlog.test_note import LOG, OTHER, cosign, witness
from tlog.checkpoint import Checkpoint, ForeignOrigin, MalformedCheckpoint, open_checkpoint, parse_checkpoint
from tlog.hashing import EMPTY_ROOT
from tlog.note import MalformedNote, UnverifiedNote, VerifierKey, encode_base64, signed

ROOT = encode_base64(EMPTY_ROOT)
TEXT = f"log.example/one\n3\n{ROOT}\n"


def test_the_checkpoints_of_a_foreign_log(shared: Callable[[str], Path]) -> None:
    folder = shared("vectors/tessera_log")
    key = VerifierKey.parse((folder / "vkey").read_text().strip())
    for size in range(16):
        raw = (folder / f"checkpoint.{size}").read_bytes()
        checkpoint, note = open_checkpoint(raw, [key], origin="example.com/log/testdata")
        assert checkpoint.size == size
        assert note.signed_by == (key,)
        assert checkpoint.text() == note.text
        with pytest.raises(UnverifiedNote):
            open_checkpoint(raw.replace(f"\n{size}\n".encode(), f"\n{size + 1}\n".encode()), [key])
    assert (folder / "checkpoint").read_bytes() == (folder / "checkpoint.15").read_bytes()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "log.example/one\n",
        "log.example/one\n3\n",
        TEXT[:-1],
        TEXT + "\n",
        TEXT + "extension\n\n",
        "\n" + TEXT,
        f"\n3\n{ROOT}\n",
        f"origin\n\n{ROOT}\n",
        "origin\n3\n\n",
        f"origin\n03\n{ROOT}\n",
        f"origin\n00\n{ROOT}\n",
        f"origin\n+3\n{ROOT}\n",
        f"origin\n-3\n{ROOT}\n",
        f"origin\n3 \n{ROOT}\n",
        f"origin\n3_0\n{ROOT}\n",
        f"origin\n0x3\n{ROOT}\n",
        f"origin\n٣\n{ROOT}\n",
        f"origin\n{1 << 63}\n{ROOT}\n",
        f"origin\n{'9' * 5000}\n{ROOT}\n",
        f"origin\n3\n{ROOT[:-1]}\n",
        f"origin\n3\n{ROOT} \n",
        f"origin\n3\n{ROOT[:-2]}V=\n",
        f"origin\n3\n{encode_base64(bytes(31))}\n",
        f"origin\n3\n{encode_base64(bytes(33))}\n",
        f"origin\n3\n{ROOT}é\n",
        f"ori\tgin\n3\n{ROOT}\n",
        f"origin\r\n3\r\n{ROOT}\r\n",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(MalformedCheckpoint):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    "parts",
    [
        ("", 0, EMPTY_ROOT),
        ("a\nb", 0, EMPTY_ROOT),
        ("a", -1, EMPTY_ROOT),
        ("a", 1 << 63, EMPTY_ROOT),
        ("a", 0, b""),
        ("a", 0, EMPTY_ROOT, ("",)),
        ("a", 0, EMPTY_ROOT, ("b\n",)),
    ],
)
def test_what_no_checkpoint_says(parts: tuple[str, int, bytes]) -> None:
    with pytest.raises(MalformedCheckpoint):
        Checkpoint(*parts)


def test_extension_lines_are_kept() -> None:
    text = TEXT + "one\ntwo words\n"
    assert parse_checkpoint(text).extensions == ("one", "two words")
    assert parse_checkpoint(text).text() == text


LINES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20)


@given(LINES, st.integers(0, (1 << 63) - 1), st.binary(min_size=32, max_size=32), st.lists(LINES, max_size=3))
def test_a_checkpoint_is_read_back(origin: str, size: int, root: bytes, extensions: list[str]) -> None:
    checkpoint = Checkpoint(origin, size, root, tuple(extensions))
    assert parse_checkpoint(checkpoint.text()) == checkpoint
    opened, _ = open_checkpoint(signed(TEXT, LOG.sign(TEXT)), [LOG.verifier])
    assert opened == parse_checkpoint(TEXT)


@given(st.text(max_size=80))
def test_parsing_any_text_ends_in_a_checkpoint_or_a_refusal(text: str) -> None:
    try:
        parse_checkpoint(text)
    except MalformedCheckpoint:
        return


def test_the_log_itself_has_to_have_signed() -> None:
    keys = [LOG.verifier, OTHER.verifier, witness(), witness(LOG.name)]
    checkpoint, note = open_checkpoint(signed(TEXT, cosign(TEXT, 5), LOG.sign(TEXT)), keys, origin="log.example/one")
    assert checkpoint == Checkpoint("log.example/one", 3, EMPTY_ROOT)
    assert note.cosigned == ((witness(), 5),)
    for lines in ([cosign(TEXT, 5)], [OTHER.sign(TEXT)], [cosign(TEXT, 5, key=witness(LOG.name))]):
        with pytest.raises(UnverifiedNote):
            open_checkpoint(signed(TEXT, *lines), keys)


def test_each_way_not_to_open() -> None:
    note = signed(TEXT, LOG.sign(TEXT))
    with pytest.raises(ForeignOrigin):
        open_checkpoint(note, [LOG.verifier], origin="log.example/other")
    with pytest.raises(UnverifiedNote):
        open_checkpoint(note, [OTHER.verifier])
    with pytest.raises(MalformedNote):
        open_checkpoint(TEXT, [LOG.verifier])
    with pytest.raises(MalformedCheckpoint):
        open_checkpoint(signed("no checkpoint\n", LOG.sign("no checkpoint\n")), [LOG.verifier])
