"""An evidence bundle: what happened at one contact point, each event proven to be in the log, and none left out.

Checked in the order in which one thing rests on another: checkpoint, entries and their proofs, the chain of each stream,
what opens commitments, what the log states of completeness; then what follows from the events is folded from them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from domain.addresses import Channel
from domain.catalogue import Catalogue
from domain.consent import ConsentRecord, ConsentValue, record_that_counts
from domain.double_opt_in import is_awaited
from domain.events import EventType
from domain.refusals import Refusal
from domain.standing import Records, by_level
from domain.suppression import Level, Suppression
from domain.time import format_instant
from tlog.checkpoint import Checkpoint
from tlog.entry import Entry
from verifier.checkpoint import Trust, check_verifier_keys, open_trusted
from verifier.entries import CATALOGUE_STREAM, END_OF_TIME, catalogue_of, decoded, described, notice_of, record_of
from verifier.reading import Object, one_of
from verifier.replay import Log, Wanted
from verifier.report import Findings, NotProven, counted, quoted
from verifier.standing import bounce_of, brought_of, requests_of
from verifier.statements import StreamStatement, check_same_tree, open_stream_statement, prove_inclusion

FORMAT = "consentry-evidence"
VERSION = 1
# A commitment is over salt and content as one: were a salt of any length, the cut between them could be moved.
SALT_BYTES = 16
ADDRESS = "address"

CONTACT_POINT = "this contact point"
CATALOGUE = "the catalogue"


@dataclass(frozen=True, slots=True)
class Shown:
    """One event of the bundle, proven to be in the log, and where the bundle has it."""

    item: Object
    entry: Entry
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The events of a bundle, proven to be in the log, each stream without a hole."""

    checkpoint: Checkpoint
    stream: UUID
    channel: Channel
    events: Sequence[Shown]
    catalogue_events: Sequence[Shown]
    catalogue: Catalogue

    @property
    def erased(self) -> bool:
        """Whether an erasure was requested, from which on everything answers ERASED."""
        return any(shown.entry.type == EventType.CONTACT_POINT_ERASURE_REQUESTED for shown in self.events)


def verify_bundle(bundle: Object, trust: Trust, findings: Findings, *, log: Log | None = None) -> None:
    """Return if everything in the bundle is proven by these keys; with `log`, also that nothing was left out.

    Raises NotProven for the first thing that is wrong, and Unusable.
    """
    bundle.only(
        "format",
        "version",
        "origin",
        "checkpoint",
        "verifierKeys",
        "asked",
        "contactPoint",
        "statements",
        "events",
        "catalogue",
        "notices",
    )
    evidence = _evidence(bundle, trust, findings)
    for shown in evidence.events:
        findings.proven(described(shown.entry, CONTACT_POINT))
    findings.proven(_without_a_hole(evidence.events, "the events shown"))
    findings.proven(_without_a_hole(evidence.catalogue_events, "the catalogue's events shown"))
    _check_openings(evidence, findings)
    _check_notices(bundle.objects("notices"), evidence.events, findings)
    asked = _asked(bundle.within("asked"), evidence)
    statements = _statements(bundle.texts("statements"), trust, evidence)
    if log is None:
        for statement, name in zip(statements, (CONTACT_POINT, CATALOGUE), strict=True):
            findings.claimed(_completeness_claimed(statement, name))
    else:
        _check_against(log, evidence, statements, findings)
    _say_what_counted(evidence, asked, findings, complete=log is not None)
    _say_what_is_claimed(evidence, statements[0], findings)


