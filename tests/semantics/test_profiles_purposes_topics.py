"""SEMANTICS.md, "Profiles, purposes and topics", and rules 1 and 3 of "The decision"."""

from datetime import timedelta

import pytest

from domain import catalogue_commands as commands
from domain.addresses import Channel
from domain.catalogue import EMPTY, Catalogue, EnforcementModel, PurposeType
from domain.catalogue_fold import _APPLY, fold
from domain.catalogue_import import import_catalogue
from domain.consent import ConsentValue
from domain.events import CATALOGUE_TYPES, CatalogueEvent
from domain.refusals import Refusal, RefusalCode
from tests.semantics.given import NOW, after, catalogue

GUID = "10000000-0000-4000-8000-000000000003"


def refused(code: RefusalCode, *path: str) -> pytest.RaisesExc[Refusal]:
    return pytest.RaisesExc(Refusal, check=lambda refusal: (refusal.code, refusal.path) == (code, path))


def test_every_type_of_event_is_folded() -> None:
    assert set(_APPLY) == set(CATALOGUE_TYPES)


def test_a_further_profile_has_purposes_of_its_own() -> None:
    made = after(catalogue(), commands.create_profile(catalogue(), key="brand", name="Brand"))
    profile = made.profiles["brand"]
    assert profile.purposes == ("brand-commercial", "brand-transactional", "brand-tracking")
    assert profile.tracking_purpose == "brand-tracking"
    assert made.purposes["brand-tracking"].type is PurposeType.TRACKING


def test_previously_captured_consent_shares_every_purpose_tracking_included() -> None:
    drafts = commands.create_profile(catalogue(), key="brand", name="Brand", share_purposes_of="default")
    made = after(catalogue(), drafts)
    assert made.profiles["brand"].purposes == made.profiles["default"].purposes
    assert made.profiles["brand"].tracking_purpose == "tracking"
    assert [profile.key for profile in made.profiles_of("commercial")] == ["default", "brand"]


def test_a_profile_has_exactly_one_tracking_purpose() -> None:
    made = after(catalogue(), commands.create_profile(catalogue(), key="brand", name="Brand"))
    with refused(RefusalCode.INVALID, "type"):
        commands.create_purpose(made, key="t2", name="T", type=PurposeType.TRACKING, profiles=["brand"])
    with refused(RefusalCode.INVALID, "purpose"):
        commands.add_purpose_to_profile(made, profile="default", purpose="brand-tracking")


def test_a_purpose_is_shared_by_any_number_of_profiles() -> None:
    made = after(catalogue(), commands.create_profile(catalogue(), key="brand", name="Brand"))
    made = after(made, commands.add_purpose_to_profile(made, profile="brand", purpose="commercial"))
    assert made.message("brand", "commercial", "news").purpose.key == "commercial"
    assert made.profiles["brand"].version == 2
    assert commands.add_purpose_to_profile(made, profile="brand", purpose="commercial") == []


def test_enforcement_is_changed_channel_by_channel_and_the_rest_stays() -> None:
    made = after(
        catalogue(),
        commands.update_purpose(
            catalogue(), ref="commercial", enforcement=[(Channel.EMAIL, EnforcementModel.RESTRICTIVE)]
        ),
    )
    models = made.purposes["commercial"].enforcement
    assert models == {**catalogue().purposes["commercial"].enforcement, Channel.EMAIL: EnforcementModel.RESTRICTIVE}
    with refused(RefusalCode.INVALID, "enforcement"):
        twice = [(Channel.SMS, EnforcementModel.DISABLED), (Channel.SMS, EnforcementModel.RESTRICTIVE)]
        commands.update_purpose(made, ref="commercial", enforcement=twice)


def test_what_changes_nothing_is_no_event() -> None:
    world = catalogue()
    assert commands.update_purpose(world, ref="commercial", name="Commercial", active=True) == []
    same = [(Channel.EMAIL, EnforcementModel.NON_RESTRICTIVE)]
    assert commands.update_purpose(world, ref="commercial", enforcement=same) == []
    assert commands.update_tenant(world, name="Test", unit_scoping=True) == []


def test_expected_versions() -> None:
    world = catalogue()
    made = after(world, commands.update_topic(world, ref="news", expected_version=1, name="Newsletter"))
    assert made.topics["news"].version == 2
    for change in (commands.update_topic, commands.update_purpose, commands.update_profile):
        ref = {"update_topic": "news", "update_purpose": "commercial", "update_profile": "default"}[change.__name__]
        with refused(RefusalCode.VERSION_CONFLICT, "expectedVersion"):
            change(made, ref=ref, expected_version=7, name="x")


def test_none_clears_and_what_is_not_given_stays() -> None:
    world = after(catalogue(), commands.update_topic(catalogue(), ref="news", description="weekly"))
    assert world.topics["news"].description == "weekly"
    world = after(world, commands.update_topic(world, ref="news", name="N"))
    assert world.topics["news"].description == "weekly"
    world = after(world, commands.update_topic(world, ref="news", description=None))
    assert world.topics["news"].description is None


