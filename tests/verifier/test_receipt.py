"""Receipts: signed, and decided anew from the log's own events; where the log cannot know, that is said."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.time import format_instant
from tests.verifier.given import (
    ADA,
    BOB,
    CATALOGUE,
    FOREIGN_KEY,
    START,
    Log,
    Members,
    capture,
    demo_log,
    enforcement,
    question,
    reason,
    texts,
    verified,
)
from tlog.note import encode_base64
from verifier.report import Unusable

OPTED_OUT = reason("OPTED_OUT", value="OPTED_OUT", position=10)


def at(seconds: float) -> str:
    return format_instant(START + timedelta(seconds=seconds))


def test_a_receipt_alone_is_proven_to_be_stated(log: Log) -> None:
    said = texts(verified(log.receipt().encode()))
    assert "that it answered NOT ALLOWED: OPTED_OUT (commercial: OPTED_OUT" in said
    assert "CLAIMED which address was asked about" in said
    assert "CLAIMED that this follows from the events up to position 11" in said


RIGHT: dict[str, Members] = {
    "as it is now": {},
    "as it was before the opt-out": {
        "position": 9,
        "allowed": True,
        "reasons": [reason("OPTED_IN", value="OPTED_IN", position=7)],
    },
    "as of before the opt-out": {
        "question": question(asOf=at(9)),
        "allowed": True,
        "reasons": [reason("OPTED_IN", value="OPTED_IN", position=7)],
    },
    "as known before the opt-out": {
        "question": question(asOf=at(9), knownAt=at(9)),
        "position": 9,
        "allowed": True,
        "reasons": [reason("OPTED_IN", value="OPTED_IN", position=7)],
    },
    "with a topic": {
        "question": question(topic="news"),
        "reasons": [OPTED_OUT, reason("PURPOSE_BLOCKS_TOPIC", topic="news")],
    },
    "of an unknown address": {"contactPoint": None, "allowed": True, "reasons": [reason("NOT_SET_ALLOWED")]},
    "of a suppressed address": {"contactPoint": None, "trackingAllowed": False, "reasons": [reason("SUPPRESSED")]},
    "of a suppressed contact point": {"trackingAllowed": False, "reasons": [reason("SUPPRESSED")]},
    "of what is no address": {"contactPoint": None, "trackingAllowed": False, "reasons": [reason("INVALID_ADDRESS")]},
    "of tracking that is suppressed": {"trackingAllowed": False},
}


@pytest.mark.parametrize("case", RIGHT)
def test_the_same_answer_follows_from_the_log(log: Log, case: str) -> None:
    report = verified(log.receipt(**RIGHT[case]).encode(), log=log.export)
    assert report.proven, report.failure


@pytest.mark.parametrize(
    ("case", "fragment"),
    [
        ("as it is now", "PROVEN  the same answer follows from the events of then: NOT ALLOWED: OPTED_OUT"),
        ("as it is now", "PROVEN  and so does the answer for tracking: allowed"),
        ("as it is now", "CLAIMED that nothing suppressed the address"),
        ("of an unknown address", "CLAIMED that the address was unknown to the log"),
        ("of a suppressed address", "CLAIMED that the answer is SUPPRESSED"),
        ("of what is no address", "CLAIMED that the answer is INVALID_ADDRESS"),
        ("of tracking that is suppressed", "CLAIMED that tracking is not allowed"),
    ],
)
def test_what_the_log_cannot_know_is_claimed(log: Log, case: str, fragment: str) -> None:
    assert fragment in texts(verified(log.receipt(**RIGHT[case]).encode(), log=log.export))


WRONG: dict[str, tuple[Members, str]] = {
    "allowed": (
        {"allowed": True, "reasons": [reason("OPTED_IN", value="OPTED_IN", position=7)]},
        "the events up to position 11 lead to another answer: NOT ALLOWED: OPTED_OUT (commercial: OPTED_OUT,"
        " enforcement NON_RESTRICTIVE, event 10); the receipt has ALLOWED: OPTED_IN",
    ),
    "allowed, with the right reason": ({"allowed": True}, "another answer"),
    "not allowed before it was": ({"position": 9, "reasons": [reason("OPTED_OUT", value="OPTED_OUT")]}, "another"),
    "another event": ({"reasons": [OPTED_OUT | {"position": 7}]}, "another answer"),
    "another value": ({"reasons": [OPTED_OUT | {"value": "NOT_SET"}]}, "another answer"),
    "another enforcement": ({"reasons": [OPTED_OUT | {"enforcement": "RESTRICTIVE"}]}, "another answer"),
    "a reason more": ({"reasons": [OPTED_OUT, OPTED_OUT]}, "another answer"),
    "erased, which it is not": ({"reasons": [reason("ERASED")], "trackingAllowed": False}, "another answer"),
    "an unknown address that opted out": ({"contactPoint": None}, "another answer"),
    "another root": ({"root": encode_base64(bytes(32))}, "equivocation"),
    "an older catalogue": ({"catalogueVersion": 6}, "receipt.catalogueVersion: is 6"),
    "fewer events": ({"contactPoint": {"stream": str(ADA), "events": 1}}, "receipt.contactPoint.events: is 1"),
    "more events": ({"contactPoint": {"stream": str(ADA), "events": 3}}, "receipt.contactPoint.events: is 3"),
    "another contact point": ({"contactPoint": {"stream": str(BOB), "events": 2}}, "another answer"),
    "an unknown purpose": ({"question": question(purpose="other")}, "receipt.question.purpose"),
    "an unknown profile": ({"question": question(profile="other")}, "receipt.question.profile"),
    "an unknown topic": ({"question": question(topic="other")}, "receipt.question.topic"),
    "suppressed and allowed": ({"allowed": True, "reasons": [reason("SUPPRESSED")]}, "SUPPRESSED never allows"),
    "suppressed for another reason": ({"reasons": [reason("SUPPRESSED", value="OPTED_OUT")]}, "receipt.reasons"),
    "suppressed and more": ({"reasons": [reason("SUPPRESSED"), OPTED_OUT]}, "receipt.reasons"),
    "no address, and tracked": ({"contactPoint": None, "reasons": [reason("INVALID_ADDRESS")]}, "no tracking"),
    "no address, and known": (
        {"trackingAllowed": False, "reasons": [reason("INVALID_ADDRESS")]},
        "has no contact point",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_another_answer_is_not_proven(log: Log, case: str) -> None:
    given_here, fragment = WRONG[case]
    note = log.receipt(**given_here).encode()
    assert verified(note).proven, "that it was stated"
    report = verified(note, log=log.export)
    assert not report.proven
    assert fragment in str(report.failure)


MALFORMED: dict[str, tuple[Members, str]] = {
    "no reason": ({"reasons": []}, "receipt.reasons: empty"),
    "an unknown reason": ({"reasons": [reason("BECAUSE")]}, "receipt.reasons[0].code: none of"),
    "an answer in words": ({"allowed": "no"}, "receipt.allowed: neither true nor false"),
    "a reason to come": ({"reasons": [OPTED_OUT | {"position": 12}]}, "receipt.reasons[0].position: 12 is after 11"),
    "a catalogue to come": ({"catalogueVersion": 12}, "receipt.catalogueVersion: 12 is after position 11"),
    "a short digest": ({"question": question(digest="AAAA")}, "receipt.question.digest: a hash has 32 bytes"),
    "no channel": ({"question": question(channel="PIGEON")}, "receipt.question.channel"),
    "another instant": ({"decidedAt": "2026-06-01T12:00:00Z"}, "receipt.decidedAt: not an instant"),
    "a member more": ({"more": 1}, "receipt.more"),
    "too many events": ({"contactPoint": {"stream": str(ADA), "events": 13}}, "receipt.contactPoint.events: 13"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_receipt_that_is_none_is_not_proven(log: Log, case: str) -> None:
    given_here, fragment = MALFORMED[case]
    assert fragment in str(verified(log.receipt(**given_here).encode()).failure)


def test_a_receipt_of_another_log_is_not_proven(log: Log) -> None:
    members: Any = log.receipt_members(12)
    note = log.note("consentry/receipt@v1", members, key=FOREIGN_KEY, origin=FOREIGN_KEY.name).encode()
    assert "no trusted key" in str(verified(note).failure)


def test_tracking_that_was_allowed_against_the_events_is_not_proven(log: Log) -> None:
    log.add("ConsentCaptured", ADA, capture("OPTED_OUT", "tracking"))
    blocked: Members = {"reasons": [OPTED_OUT]}
    assert verified(log.receipt(**blocked, trackingAllowed=False).encode(), log=log.export).proven
    report = verified(log.receipt(**blocked, trackingAllowed=True).encode(), log=log.export)
    assert "receipt.trackingAllowed: is true" in str(report.failure)


def test_erased_is_decided_from_the_log(log: Log) -> None:
    before = log.receipt().encode()
    data = {"channel": "EMAIL", "reason": "asked", "keepSuppression": True}
    log.add("ContactPointErasureRequested", ADA, data)
    erased: Members = {"reasons": [reason("ERASED")], "trackingAllowed": False}
    assert verified(log.receipt(**erased).encode(), log=log.export).proven
    assert verified(before, log=log.export).proven, "what was answered before stays right"
    then = question(asOf=at(9), knownAt=at(9))
    assert verified(log.receipt(**erased, position=9, question=then).encode(), log=log.export).proven
    assert "another answer" in str(verified(log.receipt(reasons=[OPTED_OUT]).encode(), log=log.export).failure)


def test_a_time_to_come_is_answered_from_what_was_known_then(log: Log) -> None:
    to_come = question(knownAt=at(3_600))
    answered = log.receipt(question=to_come)
    none: Members = {"contactPoint": None, "trackingAllowed": False, "reasons": [reason("INVALID_ADDRESS")]}
    invalid = log.receipt(question=to_come, **none)
    log.add("PurposeUpdated", CATALOGUE, {"key": "commercial", "enforcement": enforcement("DISABLED")})
    for note in (answered, invalid):
        report = verified(note.encode(), log=log.export)
        assert report.proven, report.failure


def test_what_a_suppression_in_the_log_blocks_no_receipt_allows(log: Log) -> None:
    allowed: Members = {"allowed": True, "reasons": [reason("OPTED_IN", value="OPTED_IN", position=12)]}
    log.add("ConsentCaptured", ADA, capture("OPTED_IN"))
    assert verified(log.receipt(**allowed).encode(), log=log.export).proven
    covers: Members = {"commercial": True, "tracking": True, "levels": []}
    brought: Members = {"channel": "EMAIL", "since": "2026-01-01T00:00:00.000000Z", "suppression": covers}
    log.add("ContactPointSuppressed", ADA, brought)
    report = verified(log.receipt(**allowed).encode(), log=log.export)
    assert "allows what a suppression blocks that the log has up to position 13" in str(report.failure)
    suppressed: Members = {"reasons": [reason("SUPPRESSED")], "trackingAllowed": False}
    assert verified(log.receipt(**suppressed).encode(), log=log.export).proven
    assert not verified(log.receipt(**{**suppressed, "trackingAllowed": True}).encode(), log=log.export).proven
    log.add("ConsentCaptured", ADA, capture("OPTED_IN"), actor="RECIPIENT")
    ended: Members = {"reasons": [reason("OPTED_IN", value="OPTED_IN", position=14)], "trackingAllowed": False}
    report = verified(log.receipt(allowed=True, **ended).encode(), log=log.export)
    assert report.proven, report.failure


def test_what_a_hard_bounce_suppresses_is_decided_from_the_log(log: Log) -> None:
    suppressed: Members = {"reasons": [reason("SUPPRESSED")], "trackingAllowed": False}
    log.add("ContactPointBounced", ADA, {"channel": "EMAIL", "bounce": "SOFT"})
    before = log.receipt(reasons=[OPTED_OUT])
    log.add("ContactPointBounced", ADA, {"channel": "EMAIL", "bounce": "HARD"})
    report = verified(log.receipt(**suppressed).encode(), log=log.export)
    assert report.proven, report.failure
    assert "PROVEN  the same answer follows from the events of then: NOT ALLOWED: SUPPRESSED" in texts(report)
    assert "CLAIMED that the answer is SUPPRESSED" not in texts(report)
    assert verified(before.encode(), log=log.export).proven, "what was answered before stays right"
    earlier = log.receipt(question=question(asOf=at(12)), reasons=[OPTED_OUT])
    assert verified(earlier.encode(), log=log.export).proven
    for lie in ({"reasons": [OPTED_OUT]}, {**suppressed, "trackingAllowed": True}):
        assert not verified(log.receipt(**lie).encode(), log=log.export).proven
    log.add("ConsentCaptured", ADA, capture("OPTED_IN", "tracking"), actor="RECIPIENT")
    ended = verified(log.receipt(reasons=[OPTED_OUT]).encode(), log=log.export)
    assert ended.proven, ended.failure


def test_enforcement_is_that_of_the_time(log: Log) -> None:
    log.add("PurposeUpdated", CATALOGUE, {"key": "commercial", "enforcement": enforcement("DISABLED")})
    disabled = reason("ENFORCEMENT_DISABLED", value="OPTED_OUT", enforcement="DISABLED", position=10)
    assert verified(log.receipt(allowed=True, reasons=[disabled]).encode(), log=log.export).proven
    known = question(asOf=at(11), knownAt=at(11))
    old = log.receipt(question=known, position=11, reasons=[OPTED_OUT])
    assert verified(old.encode(), log=log.export).proven
    new = log.receipt(question=known, position=11, allowed=True, reasons=[disabled])
    assert "another answer" in str(verified(new.encode(), log=log.export).failure)


NOTE = demo_log().receipt().encode()
MEMBERS = json.loads(NOTE.split(b"\n")[2])


@given(st.integers(0, len(NOTE) - 1), st.integers(0, 255))
def test_any_byte_changed_is_noticed(at: int, byte: int) -> None:
    raw = NOTE[:at] + bytes([byte]) + NOTE[at + 1 :]
    try:
        proven = verified(raw).proven
    except Unusable:
        return
    assert not proven or raw == NOTE
