"""The log in NATS JetStream: exactly what it holds, in its order, each once, whoever publishes and whatever goes away."""

import asyncio
import contextlib
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, StreamConfig

from domain.addresses import Channel
from domain.consent import ConsentValue
from eventstore import read
from eventstore.database import DatabaseAddress
from ledger import relay as relaying
from ledger.assembly import Caller, Ledger, Tenant, ledger_on
from ledger.nats_connection import NatsServer
from ledger.record import Capture, record_consents
from ledger.relay import Relay, RelayRefused, RelayTarget
from ledger.signing import verifier_keys
from tests.conftest import database_beside
from tests.nats_server import NatsProcess, messages, nats_server
from tlog.hashing import leaf_hash


@pytest.fixture(scope="module")
async def ledger(database: DatabaseAddress, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ledger]:
    """Of these tests alone: a relay of all tenants makes a stream for each, and other tests leave a thousand behind."""
    async with (
        database_beside(database) as beside,
        ledger_on(beside, tmp_path_factory.mktemp("relay") / "master.key") as ledger,
    ):
        yield ledger


@pytest.fixture(scope="module")
async def nats(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsProcess]:
    async with nats_server(tmp_path_factory.mktemp("nats")) as process:
        yield process


async def record(tenant: Tenant, caller: Caller, count: int, name: str = "p") -> None:
    captures = [
        Capture(
            channel=Channel.EMAIL, address=f"{name}{n}@example.org", purpose="commercial", value=ConsentValue.OPTED_OUT
        )
        for n in range(count)
    ]
    await record_consents(tenant, caller, captures)


async def log_of(tenant: Tenant) -> list[read.StoredEntry]:
    async with tenant.ledger.connection() as connection:
        return await read.forward(connection, tenant.id, limit=100_000)


class Running:
    """A relay in a task; `reached` returns once it has published a position."""

    def __init__(self, ledger: Ledger, url: str, only: Tenant | None, **target: str) -> None:
        self.said: list[str] = []
        self.at: dict[str, int] = {}
        self.stop = asyncio.Event()
        self._changed = asyncio.Event()
        self.relay = Relay(
            ledger,
            RelayTarget(server=NatsServer(url=url), **({"subject_prefix": "consentry"} | target)),
            only=only,
            tell=self._tell,
            progress=self._progress,
        )
        self.task = asyncio.create_task(self.relay.run(self.stop))

    def _tell(self, sentence: str) -> None:
        self.said.append(sentence)
        self._changed.set()

    def _progress(self, tenant: str, position: int) -> None:
        self.at[tenant] = position
        self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        try:
            await self._until(holds)
        except TimeoutError:
            raise AssertionError(f"it never came; said {self.said}, at {self.at}") from None

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not holds():
                if self.task.done():
                    self.task.result()
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 1)

    async def end(self) -> None:
        self.stop.set()
        await asyncio.wait_for(self.task, 10)


@contextlib.asynccontextmanager
async def running(ledger: Ledger, url: str, only: Tenant | None, **target: str) -> AsyncIterator[Running]:
    relay = Running(ledger, url, only, **target)
    try:
        yield relay
    finally:
        relay.stop.set()
        await asyncio.wait([relay.task], timeout=10)


async def assert_stream_is_the_log(nats: NatsProcess, tenant: Tenant, stream: str | None = None) -> None:
    log = await log_of(tenant)
    async with nats.client() as client:
        found = await messages(client, stream or f"consentry-{tenant.key}")
    assert [body for _, _, body, _ in found] == [stored.raw for stored in log]
    origin = (await verifier_keys(tenant))[-1].name
    for number, subject, body, headers in found:
        stored = log[number - 1]
        purpose = {"commercial", "transactional", "tracking"} & set(subject.split("."))
        assert subject.split(".")[:2] == ["consentry", tenant.key]
        assert subject.split(".")[3:] == [stored.entry.type]
        assert purpose or subject.split(".")[2] == "_"
        assert headers["Consentry-Position"] == str(number - 1)
        assert headers["Consentry-Origin"] == origin
        assert b64decode(headers["Consentry-Leaf-Hash"]) == leaf_hash(body) == stored.leaf_hash
        assert headers["Nats-Msg-Id"].startswith(f"{tenant.key}:{number - 1}:")


async def test_what_is_there_and_what_comes_is_published_exactly(
    nats: NatsProcess, ledger: Ledger, tenant: Tenant, caller: Caller
) -> None:
    await record(tenant, caller, 700)
    async with running(ledger, nats.url, tenant) as relay:
        await relay.until(lambda: relay.at.get(tenant.key, -1) >= 700)
        await record(tenant, caller, 30, "later")
        size = len(await log_of(tenant))
        await relay.until(lambda: relay.at[tenant.key] == size - 1)
        await relay.end()
    await assert_stream_is_the_log(nats, tenant)


