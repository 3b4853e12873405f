"""What a form that came back asks to record, and what became of it: relative to what was shown, and to what is there now."""

from collections.abc import Mapping
from itertools import islice

from domain.catalogue import Catalogue, EnforcementModel, PurposeType
from domain.consent import ConsentValue
from domain.suppression import Level
from ledger.assembly import Tenant
from ledger.links import MessageLink
from ledger.preferences import Choice, Preferences, Shown, everything_commercial, preferences, save
from ledger.record import CONSENTS_MAX
from web.pages.boxes import OUTCOME_OF, Outcome
from web.pages.forms import EVERYTHING, Submitted, new_number


def wanted_of(
    form: Submitted, before: Preferences, catalogue: Catalogue, link: MessageLink
) -> tuple[dict[Level, ConsentValue], dict[Level, Outcome]]:
    """What to record, and what becomes of the choices for which nothing is to be recorded."""
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
    present = {choice.level: choice for choice in before.choices}
    # Its contact point was erased: the suppression blocks it already, and an event would begin a new contact point.
    covered = {
        level
        for level, value in wanted.items()
        if value is ConsentValue.OPTED_OUT and level in present and _is_blocked(present[level], before, link)
    }
    outcomes = {} if everything else dict.fromkeys(covered, Outcome.OFF)
    return {level: value for level, value in wanted.items() if level not in covered}, outcomes


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


def undone(form: Submitted, before: Preferences) -> tuple[dict[Level, ConsentValue], dict[Level, Outcome]]:
    """What to record so that it is as it was, and what becomes of choices that are so already or were changed since."""
    present = {choice.level: choice.value for choice in before.choices}
    wanted: dict[Level, ConsentValue] = {}
    outcomes: dict[Level, Outcome] = {}
    for level, (set_to, restored) in form.undo.items():
        value = present.get(level, set_to)
        if value is restored:
            outcomes[level] = OUTCOME_OF[restored]
        elif value is set_to or restored is ConsentValue.OPTED_OUT:
            wanted[level] = restored
        else:
            outcomes[level] = Outcome.LEFT
    return wanted, outcomes


def undo_to(before: Preferences, level: Level, link: MessageLink) -> ConsentValue:
    """The value that takes a choice back: the one before, unless messages would come by it that did not come before."""
    for choice in before.choices:
        if choice.level == level:
            return ConsentValue.OPTED_OUT if _is_blocked(choice, before, link) else choice.value
    return ConsentValue.NOT_SET


async def save_and_look(
    tenant: Tenant, link: MessageLink, wanted: Mapping[Level, ConsentValue], shown: Shown
) -> dict[Level, Outcome]:
    """Record, and look whether it is so: a form that was sent before is not recorded again, and things may have changed."""
    outcomes = await _record(tenant, link, wanted, shown)
    after = await _values(tenant, link)
    changed_since = {
        level: wanted[level]
        for level, outcome in outcomes.items()
        if outcome is not Outcome.GONE and after.get(level, wanted[level]) is not wanted[level]
    }
    # Whoever says no means no, however old the form is; a yes of an old form does not undo what came after it.
    opted_out = {level: value for level, value in changed_since.items() if value is ConsentValue.OPTED_OUT}
    outcomes |= dict.fromkeys(changed_since.keys() - opted_out.keys(), Outcome.LEFT)
    if opted_out:
        anew = Shown(form=new_number(), text=shown.text, locale=shown.locale, method=shown.method, gpc=shown.gpc)
        outcomes |= await _record(tenant, link, opted_out, anew)
    return outcomes


async def _record(
    tenant: Tenant, link: MessageLink, wanted: Mapping[Level, ConsentValue], shown: Shown
) -> dict[Level, Outcome]:
    outcomes: dict[Level, Outcome] = {}
    rest = iter(wanted.items())
    while part := dict(islice(rest, CONSENTS_MAX)):
        saved = await save(tenant, link, part, shown)
        outcomes |= {level: OUTCOME_OF[value] for level, value in saved.values.items()}
        outcomes |= dict.fromkeys(saved.failed, Outcome.GONE)
    return outcomes


async def _values(tenant: Tenant, link: MessageLink) -> dict[Level, ConsentValue]:
    return {choice.level: choice.value for choice in (await preferences(tenant, link)).choices}
