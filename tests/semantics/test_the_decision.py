"""SEMANTICS.md, "The decision": the table cell by cell, the order of the reasons, the defaults, failing closed."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.addresses import Channel
from domain.catalogue import (
    DEFAULT_ENFORCEMENT,
    Catalogue,
    EnforcementModel,
    MessageSubject,
    PurposeType,
)
from domain.consent import ConsentRecord, ConsentValue
from domain.decision import (
    ALLOWS,
    Contactability,
    Decision,
    ReasonCode,
    contactability,
    decide,
    decide_tracking,
    refuse_address,
)
from tests.semantics.given import NOW, catalogue

R, N, D = EnforcementModel.RESTRICTIVE, EnforcementModel.NON_RESTRICTIVE, EnforcementModel.DISABLED
OUT, UNSET, IN = ConsentValue.OPTED_OUT, ConsentValue.NOT_SET, ConsentValue.OPTED_IN

TABLE = [
    (R, OUT, False),
    (R, UNSET, False),
    (R, IN, True),
    (N, OUT, False),
    (N, UNSET, True),
    (N, IN, True),
    (D, OUT, True),
    (D, UNSET, True),
    (D, IN, True),
]


def record(
    value: ConsentValue, *, topic: str | None = None, purpose: str = "commercial", **fields: object
) -> ConsentRecord:
    given = {"effective_at": NOW, "recorded_at": NOW, "position": 9, "unit": "root", **fields}
    return ConsentRecord(purpose=purpose, topic=topic, value=value, **given)  # type: ignore[arg-type]


def asked(model: EnforcementModel, *, topic: bool = False) -> MessageSubject:
    world = catalogue()
    subject = world.message("default", "commercial", "news" if topic else None)
    enforcement = {**subject.purpose.enforcement, Channel.EMAIL: model}
    return MessageSubject(subject.profile, replace(subject.purpose, enforcement=enforcement), subject.topic)


def answer(
    model: EnforcementModel,
    purpose: ConsentRecord | None,
    topic: ConsentRecord | None = None,
    *,
    with_topic: bool = False,
    as_of: datetime = NOW,
) -> Decision:
    subject = asked(model, topic=with_topic)
    return decide(subject, Channel.EMAIL, purpose_record=purpose, topic_record=topic, as_of=as_of)


def codes(decision: Decision) -> list[str]:
    return [str(reason.code) for reason in decision.reasons]


@pytest.mark.parametrize(("model", "value", "allowed"), TABLE)
def test_the_table(model: EnforcementModel, value: ConsentValue, allowed: bool) -> None:
    assert answer(model, record(value)).allowed is allowed
    if value is UNSET:
        assert answer(model, None).allowed is allowed


@pytest.mark.parametrize(("model", "value", "tracked"), TABLE)
def test_the_same_table_decides_tracking(model: EnforcementModel, value: ConsentValue, tracked: bool) -> None:
    world = catalogue()
    tracking = world.purposes["tracking"]
    held = replace(tracking, enforcement={**tracking.enforcement, Channel.EMAIL: model})
    world = replace(world, purposes={**world.purposes, "tracking": held})
    decision = decide_tracking(world, world.profiles["default"], Channel.EMAIL, record(value, purpose="tracking"), NOW)
    assert decision.allowed is tracked


def test_the_table_has_every_cell() -> None:
    assert set(ALLOWS) == set(itertools.product(EnforcementModel, ConsentValue))
    assert {(model, value): allowed for model, value, allowed in TABLE} == dict(ALLOWS)


@pytest.mark.parametrize(
    ("model", "by_purpose", "by_topic"), list(itertools.product((R, N, D), (OUT, UNSET, IN), (OUT, UNSET, IN)))
)
def test_purpose_and_topic_must_both_pass(
    model: EnforcementModel, by_purpose: ConsentValue, by_topic: ConsentValue
) -> None:
    decision = answer(model, record(by_purpose), record(by_topic, topic="news"), with_topic=True)
    table = {(m, v): allowed for m, v, allowed in TABLE}
    assert decision.allowed is (table[model, by_purpose] and table[model, by_topic])
    if not table[model, by_purpose]:
        assert codes(decision)[-1] == "PURPOSE_BLOCKS_TOPIC"
        assert [reason.topic for reason in decision.reasons] == [None, "news"]
    elif not table[model, by_topic]:
        assert decision.reasons[0].topic == "news", "the level that blocks comes first"
    else:
        assert [reason.topic for reason in decision.reasons] == [None, "news"], "level by level, purpose before topic"


@pytest.mark.parametrize(
    ("model", "purpose", "topic", "expected"),
    [
        (N, OUT, None, ["OPTED_OUT", "PURPOSE_BLOCKS_TOPIC"]),
        (N, OUT, IN, ["OPTED_OUT", "PURPOSE_BLOCKS_TOPIC"]),
        (R, None, IN, ["NOT_SET_BLOCKED", "PURPOSE_BLOCKS_TOPIC"]),
        (N, IN, OUT, ["OPTED_OUT", "OPTED_IN"]),
        (R, IN, None, ["NOT_SET_BLOCKED", "OPTED_IN"]),
        (N, None, None, ["NOT_SET_ALLOWED", "NOT_SET_ALLOWED"]),
        (N, IN, IN, ["OPTED_IN", "OPTED_IN"]),
        (D, OUT, OUT, ["ENFORCEMENT_DISABLED", "ENFORCEMENT_DISABLED"]),
    ],
)
def test_the_order_of_reasons(
    model: EnforcementModel, purpose: ConsentValue | None, topic: ConsentValue | None, expected: list[str]
) -> None:
    decision = answer(
        model,
        None if purpose is None else record(purpose),
        None if topic is None else record(topic, topic="news"),
        with_topic=True,
    )
    assert codes(decision) == expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (R, ["CONSENT_EXPIRED", "NOT_SET_BLOCKED"]),
        (N, ["CONSENT_EXPIRED", "NOT_SET_ALLOWED"]),
        (D, ["ENFORCEMENT_DISABLED"]),
    ],
)
def test_consent_is_expired_from_its_very_instant(model: EnforcementModel, expected: list[str]) -> None:
    until = NOW + timedelta(hours=1)
    held = record(IN, valid_until=until)
    assert codes(answer(model, held, as_of=until)) == expected
    before = until - timedelta(microseconds=1)
    assert codes(answer(model, held, as_of=before)) == (["ENFORCEMENT_DISABLED"] if model is D else ["OPTED_IN"])


def test_an_expired_purpose_blocks_its_topic_with_its_own_reasons_first() -> None:
    held = record(IN, valid_until=NOW)
    decision = answer(R, held, record(IN, topic="news"), with_topic=True)
    assert codes(decision) == ["CONSENT_EXPIRED", "NOT_SET_BLOCKED", "PURPOSE_BLOCKS_TOPIC"]


@pytest.mark.parametrize("value", [OUT, UNSET, IN])
def test_where_enforcement_is_disabled_the_value_is_shown_and_decides_nothing(value: ConsentValue) -> None:
    [reason] = answer(D, record(value)).reasons
    assert (reason.code, reason.value, reason.record) == (ReasonCode.ENFORCEMENT_DISABLED, value, record(value))


@pytest.mark.parametrize("code", [ReasonCode.INVALID_ADDRESS, ReasonCode.ERASED, ReasonCode.SUPPRESSED])
@pytest.mark.parametrize("model", [R, N, D])
def test_what_the_address_says_alone_decides(model: EnforcementModel, code: ReasonCode) -> None:
    decision = refuse_address(asked(model, topic=True).purpose, Channel.EMAIL, code)
    assert (decision.allowed, codes(decision)) == (False, [str(code)])


@pytest.mark.parametrize("code", ReasonCode)
def test_every_reason_is_a_sentence(code: ReasonCode) -> None:
    decision = refuse_address(asked(N).purpose, Channel.EMAIL, code)
    assert decision.reasons[0].message.endswith(".")


@pytest.mark.parametrize(
    ("purpose_type", "allowed", "expected"),
    [
        (PurposeType.COMMERCIAL, True, Contactability.WILL_SEND),
        (PurposeType.COMMERCIAL, False, Contactability.WILL_NOT_SEND),
        (PurposeType.TRANSACTIONAL, True, Contactability.WILL_SEND),
        (PurposeType.TRANSACTIONAL, False, Contactability.WILL_NOT_SEND),
        (PurposeType.TRACKING, True, Contactability.WILL_TRACK),
        (PurposeType.TRACKING, False, Contactability.WILL_NOT_TRACK),
    ],
)
def test_contactability(purpose_type: PurposeType, allowed: bool, expected: Contactability) -> None:
    assert contactability(purpose_type, allowed=allowed) is expected


DEFAULTS = [
    ("commercial", PurposeType.COMMERCIAL, [N, R, R, R, R]),
    ("transactional", PurposeType.TRANSACTIONAL, [D, D, D, D, D]),
    ("tracking", PurposeType.TRACKING, [N, N, N, N, N]),
]


@pytest.mark.parametrize(("key", "purpose_type", "models"), DEFAULTS)
def test_the_defaults_of_a_new_tenant(key: str, purpose_type: PurposeType, models: list[EnforcementModel]) -> None:
    world: Catalogue = catalogue()
    purpose = world.purposes[key]
    assert purpose.type is purpose_type
    assert [purpose.enforcement[channel] for channel in Channel] == models
    assert [DEFAULT_ENFORCEMENT[purpose_type][channel] for channel in Channel] == models
    assert key in world.profiles["default"].purposes


def test_an_inactive_tracking_purpose_never_allows_tracking() -> None:
    world = catalogue()
    tracking = replace(world.purposes["tracking"], active=False)
    world = replace(world, purposes={**world.purposes, "tracking": tracking})
    held = record(IN, purpose="tracking")
    assert not decide_tracking(world, world.profiles["default"], Channel.EMAIL, held, datetime.now(UTC)).allowed
