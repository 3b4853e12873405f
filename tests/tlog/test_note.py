"""Signed notes: vectors by others, each rule of the format broken once, and any byte flipped."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tlog.note import (
    Cosignature,
    MalformedKey,
    MalformedNote,
    SigningKey,
    UnverifiedNote,
    VerifierKey,
    encode_base64,
    key_id_of,
    parse_note,
    signed,
    verify_cosignature,
    verify_note,
)

LOG = SigningKey("log.example/one", bytes(range(32)))
OTHER = SigningKey("log.example/other", bytes(32))
WITNESS_SECRET = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
TEXT = "log.example/one\n3\nnothing much\n"


def witness(name: str = "witness.example") -> VerifierKey:
    public_key = WITNESS_SECRET.public_key().public_bytes_raw()
    return VerifierKey(name, key_id_of(name, 4, public_key), 4, public_key)


def cosign(text: str, timestamp_s: int, *, stated_s: int | None = None, key: VerifierKey | None = None) -> str:
    key = key or witness()
    signature = WITNESS_SECRET.sign(f"cosignature/v1\ntime {timestamp_s}\n{text}".encode())
    stated = (timestamp_s if stated_s is None else stated_s).to_bytes(8, "big")
    return f"— {key.name} {encode_base64(key.key_id + stated + signature)}\n"


def test_notes_to_accept_and_to_reject(shared: Callable[[str], Path]) -> None:
    vectors = json.loads(shared("vectors/note/signed_note_cases.json").read_bytes())
    for case in vectors["cases"]:
        keys = [VerifierKey.parse(key) for key in case["trusted_vkeys"]]
        if case["accept"]:
            verified = verify_note(case["note"], keys)
            assert set(verified.signed_by) == set(keys), case["name"]
            assert case["note"].startswith(verified.text + "\n— ")
        else:
            with pytest.raises((MalformedNote, UnverifiedNote)):
                verify_note(case["note"].encode(), keys)
    for text in vectors["good_vkeys"]:
        assert VerifierKey.parse(text).text() == text
    for text in vectors["bad_vkeys"]:
        with pytest.raises(MalformedKey):
            VerifierKey.parse(text)


def test_the_example_of_the_specification(shared: Callable[[str], Path]) -> None:
    example = json.loads(shared("vectors/note/c2sp_signed_note_example.json").read_bytes())
    key = VerifierKey.parse(example["vkey"])
    assert verify_note(example["note"], [key]).signed_by == (key,)


def test_a_witness_cosigns_a_checkpoint_with_a_time() -> None:
    key = witness()
    assert VerifierKey.parse(key.text()) == key
    note = signed(TEXT, LOG.sign(TEXT), cosign(TEXT, 1_679_315_147))
    verified = verify_note(note, [LOG.verifier, key])
    assert verified.text == TEXT
    assert verified.signed_by == (LOG.verifier,)
    assert verified.cosigned == ((key, 1_679_315_147),)
    assert verified.ignored == ()
    line = parse_note(note).signature_lines[1]
    assert verify_cosignature(TEXT, line, key) == Cosignature(key.name, key.key_id, 1_679_315_147)
    with pytest.raises(UnverifiedNote):
        verify_cosignature(TEXT, line, LOG.verifier)


@pytest.mark.parametrize(
    "line",
    [
        cosign(TEXT, 1_000, stated_s=1_001),
        cosign(TEXT, 1 << 63),
        cosign(TEXT + "more\n", 1_000),
        f"— witness.example {encode_base64(witness().key_id + bytes(8))}\n",
        f"— witness.example {encode_base64(witness().key_id + bytes(64))}\n",
        f"— witness.example {encode_base64(witness().key_id + WITNESS_SECRET.sign(TEXT.encode()))}\n",
    ],
    ids=["another time", "time out of range", "another text", "no signature", "no time", "no cosignature"],
)
def test_a_bad_cosignature_of_a_trusted_witness_rejects_the_whole_note(line: str) -> None:
    note = signed(TEXT, LOG.sign(TEXT), line)
    assert verify_note(note, [LOG.verifier]).ignored == ("witness.example",)
    with pytest.raises(UnverifiedNote):
        verify_note(note, [LOG.verifier, witness()])


def test_who_signed_twice_counts_once() -> None:
    line = LOG.sign(TEXT)
    verified = verify_note(signed(TEXT, line, cosign(TEXT, 7), line, cosign(TEXT, 5)), [LOG.verifier, witness()])
    assert verified.signed_by == (LOG.verifier,)
    assert verified.cosigned == ((witness(), 7),)


def test_unknown_signatures_are_ignored_even_if_they_share_a_name_or_key_id() -> None:
    same_name = SigningKey(LOG.name, bytes(32)).sign(TEXT)
    same_id = f"— log.example/other {encode_base64(LOG.verifier.key_id + bytes(64))}\n"
    verified = verify_note(signed(TEXT, same_name, same_id, LOG.sign(TEXT)), [LOG.verifier])
    assert verified.ignored == ("log.example/one", "log.example/other")
    with pytest.raises(UnverifiedNote):
        verify_note(signed(TEXT, same_name, same_id), [LOG.verifier])
    with pytest.raises(UnverifiedNote):
        verify_note(signed(TEXT, LOG.sign(TEXT)), [])


def test_a_signature_of_wrong_length_is_no_signature() -> None:
    for length in (1, 63, 65):
        line = f"— {LOG.name} {encode_base64(LOG.verifier.key_id + bytes(length))}\n"
        with pytest.raises(UnverifiedNote):
            verify_note(signed(TEXT, LOG.sign(TEXT), line), [LOG.verifier])


def test_two_keys_of_one_name_and_id_cannot_be_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tlog.note.key_id_of", lambda *_: b"same")
    keys = [VerifierKey("name", b"same", 1, bytes(31) + bytes([last])) for last in (1, 2)]
    with pytest.raises(MalformedKey):
        verify_note(signed(TEXT, LOG.sign(TEXT)), keys)


SIGNATURE = LOG.sign(TEXT)
BASE64 = SIGNATURE.split(" ")[2].strip()
BAD_NOTES = {
    "empty": "",
    "no signature": TEXT + "\n",
    "no text": "\n" + SIGNATURE,
    "blank line at the end": TEXT + "\n" + SIGNATURE + "\n",
    "no blank line": TEXT + SIGNATURE,
    "no final newline": TEXT + "\n" + SIGNATURE[:-1],
    "hyphen for em dash": TEXT + "\n" + SIGNATURE.replace("—", "-"),
    "no dash": TEXT + "\n" + SIGNATURE[2:],
    "no name": TEXT + f"\n— {BASE64}\n",
    "empty name": TEXT + f"\n—  {BASE64}\n",
    "two spaces": TEXT + f"\n— name  {BASE64}\n",
    "space at the end": TEXT + f"\n— name {BASE64} \n",
    "plus in the name": TEXT + f"\n— na+me {BASE64}\n",
    "no-break space in the name": TEXT + f"\n— na\xa0me {BASE64}\n",
    "line separator in the name": TEXT + f"\n— na\u2028me {BASE64}\n",
    "no base64": TEXT + "\n— name !!!!\n",
    "URL base64": TEXT + "\n— name __--__--\n",
    "padding missing": TEXT + f"\n— name {BASE64[:-1]}\n",
    "padding bits set": TEXT + "\n— name AAAAAAB=\n",
    "key ID alone": TEXT + "\n— name AAAAAA==\n",
    "text among signatures": TEXT + "\n" + SIGNATURE + "text\n",
    "carriage return": TEXT.replace("\n", "\r\n") + "\n" + SIGNATURE,
    "tab": "\t" + TEXT + "\n" + SIGNATURE,
    "NUL": "\0" + TEXT + "\n" + SIGNATURE,
    "lone surrogate": "\ud800" + TEXT + "\n" + SIGNATURE,
    "65 signatures": TEXT + "\n" + SIGNATURE * 65,
    "more than 1 MB": "x" * 1_000_000 + "\n\n" + SIGNATURE,
}


@pytest.mark.parametrize("note", BAD_NOTES.values(), ids=BAD_NOTES.keys())
def test_what_is_no_note(note: str) -> None:
    with pytest.raises(MalformedNote):
        parse_note(note)
    with pytest.raises(MalformedNote):
        verify_note(note.encode(errors="surrogatepass"), [LOG.verifier])


def test_a_note_is_utf_8() -> None:
    with pytest.raises(MalformedNote):
        parse_note(b"\xff" + signed(TEXT, SIGNATURE).encode())


def test_sixty_four_signatures_are_fine_and_the_last_blank_line_separates() -> None:
    text = "\n\na\n\n— b\n\n\n"
    note = parse_note(signed(text, *[LOG.sign(text)] * 64))
    assert note.text == text
    assert len(note.signature_lines) == 64
    assert note.signature_lines[0].line + "\n" == LOG.sign(text)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("no newline", [SIGNATURE]),
        (TEXT, []),
        (TEXT, [SIGNATURE, "\n", SIGNATURE]),
        (TEXT, ["text\n"]),
        ("a\tb\n", [SIGNATURE]),
    ],
)
def test_what_cannot_be_put_together(text: str, lines: list[str]) -> None:
    with pytest.raises(MalformedNote):
        signed(text, *lines)


@pytest.mark.parametrize("text", ["", "no newline", "a\rb\n", "\ud800\n"])
def test_what_cannot_be_signed(text: str) -> None:
    with pytest.raises(MalformedNote):
        LOG.sign(text)


KEY = LOG.verifier.text()
KEY_NAME, KEY_ID, KEY_BASE64 = KEY.split("+", 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        KEY_NAME + "+" + KEY_ID,
        KEY + "\n",
        " " + KEY,
        f"other+{KEY_ID}+{KEY_BASE64}",
        f"+{KEY_ID}+{KEY_BASE64}",
        f"na me+{KEY_ID}+{KEY_BASE64}",
        f"na\u3000me+{KEY_ID}+{KEY_BASE64}",
        f"{KEY_NAME}+00000000+{KEY_BASE64}",
        f"{KEY_NAME}+{KEY_ID}0+{KEY_BASE64}",
        f"{KEY_NAME}+{KEY_ID[:-1]}+{KEY_BASE64}",
        f"{KEY_NAME}+{KEY_ID.upper()}+{KEY_BASE64}",
        f"{KEY_NAME}+{KEY_ID}+",
        f"{KEY_NAME}+{KEY_ID}+{KEY_BASE64[:-4]}",
        f"{KEY_NAME}+{KEY_ID}+{KEY_BASE64}AAAA",
        f"{KEY_NAME}+{KEY_ID}+{KEY_BASE64[:-1]}!",
        f"\ud800+{KEY_ID}+{KEY_BASE64}",
        f"name+{key_id_of('name', 2, bytes(32)).hex()}+{encode_base64(bytes([2]) + bytes(32))}",
    ],
)
def test_what_is_no_verifier_key(text: str) -> None:
    with pytest.raises(MalformedKey):
        VerifierKey.parse(text)


def test_a_signing_key_is_read_back_and_shows_no_secret() -> None:
    key = SigningKey.generate("log.example/new")
    assert SigningKey.parse(key.text()) == key
    assert key.text().startswith("PRIVATE+KEY+log.example/new+" + key.verifier.key_id_hex + "+")
    assert key.seed.hex() not in repr(key)
    assert repr(key) == "SigningKey(name='log.example/new')"
    assert verify_note(signed(TEXT, key.sign(TEXT)), [key.verifier]).signed_by == (key.verifier,)


PRIVATE = LOG.text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        KEY,
        PRIVATE + "\n",
        PRIVATE.removeprefix("PRIVATE+"),
        PRIVATE.replace(KEY_ID, "00000000"),
        PRIVATE.replace("log.example", "log.elsewhere"),
        PRIVATE[:-4],
        f"PRIVATE+KEY+{KEY_NAME}+{KEY_ID}+{encode_base64(bytes([4]) + LOG.seed)}",
        f"PRIVATE+KEY+{KEY_NAME}+{KEY_ID}+",
    ],
)
def test_what_is_no_signing_key(text: str) -> None:
    with pytest.raises(MalformedKey):
        SigningKey.parse(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2003b", "\ud800"])
def test_what_is_no_key_name(name: str) -> None:
    with pytest.raises(MalformedKey):
        SigningKey.generate(name)


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], include_characters="\n"), max_size=60).map(
    lambda text: text + "\n"
)


@given(TEXTS)
def test_a_note_is_read_back(text: str) -> None:
    note = signed(text, LOG.sign(text), OTHER.sign(text))
    verified = verify_note(note.encode(), [OTHER.verifier])
    assert verified.text == text
    assert verified.signed_by == (OTHER.verifier,)
    assert verified.ignored == (LOG.name,)
    parsed = parse_note(note)
    assert signed(parsed.text, *(line.line + "\n" for line in parsed.signature_lines)) == note


def test_a_flipped_byte_is_refused_or_in_an_ignored_signature() -> None:
    before, ignored, after = f"{TEXT}\n{LOG.sign(TEXT)}".encode(), OTHER.sign(TEXT).encode(), cosign(TEXT, 9).encode()
    note = before + ignored + after
    for at in range(len(note)):
        for bits in (0x01, 0x20, 0x80, 0xFF):
            bent = bytearray(note)
            bent[at] ^= bits
            try:
                verified = verify_note(bytes(bent), [LOG.verifier, witness()])
            except (MalformedNote, UnverifiedNote):
                continue
            assert verified.text == TEXT
            # What a changed byte can do to a trusted key's line is to make it a stranger's.
            trusted = len(verified.signed_by) + len(verified.cosigned)
            assert len(verified.ignored) == 3 - trusted
            in_ignored = len(before) <= at < len(before) + len(ignored)
            assert trusted == (2 if in_ignored else 1)


@given(st.text(max_size=80) | st.text("— \n+aA=", max_size=80))
def test_parsing_any_text_ends_in_a_note_or_a_refusal(text: str) -> None:
    for parse, refusal in (
        (parse_note, MalformedNote),
        (VerifierKey.parse, MalformedKey),
        (SigningKey.parse, MalformedKey),
    ):
        try:
            parse(text)
        except refusal:
            continue


@given(st.binary(max_size=80))
def test_parsing_any_bytes_ends_in_a_note_or_a_refusal(raw: bytes) -> None:
    try:
        parse_note(raw)
    except MalformedNote:
        return
