"""Credentials files of NATS: what one holds, what is none, and a server that lets nobody else in, over TLS of a CA of its own."""

import base64
import json
import time
from binascii import crc_hqx
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.assembly import Ledger, Tenant
from ledger.nats_connection import NatsAway, NatsServer, connected
from ledger.nats_credentials import CredentialsUnusable, read_credentials
from ledger.relay import RelayTarget
from tests.ledger.receiver import tls_for
from tests.ledger.test_relay import Running
from tests.nats_server import nats_server

OPERATOR, ACCOUNT, USER = 14, 0, 20
STORAGE = ("mem_storage", "disk_storage", "streams", "consumer")
UNLIMITED = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf", *STORAGE), -1)


class Nkey:
    """A key pair as NATS writes it: Base32 of who it is, the key, and a checksum."""

    def __init__(self, kind: int) -> None:
        self.private = Ed25519PrivateKey.generate()
        raw = self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.public = self._text(bytes([kind << 3]), raw)
        seed = self.private.private_bytes(
            serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
        )
        self.seed = self._text(bytes([18 << 3 | kind >> 2, kind << 6 & 0xFF]), seed)

    @staticmethod
    def _text(prefix: bytes, key: bytes) -> str:
        body = prefix + key
        return base64.b32encode(body + crc_hqx(body, 0).to_bytes(2, "little")).decode().rstrip("=")

    def jwt(self, about: "Nkey", kind: str, **claims: object) -> str:
        """A claim that this key signs about another."""
        payload = {
            "jti": "X", "iat": int(time.time()), "iss": self.public, "sub": about.public, "name": kind,
            "nats": {"type": kind, "version": 2, **claims},
        }  # fmt: skip
        parts = [_b64(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, payload)]
        return ".".join([*parts, _b64(self.private.sign(".".join(parts).encode()))])


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def credentials_file(folder: Path, jwt: str, seed: str) -> Path:
    path = folder / "relay.creds"
    path.write_text(
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n*** keep it secret ***\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
    return path


async def test_a_server_of_an_operator_lets_in_whose_credentials_it_knows_and_nobody_else(
    ledger: Ledger, tenant: Tenant, tmp_path: Path
) -> None:
    operator, system, account, user = Nkey(OPERATOR), Nkey(ACCOUNT), Nkey(ACCOUNT), Nkey(USER)
    limits = {**UNLIMITED, "wildcards": True}
    # A system account has no streams of its own.
    no_streams = limits | dict.fromkeys(STORAGE, 0)
    config = tmp_path / "nats.conf"
    config.write_text(
        f"operator: {operator.jwt(operator, 'operator')}\nsystem_account: {system.public}\nresolver: MEMORY\n"
        f"resolver_preload: {{\n"
        f"  {system.public}: {operator.jwt(system, 'account', limits=no_streams)}\n"
        f"  {account.public}: {operator.jwt(account, 'account', limits=limits)}\n}}\n"
    )
    tls_for("localhost", tmp_path)
    certificate = tmp_path / "localhost.pem"
    known = dict.fromkeys(("subs", "data", "payload"), -1)
    file = credentials_file(tmp_path, account.jwt(user, "user", **known), user.seed)
    options = ("-c", str(config), "--tls", "--tlscert", str(certificate), "--tlskey", str(certificate))
    async with nats_server(tmp_path / "nats", *options) as nats:
        url = f"tls://localhost:{nats.port}"
        relay = Running(ledger, url, tenant)
        relay.relay._target = RelayTarget(
            server=NatsServer(url=url, credentials=file, tls_ca=certificate), subject_prefix="consentry"
        )
        await relay.until(lambda: relay.at.get(tenant.key) == 6)
        await relay.end()
        assert user.seed not in " ".join(relay.said)
        with pytest.raises(NatsAway, match="cannot be reached"):
            async with connected(NatsServer(url=url, tls_ca=certificate)):
                pass
        with pytest.raises(NatsAway, match="cannot be reached"):
            async with connected(NatsServer(url=url, credentials=file)):
                pass
        stranger = credentials_file(tmp_path, account.jwt(Nkey(USER), "user", **known), user.seed)
        with pytest.raises(NatsAway, match="uthorization"):
            async with connected(NatsServer(url=url, credentials=stranger, tls_ca=certificate)):
                pass


def test_what_a_file_holds_is_shown_by_nothing(tmp_path: Path) -> None:
    user = Nkey(USER)
    held = read_credentials(credentials_file(tmp_path, "a.b.c", user.seed))
    assert held.jwt == "a.b.c"
    user.private.public_key().verify(base64.b64decode(held.signed("nonce")), b"nonce")
    assert "a.b.c" not in repr(held)
    assert user.seed not in repr(held)


@pytest.mark.parametrize(
    ("bend", "why"),
    [
        (lambda _: "", "no block BEGIN USER NKEY SEED"),
        (lambda seed: seed[:2] + "0" + seed[3:], "damaged"),
        (lambda seed: seed[:-4], "damaged"),
        (lambda seed: seed[:20] + ("B" if seed[20] == "A" else "A") + seed[21:], "damaged"),
        (lambda _: Nkey(ACCOUNT).seed, "not a user's"),
    ],
    ids=["none", "no Base32", "short", "another letter", "an account's"],
)
def test_what_is_no_credentials_file_is_told_without_its_contents(
    tmp_path: Path, bend: Callable[[str], str], why: str
) -> None:
    seed = bend(Nkey(USER).seed)
    with pytest.raises(CredentialsUnusable, match=why) as refused:
        read_credentials(credentials_file(tmp_path, "a.b.c", seed))
    assert not seed or seed not in str(refused.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CredentialsUnusable, match="No such file"):
        read_credentials(tmp_path / "nowhere.creds")
