"""Publishing: files, webhooks and a witness of somebody else's get each checkpoint, and find what nothing here can find."""

import argparse
import asyncio
import base64
import contextlib
import itertools
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from cli import publish_checkpoints
from domain.addresses import Channel
from domain.consent import ConsentValue
from eventstore.database import DatabaseAddress
from ledger import publishing
from ledger.assembly import Caller, Tenant, ledger_on
from ledger.checkpoint_targets import FileTarget, Target, Targets, WebhookTarget, WitnessTarget
from ledger.checkpoints import SignedCheckpoint, checkpoint, latest_cosigned_size
from ledger.publishing import Outcome, Publisher
from ledger.record import Capture, record_consent
from ledger.signing import verifier_keys
from ledger.tenants import create_tenant
from projections.lease import ALL_TENANTS, LeaseLost, take
from tests.ledger.independent_witness import Answer, LocalServer, Request, Witness
from tests.tamper.forging import delete_from, rehash, rewrite
from tlog.checkpoint import open_checkpoint
from tlog.note import VerifierKey
from web import background
from web.background import run_background
from web.settings import SettingInvalid, read_settings

_numbers = itertools.count(1)


@dataclass
class Watched:
    """A witness of a tenant's log, where it answers, and how the publisher finds it."""

    witness: Witness
    server: LocalServer
    target: WitnessTarget


@pytest.fixture
async def watched(tenant: Tenant) -> AsyncIterator[Watched]:
    async with watching(tenant) as watched:
        yield watched


@contextlib.asynccontextmanager
async def watching(tenant: Tenant, name: str = "witness.test/w1") -> AsyncIterator[Watched]:
    witness = Witness([key.text() for key in await verifier_keys(tenant)], name)
    with LocalServer(witness.answer) as server:
        target = WitnessTarget(f"{server.url}/some/prefix", VerifierKey.parse(witness.verifier_key))
        yield Watched(witness, server, target)


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, logger="consentry.ledger.publishing")
    return lambda: [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.ERROR and record.name == "consentry.ledger.publishing"
    ]


def targets_of(*targets: Target, every_seconds: int = 10) -> Targets:
    return Targets(
        files=tuple(one for one in targets if isinstance(one, FileTarget)),
        webhooks=tuple(one for one in targets if isinstance(one, WebhookTarget)),
        witnesses=tuple(one for one in targets if isinstance(one, WitnessTarget)),
        every_seconds=every_seconds,
    )


async def published(tenant: Tenant, *targets: Target, timeout_s: float = 10) -> list[Outcome]:
    """One round of a publisher that remembers nothing."""
    async with Publisher(tenant.ledger, targets_of(*targets), timeout_s=timeout_s) as publisher:
        return await publisher.publish_once(tenant)


async def record(tenant: Tenant, caller: Caller) -> None:
    address = f"a{next(_numbers)}@example.org"
    await record_consent(
        tenant,
        caller,
        Capture(channel=Channel.EMAIL, address=address, purpose="commercial", value=ConsentValue.OPTED_OUT),
    )


def opened(signed: SignedCheckpoint, *witnesses: Watched) -> list[tuple[VerifierKey, int]]:
    """The cosignatures, all of these witnesses and of no other, verified with the log's signature."""
    keys = [VerifierKey.parse(signed.verifier_key), *(watched.target.key for watched in witnesses)]
    found, note = open_checkpoint(signed.note, keys, origin=signed.checkpoint.origin)
    assert found == signed.checkpoint
    assert (len(note.cosigned), note.ignored) == (len(witnesses), ())
    return list(note.cosigned)


def succeeded(outcomes: list[Outcome]) -> bool:
    return bool(outcomes) and all(outcome.succeeded for outcome in outcomes)


# Witnesses.


