"""Events: their wire form, old versions read as new ones, and no enumeration member forgotten by a table."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import domain.events
from domain.addresses import _NORMALISERS, Channel
from domain.catalogue import DEFAULT_ENFORCEMENT, PurposeType
from domain.catalogue_fold import _APPLY
from domain.consent import ConsentSource, ConsentValue
from domain.decision import _SENTENCES, ReasonCode
from domain.events import CATALOGUE_TYPES, CURRENT_VERSIONS, ConsentCaptured, EventType
from domain.upcasting import UnknownEventVersion, upcast
from tlog import canonical_json

NOW = datetime(2026, 6, 1, tzinfo=UTC)
INSTANTS = st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1)).map(lambda i: i.replace(tzinfo=UTC))  # noqa: DTZ001
KEYS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True)
CAPTURES = st.builds(
    ConsentCaptured,
    channel=st.sampled_from(Channel),
    purpose=KEYS,
    topic=st.none() | KEYS,
    unit=KEYS,
    value=st.sampled_from(ConsentValue),
    source=st.sampled_from(ConsentSource),
    effective_at=INSTANTS,
    trust=st.just("SERVER_KEY"),
    valid_until=st.none() | INSTANTS,
    reason=st.none() | st.just("Opt-in - Events"),
    legal_basis=st.none() | st.text(min_size=1, max_size=9),
    jurisdiction=st.none() | st.just("DE"),
    notice_digest=st.none() | st.binary(min_size=32, max_size=32),
    claimed_effective_at=st.none() | INSTANTS,
    dynamics=st.none() | st.just({"source": 534120000}),
)


@given(CAPTURES)
def test_a_capture_survives_its_wire_form(capture: ConsentCaptured) -> None:
    data = capture.to_data()
    canonical_json.check(data)
    assert ConsentCaptured.from_data(data, capture.effective_at) == capture


def test_a_capture_of_version_1_had_no_unit_and_only_server_keys() -> None:
    old = {"channel": "EMAIL", "purpose": "commercial", "source": "API", "value": "OPTED_OUT"}
    new = upcast("ConsentCaptured", 1, old)
    assert new == {**old, "unit": "root", "trust": "SERVER_KEY"}
    assert ConsentCaptured.from_data(new, NOW).unit == "root"
    assert "unit" not in old, "what was stored stays as it was"
    assert upcast("ConsentCaptured", 2, new) == new


@pytest.mark.parametrize(("event_type", "version"), [("ConsentCaptured", 3), ("ConsentCaptured", 0), ("Else", 1)])
def test_what_this_code_is_too_old_for_is_not_guessed_at(event_type: str, version: int) -> None:
    with pytest.raises(UnknownEventVersion):
        upcast(event_type, version, {})


def test_no_table_forgets_a_member() -> None:
    assert set(CURRENT_VERSIONS) == set(EventType)
    assert set(_APPLY) == CATALOGUE_TYPES
    assert set(_NORMALISERS) == set(Channel)
    assert set(_SENTENCES) == set(ReasonCode)
    assert set(DEFAULT_ENFORCEMENT) == set(PurposeType)
    assert all(set(models) == set(Channel) for models in DEFAULT_ENFORCEMENT.values())


@pytest.mark.parametrize("event_type", EventType)
def test_every_type_is_in_words_for_who_reads_the_log(event_type: EventType) -> None:
    proofs = (Path(__file__).resolve().parents[2] / "docs" / "proofs.md").read_text("utf-8")
    assert f"`{event_type}`" in proofs
    assert f"\n    {event_type}  " in (domain.events.__doc__ or "")
