"""What a file is, and the verification that it calls for. A file that says what it is and is not that is not proven."""

from collections.abc import Callable
from typing import BinaryIO, cast

from tlog.checkpoint import MalformedCheckpoint, parse_checkpoint
from tlog.note import MalformedNote, decode_base64, encode_base64, parse_note
from tlog.proof_text import HEADER as PROOF
from tlog.proof_text import MalformedProofText, parse_proof_text
from verifier import bundle, log_export
from verifier.bundle import unwrapped, verify_bundle
from verifier.checkpoint import Trust, open_trusted
from verifier.entries import decoded, described
from verifier.log_export import Progress, verify_log_export
from verifier.reading import NotJson, Object, object_of, parse_json
from verifier.receipt import verify_receipt
from verifier.replay import Log, Replay, Wanted
from verifier.report import Findings, NotProven, Report, Unusable, counted, quoted
from verifier.statements import (
    RECEIPT,
    STREAM_STATEMENT,
    StreamStatement,
    check_same_tree,
    open_stream_statement,
    prove_inclusion,
)
from verifier.tiles import Fetch, verify_tile_log

DOCUMENT_BYTES_MAX = 100_000_000

Verification = Callable[[Findings], None]


def verified(verification: Verification) -> Report:
    """The report of a verification, which ends with the first thing that is wrong. Raises Unusable."""
    findings = Findings()
    try:
        verification(findings)
    except NotProven as failure:
        findings.failed(str(failure))
    return findings.report()


def verify_file(
    file: BinaryIO,
    trust: Trust,
    *,
    log: Log | None = None,
    entry: bytes | None = None,
    progress: Progress | None = None,
) -> Report:
    """The report on a file of any of the known formats; `entry` is what a tlog-proof is about. Raises Unusable, OSError."""

    def verify(findings: Findings) -> None:
        head = file.readline(DOCUMENT_BYTES_MAX + 1)
        header = _log_header(head)
        if header is not None:
            if log is not None:
                raise Unusable("a log export is verified by itself, so no further log is of use")
            verify_log_export(header, file, trust, findings, progress=progress)
            return
        document = head + file.read(DOCUMENT_BYTES_MAX + 1 - len(head))
        if len(document) > DOCUMENT_BYTES_MAX:
            raise Unusable(f"the file is none of the known formats, or has more than {DOCUMENT_BYTES_MAX} bytes")
        _verify_document(document, trust, findings, log, entry)

    return verified(verify)


def verify_served(fetch: Fetch, trust: Trust, *, progress: Progress | None = None) -> Report:
    """The report on a log that is served as tiles. Raises Unusable, and what `fetch` raises."""

    def verify(findings: Findings) -> None:
        verify_tile_log(fetch, trust, findings, progress=progress)

    return verified(verify)


def log_in_file(file: BinaryIO, trust: Trust, *, progress: Progress | None = None) -> Log:
    """A log export at hand, to hold something else against; it is read once."""

    def replay(wanted: Wanted, findings: Findings) -> Replay:
        header = _log_header(file.readline(DOCUMENT_BYTES_MAX + 1))
        if header is None:
            raise Unusable("what was given as the log is no log export")
        return verify_log_export(header, file, trust, findings, wanted=wanted, progress=progress)

    return replay


def log_served(fetch: Fetch, trust: Trust, *, progress: Progress | None = None) -> Log:
    """A log that is served as tiles, to hold something else against."""

    def replay(wanted: Wanted, findings: Findings) -> Replay:
        return verify_tile_log(fetch, trust, findings, wanted=wanted, progress=progress)

    return replay


def _log_header(line: bytes) -> Object | None:
    """The first line of a log export, None for another. Raises Unusable for a version that is not known here."""
    try:
        value = parse_json(line)
    except NotJson:
        return None
    if not _is_format(value, log_export.FORMAT):
        return None
    return _of_version(object_of(value, ""), log_export.VERSION)


def _is_format(value: object, name: str) -> bool:
    return isinstance(value, dict) and cast(dict[str, object], value).get("format") == name


def _of_version(members: Object, version: int) -> Object:
    found = members.members.get("version")
    if type(found) is not int or found != version:
        raise Unusable(f"{members.members['format']} is known here in version {version} only")
    return members


def _verify_document(document: bytes, trust: Trust, findings: Findings, log: Log | None, entry: bytes | None) -> None:
    if document.lstrip()[:1] in (b"{", b"["):
        verify_bundle(_bundle(document), trust, findings, log=log)
        return
    try:
        text = document.decode()
    except UnicodeDecodeError as error:
        raise Unusable(f"the file is none of the known formats: not UTF-8 at byte {error.start}") from None
    # As other programs print a text: with blank lines after it, or without its last newline. No signature is over either.
    text = text.rstrip("\r\n") + "\n"
    document = text.encode()
    kind = text.split("\n", 1)[0]
    if kind == RECEIPT:
        verify_receipt(document, trust, findings, log=log)
    elif kind == STREAM_STATEMENT:
        _verify_stream_statement(document, trust, findings, log)
    elif kind == PROOF:
        _verify_proof(text, trust, findings, entry, log)
    else:
        _verify_checkpoint(document, trust, findings, log)


