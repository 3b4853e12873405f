"""Opt-ins held to what their purpose asks of them: what has to show them, and when they run out by themselves."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from domain.catalogue import Purpose
from domain.consent import ConsentValue, check_valid_until
from domain.opt_in_rules import LEGAL_BASIS_CHARS_MAX, RequiredEvidence
from domain.refusals import Refusal, RefusalCode
from domain.text import clean_text
from domain.time import format_instant
from ledger.given_evidence import Evidence

JURISDICTION_CHARS_MAX = 100
_DIGITS_OF_A_NUMBER = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class OptInTerms:
    """What an opt-in rests on, where, and until when; kept with a request until it is confirmed."""

    legal_basis: str | None = None
    jurisdiction: str | None = None
    valid_until: datetime | None = None

    def checked(self) -> "OptInTerms":
        """The same with texts that can stay in the log for ever. Raises Refusal INVALID."""
        if self.legal_basis is None and self.jurisdiction is None:
            return self
        return OptInTerms(
            legal_basis=for_the_log(self.legal_basis, "legalBasis", LEGAL_BASIS_CHARS_MAX),
            jurisdiction=for_the_log(self.jurisdiction, "jurisdiction", JURISDICTION_CHARS_MAX),
            valid_until=self.valid_until,
        )

    def mended(self) -> "OptInTerms":
        """The same for an opt-out, which is not refused for them: without a text that cannot stay in the log."""
        if self.legal_basis is None and self.jurisdiction is None:
            return self

        def kept(value: str | None, chars_max: int) -> str | None:
            try:
                return for_the_log(value, "", chars_max)
            except Refusal:
                return None

        return replace(
            self,
            legal_basis=kept(self.legal_basis, LEGAL_BASIS_CHARS_MAX),
            jurisdiction=kept(self.jurisdiction, JURISDICTION_CHARS_MAX),
        )

    def to_data(self) -> dict[str, str]:
        """As an event has them: what was given."""
        until = None if self.valid_until is None else format_instant(self.valid_until)
        given = {"legalBasis": self.legal_basis, "jurisdiction": self.jurisdiction, "validUntil": until}
        return {name: value for name, value in given.items() if value is not None}

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> "OptInTerms":
        """Of an event's data."""
        until = data.get("validUntil")
        return OptInTerms(
            legal_basis=data.get("legalBasis"),
            jurisdiction=data.get("jurisdiction"),
            valid_until=None if until is None else datetime.fromisoformat(until),
        )

    def ends(self, purpose: Purpose, effective_at: datetime) -> datetime | None:
        """Until when such an opt-in counts: as given, or until its legal basis ends if that is earlier.

        The basis is the purpose's where it says none.
        """
        of_basis = purpose.opt_in.valid_until(self.legal_basis or purpose.legal_basis, effective_at)
        return min((one for one in (self.valid_until, of_basis) if one is not None), default=None)


NO_TERMS = OptInTerms()
_NOTHING_SHOWN = frozenset[RequiredEvidence]()


def for_the_log(value: str | None, name: str, chars_max: int) -> str | None:
    """Text that goes into the log for ever. Raises Refusal INVALID where it looks as if it named a person."""
    text = clean_text(value, field=name, chars_max=chars_max)
    if text is not None and ("@" in text or sum(character.isdigit() for character in text) >= _DIGITS_OF_A_NUMBER):
        raise Refusal(
            RefusalCode.INVALID, f"{name} stays in the log for ever: it must not hold an address or a number", (name,)
        )
    return text


def opt_in_valid_until(
    purpose: Purpose, effective_at: datetime, terms: OptInTerms, *, shown: frozenset[RequiredEvidence]
) -> datetime | None:
    """Until when an opt-in counts; see `OptInTerms.ends`. `shown` is what its evidence has (`shown_by`).

    Raises EvidenceLacking INVALID for what the purpose requires and the opt-in lacks, and Refusal INVALID for an end that is
    before its beginning.
    """
    check_valid_until(ConsentValue.OPTED_IN, effective_at, terms.valid_until)
    until = terms.ends(purpose, effective_at)
    given: Mapping[RequiredEvidence, object] = {
        RequiredEvidence.LEGAL_BASIS: terms.legal_basis or purpose.legal_basis,
        RequiredEvidence.JURISDICTION: terms.jurisdiction,
        RequiredEvidence.VALID_UNTIL: until,
    }
    purpose.opt_in.check({*shown, *(one for one, value in given.items() if value)})
    return until


def shown_by(evidence: Evidence | None) -> frozenset[RequiredEvidence]:
    """What a purpose may require that evidence has."""
    if evidence is None:
        return _NOTHING_SHOWN
    texts = {RequiredEvidence.NOTICE_TEXT: evidence.notice_text, RequiredEvidence.METHOD: evidence.method}
    return frozenset(one for one, text in texts.items() if text and text.strip())
