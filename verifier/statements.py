"""What a log says besides its checkpoints, signed: how many events a stream has, and what it answered to a question.

A statement can be a lie; what proves it one is here, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.addresses import Channel
from domain.catalogue import EnforcementModel
from domain.consent import ConsentValue
from domain.decision import ReasonCode
from tlog import canonical_json
from tlog.canonical_json import NotCanonical
from tlog.checkpoint import Checkpoint
from tlog.hashing import leaf_hash
from tlog.note import MalformedKey, MalformedNote, UnverifiedNote, VerifierKey, encode_base64, verify_note
from tlog.verify import MalformedProof, RootMismatch, verify_inclusion
from verifier.checkpoint import Trust
from verifier.entries import decoded
from verifier.reading import Object, one_of
from verifier.report import NotProven, Unusable, counted

STREAM_STATEMENT = "consentry/stream-statement@v1"
RECEIPT = "consentry/receipt@v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatement:
    """The log says: this stream has so many events at this size, and the tree of that size has this root."""

    origin: str
    key: VerifierKey
    stream: UUID
    events: int
    size: int
    root: bytes
    stated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptReason:
    """One reason of an answer."""

    code: ReasonCode
    purpose: str
    topic: str | None
    value: ConsentValue
    enforcement: EnforcementModel
    position: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptQuestion:
    """What was asked; the address is in `digest` only, which the ledger alone can check."""

    digest: bytes
    channel: Channel
    profile: str
    purpose: str
    topic: str | None
    business_unit: str | None
    as_of: datetime
    known_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The log says: this was asked, this was answered, from the events up to `position`."""

    origin: str
    key: VerifierKey
    question: ReceiptQuestion
    allowed: bool
    tracking_allowed: bool
    reasons: tuple[ReceiptReason, ...]
    position: int
    root: bytes
    catalogue_version: int
    decided_at: datetime
    contact_point: tuple[UUID, int] | None
    """The stream of the address and how many events it has; None where the address was not known."""

    @property
    def size(self) -> int:
        """The size of the log that was taken account of."""
        return self.position + 1


def open_stream_statement(
    raw: str | bytes, trust: Trust, *, where: str = "statement", origin: str | None = None
) -> StreamStatement:
    """The stream statement of that note, signed by a trusted key of its log. Raises NotProven, and Unusable as Trust does."""
    members, signed_origin, key = _open(raw, STREAM_STATEMENT, trust, where, origin)
    members.only("stream", "events", "size", "root", "statedAt")
    statement = StreamStatement(
        origin=signed_origin,
        key=key,
        stream=members.uuid("stream"),
        events=members.whole("events"),
        size=members.whole("size"),
        root=members.sha256("root"),
        stated_at=members.instant("statedAt"),
    )
    if statement.events > statement.size:
        raise NotProven(f"{where}.events: {statement.events}, and the log of size {statement.size} has not as many")
    return statement


def open_receipt(raw: str | bytes, trust: Trust, *, where: str = "receipt") -> Receipt:
    """The receipt of that note, signed by a trusted key of its log. Raises NotProven, and Unusable as Trust does."""
    members, origin, key = _open(raw, RECEIPT, trust, where, None)
    members.only(
        "question",
        "allowed",
        "trackingAllowed",
        "reasons",
        "position",
        "root",
        "catalogueVersion",
        "decidedAt",
        "contactPoint",
    )
    receipt = Receipt(
        origin=origin,
        key=key,
        question=_question(members.within("question")),
        allowed=members.boolean("allowed"),
        tracking_allowed=members.boolean("trackingAllowed"),
        reasons=tuple(map(_reason, members.objects("reasons"))),
        position=members.whole("position"),
        root=members.sha256("root"),
        catalogue_version=members.whole("catalogueVersion"),
        decided_at=members.instant("decidedAt"),
        contact_point=_contact_point(members.within("contactPoint")) if members.has("contactPoint") else None,
    )
    if not receipt.reasons:
        raise NotProven(f"{where}.reasons: empty, and every answer has a reason")
    if receipt.catalogue_version > receipt.position:
        raise NotProven(f"{where}.catalogueVersion: {receipt.catalogue_version} is after position {receipt.position}")
    for number, reason in enumerate(receipt.reasons):
        if reason.position is not None and reason.position > receipt.position:
            raise NotProven(f"{where}.reasons[{number}].position: {reason.position} is after {receipt.position}")
    if receipt.contact_point is not None and receipt.contact_point[1] > receipt.size:
        raise NotProven(f"{where}.contactPoint.events: {receipt.contact_point[1]}, more than the log had events")
    return receipt