def _evidence(bundle: Object, trust: Trust, findings: Findings) -> Evidence:
    origin = bundle.text("origin")
    checkpoint = open_trusted(bundle.text("checkpoint"), trust, findings, origin=origin)
    check_verifier_keys(bundle)
    contact_point = bundle.within("contactPoint")
    contact_point.only("stream", "channel")
    stream = contact_point.uuid("stream")
    channel = one_of(Channel, contact_point, "channel")
    if stream == CATALOGUE_STREAM:
        raise NotProven("contactPoint.stream: is the catalogue's, no contact point's")
    events = _stream(bundle, "events", checkpoint, stream, openings=True)
    for shown in events:
        if shown.entry.data.get("channel") != channel:
            raise NotProven(f"{_where(shown)}: data.channel: is not {channel}, as contactPoint.channel says")
    catalogue_events = _stream(bundle, "catalogue", checkpoint, CATALOGUE_STREAM, openings=False)
    _check_as_one_log([*events, *catalogue_events])
    return Evidence(
        checkpoint=checkpoint,
        stream=stream,
        channel=channel,
        events=events,
        catalogue_events=catalogue_events,
        catalogue=catalogue_of(shown.entry for shown in catalogue_events),
    )


def _stream(bundle: Object, name: str, checkpoint: Checkpoint, stream: UUID, *, openings: bool) -> list[Shown]:
    """The events of a stream: numbers from 0 on, without a hole, each proven to be in the log."""
    shown: list[Shown] = []
    for number, item in enumerate(bundle.objects(name)):
        item.only("position", "entry", "proof", *(("openings",) if openings else ()))
        position = item.whole("position")
        where = f"{item.path} (position {position})"
        raw = item.base64("entry")
        entry = decoded(raw, where)
        previous = shown[-1].entry if shown else None
        if entry.position != position:
            raise NotProven(f"{where}: position: the entry's own is {entry.position}")
        if entry.stream != stream:
            raise NotProven(f"{where}: stream: the entry is of stream {entry.stream}, not of {stream}")
        if entry.number != number:
            raise NotProven(f"{where}: number: is {entry.number}, where number {number} of the stream has to follow")
        if entry.previous != (None if previous is None else previous.position):
            raise NotProven(f"{where}: previous: is {entry.previous}, which is not the event shown before")
        if previous is not None and position <= previous.position:
            raise NotProven(f"{where}: position: not after {previous.position}, the event shown before")
        prove_inclusion(position, raw, item.hashes("proof"), checkpoint, where)
        shown.append(Shown(item, entry, raw))
    if not shown:
        raise NotProven(f"{name}: empty, so nothing is shown")
    return shown


def _check_as_one_log(shown: Sequence[Shown]) -> None:
    """Raises NotProven unless all are of one tenant, and recorded in the order of their positions."""
    in_order = sorted(shown, key=lambda one: one.entry.position)
    for before, after in zip(in_order, in_order[1:], strict=False):
        if after.entry.tenant != before.entry.tenant:
            raise NotProven(f"{_where(after)}: tenant: is {after.entry.tenant}, not {before.entry.tenant}")
        if after.entry.recorded_at < before.entry.recorded_at:
            raise NotProven(f"{_where(after)}: recordedAt: is before that of position {before.entry.position}")


def _where(shown: Shown) -> str:
    return f"{shown.item.path} (position {shown.entry.position})"


def _without_a_hole(shown: Sequence[Shown], what: str) -> str:
    last = shown[-1].entry.number
    numbers = "are number 0 alone" if last == 0 else f"are numbers 0 to {last} without a hole"
    return f"{what} {numbers}, each of them in the log"


def _check_openings(evidence: Evidence, findings: Findings) -> None:
    opened = False
    for shown in evidence.events:
        entry = shown.entry
        if ADDRESS in entry.personal and entry.number != 0:
            raise NotProven(f"{_where(shown)}: personal.address: has its place in number 0 of a contact point only")
        openings = shown.item.within("openings")
        for name in openings.members:
            content = _opened(openings.within(name), entry, name)
            opened = True
            if name == ADDRESS:
                findings.proven(f"{CONTACT_POINT} stands for the address {quoted(content)}")
            else:
                findings.proven(f"the {name} recorded with event {entry.position} is {quoted(content)}")
    if evidence.erased:
        _say_what_was_erased(evidence, findings, opened=opened)
    elif ADDRESS not in evidence.events[0].item.within("openings").members:
        findings.claimed(f"which address {CONTACT_POINT} stands for: its commitment is not opened here")


