"""A log export: every entry of a log, line by line, in memory that does not grow with it but for one number a stream."""

from collections.abc import Callable, Sequence
from typing import BinaryIO, cast

from tlog.note import decode_base64
from verifier.checkpoint import Trust, check_verifier_keys, open_trusted
from verifier.inclusion import InclusionInOrder
from verifier.reading import NotJson, Object, object_of, parse_json
from verifier.replay import Replay, Replayer, Wanted
from verifier.report import Findings, NotProven, counted

FORMAT = "consentry-log"
VERSION = 1
# An entry of 65,535 bytes in base64 and 63 hashes have some 91,000 characters.
LINE_BYTES_MAX = 200_000
_LINES_A_SHOW = 1_000
_MEMBERS = {"position", "entry", "proof"}

Progress = Callable[[int], None]
"""Told now and then how many entries are through."""


def verify_log_export(
    header: Object,
    lines: BinaryIO,
    trust: Trust,
    findings: Findings,
    *,
    wanted: Wanted | None = None,
    progress: Progress | None = None,
) -> Replay:
    """Return what is wanted of the log if all of it is proven by these keys; `lines` follow the header.

    Raises NotProven for the first thing that is wrong, and Unusable.
    """
    header.only("format", "version", "origin", "verifierKeys", "checkpoint", "entries")
    checkpoint = open_trusted(header.text("checkpoint"), trust, findings, origin=header.text("origin"))
    check_verifier_keys(header)
    if header.whole("entries") != checkpoint.size:
        raise NotProven(f"entries: is {header.whole('entries')}, and the checkpoint is over {checkpoint.size}")
    replayer = Replayer(wanted or Wanted())
    inclusion = InclusionInOrder(checkpoint)
    for position in range(checkpoint.size):
        line = lines.readline(LINE_BYTES_MAX)
        where = f"line {position + 2} (position {position})"
        if not line:
            raise NotProven(f"{where}: missing; the checkpoint is over {checkpoint.size} events")
        raw, proof = _entry_and_proof(line, position, where)
        inclusion.check(position, replayer.take(raw), proof, where)
        if progress is not None and not (position + 1) % _LINES_A_SHOW:
            progress(position + 1)
    if lines.readline(1):
        raise NotProven(
            f"line {checkpoint.size + 2}: follows the last of the {checkpoint.size} events of the checkpoint"
        )
    replay = replayer.finish(checkpoint)
    say_what_was_replayed(replayer, findings)
    return replay


def say_what_was_replayed(replayer: Replayer, findings: Findings) -> None:
    """What holds for a log that was gone through whole."""
    if not replayer.size:
        findings.proven("the log is empty")
        return
    findings.proven(
        f"the log is here whole: {counted(replayer.size, 'entry', 'entries')}, positions 0 to {replayer.size - 1}, of"
        f" {counted(replayer.streams, 'stream')}; each decodes, is in the tree, follows its stream's entry before without"
        " a hole, and was recorded no earlier than the one before"
    )
    findings.claimed("the times: recordedAt is by the log's clock, effectiveAt is the application's word")


def _entry_and_proof(line: bytes, position: int, where: str) -> tuple[bytes, Sequence[object]]:
    if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
        raise NotProven(f"{where}: longer than any entry's line")
    try:
        value = parse_json(line)
    except NotJson as error:
        raise NotProven(f"{where}: {error}") from None
    members = object_of(value, where).members
    entry, proof = members.get("entry"), members.get("proof")
    if (
        set(members) == _MEMBERS
        and members["position"] == position
        and type(members["position"]) is int
        and isinstance(entry, str)
        and isinstance(proof, list)
    ):
        try:
            return decode_base64(entry), cast(list[object], proof)
        except ValueError:
            pass
    return _said_what_is_wrong(Object(where, members), position)


def _said_what_is_wrong(line: Object, position: int) -> tuple[bytes, Sequence[object]]:
    line.only(*_MEMBERS)
    if line.whole("position") != position:
        raise NotProven(f"{line.at('position')}: is {line.whole('position')}")
    return line.base64("entry"), line.texts("proof")
