"""Evidence bundles: one that is proven, what it says, and every way to falsify one, each named."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.given import (
    ADA,
    ADDRESS,
    BOB,
    CATALOGUE,
    FOREIGN_KEY,
    KEY,
    OTHER_KEY,
    SALT,
    START,
    TRUST,
    Log,
    Members,
    add_catalogue,
    capture,
    commitment,
    demo_log,
    dumped,
    opening,
    texts,
    verified,
    witness,
)
from tlog.note import encode_base64
from verifier.checkpoint import Trust
from verifier.report import Unusable, Verdict
from verifier.verify import DOCUMENT_BYTES_MAX


def test_a_bundle_says_what_is_proven_and_what_is_not(log: Log) -> None:
    report = verified(dumped(log.bundle()))
    assert report.proven
    said = texts(report)
    for line in (
        "PROVEN  the log consentry.local/log/demo has 12 events with root ",
        "NEEDS A WITNESS that nobody was shown another log of this size",
        "PROVEN  event 10 (number 1 of this contact point): ConsentCaptured OPTED_OUT for purpose commercial, source API,"
        " actor USER, application app, effective 2026-06-01T12:00:10.000000Z; recorded 2026-06-01T12:00:10.000000Z",
        'PROVEN  this contact point stands for the address "ada@example.org"',
        "PROVEN  the events shown are numbers 0 to 1 without a hole",
        'PROVEN  the notice named by event 7 is "We write to you once a week."',
        "CLAIMED that there are no more of this contact point: the log states, signed, that its stream has 2 events at size"
        " 12; an entry with number 2 or more below position 12 would prove that a lie",
        "PROVEN  so at size 12, the events shown being all: commercial OPTED_OUT (event 10)",
        "CLAIMED the times",
        "CLAIMED who did it",
    ):
        assert line in said


def test_with_the_whole_log_nothing_was_left_out(log: Log) -> None:
    old = dumped(log.bundle(size=9))
    report = verified(old, log=log.export)
    assert report.proven
    assert "PROVEN  that there are no more of this contact point: the log, replayed up to size 9" in texts(report)
    assert "PROVEN  so at size 9: commercial OPTED_IN (event 7)" in texts(report)


def test_a_stream_of_which_events_are_hidden_is_a_lie_that_the_log_shows(log: Log) -> None:
    bundle = log.bundle()
    bundle["events"].pop()
    bundle["statements"][0] = log.statement(ADA, events=1)
    assert verified(dumped(bundle)).proven, "nobody can know without the log"
    report = verified(dumped(bundle), log=log.export)
    assert not report.proven
    assert "position 10: number 1 of this contact point is in the log, and left out of the bundle" in str(
        report.failure
    )
    assert "that statement is a lie" in str(report.failure)


def test_a_log_that_is_too_short_or_another_proves_nothing(log: Log) -> None:
    bundle = dumped(log.bundle())
    short = Log()
    add_catalogue(short)
    assert "too few to replay the bundle at size 12" in str(verified(bundle, log=short.export).failure)
    other = demo_log()
    other.add("ConsentCaptured", BOB, capture("OPTED_IN"))
    rewritten = Log()
    add_catalogue(rewritten)
    for _ in range(6):
        rewritten.add("ConsentCaptured", BOB, capture("OPTED_IN"))
    assert "equivocation" in str(verified(bundle, log=rewritten.export).failure)
    with pytest.raises(Unusable, match="no log export"):
        verified(bundle, log=bundle)


def test_witnesses_are_named_with_their_time(log: Log) -> None:
    bundle = log.bundle()
    bundle["checkpoint"] = log.checkpoint(cosigned_s=1_780_000_000)
    trust = Trust(TRUST.keys, (witness(),))
    said = texts(verified(dumped(bundle), trust=trust))
    assert "PROVEN  cosigned by witness.example at 2026-05-28T20:26:40Z" in said
    assert "NEEDS A WITNESS" not in said
    assert "NEEDS A WITNESS" in texts(verified(dumped(bundle))), "a witness that nobody trusts is none"
    bundle["checkpoint"] = log.checkpoint(cosigned_s=(1 << 63) - 1)
    assert f"at second {(1 << 63) - 1}" in texts(verified(dumped(bundle), trust=trust))
    bundle["checkpoint"] = log.checkpoint(cosigned_s=5).replace("AAAAAAAAAF", "AAAAAAAAAG")
    assert not verified(dumped(bundle), trust=trust).proven


def erased_log() -> Log:
    log = demo_log()
    data = {"channel": "EMAIL", "reason": "asked", "keepSuppression": False}
    requested = log.add("ContactPointErasureRequested", ADA, data)
    log.add("ContactPointErased", ADA, {"channel": "EMAIL", "requested": requested, "events": 2})
    return log


def test_an_erased_contact_point_is_said_to_be_erased() -> None:
    bundle = erased_log().bundle()
    bundle["events"][0]["openings"] = {}
    said = texts(verified(dumped(bundle)))
    assert (
        "PROVEN  erased at 2026-06-01T12:00:13.000000Z, by event 13, as the log records; the openings are gone" in said
    )
    assert "PROVEN  so at size 14, the events shown being all: ERASED" in said
    assert "CLAIMED that its key and whatever was personal were destroyed" in said


def test_an_address_that_is_not_opened_is_claimed(log: Log) -> None:
    bundle = log.bundle()
    bundle["events"][0]["openings"] = {}
    report = verified(dumped(bundle))
    assert report.proven
    assert "CLAIMED which address this contact point stands for" in texts(report)


def test_a_purpose_without_a_record_is_not_set(log: Log) -> None:
    bundle = log.bundle()
    bundle["asked"]["topic"] = "news"
    assert "commercial / news NOT_SET" in texts(verified(dumped(bundle)))


UNSUPPRESSED = (
    "CLAIMED that nothing suppressed the address: the erasure of an earlier contact point of it may have left"
)


def said_of(*events: tuple[str, Members, Members], asked: Members | None = None) -> str:
    """What is said of a contact point with these events, of (type, data, what is given besides)."""
    log = Log()
    add_catalogue(log)
    for number, (type_, data, given_here) in enumerate(events):
        personal = {"personal": {"address": commitment(ADDRESS)}} if number == 0 else {}
        log.add(type_, ADA, {"channel": "EMAIL", **data}, **personal, **given_here)
    bundle = log.bundle()
    bundle["notices"] = []
    bundle["asked"] = {"channel": "EMAIL", **(asked or {})}
    report = verified(dumped(bundle))
    assert report.proven, report.failure
    return texts(report)


def consent(value: str, *, topic: str | None = None, source: str = "API", **given_here: Any) -> Any:
    return "ConsentCaptured", capture(value, topic=topic, source=source), given_here


def bounce(kind: str) -> Any:
    return "ContactPointBounced", {"bounce": kind}, {}


def request(*topics: str, **data: Any) -> Any:
    more = {"topics": list(topics)} if topics else {}
    data = {"profile": "default", "purpose": "commercial", "expiresAt": "2026-06-29T12:00:07.000000Z", **more, **data}
    return "DoubleOptInRequested", data, {}


@pytest.mark.parametrize(
    ("events", "asked", "may_be_suppressed"),
    [
        ([consent("OPTED_IN")], {}, True),
        ([consent("NOT_SET")], {}, True),
        ([consent("OPTED_OUT")], {}, False),
        ([consent("OPTED_OUT")], {"purpose": "commercial"}, False),
        ([consent("OPTED_OUT")], {"purpose": "tracking"}, True),
        ([consent("OPTED_OUT"), consent("OPTED_IN", topic="news")], {}, True),
        ([request()], {}, True),
        ([bounce("SOFT")], {}, True),
        ([consent("OPTED_IN"), bounce("HARD")], {}, False),
    ],
)
def test_a_suppression_that_no_log_holds_may_block_what_is_not_opted_out(
    events: list[Any], asked: Members, may_be_suppressed: bool
) -> None:
    assert (UNSUPPRESSED in said_of(*events, asked=asked)) is may_be_suppressed


BY_PERSON: Members = {"actor": "RECIPIENT"}


@pytest.mark.parametrize(
    ("events", "suppressed"),
    [
        ([consent("OPTED_IN"), bounce("HARD")], True),
        ([bounce("HARD"), consent("OPTED_IN")], True),
        ([bounce("HARD"), consent("OPTED_OUT", **BY_PERSON)], True),
        ([bounce("HARD"), consent("OPTED_IN", **BY_PERSON, effective_at=START)], True),
        ([bounce("HARD"), consent("OPTED_IN", **BY_PERSON), bounce("HARD")], True),
        ([bounce("HARD"), consent("OPTED_IN", **BY_PERSON)], False),
        ([bounce("HARD"), consent("OPTED_IN", source="OPERATOR"), bounce("SOFT")], False),
        ([consent("OPTED_IN"), bounce("SOFT")], False),
    ],
)
def test_a_hard_bounce_that_did_not_end_suppresses_everything(events: list[Any], suppressed: bool) -> None:
    assert ("the events shown being all: everything SUPPRESSED" in said_of(*events)) is suppressed


def brought(**data: Any) -> Any:
    covers = {"commercial": True, "tracking": False, "levels": [{"purpose": "more", "topic": "news"}]}
    return "ContactPointSuppressed", {"since": "2026-01-01T00:00:00.000000Z", "suppression": covers, **data}, {}


def test_a_suppression_that_was_brought_in_is_said() -> None:
    said = said_of(brought(), consent("OPTED_IN"))
    assert (
        "SUPPRESSED since 2026-01-01T00:00:00.000000Z, whatever else is said here, for everything COMMERCIAL, for"
        in said
    )
    assert "more / news: an erasure in the tenant that a file came from left that" in said
    everything = {"commercial": True, "tracking": True, "levels": [], "everything": True}
    assert "said here, for everything: an erasure" in said_of(brought(suppression=everything))


AWAITED = "commercial: a confirmation is awaited until 2026-06-29T12:00:07.000000Z (event {})"


def test_a_confirmation_is_awaited_until_the_person_chooses() -> None:
    assert f"PROVEN  so at size 8, the events shown being all: {AWAITED.format(7)}" in said_of(request())
    said = said_of(consent("OPTED_OUT"), request("news"))
    assert AWAITED.format(8) in said
    assert AWAITED.format(8).replace("commercial", "commercial / news") in said
    assert "awaited" not in said_of(request(), consent("OPTED_OUT"))
    confirmed = consent("OPTED_IN", **BY_PERSON, effective_at=START + timedelta(seconds=7))
    assert "awaited" not in said_of(request(), confirmed), "it counts from the request"


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        ("ContactPointBounced", {}),
        ("ContactPointSuppressed", {}),
        ("ContactPointSuppressed", {"since": "2026-01-01T00:00:00.000000Z", "suppression": {"commercial": True}}),
        (
            "ContactPointSuppressed",
            {"since": "2026-01-01", "suppression": {"commercial": True, "tracking": True, "levels": []}},
        ),
        (
            "ContactPointSuppressed",
            {
                "since": "2026-01-01T00:00:00.000000Z",
                "suppression": {"commercial": True, "tracking": True, "levels": [{"purpose": 5}]},
            },
        ),
        ("ContactPointBounced", {"bounce": "ODD"}),
        ("DoubleOptInRequested", {"purpose": "commercial"}),
        ("DoubleOptInRequested", {"purpose": "nothing", "expiresAt": "2026-06-29T12:00:07.000000Z"}),
        ("DoubleOptInRequested", {"purpose": 5, "expiresAt": "2026-06-29T12:00:07.000000Z"}),
        ("DoubleOptInRequested", {"purpose": "commercial", "expiresAt": "2026-06-29T12:00:07"}),
        ("DoubleOptInRequested", {"purpose": "commercial", "topics": 5, "expiresAt": "2026-06-29T12:00:07.000000Z"}),
    ],
)
def test_events_that_no_ledger_writes_are_not_proven(log: Log, type_: str, data: Members) -> None:
    log.add(type_, ADA, {"channel": "EMAIL", **data})
    assert not verified(dumped(log.bundle())).proven


def test_the_answer_of_the_api_is_taken_as_it_came(log: Log) -> None:
    assert verified(dumped({"data": {"evidence": {"json": log.bundle()}}})).proven
    for other in ({"data": {"a": {"json": {}}}}, {"data": {}}, {"data": []}, {"data": {"a": {"json": []}}}, {}, []):
        with pytest.raises(Unusable):
            verified(json.dumps(other).encode())


def test_what_is_shown_can_neither_command_a_terminal_nor_break_a_line() -> None:
    log = Log()
    add_catalogue(log)
    log.add(
        "ConsentCaptured",
        ADA,
        capture("OPTED_IN", "commercial", "x\n\x1b[2J\u202e"),
        personal={"address": commitment(b"\x1b[31mada\r\nPROVEN")},
    )
    bundle = log.bundle()
    bundle["notices"] = []
    bundle["events"][0]["openings"] = {"address": opening(b"\x1b[31mada\r\nPROVEN")}
    for line in verified(dumped(bundle)).lines:
        assert line.text.isprintable()


Edit = Callable[[Log, Members], Any]


def put(path: str, value: Any) -> Edit:
    """An edit that writes `value` at a path such as events.0.position."""

    def edit(log: Log, bundle: Members) -> None:
        *names, last = path.split(".")
        at: Any = bundle
        for name in names:
            at = at[int(name) if name.isdigit() else name]
        at[int(last) if last.isdigit() else last] = value

    return edit


def drop(path: str) -> Edit:
    def edit(log: Log, bundle: Members) -> None:
        *names, last = path.split(".")
        at: Any = bundle
        for name in names:
            at = at[int(name) if name.isdigit() else name]
        del at[int(last) if last.isdigit() else last]

    return edit


def changed_entry(number: int, old: bytes, new: bytes) -> Edit:
    def edit(log: Log, bundle: Members) -> None:
        position = bundle["events"][number]["position"]
        raw = log.entries[position]
        assert old in raw
        bundle["events"][number]["entry"] = encode_base64(raw.replace(old, new))

    return edit


def swapped(log: Log, bundle: Members) -> None:
    bundle["events"].reverse()


def foreign_stream(log: Log, bundle: Members) -> None:
    bundle["events"].append({**log.item(8), "openings": {}})


def of_another_contact_point(log: Log, bundle: Members) -> None:
    bundle["contactPoint"]["stream"] = str(BOB)


def left_out(log: Log, bundle: Members) -> None:
    del bundle["events"][1]


def more_than_stated(log: Log, bundle: Members) -> None:
    bundle["statements"][0] = log.statement(ADA, events=1)


def statements_swapped(log: Log, bundle: Members) -> None:
    bundle["statements"].reverse()


def shorter_proof(log: Log, bundle: Members) -> None:
    bundle["events"][0]["proof"].pop()


def longer_proof(log: Log, bundle: Members) -> None:
    bundle["events"][0]["proof"].append(encode_base64(bytes(32)))


def proof_of_another(log: Log, bundle: Members) -> None:
    bundle["events"][0]["proof"] = log.proof(8)


def moved_cut(log: Log, bundle: Members) -> None:
    bundle["events"][0]["openings"]["address"] = opening(ADDRESS[4:], SALT + ADDRESS[:4])


def checkpoint_of(**given: Any) -> Edit:
    def edit(log: Log, bundle: Members) -> None:
        bundle["checkpoint"] = log.checkpoint(**given)

    return edit


def signed_by(key: Any) -> Edit:
    def edit(log: Log, bundle: Members) -> None:
        log.key = key
        bundle["checkpoint"] = log.checkpoint()

    return edit


def statement(**given: Any) -> Edit:
    def edit(log: Log, bundle: Members) -> None:
        bundle["statements"][0] = log.statement(given.pop("stream_of", ADA), **given)

    return edit


def rewritten(text: bytes, new: bytes) -> Edit:
    """An edit of the file's bytes."""

    def edit(log: Log, bundle: Members) -> bytes:
        raw = dumped(bundle)
        assert text in raw
        return raw.replace(text, new, 1)

    return edit


