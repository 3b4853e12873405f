"""Personal data: sealed to its place, opened with its key alone; keys outside the database, readable by their owner alone."""

import hmac
import os
import threading
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from domain.addresses import Channel
from domain.consent import ActorKind, ConsentValue
from eventstore.database import DatabaseAddress
from eventstore.personal.blind_index import BLIND_INDEX_BYTES, BlindIndex
from eventstore.personal.keyring import Keyring, KeyUnusable, load_master_key
from eventstore.personal.vault import VaultBroken, open_sealed, place, seal
from ledger import history
from ledger.assembly import Caller, Tenant, ledger_on
from ledger.given_evidence import Evidence
from ledger.record import Actor, Capture, record_consent

POINT = UUID(int=7)


def test_a_sealed_item_opens_at_its_place_alone() -> None:
    key = os.urandom(32)
    here = place(1, POINT, 5, "address")
    sealed, commitment = seal(AESGCM(key), here, b"ada@example.org")
    salt, content = open_sealed(key, here, sealed)
    assert content == b"ada@example.org"
    assert __import__("hashlib").sha256(salt + content).digest() == commitment
    for elsewhere in (place(2, POINT, 5, "address"), place(1, UUID(int=8), 5, "address"), place(1, POINT, 6, "address"),
                      place(1, POINT, 5, "evidence")):  # fmt: skip
        with pytest.raises(VaultBroken):
            open_sealed(key, elsewhere, sealed)
    with pytest.raises(VaultBroken):
        open_sealed(os.urandom(32), here, sealed)
    assert seal(AESGCM(key), here, b"ada@example.org")[1] != commitment, (
        "salted: equal contents are not seen to be equal"
    )


def test_blind_indexes_are_keyed_and_tell_channels_apart() -> None:
    index = BlindIndex(b"k" * 32)
    assert index("EMAIL", "a@b.c") == index("EMAIL", "a@b.c")
    assert index("EMAIL", "a@b.c") != index("CUSTOM", "a@b.c")
    assert index("EMAIL", "a@b.c") != BlindIndex(b"l" * 32)("EMAIL", "a@b.c")


@given(st.binary(max_size=64), st.lists(st.tuples(st.sampled_from(Channel), st.text(max_size=80)), max_size=4))
def test_a_blind_index_is_the_hmac_that_it_says(key: bytes, asked: list[tuple[Channel, str]]) -> None:
    asked = [(channel, address.encode("utf-8", "replace").decode()) for channel, address in asked]
    index = BlindIndex(key)
    for channel, address in [*asked, *asked]:
        whole = hmac.digest(key, f"{channel}\0{address}".encode(), "sha256")
        assert index(channel, address) == whole[:BLIND_INDEX_BYTES]


def test_keys_are_wrapped_for_their_owner_alone() -> None:
    keyring = Keyring(b"m" * 32)
    key, wrapped = keyring.new_contact_point_key(1, POINT)
    assert keyring.contact_point_key(1, POINT, wrapped) == key
    for wrong in (
        lambda: keyring.contact_point_key(2, POINT, wrapped),
        lambda: Keyring(b"n" * 32).contact_point_key(1, POINT, wrapped),
    ):
        with pytest.raises(KeyUnusable):
            wrong()


def test_the_master_key_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(load_master_key(path, may_create=True))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["master.key"]


@pytest.mark.parametrize("content", ["", "zz" * 32, "ab" * 31, "ab" * 33])
def test_a_malformed_master_key_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "master.key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(KeyUnusable):
        Keyring(load_master_key(path, may_create=True))


def test_a_master_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    load_master_key(tmp_path / "master.key", may_create=True)
    (tmp_path / "master.key").chmod(0o644)
    with pytest.raises(KeyUnusable, match="chmod 600"):
        load_master_key(tmp_path / "master.key", may_create=False)


async def test_another_master_key_is_refused_rather_than_making_everyone_a_stranger(
    tenant: Tenant, database: DatabaseAddress, tmp_path: Path
) -> None:
    with pytest.raises(KeyUnusable):
        async with ledger_on(database, tmp_path / "missing.key"):
            pass
    assert not (tmp_path / "missing.key").exists()
    (tmp_path / "other.key").write_text("ab" * 32)
    (tmp_path / "other.key").chmod(0o600)
    with pytest.raises(KeyUnusable):
        async with ledger_on(database, tmp_path / "other.key"):
            pass


async def test_evidence_is_opened_as_it_was_given(tenant: Tenant, caller: Caller) -> None:
    recorded = await record_consent(
        tenant,
        caller,
        Capture(
            channel=Channel.EMAIL,
            address="ada@example.org",
            purpose="commercial",
            value=ConsentValue.OPTED_IN,
            reason="she said so",
            reason_description="on the phone",
            actor=Actor(kind=ActorKind.USER, id="clerk-7"),
            evidence=Evidence(notice_text="We write weekly.", ip_address="192.0.2.7", attributes={"ratio": 0.5}),
        ),
    )
    [event] = recorded.events
    opened = await history.evidence(tenant, [event])
    assert opened[event.position] == {
        "actorId": "clerk-7",
        "attributes": {"ratio": 0.5},
        "ipAddress": "192.0.2.7",
        "noticeText": "We write weekly.",
        "reason": "she said so",
        "reasonDescription": "on the phone",
    }
    for secret in (b"clerk-7", b"192.0.2.7", b"she said so", b"weekly"):
        assert secret not in event.raw


async def test_a_notice_made_out_to_the_person_stays_with_the_person(tenant: Tenant, caller: Caller) -> None:
    text = "Dear ADA@example.org, may we write?"
    recorded = await record_consent(
        tenant,
        caller,
        Capture(
            channel=Channel.EMAIL,
            address="ada@example.org",
            purpose="commercial",
            value=ConsentValue.OPTED_IN,
            evidence=Evidence(notice_text=text),
        ),
    )
    [event] = recorded.events
    assert "noticeDigest" not in event.entry.data
    assert (await history.evidence(tenant, [event]))[event.position] == {"noticeText": text}
