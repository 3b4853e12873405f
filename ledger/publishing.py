"""Publishing checkpoints: each new one goes to every target, so that the log cannot be rewritten unnoticed.

    the log grew -> signed -> files, webhooks, witnesses -> the cosignatures of witnesses are kept with the checkpoint

Whoever holds the database and the signing key can make a second history, and sign it. What they cannot do is to make a
witness forget the first one, or a file elsewhere: those refusals are what is told as an error here. Every target has a loop
of its own, so that one which hangs delays no other. Of several processes one at a time publishes to a webhook or a witness, by
a lease of the target; a folder is each machine's own, so every process keeps its files. Each step is safe to repeat all the
same: whoever takes a target over looks at every tenant's checkpoint once, and so does who publishes by hand.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from eventstore import read, tree
from eventstore.database import StoreUnavailable
from eventstore.signing_keys import SigningKeyUnusable
from eventstore.tree import TreeIncomplete
from ledger.assembly import Ledger, Tenant
from ledger.checkpoint_targets import FileTarget, Target, Targets, WebhookTarget, WitnessTarget
from ledger.checkpoints import LogRewritten, SignedCheckpoint, checkpoint, keep_cosignature, latest_cosigned_size
from ledger.outgoing import ANSWER_BYTES_MAX, Answer, NotAnswered, OutgoingClient
from ledger.outgoing_addresses import ANYWHERE
from ledger.proofs import consistency_proof
from projections.lease import ALL_TENANTS, DURATION_S, LeaseLost, held
from tlog.checkpoint import Checkpoint, MalformedCheckpoint, decode_decimal, parse_checkpoint
from tlog.note import (
    MalformedNote,
    SignatureLine,
    UnverifiedNote,
    VerifierKey,
    encode_base64,
    parse_note,
    signed,
    verify_cosignature,
)

TIMEOUT_S = 10.0
COSIGNATURE_AHEAD_S = 300
_TENANTS_AT_ONCE = 8
_REPLACE_TRIES = 3
_SIZE_TYPE = "text/x.tlog.size"
_ROLLED_BACK = "the witness has seen a larger log: this database was rolled back"
_TEXT = "text/plain; charset=utf-8"
_log = logging.getLogger("consentry.ledger.publishing")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one tenant's checkpoint at one target, in words for people."""

    tenant: str
    target: str
    succeeded: bool
    said: str


class _Failed(Exception):
    """A target did not take the checkpoint; says why. It is asked again in the next round."""


class _Alarm(_Failed):
    """What a target holds contradicts this log: somebody rewrote it, or rolled it back."""


