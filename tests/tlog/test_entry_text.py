"""The members of an entry by their place in its bytes: what reading it as JSON says, whatever its data holds."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tlog.test_entry import ENTRIES, KEYS
from tlog.entry import Entry, MalformedEntry, encode, instant_text, read
from tlog.entry_text import read_text

# Data that looks like what stands around it.
LOOKALIKE = st.sampled_from(
    [',"format":1,"id":"', '","effectiveAt":"2026-01-01T00:00:00.000000Z"', '},"format":1,"id":"x"', '"data":{}']
)
INNER = st.fixed_dictionaries({"format": st.just(1), "id": LOOKALIKE, "effectiveAt": LOOKALIKE})
DATA = st.dictionaries(KEYS | LOOKALIKE, LOOKALIKE | INNER | st.lists(INNER, max_size=2), max_size=3)


@given(ENTRIES, st.none() | DATA)
def test_the_members_are_those_that_reading_it_as_json_gives(entry: Entry, data: dict[str, object] | None) -> None:
    raw = encode(entry if data is None else entry._replace(data=data))
    there, text = read(raw), read_text(raw)
    assert (text.actor, text.application, text.type, text.version) == (
        there.actor, there.application, there.type, there.version,
    )  # fmt: skip
    assert (text.position, UUID(text.event_id), UUID(text.stream)) == (there.position, there.event_id, there.stream)
    assert text.recorded_at == instant_text(there.recorded_at)
    assert text.effective_at == (None if there.effective_at is None else instant_text(there.effective_at))
    assert json.loads(text.data) == there.data
    assert json.loads(text.personal or "{}").keys() == there.personal.keys()


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"actor":"USER","data":{}}', b'x,"format":1,"id":"y"}'])
def test_what_has_not_the_form_of_an_entry_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedEntry):
        read_text(raw)