def _opened(opening: Object, entry: Entry, name: str) -> str:
    opening.only("salt", "content")
    salt, content = opening.base64("salt"), opening.base64("content")
    commitment = entry.personal.get(name)
    where = f"{opening.path} (position {entry.position})"
    if commitment is None:
        raise NotProven(f"{where}: the entry has no such commitment")
    if len(salt) != SALT_BYTES:
        raise NotProven(f"{where}: salt: has {len(salt)} bytes, and a salt has {SALT_BYTES}")
    if hashlib.sha256(salt + content).digest() != commitment:
        raise NotProven(f"{where}: is not what the entry's commitment was made over")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise NotProven(f"{where}: content: not UTF-8") from None


def _say_what_was_erased(evidence: Evidence, findings: Findings, *, opened: bool) -> None:
    request, *certificates = [
        shown.entry
        for shown in evidence.events
        if shown.entry.type in (EventType.CONTACT_POINT_ERASURE_REQUESTED, EventType.CONTACT_POINT_ERASED)
    ]
    findings.proven(f"erasure was requested at {format_instant(request.recorded_at)}, by event {request.position}")
    if certificates:
        certificate = certificates[-1]
        gone = "" if opened else "; the openings are gone"
        findings.proven(
            f"erased at {format_instant(certificate.recorded_at)}, by event {certificate.position}, as the log records{gone}"
        )
        findings.claimed("that its key and whatever was personal were destroyed: no file can show what is not there")


def _check_notices(notices: Sequence[Object], events: Sequence[Shown], findings: Findings) -> None:
    named: dict[bytes, list[int]] = {}
    for shown in events:
        digest = notice_of(shown.entry)
        if digest is not None:
            named.setdefault(digest, []).append(shown.entry.position)
    for notice in notices:
        notice.only("digest", "text")
        digest, text = notice.sha256("digest"), notice.text("text")
        if hashlib.sha256(text.encode()).digest() != digest:
            raise NotProven(f"{notice.path}.text: is not the text of this digest")
        positions = named.pop(digest, None)
        if positions is None:
            raise NotProven(f"{notice.path}.digest: no event shown names it, or it is there twice")
        where = ", ".join(map(str, positions))
        findings.proven(f"the notice named by {'events' if len(positions) > 1 else 'event'} {where} is {quoted(text)}")


def _asked(asked: Object, evidence: Evidence) -> tuple[str | None, str | None]:
    """The keys of purpose and topic that were asked for."""
    asked.only("channel", "purpose", "topic")
    if one_of(Channel, asked, "channel") is not evidence.channel:
        raise NotProven(f"asked.channel: is not {evidence.channel}, as contactPoint.channel says")
    purpose_ref, topic_ref = asked.optional_text("purpose"), asked.optional_text("topic")
    try:
        purpose = None if purpose_ref is None else evidence.catalogue.purpose(purpose_ref)
        if purpose is None:
            topic = None if topic_ref is None else evidence.catalogue.topic(topic_ref)
        else:
            topic = evidence.catalogue.topic_of(purpose, topic_ref)
    except Refusal as refusal:
        raise NotProven(f"asked.{refusal.path[0]}: {refusal.message}") from None
    return None if purpose is None else purpose.key, None if topic is None else topic.key