class Publisher:
    """Sends the checkpoints of all tenants to the targets; used as a context, which holds the HTTP client."""

    def __init__(
        self, ledger: Ledger, targets: Targets, *, timeout_s: float = TIMEOUT_S, lease_s: float = DURATION_S
    ) -> None:
        self._ledger = ledger
        self._lease_s = lease_s
        self._targets = targets
        # The operator names these in a file: they may be anywhere.
        self._client = OutgoingClient(https=ANYWHERE, http=ANYWHERE, timeout_s=timeout_s)
        self._published: dict[tuple[int, Target], int] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close what connections there are."""
        await self._client.close()

    async def publish_once(self, tenant: Tenant | None = None) -> list[Outcome]:
        """One round: what changed since this publisher last succeeded, of one tenant or of all, to every target.

        A failure is an outcome, and logged; raises only StoreUnavailable, where the tenants cannot be listed.
        """
        only = None if tenant is None else tenant.id
        outcomes = await asyncio.gather(*(self._publish_to(target, only) for target in self._targets.all))
        return sorted((one for some in outcomes for one in some), key=lambda outcome: outcome.tenant)

    async def run(self, stop: asyncio.Event) -> None:
        """Rounds until `stop` is set, whatever goes wrong in one of them."""
        await asyncio.gather(*(self._run(target, stop) for target in self._targets.all))

    async def _run(self, target: Target, stop: asyncio.Event) -> None:
        if isinstance(target, FileTarget):
            await self._rounds(target, stop)
            return
        while not stop.is_set():
            try:
                async with held(self._ledger.pool, ALL_TENANTS, _lease_name(target), duration_s=self._lease_s) as lease:
                    if lease is not None:
                        # Whoever had it meanwhile may have met a log that was rewritten, or rolled back and grown again.
                        self._forget(target)
                        await self._rounds(target, stop)
            except LeaseLost:
                fields = {"target": target.name}
                _log.warning("another process may publish to a target by now", extra={"fields": fields})
            except StoreUnavailable:
                _log.warning("the store does not answer; checkpoints are published later")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._lease_s / 2)

    def _forget(self, target: Target) -> None:
        self._published = {place: size for place, size in self._published.items() if place[1] != target}

    async def _rounds(self, target: Target, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._publish_to(target, None)
            except StoreUnavailable:
                _log.warning("the store does not answer; checkpoints are published later")
            except Exception as error:  # noqa: BLE001 - the loop has to outlive whatever one round meets
                _log.error("a round of publishing failed", exc_info=error, extra={"fields": {"target": target.name}})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._targets.every_seconds)

    async def _publish_to(self, target: Target, only: int | None) -> list[Outcome]:
        async with self._ledger.connection() as connection:
            rows = await connection.fetch(
                "SELECT t.tenant, t.key, h.size FROM tenants t JOIN log_heads h ON h.tenant = t.tenant"
                " WHERE h.size > 0 AND ($1::int IS NULL OR t.tenant = $1) ORDER BY t.key",
                only,
            )
        at_once = asyncio.Semaphore(_TENANTS_AT_ONCE)

        async def publish(tenant: int, key: str) -> Outcome:
            async with at_once:
                return await self._publish(target, tenant, key)

        # Not equal, rather than greater: a log that shrank is what most needs to be looked at.
        changed = [row for row in rows if self._published.get((row[0], target)) != row[2]]
        return await asyncio.gather(*(publish(row[0], row[1]) for row in changed))

    async def _publish(self, target: Target, tenant_id: int, key: str) -> Outcome:
        fields: dict[str, object] = {"tenant": key, "target": target.name}
        try:
            tenant = await self._ledger.tenant_by_id(tenant_id)
            new = await checkpoint(tenant)
            said = await self._send(target, tenant, new)
        except (_Failed, StoreUnavailable) as failure:
            said = str(failure)
            _log.log(logging.ERROR if isinstance(failure, _Alarm) else logging.WARNING, said, extra={"fields": fields})
            return Outcome(key, target.name, succeeded=False, said=said)
        except (LogRewritten, SigningKeyUnusable, TreeIncomplete) as error:
            _log.error("nothing can be signed: %s", error, extra={"fields": fields})
            return Outcome(key, target.name, succeeded=False, said=str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other tenants and targets go on
            _log.error("publishing a checkpoint failed", exc_info=error, extra={"fields": fields})
            return Outcome(key, target.name, succeeded=False, said=f"an unexpected {type(error).__name__}")
        self._published[tenant_id, target] = new.checkpoint.size
        _log.info("checkpoint published", extra={"fields": {**fields, "size": new.checkpoint.size}})
        return Outcome(key, target.name, succeeded=True, said=said)

    async def _send(self, target: Target, tenant: Tenant, new: SignedCheckpoint) -> str:
        match target:
            case FileTarget():
                return await _keep_in_files(tenant, new, target.folder / tenant.key)
            case WebhookTarget():
                return await self._tell_webhook(new, target)
            case WitnessTarget():
                return await self._ask_witness(tenant, new, target)

    async def _tell_webhook(self, new: SignedCheckpoint, target: WebhookTarget) -> str:
        answer = await self._post(target.url, new.note, {"Consentry-Origin": new.checkpoint.origin})
        if not 200 <= answer.status < 300:
            raise _Failed(f"it answered {answer.status}")
        return f"told of size {new.checkpoint.size}"

    async def _ask_witness(self, tenant: Tenant, new: SignedCheckpoint, target: WitnessTarget) -> str:
        size = new.checkpoint.size
        since = await latest_cosigned_size(tenant, target.key.text())
        if since > size:
            return await _seen_larger(tenant, since)
        if since == size:
            return await _still_cosigned(tenant, size, target.key)
        answer = await self._add_checkpoint(tenant, new, target, since)
        if answer.status == 409:
            known = _size_in(answer)
            if known is None:
                raise _Failed("the witness answered 409 without the size that it has")
            if known > size:
                return await _seen_larger(tenant, known)
            if known < since:
                fields = {"tenant": tenant.key, "target": target.name, "cosigned": since, "known": known}
                _log.warning("the witness has forgotten what it cosigned", extra={"fields": fields})
            since = known
            answer = await self._add_checkpoint(tenant, new, target, since)
        if answer.status == 409:
            known = _size_in(answer)
            if since == size and known in (None, size):
                raise _Alarm("the witness has another root of this size: the log was rewritten")
            if known is not None and known > size:
                return await _seen_larger(tenant, known)
            raise _Failed("the witness answered 409 for the size that it named itself")
        if answer.status != 200:
            raise _refusal(answer.status)
        line = _cosignature_in(answer, new, target.key, tenant.ledger.clock().timestamp())
        await keep_cosignature(tenant, size, target.key.text(), line)
        return f"cosigned size {size}"

    async def _add_checkpoint(self, tenant: Tenant, new: SignedCheckpoint, target: WitnessTarget, since: int) -> Answer:
        """C2SP tlog-witness, "add-checkpoint"."""
        proof = await consistency_proof(tenant, since, new.checkpoint.size)
        lines = "".join(f"{encode_base64(node)}\n" for node in proof.hashes)
        body = f"old {since}\n{lines}\n{_signed_by_log(new)}"
        return await self._post(f"{target.url}/add-checkpoint", body, {})

    async def _post(self, url: str, content: str, headers: Mapping[str, str]) -> Answer:
        """Raises _Failed; neither that nor the log names the URL."""
        try:
            return await self._client.post(url, content.encode(), {"Content-Type": _TEXT, **headers})
        except NotAnswered as error:
            raise _Failed(str(error)) from None


def _signed_by_log(new: SignedCheckpoint) -> str:
    """The note with the log's own signature only: what other witnesses said is no business of this one."""
    note = parse_note(new.note)
    return signed(note.text, *(f"{line.line}\n" for line in _lines_of(new, VerifierKey.parse(new.verifier_key))))


