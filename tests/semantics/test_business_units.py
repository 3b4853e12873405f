"""Business units: the tree, which unit's record counts, and what a key that is bound to one sees and changes."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import catalogue_commands as commands
from domain.addresses import Channel
from domain.catalogue import EMPTY, Catalogue, EnforcementModel, PurposeType
from domain.catalogue_import import import_catalogue
from domain.consent import ConsentRecord, ConsentValue
from domain.events import CatalogueDraft
from domain.presets import PresetKey, apply_preset
from domain.refusals import Refusal, RefusalCode
from domain.standing import Standing, by_level, decision_of, tracking_of
from domain.unit_scope import Decide, decide_within, owned_purposes, seen_from, subtree
from tests.semantics.given import NOW, after

IN, OUT, UNSET = ConsentValue.OPTED_IN, ConsentValue.OPTED_OUT, ConsentValue.NOT_SET
UNITS = {"emea": "root", "apac": "root", "emea-dach": "emea", "emea-dach-at": "emea-dach"}


def with_units() -> Catalogue:
    """A tenant with units; a profile in each of three of them, and one of EMEA that shares the root's purposes."""
    made = after(EMPTY, commands.create_tenant("Test"))
    for key, parent in UNITS.items():
        made = after(made, commands.create_business_unit(made, key=key, name=key.upper(), parent=parent))
    for key, unit in (("sales", "emea"), ("vienna", "emea-dach-at"), ("tokyo", "apac")):
        made = after(made, commands.create_profile(made, key=key, name=key, business_unit=unit))
    made = after(
        made,
        commands.create_profile(made, key="shared", name="Shared", business_unit="emea", share_purposes_of="default"),
    )
    for purpose in ("commercial", "sales-commercial", "tokyo-commercial"):
        made = after(made, commands.create_topic(made, key=f"{purpose}-news", name="News", purpose=purpose))
    return made


# The tree.


def test_a_unit_is_below_the_root_where_nothing_is_said() -> None:
    made = after(EMPTY, commands.create_tenant("Test"))
    made = after(made, commands.create_business_unit(made, key="emea", name="EMEA"))
    assert made.units["root"].parent is None
    assert made.units["emea"].parent == "root"


@pytest.mark.parametrize(
    ("key", "parent", "code", "path"),
    [
        ("emea", None, RefusalCode.ALREADY_EXISTS, ("key",)),
        ("root", None, RefusalCode.ALREADY_EXISTS, ("key",)),
        ("a", "a", RefusalCode.NOT_FOUND, ("parent",)),
        ("a", "nowhere", RefusalCode.NOT_FOUND, ("parent",)),
        ("Not A Key", None, RefusalCode.INVALID, ("key",)),
    ],
)
def test_a_parent_is_there_before_its_child_so_no_cycle_can_be(
    key: str, parent: str | None, code: RefusalCode, path: tuple[str, ...]
) -> None:
    with pytest.raises(Refusal) as refused:
        commands.create_business_unit(with_units(), key=key, name="A", parent=parent)
    assert (refused.value.code, refused.value.path) == (code, path)


def test_units_of_a_catalogue_file_may_stand_in_any_order() -> None:
    made = after(EMPTY, commands.create_tenant("Test"))
    file = {
        "businessUnits": [{"key": "c", "parent": "b"}, {"key": "b", "parent": "a"}, {"key": "a", "name": "First"}],
        "purposes": [{"key": "deals", "businessUnit": "c"}],
    }
    made = after(made, import_catalogue(made, file))
    assert {key: unit.parent for key, unit in made.units.items()} == {"root": None, "a": "root", "b": "a", "c": "b"}
    assert made.units["a"].name == "First"
    assert made.purposes["deals"].unit == "c"
    assert import_catalogue(made, file) == []