async def test_every_tenant_has_its_own_stream_and_new_ones_are_found(
    nats: NatsProcess, ledger: Ledger, tenant: Tenant, caller: Caller
) -> None:
    from ledger.tenants import create_tenant

    async with running(ledger, nats.url, None) as relay:
        await relay.until(lambda: tenant.key in relay.at)
        newer = await create_tenant(ledger, f"{tenant.key}-newer", "Newer")
        size = len(await log_of(newer))
        await relay.until(lambda: relay.at.get(newer.key) == size - 1)
    await assert_stream_is_the_log(nats, newer)


async def test_few_streams_are_looked_up_at_once_so_that_others_get_a_connection(
    nats: NatsProcess, ledger: Ledger, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ledger.tenants import create_tenant

    news = [await create_tenant(ledger, f"{tenant.key}-{number}", "One of many") for number in range(8)]
    claim, at_once, most = relaying._claim, 0, 0

    async def counted(*given: Any) -> Any:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            return await claim(*given)
        finally:
            at_once -= 1

    monkeypatch.setattr(relaying, "_claim", counted)
    async with running(ledger, nats.url, None) as relay:
        await relay.until(lambda: all(new.key in relay.at for new in news))
    assert most == relaying.BEGINNING_MAX


async def test_a_task_that_loses_its_cancellation_is_over_when_the_relay_is(
    nats: NatsProcess, ledger: Ledger, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, entered, over = relaying._claim, asyncio.Event(), asyncio.Event()

    async def deaf_once(*given: Any) -> Any:
        entered.set()
        try:
            # As `asyncio.wait_for` does before Python 3.12, where the answer and the cancellation come together.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()
        finally:
            over.set()
        return await claim(*given)

    monkeypatch.setattr(relaying, "_claim", deaf_once)
    monkeypatch.setattr(relaying, "CANCELLED_AGAIN_AFTER_S", 0.01)
    relay = Running(ledger, nats.url, tenant)
    await entered.wait()
    await relay.end()
    assert over.is_set()


async def test_two_relays_at_once_and_one_more_later_neither_reorder_nor_repeat(
    nats: NatsProcess, ledger: Ledger, tenant: Tenant, caller: Caller
) -> None:
    await record(tenant, caller, 900)
    async with running(ledger, nats.url, tenant) as one, running(ledger, nats.url, tenant) as other:
        writing = asyncio.create_task(record(tenant, caller, 400, "while"))
        await one.until(lambda: max(one.at.get(tenant.key, 0), other.at.get(tenant.key, 0)) >= 900)
        await writing
        size = len(await log_of(tenant))
        await one.until(lambda: size - 1 in (one.at.get(tenant.key), other.at.get(tenant.key)))
    await assert_stream_is_the_log(nats, tenant)
    await record(tenant, caller, 3, "third")
    async with running(ledger, nats.url, tenant) as third:
        size = len(await log_of(tenant))
        await third.until(lambda: third.at.get(tenant.key) == size - 1)
        assert any(f"holds the log up to position {size - 4}" in said for said in third.said)
    await assert_stream_is_the_log(nats, tenant)


async def test_what_is_published_twice_is_dropped_beyond_the_window_for_repeats(
    nats: NatsProcess, ledger: Ledger, tenant: Tenant
) -> None:
    """As a relay does that was cut off before it heard an acknowledgement, with a stream that forgets ids at once."""
    async with nats.client() as client:
        await client.jetstream().add_stream(
            StreamConfig(name=f"consentry-{tenant.key}", subjects=[f"consentry.{tenant.key}.>"], duplicate_window=0.1)
        )
        async with running(ledger, nats.url, tenant) as relay:
            await relay.until(lambda: relay.at.get(tenant.key) == 6)
        stored = (await log_of(tenant))[6]
        for headers, code in (({}, 10071), ({"Nats-Msg-Id": "another"}, 10071)):
            with pytest.raises(Exception, match=str(code)):
                await client.jetstream().publish(
                    f"consentry.{tenant.key}._.{stored.entry.type}",
                    stored.raw,
                    headers={**headers, "Nats-Expected-Last-Sequence": "6"},
                )
    await assert_stream_is_the_log(nats, tenant)


async def test_messages_that_were_taken_out_are_told_and_their_numbers_stay(
    nats: NatsProcess, ledger: Ledger, tenant: Tenant, caller: Caller
) -> None:
    async with running(ledger, nats.url, tenant) as relay:
        await relay.until(lambda: relay.at.get(tenant.key) == 6)
    async with nats.client() as client:
        jetstream = client.jetstream()
        await jetstream.delete_msg(f"consentry-{tenant.key}", 7)
        await record(tenant, caller, 1)
        async with running(ledger, nats.url, tenant) as relay:
            await relay.until(lambda: relay.at.get(tenant.key) == 7)
            assert any("messages 7 to 7" in said and "taken out" in said for said in relay.said)
        await jetstream.purge_stream(f"consentry-{tenant.key}")
        await record(tenant, caller, 1, "after")
        async with running(ledger, nats.url, tenant) as relay:
            await relay.until(lambda: relay.at.get(tenant.key) == 8)
        [(number, _, body, _)] = await messages(client, f"consentry-{tenant.key}")
    assert (number, body) == (9, (await log_of(tenant))[8].raw)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"subjects": ["elsewhere.>"]}, "must have the one subject"),
        ({"description": "Consentry log consentry.local/log/other/00000000"}, "belongs to consentry.local/log/other"),
        ({"max_msg_size": 1000}, "max_msg_size"),
        ({"no_ack": True}, "acknowledges nothing"),
    ],
)
async def test_a_stream_that_cannot_hold_the_log_is_refused(
    nats: NatsProcess, ledger: Ledger, tenant: Tenant, settings: dict[str, object], why: str
) -> None:
    config = {"name": f"consentry-{tenant.key}", "subjects": [f"consentry.{tenant.key}.>"], **settings}
    if "subjects" in settings:
        config["subjects"] = [f"elsewhere.{tenant.key}.>"]
    async with nats.client() as client:
        await client.jetstream().add_stream(StreamConfig(**config))
    relay = Running(ledger, nats.url, tenant)
    with pytest.raises(RelayRefused, match=why):
        await asyncio.wait_for(relay.task, 20)