async def test_a_witness_cosigns_and_its_cosignature_is_shown(tenant: Tenant, caller: Caller, watched: Watched) -> None:
    async with Publisher(tenant.ledger, targets_of(watched.target)) as publisher:
        for _ in range(5):
            await record(tenant, caller)
            [outcome] = await publisher.publish_once(tenant)
            signed = await checkpoint(tenant)
            size = signed.checkpoint.size
            assert outcome == Outcome(
                tenant.key, "witness witness.test/w1", succeeded=True, said=f"cosigned size {size}"
            )
            [(key, stated)] = opened(signed, watched)
            assert key == watched.target.key
            assert abs(stated - time.time()) < 60
            assert watched.witness.latest == (size, signed.checkpoint.root)
        assert await publisher.publish_once(tenant) == [], "nothing is new"
    requests = watched.server.requests
    assert {request.path for request in requests} == {"/some/prefix/add-checkpoint"}
    olds = [request.body.split(b"\n")[0] for request in requests]
    assert olds == [b"old 0", *(b"old %d" % (size - 4 + number) for number in range(4))], "proven from the last one"


async def test_a_checkpoint_cosigned_already_is_not_asked_about_again(tenant: Tenant, watched: Watched) -> None:
    assert succeeded(await published(tenant, watched.target))
    [outcome] = await published(tenant, watched.target)
    assert (outcome.succeeded, outcome.said) == (True, "size 7 is cosigned already")
    assert len(watched.server.requests) == 1


async def test_each_witness_is_sent_what_the_log_signed_and_all_cosignatures_are_shown(
    tenant: Tenant, watched: Watched
) -> None:
    async with watching(tenant, "witness.test/w2") as another:
        assert succeeded(await published(tenant, watched.target))
        assert succeeded(await published(tenant, watched.target, another.target))
        assert len(opened(await checkpoint(tenant), watched, another)) == 2
        assert b"witness.test" not in another.server.requests[0].body


async def test_two_processes_at_once_do_no_harm(
    tenant: Tenant, caller: Caller, watched: Watched, database: DatabaseAddress, data_dir: Path, tmp_path: Path
) -> None:
    targets = targets_of(watched.target, FileTarget(tmp_path))
    async with ledger_on(database, data_dir / "master.key") as another:
        twin = await another.tenant(tenant.key)
        async with Publisher(tenant.ledger, targets) as first, Publisher(another, targets) as second:
            for _ in range(5):
                await record(tenant, caller)
                both = await asyncio.gather(first.publish_once(tenant), second.publish_once(twin))
                assert succeeded([outcome for outcomes in both for outcome in outcomes])
                opened(await checkpoint(tenant), watched)
    size = (await checkpoint(tenant)).checkpoint.size
    folder = tmp_path / tenant.key
    names = {f"{number}.checkpoint" for number in range(size - 4, size + 1)} | {"latest.checkpoint"}
    assert {path.name for path in folder.iterdir()} == names