@pytest.mark.parametrize(
    ("units", "code", "path"),
    [
        ([{"key": "a", "parent": "a"}], RefusalCode.INVALID, ("businessUnits", "0", "parent")),
        (
            [{"key": "x"}, {"key": "a", "parent": "b"}, {"key": "b", "parent": "c"}, {"key": "c", "parent": "a"}],
            RefusalCode.INVALID,
            ("businessUnits", "1", "parent"),
        ),
        ([{"key": "emea", "parent": "apac"}], RefusalCode.INVALID, ("businessUnits", "0", "parent")),
        ([{"key": "a", "parent": "nowhere"}], RefusalCode.NOT_FOUND, ("businessUnits", "0", "parent")),
        ([{"key": "a", "guid": "x"}], RefusalCode.INVALID, ("businessUnits", "0", "guid")),
        (["a"], RefusalCode.INVALID, ("businessUnits", "0")),
        ([{"key": ["a"], "parent": ["a"]}], RefusalCode.INVALID, ("businessUnits", "0", "key")),
    ],
)
def test_units_of_a_catalogue_file_in_a_cycle_are_refused(
    units: list[Any], code: RefusalCode, path: tuple[str, ...]
) -> None:
    with pytest.raises(Refusal) as refused:
        import_catalogue(with_units(), {"businessUnits": units})
    assert (refused.value.code, refused.value.path) == (code, path)


def test_a_purpose_stays_in_its_unit() -> None:
    with pytest.raises(Refusal) as refused:
        import_catalogue(with_units(), {"purposes": [{"key": "commercial", "businessUnit": "emea"}]})
    assert (refused.value.code, refused.value.path) == (RefusalCode.INVALID, ("purposes", "0", "businessUnit"))
    assert import_catalogue(with_units(), {"purposes": [{"key": "sales-commercial", "businessUnit": "emea"}]}) == []


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("root", {"root", *UNITS}),
        ("emea", {"emea", "emea-dach", "emea-dach-at"}),
        ("emea-dach", {"emea-dach", "emea-dach-at"}),
        ("apac", {"apac"}),
        ("nowhere", set[str]()),
    ],
)
def test_a_unit_and_those_below_it(unit: str, expected: set[str]) -> None:
    assert subtree(with_units().units, unit) == expected


# Which record counts. The naive reference goes through the levels of the rule, one by one.

PLACES = ["root", "emea", "apac"]


def naive_record(
    records: Sequence[ConsentRecord], units: Sequence[str], *, scoping: bool, as_of: datetime, known_at: datetime
) -> ConsentRecord | None:
    order = [IN, UNSET, OUT]

    def latest(among: Sequence[ConsentRecord]) -> ConsentRecord:
        return max(among, key=lambda one: (one.effective_at, order.index(one.value), one.position))

    known = [record for record in records if record.effective_at <= as_of and record.recorded_at <= known_at]
    for unit in units:
        there = [record for record in known if record.unit == unit]
        if there:
            return latest(there)
    return latest(known) if known and not scoping else None


@st.composite
def histories(draw: st.DrawFn) -> list[ConsentRecord]:
    return [
        ConsentRecord(
            purpose="sales-commercial",
            topic=None,
            unit=draw(st.sampled_from(PLACES)),
            value=draw(st.sampled_from([IN, OUT, UNSET])),
            effective_at=NOW + timedelta(hours=draw(st.integers(-4, 0))),
            recorded_at=NOW + timedelta(hours=draw(st.integers(-4, 0))),
            position=position,
        )
        for position in range(draw(st.integers(0, 6)))
    ]


@settings(deadline=None)
@given(
    records=histories(),
    asked=st.none() | st.sampled_from(PLACES),
    scoping=st.booleans(),
    as_of=st.integers(-5, 0),
    known_at=st.integers(-5, 0),
)
def test_the_record_that_counts_is_that_of_the_naive_reference(
    records: list[ConsentRecord], asked: str | None, scoping: bool, as_of: int, known_at: int
) -> None:
    made = with_units()
    # `sales-commercial` is EMEA's; the profile that looks at it here is APAC's.
    made = after(made, commands.add_purpose_to_profile(made, profile="tokyo", purpose="sales-commercial"))
    made = after(made, commands.update_tenant(made, unit_scoping=scoping))
    made = after(
        made,
        commands.update_purpose(
            made, ref="sales-commercial", enforcement=[(Channel.EMAIL, EnforcementModel.RESTRICTIVE)]
        ),
    )
    times = {"as_of": NOW + timedelta(hours=as_of), "known_at": NOW + timedelta(hours=known_at)}
    subject = made.message("tokyo", "sales-commercial", None, asked)
    decision = decision_of(made, subject, Channel.EMAIL, Standing(by_level(records, **times)), times["as_of"])
    expected = naive_record(records, ["emea", asked or "apac"], scoping=scoping, **times)
    assert decision.reasons[0].record == expected
    assert decision.allowed is (expected is not None and expected.value is IN)


