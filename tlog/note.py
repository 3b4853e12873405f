"""Signed notes: text that carries the signatures over it, and the keys of those who sign (C2SP signed-note).

A note is a text that ends with a newline, a blank line, and signature lines of the form

    — NAME BASE64(KEY ID || SIGNATURE)

A key is known by its name and its key ID, the first four bytes of SHA-256(NAME || 0x0A || TYPE || PUBLIC KEY). Two types
are read here: 0x01, Ed25519 over the text; and 0x04, a witness's cosignature (C2SP tlog-cosignature), which also states
the time. One spelling of each thing is accepted, so that no byte of what was verified can change unnoticed.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = 1
COSIGNATURE_V1 = 4
KEY_ID_BYTES = 4
KEY_BYTES = 32
SIGNATURE_BYTES = 64
TIMESTAMP_BYTES = 8

# The specification asks for room for 16 signatures, and for some limit.
SIGNATURES_MAX = 64
NOTE_BYTES_MAX = 1_000_000

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIGNATURE_LINE = re.compile(r"— ([^\s+]+) (\S+)")
_KEY_NAME = re.compile(r"[^\s+\x00-\x1f]+")
_HEX_KEY_ID = re.compile(r"[0-9a-f]{8}")


class MalformedNote(ValueError):
    """The bytes are not a signed note."""


class MalformedKey(ValueError):
    """The text is not a key, or its parts do not belong together."""


class UnverifiedNote(ValueError):
    """No trusted key signed the note, or what is said to be a trusted key's signature does not verify."""


def decode_base64(text: str) -> bytes:
    """The bytes of standard base64 (RFC 4648 section 4) in its one canonical spelling. Raises ValueError."""
    raw = base64.b64decode(text, validate=True)
    # Padding bits that are not zero decode too: two spellings of the same bytes.
    if base64.b64encode(raw).decode() != text:
        raise ValueError("the base64 is not canonical")
    return raw


def encode_base64(raw: bytes) -> str:
    """Standard base64, as `decode_base64` reads it."""
    return base64.b64encode(raw).decode()


def key_id_of(name: str, algorithm: int, public_key: bytes) -> bytes:
    """The key ID that the specification recommends, and that Ed25519 keys have to have. Raises MalformedKey."""
    if _KEY_NAME.fullmatch(name) is None:
        raise MalformedKey("a key's name has at least one character, and no space, plus or control character")
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise MalformedKey("a key's name is UTF-8") from None
    return hashlib.sha256(encoded + b"\n" + bytes([algorithm]) + public_key).digest()[:KEY_ID_BYTES]


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """What it takes to check the signatures of one key. Raises MalformedKey if its parts do not belong together."""

    name: str
    key_id: bytes
    algorithm: int
    public_key: bytes

    def __post_init__(self) -> None:
        if self.algorithm not in (ED25519, COSIGNATURE_V1):
            raise MalformedKey("a key is of type 1 (Ed25519) or 4 (Ed25519 cosignature)")
        if len(self.public_key) != KEY_BYTES:
            raise MalformedKey(f"a public key has {KEY_BYTES} bytes")
        if self.key_id != key_id_of(self.name, self.algorithm, self.public_key):
            raise MalformedKey("the key ID is not the one of this name and key")

    @staticmethod
    def parse(text: str) -> "VerifierKey":
        """The key written NAME+KEY ID+BASE64(TYPE || PUBLIC KEY). Raises MalformedKey."""
        name, key_id, raw = _parts_of_key(text)
        return VerifierKey(name, key_id, raw[0], raw[1:])

    def text(self) -> str:
        """The key as `parse` reads it: what is published for others to verify with."""
        return f"{self.name}+{self.key_id_hex}+{encode_base64(bytes([self.algorithm]) + self.public_key)}"

    @property
    def key_id_hex(self) -> str:
        """The key ID as people write it: eight hexadecimal digits."""
        return self.key_id.hex()


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key that signs notes. The seed is the secret; neither `repr` nor an error shows it."""

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.seed) != KEY_BYTES:
            raise MalformedKey(f"a private key has {KEY_BYTES} bytes")
        key_id_of(self.name, ED25519, b"")

    @staticmethod
    def generate(name: str) -> "SigningKey":
        """A new key. Raises MalformedKey if there can be no key of that name."""
        return SigningKey(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @staticmethod
    def parse(text: str) -> "SigningKey":
        """The key written PRIVATE+KEY+NAME+KEY ID+BASE64(1 || SEED), as in golang.org/x/mod. Raises MalformedKey."""
        prefix = "PRIVATE+KEY+"
        if not text.startswith(prefix):
            raise MalformedKey("a private key starts with PRIVATE+KEY+")
        name, key_id, raw = _parts_of_key(text.removeprefix(prefix))
        if raw[0] != ED25519:
            raise MalformedKey("a private key is of type 1 (Ed25519)")
        key = SigningKey(name, raw[1:])
        if key.verifier.key_id != key_id:
            raise MalformedKey("the key ID is not the one of this name and key")
        return key

    def text(self) -> str:
        """The key as `parse` reads it: secret."""
        secret = encode_base64(bytes([ED25519]) + self.seed)
        return f"PRIVATE+KEY+{self.name}+{self.verifier.key_id_hex}+{secret}"

    @property
    def verifier(self) -> VerifierKey:
        """What others need to check this key's signatures."""
        public_key = Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()
        return VerifierKey(self.name, key_id_of(self.name, ED25519, public_key), ED25519, public_key)

    def sign(self, text: str) -> str:
        """A signature line over a note's text, newline included. Raises MalformedNote if no note has such a text."""
        raw = _decoded(text)
        if not raw.endswith("\n"):
            raise MalformedNote("a note's text ends with a newline")
        signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(raw.encode())
        return f"— {self.name} {encode_base64(self.verifier.key_id + signature)}\n"


