"""Keys: the master key outside the database, each tenant's secret and the keys that come from it, a key per contact point.

    master key (file, mode 0600)  --wraps-->  tenant secret, contact point keys   (AES-256-GCM)
    tenant secret                 --HKDF-->   keys of blind index, idempotency records, receipts, links   (RFC 5869)

A tenant that was made with another's blind index key has that key beside its secret, wrapped together with it, in place of the
one that its secret leads to. It has had it from its first event on, and for good.

Losing the master key makes every address and all evidence unreadable for good; the log still verifies.
"""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
LINK_KEY_BYTES = 64
NONCE_BYTES = 12
# Nonce, key, tag.
WRAPPED_KEY_BYTES = NONCE_BYTES + KEY_BYTES + 16
MASTER_KEY_FILE = "master.key"


class KeyUnusable(Exception):
    """The master key is missing, malformed, readable by others, or not the one that wrapped what is in the database."""


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """The keys of one tenant that live in memory only."""

    blind_index: bytes = field(repr=False)
    idempotency: bytes = field(repr=False)
    receipts: bytes = field(repr=False)
    links: bytes = field(repr=False)


class Keyring:
    """Wraps and unwraps keys with the master key; each wrapping is bound to whose key it is."""

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != KEY_BYTES:
            raise KeyUnusable(f"a master key has {KEY_BYTES} bytes, this has {len(master_key)}")
        self._master = AESGCM(master_key)

    def _wrap(self, key: bytes, whose: bytes, random: Callable[[int], bytes] = os.urandom) -> bytes:
        nonce = random(NONCE_BYTES)
        return nonce + self._master.encrypt(nonce, key, whose)

    def _unwrap(self, wrapped: bytes, whose: bytes) -> bytes:
        try:
            return self._master.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], whose)
        except InvalidTag as error:
            raise KeyUnusable("the master key is not the one that this database was written with") from error

    def new_tenant_secret(self, tenant: str, blind_index: bytes | None = None) -> bytes:
        """A new tenant's secret, wrapped, to be stored; with the blind index key that it is to have, if not one of its own.

        Raises KeyUnusable for a key of another length.
        """
        if blind_index is not None and len(blind_index) != KEY_BYTES:
            raise KeyUnusable(f"a blind index key has {KEY_BYTES} bytes, this has {len(blind_index)}")
        return self._wrap(secrets.token_bytes(KEY_BYTES) + (blind_index or b""), b"tenant\0" + tenant.encode())

    def tenant_keys(self, tenant: str, wrapped_secret: bytes) -> TenantKeys:
        """The keys that come from a tenant's stored secret. Raises KeyUnusable with another master key."""
        unwrapped = self._unwrap(wrapped_secret, b"tenant\0" + tenant.encode())
        secret, given = unwrapped[:KEY_BYTES], unwrapped[KEY_BYTES:]

        def derive(purpose: bytes, length: int = KEY_BYTES) -> bytes:
            return HKDF(algorithm=SHA256(), length=length, salt=None, info=b"consentry/" + purpose).derive(secret)

        return TenantKeys(
            blind_index=given or derive(b"blind-index"),
            idempotency=derive(b"idempotency"),
            receipts=derive(b"receipts"),
            links=derive(b"links", LINK_KEY_BYTES),
        )

    def new_contact_point_key(
        self, tenant: int, contact_point: UUID, random: Callable[[int], bytes] = os.urandom
    ) -> tuple[bytes, bytes]:
        """A contact point's new key: (the key, the key wrapped, to be stored). `random` are the system's random bytes."""
        key = random(KEY_BYTES)
        return key, self._wrap(key, _whose(tenant, contact_point), random)

    def contact_point_key(self, tenant: int, contact_point: UUID, wrapped_key: bytes) -> bytes:
        """The key of a contact point from its stored form. Raises KeyUnusable with another master key."""
        return self._unwrap(wrapped_key, _whose(tenant, contact_point))

    def seal_setting(self, tenant: int, place: bytes, content: bytes) -> bytes:
        """A secret setting of a tenant, sealed to be stored; bound to its place, so it cannot be moved to another."""
        return self._wrap(content, _setting(tenant, place))

    def open_setting(self, tenant: int, place: bytes, sealed: bytes) -> bytes:
        """A secret setting from its stored form. Raises KeyUnusable with another master key, or in another place."""
        return self._unwrap(sealed, _setting(tenant, place))


def _setting(tenant: int, place: bytes) -> bytes:
    return b"setting\0" + tenant.to_bytes(4) + place


def _whose(tenant: int, contact_point: UUID) -> bytes:
    return b"contact-point\0" + tenant.to_bytes(4) + contact_point.bytes


def load_master_key(path: Path, *, may_create: bool) -> bytes:
    """The master key in `path`, as 64 hexadecimal digits; made, readable by its owner alone, if allowed and missing.

    Two processes that start at once get the same key: the file appears whole, under its name, by a hard link that only
    one of them can make. Raises KeyUnusable where it is missing, malformed or readable by others.
    """
    if may_create and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
            _sync_directory(path.parent)
        except FileExistsError:
            pass  # another process was first: its key counts
        finally:
            draft.unlink()
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyUnusable(f"the master key file {path} cannot be read") from error
    if mode & 0o077:
        raise KeyUnusable(f"the master key file {path} can be read by others: chmod 600 it")
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise KeyUnusable(f"the master key file {path} does not hold 64 hexadecimal digits") from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