NOT_PROVEN: dict[str, tuple[Edit, str]] = {
    "the checkpoint of another key": (signed_by(OTHER_KEY), "no trusted key signed"),
    "the checkpoint of another log": (signed_by(FOREIGN_KEY), "no trusted key signed"),
    "a checkpoint of another origin": (checkpoint_of(origin="elsewhere"), "is of elsewhere, not of"),
    "a checkpoint of another size": (checkpoint_of(size=11), "proof"),
    "a checkpoint too small": (checkpoint_of(size=5), "index < size"),
    "a checkpoint of nothing": (checkpoint_of(size=0), "index < size"),
    "a checkpoint with another root": (checkpoint_of(root=bytes(32)), "another root"),
    "a checkpoint with extensions": (checkpoint_of(extensions=("more",)), "extension"),
    "a statement as the checkpoint": (lambda log, bundle: put("checkpoint", log.statement(ADA))(log, bundle), "size"),
    "another origin beside": (put("origin", "consentry.local/log/other"), "not of consentry.local/log/other"),
    "no checkpoint": (drop("checkpoint"), "checkpoint: missing"),
    "a checkpoint that is no text": (put("checkpoint", 5), "checkpoint: not text"),
    "an empty checkpoint": (put("checkpoint", ""), "checkpoint: "),
    "half a surrogate": (put("checkpoint", "\ud800"), "checkpoint: half of a surrogate pair"),
    "a member more": (put("more", 1), "more: not a member"),
    "a member more in an event": (put("events.0.more", 1), "events[0].more"),
    "openings in the catalogue": (put("catalogue.0.openings", {}), "catalogue[0].openings"),
    "a listed key that is none": (put("verifierKeys.0", "abc"), "verifierKeys[0]"),
    "keys that are no list": (put("verifierKeys", {}), "verifierKeys: not a list"),
    "zero events": (put("events", []), "events: empty"),
    "no catalogue": (put("catalogue", []), "catalogue: empty"),
    "events that are no list": (put("events", {"0": 1}), "events: not a list"),
    "an event that is none": (put("events.1", None), "events[1]: not an object"),
    "reordered": (swapped, "number: is 1, where number 0"),
    "an event left out": (left_out, "number 1 of stream 11111111-1111-4111-8111-111111111111 is left out"),
    "the first event left out": (drop("events.0"), "number: is 1, where number 0"),
    "an event twice": (
        lambda log, bundle: bundle["events"].append(bundle["events"][1]),
        "number: is 1, where number 2",
    ),
    "an event of the catalogue left out": (drop("catalogue.3"), "number: is 4, where number 3"),
    "an event of another stream": (foreign_stream, f"stream: the entry is of stream {BOB}"),
    "events of another contact point": (of_another_contact_point, f"is of stream {ADA}, not of {BOB}"),
    "the catalogue as a contact point": (put("contactPoint.stream", str(CATALOGUE)), "is the catalogue's"),
    "a stream that is none": (put("contactPoint.stream", str(ADA).replace("1", "x")), "contactPoint.stream"),
    "another spelling of the stream": (put("contactPoint.stream", "{" + str(ADA) + "}"), "contactPoint.stream"),
    "another channel": (put("contactPoint.channel", "SMS"), "data.channel: is not SMS"),
    "an unknown channel": (put("contactPoint.channel", "PIGEON"), "contactPoint.channel: none of"),
    "asked for another channel": (put("asked.channel", "SMS"), "asked.channel"),
    "asked for an unknown purpose": (put("asked.purpose", "other"), "asked.purpose"),
    "asked for an unknown topic": (put("asked.topic", "other"), "asked.topic"),
    "another position": (put("events.0.position", 8), "events[0] (position 8): position: the entry's own is 7"),
    "a position as text": (put("events.0.position", "7"), "events[0].position: not a whole number"),
    "a position that is true": (put("events.0.position", True), "events[0].position: not a whole number"),
    "a position with a fraction": (put("events.0.position", 7.0), "events[0].position: not a whole number"),
    "a negative position": (put("events.0.position", -7), "events[0].position"),
    "a huge position": (put("events.0.position", 10**400), "events[0].position"),
    "no entry": (drop("events.0.entry"), "events[0].entry: missing"),
    "an entry that is no base64": (put("events.0.entry", "!"), "events[0].entry: not canonical base64"),
    "an empty entry": (put("events.0.entry", ""), "entry: not JSON"),
    "an entry edited": (changed_entry(1, b"OPTED_OUT", b"OPTED_IN"), "events[1] (position 10): proof: "),
    "an entry spelled otherwise": (changed_entry(1, b'{"actor"', b'{ "actor"'), "canonical"),
    "an entry of another tenant": (changed_entry(1, b'"demo"', b'"evil"'), "proof: "),
    "an entry of an unknown type": (changed_entry(1, b"ConsentCaptured", b"ConsentRecorded"), "type: events of type"),
    "an entry with a huge number": (changed_entry(1, b'"number":1', b'"number":' + b"1" * 5000), "entry: "),
    "an entry nested deeply": (
        lambda log, bundle: put("events.0.entry", encode_base64(b"[" * 60_000))(log, bundle),
        "entry: ",
    ),
    "a proof too short": (shorter_proof, "events[0] (position 7): proof: the proof has too few hashes"),
    "a proof too long": (longer_proof, "proof: the proof has too many hashes"),
    "a proof of another": (proof_of_another, "proof: "),
    "a proof with short hashes": (put("events.0.proof.0", encode_base64(bytes(31))), "a hash has 32 bytes"),
    "a proof that is no list": (put("events.0.proof", "abc"), "events[0].proof: not a list"),
    "a proof with a number": (put("events.0.proof.1", 1), "events[0].proof[1]: not text"),
    "another address": (put("events.0.openings.address", opening(b"eve@example.org")), "commitment was made over"),
    "another salt": (put("events.0.openings.address", opening(ADDRESS, bytes(16))), "commitment was made over"),
    "the cut between salt and address moved": (moved_cut, "salt: has 20 bytes"),
    "the address opened elsewhere": (put("events.1.openings", {"address": opening(ADDRESS)}), "no such commitment"),
    "an opening of nothing": (put("events.0.openings.evidence", opening(b"x")), "no such commitment"),
    "an opening with more": (put("events.0.openings.address.more", 1), "openings.address.more"),
    "another notice": (put("notices.0.text", "We write daily."), "notices[0].text"),
    "a notice that no event names": (
        put("notices.0", {"digest": "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", "text": "hello"}),
        "notices[0].digest: no event",
    ),
    "a notice twice": (lambda log, bundle: bundle["notices"].append(bundle["notices"][0]), "notices[1].digest"),
    "no statements": (put("statements", []), "statements: two are due"),
    "statements swapped": (statements_swapped, "statements[0].stream"),
    "a statement of another key": (statement(key=OTHER_KEY), "statements[0]: no trusted key"),
    "a statement of another log's key": (statement(key=FOREIGN_KEY), "statements[0]: no trusted key"),
    "a statement of another origin": (statement(origin="elsewhere"), "is of the log elsewhere"),
    "a statement of another kind": (statement(kind="consentry/receipt@v1"), "is a consentry/receipt@v1"),
    "a statement of another stream": (statement(stream_of=BOB), "statements[0].stream"),
    "a statement of another size": (statement(size=11), "statements[0].size: is 11"),
    "a statement of another root": (statement(root=encode_base64(bytes(32))), "equivocation"),
    "a statement of more events": (statement(events=3), "number 2 of stream"),
    "a statement of fewer events": (more_than_stated, "the statement is a lie"),
    "a statement of more events than there are": (statement(events=13), "has not as many"),
    "a statement with a member more": (statement(more=1), "statements[0].more"),
    "a statement at no instant": (statement(statedAt="yesterday"), "statements[0].statedAt"),
    "a statement of events as text": (statement(events="2"), "statements[0].events: not a whole number"),
    "a checkpoint as a statement": (
        lambda log, bundle: put("statements.0", log.checkpoint())(log, bundle),
        "statements[0]: is a consentry.local/log/demo",
    ),
}