def _parts_of_key(text: str) -> tuple[str, bytes, bytes]:
    """Name, key ID and at least one byte of key. Raises MalformedKey."""
    parts = text.split("+", 2)
    if len(parts) != 3 or _HEX_KEY_ID.fullmatch(parts[1]) is None:
        raise MalformedKey("a key is written NAME+KEY ID+KEY, the key ID as eight hexadecimal digits")
    try:
        raw = decode_base64(parts[2])
    except ValueError:
        raise MalformedKey("the key is not canonical base64") from None
    if not raw:
        raise MalformedKey("the key is empty")
    return parts[0], bytes.fromhex(parts[1]), raw


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """A signature as it stands in a note: who is said to have signed, and the line itself without its newline."""

    name: str
    key_id: bytes
    signature: bytes
    line: str


@dataclass(frozen=True, slots=True)
class Note:
    """A note taken apart, nothing verified: its text is to be believed only after `verify_note`."""

    text: str
    signature_lines: tuple[SignatureLine, ...]


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A witness's statement: at that time this was the largest tree of the log that it had seen, and consistent."""

    name: str
    key_id: bytes
    timestamp_s: int


@dataclass(frozen=True, slots=True)
class VerifiedNote:
    """A note's text, and whose signatures over it were found good; `ignored` are the names of keys not known here."""

    text: str
    signed_by: tuple[VerifierKey, ...]
    cosigned: tuple[tuple[VerifierKey, int], ...]
    ignored: tuple[str, ...]


