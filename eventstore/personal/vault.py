"""The vault: everything personal, sealed under the key of its contact point, with the salt that opens its commitment.

Sealed form: nonce (12 bytes) || AES-256-GCM(salt (16 bytes) || bytes). The associated data names tenant, contact point,
position and item, so a sealed item cannot be moved to another place. The log holds SHA-256(salt || bytes).
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from asyncpg import Connection
from asyncpg.pool import PoolConnectionProxy
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from eventstore.personal.keyring import NONCE_BYTES, Keyring
from tlog import canonical_json

SALT_BYTES = 16
ADDRESS = "address"
EVIDENCE = "evidence"
# The certificate of an erasure commits to the blind index that it leaves suppressed.
SUPPRESSION = "suppression"

Connected: TypeAlias = Connection | PoolConnectionProxy


class VaultBroken(Exception):
    """What is sealed does not open with its own key: the database was changed from outside."""


def seal(
    cipher: AESGCM, place: bytes, content: bytes, random: Callable[[int], bytes] = os.urandom
) -> tuple[bytes, bytes]:
    """Seal `content` for a `place`: (what the vault keeps, the commitment that the log keeps)."""
    salted = random(SALT_BYTES) + content
    nonce = random(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, salted, place), hashlib.sha256(salted).digest()


def open_sealed(key: bytes, place: bytes, sealed: bytes) -> tuple[bytes, bytes]:
    """(salt, content) of a sealed item. Raises VaultBroken where it does not belong to this key and place."""
    try:
        salted = AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)
    except InvalidTag as error:
        raise VaultBroken("a sealed item does not open under its own key") from error
    return salted[:SALT_BYTES], salted[SALT_BYTES:]


def place(tenant: int, contact_point: UUID, position: int, item: str) -> bytes:
    """What a sealed item is bound to."""
    return b"%s\0%d\0%s\0%d" % (item.encode(), tenant, contact_point.bytes, position)


async def open_addresses(
    connection: Connected, keyring: Keyring, tenant: int, contact_points: Sequence[UUID]
) -> dict[UUID, str]:
    """The addresses of contact points that are there and not being erased; one statement for any number of them."""
    rows = await connection.fetch(
        "SELECT contact_point, wrapped_key, sealed_address, first_position FROM vault_subjects"
        " WHERE tenant = $1 AND contact_point = ANY($2::uuid[]) AND NOT erasing",
        tenant,
        contact_points,
    )
    addresses: dict[UUID, str] = {}
    for contact_point, wrapped_key, sealed_address, first_position in rows:
        key = keyring.contact_point_key(tenant, contact_point, wrapped_key)
        where = place(tenant, contact_point, first_position, ADDRESS)
        addresses[contact_point] = open_sealed(key, where, sealed_address)[1].decode()
    return addresses


async def open_evidence(
    connection: Connected, keyring: Keyring, tenant: int, events: Iterable[tuple[UUID, int]]
) -> dict[int, dict[str, Any]]:
    """The personal evidence of events, given as (contact point, position), by position; one statement for all."""
    wanted = list(events)
    rows = await connection.fetch(
        "SELECT i.contact_point, i.position, i.sealed, s.wrapped_key"
        " FROM unnest($2::uuid[], $3::bigint[]) AS wanted(contact_point, position)"
        " JOIN vault_items i ON i.tenant = $1 AND i.contact_point = wanted.contact_point"
        "  AND i.position = wanted.position"
        " JOIN vault_subjects s ON s.tenant = $1 AND s.contact_point = i.contact_point AND NOT s.erasing",
        tenant,
        [contact_point for contact_point, _ in wanted],
        [position for _, position in wanted],
    )
    evidence: dict[int, dict[str, Any]] = {}
    for contact_point, position, sealed, wrapped_key in rows:
        key = keyring.contact_point_key(tenant, contact_point, wrapped_key)
        content = open_sealed(key, place(tenant, contact_point, position, EVIDENCE), sealed)[1]
        evidence[position] = canonical_json.loads(content)
    return evidence


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens a commitment of an entry: SHA-256(salt || content)."""

    salt: bytes
    content: bytes


async def openings(
    connection: Connected, keyring: Keyring, tenant: int, contact_point: UUID
) -> dict[tuple[int, str], Opening]:
    """Every opening of a contact point's entries, by position and name; none once its erasure is asked for."""
    subject = await connection.fetchrow(
        "SELECT wrapped_key, sealed_address, first_position FROM vault_subjects"
        " WHERE tenant = $1 AND contact_point = $2 AND NOT erasing",
        tenant,
        contact_point,
    )
    if subject is None:
        return {}
    rows = await connection.fetch(
        "SELECT i.position, i.sealed FROM log_entries e CROSS JOIN LATERAL (SELECT v.position, v.sealed FROM vault_items v"
        " WHERE v.tenant = $1 AND v.position = e.position AND v.contact_point = $2 LIMIT 1) AS i"
        " WHERE e.tenant = $1 AND e.stream = $2",
        tenant,
        contact_point,
    )
    key = keyring.contact_point_key(tenant, contact_point, subject[0])
    sealed = {(subject[2], ADDRESS): subject[1], **{(row[0], EVIDENCE): row[1] for row in rows}}
    return {
        (position, item): Opening(*open_sealed(key, place(tenant, contact_point, position, item), content))
        for (position, item), content in sealed.items()
    }


async def notice_texts(connection: Connected, tenant: int, digests: Sequence[bytes]) -> dict[bytes, str]:
    """The texts of notices, by their SHA-256."""
    rows = await connection.fetch(
        "SELECT digest, text FROM notices WHERE tenant = $1 AND digest = ANY($2::bytea[])", tenant, digests
    )
    return {row["digest"]: row["text"] for row in rows}
