"""One process of a server writes each log, whichever of them is asked to record.

Processes that each write groups of their own to one log make small groups of large ones, and prepare many in vain: each of
several then adds work, and the total falls. So of the workers of a server one writes a tenant's captures, by its number, and
the others hand theirs over, checked and hashed already: what is left is what the catalogue and the log say.

The order of a log does not rest on this. Who cannot reach that worker appends itself, and the log's head keeps order between any
processes (`eventstore.append`). What a worker was handed when it was killed may or may not be recorded; so it is said, and
asking again with the same idempotency key is without risk.

Nothing is written after whoever asked was told that it may not have been: a capture is decided within TAKEN_FOR_S of being
handed over, or refused, and nobody is told so before that time is up. A worker that hung, and comes to itself, would else
record an opt-in with a later instant than the opt-out that another has recorded meanwhile.
"""

import asyncio
import contextlib
import logging
import os
import stat
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import msgspec

from domain.consent import ConsentValue
from domain.opt_in_rules import EvidenceLacking
from domain.refusals import Refusal, RefusalCode
from eventstore.command import Appended, Before, Command, Draft
from eventstore.database import StoreUnavailable
from eventstore.read import StoredEntry
from ledger.assembly import Ledger, Tenant
from ledger.existing_consent import ConsentKept
from ledger.record import PreparedCapture, Recorded, command_of, recorded_or_refused
from ledger.unit_scope import TenantOfUnit
from ledger.worker_link import SILENCE_MAX_S, Asking, LinkLost, Wire, decoder_of
from tlog import entry

# By the clock that all processes of a machine share, and that goes on while one of them is stopped.
TAKEN_FOR_S = 3.0
_CONNECT_EVERY_S = 0.5
_LEAVE_S = 10.0
_log = logging.getLogger("consentry.ledger.shared_writing")


@dataclass(frozen=True, slots=True)
class Place:
    """Which worker of a server this is, of how many, and the folder of their sockets, which must be theirs alone."""

    folder: Path
    number: int
    count: int

    def socket(self, number: int) -> str:
        """Where a worker answers the others."""
        return str(self.folder / f"{number}.sock")

    def is_private(self) -> bool:
        """Whether the folder is there, this user's, and nobody else may enter it: what is said on a socket there is done."""
        try:
            found = self.folder.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


class _Asked(msgspec.Struct, array_like=True, frozen=True, tag="asked"):
    number: int
    # Until when, by `time.monotonic`, it may be decided.
    until_s: float
    tenant: int
    unit: str | None
    application: str | None
    captures: tuple[PreparedCapture, ...]


class _Ping(msgspec.Struct, array_like=True, frozen=True, tag="ping"):
    pass


class _Bye(msgspec.Struct, array_like=True, frozen=True, tag="bye"):
    """I ask you no more: end the connection once you have answered."""


class _RecordedThere(msgspec.Struct, array_like=True, frozen=True, tag="recorded"):
    # (bytes, leaf hash) of each event.
    entries: tuple[tuple[bytes, bytes], ...]
    repeated: bool
    kept: ConsentKept | None
    known: tuple[Before | None, ...]


class _RefusedThere(msgspec.Struct, array_like=True, frozen=True, tag="refused"):
    code: RefusalCode
    message: str
    path: tuple[str, ...]
    evidence_lacking: bool


class _FailedThere(msgspec.Struct, array_like=True, frozen=True, tag="failed"):
    # Whether it is the store that does not answer: then asking again may help.
    unavailable: bool
    message: str


_Outcome: TypeAlias = _RecordedThere | _RefusedThere | _FailedThere


class _Answered(msgspec.Struct, array_like=True, frozen=True, tag="answered"):
    number: int
    outcomes: tuple[_Outcome, ...]


class _Leaving(msgspec.Struct, array_like=True, frozen=True, tag="leaving"):
    """Ask me no more: I end once I have answered."""


class _Pong(msgspec.Struct, array_like=True, frozen=True, tag="pong"):
    pass


_Question: TypeAlias = _Asked | _Ping | _Bye
_Answer: TypeAlias = _Answered | _Leaving | _Pong
_QUESTIONS = decoder_of(_Question)
_ANSWERS = decoder_of(_Answer)