def parse_note(raw: bytes | str) -> Note:
    """Take a note apart (C2SP signed-note, "Format"), at most 1 MB and 64 signatures of it. Raises MalformedNote."""
    note = _decoded(raw)
    # The text may have blank lines of its own: the last one separates.
    end = note.rfind("\n\n")
    if end < 0:
        raise MalformedNote("a note has a blank line between text and signatures")
    text, signatures = note[: end + 1], note[end + 2 :]
    if not signatures.endswith("\n"):
        raise MalformedNote("a note ends with a signature line and its newline")
    lines = signatures[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise MalformedNote(f"a note has at most {SIGNATURES_MAX} signatures")
    return Note(text, tuple(_parse_signature_line(line) for line in lines))


def _decoded(raw: bytes | str) -> str:
    try:
        encoded = raw.encode() if isinstance(raw, str) else raw
        if len(encoded) > NOTE_BYTES_MAX:
            raise MalformedNote(f"a note has at most {NOTE_BYTES_MAX} bytes")
        text = encoded.decode()
    except UnicodeError:
        raise MalformedNote("a note is UTF-8") from None
    if _CONTROL.search(text) is not None:
        raise MalformedNote("a note has no control characters other than newline")
    return text


def _parse_signature_line(line: str) -> SignatureLine:
    match = _SIGNATURE_LINE.fullmatch(line)
    if match is None:
        raise MalformedNote("a signature line is an em dash, a name and a signature, with one space between them")
    try:
        raw = decode_base64(match[2])
    except ValueError:
        raise MalformedNote("a signature is not canonical base64") from None
    if len(raw) <= KEY_ID_BYTES:
        raise MalformedNote(f"a signature has more than the {KEY_ID_BYTES} bytes of its key ID")
    return SignatureLine(match[1], raw[:KEY_ID_BYTES], raw[KEY_ID_BYTES:], line)


def signed(text: str, *lines: str) -> str:
    """The note of this text and these signature lines, each with its newline, as `SigningKey.sign` gives them.

    Raises MalformedNote if that is no note.
    """
    note = "\n".join((text, "".join(lines)))
    if parse_note(note).text != text:
        raise MalformedNote("a signature line holds a blank line")
    return note


def verify_note(raw: bytes | str, keys: Sequence[VerifierKey]) -> VerifiedNote:
    """Read a note and check what the given keys signed (C2SP signed-note, "Signatures").

    Signatures of other keys are ignored. Each signature of a given key has to be good, or the whole note is refused; a key
    that signed twice counts once, as a cosigner with its latest time. Raises MalformedNote, UnverifiedNote, and
    MalformedKey if two different keys given share name and key ID.
    """
    known = _by_name_and_id(keys)
    note = parse_note(raw)
    signed_by: dict[VerifierKey, None] = {}
    cosigned: dict[VerifierKey, int] = {}
    ignored: list[str] = []
    for line in note.signature_lines:
        key = known.get((line.name, line.key_id))
        if key is None:
            ignored.append(line.name)
        elif key.algorithm == ED25519:
            _verify(key, line.signature, note.text)
            signed_by[key] = None
        else:
            timestamp_s = verify_cosignature(note.text, line, key).timestamp_s
            cosigned[key] = max(timestamp_s, cosigned.get(key, 0))
    if not signed_by and not cosigned:
        raise UnverifiedNote("no trusted key signed the note")
    return VerifiedNote(note.text, tuple(signed_by), tuple(cosigned.items()), tuple(ignored))


def verify_cosignature(text: str, line: SignatureLine, key: VerifierKey) -> Cosignature:
    """The witness `key`'s statement about a checkpoint's text (C2SP tlog-cosignature, type 0x04).

    Raises UnverifiedNote if the line is not that, or not good.
    """
    if key.algorithm != COSIGNATURE_V1 or (line.name, line.key_id) != (key.name, key.key_id):
        raise UnverifiedNote("the line is no cosignature of that key")
    timestamp_s = int.from_bytes(line.signature[:TIMESTAMP_BYTES], "big")
    if timestamp_s >= 1 << 63:
        raise UnverifiedNote(f"the cosignature of {key.name} states a time out of range")
    _verify(key, line.signature[TIMESTAMP_BYTES:], f"cosignature/v1\ntime {timestamp_s}\n{text}")
    return Cosignature(key.name, key.key_id, timestamp_s)


def _by_name_and_id(keys: Sequence[VerifierKey]) -> dict[tuple[str, bytes], VerifierKey]:
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        # A collision is easily made on purpose, and then it cannot be told whose signature it is.
        if known.setdefault((key.name, key.key_id), key) != key:
            raise MalformedKey("two keys share one name and key ID")
    return known


def _verify(key: VerifierKey, signature: bytes, message: str) -> None:
    if len(signature) != SIGNATURE_BYTES:
        raise UnverifiedNote(f"the signature of {key.name} has not the length of one")
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature, message.encode())
    except InvalidSignature:
        raise UnverifiedNote(f"the signature of {key.name} is not over this text") from None