async def test_a_stream_of_another_log_is_refused_whatever_it_says_of_itself(
    nats: NatsProcess, ledger: Ledger, tenant: Tenant, caller: Caller
) -> None:
    from ledger.tenants import create_tenant

    name, subject = f"consentry-{tenant.key}", f"consentry.{tenant.key}._.X"
    other = await create_tenant(ledger, f"{tenant.key}-other", "Other")
    origin = (await verifier_keys(tenant))[-1].name
    foreign = (await log_of(other))[0].raw
    async with nats.client() as client:
        jetstream = client.jetstream()
        for headers, why in (
            ({}, "somebody else publishes there"),
            ({"Consentry-Position": "0", "Consentry-Origin": "another"}, "somebody else publishes there"),
            ({"Consentry-Position": "0", "Consentry-Origin": origin}, "not what the log holds at position 0"),
        ):
            await jetstream.add_stream(StreamConfig(name=name, subjects=[f"consentry.{tenant.key}.>"]))
            await jetstream.publish(subject, foreign, headers=headers)
            with pytest.raises(RelayRefused, match=why):
                await asyncio.wait_for(Running(ledger, nats.url, tenant).task, 20)
            assert len(await messages(client, name)) == 1, "nothing was added to it"
            await jetstream.purge_stream(name)
            with pytest.raises(RelayRefused, match="does not say of which log"):
                await asyncio.wait_for(Running(ledger, nats.url, tenant).task, 20)
            await jetstream.delete_stream(name)


async def test_a_stream_longer_than_the_log_is_refused(nats: NatsProcess, ledger: Ledger, tenant: Tenant) -> None:
    async with running(ledger, nats.url, tenant) as relay:
        await relay.until(lambda: relay.at.get(tenant.key) == 6)
    async with nats.client() as client:
        for _ in range(3):
            await client.jetstream().publish(f"consentry.{tenant.key}._.X", b"x")
        await client.jetstream().purge_stream(f"consentry-{tenant.key}")
    with pytest.raises(RelayRefused, match="the log ends at 6"):
        await asyncio.wait_for(Running(ledger, nats.url, tenant).task, 20)


async def test_whoever_publishes_into_the_stream_stops_the_relay_with_a_reason(
    nats: NatsProcess, ledger: Ledger, tenant: Tenant, caller: Caller
) -> None:
    async with running(ledger, nats.url, tenant) as relay:
        await relay.until(lambda: relay.at.get(tenant.key) == 6)
        async with nats.client() as client:
            await client.jetstream().publish(f"consentry.{tenant.key}._.X", b"mine")
        await record(tenant, caller, 1)
        with pytest.raises(RelayRefused, match="somebody else publishes there"):
            await asyncio.wait_for(relay.task, 20)


