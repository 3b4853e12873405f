"""What a form that came back asks to record, and what became of it: relative to what was shown, and to what is there now."""

from collections.abc import Mapping

from domain.catalogue import Catalogue, EnforcementModel, PurposeType
from domain.consent import ConsentValue
from domain.suppression import Level
from ledger.choosing import NotSaved, Saved
from ledger.links import MessageLink
from ledger.preferences import Choice, Preferences, everything_commercial
from web.pages.boxes import OUTCOME_OF, Outcome
from web.pages.forms import EVERYTHING, Submitted

_NOT_SAVED = {NotSaved.GONE: Outcome.GONE, NotSaved.LEFT: Outcome.LEFT}


def wanted_of(form: Submitted, before: Preferences, catalogue: Catalogue) -> dict[Level, ConsentValue]:
    """What a form asks to record, relative to what was shown."""
    everything = form.action == EVERYTHING
    wanted: dict[Level, ConsentValue] = {}
    for level, ticked in form.shown.items():
        if ticked and level not in form.ticked:
            wanted[level] = ConsentValue.OPTED_OUT
        elif not ticked and level in form.ticked and not everything:
            wanted[level] = ConsentValue.OPTED_IN
    if form.address_works and not everything:
        wanted |= _as_shown(form, before)
    if everything:
        wanted |= everything_commercial(before)
        wanted |= {
            level: ConsentValue.OPTED_OUT
            for level in form.shown
            if level[1] is None and catalogue.purposes[level[0]].type is PurposeType.COMMERCIAL
        }
    if form.state.gpc and not everything:
        wanted |= _said_by_signal(form, before, wanted)
    return wanted


def _said_by_signal(
    form: Submitted, before: Preferences, wanted: Mapping[Level, ConsentValue]
) -> dict[Level, ConsentValue]:
    """What the page said that the Global Privacy Control signal saves: no tracking that the person did not ask for."""
    return {
        choice.level: ConsentValue.OPTED_OUT
        for choice in before.choices
        if choice.purpose.type is PurposeType.TRACKING
        and choice.topic is None
        and choice.level in form.shown
        and choice.level not in wanted
        and choice.value is ConsentValue.NOT_SET
    }


def _as_shown(form: Submitted, before: Preferences) -> dict[Level, ConsentValue]:
    """What is ticked, as the person's own choice now: tracking only where they had chosen it, for the others ask to write."""
    return {
        choice.level: ConsentValue.OPTED_IN
        for choice in before.choices
        if choice.level in form.ticked
        and (choice.purpose.type is not PurposeType.TRACKING or choice.value is ConsentValue.OPTED_IN)
    }


def _is_blocked(choice: Choice, seen: Preferences, link: MessageLink) -> bool:
    """Whether a suppression blocks a choice for which nothing was chosen since."""
    if choice.ticked or choice.value is not ConsentValue.NOT_SET:
        return False
    if choice.purpose.enforcement[link.channel] is not EnforcementModel.RESTRICTIVE:
        return True
    return seen.suppressed and choice.topic is None and choice.purpose.type is PurposeType.COMMERCIAL


def undo_of(saved: Saved, before: Preferences, link: MessageLink) -> dict[Level, tuple[ConsentValue, ConsentValue]]:
    """What each choice was set to, and what takes it back: the value before, unless messages would come by that which did
    not come before. What would be the same is left out."""
    blocked = {choice.level for choice in before.choices if _is_blocked(choice, before, link)}
    restored = {level: ConsentValue.OPTED_OUT if level in blocked else value for level, value in saved.before.items()}
    return {level: (saved.values[level], to) for level, to in restored.items() if to is not saved.values[level]}


def outcomes_of(saved: Saved) -> dict[Level, Outcome]:
    """What to tell of each choice."""
    outcomes = {level: OUTCOME_OF[value] for level, value in saved.values.items()}
    return outcomes | {level: _NOT_SAVED[why] for level, why in saved.not_saved.items()}
