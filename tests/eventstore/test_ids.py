"""What is made for every event: ids that sort as they were made, random bytes given out once, keyed hashes."""

import hashlib
import hmac
import os
from datetime import UTC, datetime
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.addresses import Channel
from eventstore.personal.blind_index import BlindIndex
from eventstore.personal.keyed_hash import KeyedHash
from eventstore.randomness import RandomBytes
from eventstore.uuid7 import Uuid7s

AT = datetime(2026, 6, 1, 12, 0, 0, 123_456, tzinfo=UTC)


def test_ids_of_a_group_are_of_version_7_and_sort_as_they_were_made() -> None:
    make = Uuid7s(AT, RandomBytes())
    ids = [make() for _ in range(4_096)]
    assert ids == sorted(ids)
    assert {(one.version, one.variant) for one in ids} == {(7, RFC_4122)}
    assert {one.int >> 80 for one in ids} == {int(AT.timestamp() * 1_000)}
    assert all(UUID(str(one)) == one and hash(UUID(str(one))) == hash(one) for one in ids)


def test_ids_stay_apart_beyond_the_counter_and_between_groups() -> None:
    first, second = Uuid7s(AT, RandomBytes()), Uuid7s(AT, RandomBytes())
    ids = [make() for _ in range(5_000) for make in (first, second)]
    assert len(set(ids)) == 10_000


def test_random_bytes_are_the_systems_each_given_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[bytes] = []
    system = os.urandom

    def noting(count: int) -> bytes:
        drawn.append(system(count))
        return drawn[-1]

    monkeypatch.setattr(os, "urandom", noting)
    random = RandomBytes()
    given_out = [random(count) for count in (16, 12, 32, 1, 5_000, 12) * 40]
    assert [len(one) for one in given_out] == [16, 12, 32, 1, 5_000, 12] * 40
    # Every piece is of what was drawn, and none of them begins where another does.
    everything = b"".join(drawn)
    starts = [everything.index(one) for one in given_out if len(one) > 8]
    assert len(set(starts)) == len(starts)


@given(key=st.binary(min_size=1, max_size=64), message=st.binary(max_size=300))
def test_a_keyed_hash_is_hmac_sha_256(key: bytes, message: bytes) -> None:
    keyed = KeyedHash(key)
    assert keyed(message) == keyed(message) == hmac.digest(key, message, hashlib.sha256)


@given(st.binary(min_size=1, max_size=64), st.binary(max_size=80), st.lists(st.binary(max_size=300), max_size=4))
def test_many_messages_that_begin_alike_are_hashed_as_one_by_one(
    key: bytes, beginning: bytes, rest: list[bytes]
) -> None:
    keyed = KeyedHash(key)
    assert keyed.each(beginning, rest) == [keyed(beginning + one) for one in rest]


@given(st.sampled_from(Channel), st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=4))
def test_many_blind_indexes_are_those_of_each_address(channel: Channel, addresses: list[str]) -> None:
    index = BlindIndex(b"key")
    assert index.each(channel, addresses) == [index(channel, address) for address in addresses]


def test_a_keyed_hash_has_a_key_of_one_block() -> None:
    with pytest.raises(ValueError, match="longer"):
        KeyedHash(bytes(65))
