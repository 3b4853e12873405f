"""What a change of the catalogue does to the settings that presets raise, as words: whose, what it was, what it is then."""

from collections.abc import Iterable, Iterator

from domain.catalogue import Catalogue, ComplianceProfile, Purpose
from domain.opt_in_rules import OptInRules, RequiredEvidence

_NONE = "none"


def changed_settings(before: Catalogue, after: Catalogue) -> list[str]:
    """Each setting that is another after than before. A purpose in several profiles names them: it changes in all of them."""
    return [
        *(words for key, held in before.profiles.items() for words in _profile(held, after.profiles[key])),
        *(
            words
            for key, held in before.purposes.items()
            for words in _purpose(held, after.purposes[key], _sharing(after, key))
        ),
    ]


def _sharing(catalogue: Catalogue, purpose: str) -> list[str]:
    return [profile.key for profile in catalogue.profiles.values() if purpose in profile.purposes]


def _profile(before: ComplianceProfile, after: ComplianceProfile) -> Iterator[str]:
    name = f"profile {before.key}"
    if after.presets != before.presets:
        yield f"{name}: presets {_listed(before.presets)} -> {_listed(after.presets)}"
    if after.double_opt_in is not before.double_opt_in:
        yield f"{name}: doubleOptIn {before.double_opt_in} -> {after.double_opt_in}"


def _purpose(before: Purpose, after: Purpose, profiles: list[str]) -> Iterator[str]:
    name = f"purpose {before.key}"
    if len(profiles) > 1:
        name += f" (of the profiles {', '.join(profiles)})"
    for channel, model in before.enforcement.items():
        if after.enforcement[channel] is not model:
            yield f"{name}: enforcement of {channel} {model} -> {after.enforcement[channel]}"
    if after.opt_in.required != before.opt_in.required:
        yield f"{name}: requiredEvidence {_required(before.opt_in)} -> {_required(after.opt_in)}"
    if after.opt_in.expiry_months != before.opt_in.expiry_months:
        yield f"{name}: optInExpiry {_expiries(before.opt_in)} -> {_expiries(after.opt_in)}"


def _required(rules: OptInRules) -> str:
    return _listed(one for one in RequiredEvidence if one in rules.required)


def _expiries(rules: OptInRules) -> str:
    return _listed(f"{basis} {months} months" for basis, months in sorted(rules.expiry_months.items()))


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items) or _NONE
