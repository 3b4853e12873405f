"""The keys that sign a log, in files beside the master key: outside of the database, so that neither alone can rewrite it.

For each key two files, named by the log's key and the key's id: `NAME.KEYID.key`, which only its owner can read, and
`NAME.KEYID.signed`, the largest tree that it signed. The second is what stops a database that was rolled back or rewritten
from having a second history signed: what was signed once is compared before anything else is, by whichever key it was,
also one that a database from before its time does not list.
"""

import asyncio
import contextlib
import fcntl
import os
import secrets
from collections.abc import AsyncGenerator
from pathlib import Path

from eventstore.database import StoreUnavailable
from tlog.checkpoint import Checkpoint, MalformedCheckpoint, parse_checkpoint
from tlog.note import MalformedKey, SigningKey, VerifierKey

SIGNING_KEYS_FOLDER = "signing-keys"
_LOCK_TRIES = 250
_LOCK_PAUSE_S = 0.02


class SigningKeyUnusable(Exception):
    """The file of a signing key is missing, readable by others, or does not hold that key; says which."""


class SigningKeys:
    """The signing keys of one log."""

    def __init__(self, folder: Path, log_name: str) -> None:
        self._folder = folder
        self._log_name = log_name
        self._loaded: dict[bytes, SigningKey] = {}

    def add(self, key: SigningKey) -> None:
        """Keep a new key: whole and durable, or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(self._path(key.verifier, "key"), key.text() + "\n")

    def forget(self, key: SigningKey) -> None:
        """Remove a key that never became a log's."""
        self._path(key.verifier, "key").unlink(missing_ok=True)

    def load(self, verifier: VerifierKey) -> SigningKey:
        """The key that belongs to this verifier key. Raises SigningKeyUnusable."""
        key = self._loaded.get(verifier.key_id)
        if key is None or key.verifier != verifier:
            key = self._loaded[verifier.key_id] = self._read(verifier)
        return key

    def _read(self, verifier: VerifierKey) -> SigningKey:
        path = self._path(verifier, "key")
        try:
            mode = path.stat().st_mode
            key = SigningKey.parse(path.read_text(encoding="ascii").strip())
        except (OSError, UnicodeDecodeError, MalformedKey) as error:
            raise SigningKeyUnusable(f"the signing key file {path} is missing or cannot be read") from error
        if mode & 0o077:
            raise SigningKeyUnusable(f"the signing key file {path} can be read by others: chmod 600 it")
        if key.verifier != verifier:
            raise SigningKeyUnusable(f"the signing key file {path} holds another key than the log lists")
        return key

    @contextlib.asynccontextmanager
    async def locked(self) -> AsyncGenerator[None]:
        """One signer at a time, among all processes that share these files. Raises SigningKeyUnusable, StoreUnavailable."""
        try:
            descriptor = os.open(self._folder / f"{self._log_name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SigningKeyUnusable(f"the folder of the signing keys cannot be written: {error.filename}") from error
        try:
            for _ in range(_LOCK_TRIES):
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                await asyncio.sleep(_LOCK_PAUSE_S)
            else:
                raise StoreUnavailable("another process is signing; ask again")
            yield
        finally:
            os.close(descriptor)

    def largest_signed(self, origin: str) -> Checkpoint | None:
        """The largest tree of this log that any key signed here. Raises SigningKeyUnusable where a file is damaged."""
        largest: Checkpoint | None = None
        # A log's name holds no dot, so no other log's files are among these.
        for path in self._folder.glob(f"{self._log_name}.????????.signed"):
            try:
                checkpoint = parse_checkpoint(path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, MalformedCheckpoint) as error:
                raise SigningKeyUnusable(f"{path}, what was signed last, cannot be read: {error}") from error
            if checkpoint.origin == origin and (largest is None or checkpoint.size > largest.size):
                largest = checkpoint
        return largest

    def remember_signed(self, verifier: VerifierKey, checkpoint: Checkpoint) -> None:
        """Note down, durably, what is about to be signed; the caller holds the lock and gives the largest."""
        _write(self._path(verifier, "signed"), checkpoint.text())

    def _path(self, verifier: VerifierKey, kind: str) -> Path:
        return self._folder / f"{self._log_name}.{verifier.key_id_hex}.{kind}"


def _write(path: Path, content: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
