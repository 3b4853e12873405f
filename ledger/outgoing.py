"""Asking somebody else's server: one POST, to an address that was judged, within a time, and no more read than is needed.

    name -> resolved once -> every address judged -> connected to one of these very addresses -> TLS verified for the name

So a name cannot lead elsewhere between the judgement and the connection. No redirect is followed, no proxy of the environment
asked, no answer unpacked. Neither an error nor anything here quotes a URL, which may hold a credential.
"""

import asyncio
import socket
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import cast
from urllib.parse import unquote, urlsplit

import httpcore
import httpx

from ledger.outgoing_addresses import Reach, address_of

ANSWER_BYTES_MAX = 64 * 1024
_CONNECT_S = 5.0
_CONNECTIONS_MAX = 100
_KEPT_ALIVE_MAX = 20
_KEPT_ALIVE_S = 15.0
_ADDRESSES_TRIED = 3
_NAMES_AT_ONCE = 2

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class NotAnswered(Exception):
    """There was no answer; says why, in words that name no URL."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered. A body beyond ANSWER_BYTES_MAX is cut, to somewhat more than that."""

    status: int
    content_type: str
    retry_after: str | None
    body: bytes


class _AddressRefused(httpcore.ConnectError):
    pass


def default_ssl_context() -> ssl.SSLContext:
    """Verifies names against the usual authorities. Making it takes a while."""
    return httpx.create_ssl_context(trust_env=False)


class OutgoingClient:
    """Connections to other servers, kept for a while; used by one event loop. `http` is the reach without TLS.

    Has connections and threads for names of its own: one that is asked what hangs holds up no other.
    """

    def __init__(
        self,
        *,
        https: Reach,
        http: Reach,
        timeout_s: float,
        resolve: Resolve | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        context = default_ssl_context() if ssl_context is None else ssl_context
        self._names = ThreadPoolExecutor(_NAMES_AT_ONCE, thread_name_prefix="names")
        self._pools = {
            scheme: httpcore.AsyncConnectionPool(
                ssl_context=context,
                max_connections=_CONNECTIONS_MAX,
                max_keepalive_connections=_KEPT_ALIVE_MAX,
                keepalive_expiry=_KEPT_ALIVE_S,
                network_backend=_JudgedBackend(reach, resolve or self._resolve),
            )
            for scheme, reach in (("https", https), ("http", http))
        }

    async def close(self) -> None:
        """Close what connections there are."""
        for pool in self._pools.values():
            await pool.aclose()
        self._names.shutdown(wait=False, cancel_futures=True)

    async def _resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a name, as the system knows them."""
        asked = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._names, asked)
        return list(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one request. Raises NotAnswered."""
        parts = urlsplit(url)
        pool = self._pools[parts.scheme]
        sent = {
            "Host": parts.netloc.rpartition("@")[2],
            "User-Agent": "consentry",
            "Accept-Encoding": "identity",
            "Content-Length": str(len(content)),
            **headers,
        }
        if parts.username is not None:
            credential = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            sent["Authorization"] = "Basic " + b64encode(credential.encode()).decode()
        body = b""
        try:
            # The client's own timeouts are for each read: a server that trickles would hold it for ever.
            async with (
                asyncio.timeout(self._timeout_s),
                pool.stream(
                    "POST",
                    httpcore.URL(
                        scheme=parts.scheme,
                        host=parts.hostname or "",
                        port=parts.port,
                        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
                    ),
                    headers=[(name.encode(), value.encode()) for name, value in sent.items()],
                    content=content,
                    extensions={
                        "timeout": {
                            "connect": min(_CONNECT_S, self._timeout_s),
                            "read": self._timeout_s,
                            "write": self._timeout_s,
                            "pool": self._timeout_s,
                        }
                    },
                ) as response,
            ):
                async for chunk in response.aiter_stream():
                    body += chunk
                    if len(body) > ANSWER_BYTES_MAX:
                        break
        except _AddressRefused as error:
            raise NotAnswered(str(error)) from None
        except (TimeoutError, httpcore.TimeoutException):
            raise NotAnswered(f"it did not answer within {self._timeout_s:g} seconds") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as error:
            raise NotAnswered(f"it cannot be asked: {type(error).__name__}") from None
        given = {name.lower(): value.decode("latin-1") for name, value in response.headers}
        return Answer(response.status, given.get(b"content-type", ""), given.get(b"retry-after"), body)


class _JudgedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that are in reach, and to nothing else; what goes over the connection is none of its business."""

    def __init__(self, reach: Reach, resolve: Resolve) -> None:
        self._reach = reach
        self._resolve = resolve
        # Its own stub for installs without anyio hides what it is from type checkers.
        self._network = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to one of the host's addresses. Raises ConnectError."""
        try:
            addresses = [host] if address_of(host) else await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise httpcore.ConnectError("the name has no address") from None
        for text in addresses:
            address = address_of(text)
            # One that is out of reach refuses all: a name that leads to both was made to be tried until it does.
            if address is None or not self._reach.allows(address):
                raise _AddressRefused("its address is not a public one, and not allowed by a setting")
        last: Exception = httpcore.ConnectError("the name has no address")
        for text in addresses[:_ADDRESSES_TRIED]:
            try:
                return await self._network.connect_tcp(text, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """No URL leads here."""
        raise httpcore.ConnectError("no URL leads to a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        """Wait, between tries of the pool."""
        await self._network.sleep(seconds)
