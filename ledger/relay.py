"""Publishing the log to NATS JetStream: every entry, byte for byte, in its order, each once, in a stream of each tenant's own.

The stream holds the entry of position p as its message number p + 1, and nothing else. So the stream itself says where to go
on, and each publish names the number that must come before it: of any number of relays one wins each position, and whoever
publishes twice, out of order, or after a time away is refused by the server, however long ago it was.

    claim      make the stream or look at it: whose is it, what does it hold last, does the log hold the same
    publish    in log order, up to WINDOW entries not yet acknowledged
    stand by   another relay was faster: wait, and claim again

What ends it (NATS gone, database gone, this process killed) loses nothing, for nothing is remembered but in the stream.
"""
# pyright: reportUnknownMemberType=false
# (for the client library's types have holes)

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError
from nats.js import JetStreamContext
from nats.js.api import Header, RawStreamMsg, StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from eventstore import read
from eventstore.database import StoreUnavailable
from eventstore.follow import follow
from eventstore.read import StoredEntry
from ledger.assembly import Ledger, Tenant
from ledger.catalogue import subject_of
from ledger.nats_connection import NatsAway, NatsServer, connected
from ledger.signing import verifier_keys
from tlog.entry import ENTRY_BYTES_MAX
from tlog.note import encode_base64

# Entries under way and not yet acknowledged: at most 16 MB of them, were each as long as an entry can be.
WINDOW = 256
ACKNOWLEDGED_WITHIN_S = 10.0
STAND_BY_S = 1.0
TRY_AGAIN_S = 1.0
TENANTS_EVERY_S = 5.0
CANCELLED_AGAIN_AFTER_S = 0.5
# So many tenants' streams are looked up at once when the relay begins.
BEGINNING_MAX = 4
MESSAGE_BYTES_MAX = ENTRY_BYTES_MAX + 4_096
ORIGIN = "Consentry-Origin"
POSITION = "Consentry-Position"
LEAF_HASH = "Consentry-Leaf-Hash"
NO_PURPOSE = "_"
_DESCRIPTION = "Consentry log "
_WRONG_LAST_SEQUENCE = 10071
_STREAM_DOES_NOT_MATCH = 10060
_MESSAGE_TOO_LARGE = 10054
_NO_RESPONDERS = "503"


class RelayRefused(Exception):
    """The stream is not one that this log can be published to, and waiting will not make it one; says why."""


class _LostRace(Exception):
    """Somebody else wrote what would have been next."""


class _TryAgain(Exception):
    """It does not work now; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayTarget:
    """Where to: the server, the first part of all subjects, and the stream's name if it is not the usual one."""

    server: NatsServer
    subject_prefix: str
    stream: str | None = None

    def stream_of(self, tenant: Tenant) -> str:
        """The stream that holds the tenant's log."""
        return self.stream or f"{self.subject_prefix.replace('.', '-')}-{tenant.key}"

    def subjects_of(self, tenant: Tenant) -> str:
        """All subjects of that stream. Keys have no dot, no blank and no wildcard, so each is one token."""
        return f"{self.subject_prefix}.{tenant.key}.>"

    def subject_of(self, tenant: Tenant, stored: StoredEntry) -> str:
        """PREFIX.TENANT.PURPOSE.TYPE; `_`, which is no key, where an event is about no purpose."""
        purpose, _ = subject_of(stored.entry.type, stored.entry.data)
        return f"{self.subject_prefix}.{tenant.key}.{purpose or NO_PURPOSE}.{stored.entry.type}"


class _Acknowledgement(NamedTuple):
    position: int
    said: dict[str, Any]