def inactive() -> Catalogue:
    world = catalogue()
    world = after(world, commands.update_topic(world, ref="news", active=False))
    world = after(world, commands.update_purpose(world, ref="transactional", active=False))
    return after(world, commands.update_profile(world, ref="default", active=False))


MESSAGES = [
    ("nope", "commercial", None, RefusalCode.NOT_FOUND, "profile"),
    ("default", "nope", None, RefusalCode.NOT_FOUND, "purpose"),
    ("default", "commercial", "nope", RefusalCode.NOT_FOUND, "topic"),
    ("default", "brand-commercial", None, RefusalCode.PURPOSE_OUTSIDE_PROFILE, "purpose"),
    ("default", "transactional", "news", RefusalCode.TOPIC_OUTSIDE_PURPOSE, "topic"),
]


@pytest.mark.parametrize(("profile", "purpose", "topic", "code", "path"), MESSAGES)
def test_a_message_names_what_is_there(
    profile: str, purpose: str, topic: str | None, code: RefusalCode, path: str
) -> None:
    world = after(catalogue(), commands.create_profile(catalogue(), key="brand", name="Brand"))
    with refused(code, path):
        world.message(profile, purpose, topic)


def test_inactive_ones_are_refused_in_new_messages() -> None:
    world = inactive()
    with refused(RefusalCode.INACTIVE, "profile"):
        world.message("default", "commercial", None)
    world = after(world, commands.update_profile(world, ref="default", active=True))
    with refused(RefusalCode.INACTIVE, "purpose"):
        world.message("default", "transactional", None)
    with refused(RefusalCode.INACTIVE, "topic"):
        world.message("default", "commercial", "news")
    assert world.message("default", "commercial", "deals").topic


@pytest.mark.parametrize("value", [ConsentValue.OPTED_OUT, ConsentValue.NOT_SET])
def test_a_message_already_sent_with_an_inactive_one_can_still_be_unsubscribed_from(value: ConsentValue) -> None:
    world = inactive()
    assert world.capture_subject("transactional", None, value=value)[0].key == "transactional"
    assert world.capture_subject("commercial", "news", value=value)[1]
    with refused(RefusalCode.INACTIVE, "purpose"):
        world.capture_subject("transactional", None, value=ConsentValue.OPTED_IN)
    with refused(RefusalCode.INACTIVE, "topic"):
        world.capture_subject("commercial", "news", value=ConsentValue.OPTED_IN)
    assert world.capture_subject("commercial", "news", value=ConsentValue.OPTED_IN, allow_inactive=True)


@pytest.mark.parametrize("key", ["", "Upper", "a b", "-a", "a" * 65, "ä", "a\n", "a\x00"])
def test_keys_are_plain(key: str) -> None:
    with refused(RefusalCode.INVALID, "key"):
        commands.create_topic(catalogue(), key=key, name="n", purpose="commercial")


def test_keys_are_permanent_and_unique() -> None:
    with refused(RefusalCode.ALREADY_EXISTS, "key"):
        commands.create_topic(catalogue(), key="news", name="n", purpose="transactional")
    with refused(RefusalCode.ALREADY_EXISTS, "key"):
        commands.create_profile(catalogue(), key="default", name="n")


@pytest.mark.parametrize("link", ["javascript:alert(1)", "ftp://x", "https://", "x", "https://a b"])
def test_an_external_link_is_a_web_address(link: str) -> None:
    with refused(RefusalCode.INVALID, "externalLink"):
        commands.create_profile(catalogue(), key="b", name="B", external_link=link)
    good = commands.create_profile(catalogue(), key="b", name="B", external_link="https://x.example/?m={{messageid}}")
    assert good[-1].data["externalLink"] == "https://x.example/?m={{messageid}}"


@pytest.mark.parametrize(
    ("placeholder", "right"),
    [
        ("{{MessageId}}", "{{messageid}}"), ("{{message_id}}", "{{messageid}}"), ("{{ topicid }}", "{{topicid}}"),
        ("{{purposeID}}", "{{purposeid}}"), ("{{}}", "attribute"), ("{{a b}}", "attribute"), ("{{1}}", "attribute"),
        ("{{" + "a" * 65 + "}}", "attribute"), ("{{open", "{{name}}"), ("closed}}", "{{name}}"),
    ],
)  # fmt: skip
def test_a_placeholder_that_nothing_would_fill_is_refused_with_what_would_be_right(
    placeholder: str, right: str
) -> None:
    with pytest.raises(Refusal) as refused:
        commands.create_profile(catalogue(), key="b", name="B", external_link=f"https://x.example/?m={placeholder}")
    assert (refused.value.code, refused.value.path) == (RefusalCode.INVALID, ("externalLink",))
    assert right in refused.value.message
    good = "https://x.example/?m={{messageid}}&c={{contact-id}}&s={{utm_source}}"
    assert commands.create_profile(catalogue(), key="b", name="B", external_link=good)[-1].data["externalLink"] == good


