"""Webhooks on a real receiver: signed, in order for each contact point, at least once, and nothing is ever dropped."""

import asyncio
import contextlib
import io
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from standardwebhooks import WebhookVerificationError

from domain.addresses import Channel
from domain.consent import ConsentValue
from domain.refusals import Refusal, RefusalCode
from domain.webhooks import WebhookStatus
from eventstore.database import DatabaseAddress, StoreUnavailable
from ledger import webhook_lists, webhooks
from ledger.acknowledgements import AcknowledgedBy, acknowledgements_of
from ledger.api_keys import create_key
from ledger.assembly import Caller, Tenant, ledger_on
from ledger.erasure import erase_contact_point
from ledger.history import EventFilter, event_cursor, events_at
from ledger.importing import import_consents
from ledger.outgoing_addresses import parse_networks
from ledger.record import Capture, record_consent
from ledger.tenants import create_tenant
from ledger.webhook_change import EARLIER_FILTERS_MAX
from ledger.webhook_delivery import WINDOW_EVENTS, Delivery
from ledger.webhook_lists import DeliveryState
from ledger.webhook_reading import passing
from ledger.webhook_rows import Webhook
from ledger.webhook_worker import WebhookWorker
from ledger.webhooks import Changed
from schema.webhook_payload import compose
from tests.conftest import APPLICATION, Clock
from tests.ledger.receiver import TAKEN, Received, Receiver, Reply, tls_for

LOCAL = parse_networks("127.0.0.0/8")
_numbers = iter(range(1, 1_000_000))


@contextlib.asynccontextmanager
async def own_tenant(database: DatabaseAddress, data_dir: Path, **options: Any) -> AsyncIterator[Tenant]:
    """A tenant of a ledger that may send to this machine, with nothing else in the database to be sent."""
    owner = await asyncpg.connect(**database.owner)
    await owner.execute("UPDATE webhooks SET deleted_at = now() WHERE deleted_at IS NULL")
    await owner.close()
    async with ledger_on(database, data_dir / "master.key", **options) as ledger:
        ledger.webhook_networks = LOCAL
        tenant = await create_tenant(ledger, f"hooks-{next(_numbers)}", "Test")
        await create_key(tenant, "tests", ["read"])
        yield tenant


@pytest.fixture
async def hooked(database: DatabaseAddress, data_dir: Path) -> AsyncIterator[Tenant]:
    async with own_tenant(database, data_dir) as tenant:
        yield tenant


@pytest.fixture
async def clocked(database: DatabaseAddress, data_dir: Path, clock: Clock) -> AsyncIterator[Tenant]:
    async with own_tenant(database, data_dir, clock=clock) as tenant:
        yield tenant


@contextlib.asynccontextmanager
async def working(tenant: Tenant, **options: Any) -> AsyncIterator[None]:
    """While a worker delivers. It waits for nothing: what has to be tried again is tried at once."""
    given = {"wait_until": at_once, "look_every_s": 0.02, **options}
    stop = asyncio.Event()
    running = asyncio.create_task(WebhookWorker(tenant.ledger, compose, **given).run(stop))
    try:
        yield
    finally:
        stop.set()
        await running


async def at_once(_: datetime) -> None:
    # Gives way to others, so that a receiver that never takes anything does not keep the loop for itself.
    await asyncio.sleep(0.001)


async def record(tenant: Tenant, address: str, value: ConsentValue = ConsentValue.OPTED_OUT) -> int:
    recorded = await record_consent(
        tenant,
        APPLICATION,
        Capture(channel=Channel.EMAIL, address=address, purpose="commercial", value=value),
    )
    return recorded.events[-1].position


async def made(tenant: Tenant, url: str, **fields: Any) -> Changed:
    return await webhooks.create_webhook(tenant, APPLICATION, url=url, **fields)


async def now(tenant: Tenant, webhook: Webhook) -> Webhook:
    found = await webhook_lists.webhook(tenant, webhook.id)
    assert found is not None
    return found


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.005)


