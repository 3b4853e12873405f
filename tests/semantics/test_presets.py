"""Presets raise a profile and never lower it; what they require is asked of an opt-in, and of nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import catalogue_commands as commands
from domain.addresses import Channel
from domain.catalogue import Catalogue, DoubleOptInMode, EnforcementModel, PurposeType
from domain.catalogue_export import export_catalogue
from domain.catalogue_import import import_catalogue
from domain.opt_in_rules import (
    MONTHS_MAX,
    PATHS,
    OptInRules,
    RequiredEvidence,
    basis_key,
    checked_expiries,
    months_after,
)
from domain.presets import PRESETS, Confirm, Enforce, Expire, PresetKey, Require, apply_preset, as_markdown
from domain.refusals import Refusal, RefusalCode
from tests.semantics.given import after, catalogue

LAXER = {EnforcementModel.DISABLED: 0, EnforcementModel.NON_RESTRICTIVE: 1, EnforcementModel.RESTRICTIVE: 2}
ASKING = {DoubleOptInMode.OFF: 0, DoubleOptInMode.NEW_CONTACT_POINTS: 1, DoubleOptInMode.EVERY_SUBMISSION: 2}
EMAIL, SMS, VOICE, PUSH, CUSTOM = Channel

# Of a new profile after each preset: the commercial purpose's enforcement of EMAIL, SMS, VOICE, PUSH and CUSTOM, that of
# tracking, double opt-in, months of expiry by basis, and what an opt-in has to bring. R restrictive, N non-restrictive.
IMPLIED = {"implied-transaction": 24, "implied-inquiry": 6, "implied-membership": 24}
AFTER: dict[str, tuple[str, str, str, dict[str, int], set[str]]] = {
    "GDPR": ("RRRRR", "RRRRR", "EVERY_SUBMISSION", {}, {"NOTICE_TEXT", "METHOD"}),
    "CAN_SPAM": ("NRRRR", "NNNNN", "OFF", {}, set()),
    "CASL": ("RRRRR", "NNNNN", "OFF", IMPLIED, {"LEGAL_BASIS", "METHOD"}),
    "CCPA": ("NRRRR", "NNNNN", "OFF", {}, set()),
    "TCPA": ("NRRRR", "NNNNN", "OFF", {}, {"NOTICE_TEXT", "METHOD"}),
    "HIPAA_MARKETING": ("RRRRR", "NNNNN", "OFF", {}, {"NOTICE_TEXT", "METHOD", "VALID_UNTIL"}),
}


def applied(made: Catalogue, *presets: PresetKey, profile: str = "default") -> Catalogue:
    for preset in presets:
        made = after(made, apply_preset(made, profile=profile, preset=preset))
    return made


def letters(made: Catalogue, purpose: str) -> str:
    return "".join(made.purposes[purpose].enforcement[channel][0] for channel in Channel)


@pytest.mark.parametrize("preset", PresetKey)
def test_what_each_preset_makes_of_a_new_profile(preset: PresetKey) -> None:
    made = applied(catalogue(), preset)
    rules = made.purposes["commercial"].opt_in
    assert (
        letters(made, "commercial"),
        letters(made, "tracking"),
        made.profiles["default"].double_opt_in,
        dict(rules.expiry_months),
        set(rules.required),
    ) == AFTER[preset]
    assert made.purposes["transactional"] == catalogue().purposes["transactional"]
    assert made.purposes["tracking"].opt_in == OptInRules()
    assert made.profiles["default"].presets == (preset,)


def test_every_jurisdiction_has_a_preset_and_every_setting_says_why_and_where_that_stands() -> None:
    assert set(PRESETS) == set(PresetKey) == set(AFTER)
    for preset in PRESETS.values():
        assert preset.settings
        assert all(setting.what and setting.value and setting.why and setting.source for setting in preset.settings)
        # What an expiry is for is found by how a capture's basis is compared.
        assert all(basis_key(one.legal_basis) == one.legal_basis for one in preset.settings if isinstance(one, Expire))


def test_the_page_of_the_presets_is_that_of_the_table() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "presets.md"
    assert page.read_text("utf-8") == as_markdown(), "write it anew: consentry presets list > docs/presets.md"


MODELS = st.lists(st.sampled_from(list(EnforcementModel)), min_size=5, max_size=5)


@settings(deadline=None, max_examples=60)
@given(
    commercial=MODELS,
    tracking=MODELS,
    mode=st.sampled_from(list(DoubleOptInMode)),
    months=st.none() | st.integers(1, 36),
    presets=st.lists(st.sampled_from(list(PresetKey)), min_size=1, max_size=3, unique=True),
)
def test_a_preset_raises_what_is_laxer_and_never_lowers_in_whatever_order(
    commercial: list[EnforcementModel],
    tracking: list[EnforcementModel],
    mode: DoubleOptInMode,
    months: int | None,
    presets: list[PresetKey],
) -> None:
    made = after(catalogue(), commands.update_profile(catalogue(), ref="default", double_opt_in=mode))
    for purpose, models in (("commercial", commercial), ("tracking", tracking)):
        made = after(
            made, commands.update_purpose(made, ref=purpose, enforcement=list(zip(Channel, models, strict=True)))
        )
    if months is not None:
        made = after(
            made, commands.update_purpose(made, ref="commercial", opt_in_expiry=[("implied-transaction", months)])
        )
    outcomes = [applied(made, *order) for order in permutations(presets)]
    results = [
        (
            {key: (purpose.enforcement, purpose.opt_in) for key, purpose in one.purposes.items()},
            one.profiles["default"].double_opt_in,
        )
        for one in outcomes
    ]
    assert all(result == results[0] for result in results)
    for key, before in made.purposes.items():
        now = outcomes[0].purposes[key]
        assert all(LAXER[now.enforcement[channel]] >= LAXER[before.enforcement[channel]] for channel in Channel)
        assert now.opt_in.required >= before.opt_in.required
        for basis, held in before.opt_in.expiry_months.items():
            assert now.opt_in.expiry_months[basis] <= held
    assert ASKING[outcomes[0].profiles["default"].double_opt_in] >= ASKING[mode]
    for preset in presets:
        wanted = PRESETS[preset].settings
        held = outcomes[0].purposes["commercial"]
        for setting in wanted:
            match setting:
                case Enforce():
                    of = outcomes[0].purposes["commercial" if setting.type is PurposeType.COMMERCIAL else "tracking"]
                    assert all(LAXER[of.enforcement[channel]] >= LAXER[setting.model] for channel in setting.channels)
                case Confirm():
                    assert ASKING[outcomes[0].profiles["default"].double_opt_in] >= ASKING[setting.mode]
                case Expire():
                    assert held.opt_in.expiry_months[setting.legal_basis] <= setting.months
                case Require():
                    assert setting.evidence in held.opt_in.required


@pytest.mark.parametrize("preset", PresetKey)
def test_applying_again_changes_nothing_unless_something_was_lowered_since(preset: PresetKey) -> None:
    made = applied(catalogue(), preset)
    assert apply_preset(made, profile="default", preset=preset) == []
    lowered = after(
        made, commands.update_purpose(made, ref="commercial", enforcement=[(SMS, EnforcementModel.DISABLED)])
    )
    lowered = after(
        lowered, commands.update_purpose(lowered, ref="commercial", opt_in_expiry=None, required_evidence=None)
    )
    assert lowered.purposes["commercial"].opt_in == OptInRules()
    raised = applied(lowered, preset)
    touches_sms = any(isinstance(one, Enforce) and SMS in one.channels for one in PRESETS[preset].settings)
    assert (raised.purposes["commercial"].enforcement[SMS] is EnforcementModel.DISABLED) is not touches_sms
    assert raised.purposes["commercial"].opt_in == made.purposes["commercial"].opt_in
    assert raised.profiles["default"].presets == (preset,)


def test_purposes_are_raised_in_every_profile_that_shares_them_and_in_no_other() -> None:
    made = catalogue()
    made = after(made, commands.create_profile(made, key="news", name="News", share_purposes_of="default"))
    made = after(made, commands.create_profile(made, key="own", name="Own"))
    raised = applied(made, PresetKey.GDPR, profile="news")
    assert raised.message("default", "commercial", None).purpose.enforcement[EMAIL] is EnforcementModel.RESTRICTIVE
    assert raised.profiles["default"].double_opt_in is DoubleOptInMode.OFF
    assert raised.profiles["news"].double_opt_in is DoubleOptInMode.EVERY_SUBMISSION
    assert raised.purposes["own-commercial"] == made.purposes["own-commercial"]


@pytest.mark.parametrize("preset", PresetKey)
def test_a_purpose_that_comes_to_the_profile_later_is_held_to_its_presets(preset: PresetKey) -> None:
    first = after(
        catalogue(),
        commands.create_purpose(
            catalogue(), key="more", name="More", type=PurposeType.COMMERCIAL, profiles=["default"]
        ),
    )
    wanted = applied(first, preset).purposes["more"]
    made = applied(catalogue(), preset)
    later = after(
        made,
        commands.create_purpose(
            made,
            key="more",
            name="More",
            type=PurposeType.COMMERCIAL,
            profiles=["default"],
            enforcement=[(EMAIL, EnforcementModel.DISABLED)],
        ),
    )
    lax = next(iter(setting for setting in PRESETS[preset].settings if isinstance(setting, Enforce)))
    expected = (
        dict(wanted.enforcement) if EMAIL in lax.channels else {**wanted.enforcement, EMAIL: EnforcementModel.DISABLED}
    )
    assert later.purposes["more"].enforcement == expected
    assert later.purposes["more"].opt_in == wanted.opt_in

    apart = after(made, commands.create_profile(made, key="own", name="Own"))
    shared = after(apart, commands.add_purpose_to_profile(apart, profile="default", purpose="own-commercial"))
    assert shared.purposes["own-commercial"].enforcement == wanted.enforcement
    assert shared.purposes["own-commercial"].opt_in == wanted.opt_in
    assert shared.purposes["own-transactional"] == apart.purposes["own-transactional"]


def test_a_catalogue_file_takes_presets_along_and_what_was_lowered_since() -> None:
    made = applied(catalogue(), PresetKey.GDPR, PresetKey.CASL)
    made = after(made, commands.create_profile(made, key="own", name="Own"))
    made = after(made, commands.add_purpose_to_profile(made, profile="default", purpose="own-commercial"))
    for purpose in ("commercial", "own-commercial"):
        lower = commands.update_purpose(made, ref=purpose, enforcement=[(SMS, EnforcementModel.DISABLED)])
        made = after(made, lower)
    made = after(made, commands.update_profile(made, ref="default", double_opt_in=DoubleOptInMode.OFF))
    file = export_catalogue(made)
    again = after(catalogue(), import_catalogue(catalogue(), file))
    assert export_catalogue(again) == file
    assert again.profiles["default"].presets == ("GDPR", "CASL")
    assert import_catalogue(again, file) == []


@pytest.mark.parametrize("profiles", [[], [{"key": "default"}], [{"key": "default", "presets": ["CCPA"]}]])
def test_a_purpose_that_a_file_brings_is_held_to_the_presets_that_the_file_does_not_know(
    profiles: list[object],
) -> None:
    made = applied(catalogue(), PresetKey.GDPR)
    lax = {"key": "more", "enforcement": {"EMAIL": "DISABLED"}, "requiredEvidence": []}
    file = {"profiles": profiles, "purposes": [lax]}
    held = after(made, import_catalogue(made, file)).purposes["more"]
    assert held.enforcement[EMAIL] is EnforcementModel.RESTRICTIVE
    assert held.opt_in.required == {RequiredEvidence.NOTICE_TEXT, RequiredEvidence.METHOD}
    known = {"profiles": [{"key": "default", "presets": ["GDPR"]}], "purposes": [lax]}
    assert letters(after(made, import_catalogue(made, known)), "more") == "DRRRR"


# What a purpose asks of an opt-in.


@pytest.mark.parametrize(
    ("instant", "months", "expected"),
    [
        ("2026-01-31T12:00:00", 1, "2026-02-28T12:00:00"),
        ("2024-02-29T12:00:00", 24, "2026-02-28T12:00:00"),
        ("2024-02-29T12:00:00", 48, "2028-02-29T12:00:00"),
        ("2026-06-15T23:59:59", 6, "2026-12-15T23:59:59"),
        ("2026-07-15T00:00:00", 6, "2027-01-15T00:00:00"),
        ("2026-08-31T08:00:00", 6, "2027-02-28T08:00:00"),
    ],
)
def test_months_are_calendar_months_to_the_last_day_of_one_that_is_too_short(
    instant: str, months: int, expected: str
) -> None:
    assert months_after(datetime.fromisoformat(instant + "Z"), months) == datetime.fromisoformat(expected + "Z")


@pytest.mark.parametrize(
    ("basis", "months"),
    [
        ("implied-transaction", 24),
        ("Implied transaction", 24),
        (" IMPLIED_TRANSACTION ", 24),
        ("implied - transaction", 24),
        ("implied-inquiry", 6),
        ("implied-membership", 24),
        ("implied\N{EN DASH}transaction", 24),
        ("implied-transaction.", 24),
        ("(implied) transaction", 24),
        ("im\N{ZERO WIDTH SPACE}plied-trans\N{SOFT HYPHEN}action", 24),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER I}MPLIED\N{NO-BREAK SPACE}TRANSACTION", 24),
        # What is neither express nor among them is taken for the one that ends first.
        ("Inquiry", 6),
        ("implied", 6),
        ("impliedtransaction", 6),
        ("\N{CYRILLIC SMALL LETTER BYELORUSSIAN-UKRAINIAN I}mplied-transaction", 6),
        ("not express", 6),
        ("express or implied", 6),
        ("", 6),
        (None, 6),
        ("express", None),
        ("Express (written) consent.", None),
        ("EXPLICIT", None),
    ],
)
def test_implied_consent_ends_by_its_basis_however_that_is_spelled(basis: str | None, months: int | None) -> None:
    rules = applied(catalogue(), PresetKey.CASL).purposes["commercial"].opt_in
    start = datetime(2026, 6, 1, tzinfo=UTC)
    assert rules.valid_until(basis, start) == (None if months is None else months_after(start, months))


@pytest.mark.parametrize("missing", RequiredEvidence)
def test_an_opt_in_without_what_is_required_is_refused_with_its_path(missing: RequiredEvidence) -> None:
    rules = OptInRules(required=frozenset(RequiredEvidence))
    rules.check(RequiredEvidence)
    with pytest.raises(Refusal) as refused:
        rules.check(one for one in RequiredEvidence if one is not missing)
    assert (refused.value.code, refused.value.path) == (RefusalCode.INVALID, PATHS[missing])
    replace(rules, required=rules.required - {missing}).check(one for one in RequiredEvidence if one is not missing)


@pytest.mark.parametrize(
    ("pairs", "path"),
    [
        ([("a", 0)], ("optInExpiry", "0", "months")),
        ([("a", MONTHS_MAX + 1)], ("optInExpiry", "0", "months")),
        ([("a", -1)], ("optInExpiry", "0", "months")),
        ([("a b", 1), ("A_B", 2)], ("optInExpiry", "1", "legalBasis")),
        ([(" ", 1)], ("optInExpiry", "0", "legalBasis")),
        ([("-", 1)], ("optInExpiry", "0", "legalBasis")),
        ([("a-b", 1), ("(A) b.", 2)], ("optInExpiry", "1", "legalBasis")),
        ([("x" * 201, 1)], ("optInExpiry", "0", "legalBasis")),
        ([(str(number), 1) for number in range(51)], ("optInExpiry",)),
    ],
)
def test_expiries_that_are_none_are_refused(pairs: Sequence[tuple[str, int]], path: tuple[str, ...]) -> None:
    with pytest.raises(Refusal) as refused:
        checked_expiries(pairs)
    assert (refused.value.code, refused.value.path) == (RefusalCode.INVALID, path)