def test_known_at_takes_changes_as_recorded_and_what_was_made_later_as_it_was_made() -> None:
    events: list[CatalogueEvent] = []
    world = EMPTY

    def play(drafts: list[object], hour: int) -> None:
        nonlocal world
        for draft in drafts:
            event = CatalogueEvent(
                type=draft.type,
                data=draft.data,
                recorded_at=NOW + timedelta(hours=hour),
                position=len(events),  # type: ignore[attr-defined]
            )
            events.append(event)
        world = fold(events)

    play(list(commands.create_tenant("T")), 0)
    play(
        list(
            commands.create_purpose(world, key="late", name="Late", type=PurposeType.COMMERCIAL, profiles=["default"])
        ),
        2,
    )
    play(list(commands.update_purpose(world, ref="late", enforcement=[(Channel.EMAIL, EnforcementModel.DISABLED)])), 4)
    for hour, model in ((1, "NON_RESTRICTIVE"), (2, "NON_RESTRICTIVE"), (3, "NON_RESTRICTIVE"), (4, "DISABLED")):
        known = fold(events, known_at=NOW + timedelta(hours=hour))
        assert known.purposes["late"].enforcement[Channel.EMAIL] == model
        assert known.message("default", "late", None)


def test_a_catalogue_file_makes_what_is_missing_and_gives_guids() -> None:
    document = {
        "purposes": [
            {"key": "commercial", "guid": "{" + GUID.upper() + "}", "type": "Commercial"},
            {"key": "surveys", "type": "transactional"},
        ],
        "profiles": [{"key": "default", "trackingPurpose": "tracking"}],
        "topics": [{"key": "news", "purpose": "commercial"}, {"key": "polls", "purpose": "surveys", "guid": GUID}],
    }
    world = after(catalogue(), import_catalogue(catalogue(), document))
    assert world.purpose(GUID.upper()).key == "commercial"
    assert world.topic(GUID).key == "polls", "purposes and topics each have GUIDs of their own"
    assert world.message("default", "surveys", "polls").purpose.type is PurposeType.TRANSACTIONAL
    assert import_catalogue(world, document) == []


BAD_FILES = [
    ([], ()),
    ({"purpose": []}, ("purpose",)),
    ({"purposes": {}}, ("purposes",)),
    ({"purposes": ["x"]}, ("purposes", "0")),
    ({"purposes": [{"key": "x"}, {}]}, ("purposes", "1", "key")),
    ({"purposes": [{"key": "x", "guid": "nope"}]}, ("purposes", "0", "guid")),
    ({"purposes": [{"key": "x", "type": "OTHER"}]}, ("purposes", "0", "type")),
    ({"purposes": [{"key": "x", "type": "TRACKING"}]}, ("purposes", "0", "type")),
    ({"purposes": [{"key": "transactional", "guid": GUID, "type": "COMMERCIAL"}]}, ("purposes", "0", "type")),
    ({"purposes": [{"key": "commercial", "type": "OTHER"}]}, ("purposes", "0", "type")),
    ({"purposes": [{"key": "tracking", "type": "commercial"}], "overwrite": True}, ("purposes", "0", "type")),
    (
        {"profiles": [{"key": "b"}], "purposes": [{"key": "b-transactional", "type": "COMMERCIAL"}]},
        ("purposes", "0", "type"),
    ),
    ({"purposes": [{"key": "x"}, {"key": "x", "type": "TRANSACTIONAL"}]}, ("purposes", "1", "type")),
    ({"profiles": [{"key": "b"}, {"key": "b", "trackingPurpose": "tracking"}]}, ("profiles", "1", "trackingPurpose")),
    ({"purposes": [{"key": "x", "enforcement": {"EMAIL": "SOFT"}}]}, ("purposes", "0", "enforcement")),
    ({"purposes": [{"key": "x", "colour": "red"}]}, ("purposes", "0", "colour")),
    ({"purposes": [{"key": 5}]}, ("purposes", "0", "key")),
    ({"topics": [{"key": "x", "purpose": "nope"}]}, ("topics", "0", "purpose")),
    ({"topics": [{"key": "news", "purpose": "transactional"}]}, ("topics", "0", "purpose")),
    ({"purposes": [{"key": "x", "guid": GUID}, {"key": "y", "guid": GUID}]}, ("purposes", "1", "guid")),
]


@pytest.mark.parametrize(("document", "path"), BAD_FILES)
def test_what_is_wrong_in_a_catalogue_file_is_told_by_its_path(document: object, path: tuple[str, ...]) -> None:
    with pytest.raises(Refusal) as found:
        import_catalogue(catalogue(), document)
    assert found.value.path == path
