"""Reading many entries for a fold: what they say, and nothing that only looks like an entry of a kind known here."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from domain.upcasting import UnknownEventVersion
from projections.happened import Read, read_all
from projections.inline import INLINE
from projections.trends import CONSENT_TREND
from tlog.entry import Entry, encode

STREAM = UUID("01a20f42-2d65-7835-81c9-78ad364e7b78")
DATA = {
    "channel": "EMAIL", "purpose": "commercial", "source": "OPERATOR", "trust": "SERVER_KEY", "unit": "root",
    "value": "OPTED_IN",
}  # fmt: skip


def entry(position: int = 3, **fields: object) -> Entry:
    given = {
        "event_id": STREAM, "tenant": "shop", "type": "ConsentCaptured", "version": 2, "stream": STREAM, "number": 0,
        "previous": None, "position": position, "recorded_at": datetime(2026, 6, 1, 12, 0, 0, 5, UTC),
        "effective_at": datetime(2026, 5, 31, 23, tzinfo=UTC), "application": None, "actor": "RECIPIENT", "data": DATA,
        **fields,
    }  # fmt: skip
    return Entry(**given)  # type: ignore[arg-type]


def test_it_says_what_the_entry_says() -> None:
    one, later = entry(), entry(4, recorded_at=datetime(2026, 6, 2, tzinfo=UTC), effective_at=None)
    assert read_all([encode(one), encode(later)]) == [
        Read(said.type, 2, str(STREAM), said.position, said.recorded_at, "RECIPIENT", DATA, said.effective_at)
        for said in (one, later)
    ]
    assert read_all([]) == []


def test_every_fold_makes_the_same_of_both() -> None:
    entries = [
        entry(0),
        entry(1, type="ContactPointBounced", version=1, effective_at=None, data={"channel": "EMAIL", "bounce": "HARD"}),
        entry(2, effective_at=datetime(2026, 6, 3, tzinfo=UTC)),
        entry(3, version=1, data={name: value for name, value in DATA.items() if name not in ("unit", "trust")}),
        entry(
            4, type="DoubleOptInRequested", version=1, effective_at=None,
            data={"channel": "EMAIL", "profile": "default", "purpose": "commercial", "expiresAt": "2026-07-01T00:00:00.000000Z"},
        ),
    ]  # fmt: skip
    read = read_all([encode(one) for one in entries])
    for projection in (*INLINE, CONSENT_TREND):
        folded = projection.fold(entries)
        assert projection.fold(read) == folded
        assert len(folded) == projection.parameters
        assert any(column != "{}" for column in folded)


@pytest.mark.parametrize("fields", [{"type": "ConsentForgotten"}, {"version": 3}])
def test_what_is_not_known_here_is_not_passed_over(fields: dict[str, object]) -> None:
    with pytest.raises(UnknownEventVersion):
        read_all([encode(entry()), encode(entry(4, **fields))])


@pytest.mark.parametrize("raw", [b"{", b"", b"{},{}", b"[]", b"{}"])
def test_what_is_no_entry_is_an_error(raw: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_all([encode(entry()), raw])
