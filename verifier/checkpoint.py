"""Who vouches for a log: its own key for the tree it shows, and witnesses for its having shown no other one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tlog.checkpoint import Checkpoint, ForeignOrigin, MalformedCheckpoint, open_checkpoint
from tlog.note import COSIGNATURE_V1, ED25519, MalformedKey, MalformedNote, UnverifiedNote, VerifierKey, encode_base64
from verifier.reading import Object
from verifier.report import Findings, NotProven, Unusable, counted, quoted


@dataclass(frozen=True, slots=True)
class Trust:
    """The keys that the verification rests on: of logs, named by their origin, and of witnesses."""

    keys: tuple[VerifierKey, ...]
    witnesses: tuple[VerifierKey, ...] = ()

    @staticmethod
    def parse(keys: Sequence[str], witnesses: Sequence[str] = ()) -> "Trust":
        """The keys as they are published. Raises Unusable."""
        return Trust(
            tuple(_parse(text, ED25519, "a log's key") for text in keys),
            tuple(_parse(text, COSIGNATURE_V1, "a witness's key") for text in witnesses),
        )


def _parse(text: str, algorithm: int, what: str) -> VerifierKey:
    try:
        key = VerifierKey.parse(text)
    except MalformedKey as error:
        raise Unusable(f"{quoted(text)} is no key: {error}") from None
    if key.algorithm != algorithm:
        raise Unusable(f"{quoted(text)} is of type {key.algorithm}, and {what} is of type {algorithm}")
    return key


def open_trusted(raw: str | bytes, trust: Trust, findings: Findings, *, origin: str | None = None) -> Checkpoint:
    """The checkpoint of that note, if a trusted key of the log `origin` (of any log if None) signed it; says who else did.

    Raises NotProven, and Unusable if two different keys that were given share name and key ID.
    """
    try:
        checkpoint, note = open_checkpoint(raw, [*trust.keys, *trust.witnesses], origin=origin)
    except MalformedKey as error:
        raise Unusable(str(error)) from None
    except (MalformedNote, MalformedCheckpoint, UnverifiedNote, ForeignOrigin) as error:
        raise NotProven(f"checkpoint: {error}") from None
    if checkpoint.extensions:
        raise NotProven("checkpoint: has extension lines, which no checkpoint of such a log has")
    [signer, *_] = [key for key in note.signed_by if key.name == checkpoint.origin]
    findings.proven(
        f"the log {checkpoint.origin} has {counted(checkpoint.size, 'event')} with root {encode_base64(checkpoint.root)}:"
        f" signed by key {signer.key_id_hex}"
    )
    for witness, timestamp_s in note.cosigned:
        findings.proven(f"cosigned by {witness.name} at {_instant(timestamp_s)}: it saw no other log of this size")
    if not note.cosigned:
        findings.needs_witness(
            "that nobody was shown another log of this size: no witness that you trust has cosigned this checkpoint"
        )
    return checkpoint


def _instant(timestamp_s: int) -> str:
    try:
        return datetime.fromtimestamp(timestamp_s, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"second {timestamp_s}"


def check_verifier_keys(members: Object) -> None:
    """Raises NotProven unless the keys that a file lists are keys: for convenience, nothing here trusts them."""
    for number, text in enumerate(members.texts("verifierKeys")):
        try:
            VerifierKey.parse(text)
        except MalformedKey as error:
            raise NotProven(f"{members.at('verifierKeys')}[{number}]: {error}") from None