class SharedWriting:
    """What a worker hands to the others, and what it writes for them."""

    def __init__(self, ledger: Ledger, place: Place) -> None:
        self._ledger = ledger
        self._place = place
        # Those that can be asked now, by their numbers.
        self.writers: dict[int, _ToWriter] = {}
        self._asked_by: set[_FromWorker] = set()
        self._tenants_of_units: dict[tuple[int, str], Tenant] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Hand over and take for as long as the context lasts; at its end, what was taken is answered first."""
        if not self._place.is_private():
            _log.warning("the folder of the workers' sockets has gone, or is another's: each worker appends itself")
            yield
            return
        server = await self._listen()
        others = [number for number in range(self._place.count) if number != self._place.number]
        tasks = [asyncio.create_task(self._stay_connected(number), name="to-writer") for number in others]
        self._ledger.other_writers = self
        try:
            yield
        finally:
            self._ledger.other_writers = None
            if server is not None:
                server.close()
            await self._leave()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def record(
        self, tenant: Tenant, application: str | None, captures: Sequence[PreparedCapture]
    ) -> list[Recorded | Refusal | Exception] | None:
        """What became of each capture, by the worker that writes the tenant's log; None where that is this process's to do.

        Raises StoreUnavailable where the outcome may be unknown, and trying again here would not be without risk.
        """
        writer = self.writers.get(tenant.id % self._place.count)
        if writer is None or writer.leaving:
            return None
        until_s = time.monotonic() + TAKEN_FOR_S
        try:
            outcomes = await writer.ask(tenant, application, captures, until_s)
        except LinkLost as error:
            if error.hangs:
                # It may come to itself until then, and write.
                await asyncio.sleep(max(0.0, until_s - time.monotonic()))
            if all(_may_be_tried_again(capture, late=error.hangs) for capture in captures):
                return None
            raise StoreUnavailable(str(error)) from error
        if outcomes is None:
            return None
        if any(isinstance(one, _FailedThere) and one.unavailable for one in outcomes) and all(
            _may_be_tried_again(capture, late=True) for capture in captures
        ):
            return None
        return [_here(capture, outcome) for capture, outcome in zip(captures, outcomes, strict=True)]

    async def write(self, asked: Sequence[_Asked]) -> list[_Answered]:
        """Append what was asked of one tenant, by callers that see it alike."""
        first = asked[0]
        try:
            tenant = await self._tenant(first.tenant, first.unit)
            commands = [_command(tenant, one, capture) for one in asked for capture in one.captures]
            appended = iter(zip(commands, await tenant.log.append_all(commands), strict=True))
            return [
                _Answered(one.number, tuple([await _there(tenant, *next(appended)) for _ in one.captures]))
                for one in asked
            ]
        except Exception as error:  # noqa: BLE001 - told to each who asked; none of them may wait for ever
            failed = _failed(error)
            return [_Answered(one.number, tuple(failed for _ in one.captures)) for one in asked]

    async def _listen(self) -> asyncio.Server | None:
        path = self._place.socket(self._place.number)
        try:
            # What a killed worker of this place has left.
            Path(path).unlink(missing_ok=True)
            return await asyncio.get_running_loop().create_unix_server(lambda: _FromWorker(self), path)
        except OSError as error:
            # A name that is too long for a socket: the others append themselves.
            _log.warning("other workers cannot hand over to this one", exc_info=error)
            return None

    async def _stay_connected(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(OSError):
                _, writer = await loop.create_unix_connection(_ToWriter, self._place.socket(number))
                try:
                    # The system takes connections for a process that is stopped, too.
                    if await writer.answers():
                        self.writers[number] = writer
                        await writer.closed
                finally:
                    self.writers.pop(number, None)
                    writer.abort()
                if writer.hangs:
                    _log.warning(
                        "the worker that writes does not answer; the others write", extra={"fields": {"number": number}}
                    )
            await asyncio.sleep(_CONNECT_EVERY_S)

    async def _leave(self) -> None:
        """Answer what the others have asked. They ask no more once they know; until then it is taken."""
        for link in self._asked_by:
            link.send(_Leaving())
        if self._asked_by:
            await asyncio.wait([link.closed for link in self._asked_by], timeout=_LEAVE_S)
        for link in list(self._asked_by):
            link.abort()

    def met(self, link: "_FromWorker") -> None:
        """Another worker has connected."""
        self._asked_by.add(link)
        link.closed.add_done_callback(lambda _: self._asked_by.discard(link))

    async def _tenant(self, tenant_id: int, unit: str | None) -> Tenant:
        whole = await self._ledger.tenant_by_id(tenant_id)
        if unit is None:
            return whole
        tenant = self._tenants_of_units.get((tenant_id, unit))
        if tenant is None:
            tenant = self._tenants_of_units[tenant_id, unit] = TenantOfUnit(whole, unit)
        return tenant


class _ToWriter(Wire[_Question, _Answer]):
    """This process's end of the connection to a worker that writes for it."""

    def __init__(self) -> None:
        super().__init__(_ANSWERS)
        self._asking = Asking[_Answered](ping=lambda: self.send(_Ping()), give_up=self.abort)
        self._has_answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.leaving = False

    @property
    def hangs(self) -> bool:
        """Whether it was given up."""
        return self._asking.hangs

    async def answers(self) -> bool:
        """Whether somebody is at the other end, once that is known."""
        self.send(_Ping())
        await asyncio.wait(
            (self._has_answered, self.closed), timeout=SILENCE_MAX_S, return_when=asyncio.FIRST_COMPLETED
        )
        return self._has_answered.done() and not self.leaving

    async def ask(
        self, tenant: Tenant, application: str | None, captures: Sequence[PreparedCapture], until_s: float
    ) -> Sequence[_Outcome] | None:
        """What became of each; None where they cannot be handed over. Raises LinkLost."""
        number = self._asking.next_number()
        try:
            self.send(_Asked(number, until_s, tenant.id, tenant.unit, application, tuple(captures)))
        except (TypeError, OverflowError, ValueError, RecursionError):
            return None  # a number that has no place in a message; nothing of it was sent
        return (await self._asking.answer(number)).outcomes

    def received(self, messages: Sequence[_Answer]) -> None:
        """Give each answer to who waits for it."""
        self._asking.heard()
        if not self._has_answered.done():
            self._has_answered.set_result(None)
        for message in messages:
            if isinstance(message, _Answered):
                self._asking.settle(message.number, message)
            elif isinstance(message, _Leaving):
                self.leaving = True
                self.send(_Bye())

    def lost(self) -> None:
        """Whoever waits learns that no answer comes."""
        self.leaving = True
        self._asking.lost()


