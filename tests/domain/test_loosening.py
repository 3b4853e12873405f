"""What counts as laxer: every way in which a message goes, or an opt-in is taken, that did not before."""

from typing import Any

import pytest

from domain import catalogue_commands as commands
from domain.addresses import Channel
from domain.catalogue import Catalogue, DoubleOptInMode, EnforcementModel
from domain.loosening import loosened
from domain.opt_in_rules import RequiredEvidence
from tests.semantics.given import after, catalogue

EVIDENCE = RequiredEvidence.METHOD, RequiredEvidence.NOTICE_TEXT


def purpose(made: Catalogue, **fields: Any) -> Catalogue:
    return after(made, commands.update_purpose(made, ref="commercial", **fields))


def expiring(*pairs: tuple[str, int], legal_basis: str = "express") -> Catalogue:
    return purpose(catalogue(), opt_in_expiry=list(pairs), legal_basis=legal_basis)


def inactive() -> Catalogue:
    made = catalogue()
    made = after(made, commands.update_topic(made, ref="news", active=False))
    made = purpose(made, active=False)
    return after(made, commands.update_profile(made, ref="default", active=False))


def asking(mode: DoubleOptInMode) -> Catalogue:
    return after(catalogue(), commands.update_profile(catalogue(), ref="default", double_opt_in=mode))


def enforced(model: EnforcementModel) -> Catalogue:
    return purpose(catalogue(), enforcement=[(Channel.EMAIL, model)])


@pytest.mark.parametrize(
    ("strict", "lax", "said"),
    [
        (
            enforced(EnforcementModel.RESTRICTIVE),
            enforced(EnforcementModel.DISABLED),
            ["purpose commercial: enforcement of EMAIL RESTRICTIVE -> DISABLED"],
        ),
        (
            asking(DoubleOptInMode.EVERY_SUBMISSION),
            asking(DoubleOptInMode.NEW_CONTACT_POINTS),
            ["profile default: doubleOptIn EVERY_SUBMISSION -> NEW_CONTACT_POINTS"],
        ),
        (
            purpose(catalogue(), required_evidence=list(EVIDENCE)),
            purpose(catalogue(), required_evidence=[RequiredEvidence.METHOD]),
            ["purpose commercial: requiredEvidence without NOTICE_TEXT"],
        ),
        (
            expiring(("implied", 6)),
            expiring(("implied", 7)),
            [
                "purpose commercial: optInExpiry for implied 6 months -> 7 months",
                "purpose commercial: optInExpiry for any other basis 6 months -> 7 months",
            ],
        ),
        (
            expiring(("implied", 6)),
            expiring(),
            [
                "purpose commercial: optInExpiry for implied 6 months -> never",
                "purpose commercial: optInExpiry for any other basis 6 months -> never",
            ],
        ),
        (
            expiring(("implied", 6), ("express", 12)),
            expiring(("implied", 6)),
            ["purpose commercial: optInExpiry for express 12 months -> never"],
        ),
        (
            expiring(("implied", 6), legal_basis="implied"),
            expiring(("implied", 6), legal_basis="express"),
            ["purpose commercial: optInExpiry for no basis of their own 6 months -> never"],
        ),
        (
            inactive(),
            catalogue(),
            ["profile default: active again", "purpose commercial: active again", "topic news: active again"],
        ),
    ],
)
def test_each_setting_that_becomes_laxer_is_named_and_none_that_becomes_stricter(
    strict: Catalogue, lax: Catalogue, said: list[str]
) -> None:
    assert loosened(strict, lax) == said
    assert loosened(lax, strict) == []
    assert loosened(lax, lax) == []