async def test_a_stream_that_is_full_is_waited_for(
    nats: NatsProcess, ledger: Ledger, tenant: Tenant, caller: Caller
) -> None:
    config = StreamConfig(
        name=f"consentry-{tenant.key}",
        subjects=[f"consentry.{tenant.key}.>"],
        max_msgs=5,
        discard=DiscardPolicy.NEW,
    )
    async with nats.client() as client:
        await client.jetstream().add_stream(config)
        async with running(ledger, nats.url, tenant) as relay:
            await relay.until(lambda: any("maximum messages" in said for said in relay.said))
            config.max_msgs = 100
            await client.jetstream().update_stream(config)
            await relay.until(lambda: relay.at.get(tenant.key) == 6)
    await assert_stream_is_the_log(nats, tenant)


async def test_a_stream_that_is_deleted_is_made_anew_and_filled(
    nats: NatsProcess, ledger: Ledger, tenant: Tenant, caller: Caller
) -> None:
    async with running(ledger, nats.url, tenant) as relay:
        await relay.until(lambda: relay.at.get(tenant.key) == 6)
        async with nats.client() as client:
            await client.jetstream().delete_stream(f"consentry-{tenant.key}")
        await record(tenant, caller, 1)
        await relay.until(lambda: relay.at.get(tenant.key) == 7)
    await assert_stream_is_the_log(nats, tenant)


async def test_nats_that_is_killed_and_comes_back_is_waited_for(
    ledger: Ledger, tenant: Tenant, caller: Caller, tmp_path: Path
) -> None:
    await record(tenant, caller, 900)
    async with nats_server(tmp_path) as nats, running(ledger, nats.url, tenant) as relay:
        for name in ("first", "second"):
            reached = relay.at.get(tenant.key, -1)
            await relay.until(lambda reached=reached: relay.at.get(tenant.key, -1) > reached)
            await nats.kill()
            await record(tenant, caller, 200, name)
            await relay.until(lambda: any("cannot be reached" in said for said in relay.said))
            relay.said.clear()
            await nats.start()
        size = len(await log_of(tenant))
        await relay.until(lambda: relay.at.get(tenant.key) == size - 1)
        await relay.end()
        await assert_stream_is_the_log(nats, tenant)


async def test_a_connection_that_closes_and_does_not_say_so_is_lost(
    ledger: Ledger, tenant: Tenant, caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected = relaying.connected

    @contextlib.asynccontextmanager
    async def that_never_says(server: NatsServer) -> AsyncIterator[tuple[Client, asyncio.Event]]:
        async with connected(server) as (client, _):
            yield client, asyncio.Event()

    monkeypatch.setattr(relaying, "connected", that_never_says)
    async with nats_server(tmp_path) as nats, running(ledger, nats.url, tenant) as relay:
        await relay.until(lambda: tenant.key in relay.at)
        await nats.kill()
        await record(tenant, caller, 20)
        await relay.until(lambda: any("cannot be reached" in said for said in relay.said))
        await nats.start()
        size = len(await log_of(tenant))
        await relay.until(lambda: relay.at[tenant.key] == size - 1)
        await relay.end()
        await assert_stream_is_the_log(nats, tenant)


async def test_credentials_are_asked_for_and_shown_nowhere(ledger: Ledger, tenant: Tenant, tmp_path: Path) -> None:
    async with nats_server(tmp_path, "--user", "consentry", "--pass", "hidden-word") as nats:
        async with running(ledger, nats.url, tenant) as anonymous:
            await anonymous.until(lambda: any("Authorization" in said for said in anonymous.said))
        target = RelayTarget(
            server=NatsServer(url=nats.url, user="consentry", password="hidden-word"), subject_prefix="consentry"
        )
        assert "hidden-word" not in repr(target)
        stop, there, said = asyncio.Event(), asyncio.Event(), list[str]()
        relay = Relay(
            ledger, target, only=tenant, tell=said.append, progress=lambda _, at: there.set() if at == 6 else None
        )
        task = asyncio.create_task(relay.run(stop))
        await asyncio.wait_for(there.wait(), 20)
        stop.set()
        await task
        assert "hidden-word" not in " ".join(said)
        encrypted = NatsServer(url=nats.url.replace("nats:", "tls:"), user="consentry", password="hidden-word")
        async with contextlib.AsyncExitStack() as stack:
            relay = Running(ledger, nats.url, tenant)
            stack.push_async_callback(relay.end)
            relay.relay._target = RelayTarget(server=encrypted, subject_prefix="consentry")
            await relay.until(lambda: any("no TLS" in said for said in relay.said))