def contradicts(statement: StreamStatement, entry: bytes, proof: Sequence[bytes], checkpoint: Checkpoint) -> str | None:
    """Why this entry proves the statement a lie, or None if it does not; `checkpoint` is one that a trusted key signed.

    The fraud proof: an entry of that stream, with a number that the log said is not there, at a position that it spoke of.
    Raises NotProven unless `proof` shows that the entry is in the log of the same origin.
    """
    if checkpoint.origin != statement.origin:
        raise NotProven(f"the checkpoint is of {checkpoint.origin}, and the statement of {statement.origin}")
    said = decoded(entry, "entry")
    prove_inclusion(said.position, entry, proof, checkpoint, f"the entry at position {said.position}")
    if said.stream != statement.stream or said.number < statement.events or said.position >= statement.size:
        return None
    return (
        f"the log stated, signed by key {statement.key.key_id_hex}, that stream {statement.stream} has"
        f" {counted(statement.events, 'event')} at size {statement.size}; but number {said.number} of it is at position"
        f" {said.position}: the statement is a lie, and this entry with its proof shows it to anybody"
    )


def prove_inclusion(index: int, entry: bytes, proof: Sequence[bytes], checkpoint: Checkpoint, where: str) -> None:
    """Return if `proof` shows that `entry` is at `index` in the tree of `checkpoint`. Raises NotProven."""
    try:
        verify_inclusion(index, checkpoint.size, leaf_hash(entry), proof, checkpoint.root)
    except (MalformedProof, RootMismatch) as error:
        raise NotProven(f"{where}: proof: {error}") from None


def check_same_tree(size: int, root: bytes, checkpoint_root: bytes, where: str) -> None:
    """Raises NotProven if a log signed two roots for one size: it showed different histories to different people."""
    if root != checkpoint_root:
        raise NotProven(
            f"{where}.root: equivocation: the log signed two different trees of size {size}, with root"
            f" {encode_base64(root)} here and {encode_base64(checkpoint_root)} there"
        )


def _open(raw: str | bytes, kind: str, trust: Trust, where: str, origin: str | None) -> tuple[Object, str, VerifierKey]:
    """The members of a signed note of that kind, its origin, and the key that signed it."""
    try:
        note = verify_note(raw, trust.keys)
    except MalformedKey as error:
        raise Unusable(str(error)) from None
    except (MalformedNote, UnverifiedNote) as error:
        raise NotProven(f"{where}: {error}") from None
    lines = note.text.split("\n")
    if len(lines) != 4:
        raise NotProven(f"{where}: has not the three lines of kind, origin and content")
    found, signed_origin, content, _ = lines
    if found != kind:
        raise NotProven(f"{where}: is a {found}, not a {kind}")
    if origin is not None and signed_origin != origin:
        raise NotProven(f"{where}: is of the log {signed_origin}, not of {origin}")
    signers = [key for key in note.signed_by if key.name == signed_origin]
    if not signers:
        raise NotProven(f"{where}: no trusted key of {signed_origin} signed it")
    try:
        members = canonical_json.decode(content.encode())
    except NotCanonical as error:
        raise NotProven(f"{where}: its content is not canonical JSON: {error}") from None
    return Object(where, members), signed_origin, signers[0]


def _question(members: Object) -> ReceiptQuestion:
    members.only("digest", "channel", "profile", "purpose", "topic", "businessUnit", "asOf", "knownAt")
    return ReceiptQuestion(
        digest=members.sha256("digest"),
        channel=one_of(Channel, members, "channel"),
        profile=members.text("profile"),
        purpose=members.text("purpose"),
        topic=members.optional_text("topic"),
        business_unit=members.optional_text("businessUnit"),
        as_of=members.instant("asOf"),
        known_at=members.instant("knownAt") if members.has("knownAt") else None,
    )


def _reason(members: Object) -> ReceiptReason:
    members.only("code", "purpose", "topic", "value", "enforcement", "position")
    return ReceiptReason(
        code=one_of(ReasonCode, members, "code"),
        purpose=members.text("purpose"),
        topic=members.optional_text("topic"),
        value=one_of(ConsentValue, members, "value"),
        enforcement=one_of(EnforcementModel, members, "enforcement"),
        position=members.whole("position") if members.has("position") else None,
    )


def _contact_point(members: Object) -> tuple[UUID, int]:
    members.only("stream", "events")
    return members.uuid("stream"), members.whole("events")
