"""Tokens of the links that a person is sent: opaque, hard to forge, and short enough for a mail header.

A token is base64url of the tenant's number (4 bytes) and what it says, sealed with AES-SIV (RFC 5297) under a key that comes
from the tenant's secret: deterministic, so the same link is the same token; and whoever holds it learns nothing of the
address in it. No table knows tokens: they work for as long as the tenant's secret is there, whatever else changes.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

TOKEN_CHARS_MAX = 4_000
_TENANT_BYTES = 4
_TENANT_MAX = 2**31 - 1  # what the database numbers tenants by
_TAG_BYTES = 16


class TokenInvalid(Exception):
    """The text is no token that was made here. It does not say what is wrong with it: that would help a forger."""


def tenant_of(token: str) -> int:
    """The tenant that a token claims to be of; `open_token` says whether it is. Raises TokenInvalid."""
    tenant = int.from_bytes(_raw(token)[:_TENANT_BYTES], "big")
    if tenant > _TENANT_MAX:
        raise TokenInvalid
    return tenant


def seal_token(key: bytes, tenant: int, content: bytes) -> str:
    """The token that says `content`."""
    prefix = tenant.to_bytes(_TENANT_BYTES, "big")
    sealed = AESSIV(key).encrypt(content, [b"link", prefix])
    return urlsafe_b64encode(prefix + sealed).rstrip(b"=").decode("ascii")


def open_token(key: bytes, tenant: int, token: str) -> bytes:
    """What a token says. Raises TokenInvalid for one that was changed, cut short, or made under another key."""
    raw = _raw(token)
    prefix = raw[:_TENANT_BYTES]
    try:
        content = AESSIV(key).decrypt(raw[_TENANT_BYTES:], [b"link", prefix])
    except (InvalidTag, ValueError) as error:
        raise TokenInvalid from error
    # One spelling only: base64 has text that differs and decodes alike.
    if seal_token(key, tenant, content) != token:
        raise TokenInvalid
    return content


def _raw(token: str) -> bytes:
    if len(token) > TOKEN_CHARS_MAX or not token.isascii():
        raise TokenInvalid
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (Base64Error, ValueError) as error:
        raise TokenInvalid from error
    if len(raw) < _TENANT_BYTES + _TAG_BYTES:
        raise TokenInvalid
    return raw
