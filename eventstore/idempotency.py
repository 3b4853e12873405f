"""Idempotency: (application, key) is unique for ever, with a keyed digest of the command that it stood for.

A record is written in the transaction of its events, so it is there exactly when they are. Both hashes are keyed with the
tenant's idempotency key: keys and commands may hold addresses.
"""

import hashlib
import hmac
from dataclasses import dataclass

HASH_BYTES = 16


class IdempotencyConflict(Exception):
    """The key was used before, for another command."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """What is stored of a caller's key and of its command."""

    key_hash: bytes
    command_digest: bytes


def idempotency_key(tenant_key: bytes, *, application: str, key: str, command: bytes) -> IdempotencyKey:
    """The stored form of `key`, as given by `application`; `command` is any exact spelling of all of its input."""
    return IdempotencyKey(
        key_hash=_hash(tenant_key, f"key\0{application}\0{key}".encode()),
        command_digest=_hash(tenant_key, b"command\0" + command),
    )


def _hash(tenant_key: bytes, message: bytes) -> bytes:
    return hmac.digest(tenant_key, message, hashlib.sha256)[:HASH_BYTES]