class _FromWorker(Wire[_Answer, _Question]):
    """The other end: another worker, for which this process writes."""

    def __init__(self, writing: SharedWriting) -> None:
        super().__init__(_QUESTIONS)
        self._writing = writing
        self._tasks: set[asyncio.Task[None]] = set()
        writing.met(self)

    def received(self, messages: Sequence[_Question]) -> None:
        """Write what came together, each tenant's together."""
        together: dict[tuple[int, str | None], list[_Asked]] = {}
        asks_no_more = False
        for message in messages:
            match message:
                case _Asked():
                    together.setdefault((message.tenant, message.unit), []).append(message)
                case _Ping():
                    self.send(_Pong())
                case _Bye():
                    asks_no_more = True
        for asked in together.values():
            task = asyncio.create_task(self._answer(asked), name="write-for-worker")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if asks_no_more:
            # What it has asked is answered, that of this moment included; then the connection ends.
            asyncio.gather(*self._tasks).add_done_callback(lambda _: self.close())

    async def _answer(self, asked: Sequence[_Asked]) -> None:
        for answer in await self._writing.write(asked):
            self.send(answer)


def _may_be_tried_again(capture: PreparedCapture, *, late: bool) -> bool:
    """Whether it can be appended here after all: an opt-out in any case, since one that is recorded twice, or late, says nothing
    else; anything else under a key, and where it comes `late` only with an instant of its own. Without one it would get that of
    now, and overrule what the person has said since.
    """
    if capture.value is ConsentValue.OPTED_OUT:
        return True
    keyed = capture.key is not None or bool(capture.parts)
    return keyed and (not late or capture.effective_at is not None)


def _command(tenant: Tenant, asked: _Asked, capture: PreparedCapture) -> Command:
    """The command of a capture, which is refused where it would be decided too late."""
    command = command_of(tenant, asked.application, capture)

    def decide(recorded_at: datetime) -> Sequence[Draft]:
        if time.monotonic() > asked.until_s:
            raise StoreUnavailable("it was handed over too long ago")
        return command.decide(recorded_at)

    return command._replace(decide=decide)


async def _there(tenant: Tenant, command: Command, appended: Appended | BaseException) -> _Outcome:
    """What became of a command, as it is told to the worker that it is of."""
    try:
        outcome = await recorded_or_refused(tenant, command, appended)
    except Exception as error:  # noqa: BLE001 - of this command alone
        return _failed(error)
    if isinstance(outcome, Refusal):
        return _RefusedThere(outcome.code, outcome.message, outcome.path, isinstance(outcome, EvidenceLacking))
    existing = outcome.existing
    return _RecordedThere(
        tuple((stored.raw, stored.leaf_hash) for stored in outcome.events),
        outcome.repeated,
        None if existing is None else existing.kept,
        () if existing is None else existing.known,
    )


def _failed(error: Exception) -> _FailedThere:
    if isinstance(error, StoreUnavailable):
        return _FailedThere(unavailable=True, message=str(error))
    _log.error("writing for another worker failed", exc_info=error)
    return _FailedThere(unavailable=False, message="the worker that writes this log failed at it, and has logged why")


def _here(capture: PreparedCapture, outcome: _Outcome) -> Recorded | Refusal | Exception:
    """The same as it would be had it been written here."""
    match outcome:
        case _RecordedThere(entries, repeated, kept, known):
            events = tuple(StoredEntry(entry.read(raw), raw, leaf_hash) for raw, leaf_hash in entries)
            existing = capture.existing()
            if existing is not None:
                existing.kept, existing.known = kept, known
            return Recorded(events, repeated, existing)
        case _RefusedThere(code, message, path, evidence_lacking):
            return (EvidenceLacking if evidence_lacking else Refusal)(code, message, path)
        case _FailedThere(unavailable, message):
            return StoreUnavailable(message) if unavailable else RuntimeError(message)
