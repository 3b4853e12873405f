"""Node ids: opaque, bound to type and tenant, one spelling each."""

from base64 import urlsafe_b64encode
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.node_ids import (
    NodeKind,
    contact_point_node_id,
    event_node_id,
    key_node_id,
    read_node_id,
    ref,
)

A_UUID = UUID("01912345-6789-7abc-8def-0123456789ab")


def test_an_id_gives_back_what_it_was_made_of() -> None:
    key = read_node_id(7, key_node_id(7, NodeKind.TOPIC, "news"))
    assert key is not None
    assert (key.kind, key.key()) == (NodeKind.TOPIC, "news")
    point = read_node_id(7, contact_point_node_id(7, A_UUID))
    assert point is not None
    assert point.contact_point() == A_UUID
    event = read_node_id(7, event_node_id(7, 2**40, A_UUID))
    assert event is not None
    assert event.event() == (2**40, A_UUID)


def test_an_id_of_another_tenant_says_nothing() -> None:
    assert read_node_id(8, key_node_id(7, NodeKind.TOPIC, "news")) is None


def test_a_ref_is_a_node_id_of_its_kind_or_stays_as_it_is() -> None:
    topic = key_node_id(7, NodeKind.TOPIC, "news")
    assert ref(7, NodeKind.TOPIC, topic) == "news"
    assert ref(7, NodeKind.PURPOSE, topic) == topic
    assert ref(8, NodeKind.TOPIC, topic) == topic
    assert ref(7, NodeKind.TOPIC, "news") == "news"


@pytest.mark.parametrize("kind", NodeKind)
@pytest.mark.parametrize("tenant", [1, 7, 255, 70_000, 2**31 - 1])
def test_no_id_can_be_taken_for_a_key_or_a_guid(kind: NodeKind, tenant: int) -> None:
    assert key_node_id(tenant, kind, "a")[0] in "QRSTUVW"


@given(st.text(max_size=60))
def test_garbage_says_nothing(text: str) -> None:
    assert read_node_id(7, text) is None or ref(7, NodeKind.TOPIC, text)


@given(st.binary(max_size=40))
def test_any_bytes_behind_an_id_can_be_asked_for_what_they_name(name: bytes) -> None:
    text = urlsafe_b64encode(b"T" + (7).to_bytes(4, "big") + name).rstrip(b"=").decode()
    read = read_node_id(7, text)
    if read is not None:
        read.key(), read.contact_point(), read.event()


def test_an_id_has_one_spelling() -> None:
    spelled = event_node_id(7, 1, A_UUID)
    for other in (spelled + "=", spelled + "\n", " " + spelled, spelled[:-1], spelled + "\ud800"):
        assert read_node_id(7, other) is None