async def settled(tenant: Tenant, webhook: Webhook) -> None:
    """Until everything that is in the log was taken, and that is stored."""
    size = await webhook_lists.log_size(tenant)

    async def done() -> bool:
        page = await webhook_lists.deliveries(tenant, webhook.id, unfinished_only=True)
        return (await now(tenant, webhook)).position == size - 1 and not page.items

    await until(done)


async def said(tenant: Tenant, webhook: Webhook, part: str) -> None:
    """Until an attempt has failed for this reason."""

    async def failed() -> bool:
        page = await webhook_lists.deliveries(tenant, webhook.id, unfinished_only=True)
        return any(part in (row.said or "") for _, row in page.items)

    await until(failed)


def positions(received: Sequence[Received]) -> list[int]:
    return [json.loads(one.body)["data"]["position"] for one in received]


# What is sent.


async def test_an_event_arrives_signed_and_is_acknowledged(hooked: Tenant) -> None:
    async with Receiver() as receiver, working(hooked):
        hook = await made(hooked, receiver.url)
        before = hooked.ledger.clock()
        position = await record(hooked, "ann@example.org")
        await settled(hooked, hook.webhook)
        [received] = receiver.requests
    assert hook.secret is not None
    message = received.verified(hook.secret)
    assert (message["type"], message["data"]["position"]) == ("ConsentCaptured", position)
    assert received.headers["webhook-id"] == message["data"]["id"]
    assert received.headers["content-type"] == "application/json"
    assert b"ann@example.org" not in received.body
    event = (await events_at(hooked, [position]))[position]
    assert message["data"]["cursor"] == event_cursor(hooked, event)
    [known] = (await acknowledgements_of(hooked, [position]))[position]
    assert (known.application, known.by) == ("tests", AcknowledgedBy.WEBHOOK)
    assert before <= known.at <= hooked.ledger.clock()


async def test_a_suppression_that_was_brought_in_arrives_and_names_nobody(hooked: Tenant) -> None:
    line = {
        "suppression": "ERASURE", "channel": "EMAIL", "since": "2026-01-01T00:00:00Z",
        "blindIndex": b64encode(hooked.blind_index(Channel.EMAIL, "ann@example.org")).decode(),
        "blindIndexKey": b64encode(hooked.blind_index.key_id).decode(),
        "covers": {"commercial": True, "tracking": True, "levels": []},
    }  # fmt: skip
    async with Receiver() as receiver, working(hooked):
        hook = await made(hooked, receiver.url, personal=True)
        await import_consents(
            hooked,
            io.BytesIO(json.dumps(line).encode()),
            format="ndjson",
            report=lambda *_: None,
            progress=lambda _: None,
        )
        await settled(hooked, hook.webhook)
        [received] = receiver.requests
    assert hook.secret is not None
    message = received.verified(hook.secret)
    assert (message["type"], message["data"]["contactPoint"]["address"]) == ("ContactPointSuppressed", None)
    assert message["data"]["data"]["suppression"] == line["covers"]


async def test_another_secret_does_not_verify(hooked: Tenant) -> None:
    async with Receiver() as receiver, working(hooked):
        await made(hooked, receiver.url)
        other = await made(hooked, "https://elsewhere.invalid/", event_filter=EventFilter(types=("TenantUpdated",)))
        await record(hooked, "ann@example.org")
        await receiver.until(lambda: bool(receiver.requests))
    assert other.secret is not None
    with pytest.raises(WebhookVerificationError):
        receiver.requests[0].verified(other.secret)


async def test_only_what_passes_the_filter_is_sent_and_acknowledged(hooked: Tenant) -> None:
    async with Receiver() as receiver, working(hooked):
        hook = await made(hooked, receiver.url, event_filter=EventFilter(values=("OPTED_OUT",), purpose="commercial"))
        passed_by = await record(hooked, "ann@example.org", ConsentValue.OPTED_IN)
        sent = await record(hooked, "ann@example.org", ConsentValue.OPTED_OUT)
        await settled(hooked, hook.webhook)
    assert positions(receiver.requests) == [sent]
    known = await acknowledgements_of(hooked, [passed_by, sent])
    assert ([*map(len, known.values())]) == [0, 1]