@pytest.mark.parametrize(
    ("asked", "scoping", "tracked"),
    [(None, True, True), ("apac", True, True), ("emea", True, False), (None, False, False)],
)
def test_a_unit_that_a_check_names_stands_for_the_profiles_for_tracking_too(
    asked: str | None, scoping: bool, tracked: bool
) -> None:
    made = after(with_units(), commands.update_tenant(with_units(), unit_scoping=scoping))
    out = ConsentRecord("tokyo-tracking", None, "emea", OUT, NOW, NOW, 1)
    standing = Standing(by_level([out], as_of=NOW, known_at=NOW))
    subject = made.message("tokyo", "tokyo-commercial", None, asked)
    assert tracking_of(made, subject, Channel.EMAIL, standing, NOW).allowed is tracked


def test_a_unit_that_is_not_there_is_never_send() -> None:
    with pytest.raises(Refusal) as refused:
        with_units().message("sales", "sales-commercial", None, "nowhere")
    assert (refused.value.code, refused.value.path) == (RefusalCode.NOT_FOUND, ("businessUnit",))


def test_a_new_profiles_purposes_are_owned_by_its_unit() -> None:
    assert with_units().purposes["sales-commercial"].unit == "emea"
    assert with_units().purposes["sales-tracking"].unit == "emea"
    assert with_units().purposes["commercial"].unit == "root"


# What a key that is bound to a unit sees of the catalogue.


@pytest.mark.parametrize(
    ("unit", "units", "profiles", "foreign"),
    [
        ("emea", {"emea", "emea-dach", "emea-dach-at"}, {"sales", "vienna", "shared"}, {"commercial", "tracking"}),
        ("emea-dach", {"emea-dach", "emea-dach-at"}, {"vienna"}, set[str]()),
        ("apac", {"apac"}, {"tokyo"}, set[str]()),
        ("nowhere", set[str](), set[str](), set[str]()),
    ],
)
def test_a_unit_sees_its_own_and_what_is_shared_with_its_profiles(
    unit: str, units: set[str], profiles: set[str], foreign: set[str]
) -> None:
    seen = seen_from(with_units(), unit)
    assert set(seen.units) == units
    assert set(seen.profiles) == profiles
    assert foreign <= set(seen.purposes)
    assert all(purpose.unit in units for key, purpose in seen.purposes.items() if key in owned_purposes(seen))
    assert not foreign & set(owned_purposes(seen))
    assert all(topic.purpose in seen.purposes for topic in seen.topics.values())
    assert all(purpose in seen.purposes for profile in seen.profiles.values() for purpose in profile.purposes)


def test_what_a_unit_does_not_see_is_not_found_by_guid_either() -> None:
    guid = "10000000-0000-4000-8000-000000000003"
    made = with_units()
    made = after(made, import_catalogue(made, {"purposes": [{"key": "tokyo-commercial", "guid": guid}]}))
    assert made.purpose(guid).key == "tokyo-commercial"
    with pytest.raises(Refusal) as refused:
        seen_from(made, "emea").purpose(guid)
    assert refused.value.code is RefusalCode.NOT_FOUND


