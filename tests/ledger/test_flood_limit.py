"""Floods from one address: what comes back is limited, and neither an opt-out nor a hard bounce ever is."""

import pytest

from domain.addresses import Channel
from domain.sms_keywords import Keyword
from ledger.assembly import Caller, Tenant
from ledger.check import Question, check
from ledger.flood_limit import FloodLimit, TooOften
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


@pytest.fixture
def limited(clocked_tenant: Tenant) -> Tenant:
    """A tenant whose addresses may send three messages, and no more for as long as a test runs."""
    clocked_tenant.ledger.inbound_limit = FloodLimit(times=3, clock=StandingClock())
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


async def test_a_flood_of_stops_is_answered_and_one_a_minute_is_recorded(
    limited: Tenant, caller: Caller, clock: Clock
) -> None:
    for _ in range(4):
        await receive_sms(limited, caller, sender=NUMBER, text="STOP")
    before = await position(limited)
    again = await receive_sms(limited, caller, sender=NUMBER, text="STOP", message_id="another")
    assert (again.recorded, again.reply is not None, await position(limited)) == (0, True, before)
    assert again.why is not None
    assert "a moment ago" in again.why
    clock.now = clock.now.replace(minute=clock.now.minute + 2)
    later = await receive_sms(limited, caller, sender=NUMBER, text="STOP")
    assert later.recorded == 1, "whatever may have been imported in between does not count over it"


async def test_a_flood_of_mails_loses_no_opt_out_and_no_hard_bounce(limited: Tenant, caller: Caller) -> None:
    def mail(sender: str, number: int) -> bytes:
        return f"From: {sender}\r\nSubject: unsubscribe\r\nMessage-ID: <{number}@x>\r\n\r\n".encode()

    for number in range(3):
        await receive_email(limited, caller, bounce(await sent(limited, BOB), BOB, status=f"4.2.{number}"))
        await receive_email(limited, caller, mail(ADA, number))
    before = await position(limited)
    assert (await receive_email(limited, caller, mail(ADA, 9))).recorded == 0, "opted out a moment ago"
    soft = await receive_email(limited, caller, bounce(await sent(limited, BOB), BOB, status="4.3.0"))
    assert (soft.recorded, await position(limited)) == (0, before)
    assert (await receive_email(limited, caller, mail(BOB, 1))).recorded == 1
    assert (await receive_email(limited, caller, bounce(await sent(limited, BOB), BOB))).recorded == 1
    assert await reason(limited, BOB, Channel.EMAIL) == "SUPPRESSED"
    size = await position(limited)
    assert (await receive_email(limited, caller, bounce(await sent(limited, BOB), BOB, status="5.1.2"))).recorded == 0
    assert await position(limited) == size
