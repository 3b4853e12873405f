"""What a change did to settings, in words."""

import pytest

from domain.addresses import Channel
from domain.catalogue import DoubleOptInMode, EnforcementModel
from domain.catalogue_commands import (
    add_purpose_to_profile,
    create_profile,
    create_tenant,
    update_profile,
    update_purpose,
)
from domain.catalogue_fold import EMPTY
from domain.catalogue_import import after_drafts
from domain.changed_settings import changed_settings
from domain.presets import PresetKey, apply_preset

BEFORE = after_drafts(EMPTY, create_tenant("Shop"))


def test_nothing_changed_has_no_words() -> None:
    assert changed_settings(BEFORE, BEFORE) == []


@pytest.mark.parametrize(
    ("preset", "words"),
    [
        (PresetKey.GDPR, "profile default: doubleOptIn OFF -> EVERY_SUBMISSION"),
        (PresetKey.GDPR, "profile default: presets none -> GDPR"),
        (PresetKey.GDPR, "purpose commercial: enforcement of EMAIL NON_RESTRICTIVE -> RESTRICTIVE"),
        (PresetKey.TCPA, "purpose commercial: requiredEvidence none -> NOTICE_TEXT, METHOD"),
        (
            PresetKey.CASL,
            "purpose commercial: optInExpiry none -> "
            "implied-inquiry 6 months, implied-membership 24 months, implied-transaction 24 months",
        ),
    ],
)
def test_a_preset_is_told_setting_by_setting(preset: PresetKey, words: str) -> None:
    after = after_drafts(BEFORE, apply_preset(BEFORE, profile="default", preset=preset))
    assert words in changed_settings(BEFORE, after)


def test_whatever_is_laxer_is_told_as_well() -> None:
    laxer = [
        *update_profile(BEFORE, ref="default", double_opt_in=DoubleOptInMode.NEW_CONTACT_POINTS),
        *update_purpose(BEFORE, ref="commercial", enforcement=[(Channel.EMAIL, EnforcementModel.DISABLED)]),
    ]
    assert changed_settings(BEFORE, after_drafts(BEFORE, laxer)) == [
        "profile default: doubleOptIn OFF -> NEW_CONTACT_POINTS",
        "purpose commercial: enforcement of EMAIL NON_RESTRICTIVE -> DISABLED",
    ]


def test_a_purpose_that_is_shared_names_the_profiles_that_it_changes_in() -> None:
    shared = after_drafts(BEFORE, create_profile(BEFORE, key="second", name="Second"))
    shared = after_drafts(shared, add_purpose_to_profile(shared, profile="second", purpose="commercial"))
    after = after_drafts(shared, apply_preset(shared, profile="default", preset=PresetKey.GDPR))
    told = "purpose commercial (of the profiles default, second): enforcement of EMAIL NON_RESTRICTIVE -> RESTRICTIVE"
    assert told in changed_settings(shared, after)