def _lines_of(new: SignedCheckpoint, key: VerifierKey) -> list[SignatureLine]:
    lines = parse_note(new.note).signature_lines
    return [line for line in lines if (line.name, line.key_id) == (key.name, key.key_id)]


async def _seen_larger(tenant: Tenant, known: int) -> str:
    """Tell a log that another process made grow, and published, from one that lost events. Raises _Alarm."""
    async with tenant.ledger.connection() as connection:
        head = await read.head(connection, tenant.id)
    if known > head.size:
        raise _Alarm(_ROLLED_BACK)
    return f"size {known} is cosigned by now"


async def _still_cosigned(tenant: Tenant, size: int, key: VerifierKey) -> str:
    """That the cosignature kept is for the root that is signed now. Raises _Alarm."""
    new = await checkpoint(tenant, size)
    try:
        for line in _lines_of(new, key):
            verify_cosignature(parse_note(new.note).text, line, key)
    except UnverifiedNote:
        raise _Alarm("the witness cosigned another root of this size: the log was rewritten") from None
    return f"size {size} is cosigned already"


def _size_in(answer: Answer) -> int | None:
    """The size that a 409 states, or None where it states none."""
    if answer.content_type.partition(";")[0].strip().lower() != _SIZE_TYPE:
        return None
    try:
        return decode_decimal(answer.body.decode("ascii").removesuffix("\n"))
    except ValueError:
        return None


def _lease_name(target: WebhookTarget | WitnessTarget) -> str:
    """The same in every process that has this target; its URL cannot be read from it."""
    return f"publish-{hashlib.sha256(f'{target.name} {target.url}'.encode()).hexdigest()[:32]}"


def _refusal(status: int) -> _Failed:
    match status:
        case 400:
            return _Failed("the witness answered 400: it finds the request malformed")
        case 403:
            return _Failed("the witness answered 403: it trusts no key that signed; give it the log's verifier keys")
        case 404:
            return _Failed("the witness answered 404: it does not know this log, or the URL is not a witness's")
        case 422:
            return _Alarm("the witness answered 422: the log does not continue what it cosigned; the log was rewritten")
        case _:
            return _Failed(f"the witness answered {status}")