@pytest.mark.parametrize("case", NOT_PROVEN)
def test_what_is_false_is_not_proven_and_named(log: Log, case: str) -> None:
    edit, fragment = NOT_PROVEN[case]
    bundle = log.bundle()
    edit(log, bundle)
    report = verified(dumped(bundle))
    assert not report.proven
    assert fragment in str(report.failure)
    assert [line.verdict for line in report.lines].count(Verdict.FAILED) == 1
    assert report.lines[-1].verdict is Verdict.FAILED, "the first thing that is wrong ends it"


UNUSABLE: dict[str, tuple[Edit, str]] = {
    "truncated": (lambda log, bundle: dumped(bundle)[:-30], "not JSON"),
    "empty": (lambda log, bundle: b"", "none of the known formats"),
    "nothing but blanks": (lambda log, bundle: b" \n ", "none of the known formats"),
    "no UTF-8": (rewritten(b"We write", b"We \xff write"), "not UTF-8"),
    "UTF-16": (lambda log, bundle: dumped(bundle).decode().encode("utf-16"), "none of the known formats"),
    "a name twice": (rewritten(b'"version":1', b'"version":1,"version":1'), "twice"),
    "a name twice, deep inside": (rewritten(b'"position":7', b'"position":8,"position":7'), "twice"),
    "NaN": (rewritten(b'"version":1', b'"version":NaN'), "NaN"),
    "Infinity": (rewritten(b'"position":7', b'"position":-Infinity'), "Infinity"),
    "a number of 5,000 digits": (rewritten(b'"position":7', b'"position":' + b"7" * 5000), "number is too long"),
    "nested deeply": (lambda log, bundle: b'{"format":' + b"[" * 200_000, "nested too deeply"),
    "more after it": (lambda log, bundle: dumped(bundle) + b"{}", "not JSON"),
    "another format": (put("format", "consentry-evidences"), "none of the known formats"),
    "a format that is no text": (put("format", ["consentry-evidence"]), "none of the known formats"),
    "another version": (put("version", 2), "version 1 only"),
    "a version that is true": (put("version", True), "version 1 only"),
    "a list": (lambda log, bundle: b"[]", "none of the known formats"),
    "a picture": (lambda log, bundle: b"\x89PNG\r\n\x1a\n\x00", "none of the known formats"),
    "a text": (lambda log, bundle: b"Dear Sir or Madam\n\nI opted out.\n", "none of the known formats"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_is_no_such_file_is_unusable(log: Log, case: str) -> None:
    edit, fragment = UNUSABLE[case]
    bundle = log.bundle()
    raw = edit(log, bundle)
    with pytest.raises(Unusable) as unusable:
        verified(dumped(bundle) if raw is None else raw)
    assert fragment in str(unusable.value)


def test_a_file_that_is_too_large_is_not_read(log: Log) -> None:
    with pytest.raises(Unusable, match="more than"):
        verified(b" " * (DOCUMENT_BYTES_MAX + 1))


@pytest.mark.parametrize(
    ("given_here", "fragment"),
    [
        ({"tenant": "evil"}, "tenant: is evil, not demo"),
        ({"recorded_at": START}, "recordedAt: is before"),
        ({"previous": 8}, "previous: is 8"),
        ({"previous": None}, "previous: is None"),
        ({"number": 3}, "number: is 3"),
        ({"effective_at": None}, "effectiveAt: missing"),
        ({"version": 3}, "version 3 of ConsentCaptured is not known"),
        ({"data": {"channel": "EMAIL"}}, "data: 'purpose' is missing"),
        ({"data": capture("MAYBE")}, "data: not as this type"),
        ({"data": capture("OPTED_IN", ["commercial"])}, "data.purpose: not text"),  # type: ignore[arg-type]
        ({"data": capture("OPTED_IN", validUntil="2026-01-01T00:00:00")}, "not in UTC"),
        ({"personal": {"address": commitment(ADDRESS)}}, "personal.address: has its place in number 0"),
        ({"personal": {"evidence": b"short"}}, "personal.evidence: a commitment has 32 bytes"),
        ({"position": 8}, "position"),
    ],
)
def test_a_log_that_signs_nonsense_is_not_proven(given_here: dict[str, Any], fragment: str) -> None:
    log = Log()
    add_catalogue(log)
    log.add("ConsentCaptured", ADA, capture("OPTED_IN"), personal={"address": commitment(ADDRESS)})
    log.add("ConsentCaptured", BOB, capture("OPTED_IN"))
    log.add("ConsentCaptured", ADA, **({"data": capture("OPTED_OUT")} | given_here))
    bundle = log.bundle()
    bundle["notices"] = []
    report = verified(dumped(bundle))
    assert not report.proven
    assert fragment in str(report.failure)


@pytest.mark.parametrize(
    ("type_", "data", "fragment"),
    [
        ("PurposeUpdated", {"key": "nothing"}, "position 8: data: 'nothing' is missing"),
        ("TopicCreated", {"key": ["x"]}, "position 8: data"),
        ("PurposeCreated", {"key": "x"}, "position 8: data: 'name' is missing"),
        ("ConsentCaptured", capture("OPTED_IN"), "stream: ConsentCaptured has no place in the catalogue's stream"),
    ],
)
def test_a_catalogue_that_cannot_be_folded_is_not_proven(type_: str, data: Members, fragment: str) -> None:
    log = Log()
    add_catalogue(log)
    log.add("ConsentCaptured", ADA, capture("OPTED_IN"), personal={"address": commitment(ADDRESS)})
    log.add(type_, CATALOGUE, data)
    bundle = log.bundle()
    bundle["notices"] = []
    assert fragment in str(verified(dumped(bundle)).failure)


BUNDLE = demo_log().bundle()
BUNDLE["checkpoint"] = demo_log().checkpoint()
RAW = dumped(BUNDLE)


@given(st.integers(0, len(RAW) - 1), st.integers(0, 255))
def test_any_byte_changed_is_noticed(at: int, byte: int) -> None:
    raw = RAW[:at] + bytes([byte]) + RAW[at + 1 :]
    try:
        proven = verified(raw).proven
    except Unusable:
        return
    assert not proven or json.loads(raw) == BUNDLE


def test_the_keys_that_a_bundle_lists_are_trusted_by_nobody(log: Log) -> None:
    log.key = OTHER_KEY
    bundle = log.bundle()
    bundle["verifierKeys"] = [OTHER_KEY.verifier.text()]
    assert not verified(dumped(bundle)).proven
    assert verified(dumped(bundle), trust=Trust((OTHER_KEY.verifier,))).proven
    assert verified(dumped(bundle), trust=Trust((KEY.verifier, OTHER_KEY.verifier))).proven