async def test_what_is_personal_is_sent_where_asked_and_only_until_it_is_erased(hooked: Tenant) -> None:
    gate = Reply(status=503)
    async with Receiver(lambda _: gate) as receiver:
        hook = await made(hooked, receiver.url, personal=True)
        async with working(hooked):
            await record(hooked, "ann@example.org")
            await receiver.until(lambda: bool(receiver.requests))
            assert json.loads(receiver.requests[0].body)["data"]["contactPoint"]["address"] == "ann@example.org"
            await erase_contact_point(
                hooked, APPLICATION, channel=Channel.EMAIL, address="ann@example.org", reason="asked"
            )
            receiver.behave = lambda _: TAKEN
            await settled(hooked, hook.webhook)
    assert len(receiver.taken) >= 3
    assert all(b"ann@example.org" not in received.body for received in receiver.taken)


async def test_without_the_scope_nobody_has_personal_data_sent_or_led_elsewhere(hooked: Tenant) -> None:
    admin = Caller("tests", frozenset(("admin", "read")))
    with pytest.raises(Exception, match="read:personal"):
        await webhooks.create_webhook(hooked, admin, url="https://a.invalid/", personal=True)
    plain = (await webhooks.create_webhook(hooked, admin, url="https://a.invalid/")).webhook
    with pytest.raises(Exception, match="read:personal"):
        await webhooks.update_webhook(hooked, admin, webhook=plain.id, personal=True)
    personal = (await made(hooked, "https://a.invalid/", personal=True)).webhook
    with pytest.raises(Exception, match="read:personal"):
        await webhooks.update_webhook(hooked, admin, webhook=personal.id, url="https://mine.invalid/")
    paused = await webhooks.update_webhook(hooked, admin, webhook=personal.id, status=WebhookStatus.PAUSED)
    assert paused.webhook.status is WebhookStatus.PAUSED


# Order, retries, holding.


async def test_a_contact_point_that_fails_waits_in_order_and_holds_up_no_other(hooked: Tenant) -> None:
    failing = True

    def behave(received: Received) -> Reply:
        return Reply(status=500) if failing and stream_of(received) == first_stream else TAKEN

    async with Receiver(behave) as receiver, working(hooked):
        first_stream = ""
        hook = await made(hooked, receiver.url)
        await record(hooked, "bad@example.org")
        await receiver.until(lambda: len(receiver.taken) == 1)
        first_stream = stream_of(receiver.taken[0])
        late = [await record(hooked, "bad@example.org") for _ in range(3)]
        others = [await record(hooked, f"good{number}@example.org") for number in range(5)]
        await receiver.until(lambda: set(others) <= set(positions(receiver.taken)))
        assert not set(late) & set(positions(receiver.taken))
        await said(hooked, hook.webhook, "it answered 500")

        async def noted() -> bool:
            # What came of the others' page is noted after they have it.
            rows = (await webhook_lists.deliveries(hooked, hook.webhook.id, unfinished_only=True)).items
            return [(row.position, row.state) for _, row in rows] == [
                # The one that is tried alone: those behind it were not, and wait.
                (late[0], DeliveryState.RETRYING), (late[1], DeliveryState.WAITING), (late[2], DeliveryState.WAITING),
            ]  # fmt: skip

        await until(noted)
        assert not (await acknowledgements_of(hooked, [late[0]]))[late[0]]
        failing = False
        await settled(hooked, hook.webhook)
    assert [position for position in positions(receiver.taken) if position in late] == late
    assert len(set(positions(receiver.taken))) == len(receiver.taken)


def stream_of(received: Received) -> str:
    return json.loads(received.body)["data"]["contactPoint"]["id"]