def _cosignature_in(answer: Answer, new: SignedCheckpoint, key: VerifierKey, now_s: float) -> str:
    """The line by which the witness cosigned. Raises _Failed; lines of keys that nobody configured are ignored."""
    text = new.checkpoint.text()
    if len(answer.body) > ANSWER_BYTES_MAX:
        raise _Failed(f"the witness answered with more than {ANSWER_BYTES_MAX} bytes")
    try:
        note = parse_note(b"%s\n%s" % (text.encode(), answer.body))
        if note.text != text:
            raise MalformedNote("a blank line among the signatures")
    except MalformedNote:
        raise _Failed("the witness answered with something else than signature lines") from None
    lines = [line for line in note.signature_lines if (line.name, line.key_id) == (key.name, key.key_id)]
    if not lines:
        raise _Failed("the witness answered without a cosignature by its configured key")
    try:
        cosigned = {verify_cosignature(text, line, key).timestamp_s: line.line for line in lines}
    except UnverifiedNote:
        raise _Failed("the witness answered with a cosignature that is not over this checkpoint") from None
    latest = max(cosigned)
    if latest > now_s + COSIGNATURE_AHEAD_S:
        raise _Failed(f"the witness states a time more than {COSIGNATURE_AHEAD_S} seconds ahead")
    return cosigned[latest]


async def _keep_in_files(tenant: Tenant, new: SignedCheckpoint, folder: Path) -> str:
    """FOLDER/SIZE.checkpoint for ever, FOLDER/latest.checkpoint as it grows. Raises _Failed, _Alarm."""
    latest = folder / "latest.checkpoint"
    try:
        await asyncio.to_thread(_keep_size, folder, new)
        for _ in range(_REPLACE_TRIES):
            there = await asyncio.to_thread(_read, latest)
            if there is not None:
                await _check_continues(tenant, there, new.checkpoint.origin)
                if there.size >= new.checkpoint.size:
                    break
            # Another process may have written meanwhile: then what is there now is looked at first.
            if await asyncio.to_thread(_replace, latest, there, new.note):
                break
        else:
            raise _Failed("other processes write the latest checkpoint all the time")
    except OSError as error:
        raise _Failed(f"the file cannot be written: {error.strerror}") from None
    return f"size {new.checkpoint.size} is kept"


async def _check_continues(tenant: Tenant, there: Checkpoint, origin: str) -> None:
    """That the log still holds the tree that a file states. Raises _Alarm."""
    if there.origin != origin:
        raise _Alarm("the latest checkpoint there is another log's")
    async with tenant.ledger.connection() as connection:
        head = await read.head(connection, tenant.id)
        if there.size > head.size:
            raise _Alarm("the latest checkpoint there is of a larger log: this database was rolled back")
        if await tree.root_at(connection, tenant.id, there.size) != there.root:
            raise _Alarm("the latest checkpoint there is of another log than this one: the log was rewritten")


def _keep_size(folder: Path, new: SignedCheckpoint) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{new.checkpoint.size}.checkpoint"
    with _locked(folder):
        there = _read(path)
        if there is None:
            _write(path, new.note)
            _sync(folder.parent)
        elif there != new.checkpoint:
            raise _Alarm("another checkpoint of this size is there")


def _replace(path: Path, expected: Checkpoint | None, note: str) -> bool:
    """Replace what is there if it is what is expected."""
    with _locked(path.parent):
        if _read(path) != expected:
            return False
        _write(path, note)
        return True


def _read(path: Path) -> Checkpoint | None:
    """The checkpoint that a file states, which nobody verified: to be compared, not believed. Raises OSError, _Failed."""
    try:
        return parse_checkpoint(parse_note(path.read_bytes()).text)
    except FileNotFoundError:
        return None
    except (MalformedNote, MalformedCheckpoint):
        raise _Failed(f"{path.name} is there and is no checkpoint") from None


@contextlib.contextmanager
def _locked(folder: Path) -> Generator[None]:
    """One writer at a time, among all processes of this machine."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, content: str) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as file:
            file.write(content.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
