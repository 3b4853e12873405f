"""A proof as a file: that an entry is in a log, to be checked offline with the log's key (C2SP tlog-proof v1).

    c2sp.org/tlog-proof@v1
    extra BASE64                     (optional)
    index DECIMAL
    BASE64                           (each hash of the inclusion proof, from the leaf's sibling up)

    ...                              (the log's checkpoint, signatures and all)

Reading takes the file apart and verifies nothing: that is for `open_checkpoint` and `verify_inclusion`.
"""

from dataclasses import dataclass

from tlog.checkpoint import SIZE_END, decode_decimal
from tlog.hashing import HASH_BYTES
from tlog.note import decode_base64, encode_base64

HEADER = "c2sp.org/tlog-proof@v1"
# A tree of less than 2^63 leaves is no higher.
HASHES_MAX = 63


class MalformedProofText(ValueError):
    """The text is not a proof's file, or no such file says such a thing."""


@dataclass(frozen=True, slots=True)
class ProofText:
    """An entry's index, its inclusion proof and the checkpoint it leads to; nobody vouches for `extra`.

    Raises MalformedProofText if no file can hold that.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index < SIZE_END:
            raise MalformedProofText("an index is from 0 to below 2^63")
        if len(self.hashes) > HASHES_MAX:
            raise MalformedProofText(f"a proof has at most {HASHES_MAX} hashes")
        if any(len(hash_) != HASH_BYTES for hash_ in self.hashes):
            raise MalformedProofText(f"a hash has {HASH_BYTES} bytes")
        if self.checkpoint.startswith("\n") or not self.checkpoint.endswith("\n"):
            raise MalformedProofText("a checkpoint starts with its origin and ends with a newline")

    def text(self) -> str:
        """The file, as `parse_proof_text` reads it."""
        extra = [] if self.extra is None else [f"extra {encode_base64(self.extra)}"]
        lines = [HEADER, *extra, f"index {self.index}", *map(encode_base64, self.hashes)]
        return "".join(f"{line}\n" for line in lines) + "\n" + self.checkpoint


def parse_proof_text(text: str) -> ProofText:
    """Take a proof's file apart (C2SP tlog-proof, "Format"). Raises MalformedProofText."""
    head, blank, checkpoint = text.partition("\n\n")
    if not blank:
        raise MalformedProofText("a proof has a blank line before the checkpoint")
    header, *lines = head.split("\n")
    if header != HEADER:
        raise MalformedProofText(f"a proof starts with {HEADER}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = _decoded(lines.pop(0).removeprefix("extra "))
    if not lines or not lines[0].startswith("index "):
        raise MalformedProofText("a proof names its index")
    try:
        index = decode_decimal(lines.pop(0).removeprefix("index "))
    except ValueError as error:
        raise MalformedProofText(f"the index is malformed: {error}") from None
    if len(lines) > HASHES_MAX:
        raise MalformedProofText(f"a proof has at most {HASHES_MAX} hashes")
    return ProofText(index, tuple(_decoded(line) for line in lines), checkpoint, extra)


def _decoded(line: str) -> bytes:
    try:
        return decode_base64(line)
    except ValueError:
        raise MalformedProofText("a line is not canonical base64") from None
