"""Opt-ins held to what their purpose asks of them: what has to show them, and when they run out by themselves."""

from collections.abc import Mapping
from datetime import datetime

from domain.catalogue import Purpose
from domain.opt_in_rules import RequiredEvidence
from ledger.given_evidence import Evidence


def opt_in_valid_until(
    purpose: Purpose,
    effective_at: datetime,
    *,
    evidence: Evidence | None,
    legal_basis: str | None = None,
    jurisdiction: str | None = None,
    valid_until: datetime | None = None,
) -> datetime | None:
    """Until when an opt-in counts: as given, else by its legal basis, which is the purpose's where it says none.

    Raises Refusal INVALID for what the purpose requires and the opt-in lacks.
    """
    basis = legal_basis or purpose.legal_basis
    until = valid_until or purpose.opt_in.valid_until(basis, effective_at)
    given: Mapping[RequiredEvidence, object] = {
        RequiredEvidence.NOTICE_TEXT: evidence and (evidence.notice_text or "").strip(),
        RequiredEvidence.METHOD: evidence and (evidence.method or "").strip(),
        RequiredEvidence.LEGAL_BASIS: basis,
        RequiredEvidence.JURISDICTION: jurisdiction,
        RequiredEvidence.VALID_UNTIL: until,
    }
    purpose.opt_in.check(one for one, value in given.items() if value)
    return until
