"""Opt-ins of a file that have an end, and that their purpose refuses for what it requires of one.

Such a row hides what was recorded before it, also after its end. Refused and nothing else, it would let that count again, and be
sent to here where it is not sent to in the place that the file is of. So it comes in as NOT_SET, effective when it was; or, where
somebody is opted out whom it must not turn, as OPTED_OUT, which they stay.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from domain.consent import ConsentValue
from domain.opt_in_rules import EvidenceLacking
from domain.refusals import Refusal
from ledger.existing_consent import ConsentKept
from ledger.import_outcomes import Done
from ledger.record import Capture


def ended(captures: Sequence[Capture], done: Sequence[Done]) -> dict[int, Capture]:
    """Of the captures those that are such opt-ins, by their numbers, as they come in where nobody is opted out."""
    return {
        number: _hiding(capture)
        for number, (capture, answer) in enumerate(zip(captures, done, strict=True))
        if isinstance(answer, EvidenceLacking) and capture.valid_until is not None
    }


def kept_out(asked: Mapping[int, Capture], answers: Mapping[int, Done]) -> dict[int, Capture]:
    """Of those asked the ones that met an opt-out, as they come in then."""
    return {
        number: replace(capture, value=ConsentValue.OPTED_OUT)
        for number, capture in asked.items()
        if not isinstance(answer := answers[number], Refusal)
        and answer.existing is not None
        and answer.existing.kept is ConsentKept.OPTED_OUT
    }


def told(capture: Capture, answer: Done, refused: Done) -> Done:
    """What became of such a row: of `answer` where that is recorded now or was before, else that it is `refused`."""
    if isinstance(answer, Refusal) or not isinstance(refused, Refusal) or answer.existing is None:
        return refused
    if not (answer.events or answer.existing.all_known):
        return refused
    message = f"came in as {capture.value}, or what it hides would count again: {refused.message}"
    return replace(answer, lacking=Refusal(refused.code, message, refused.path))


def _hiding(capture: Capture) -> Capture:
    # A key of its own, also beside that of the sender: the same row without what is lacking is another.
    row = [
        capture.idempotency_key,
        capture.channel,
        capture.address,
        capture.purpose,
        capture.topic,
        capture.effective_at,
    ]
    key = f"ended:{hashlib.sha256(repr(row).encode('utf-8', 'replace')).hexdigest()}"
    return replace(
        capture, value=ConsentValue.NOT_SET, valid_until=None, idempotency_key=None, row_keys=(key,), spare_erased=False
    )
