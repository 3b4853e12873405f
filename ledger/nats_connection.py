"""One connection to NATS: made, watched and closed. Whoever uses it starts anew on another one when it is lost.

The client library would reconnect by itself and send again what it had buffered; a relay has to look at its stream first.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import Error as NatsError

from ledger.nats_credentials import CredentialsUnusable, NatsCredentials, read_credentials

_CONNECT_TIMEOUT_S = 5
_PING_EVERY_S = 5
_CLOSE_WITHIN_S = 5.0
_Secret = TypeVar("_Secret", str, bytearray)


class NatsAway(Exception):
    """NATS cannot be reached, or does not let us in; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsServer:
    """Where NATS is, and who we are there. `repr` and `shown` tell no credential."""

    url: str = field(repr=False)
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    # Read anew for each connection: credentials are replaced while a relay runs.
    credentials: Path | None = None
    # Whose certificates count for tls://, if not those that this machine trusts.
    tls_ca: Path | None = None

    @property
    def shown(self) -> str:
        """The server without credentials."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{parts.port or 4222}"


@contextlib.asynccontextmanager
async def connected(server: NatsServer) -> AsyncGenerator[tuple[Client, asyncio.Event]]:
    """A connection, and an event that is set when it is lost. Raises NatsAway."""
    client, lost = Client(), asyncio.Event()

    async def gone() -> None:
        lost.set()

    async def quiet(_error: Exception) -> None:
        """What goes wrong is told by whoever meets it."""

    options: dict[str, Any] = {}
    encrypted = urlsplit(server.url).scheme == "tls"
    if encrypted:
        options["tls"] = _tls(server)

    def only_encrypted(secret: _Secret) -> Callable[[], _Secret]:
        # Asked for after the handshake, if there was one: the library goes on in the clear where the server wants no TLS.
        def give() -> _Secret:
            if encrypted:
                _require_tls(client)
            return secret

        return give

    if server.user is not None:
        options |= {"user": only_encrypted(server.user), "password": only_encrypted(server.password or "")}
    if server.token is not None:
        options["token"] = only_encrypted(server.token)
    if server.credentials is not None:
        credentials = _credentials(server.credentials)
        jwt = only_encrypted(bytearray(credentials.jwt.encode()))
        # A user without a password is never sent; without one the library would not answer the server's nonce.
        options |= {"user": only_encrypted(""), "user_jwt_cb": jwt, "signature_cb": credentials.signed}
    try:
        try:
            # One attempt, and one more: who uses this says that NATS is away, and asks again.
            await client.connect(
                server.url,
                name="consentry relay",
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0.1,  # pyright: ignore[reportArgumentType] - whole seconds by its type alone
                connect_timeout=_CONNECT_TIMEOUT_S,
                ping_interval=_PING_EVERY_S,
                max_outstanding_pings=2,
                error_cb=quiet,
                disconnected_cb=gone,
                closed_cb=gone,
                **options,
            )
        except NatsAway:
            raise
        except (NatsError, OSError, TimeoutError, ValueError) as error:
            said = str(error) if "uthorization" in str(error) else type(error).__name__
            raise NatsAway(f"NATS at {server.shown} cannot be reached ({said})") from error
        if encrypted:
            _require_tls(client)
        yield client, lost
    finally:
        with contextlib.suppress(NatsError, OSError, TimeoutError):
            await asyncio.wait_for(client.close(), _CLOSE_WITHIN_S)


def _credentials(path: Path) -> NatsCredentials:
    try:
        return read_credentials(path)
    except CredentialsUnusable as unusable:
        raise NatsAway(f"the credentials for NATS: {unusable}") from None


def _tls(server: NatsServer) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=server.tls_ca)
    except OSError as error:
        raise NatsAway(f"the certificates to trust for NATS cannot be read ({error.strerror or 'no PEM'})") from None


def _require_tls(client: Client) -> None:
    told: dict[str, Any] = client._server_info  # pyright: ignore[reportPrivateUsage] - it has no public name
    if not told.get("tls_required"):
        raise NatsAway("NATS offers no TLS, and the URL asks for it")
