"""Who is responsible for a profile: what was given comes back, what is not set stays unset, each refusal names its field."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.controller import ITEMS_MAX, MEMBERS, NOBODY, ConsentType, Controller, controller_changes
from domain.refusals import Refusal, RefusalCode

FULL: dict[str, Any] = {
    "name": "Acme Ltd", "contact": "Privacy desk", "email": "privacy@acme.example", "phone": "+35316000000",
    "policyUrl": "https://acme.example/privacy/7", "jurisdiction": "IE", "consentType": "EXPRESSED",
    "termination": "when it is withdrawn", "retention": "3 years after the last message", "storageLocations": ["Ireland"],
    "recipients": ["Mailer Ltd"], "piiCategories": ["Contact"], "sensitive": False, "sensitiveCategories": [],
    "rights": ["access", "erasure"], "authority": "Data Protection Commission", "dataProtectionOfficer": "dpo@acme.example",
}  # fmt: skip
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
LISTS = st.lists(TEXT, unique=True, max_size=4)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    wire: {
        "email": st.sampled_from(["a@acme.example", "b@acme.example"]),
        "phone": st.sampled_from(["+35316000000", "+436601234567"]),
        "policyUrl": st.sampled_from(["https://acme.example/", "http://acme.example/p?v=1"]),
        "consentType": st.sampled_from([str(one) for one in ConsentType]),
        "sensitive": st.booleans(),
    }.get(wire, LISTS if isinstance(FULL[wire], list) else TEXT)
    for wire in MEMBERS
}
PATCHES = st.fixed_dictionaries({}, optional={wire: st.none() | values for wire, values in VALUES.items()})


def test_every_setting_is_tried_here() -> None:
    assert set(FULL) == set(MEMBERS)
    assert {member.name for member in MEMBERS.values()} == {*Controller.__dataclass_fields__}


def test_what_was_given_is_held_and_goes_out_as_it_came_in() -> None:
    held = NOBODY.changed(controller_changes(NOBODY, FULL))
    assert held.to_data() == FULL
    assert held.consent_type is ConsentType.EXPRESSED
    assert controller_changes(held, FULL) == {}


@given(patches=st.lists(PATCHES, max_size=4))
def test_each_change_sets_what_it_names_and_no_more(patches: list[dict[str, Any]]) -> None:
    held, expected = NOBODY, dict[str, Any]()
    for patch in patches:
        held = held.changed(controller_changes(held, patch))
        expected |= patch
        assert held.to_data() == {wire: value for wire, value in expected.items() if value is not None}
        assert controller_changes(held, patch) == {}


def test_no_list_and_an_empty_list_are_two_answers() -> None:
    none = NOBODY.changed(controller_changes(NOBODY, {"recipients": []}))
    assert (none.recipients, NOBODY.recipients) == ((), None)
    assert controller_changes(none, {"recipients": None}) == {"recipients": ""}
    assert none.changed({"recipients": ""}) == NOBODY


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("name", 7), ("name", "x" * 501), ("contact", "a\x00b"), ("email", "none"), ("phone", "12"), ("policyUrl", "acme"),
        ("policyUrl", "javascript:alert(1)"), ("consentType", "SILENT"), ("storageLocations", "Ireland"), ("sensitive", "no"),
        ("recipients", ["x"] * (ITEMS_MAX + 1)), ("owner", "x"), ("name", ["x"]),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_its_name(member: str, value: object) -> None:
    with pytest.raises(Refusal) as refused:
        controller_changes(NOBODY, {member: value})
    assert (refused.value.code, refused.value.path) == (RefusalCode.INVALID, (member,))


@pytest.mark.parametrize("item", ["", 7, "x" * 201])
def test_an_item_that_cannot_be_is_refused_by_its_place(item: object) -> None:
    with pytest.raises(Refusal) as refused:
        controller_changes(NOBODY, {"rights": ["access", item]})
    assert refused.value.path == ("rights", "1")