async def test_what_another_process_had_cosigned_meanwhile_is_left_to_it(
    tenant: Tenant, caller: Caller, watched: Watched, database: DatabaseAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = await checkpoint(tenant)
    await record(tenant, caller)
    assert succeeded(await published(tenant, watched.target))
    size = late.checkpoint.size + 1

    async def stale(*_: object) -> SignedCheckpoint:
        return late

    monkeypatch.setattr(publishing, "checkpoint", stale)
    for known_here in (True, False):
        if not known_here:
            await forget(database, tenant, cosignatures=True, signed=False)
        [outcome] = await published(tenant, watched.target)
        assert (outcome.succeeded, outcome.said) == (True, f"size {size} is cosigned by now")


async def test_a_log_that_lost_its_cosignatures_goes_on_from_where_the_witness_is(
    tenant: Tenant, caller: Caller, watched: Watched, database: DatabaseAddress, errors: Callable[[], list[str]]
) -> None:
    for grown in (False, True):
        assert succeeded(await published(tenant, watched.target))
        await forget(database, tenant, cosignatures=True, signed=False)
        if grown:
            await record(tenant, caller)
        assert succeeded(await published(tenant, watched.target))
        opened(await checkpoint(tenant), watched)
    assert errors() == []


async def test_a_witness_that_starts_afresh_goes_on_from_nothing(
    tenant: Tenant, caller: Caller, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    assert succeeded(await published(tenant, watched.target))
    watched.witness.latest = (0, b"")
    await record(tenant, caller)
    assert succeeded(await published(tenant, watched.target))
    opened(await checkpoint(tenant), watched)
    assert "the witness has forgotten what it cosigned" in caplog.messages


def cosigning(watched: Watched, *, by: Witness | None = None, ahead: float = 0, text: str = "") -> Answer:
    """What a witness would answer that cosigns whatever it is sent."""
    sent = watched.server.requests[-1].body.decode().split("\n\n")[1] + "\n"
    return 200, {}, (by or watched.witness).cosigned(text or sent, at=time.time() + ahead).encode()


SIZE = {"Content-Type": "text/x.tlog.size"}
BAD_ANSWERS: dict[str, tuple[Callable[[Watched], Answer], str]] = {
    "garbage": (lambda _: (200, {}, b"hello\n"), "something else than signature lines"),
    "nothing": (lambda _: (200, {}, b""), "something else than signature lines"),
    "bytes": (lambda _: (200, {}, b"\xff\xfe\n"), "something else than signature lines"),
    "a note": (lambda w: (200, {}, b"x\n\n" + cosigning(w)[2]), "something else than signature lines"),
    "too much": (lambda _: (200, {}, b"x" * 100_000), "more than 65536 bytes"),
    "another key's": (
        lambda w: cosigning(w, by=Witness((), w.witness.name)),
        "without a cosignature by its configured",
    ),
    "another name's": (lambda w: cosigning(w, by=Witness((), "x.test")), "without a cosignature by its configured key"),
    "over other text": (lambda w: cosigning(w, text="x\n1\nAA==\n"), "not over this checkpoint"),
    "from the future": (lambda w: cosigning(w, ahead=330), "more than 300 seconds ahead"),
    "one good, one bad": (
        lambda w: (200, {}, cosigning(w)[2] + cosigning(w, text="x\n1\nAA==\n")[2]),
        "not over this checkpoint",
    ),
    "500": (lambda _: (500, {}, b""), "answered 500"),
    "400": (lambda _: (400, {}, b""), "answered 400"),
    "403": (lambda _: (403, {}, b""), "answered 403"),
    "404": (lambda _: (404, {}, b""), "answered 404"),
    "a redirect": (lambda w: (307, {"Location": f"{w.server.url}/add-checkpoint"}, b""), "answered 307"),
    "409 without a size": (lambda _: (409, {}, b"3\n"), "409 without the size"),
    "409 with garbage": (lambda _: (409, SIZE, b"03\n"), "409 without the size"),
    "409 for ever": (lambda _: (409, SIZE, b"3\n"), "409 for the size that it named itself"),
}


@pytest.mark.parametrize("bad", BAD_ANSWERS)
async def test_a_witness_that_answers_badly_hurts_nothing_and_is_asked_again(
    tenant: Tenant, watched: Watched, tmp_path: Path, bad: str, errors: Callable[[], list[str]]
) -> None:
    answer, said = BAD_ANSWERS[bad]
    watched.server.answer = lambda _: answer(watched)
    async with watching(tenant, "good.test") as good:
        targets = targets_of(watched.target, good.target, FileTarget(tmp_path))
        async with Publisher(tenant.ledger, targets) as publisher:
            outcomes = {outcome.target: outcome for outcome in await publisher.publish_once(tenant)}
            failed = outcomes.pop(watched.target.name)
            assert not failed.succeeded
            assert said in failed.said
            assert len(outcomes) == 2
            assert succeeded(list(outcomes.values()))
            opened(await checkpoint(tenant), good)
            watched.server.answer = watched.witness.answer
            [retried] = await publisher.publish_once(tenant)
            assert (retried.target, retried.succeeded) == (watched.target.name, True)
            assert len(opened(await checkpoint(tenant), good, watched)) == 2
    assert errors() == []


async def test_lines_of_keys_that_nobody_configured_are_ignored(tenant: Tenant, watched: Watched) -> None:
    others = [Witness((), "other.test"), Witness((), watched.witness.name)]

    def answer(request: Request) -> Answer:
        status, headers, own = watched.witness.answer(request)
        lines = b"".join(cosigning(watched, by=other)[2] for other in others)
        return status, headers, lines + own

    watched.server.answer = answer
    assert succeeded(await published(tenant, watched.target))
    opened(await checkpoint(tenant), watched)


async def test_a_witness_that_hangs_or_is_not_there_holds_up_nobody(
    tenant: Tenant, watched: Watched, tmp_path: Path
) -> None:
    end = threading.Event()

    def hang(request: Request) -> Answer:
        end.wait(30)
        return watched.witness.answer(request)

    watched.server.answer = hang
    key = VerifierKey.parse(Witness((), "gone.test").verifier_key)
    with LocalServer(watched.witness.answer) as server:
        gone = WitnessTarget(server.url, key)
    try:
        before = time.monotonic()
        outcomes = await published(tenant, watched.target, gone, FileTarget(tmp_path), timeout_s=0.3)
        assert time.monotonic() - before < 5
    finally:
        end.set()
    assert {outcome.target: outcome.said for outcome in outcomes} == {
        watched.target.name: "it did not answer within 0.3 seconds",
        gone.name: "it cannot be asked: ConnectError",
        FileTarget(tmp_path).name: "size 7 is kept",
    }


# What only somebody outside can find.


async def forget(database: DatabaseAddress, tenant: Tenant, *, cosignatures: bool, signed: bool = True) -> None:
    """Delete what remembers an earlier history, here."""
    async with owning(database) as connection:
        if signed:
            await connection.execute("DELETE FROM checkpoints WHERE tenant = $1", tenant.id)
        if cosignatures:
            await connection.execute("DELETE FROM cosignatures WHERE tenant = $1", tenant.id)
    if signed:
        for path in tenant.ledger.signing_keys_dir.glob(f"{tenant.key}.*.signed"):
            path.unlink()


@contextlib.asynccontextmanager
async def owning(database: DatabaseAddress) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(**database.owner)
    try:
        await connection.execute("SET session_replication_role = replica")
        yield connection
    finally:
        await connection.close()


async def forge(database: DatabaseAddress, tenant: Tenant, *, cosignatures: bool) -> None:
    """As whoever holds database and signing key: what the last event says is changed, hashed, and never was otherwise."""
    async with owning(database) as connection:
        last = await connection.fetchval("SELECT size - 1 FROM log_heads WHERE tenant = $1", tenant.id)
        await rewrite(connection, tenant.id, last, b'"OPTED_OUT"', b'"OPTED_IN"', columns=True)
        await rehash(connection, tenant.id)
    await forget(database, tenant, cosignatures=cosignatures)


@contextlib.asynccontextmanager
async def after_forgery(database: DatabaseAddress, data_dir: Path, tenant: Tenant) -> AsyncIterator[Tenant]:
    """The tenant in a process that starts now; what it signs is good to whoever has its key alone."""
    async with ledger_on(database, data_dir / "master.key") as ledger:
        yield await ledger.tenant(tenant.key)


@pytest.mark.parametrize("kept", [True, False], ids=["cosignatures kept", "cosignatures deleted"])
@pytest.mark.parametrize("grown", [0, 1, 3])
async def test_a_witness_finds_a_log_that_was_rewritten_by_who_has_the_key(
    tenant: Tenant,
    caller: Caller,
    watched: Watched,
    database: DatabaseAddress,
    data_dir: Path,
    errors: Callable[[], list[str]],
    kept: bool,
    grown: int,
) -> None:
    await record(tenant, caller)
    assert succeeded(await published(tenant, watched.target))
    true, seen = await checkpoint(tenant), watched.witness.latest
    await forge(database, tenant, cosignatures=not kept)
    async with after_forgery(database, data_dir, tenant) as forged:
        for _ in range(grown):
            await record(forged, caller)
        signed = await checkpoint(forged)
        assert signed.checkpoint.size == true.checkpoint.size + grown
        assert signed.checkpoint.root != true.checkpoint.root
        if grown or not kept:
            opened(signed)
        for _ in range(2):
            [outcome] = await published(forged, watched.target)
            assert not outcome.succeeded
        [said, _] = errors()
        if grown:
            assert said == "the witness answered 422: the log does not continue what it cosigned; the log was rewritten"
        elif kept:
            assert said == "the witness cosigned another root of this size: the log was rewritten"
        else:
            assert said == "the witness has another root of this size: the log was rewritten"
        assert outcome.said == said
        known = true.checkpoint.size if kept else 0
        assert await latest_cosigned_size(forged, watched.witness.verifier_key) == known, "no cosignature is given"
    assert watched.witness.latest == seen


@pytest.mark.parametrize("kept", [True, False], ids=["cosignatures kept", "cosignatures deleted"])
async def test_a_witness_finds_a_database_that_was_rolled_back(
    tenant: Tenant,
    caller: Caller,
    watched: Watched,
    database: DatabaseAddress,
    data_dir: Path,
    errors: Callable[[], list[str]],
    kept: bool,
) -> None:
    for _ in range(3):
        await record(tenant, caller)
    assert succeeded(await published(tenant, watched.target))
    size, _ = seen = watched.witness.latest
    async with owning(database) as connection:
        await delete_from(connection, tenant.id, size - 2)
        await rehash(connection, tenant.id)
    await forget(database, tenant, cosignatures=not kept)
    async with after_forgery(database, data_dir, tenant) as rolled_back:
        opened(await checkpoint(rolled_back))
        assert not succeeded(await published(rolled_back, watched.target))
        assert errors() == ["the witness has seen a larger log: this database was rolled back"]
        # Grown again past what was seen, it is another history.
        for _ in range(4):
            await record(rolled_back, caller)
        assert not succeeded(await published(rolled_back, watched.target))
        assert "the log was rewritten" in errors()[-1]
    assert watched.witness.latest == seen


async def test_what_cannot_be_signed_is_an_error_and_hurts_no_other_tenant(
    tenant: Tenant, caller: Caller, database: DatabaseAddress, tmp_path: Path, errors: Callable[[], list[str]]
) -> None:
    good = await create_tenant(tenant.ledger, f"{tenant.key}-good", "Good")
    await record(tenant, caller)
    await checkpoint(tenant)
    async with owning(database) as connection:
        await rewrite(connection, tenant.id, 7, b'"OPTED_OUT"', b'"OPTED_IN"', columns=True)
        await rehash(connection, tenant.id)
        await connection.execute("DELETE FROM checkpoints WHERE tenant = $1", tenant.id)
    keyless = await create_tenant(tenant.ledger, f"{tenant.key}-keyless", "Keyless")
    async with Publisher(tenant.ledger, targets_of(FileTarget(tmp_path))) as publisher:
        keyless.signing_keys = type(keyless.signing_keys)(tmp_path / "nowhere", keyless.key)
        outcomes = {outcome.tenant: outcome for outcome in await publisher.publish_once()}
        keyless.signing_keys = type(keyless.signing_keys)(tenant.ledger.signing_keys_dir, keyless.key)
        assert outcomes[good.key].succeeded
        assert "not consistent with what was signed before" in outcomes[tenant.key].said
        assert "missing" in outcomes[keyless.key].said
        assert {path.name for path in tmp_path.iterdir()} >= {good.key}
        assert not {path.name for path in tmp_path.iterdir()} & {tenant.key, keyless.key}
        assert any("not consistent with what was signed before" in error for error in errors())
        assert any("the signing key file" in error for error in errors())
        [retried] = await publisher.publish_once(keyless)
        assert retried.succeeded


# Webhooks.


async def test_a_webhook_is_sent_each_checkpoint(tenant: Tenant, caller: Caller) -> None:
    with LocalServer(lambda _: (204, {}, b"")) as server:
        target = WebhookTarget(f"{server.url}/hooks?token=secret")
        async with Publisher(tenant.ledger, targets_of(target)) as publisher:
            for number in range(1, 4):
                await record(tenant, caller)
                assert succeeded(await publisher.publish_once(tenant))
                assert await publisher.publish_once(tenant) == []
                request = server.requests[-1]
                signed = await checkpoint(tenant)
                assert len(server.requests) == number
                assert request.body.decode() == signed.note
                assert request.path == "/hooks?token=secret"
                assert request.headers["content-type"] == "text/plain; charset=utf-8"
                assert request.headers["consentry-origin"] == signed.checkpoint.origin


async def test_of_several_processes_one_tells_a_webhook_and_another_goes_on_where_it_stops(
    tenant: Tenant, caller: Caller, database: DatabaseAddress, data_dir: Path
) -> None:
    origin = (await checkpoint(tenant)).checkpoint.origin
    with LocalServer(lambda _: (204, {}, b"")) as server:

        def told() -> list[str]:
            bodies = [one.body for one in server.requests if one.headers["consentry-origin"] == origin]
            return [body.decode().split("\n")[1] for body in bodies]

        targets = targets_of(WebhookTarget(server.url), every_seconds=0)
        async with (
            ledger_on(database, data_dir / "master.key") as other,
            Publisher(tenant.ledger, targets, lease_s=1) as first,
            Publisher(other, targets, lease_s=1) as second,
        ):
            stops = [asyncio.Event(), asyncio.Event()]
            running = [asyncio.create_task(one.run(stop)) for one, stop in zip((first, second), stops, strict=True)]
            await eventually(lambda: told() == ["7"])
            for size in range(8, 12):
                await record(tenant, caller)
                await eventually(lambda size=size: told()[-1] == str(size))
            assert told() == ["7", "8", "9", "10", "11"], "each once"
            holds = 0 if first._published else 1
            stops[holds].set()
            await asyncio.wait_for(running[holds], 20)
            await record(tenant, caller)
            await eventually(lambda: told()[-1] == "12")
            stops[1 - holds].set()
            await asyncio.wait_for(running[1 - holds], 20)


async def test_what_a_killed_process_held_is_published_once_its_lease_has_expired(
    tenant: Tenant, caller: Caller
) -> None:
    with LocalServer(lambda _: (204, {}, b"")) as server:
        target = WebhookTarget(server.url)
        killed = await take(tenant.ledger.pool, ALL_TENANTS, publishing._lease_name(target), duration_s=0.5)
        assert killed is not None
        stop = asyncio.Event()
        async with Publisher(tenant.ledger, targets_of(target, every_seconds=0), lease_s=0.2) as publisher:
            running = asyncio.create_task(publisher.run(stop))
            await eventually(lambda: bool(server.requests))
            with pytest.raises(LeaseLost):
                await killed.renew()
            stop.set()
            await asyncio.wait_for(running, 20)


async def test_who_takes_a_target_again_looks_at_every_checkpoint_once_more(tenant: Tenant, caller: Caller) -> None:
    await record(tenant, caller)
    origin = (await checkpoint(tenant)).checkpoint.origin
    with LocalServer(lambda _: (204, {}, b"")) as server:
        target = WebhookTarget(server.url)

        def told() -> int:
            return sum(one.headers["consentry-origin"] == origin for one in server.requests)

        async with Publisher(tenant.ledger, targets_of(target, every_seconds=0), lease_s=0.4) as publisher:
            for times in (1, 2):
                stop = asyncio.Event()
                running = asyncio.create_task(publisher.run(stop))
                await eventually(lambda times=times: told() == times)
                # Nothing changed: a round more tells it nothing more.
                await publisher.publish_once(tenant)
                assert told() == times
                # The lease is free, and anybody may have had it, before this one takes it again.
                stop.set()
                await asyncio.wait_for(running, 20)


@pytest.mark.parametrize("status", [301, 307, 400, 404, 500])
async def test_a_webhook_that_does_not_take_it_is_told_again(
    tenant: Tenant, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="consentry")
    with LocalServer(lambda _: (status, {"Location": "/elsewhere"}, b"")) as server:
        target = WebhookTarget(f"{server.url}/hooks/secret?token=secret")
        async with Publisher(tenant.ledger, targets_of(target)) as publisher:
            [outcome] = await publisher.publish_once(tenant)
            assert (outcome.succeeded, outcome.said) == (False, f"it answered {status}")
            server.answer = lambda _: (200, {}, b"x" * 200_000)
            assert succeeded(await publisher.publish_once(tenant))
        assert [request.path for request in server.requests] == ["/hooks/secret?token=secret"] * 2
    ours = [record for record in caplog.records if record.name.startswith("consentry")]
    assert ours
    assert "secret" not in str([(record.getMessage(), vars(record).get("fields")) for record in ours])


# Files.


async def test_files_keep_every_checkpoint_and_the_latest(tenant: Tenant, caller: Caller, tmp_path: Path) -> None:
    target = FileTarget(tmp_path / "made" / "for it")
    folder = target.folder / tenant.key
    async with Publisher(tenant.ledger, targets_of(target)) as publisher:
        for _ in range(3):
            await record(tenant, caller)
            assert succeeded(await publisher.publish_once(tenant))
            signed = await checkpoint(tenant)
            assert (folder / f"{signed.checkpoint.size}.checkpoint").read_text() == signed.note
            assert (folder / "latest.checkpoint").read_text() == signed.note
    assert len(list(folder.iterdir())) == 4
    assert succeeded(await published(tenant, target)), "what is there already is what it is"


async def test_files_show_a_log_that_was_rewritten(
    tenant: Tenant,
    caller: Caller,
    database: DatabaseAddress,
    data_dir: Path,
    tmp_path: Path,
    errors: Callable[[], list[str]],
) -> None:
    await record(tenant, caller)
    assert succeeded(await published(tenant, FileTarget(tmp_path)))
    before = {path.name: path.read_text() for path in (tmp_path / tenant.key).iterdir()}
    await forge(database, tenant, cosignatures=True)
    async with after_forgery(database, data_dir, tenant) as forged:
        assert not succeeded(await published(forged, FileTarget(tmp_path)))
        assert errors() == ["another checkpoint of this size is there"]
        assert {path.name: path.read_text() for path in (tmp_path / tenant.key).iterdir()} == before
        await record(forged, caller)
        assert not succeeded(await published(forged, FileTarget(tmp_path)))
        assert errors()[1:] == ["the latest checkpoint there is of another log than this one: the log was rewritten"]
        assert (tmp_path / tenant.key / "latest.checkpoint").read_text() == before["latest.checkpoint"]


async def test_files_show_a_database_that_was_rolled_back(
    tenant: Tenant,
    caller: Caller,
    database: DatabaseAddress,
    data_dir: Path,
    tmp_path: Path,
    errors: Callable[[], list[str]],
) -> None:
    await record(tenant, caller)
    await record(tenant, caller)
    assert succeeded(await published(tenant, FileTarget(tmp_path)))
    latest = tmp_path / tenant.key / "latest.checkpoint"
    before = latest.read_text()
    async with owning(database) as connection:
        await delete_from(connection, tenant.id, 8)
        await rehash(connection, tenant.id)
    await forget(database, tenant, cosignatures=True)
    async with after_forgery(database, data_dir, tenant) as rolled_back:
        assert not succeeded(await published(rolled_back, FileTarget(tmp_path)))
    assert errors() == ["the latest checkpoint there is of a larger log: this database was rolled back"]
    assert latest.read_text() == before


async def test_a_later_checkpoint_of_another_process_stays_the_latest(
    tenant: Tenant, caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = await checkpoint(tenant)
    await record(tenant, caller)
    assert succeeded(await published(tenant, FileTarget(tmp_path)))
    latest = tmp_path / tenant.key / "latest.checkpoint"
    before = latest.read_text()

    async def stale(*_: object) -> SignedCheckpoint:
        return late

    monkeypatch.setattr(publishing, "checkpoint", stale)
    assert succeeded(await published(tenant, FileTarget(tmp_path)))
    assert latest.read_text() == before
    assert (tmp_path / tenant.key / "7.checkpoint").read_text() == late.note


@pytest.mark.parametrize("name", ["7.checkpoint", "latest.checkpoint"])
async def test_what_is_there_and_is_something_else_is_left(tenant: Tenant, tmp_path: Path, name: str) -> None:
    other = await create_tenant(tenant.ledger, f"{tenant.key}-other", "Other")
    path = tmp_path / tenant.key / name
    path.parent.mkdir()
    for content in ("hello", (await checkpoint(other)).note):
        path.write_text(content)
        [outcome] = await published(tenant, FileTarget(tmp_path))
        assert not outcome.succeeded
        assert path.read_text() == content


async def test_a_folder_that_cannot_be_written_is_told(tenant: Tenant, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    [outcome] = await published(tenant, FileTarget(tmp_path / "file"))
    assert (outcome.succeeded, outcome.said) == (False, "the file cannot be written: Not a directory")


# In the server, and by hand.


async def eventually(happens: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < until
        await asyncio.sleep(0.02)


def targets_file(folder: Path, *lines: str) -> Path:
    path = folder / "targets.toml"
    path.write_text("\n".join((*lines, "[publish]", "every_seconds = 1")))
    return path


async def test_a_server_publishes_what_is_new_and_stops_at_once(
    tenant: Tenant, caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = threading.Event()

    def hang(_: Request) -> Answer:
        end.wait(30)
        return 500, {}, b""

    completed = itertools.count()

    async def fails_once(_: object) -> None:
        if next(completed) == 0:
            raise RuntimeError("unexpected")

    monkeypatch.setattr(background, "complete_pending_if_it_can", fails_once)
    monkeypatch.setattr(background, "ERASURES_EVERY_S", 0.01)
    folder = tmp_path / "kept"
    with LocalServer(hang) as server:
        lines = ("[[file]]", f'folder = "{folder}"', "[[webhook]]", f'url = "{server.url}"')
        settings = read_settings({"checkpoint_targets": str(targets_file(tmp_path, *lines))}, {})
        try:
            async with run_background(tenant.ledger, settings):
                await eventually((folder / tenant.key / "7.checkpoint").exists)
                await record(tenant, caller)
                await eventually((folder / tenant.key / "8.checkpoint").exists)
                await eventually(lambda: bool(server.requests))
                before = time.monotonic()
            assert time.monotonic() - before < 5
        finally:
            end.set()
    assert next(completed) > 1, "a round that failed does not end the loop"


async def test_rounds_go_on_after_one_that_failed_unexpectedly(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors: Callable[[], list[str]]
) -> None:
    target = FileTarget(tmp_path)
    rounds = itertools.count()
    stop = asyncio.Event()
    async with Publisher(tenant.ledger, targets_of(target, every_seconds=0)) as publisher:

        async def fail_twice(*_: object) -> list[Outcome]:
            if next(rounds) < 2:
                raise RuntimeError("unexpected")
            stop.set()
            return []

        monkeypatch.setattr(publisher, "_publish_to", fail_twice)
        await asyncio.wait_for(publisher.run(stop), 20)
    assert errors() == ["a round of publishing failed"] * 2


async def test_without_targets_nothing_is_published(tenant: Tenant) -> None:
    async with run_background(tenant.ledger, read_settings({}, {})):
        names = {task.get_name() for task in asyncio.all_tasks()}
    assert "complete-erasures" in names
    assert "publish-checkpoints" not in names


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    publish_checkpoints.add(parser.add_subparsers())
    options = parser.parse_args(["publish-checkpoints", *arguments])
    return options.run(options)


@pytest.fixture
def on_this_database(tenant: Tenant, database: DatabaseAddress, data_dir: Path) -> Iterator[tuple[str, ...]]:
    """The options that lead a command to the tests' database."""
    logger = logging.getLogger("consentry")
    handlers = logger.handlers[:]
    at = ("--data-dir", str(data_dir), "--tenant", tenant.key)
    yield (*at, "--database-url", database.owner["dsn"]) if os.environ.get("CONSENTRY_TEST_DATABASE_URL") else at
    logger.handlers[:] = handlers


async def test_one_round_by_hand_prints_each_outcome(
    tenant: Tenant,
    watched: Watched,
    tmp_path: Path,
    on_this_database: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "kept"
    lines = ("[[file]]", f'folder = "{folder}"', "[[witness]]", f'url = "{watched.target.url}"')
    path = targets_file(tmp_path, *lines, f'key = "{watched.witness.verifier_key}"')
    arguments = ("--checkpoint-targets", str(path), *on_this_database)
    assert await asyncio.to_thread(command, *arguments) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tenant.key}: file {folder}: size 7 is kept",
        f"{tenant.key}: witness witness.test/w1: cosigned size 7",
    ]
    opened(await checkpoint(tenant), watched)
    (folder / tenant.key / "7.checkpoint").write_text("hello")
    assert await asyncio.to_thread(command, *arguments) == 1
    output = capsys.readouterr()
    assert output.out.splitlines() == [
        f"{tenant.key}: file {folder}: FAILED: 7.checkpoint is there and is no checkpoint",
        f"{tenant.key}: witness witness.test/w1: size 7 is cosigned already",
    ]
    assert output.err == ""


def test_by_hand_it_has_to_be_told_where_to() -> None:
    with pytest.raises(SettingInvalid, match="--checkpoint-targets"):
        command()


def test_the_witness_refuses_what_is_malformed() -> None:
    witness = Witness(())
    for body in (b"", b"old 0\n\n", b"old x\n\na\n1\nAA==\n\n\xe2\x80\x94 a AA==\n", b"\xff"):
        assert witness.answer(Request("/add-checkpoint", {}, body))[0] == 400
    text = f"log.test\n1\n{base64.b64encode(bytes(32)).decode()}\n"
    body = f"old 0\n\n{text}\n\u2014 log.test {base64.b64encode(bytes(68)).decode()}\n".encode()
    assert witness.answer(Request("/add-checkpoint", {}, body))[0] == 404
    assert witness.answer(Request("/elsewhere", {}, body))[0] == 404