async def test_held_after_three_days_and_resumed_without_a_loss(clocked: Tenant, clock: Clock) -> None:
    async def wait_until(instant: datetime) -> None:
        clock.now = max(clock.now, instant)
        await asyncio.sleep(0)

    async with Receiver(lambda _: Reply(status=500)) as receiver, working(clocked, wait_until=wait_until):
        hook = await made(clocked, receiver.url)
        began = clock.now
        lost = [await record(clocked, f"a{number}@example.org") for number in range(3)]

        async def held() -> bool:
            return (await now(clocked, hook.webhook)).status is WebhookStatus.HELD

        await until(held)
        webhook = await now(clocked, hook.webhook)
        assert webhook.held_at is not None
        assert webhook.held_at - began >= timedelta(days=3)
        assert webhook.held_position in lost
        assert webhook.held_because == "it answered 500"
        # Those on their way when it was held have no outcome.
        assert len(receiver.requests) - 3 < webhook.failed <= len(receiver.requests)
        # Backoff: three days of trying are few attempts.
        assert len(receiver.requests) < 3 * 40
        receiver.behave = lambda _: TAKEN
        asked = len(receiver.requests)
        lost.append(await record(clocked, "later@example.org"))
        assert len(receiver.requests) == asked, "what is held is not sent"
        await webhooks.update_webhook(clocked, APPLICATION, webhook=webhook.id, status=WebhookStatus.ACTIVE)
        await settled(clocked, hook.webhook)
    assert sorted(positions(receiver.taken)) == lost
    assert (await now(clocked, hook.webhook)).held_because is None


@pytest.mark.parametrize("between", [0, 2])
async def test_what_waits_is_sent_whatever_the_filter_becomes(hooked: Tenant, *, between: int) -> None:
    opt_outs, opt_ins = EventFilter(values=("OPTED_OUT",)), EventFilter(values=("OPTED_IN",))
    answer = Reply(status=410)
    async with Receiver(lambda _: answer) as receiver:
        hook = (await made(hooked, receiver.url, event_filter=opt_outs)).webhook
        async with working(hooked):
            waiting = [await record(hooked, "ann@example.org")]

            async def held() -> bool:
                return (await now(hooked, hook)).status is WebhookStatus.HELD

            await until(held)
        # Recorded while it is held: another lane, and behind the one that failed.
        waiting += [await record(hooked, address) for address in ("bea@example.org", "ann@example.org")]
        await record(hooked, "cid@example.org", ConsentValue.OPTED_IN)
        narrowed = await webhooks.update_webhook(hooked, APPLICATION, webhook=hook.id, event_filter=opt_ins)
        assert narrowed.webhook.filter.values == ["OPTED_IN"]
        passed_by = [await record(hooked, "dan@example.org") for _ in range(between)]
        wanted = await record(hooked, "dan@example.org", ConsentValue.OPTED_IN)
        answer = TAKEN
        async with working(hooked):
            await webhooks.update_webhook(hooked, APPLICATION, webhook=hook.id, status=WebhookStatus.ACTIVE)
            await settled(hooked, hook)
            await webhooks.update_webhook(hooked, APPLICATION, webhook=hook.id, event_filter=None)
            await settled(hooked, hook)
    taken = positions(receiver.taken)
    assert set(waiting) | {wanted} <= set(taken)
    assert not set(passed_by) & set(taken), "the narrower filter is for what is recorded after it"
    assert [position for position in taken if position in (waiting[0], waiting[2])] == [waiting[0], waiting[2]]