def _statements(raw: Sequence[str], trust: Trust, evidence: Evidence) -> Sequence[StreamStatement]:
    """The stream statements of contact point and catalogue, which agree with what is shown."""
    if len(raw) != 2:
        raise NotProven(f"statements: two are due, of contact point and catalogue, and here are {len(raw)}")
    checkpoint = evidence.checkpoint
    statements: list[StreamStatement] = []
    wanted = ((evidence.stream, evidence.events), (CATALOGUE_STREAM, evidence.catalogue_events))
    for number, (stream, shown) in enumerate(wanted):
        where = f"statements[{number}]"
        statement = open_stream_statement(raw[number], trust, where=where, origin=checkpoint.origin)
        if statement.stream != stream:
            raise NotProven(f"{where}.stream: is of stream {statement.stream}, not of {stream}")
        if statement.size != checkpoint.size:
            raise NotProven(f"{where}.size: is {statement.size}, and the checkpoint's {checkpoint.size}")
        check_same_tree(statement.size, statement.root, checkpoint.root, where)
        if statement.events > len(shown):
            raise NotProven(
                f"{where}.events: the log states {counted(statement.events, 'event')}, and {len(shown)} are shown:"
                f" number {len(shown)} of stream {stream} is left out"
            )
        if statement.events < len(shown):
            lie = shown[statement.events].entry
            raise NotProven(
                f"{where}.events: the log states, signed, {counted(statement.events, 'event')} at size {statement.size},"
                f" and number {lie.number} at position {lie.position} is shown: the statement is a lie"
            )
        statements.append(statement)
    return statements


def _completeness_claimed(statement: StreamStatement, name: str) -> str:
    return (
        f"that there are no more of {name}: the log states, signed, that its stream has"
        f" {counted(statement.events, 'event')} at size {statement.size}; an entry with number {statement.events} or more"
        f" below position {statement.size} would prove that a lie, and a replay of the whole log shows it"
    )


def _check_against(log: Log, evidence: Evidence, statements: Sequence[StreamStatement], findings: Findings) -> None:
    """Replay the whole log. Raises NotProven where it holds an event of these streams that the bundle leaves out."""
    checkpoint = evidence.checkpoint
    wanted = Wanted(frozenset((evidence.stream, CATALOGUE_STREAM)), frozenset((checkpoint.size,)))
    replay = log(wanted, findings)
    root = replay.root_at(checkpoint.origin, checkpoint.size, "the bundle")
    check_same_tree(checkpoint.size, checkpoint.root, root, "checkpoint")
    streams = ((evidence.events, CONTACT_POINT), (evidence.catalogue_events, CATALOGUE))
    for (shown, name), statement in zip(streams, statements, strict=True):
        held = replay.stream(statement.stream, checkpoint.size)
        for number, (entry, raw) in enumerate(held):
            if number >= len(shown):
                raise NotProven(
                    f"position {entry.position}: number {entry.number} of {name} is in the log, and left out of the bundle;"
                    f" the log stated, signed by key {statement.key.key_id_hex}, that there are"
                    f" {counted(statement.events, 'event')} at size {statement.size}: that statement is a lie"
                )
            if raw != shown[number].raw:
                raise NotProven(
                    f"position {entry.position}: the log has another entry there than {_where(shown[number])}"
                )
        if len(held) < len(shown):
            raise NotProven(f"{_where(shown[len(held)])}: is not in the log")
        findings.proven(
            f"that there are no more of {name}: the log, replayed up to size {checkpoint.size}, has exactly the"
            f" {counted(len(held), 'event')} shown"
        )


