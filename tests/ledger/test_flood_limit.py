"""Floods from one address: what comes back is limited, and neither an opt-out nor a hard bounce ever is."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.addresses import Channel
from domain.sms_keywords import Keyword
from ledger.assembly import Caller, Tenant
from ledger.check import Question, check
from ledger.flood_limit import FloodLimit, JoinedOptOuts, TooOften
from ledger.inbound_email import receive_email
from ledger.inbound_sms import receive_sms
from tests.conftest import Clock
from tests.ledger.test_inbound import ADA, BOB, NUMBER, bounce, position, sent

OTHER = "+4930999999"


class StandingClock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_limit_fills_again_and_forgets_who_asked_longest_ago() -> None:
    clock = StandingClock()
    limit = FloodLimit(times=2, seconds=60, clock=clock)
    assert [limit.seconds_to_wait("a") for _ in range(3)] == [0, 0, 30]
    clock.now += 15
    assert limit.seconds_to_wait("a") == 15
    clock.now += 15
    assert [limit.seconds_to_wait("a") for _ in range(2)] == [0, 30]
    clock.now += 3_600
    assert [limit.seconds_to_wait("a") for _ in range(3)] == [0, 0, 30], "never more than full"
    for number in range(10_000):
        limit.seconds_to_wait(str(number))
    assert limit.seconds_to_wait("a") == 0


class Turns:
    """The pause of who floods: over at once, unless a test holds it."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.joining = 0
        self._joined = asyncio.Condition()

    async def __call__(self, _: float) -> None:
        await self.open.wait()

    async def joins(self) -> None:
        async with self._joined:
            self.joining += 1
            self._joined.notify_all()

    async def all_wait(self, number: int) -> None:
        """Return when so many wait for their turn."""
        async with self._joined:
            await self._joined.wait_for(lambda: self.joining >= number)


@pytest.fixture
def turns() -> Turns:
    return Turns()


class Watched(JoinedOptOuts[Any]):
    """Says when one more waits for its turn."""

    def __init__(self, turns: Turns) -> None:
        super().__init__(pause=turns)
        self._turns = turns

    async def record(self, place: str, effective_at: datetime | None, record: Any) -> Any:
        if not self._turns.open.is_set():
            await self._turns.joins()
        return await super().record(place, effective_at, record)


@pytest.fixture
def limited(clocked_tenant: Tenant, turns: Turns) -> Tenant:
    """A tenant whose addresses may send three messages, and no more for as long as a test runs."""
    clocked_tenant.ledger.inbound_limit = FloodLimit(times=3, clock=StandingClock())
    clocked_tenant.ledger.joined_opt_outs = Watched(turns)
    return clocked_tenant


async def reason(tenant: Tenant, address: str, channel: Channel) -> str:
    [answer] = await check(tenant, Question(channel=channel, addresses=[address], purpose="commercial"))
    return str(answer.decision.reasons[0].code)


async def test_a_flood_of_texts_is_refused_and_a_stop_never(limited: Tenant, caller: Caller, clock: Clock) -> None:
    for _ in range(3):
        await receive_sms(limited, caller, sender=NUMBER, text="START")
    for text in ("START", "HELP", "hello"):
        with pytest.raises(TooOften):
            await receive_sms(limited, caller, sender=NUMBER, text=text)
    assert (await receive_sms(limited, caller, sender=OTHER, text="HELP")).keyword is Keyword.HELP, "others are heard"
    clock.now = clock.now.replace(minute=clock.now.minute + 5)
    stopped = await receive_sms(limited, caller, sender=NUMBER, text="STOP")
    assert (stopped.recorded, stopped.reply is not None) == (1, True)
    assert await reason(limited, NUMBER, Channel.SMS) == "OPTED_OUT"
    with pytest.raises(TooOften):
        await receive_sms(limited, caller, sender=NUMBER, text="START")
    assert await reason(limited, NUMBER, Channel.SMS) == "OPTED_OUT"


async def test_stops_of_a_flood_are_joined_and_count_over_whatever_was_chosen_before_any_of_them(
    limited: Tenant, caller: Caller, clock: Clock, turns: Turns
) -> None:
    start = clock.now
    for _ in range(4):
        await receive_sms(limited, caller, sender=NUMBER, text="STOP")
    before = await position(limited)
    turns.open.clear()
    clock.now += timedelta(minutes=5)
    stops = [
        asyncio.create_task(
            receive_sms(limited, caller, sender=NUMBER, text="STOP", received_at=start + timedelta(seconds=seconds))
        )
        for seconds in (20, 50, 30)
    ]
    await turns.all_wait(3)
    assert not any(stop.done() for stop in stops), "nobody is answered before it is recorded"
    turns.open.set()
    assert [answer.reply is not None for answer in await asyncio.gather(*stops)] == [True, True, True]
    assert await position(limited) == before + 1
    limited.ledger.inbound_limit = FloodLimit()
    await receive_sms(limited, caller, sender=NUMBER, text="START", received_at=start + timedelta(seconds=40))
    assert await reason(limited, NUMBER, Channel.SMS) == "OPTED_OUT"
    await receive_sms(limited, caller, sender=NUMBER, text="START", received_at=start + timedelta(seconds=60))
    assert await reason(limited, NUMBER, Channel.SMS) == "OPTED_IN"


async def test_whoever_waits_for_its_turn_and_goes_takes_no_opt_out_along() -> None:
    opened = asyncio.Event()
    recorded: list[datetime | None] = []

    async def pause(_: float) -> None:
        await opened.wait()

    async def record(effective_at: datetime | None) -> int:
        recorded.append(effective_at)
        return len(recorded)

    joined = JoinedOptOuts[int](pause=pause)
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    first = asyncio.create_task(joined.record("a", early, record))
    others = [asyncio.create_task(joined.record(place, late, record)) for place in ("a", "b")]
    await asyncio.sleep(0)
    first.cancel()
    opened.set()
    await asyncio.gather(*others)
    assert recorded == [late, late], "one of each place, effective at the latest"
    assert await joined.record("a", None, record) == 3


async def test_a_flood_of_mails_loses_no_opt_out_and_no_hard_bounce(limited: Tenant, caller: Caller) -> None:
    def mail(sender: str, number: int) -> bytes:
        return f"From: {sender}\r\nSubject: unsubscribe\r\nMessage-ID: <{number}@x>\r\n\r\n".encode()

    for number in range(3):
        await receive_email(limited, caller, bounce(await sent(limited, BOB), BOB, status=f"4.2.{number}"))
        await receive_email(limited, caller, mail(ADA, number))
    before = await position(limited)
    assert (await receive_email(limited, caller, mail(ADA, 9))).recorded == 1, "an opt-out always is"
    before += 1
    soft = await receive_email(limited, caller, bounce(await sent(limited, BOB), BOB, status="4.3.0"))
    assert (soft.recorded, await position(limited)) == (0, before)
    assert (await receive_email(limited, caller, mail(BOB, 1))).recorded == 1
    assert (await receive_email(limited, caller, bounce(await sent(limited, BOB), BOB))).recorded == 1
    assert await reason(limited, BOB, Channel.EMAIL) == "SUPPRESSED"
    size = await position(limited)
    assert (await receive_email(limited, caller, bounce(await sent(limited, BOB), BOB, status="5.1.2"))).recorded == 0
    assert await position(limited) == size