async def test_a_filter_is_changed_only_so_often_while_events_wait_by_it(hooked: Tenant) -> None:
    hook = (await made(hooked, "https://a.invalid/", event_filter=EventFilter(values=("OPTED_OUT",)))).webhook
    wanted = [EventFilter(sources=(source,)) for source in ("API", "PAPER", "IMPORT", "COMPLAINT", "AGENT")]
    for number, one in enumerate(wanted):
        await record(hooked, f"a{number}@example.org")
        if number < EARLIER_FILTERS_MAX:
            await webhooks.update_webhook(hooked, APPLICATION, webhook=hook.id, event_filter=one)
        else:
            with pytest.raises(Refusal) as refused:
                await webhooks.update_webhook(hooked, APPLICATION, webhook=hook.id, event_filter=one)
            assert (refused.value.code, refused.value.path) == (RefusalCode.TOO_MANY, ("filter",))
    # One that had its turn counts once.
    back = await webhooks.update_webhook(hooked, APPLICATION, webhook=hook.id, event_filter=wanted[0])
    assert len(back.webhook.earlier) == EARLIER_FILTERS_MAX
    everything = await webhooks.update_webhook(hooked, APPLICATION, webhook=hook.id, event_filter=None)
    assert everything.webhook.earlier == ()


async def test_a_page_of_several_filters_is_in_order_and_whole(hooked: Tenant) -> None:
    opt_outs, opt_ins = EventFilter(values=("OPTED_OUT",)), EventFilter(values=("OPTED_IN",))
    hook = (await made(hooked, "https://a.invalid/", event_filter=opt_outs)).webhook
    values = [ConsentValue.OPTED_OUT if number % 3 else ConsentValue.OPTED_IN for number in range(10)]
    recorded = [await record(hooked, f"a{number}@example.org", value) for number, value in enumerate(values)]
    narrowed = (await webhooks.update_webhook(hooked, APPLICATION, webhook=hook.id, event_filter=opt_ins)).webhook
    for limit in (1, 2, 3, 100):
        after, found = narrowed.position, list[int]()
        async with hooked.ledger.connection() as connection:
            while after < recorded[-1]:
                events, read_to = await passing(connection, hooked, narrowed, after=after, to=recorded[-1], limit=limit)
                assert len(events) <= limit
                found += [event.position for event in events]
                assert read_to > after
                after = read_to
        assert found == recorded


async def test_a_receiver_that_wants_no_more_is_held_at_once(hooked: Tenant) -> None:
    async with Receiver(lambda _: Reply(status=410)) as receiver, working(hooked):
        hook = await made(hooked, receiver.url)
        position = await record(hooked, "ann@example.org")

        async def held() -> bool:
            return (await now(hooked, hook.webhook)).held_position == position

        await until(held)
    assert len(receiver.requests) == 1


async def test_a_paused_webhook_stands_still_and_goes_on_from_there(hooked: Tenant) -> None:
    async with Receiver() as receiver, working(hooked):
        hook = await made(hooked, receiver.url)
        await webhooks.update_webhook(hooked, APPLICATION, webhook=hook.webhook.id, status=WebhookStatus.PAUSED)
        while await free_lease(hooked, hook.webhook) is False:
            await asyncio.sleep(0.005)
        position = await record(hooked, "ann@example.org")
        assert receiver.requests == []
        await webhooks.update_webhook(hooked, APPLICATION, webhook=hook.webhook.id, status=WebhookStatus.ACTIVE)
        await settled(hooked, hook.webhook)
    assert positions(receiver.taken) == [position]


async def free_lease(tenant: Tenant, webhook: Webhook) -> bool:
    async with tenant.ledger.connection() as connection:
        return not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM leases WHERE tenant = $1 AND name = $2 AND expires_at > now())",
            tenant.id,
            f"webhook-{webhook.id}",
        )


