"""SEMANTICS.md, "Dynamics codes": every row of every table, in and out."""

import pytest

from domain import dynamics_codes as codes
from domain.consent import ConsentSource
from domain.refusals import Refusal

ROWS = [
    (codes.CHANNELS, 534120000, "Email", "EMAIL"),
    (codes.CHANNELS, 534120001, "Text Message", "SMS"),
    (codes.CHANNELS, 534120002, "Custom", "CUSTOM"),
    (codes.CHANNELS, 534120003, "Voice", "VOICE"),
    (codes.VALUES, 534120000, "Not Set", "NOT_SET"),
    (codes.VALUES, 534120001, "Opted In", "OPTED_IN"),
    (codes.VALUES, 534120002, "Opted Out", "OPTED_OUT"),
    (codes.CONSENT_TYPES, 534120000, "Purpose", "PURPOSE"),
    (codes.CONSENT_TYPES, 534120001, "Topic", "TOPIC"),
    (codes.SOURCES, 534120000, "Internal", "OPERATOR"),
    (codes.SOURCES, 534120001, "Preference page", "PREFERENCE_CENTER"),
    (codes.SOURCES, 534120002, "Text message", "SMS_KEYWORD"),
    (codes.SOURCES, 534120003, "Loaded", "LOAD_CONSENT"),
    (codes.SOURCES, 534120004, "Preference Center", "PREFERENCE_CENTER"),
    (codes.SOURCES, 534120005, "Realtime Marketing Form", "FORM"),
    (codes.SOURCES, 534120006, "Subscription Center", "PREFERENCE_CENTER"),
    (codes.SOURCES, 534120007, "Email - list-unsubscribe", "ONE_CLICK_UNSUBSCRIBE"),
    (codes.REASONS, 534119999, "No reasons", None),
    (codes.REASONS, 534120000, "Opt-in - Advertisement", None),
    (codes.REASONS, 534120001, "Opt-in - Landing page", None),
    (codes.REASONS, 534120002, "Opt-in - Events", None),
    (codes.REASONS, 534120003, "Opt-out - Content was irrelevant", None),
    (codes.REASONS, 534120004, "Opt-out - Received too frequently", None),
    (codes.REASONS, 534120005, "Opt-out - Didn't recall signing up", None),
    (codes.REASONS, 534120006, "Opt-out - Privacy concerns", None),
    (codes.REASONS, 534120007, "Opt-out - One-click unsubscribe", None),
]


@pytest.mark.parametrize(("table", "code", "label", "meaning"), ROWS)
def test_code_and_label_mean_the_same_in_any_case(
    table: codes.CodeTable[object], code: int, label: str, meaning: object
) -> None:
    for text in (str(code), label, label.upper(), f" {label.lower()} "):
        assert table.read(text) == (code, meaning)
    assert table.label(code) == label


def test_there_are_no_other_rows() -> None:
    for table in (codes.CHANNELS, codes.VALUES, codes.CONSENT_TYPES, codes.SOURCES, codes.REASONS):
        assert [(code, label) for code, label, _ in table.rows] == [
            (code, label) for owner, code, label, _ in ROWS if owner is table
        ]


@pytest.mark.parametrize("text", ["", "534129999", "Maybe", "5341200001"])
def test_an_unknown_code_names_its_column(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        codes.VALUES.read(text)
    assert refused.value.path == ("msdynmkt_value",)


OUTWARD = [
    (ConsentSource.FORM, 534120005),
    (ConsentSource.PREFERENCE_CENTER, 534120004),
    (ConsentSource.ONE_CLICK_UNSUBSCRIBE, 534120007),
    (ConsentSource.IMPORT, 534120000),
    (ConsentSource.LOAD_CONSENT, 534120003),
    (ConsentSource.API, 534120000),
    (ConsentSource.SMS_KEYWORD, 534120002),
    (ConsentSource.EMAIL_REPLY, 534120000),
    (ConsentSource.VOICE, 534120000),
    (ConsentSource.PAPER, 534120000),
    (ConsentSource.COMPLAINT, 534120000),
    (ConsentSource.AGENT, 534120000),
    (ConsentSource.OPERATOR, 534120000),
]


def test_what_was_not_imported_goes_out_as_the_nearest_source_or_internal() -> None:
    assert dict(OUTWARD) == dict(codes.SOURCE_CODES)
    assert set(codes.SOURCE_CODES) == set(ConsentSource)


def test_reasons_are_told_from_words_of_ones_own() -> None:
    assert codes.reason_label(" opt-out - PRIVACY concerns ") == "Opt-out - Privacy concerns"
    assert codes.reason_label("I was annoyed") is None
    assert codes.reason_code("Opt-out - Privacy concerns") == 534120006
    assert codes.reason_code(None) == codes.NO_REASON
