"""What a change of the catalogue makes laxer: whatever lets a message go, or takes an opt-in, that was not let or taken before.

Purposes and topics that are new have nothing to be laxer than.
"""

from collections.abc import Iterator
from math import inf

from domain.catalogue import Catalogue, ComplianceProfile, Purpose
from domain.opt_in_rules import EXPRESS, OptInRules, RequiredEvidence, basis_key
from domain.presets import ASKING, STRICTNESS


def loosened(before: Catalogue, after: Catalogue) -> list[str]:
    """Each setting that is laxer after than before, as words: whose it is, what it was, what it becomes."""
    return [
        *(words for key, held in before.profiles.items() for words in _profile(held, after.profiles[key])),
        *(words for key, held in before.purposes.items() for words in _purpose(held, after.purposes[key])),
        *(
            f"topic {key}: active again"
            for key, held in before.topics.items()
            if after.topics[key].active and not held.active
        ),
    ]


def _profile(before: ComplianceProfile, after: ComplianceProfile) -> Iterator[str]:
    if ASKING.index(after.double_opt_in) < ASKING.index(before.double_opt_in):
        yield f"profile {before.key}: doubleOptIn {before.double_opt_in} -> {after.double_opt_in}"
    if after.active and not before.active:
        yield f"profile {before.key}: active again"


def _purpose(before: Purpose, after: Purpose) -> Iterator[str]:
    name = f"purpose {before.key}"
    for channel, model in before.enforcement.items():
        if STRICTNESS.index(after.enforcement[channel]) < STRICTNESS.index(model):
            yield f"{name}: enforcement of {channel} {model} -> {after.enforcement[channel]}"
    for one in RequiredEvidence:
        if one in before.opt_in.required - after.opt_in.required:
            yield f"{name}: requiredEvidence without {one}"
    bases = {*before.opt_in.expiry_months, *after.opt_in.expiry_months}
    for basis in sorted(bases):
        yield from _longer(name, basis, _months(before.opt_in, basis), _months(after.opt_in, basis))
    yield from _longer(name, "any other basis", _months(before.opt_in, ""), _months(after.opt_in, ""))
    own_before, own_after = (_months(one.opt_in, basis_key(one.legal_basis or "")) for one in (before, after))
    if before.legal_basis != after.legal_basis:
        yield from _longer(name, "no basis of their own", own_before, own_after)
    if after.active and not before.active:
        yield f"{name}: active again"


def _months(rules: OptInRules, basis: str) -> float:
    """After how many months an opt-in on this basis runs out."""
    if not rules.expiry_months or (basis in EXPRESS and basis not in rules.expiry_months):
        return inf
    return rules.expiry_months.get(basis, min(rules.expiry_months.values()))


def _longer(name: str, basis: str, before: float, after: float) -> Iterator[str]:
    if after > before:
        end = "never" if after == inf else f"{after:g} months"
        yield f"{name}: optInExpiry for {basis} {before:g} months -> {end}"