async def test_a_receiver_that_takes_nothing_costs_a_window_and_no_more(hooked: Tenant) -> None:
    addresses = [f"a{number}@example.org" for number in range(WINDOW_EVENTS + 60)]
    hook_position = await webhook_lists.log_size(hooked)
    await asyncio.gather(*(record(hooked, address) for address in addresses))
    failing = True
    async with (
        Receiver(lambda _: Reply(status=500) if failing else TAKEN) as receiver,
        working(hooked),
    ):
        hook = await made(hooked, receiver.url, from_position=hook_position)

        async def full() -> bool:
            page = await webhook_lists.deliveries(hooked, hook.webhook.id, unfinished_only=True, first=1000)
            return len(page.items) == WINDOW_EVENTS

        await until(full)
        assert len(set(positions(receiver.requests))) == WINDOW_EVENTS
        assert (await now(hooked, hook.webhook)).position == hook_position + WINDOW_EVENTS - 1
        failing = False
        await settled(hooked, hook.webhook)
    assert sorted(positions(receiver.taken)) == list(range(hook_position, hook_position + len(addresses)))


async def test_two_processes_share_webhooks_and_send_nothing_twice(
    hooked: Tenant, database: DatabaseAddress, data_dir: Path
) -> None:
    async with ledger_on(database, data_dir / "master.key") as another:
        another.webhook_networks = LOCAL
        async with Receiver() as receiver, working(hooked), working(await another.tenant(hooked.key)):
            hooks = [await made(hooked, receiver.url) for _ in range(3)]
            recorded = [await record(hooked, f"a{number % 7}@example.org") for number in range(30)]
            for hook in hooks:
                await settled(hooked, hook.webhook)
    assert sorted(positions(receiver.requests)) == sorted(recorded * 3)


async def test_who_lost_the_lease_writes_nothing_and_the_next_sends_again(
    hooked: Tenant, database: DatabaseAddress
) -> None:
    answer = asyncio.Event()
    async with Receiver(lambda _: Reply(after=answer)) as receiver, working(hooked):
        hook = await made(hooked, receiver.url)
        position = await record(hooked, "ann@example.org")
        await receiver.until(lambda: len(receiver.requests) == 1)
        owner = await asyncpg.connect(**database.owner)
        # As if this process had stood still, and another had taken it, and was gone again.
        await owner.execute(
            "UPDATE leases SET fence = fence + 1, expires_at = now() WHERE tenant = $1 AND name = $2",
            hooked.id,
            f"webhook-{hook.webhook.id}",
        )
        await owner.close()
        answer.set()
        await settled(hooked, hook.webhook)
    assert positions(receiver.requests) == [position, position]
    rows = (await webhook_lists.deliveries(hooked, hook.webhook.id)).items
    assert [(row.position, row.state) for _, row in rows] == [(position, DeliveryState.DELIVERED)]


