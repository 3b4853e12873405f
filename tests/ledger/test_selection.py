"""Selecting by consent says of each contact point what a check says of it."""

import random
from datetime import timedelta

import pytest

from domain.addresses import Channel
from domain.catalogue import EnforcementModel
from domain.consent import ConsentValue
from domain.decision import Contactability
from domain.refusals import Refusal
from ledger import catalogue
from ledger.assembly import Caller, Tenant
from ledger.check import Question, check
from ledger.history import addresses
from ledger.record import Capture, record_consents
from ledger.selection import Selection, select

ADDRESSES = [f"a{number}@example.org" for number in range(30)]


async def populate(tenant: Tenant, caller: Caller, seed: int) -> None:
    draw = random.Random(seed)
    await catalogue.create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    now = tenant.ledger.clock()
    captures = []
    for address in ADDRESSES:
        captures.append(Capture(channel=Channel.EMAIL, address=address, purpose="tracking", value=ConsentValue.NOT_SET))
        for _ in range(draw.randrange(4)):
            value = draw.choice(list(ConsentValue))
            expires = value is ConsentValue.OPTED_IN and draw.random() < 0.4
            captures.append(
                Capture(
                    channel=Channel.EMAIL,
                    address=address,
                    purpose="commercial",
                    topic=draw.choice([None, "news"]),
                    value=value,
                    effective_at=now - timedelta(days=draw.randrange(1, 5)),
                    valid_until=now - timedelta(minutes=1) if expires else None,
                )
            )
    await record_consents(tenant, caller, captures)


@pytest.mark.parametrize("model", EnforcementModel)
@pytest.mark.parametrize("topic", [None, "news"])
async def test_selection_equals_checking_everyone(
    tenant: Tenant, caller: Caller, model: EnforcementModel, topic: str | None
) -> None:
    await populate(tenant, caller, seed=len(model))
    await catalogue.update_purpose(tenant, caller, ref="commercial", enforcement=[(Channel.EMAIL, model)])
    answers = await check(
        tenant, Question(channel=Channel.EMAIL, addresses=ADDRESSES, purpose="commercial", topic=topic)
    )
    for wanted, allowed in ((Contactability.WILL_SEND, True), (Contactability.WILL_NOT_SEND, False)):
        selection = Selection(channel=Channel.EMAIL, purpose="commercial", topic=topic, contactability=wanted)
        found: list[str] = []
        after = None
        while True:
            page = await select(tenant, selection, first=7, after=after)
            opened = await addresses(tenant, [point.id for _, point in page.items])
            found += [opened[point.id] for _, point in page.items]
            if not page.has_next_page:
                break
            after = page.items[-1][0]
        assert sorted(found) == sorted(answer.address for answer in answers if answer.decision.allowed is allowed)
        assert await page.total_count() == len(found)


async def test_each_contact_point_has_exactly_one_value(tenant: Tenant, caller: Caller) -> None:
    await populate(tenant, caller, seed=7)
    counts = []
    for value in ConsentValue:
        page = await select(tenant, Selection(channel=Channel.EMAIL, purpose="commercial", value=value), first=0)
        counts.append(await page.total_count())
    assert sum(counts) == len(ADDRESSES)
    assert all(counts)


async def test_sending_is_no_word_for_tracking(tenant: Tenant) -> None:
    with pytest.raises(Refusal) as refused:
        await select(
            tenant,
            Selection(channel=Channel.EMAIL, purpose="tracking", contactability=Contactability.WILL_SEND),
        )
    assert refused.value.path == ("contactability",)
