"""A receiver of webhooks on this machine, over HTTP or TLS, that behaves as badly as it is told to."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook

CHUNK = b"x" * 65_536


@dataclass
class Received:
    """A request, as it came."""

    headers: dict[str, str]
    body: bytes

    def verified(self, secret: str) -> Any:
        """What it says, after the library that receivers use has verified it."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass
class Reply:
    """What to do with a request: an answer, or none."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    close: bool = False
    flood: bool = False
    after: asyncio.Event | None = None


TAKEN = Reply()
Behaviour = Callable[[Received], Reply]


class Receiver:
    """Listens on a free port; `requests` are all that came, `taken` what it answered with 200, in order."""

    def __init__(self, behave: Behaviour = lambda _: TAKEN, *, tls: ssl.SSLContext | None = None) -> None:
        self.behave = behave
        self.requests: list[Received] = []
        self.taken: list[Received] = []
        self.flooded_bytes = 0
        self._tls = tls
        self._grown = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Receiver":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a request makes `condition` true."""
        async with asyncio.timeout(60):
            while not condition():
                self._grown.clear()
                await self._grown.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            # The end of the test cancels it: nobody waits for what becomes of it.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._answer(reader, writer):
                    pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        received = Received(headers, await reader.readexactly(int(headers["content-length"])))
        self.requests.append(received)
        reply = self.behave(received)
        if reply.status == 200 and not reply.hang and not reply.close:
            self.taken.append(received)
        self._grown.set()
        if reply.after is not None:
            await reply.after.wait()
        if reply.hang:
            await asyncio.Event().wait()
        if reply.close:
            return False
        length = 2**30 if reply.flood else 0
        lines = [f"HTTP/1.1 {reply.status} -", *(f"{name}: {value}" for name, value in reply.headers.items())]
        writer.write("\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode())
        await writer.drain()
        while reply.flood and self.flooded_bytes < length:
            writer.write(CHUNK)
            await writer.drain()
            self.flooded_bytes += len(CHUNK)
        return True


def tls_for(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(a server's side with a certificate for `name`, a client's side that trusts only its issuer)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain = folder / f"{name}.pem"
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(private + public)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain)
    client = ssl.create_default_context(cadata=public.decode())
    return server, client
