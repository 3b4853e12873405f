"""Rows that opt out as of their import, and were recorded before, and the person opted in since.

Whether such a row is the one of before once more, or a new one, nobody can tell; the latest word that came in is this opt-out.
So it is recorded anew, as a message is that comes again (`repeated_opt_outs`). A row with a time of its own is the same opt-out
whenever it comes, and stands among the others at that time.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from eventstore import read
from eventstore.personal.vault import Connected
from ledger.assembly import Tenant
from ledger.record import Capture
from ledger.repeated_opt_outs import are_out
from projections.inline import captured


async def overruled(
    connection: Connected, tenant: Tenant, asked: Mapping[int, Capture], positions: Mapping[int, int]
) -> dict[int, Capture]:
    """Of the captures, each with where it was recorded before, those that count no more: as each is to be recorded anew.

    An opt-in that comes in after this has looked is later than the row, and stays.
    """
    events = await read.at_positions(connection, tenant.id, list(set(positions.values())))
    # What a rehearsal alone has recorded is nowhere.
    levels = {
        number: (said.purpose, said.topic)
        for number, position in positions.items()
        if position in events and (said := captured(events[position].entry)) is not None
    }
    places = [(asked[number].channel, asked[number].address, level) for number, level in levels.items()]
    out = await are_out(connection, tenant, places) if places else []
    return {
        number: _after(asked[number], positions[number])
        for number, is_out in zip(levels, out, strict=True)
        if not is_out
    }


def _after(capture: Capture, position: int) -> Capture:
    """The same under keys of what comes after the event at this position: it is recorded once after it."""

    def after(key: str) -> str:
        return f"again:{hashlib.sha256(f'{key} {position}'.encode()).hexdigest()}"

    return replace(
        capture,
        idempotency_key=None if capture.idempotency_key is None else after(capture.idempotency_key),
        row_keys=tuple(after(key) for key in capture.row_keys),
        spare_erased=True,
    )