async def test_what_was_taken_and_could_not_be_written_yet_is_written_when_the_store_is_back(
    hooked: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Receiver() as receiver, working(hooked):
        hook = await made(hooked, receiver.url)
        away = 0
        write = Delivery._insert_deliveries

        async def insert(delivery: Delivery, *arguments: Any) -> None:
            nonlocal away
            away += 1
            if away == 1:
                raise StoreUnavailable("away")
            await write(delivery, *arguments)

        monkeypatch.setattr(Delivery, "_insert_deliveries", insert)
        position = await record(hooked, "ann@example.org")
        await settled(hooked, hook.webhook)
    assert positions(receiver.requests) == [position], "it is not sent again for that"


# Secrets, redelivery, deletion.


async def test_an_old_secret_signs_along_for_a_day_unless_it_is_revoked(hooked: Tenant) -> None:
    async with Receiver() as receiver, contextlib.AsyncExitStack() as worker:
        hook = await made(hooked, receiver.url)
        second = await webhooks.rotate_webhook_secret(hooked, APPLICATION, webhook=hook.webhook.id)
        await worker.enter_async_context(working(hooked))
        await record(hooked, "ann@example.org")
        await settled(hooked, hook.webhook)
        assert hook.secret
        assert second.secret
        assert hook.secret != second.secret
        for secret in (hook.secret, second.secret):
            receiver.requests[0].verified(secret)
        third = await webhooks.rotate_webhook_secret(hooked, APPLICATION, webhook=hook.webhook.id, revoke_old=True)
        assert third.secret
        receiver.behave = lambda received: TAKEN if verifies(received, third.secret) else Reply(status=401)
        await record(hooked, "ann@example.org")
        await settled(hooked, hook.webhook)
    last = receiver.taken[-1]
    for secret in (hook.secret, second.secret):
        with pytest.raises(WebhookVerificationError):
            last.verified(secret)


def verifies(received: Received, secret: str | None) -> bool:
    try:
        return bool(received.verified(secret or ""))
    except WebhookVerificationError:
        return False


async def test_after_a_day_the_old_secret_is_gone(clocked: Tenant, clock: Clock) -> None:
    async with Receiver() as receiver, contextlib.AsyncExitStack() as worker:
        hook = await made(clocked, receiver.url)
        await webhooks.rotate_webhook_secret(clocked, APPLICATION, webhook=hook.webhook.id)
        await worker.enter_async_context(working(clocked))
        await record(clocked, "ann@example.org")
        await settled(clocked, hook.webhook)
        # The delivery goes on with what it had read: a secret ends by the clock.
        clock.now += timedelta(hours=24)
        await record(clocked, "ann@example.org")
        await settled(clocked, hook.webhook)
    first, second = (request.headers["webhook-signature"].split() for request in receiver.requests)
    assert (len(first), len(second)) == (2, 1)
    assert all(one.startswith("v1,") for one in (*first, *second))


async def test_redelivery_sends_again_from_a_cursor_with_the_same_ids(hooked: Tenant) -> None:
    async with Receiver() as receiver, working(hooked):
        hook = await made(hooked, receiver.url)
        recorded = [await record(hooked, "ann@example.org") for _ in range(4)]
        await settled(hooked, hook.webhook)
        first_known = (await acknowledgements_of(hooked, recorded))[recorded[-1]]
        event = (await events_at(hooked, [recorded[1]]))[recorded[1]]
        await webhooks.redeliver_webhook(
            hooked, APPLICATION, webhook=hook.webhook.id, after=event_cursor(hooked, event)
        )
        await receiver.until(lambda: len(receiver.taken) == 6)
        await settled(hooked, hook.webhook)
    assert positions(receiver.taken) == [*recorded, *recorded[2:]]
    ids = [received.headers["webhook-id"] for received in receiver.taken]
    assert ids[4:] == ids[2:4]
    assert (await acknowledgements_of(hooked, recorded))[recorded[-1]] == first_known, "it knew before"
    rows = (await webhook_lists.deliveries(hooked, hook.webhook.id)).items
    assert [(row.position, row.round) for _, row in rows] == [
        (recorded[0], 1), (recorded[1], 1), (recorded[2], 1), (recorded[2], 2), (recorded[3], 1), (recorded[3], 2),
    ]  # fmt: skip


async def test_redelivery_skips_nothing(hooked: Tenant) -> None:
    hook = await made(hooked, "https://a.invalid/")
    await record(hooked, "ann@example.org")
    with pytest.raises(Exception, match="cannot be skipped"):
        await webhooks.redeliver_webhook(
            hooked, APPLICATION, webhook=hook.webhook.id, from_position=hook.webhook.position + 2
        )


async def test_a_deleted_webhook_is_sent_nothing_and_what_it_took_stays_known(hooked: Tenant) -> None:
    async with Receiver() as receiver, working(hooked):
        hook = await made(hooked, receiver.url)
        position = await record(hooked, "ann@example.org")
        await settled(hooked, hook.webhook)
        await webhooks.delete_webhook(hooked, APPLICATION, webhook=hook.webhook.id)
        await until(lambda: free_lease(hooked, hook.webhook))
        await record(hooked, "ann@example.org")
    assert positions(receiver.requests) == [position]
    assert len((await acknowledgements_of(hooked, [position]))[position]) == 1
    async with hooked.ledger.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM webhook_secrets WHERE tenant = $1", hooked.id) == 0
        assert await connection.fetchval("SELECT sealed_url FROM webhooks WHERE tenant = $1", hooked.id) == b""


# Receivers that do harm.


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(hang=True), "it did not answer within"),
        (Reply(close=True), "it cannot be asked"),
        (Reply(status=500), "it answered 500"),
        (Reply(status=429, headers={"Retry-After": "7"}), "it answered 429"),
    ],
)
async def test_what_is_not_taken_is_tried_again(hooked: Tenant, reply: Reply, why: str) -> None:
    async with Receiver(lambda _: reply) as receiver, working(hooked, timeout_s=0.3):
        hook = await made(hooked, receiver.url)
        position = await record(hooked, "ann@example.org")
        await said(hooked, hook.webhook, why)
        receiver.behave = lambda _: TAKEN
        await settled(hooked, hook.webhook)
    assert positions(receiver.taken) == [position]