def _say_what_counted(
    evidence: Evidence, asked: tuple[str | None, str | None], findings: Findings, *, complete: bool
) -> None:
    """What follows from the events shown, by the rule for which record counts."""
    so = f"so at size {evidence.checkpoint.size}{'' if complete else ', the events shown being all'}"
    if evidence.erased:
        findings.proven(f"{so}: ERASED, which is never a permission to send")
        return
    entries = [shown.entry for shown in evidence.events]
    records = [record for entry in entries if (record := record_of(entry)) is not None]
    held = by_level(records, as_of=END_OF_TIME, known_at=END_OF_TIME)
    words: list[str] = []
    bounced = bounce_of(entries, as_of=END_OF_TIME, known_at=END_OF_TIME)
    if bounced is not None:
        words.append(
            f"everything SUPPRESSED, whatever else is said here: a message bounced for good (event {bounced.position}), and"
            " no later opt-in, by the person or an operator, ended that"
        )
    words += [
        f"SUPPRESSED since {format_instant(one.since)}, whatever else is said here, {_covered(one)}: an erasure in the tenant"
        " that a file came from left that. At each of these it ends with a later opt-in by the person"
        for one in brought_of(entries)
    ]
    for (purpose, topic), by_unit in sorted(held.items(), key=lambda level: _by_name(level[0])):
        name = _named(purpose, topic)
        for unit, record in sorted(by_unit.items()):
            in_unit = f" in unit {unit}" if len(by_unit) > 1 else ""
            until = "" if record.valid_until is None else f" until {format_instant(record.valid_until)}"
            words.append(f"{name} {record.value}{until}{in_unit} (event {record.position})")
    purpose, topic = asked
    if purpose is not None and (purpose, topic) not in held:
        words.append(f"{_named(purpose, topic)} NOT_SET")
    words += _awaited(evidence, entries, held)
    for one in words:
        findings.proven(f"{so}: {one}")
    # With OPTED_OUT alone nothing is permitted, and after a hard bounce everything is suppressed anyway.
    asked_for = [] if purpose is None else [held.get((purpose, topic), {})]
    said = [*held.values(), *asked_for]
    only_out = bool(said) and all(
        by_unit and all(record.value is ConsentValue.OPTED_OUT for record in by_unit.values()) for by_unit in said
    )
    if bounced is None and not only_out:
        findings.claimed(
            "that nothing suppressed the address: the erasure of an earlier contact point of it may have left what still"
            " blocks it, and no log holds which address a suppression is of"
        )


def _awaited(evidence: Evidence, entries: Sequence[Entry], held: Records) -> list[str]:
    """The confirmations that are awaited, in words: of each level's latest request, unless the person chose since."""
    words: list[str] = []
    requests = requests_of(entries, as_of=END_OF_TIME, known_at=END_OF_TIME)
    for level, request in sorted(requests.items(), key=lambda one: _by_name(one[0])):
        # No bundle has a time of its own, so until when is said, and whoever reads it knows whether that is past.
        if is_awaited(request, _record_of_level(evidence, held, level), request.requested_at):
            until = format_instant(request.expires_at)
            words.append(f"{_named(*level)}: a confirmation is awaited until {until} (event {request.position})")
    return words


def _record_of_level(evidence: Evidence, held: Records, level: Level) -> ConsentRecord | None:
    purpose = evidence.catalogue.purposes.get(level[0])
    if purpose is None:
        raise NotProven(f"events: a confirmation is asked for of purpose {level[0]}, which is not in the catalogue")
    return record_that_counts(
        held.get(level, {}),
        purpose_unit=purpose.unit,
        profile_unit=purpose.unit,
        unit_scoping=evidence.catalogue.unit_scoping,
    )


def _by_name(level: Level) -> tuple[str, str]:
    return level[0], level[1] or ""


def _covered(suppression: Suppression) -> str:
    if suppression.everything:
        return "for everything"
    parts = ["for everything COMMERCIAL"] if suppression.commercial else []
    parts += ["for tracking"] if suppression.tracking else []
    return ", ".join([*parts, *(f"for {_named(*level)}" for level in sorted(suppression.levels, key=_by_name))])


def _named(purpose: str, topic: str | None) -> str:
    return purpose if topic is None else f"{purpose} / {topic}"


def _say_what_is_claimed(evidence: Evidence, statement: StreamStatement, findings: Findings) -> None:
    findings.claimed(
        f"the times: recordedAt is by the log's clock, and so is when it stated this ({format_instant(statement.stated_at)});"
        " effectiveAt is the application's word"
    )
    findings.claimed("who did it: application and actor, and what the evidence says, are the application's word")


def unwrapped(value: object) -> object:
    """What is at {"data": {FIELD: {"json": ...}}}, as a GraphQL answer has a bundle; None where nothing is."""
    fields = _members(_members(value).get("data"))
    return _members(next(iter(fields.values()))).get("json") if len(fields) == 1 else None


def _members(value: object) -> Mapping[str, object]:
    return cast(dict[str, object], value) if isinstance(value, dict) else {}
