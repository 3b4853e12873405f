"""A NATS credentials file (`.creds`), as `nsc` writes it: a user's JWT, and the seed of the key that signs the server's nonce.

The seed never leaves this process: only signatures go to the server. The client library would read the file by a package of
its own for keys; an Ed25519 seed needs no more than what signs the log.
"""

import re
from base64 import b32decode, b64encode
from binascii import Error as Base32Error
from binascii import crc_hqx
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_FILE_BYTES_MAX = 64 * 1024
_BLOCK = re.compile(r"-{3,}BEGIN ([A-Z ]+)-{3,}\s+([A-Za-z0-9_.=-]+)\s+-{3,}END \1-{3,}", re.ASCII)
_JWT, _SEED = "NATS USER JWT", "USER NKEY SEED"
# "SU" in Base32, and three bits of nothing: a seed, of a user.
_SEED_OF_A_USER = bytes((0b10010_101, 0b00_000_000))
_SEED_BYTES = 32


class CredentialsUnusable(Exception):
    """The file cannot be read, or is no credentials file; says why, and nothing of what it holds."""


@dataclass(frozen=True, slots=True)
class NatsCredentials:
    """Who we are to NATS: a JWT that says so, and the key that proves it. `repr` tells neither."""

    jwt: str = field(repr=False)
    key: Ed25519PrivateKey = field(repr=False)

    def signed(self, nonce: str) -> bytes:
        """The server's nonce under the key, in Base64 as the client library hands it on."""
        return b64encode(self.key.sign(nonce.encode()))


def read_credentials(path: Path) -> NatsCredentials:
    """The credentials that a file holds. Raises CredentialsUnusable."""
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES_MAX)
    except OSError as error:
        raise CredentialsUnusable(f"the file cannot be read: {error.strerror}") from None
    blocks = {match[1]: match[2] for match in _BLOCK.finditer(content.decode("ascii", "replace"))}
    for name in (_JWT, _SEED):
        if name not in blocks:
            raise CredentialsUnusable(f"the file has no block BEGIN {name}; it is what `nsc generate creds` writes")
    return NatsCredentials(blocks[_JWT], _key_of(blocks[_SEED]))


def _key_of(seed: str) -> Ed25519PrivateKey:
    try:
        raw = b32decode(seed + "=" * (-len(seed) % 8))
    except Base32Error:
        raise CredentialsUnusable("the seed in the file is damaged") from None
    # Two bytes that say whose it is, 32 of the seed, and a checksum, low byte first.
    if len(raw) != len(_SEED_OF_A_USER) + _SEED_BYTES + 2 or int.from_bytes(raw[-2:], "little") != crc_hqx(raw[:-2], 0):
        raise CredentialsUnusable("the seed in the file is damaged")
    if raw[:2] != _SEED_OF_A_USER:
        raise CredentialsUnusable("the seed in the file is not a user's (it would begin with SU)")
    return Ed25519PrivateKey.from_private_bytes(raw[2:-2])
