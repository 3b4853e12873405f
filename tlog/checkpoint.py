"""Checkpoints: what a log says of itself, its size and root, in a note that it signs (C2SP tlog-checkpoint)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tlog.hashing import HASH_BYTES
from tlog.note import ED25519, UnverifiedNote, VerifiedNote, VerifierKey, decode_base64, encode_base64, verify_note

SIZE_END = 1 << 63

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_LINE = re.compile(r"[^\x00-\x1f]+")


class MalformedCheckpoint(ValueError):
    """The text is not a checkpoint's, or no checkpoint says such a thing."""


class ForeignOrigin(ValueError):
    """The checkpoint is another log's than the one expected."""


def decode_decimal(text: str) -> int:
    """A number below 2^63 in ASCII digits without leading zeroes. Raises ValueError."""
    if _DECIMAL.fullmatch(text) is None or int(text) >= SIZE_END:
        raise ValueError("a number has ASCII digits, no leading zeroes, and is below 2^63")
    return int(text)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's size and root; `extensions` are further lines, opaque. Raises MalformedCheckpoint if none can be such."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size < SIZE_END:
            raise MalformedCheckpoint("a tree's size is from 0 to below 2^63")
        if len(self.root) != HASH_BYTES:
            raise MalformedCheckpoint(f"a root has {HASH_BYTES} bytes")
        if any(_LINE.fullmatch(line) is None for line in (self.origin, *self.extensions)):
            raise MalformedCheckpoint("a checkpoint's lines are not empty and hold no control characters")

    def text(self) -> str:
        """The text that the log signs."""
        lines = (self.origin, str(self.size), encode_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint's note (C2SP tlog-checkpoint, "Note text"). Raises MalformedCheckpoint."""
    *lines, after = text.split("\n")
    if after or len(lines) < 3:
        raise MalformedCheckpoint("a checkpoint has lines for origin, size and root, each with its newline")
    origin, size_text, root_text, *extensions = lines
    try:
        size = decode_decimal(size_text)
    except ValueError as error:
        raise MalformedCheckpoint(f"the size is malformed: {error}") from None
    try:
        root = decode_base64(root_text)
    except ValueError:
        raise MalformedCheckpoint("the root is not canonical base64") from None
    return Checkpoint(origin, size, root, tuple(extensions))


def open_checkpoint(
    raw: bytes | str, keys: Sequence[VerifierKey], *, origin: str | None = None
) -> tuple[Checkpoint, VerifiedNote]:
    """Verify a checkpoint's note and read it, with who else signed.

    The log itself has to have signed: one of `keys`, Ed25519 and named like the origin; cosignatures alone are not enough.
    Raises MalformedNote, UnverifiedNote, MalformedCheckpoint, and ForeignOrigin if it is not the log `origin`.
    """
    note = verify_note(raw, keys)
    checkpoint = parse_checkpoint(note.text)
    if origin is not None and checkpoint.origin != origin:
        raise ForeignOrigin(f"the checkpoint is of {checkpoint.origin}, not of {origin}")
    if not any(key.algorithm == ED25519 and key.name == checkpoint.origin for key in note.signed_by):
        raise UnverifiedNote("no trusted key of the log itself signed the checkpoint")
    return checkpoint, note