class Relay:
    """Publishes one tenant's log, or every tenant's, until it is told to stop."""

    def __init__(
        self,
        ledger: Ledger,
        target: RelayTarget,
        *,
        only: Tenant | None,
        tell: Callable[[str], None],
        progress: Callable[[str, int], None],
    ) -> None:
        self._ledger = ledger
        self._target = target
        self._only = only
        self._tell = tell
        self._progress = progress
        self.refused: dict[str, str] = {}
        # Of hundreds of tenants, all at once would leave nobody a connection in time, themselves included.
        self._beginning = asyncio.Semaphore(BEGINNING_MAX)

    async def run(self, stop: asyncio.Event) -> None:
        """Publish what is there and what comes, whatever goes away in between, until `stop` is set.

        A tenant whose stream is refused stands in `refused`, and the others go on. Raises RelayRefused where it is the only one.
        """
        while not stop.is_set():
            try:
                async with connected(self._target.server) as (client, lost):
                    self._tell(f"connected to {self._target.server.shown}")
                    await self._work(client, lost, stop)
                if not stop.is_set():
                    self._tell("the connection to NATS is lost")
            except NatsAway as away:
                self._tell(f"{away}; trying again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TRY_AGAIN_S):
                    await stop.wait()

    async def _work(self, client: Client, lost: asyncio.Event, stop: asyncio.Event) -> None:
        """Every tenant in a task of its own, until the connection is lost or `stop` is set."""
        ends = [asyncio.create_task(event.wait()) for event in (lost, stop)]
        at_work: dict[str, asyncio.Task[None]] = {}
        try:
            # Asked, too: a connection has been seen closed that never said so.
            while not client.is_closed and not any(end.done() for end in ends):
                for key in await self._tenants():
                    if key not in at_work and key not in self.refused:
                        at_work[key] = asyncio.create_task(self._keep_publishing(client, key), name=f"relay-{key}")
                await asyncio.wait(
                    [*ends, *(task for task in at_work.values() if not task.done())],
                    timeout=TENANTS_EVERY_S,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in at_work.values():
                    if task.done():
                        task.result()  # what nobody expects ends the relay, loudly
                if self._only is not None and self.refused:
                    raise RelayRefused(self.refused[self._only.key])
        finally:
            await _end([*ends, *at_work.values()])

    async def _tenants(self) -> list[str]:
        if self._only is not None:
            return [self._only.key]
        try:
            async with self._ledger.connection() as connection:
                return [row[0] for row in await connection.fetch("SELECT key FROM tenants ORDER BY key")]
        except StoreUnavailable:
            return []

    async def _keep_publishing(self, client: Client, key: str) -> None:
        """Until its stream is refused, or the connection has closed."""
        while True:
            try:
                async with self._beginning:
                    tenant = await self._ledger.tenant(key)
                    claimed = await _claim(client.jetstream(), self._target, tenant, self._tell)
                await _publish(client, self._target, tenant, claimed, self._progress)
            except RelayRefused as refused:
                self.refused[key] = str(refused)
                if self._only is None:
                    self._tell(f"{key}: REFUSED: {refused}")
                return
            except _LostRace:
                await asyncio.sleep(STAND_BY_S)
            except (_TryAgain, StoreUnavailable) as error:
                self._tell(f"{key}: {error}; trying again")
                await asyncio.sleep(TRY_AGAIN_S)
            except (NatsError, OSError) as error:
                if client.is_closed:
                    return
                self._tell(f"{key}: NATS does not answer ({type(error).__name__}); trying again")
                await asyncio.sleep(TRY_AGAIN_S)


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A stream that this log may be published to, from this position on."""

    origin: str
    next_position: int


async def _claim(
    jetstream: JetStreamContext, target: RelayTarget, tenant: Tenant, tell: Callable[[str], None]
) -> _Claimed:
    """Make the stream, or prove that it holds this log so far. Raises RelayRefused, _TryAgain."""
    origin = (await verifier_keys(tenant))[-1].name
    name = target.stream_of(tenant)
    try:
        info = await _stream(jetstream, target, tenant, origin)
        _check_config(info.config, target.subjects_of(tenant), origin)
        held = info.state.last_seq
        try:
            last = await jetstream.get_last_msg(name, target.subjects_of(tenant))
        except NotFoundError:
            last = None
    except (ServiceUnavailableError, NoRespondersError) as error:
        raise _TryAgain("JetStream does not answer; is it switched on?") from error
    except APIError as error:
        raise _TryAgain(f"JetStream says: {error.description}") from error
    if last is None:
        if held and info.config.description != _DESCRIPTION + origin:
            raise RelayRefused(
                f"stream {name} is empty, has held {held} messages, and does not say of which log; delete it, and it is made anew"
            )
    else:
        held = max(held, last.seq or 0)
        await _check_last(tenant, name, origin, last)
        if last.seq != held:
            tell(
                f"{tenant.key}: messages {(last.seq or 0) + 1} to {held} of stream {name} were taken out of it by somebody"
            )
    async with tenant.ledger.connection() as connection:
        size = (await read.head(connection, tenant.id)).size
    if held > size:
        raise RelayRefused(
            f"stream {name} has held positions up to {held - 1}, the log ends at {size - 1}: it is another log's, or this"
            " database was rolled back"
        )
    tell(
        f"{tenant.key}: stream {name} holds the log up to position {held - 1}"
        if held
        else f"{tenant.key}: stream {name} is new"
    )
    return _Claimed(origin, held)


async def _stream(jetstream: JetStreamContext, target: RelayTarget, tenant: Tenant, origin: str) -> StreamInfo:
    name = target.stream_of(tenant)
    try:
        return await jetstream.stream_info(name)
    except NotFoundError:
        pass
    config = StreamConfig(
        name=name,
        description=_DESCRIPTION + origin,
        subjects=[target.subjects_of(tenant)],
        storage=StorageType.FILE,
    )
    try:
        return await jetstream.add_stream(config)
    except ServiceUnavailableError:
        raise
    except APIError as error:
        if error.code == 400:
            raise RelayRefused(f"stream {name} cannot be made: {error.description}") from error
        raise


def _check_config(config: StreamConfig, subjects: str, origin: str) -> None:
    """That nothing but this log can come into the stream, and that it says so when it has. Raises RelayRefused."""
    name, description = config.name, config.description or ""
    if description.startswith(_DESCRIPTION) and description != _DESCRIPTION + origin:
        raise RelayRefused(f"stream {name} belongs to {description.removeprefix(_DESCRIPTION)}, this log is {origin}")
    if config.subjects != [subjects]:
        raise RelayRefused(f"stream {name} must have the one subject {subjects}, it has {config.subjects}")
    if config.mirror is not None or config.sources or config.subject_transform is not None:
        raise RelayRefused(f"stream {name} takes messages from elsewhere, or changes their subjects")
    if config.no_ack or config.sealed:
        raise RelayRefused(f"stream {name} is sealed, or acknowledges nothing")
    if 0 <= (config.max_msg_size if config.max_msg_size is not None else -1) < MESSAGE_BYTES_MAX:
        raise RelayRefused(f"stream {name} must take messages of {MESSAGE_BYTES_MAX} bytes (max_msg_size)")


async def _check_last(tenant: Tenant, name: str, origin: str, last: RawStreamMsg) -> None:
    """That the stream's last message is what the log holds at its place. Raises RelayRefused."""
    number = last.seq or 0
    position = number - 1
    headers = cast(dict[str, str], last.headers or {})
    if headers.get(POSITION) != str(position) or headers.get(ORIGIN) != origin:
        raise RelayRefused(
            f"message {number} of stream {name} is not position {position} of log {origin}: somebody else publishes there"
        )
    async with tenant.ledger.connection() as connection:
        stored = (await read.at_positions(connection, tenant.id, [position])).get(position)
    if stored is None or stored.raw != last.data:
        raise RelayRefused(
            f"message {number} of stream {name} is not what the log holds at position {position}: it is another log's, or"
            " this database was rolled back"
        )


async def _publish(
    client: Client, target: RelayTarget, tenant: Tenant, claimed: _Claimed, progress: Callable[[str, int], None]
) -> None:
    """Everything from the claimed position on, for ever. Raises _LostRace, _TryAgain, RelayRefused, and what NATS raises."""
    acknowledgements: asyncio.Queue[_Acknowledgement] = asyncio.Queue()
    under_way = _UnderWay(asyncio.get_running_loop().time)

    async def heard(message: Msg) -> None:
        said: dict[str, Any] = {}
        if (message.headers or {}).get(Header.STATUS) != _NO_RESPONDERS:
            said = json.loads(message.data)
        acknowledgements.put_nowait(_Acknowledgement(int(message.subject.rpartition(".")[2]), said))

    inbox = client.new_inbox()
    subscription = await client.subscribe(f"{inbox}.*", cb=heard)
    tasks = (
        asyncio.create_task(_send(client, target, tenant, claimed, inbox, under_way)),
        asyncio.create_task(_take(target.stream_of(tenant), tenant, claimed, acknowledgements, under_way, progress)),
    )
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _end(tasks)
        with contextlib.suppress(NatsError, OSError):
            await subscription.unsubscribe()


async def _end(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """Cancel them until each is over, whatever it raises.

    Once is not enough: the client library waits with `asyncio.wait_for`, which before Python 3.12 loses a cancellation that
    comes together with the answer, and a relay that lives on would publish beside the next.
    """
    while going_on := [task for task in tasks if not task.done()]:
        for task in going_on:
            task.cancel()
        await asyncio.wait(going_on, timeout=CANCELLED_AGAIN_AFTER_S)
    await asyncio.gather(*tasks, return_exceptions=True)


class _UnderWay:
    """How many entries were sent and not acknowledged: never more than WINDOW, and none for too long."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._room = asyncio.Semaphore(WINDOW)
        self._count = 0
        self._moved_at = now()

    async def enter(self) -> None:
        await self._room.acquire()
        if not self._count:
            self._moved_at = self._now()
        self._count += 1

    def leave(self) -> None:
        self._count -= 1
        self._moved_at = self._now()
        self._room.release()

    def is_stuck(self) -> bool:
        return self._count > 0 and self._now() - self._moved_at > ACKNOWLEDGED_WITHIN_S


async def _send(
    client: Client, target: RelayTarget, tenant: Tenant, claimed: _Claimed, inbox: str, under_way: _UnderWay
) -> None:
    stream = target.stream_of(tenant)
    entries = follow(tenant.ledger.pool, tenant.ledger.wakeup, tenant.id, after=claimed.next_position - 1)
    async with _closing(entries) as entries:
        async for stored in entries:
            position = stored.position
            await under_way.enter()
            headers = {
                # The leaf hash in it: the same position of another log is no repeat of this one.
                Header.MSG_ID: f"{tenant.key}:{position}:{stored.leaf_hash[:8].hex()}",
                Header.EXPECTED_STREAM: stream,
                Header.EXPECTED_LAST_SEQUENCE: str(position),
                ORIGIN: claimed.origin,
                POSITION: str(position),
                LEAF_HASH: encode_base64(stored.leaf_hash),
            }
            try:
                await client.publish(
                    target.subject_of(tenant, stored), stored.raw, reply=f"{inbox}.{position}", headers=headers
                )
            except MaxPayloadError as error:
                raise RelayRefused(
                    f"the server must take messages of {MESSAGE_BYTES_MAX} bytes (max_payload)"
                ) from error


@contextlib.asynccontextmanager
async def _closing(entries: Any) -> AsyncGenerator[Any]:
    try:
        yield entries
    finally:
        await entries.aclose()


async def _take(
    stream: str,
    tenant: Tenant,
    claimed: _Claimed,
    acknowledgements: "asyncio.Queue[_Acknowledgement]",
    under_way: _UnderWay,
    progress: Callable[[str, int], None],
) -> None:
    """Acknowledgements, which come in the order of what they are for; the first that is not as expected ends it."""
    position = claimed.next_position
    while True:
        try:
            # Not wait_for, which loses a cancellation that comes together with what was waited for.
            async with asyncio.timeout(1.0):
                came = await acknowledgements.get()
        except TimeoutError:
            if under_way.is_stuck():
                raise _TryAgain("JetStream acknowledges nothing") from None
            continue
        if not came.said:
            raise _TryAgain("no stream takes what is published; it has gone, or JetStream has")
        if "error" in came.said:
            raise _meaning(came.said["error"])
        if came.position != position:
            raise _TryAgain("an acknowledgement is missing")
        if (came.said.get("stream"), came.said.get("seq")) != (stream, position + 1):
            raise RelayRefused(
                f"position {position} is message {came.said.get('seq')} of stream {stream}: somebody else publishes there"
            )
        under_way.leave()
        progress(tenant.key, position)
        position += 1


def _meaning(error: dict[str, Any]) -> Exception:
    """What an error in place of an acknowledgement means for whoever published."""
    said = error.get("description", "an error without words")
    match error.get("err_code"):
        case code if code == _WRONG_LAST_SEQUENCE:
            return _LostRace()
        case code if code == _STREAM_DOES_NOT_MATCH:
            return RelayRefused("another stream takes these subjects")
        case code if code == _MESSAGE_TOO_LARGE:
            return RelayRefused(f"the stream must take messages of {MESSAGE_BYTES_MAX} bytes (max_msg_size)")
        case _:
            return _TryAgain(f"JetStream says: {said}")
