"""What stands on the preference page: its boxes, and what it says of a save; as a page, and as the text that is evidence."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from markupsafe import Markup

from domain.addresses import Channel
from domain.catalogue import Catalogue, ComplianceProfile, EnforcementModel, Purpose, PurposeType, Topic
from domain.consent import ConsentValue
from domain.suppression import Level
from ledger.given_evidence import NOTICE_CHARS_MAX
from web.pages.forms import FormState, box_name
from web.pages.languages import Language
from web.pages.rendering import brand_of, isolated, text


@dataclass(frozen=True, slots=True)
class Box:
    """One box: its field's name, the words beside and under it, and whether it is ticked."""

    name: str
    title: str
    about: tuple[str, ...]
    ticked: bool


@dataclass(frozen=True, slots=True)
class Group:
    """A purpose's box, and those of its topics."""

    purpose: Box
    topics: tuple[Box, ...]


class Outcome(Enum):
    """What became of one choice."""

    ON = auto()
    OFF = auto()
    UNSET = auto()
    GONE = auto()
    LEFT = auto()
    LATER = auto()


OUTCOME_OF = {
    ConsentValue.OPTED_IN: Outcome.ON,
    ConsentValue.OPTED_OUT: Outcome.OFF,
    ConsentValue.NOT_SET: Outcome.UNSET,
}
FAILURES = frozenset({Outcome.GONE, Outcome.LEFT, Outcome.LATER})


def groups(
    catalogue: Catalogue,
    profile: ComplianceProfile,
    channel: Channel,
    shown: Mapping[Level, bool],
    language: Language,
) -> list[Group]:
    """The boxes of a page on which these levels are shown, ticked or not."""
    return [
        Group(
            _box(purpose, None, channel, language, ticked=shown[key, None]),
            tuple(
                _box(purpose, topic, channel, language, ticked=shown[key, topic.key])
                for topic in catalogue.topics_of(key)
                if (key, topic.key) in shown
            ),
        )
        for key, purpose in ((key, catalogue.purposes[key]) for key in profile.purposes)
        if (key, None) in shown
    ]


def has_commercial(catalogue: Catalogue, shown: Mapping[Level, bool]) -> bool:
    """Whether there is anything for the button that ends everything commercial."""
    return any(catalogue.purposes[purpose].type is PurposeType.COMMERCIAL for purpose, _ in shown)


def has_tracking(catalogue: Catalogue, shown: Mapping[Level, bool]) -> bool:
    """Whether there is anything that the Global Privacy Control signal says no to."""
    return any(catalogue.purposes[purpose].type is PurposeType.TRACKING for purpose, _ in shown)


def text_of_page(
    catalogue: Catalogue,
    profile_key: str,
    channel: Channel,
    shown: Mapping[Level, bool],
    state: FormState,
    language: Language,
) -> str:
    """The page as it was shown, in plain text: evidence, so it is never refused for its length."""
    profile = catalogue.profiles[profile_key]
    boxes = groups(catalogue, profile, channel, shown, language)
    whole = ""
    for with_descriptions in (True, False):
        whole = text(
            "preferences.txt",
            language,
            title=brand_of(profile).title,
            groups=boxes,
            commercial=has_commercial(catalogue, shown),
            suppressed=state.suppressed,
            bounced=state.bounced,
            gpc=state.gpc,
            gpc_saves=has_tracking(catalogue, shown),
            with_descriptions=with_descriptions,
        )
        if len(whole) <= NOTICE_CHARS_MAX:
            break
    return whole[:NOTICE_CHARS_MAX]


def text_of_told(
    catalogue: Catalogue, profile_key: str, values: Mapping[Level, ConsentValue], language: Language
) -> str:
    """What the page said of a save, above the button that takes it back."""
    outcomes = {level: OUTCOME_OF[value] for level, value in values.items()}
    whole = text(
        "told.txt",
        language,
        title=brand_of(catalogue.profiles[profile_key]).title,
        heading=heading(outcomes, language),
        lines=[sentence % {"name": name} for sentence, name in _sentences(catalogue, outcomes, language)],
    )
    return whole[:NOTICE_CHARS_MAX]


def text_of_busy(catalogue: Catalogue, profile_key: str, language: Language) -> str:
    """What the page said that asks to wait, above its button that ends everything commercial."""
    whole = text("busy.txt", language, title=brand_of(catalogue.profiles[profile_key]).title)
    return whole[:NOTICE_CHARS_MAX]


def heading(outcomes: Mapping[Level, Outcome], language: Language) -> str:
    """What became of a submit, in a few words."""
    gettext = language.words.gettext
    failed = FAILURES & set(outcomes.values())
    if not outcomes:
        return gettext("Nothing was changed")
    if not failed:
        return gettext("Your choices are saved")
    if failed == set(outcomes.values()):
        return gettext("Your choices are not saved")
    return gettext("Some of your choices are saved, some are not")


def lines(catalogue: Catalogue, outcomes: Mapping[Level, Outcome], language: Language) -> list[Markup]:
    """What became of each choice, for the page."""
    return [
        Markup(sentence) % {"name": isolated(name)}  # noqa: S704 - our own words; the name is escaped
        for sentence, name in _sentences(catalogue, outcomes, language)
    ]


def _sentences(catalogue: Catalogue, outcomes: Mapping[Level, Outcome], language: Language) -> list[tuple[str, str]]:
    """What to say of each choice, and its name; in the order in which the catalogue has them."""
    gettext = language.words.gettext
    words = {
        Outcome.ON: gettext("%(name)s: yes"),
        Outcome.OFF: gettext("%(name)s: no"),
        Outcome.UNSET: gettext("%(name)s: as before you chose"),
        Outcome.GONE: gettext("%(name)s: not saved, because it is not offered any more"),
        Outcome.LEFT: gettext("%(name)s: left as it is, because it was changed since this form was first sent"),
        Outcome.LATER: gettext(
            "%(name)s: not saved yet, because this page was asked for very often; please save it again"
        ),
    }
    order = {level: number for number, level in enumerate(_levels(catalogue))}
    return [
        (words[outcomes[level]], _name(catalogue, level)) for level in sorted(outcomes, key=lambda each: order[each])
    ]


def _levels(catalogue: Catalogue) -> Iterator[Level]:
    for purpose in catalogue.purposes:
        yield purpose, None
        for topic in catalogue.topics_of(purpose):
            yield purpose, topic.key


def _name(catalogue: Catalogue, level: Level) -> str:
    purpose, topic = level
    name = catalogue.purposes[purpose].name
    return name if topic is None else f"{name} – {catalogue.topics[topic].name}"


def _box(purpose: Purpose, topic: Topic | None, channel: Channel, language: Language, *, ticked: bool) -> Box:
    item = purpose if topic is None else topic
    gettext = language.words.gettext
    about: list[str] = []
    if item.description:
        about.append(item.description)
    elif topic is None and purpose.type is PurposeType.COMMERCIAL:
        about.append(gettext("Offers, news and other advertising."))
    elif topic is None and purpose.type is PurposeType.TRACKING:
        about.append(gettext("We may note whether you open our messages and follow the links in them."))
    elif topic is None:
        about.append(gettext("Messages about something that you ordered or asked for."))
    if purpose.enforcement[channel] is EnforcementModel.DISABLED:
        about.append(gettext("These messages may reach you whatever you choose here."))
    level = purpose.key, None if topic is None else topic.key
    return Box(box_name(level), item.name, tuple(about), ticked)