def _bundle(document: bytes) -> Object:
    try:
        value = parse_json(document)
    except NotJson as error:
        raise Unusable(f"the file is none of the known formats: {error}") from None
    found = value if _is_format(value, bundle.FORMAT) else unwrapped(value)
    if not _is_format(found, bundle.FORMAT):
        raise Unusable("the file is JSON of none of the known formats")
    return _of_version(object_of(found, ""), bundle.VERSION)


def _verify_checkpoint(document: bytes, trust: Trust, findings: Findings, log: Log | None) -> None:
    try:
        said = parse_checkpoint(parse_note(document).text)
    except (MalformedNote, MalformedCheckpoint) as error:
        raise Unusable(f"the file is none of the known formats; were it a checkpoint: {error}") from None
    checkpoint = open_trusted(document, trust, findings)
    if log is not None:
        root = log(Wanted(sizes=frozenset((said.size,))), findings).root_at(
            checkpoint.origin, checkpoint.size, "the checkpoint"
        )
        check_same_tree(checkpoint.size, checkpoint.root, root, "checkpoint")
        findings.proven(f"the checkpoint is of this very log, up to size {checkpoint.size}")


def _verify_stream_statement(document: bytes, trust: Trust, findings: Findings, log: Log | None) -> None:
    statement = open_stream_statement(document, trust)
    findings.proven(
        f"the log {statement.origin} stated, signed by key {statement.key.key_id_hex}, that stream {statement.stream} has"
        f" {counted(statement.events, 'event')} at size {statement.size}, with root {encode_base64(statement.root)}"
    )
    if log is None:
        findings.claimed(
            f"that this is so: an entry of that stream with number {statement.events} or more below position"
            f" {statement.size} would prove it a lie, and a replay of the whole log shows it"
        )
        return
    wanted = Wanted(frozenset((statement.stream,)), frozenset((statement.size,)))
    replay = log(wanted, findings)
    root = replay.root_at(statement.origin, statement.size, "the statement")
    check_same_tree(statement.size, statement.root, root, "statement")
    _check_count(statement, replay)
    findings.proven(
        f"it is so: the log, replayed up to size {statement.size}, has {counted(statement.events, 'event')} of that stream"
    )


def _check_count(statement: StreamStatement, replay: Replay) -> None:
    held = replay.stream(statement.stream, statement.size)
    if len(held) > statement.events:
        lie = held[statement.events][0]
        raise NotProven(
            f"position {lie.position}: holds number {lie.number} of stream {statement.stream}, and the log stated, signed"
            f" by key {statement.key.key_id_hex}, {counted(statement.events, 'event')} at size {statement.size}: the"
            " statement is a lie"
        )
    if len(held) < statement.events:
        raise NotProven(
            f"statement.events: is {statement.events}, and the log has {counted(len(held), 'event')} of that stream at size"
            f" {statement.size}: the statement is a lie"
        )


def _verify_proof(text: str, trust: Trust, findings: Findings, entry: bytes | None, log: Log | None) -> None:
    try:
        proof = parse_proof_text(text)
    except MalformedProofText as error:
        raise NotProven(f"proof: {error}") from None
    if log is not None:
        raise Unusable("a proof is verified by itself, so no further log is of use")
    checkpoint = open_trusted(proof.checkpoint, trust, findings)
    if proof.index >= checkpoint.size:
        raise NotProven(f"index: is {proof.index}, and the checkpoint is over {checkpoint.size} events")
    if entry is None:
        findings.claimed(f"what is at position {proof.index}: the proof shows it for an entry, and none was given")
        return
    where = f"position {proof.index}"
    raw = _raw_entry(entry)
    prove_inclusion(proof.index, raw, proof.hashes, checkpoint, where)
    said = decoded(raw, where)
    if said.position != proof.index:
        raise NotProven(f"{where}: position: the entry's own is {said.position}")
    findings.proven(described(said, f"stream {said.stream}"))


def _raw_entry(given: bytes) -> bytes:
    """An entry given as it is, or as a line of base64. Raises Unusable."""
    if given.startswith(b"{"):
        return given
    try:
        return decode_base64(given.decode("ascii").rstrip("\r\n"))
    except ValueError:
        raise Unusable(f"the entry is neither JSON nor base64: {quoted(given[:40].decode(errors='replace'))}") from None