SALES = PurposeType.COMMERCIAL
# What a key of EMEA asks for, and the refusal; None is done.
CHANGES: list[tuple[str, Decide, RefusalCode | None]] = [
    ("a unit below", lambda c: commands.create_business_unit(c, key="a", name="A", parent="emea-dach"), None),
    (
        "a unit beside",
        lambda c: commands.create_business_unit(c, key="a", name="A", parent="root"),
        RefusalCode.NOT_FOUND,
    ),
    (
        "a unit under the root unsaid",
        lambda c: commands.create_business_unit(c, key="a", name="A"),
        RefusalCode.INVALID,
    ),
    (
        "a key that is taken unseen",
        lambda c: commands.create_business_unit(c, key="apac", name="A", parent="emea"),
        RefusalCode.ALREADY_EXISTS,
    ),
    ("a profile", lambda c: commands.create_profile(c, key="a", name="A", business_unit="emea"), None),
    (
        "a profile elsewhere",
        lambda c: commands.create_profile(c, key="a", name="A", business_unit="apac"),
        RefusalCode.NOT_FOUND,
    ),
    (
        "a profile that shares what is shared already",
        lambda c: commands.create_profile(c, key="a", name="A", business_unit="emea", share_purposes_of="shared"),
        None,
    ),
    (
        "a profile that shares another unit's purposes",
        lambda c: commands.create_profile(c, key="a", name="A", business_unit="emea", share_purposes_of="tokyo"),
        RefusalCode.NOT_FOUND,
    ),
    ("its profile's name", lambda c: commands.update_profile(c, ref="vienna", name="Wien"), None),
    ("another's profile", lambda c: commands.update_profile(c, ref="tokyo", name="A"), RefusalCode.NOT_FOUND),
    (
        "a purpose",
        lambda c: commands.create_purpose(
            c, key="a", name="A", type=SALES, profiles=["sales"], business_unit="emea-dach"
        ),
        None,
    ),
    (
        "a purpose in another's profile",
        lambda c: commands.create_purpose(c, key="a", name="A", type=SALES, profiles=["tokyo"], business_unit="emea"),
        RefusalCode.NOT_FOUND,
    ),
    ("its purpose", lambda c: commands.update_purpose(c, ref="sales-commercial", name="A"), None),
    (
        "a purpose that it only shares",
        lambda c: commands.update_purpose(c, ref="commercial", name="A"),
        RefusalCode.INVALID,
    ),
    (
        "another's purpose",
        lambda c: commands.update_purpose(c, ref="tokyo-commercial", name="A"),
        RefusalCode.NOT_FOUND,
    ),
    (
        "sharing its own",
        lambda c: commands.add_purpose_to_profile(c, profile="vienna", purpose="sales-commercial"),
        None,
    ),
    (
        "sharing what another's profile has",
        lambda c: commands.add_purpose_to_profile(c, profile="vienna", purpose="tokyo-commercial"),
        RefusalCode.NOT_FOUND,
    ),
    (
        "sharing with another's profile",
        lambda c: commands.add_purpose_to_profile(c, profile="tokyo", purpose="sales-commercial"),
        RefusalCode.NOT_FOUND,
    ),
    ("a topic", lambda c: commands.create_topic(c, key="a", name="A", purpose="sales-commercial"), None),
    (
        "a topic of a purpose that it only shares",
        lambda c: commands.create_topic(c, key="a", name="A", purpose="commercial"),
        RefusalCode.INVALID,
    ),
    (
        "a topic of a purpose that it only shares, changed",
        lambda c: commands.update_topic(c, ref="commercial-news", active=False),
        RefusalCode.INVALID,
    ),
    ("the tenant", lambda c: commands.update_tenant(c, unit_scoping=False), RefusalCode.INVALID),
]


@pytest.mark.parametrize(("decide", "code"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_a_unit_changes_what_is_its_own(decide: Decide, code: RefusalCode | None) -> None:
    whole = with_units()

    def changed() -> Sequence[CatalogueDraft]:
        return decide_within(decide, seen_from(whole, "emea"), whole)

    if code is None:
        assert changed() == decide(whole)
        assert changed()
        return
    with pytest.raises(Refusal) as refused:
        changed()
    assert refused.value.code is code


def test_a_guid_that_is_another_units_key_reaches_nothing_of_that_unit() -> None:
    guid = "10000000-0000-4000-8000-000000000003"
    # As a log may hold it: no command makes such a key any more.
    [made] = commands.create_purpose(
        with_units(), key="x", name="Odd", type=SALES, profiles=["tokyo"], business_unit="apac"
    )
    odd = [CatalogueDraft(made.type, {**made.data, "key": guid})]
    whole = after(
        with_units(), import_catalogue(with_units(), {"purposes": [{"key": "sales-commercial", "guid": guid}]})
    )
    whole = after(whole, odd)

    def added(profile: str, unit: str) -> Sequence[CatalogueDraft]:
        return decide_within(
            lambda c: commands.add_purpose_to_profile(c, profile=profile, purpose=guid), seen_from(whole, unit), whole
        )

    [added_to_its_own] = added("vienna", "emea")
    assert added_to_its_own.data["purpose"] == "sales-commercial"
    with pytest.raises(Refusal) as refused:
        added("tokyo", "apac")
    assert refused.value.code is RefusalCode.NOT_FOUND, "by the whole it is the GUID of what that unit does not see"


def test_a_purpose_that_a_unit_makes_in_a_profile_with_presets_is_held_to_them() -> None:
    whole = with_units()
    whole = after(whole, apply_preset(whole, profile="vienna", preset=PresetKey.CASL))
    drafts = decide_within(
        lambda c: commands.create_purpose(c, key="a", name="A", type=SALES, profiles=["vienna"], business_unit="emea"),
        seen_from(whole, "emea"),
        whole,
    )
    assert "LEGAL_BASIS" in after(whole, drafts).purposes["a"].opt_in.required
