"""What a purpose asks of an opt-in: what has to show it, and when one that rests on a legal basis runs out by itself.

Settings of the purpose, as its enforcement is, so that every profile that shares it has the same. They are about OPTED_IN
alone: an opt-out or a reset is never refused for lack of anything, and never runs out.
"""

import unicodedata
from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.refusals import Refusal, RefusalCode
from domain.text import clean_text

LEGAL_BASIS_CHARS_MAX = 200
EXPIRIES_MAX = 50
MONTHS_MAX = 1_200
# What says, by `basis_key`, that the person agreed in so many words: such consent has no end of its own.
EXPRESS: Final = frozenset(
    (
        "express",
        "express-consent",
        "express-written-consent",
        "expressed",
        "expressed-consent",
        "explicit",
        "explicit-consent",
        "prior-express-consent",
        "prior-express-written-consent",
    )
)


class RequiredEvidence(StrEnum):
    """What an opt-in has to bring."""

    NOTICE_TEXT = "NOTICE_TEXT"
    METHOD = "METHOD"
    LEGAL_BASIS = "LEGAL_BASIS"
    JURISDICTION = "JURISDICTION"
    VALID_UNTIL = "VALID_UNTIL"


# Where each stands in a capture's input.
PATHS: Mapping[RequiredEvidence, tuple[str, ...]] = {
    RequiredEvidence.NOTICE_TEXT: ("evidence", "noticeText"),
    RequiredEvidence.METHOD: ("evidence", "method"),
    RequiredEvidence.LEGAL_BASIS: ("legalBasis",),
    RequiredEvidence.JURISDICTION: ("jurisdiction",),
    RequiredEvidence.VALID_UNTIL: ("validUntil",),
}


def _none() -> Mapping[str, int]:
    return {}


class EvidenceLacking(Refusal):
    """The refusal of an opt-in for what its purpose requires and it does not bring."""


@dataclass(frozen=True, slots=True)
class OptInRules:
    """What a purpose asks of an opt-in. `expiry_months` is by legal basis, as `basis_key` has it."""

    expiry_months: Mapping[str, int] = field(default_factory=_none)
    required: frozenset[RequiredEvidence] = frozenset()

    def implies(self, legal_basis: str | None) -> bool:
        """Whether an opt-in on this basis is implied here: not in so many words, and so with an end."""
        if not self.expiry_months:
            return False
        basis = basis_key(legal_basis or "")
        return basis in self.expiry_months or basis not in EXPRESS

    def names_implied(self, legal_basis: str | None) -> bool:
        """Whether this basis itself is one that implies consent here: then whoever states it does not say it is express."""
        if not self.expiry_months:
            return False
        basis = basis_key(legal_basis or "")
        return (basis in self.expiry_months and basis not in EXPRESS) or says_implied(legal_basis)

    def valid_until(self, legal_basis: str | None, effective_at: datetime) -> datetime | None:
        """When an opt-in on this basis runs out by itself; None: never.

        Where bases have expiries, one that is neither express nor any of them has the shortest: a spelling that nobody
        foresaw, or no basis at all, must not make implied consent endless.
        """
        if not self.implies(legal_basis):
            return None
        shortest = min(self.expiry_months.values())
        return months_after(effective_at, self.expiry_months.get(basis_key(legal_basis or ""), shortest))

    def check(self, given: Iterable[RequiredEvidence]) -> None:
        """Raises EvidenceLacking INVALID, with the path of the first thing that an opt-in lacks."""
        lacking = self.required.difference(given)
        if lacking:
            missing = [one for one in RequiredEvidence if one in lacking]
            path = PATHS[missing[0]]
            raise EvidenceLacking(
                RefusalCode.INVALID, f"an opt-in to this purpose needs {path[-1]}: what shows it has to be kept", path
            )


NO_RULES: Final = OptInRules()


def basis_key(legal_basis: str) -> str:
    """A legal basis as it is compared: `(Implied) transaction.` and `implied_transaction` are one.

    Words of letters and digits; what is between them counts for nothing, and characters that nobody sees for less.
    """
    seen = "".join(one for one in legal_basis if unicodedata.category(one) != "Cf")
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold())
    words = "".join(one if unicodedata.category(one)[0] in "LMN" else " " for one in folded)
    return "-".join(words.split())


def says_implied(legal_basis: str | None) -> bool:
    """Whether a basis calls itself implied, whatever expiries there are."""
    return not {"implied", "implicit"}.isdisjoint(basis_key(legal_basis or "").split("-"))


def months_after(instant: datetime, months: int) -> datetime:
    """The same day and time so many months later; the last day of a month that is too short for it."""
    year, month = divmod(instant.year * 12 + instant.month - 1 + months, 12)
    return instant.replace(year=year, month=month + 1, day=min(instant.day, monthrange(year, month + 1)[1]))


def checked_expiries(pairs: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Expiries as given, by the key of their basis. Raises Refusal INVALID, its path under `optInExpiry`."""
    if len(pairs) > EXPIRIES_MAX:
        raise Refusal(RefusalCode.INVALID, f"at most {EXPIRIES_MAX} legal bases", ("optInExpiry",))
    expiries: dict[str, int] = {}
    for number, (basis, months) in enumerate(pairs):
        path = ("optInExpiry", str(number))
        try:
            text = clean_text(basis, field="legalBasis", chars_max=LEGAL_BASIS_CHARS_MAX, required=True) or ""
        except Refusal as refusal:
            raise refusal.under(*path) from refusal
        key = basis_key(text)
        if not key:
            raise Refusal(RefusalCode.INVALID, "legalBasis has letters or digits", (*path, "legalBasis"))
        if key in expiries:
            raise Refusal(RefusalCode.INVALID, f"optInExpiry names {key} twice", (*path, "legalBasis"))
        if not 1 <= months <= MONTHS_MAX:
            raise Refusal(RefusalCode.INVALID, f"months is 1 to {MONTHS_MAX}", (*path, "months"))
        expiries[key] = months
    return expiries
