"""A small witness (C2SP tlog-witness), written from the specifications: it shares no code with the log that it watches."""

import base64
import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class LocalServer:
    """An HTTP server on a free port of this machine, that answers as it is told and remembers what it was asked."""

    answer: Callable[[Request], Answer]
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> "LocalServer":
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                server.requests.append(request)
                status, headers, content = server.answer(request)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                # Whoever asked may have gone.
                with contextlib.suppress(OSError):
                    super().handle()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"


class Witness:
    """What the witness knows: the keys of one log, its own key, and the latest tree that it cosigned."""

    def __init__(self, log_keys: Sequence[str], name: str = "witness.test/w1") -> None:
        self.name = name
        self.private = Ed25519PrivateKey.generate()
        self.latest: tuple[int, bytes] = (0, b"")
        self.clock = time.time
        self._log_keys = [key.split("+", 2) for key in log_keys]
        self._lock = threading.Lock()

    @property
    def verifier_key(self) -> str:
        """Its key, as published: type 4."""
        public = self.private.public_key().public_bytes_raw()
        return f"{self.name}+{self._key_id().hex()}+{base64.b64encode(bytes([4]) + public).decode()}"

    def answer(self, request: Request) -> Answer:
        """add-checkpoint."""
        if not request.path.endswith("/add-checkpoint"):
            return 404, {}, b""
        try:
            old, proof, text, signatures = _parsed(request.body.decode())
            origin, size_line, root_line = text.split("\n")[:3]
            size, root = int(size_line), base64.b64decode(root_line, validate=True)
        except (ValueError, UnicodeDecodeError):
            return 400, {}, b""
        if all(name != origin for name, _, _ in self._log_keys):
            return 404, {}, b""
        if not any(self._signed_by(key, text, line) for key in self._log_keys for line in signatures):
            return 403, {}, b""
        if old > size or len(proof) > 63:
            return 400, {}, b""
        # Compared and replaced in one step: else two requests at once could take the tree back.
        with self._lock:
            known, known_root = self.latest
            if old != known:
                return 409, {"Content-Type": "text/x.tlog.size"}, f"{known}\n".encode()
            if old == size and root != known_root:
                return 409, {"Content-Type": "text/x.tlog.size"}, f"{known}\n".encode()
            if not consistent(old, size, known_root, root, proof):
                return 422, {}, b""
            self.latest = (size, root)
        return 200, {}, self.cosigned(text).encode()

    def cosigned(self, text: str, *, at: float | None = None) -> str:
        """Its signature line."""
        stated = int(self.clock() if at is None else at)
        signature = self.private.sign(f"cosignature/v1\ntime {stated}\n{text}".encode())
        raw = self._key_id() + stated.to_bytes(8, "big") + signature
        return f"\u2014 {self.name} {base64.b64encode(raw).decode()}\n"

    def _key_id(self) -> bytes:
        public = self.private.public_key().public_bytes_raw()
        return hashlib.sha256(self.name.encode() + b"\n\x04" + public).digest()[:4]

    @staticmethod
    def _signed_by(key: list[str], text: str, line: str) -> bool:
        dash, name, encoded = line.split(" ")
        raw = base64.b64decode(encoded, validate=True)
        if dash != "\u2014" or name != key[0] or raw[:4].hex() != key[1]:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(base64.b64decode(key[2])[1:]).verify(raw[4:], text.encode())
        except InvalidSignature:
            return False
        return True


def _parsed(body: str) -> tuple[int, list[bytes], str, list[str]]:
    """Old size, proof, the checkpoint's text, its signature lines. Raises ValueError."""
    head, rest = body.split("\n\n", 1)
    text, signatures = rest.split("\n\n")
    old, *proof = head.split("\n")
    word, size = old.split(" ")
    if word != "old" or str(int(size)) != size or not signatures.endswith("\n"):
        raise ValueError("malformed")
    return int(size), [base64.b64decode(line, validate=True) for line in proof], text + "\n", signatures.splitlines()


def consistent(first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """RFC 9162, section 2.1.4.2; from nothing there is nothing to prove."""
    if first == 0:
        return not proof
    if first == second:
        return not proof and first_root == second_root
    if not proof:
        return False
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    was = now = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            was, now = _node(sibling, was), _node(sibling, now)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            now = _node(now, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and was == first_root and now == second_root


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