async def test_a_redirect_is_a_failure_and_nobody_follows_it(hooked: Tenant) -> None:
    async with Receiver() as inner:
        elsewhere = Reply(status=307, headers={"Location": inner.url})
        async with Receiver(lambda _: elsewhere) as receiver, working(hooked):
            hook = await made(hooked, receiver.url)
            await record(hooked, "ann@example.org")
            await said(hooked, hook.webhook, "redirects are not followed")
    assert inner.requests == []


async def test_of_an_endless_answer_a_little_is_read(hooked: Tenant) -> None:
    async with Receiver(lambda _: Reply(flood=True)) as receiver, working(hooked):
        hook = await made(hooked, receiver.url)
        await record(hooked, "ann@example.org")
        await settled(hooked, hook.webhook)
    # What was on its way in the sockets' buffers, and not a gigabyte.
    assert receiver.flooded_bytes < 64 * 1024 * 1024


async def test_a_name_that_leads_to_this_machine_is_not_asked(hooked: Tenant) -> None:
    answers = [["127.0.0.1"], ["198.51.100.7", "127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"], ["::1"]]
    asked: list[str] = []

    async def resolve(host: str, _: int) -> list[str]:
        asked.append(host)
        return answers[len(asked) % len(answers)]

    hook = await made(hooked, "https://rebound.test/")
    hooked.ledger.webhook_networks = ()
    async with Receiver() as receiver, working(hooked, resolve=resolve):
        await record(hooked, "ann@example.org")
        await said(hooked, hook.webhook, "not a public one")

        async def all_answers() -> bool:
            return len(asked) > len(answers)

        await until(all_answers)
        page = await webhook_lists.deliveries(hooked, hook.webhook.id)
        assert [row.state for _, row in page.items] == [DeliveryState.RETRYING]
    assert receiver.requests == []


async def test_tls_is_verified_for_the_name_and_goes_to_the_address_that_was_judged(
    hooked: Tenant, tmp_path: Path
) -> None:
    server, client = tls_for("hooks.test", tmp_path)
    asked: list[str] = []

    async def resolve(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with Receiver(tls=server) as receiver, working(hooked, resolve=resolve, ssl_context=client):
        right = await made(hooked, f"https://hooks.test:{receiver.port}/a?b=c")
        position = await record(hooked, "ann@example.org")
        await settled(hooked, right.webhook)
        assert asked == ["hooks.test"], "resolved once for the connection"
        wrong = await made(hooked, f"https://other.test:{receiver.port}/", from_position=position)
        await said(hooked, wrong.webhook, "it cannot be asked: ConnectError")
    assert positions(receiver.requests) == [position]
    assert receiver.requests[0].headers["host"] == f"hooks.test:{receiver.port}"


async def test_without_tls_only_the_named_networks_are_asked(hooked: Tenant) -> None:
    async def resolve(_: str, __: int) -> list[str]:
        return ["93.184.215.14"]

    async with working(hooked, resolve=resolve):
        hook = await made(hooked, "http://public.test/")
        await record(hooked, "ann@example.org")
        await said(hooked, hook.webhook, "not a public one")
