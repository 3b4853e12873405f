"""Idempotency: (application, key) is unique for ever, with a keyed digest of the command that it stood for.

A record is written in the transaction of its events, so it is there exactly when they are. Both hashes are keyed with the
tenant's idempotency key: keys and commands may hold addresses.
"""

from typing import NamedTuple

from eventstore.personal.keyed_hash import KeyedHash

HASH_BYTES = 16
# Of a digest so much is kept with events: it need only tell apart what is asked under one key. Older records have all of it.
KEPT_DIGEST_BYTES = 8


class IdempotencyConflict(Exception):
    """The key was used before, for another command."""


class IdempotencyKey(NamedTuple):
    """What is stored of a caller's key and of its command."""

    key_hash: bytes
    command_digest: bytes

    def stands_for(self, kept_digest: bytes) -> bool:
        """Whether what was recorded under the key, with this digest, is the same command."""
        return self.command_digest.startswith(kept_digest)


def idempotency_key(keyed: KeyedHash, *, application: str, key: str, command: bytes) -> IdempotencyKey:
    """The stored form of `key`, as given by `application`; `command` is any exact spelling of all of its input.

    `keyed` is under the tenant's idempotency key.
    """
    return IdempotencyKey(
        keyed(f"key\0{application}\0{key}".encode())[:HASH_BYTES], keyed(b"command\0" + command)[:HASH_BYTES]
    )
