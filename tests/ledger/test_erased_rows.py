"""An opt-out that comes again in a file after its address was erased is recorded anew, once in each life of the address."""

import io
import json
from collections.abc import Mapping

import pytest

from domain.addresses import Channel
from domain.consent import ConsentValue
from ledger import history
from ledger.assembly import Caller, Tenant
from ledger.check import Question, check
from ledger.erasure import erase_contact_point
from ledger.import_formats import Target
from ledger.import_rows import Totals
from ledger.importing import import_consents
from ledger.record import Capture, record_consent

ADA = "ada@example.org"
EARLY = "2024-01-01T00:00:00Z"
OUT = ConsentValue.OPTED_OUT
RECORDS = (
    "msdynmkt_contactpointvalue,msdynmkt_contactpointtype,msdynmkt_contactpointconsenttype,msdynmkt_purposeid,"
    f"msdynmkt_value,msdynmkt_reason,modifiedon\n{ADA},Email,Purpose,commercial,Opted Out,words of hers,{EARLY}\n"
)
FLAGS = f"emailaddress1,donotemail,donotbulkemail,modifiedon\n{ADA},1,1,{EARLY}\n"
LINE = {"address": ADA, "purpose": "commercial", "value": "OPTED_OUT"}
LIST = Target(purpose="commercial", value=OUT)
FILES: Mapping[str, tuple[str, str, Target]] = {
    "records": ("contact-point-consents", RECORDS, Target()),
    "contacts": ("contacts", FLAGS, Target(purpose="commercial")),
    "leads": ("leads", FLAGS, Target(purpose="commercial")),
    "list": ("subscription-list", f"emailaddress1\n{ADA}\n", LIST),
    "ndjson": ("ndjson", json.dumps({**LINE, "effectiveAt": EARLY, "reason": "words"}), Target()),
    "ndjson without a date": ("ndjson", json.dumps(LINE), Target()),
}

AS_OF_THE_IMPORT = ("list", "ndjson without a date")
each_format = pytest.mark.parametrize("name", FILES)


async def run(tenant: Tenant, name: str, *, dry_run: bool = False) -> tuple[Totals, list[str]]:
    format, content, target = FILES[name]
    messages: list[str] = []
    totals = await import_consents(
        tenant,
        io.BytesIO(content.encode()),
        format=format,
        report=lambda line, outcome, code, message: messages.append(message),
        progress=lambda _: None,
        target=target,
        dry_run=dry_run,
    )
    return totals, messages


def counts(totals: Totals) -> tuple[int, int, int]:
    return totals.recorded, totals.unchanged, totals.events


async def erase(tenant: Tenant, caller: Caller, *, keep_suppression: bool = False) -> None:
    await erase_contact_point(
        tenant, caller, channel=Channel.EMAIL, address=ADA, reason="asked", keep_suppression=keep_suppression
    )


async def allowed(tenant: Tenant) -> bool:
    [answer] = await check(tenant, Question(channel=Channel.EMAIL, addresses=[ADA], purpose="commercial"))
    return answer.decision.allowed


async def opt_in(tenant: Tenant, caller: Caller) -> None:
    await record_consent(
        tenant,
        caller,
        Capture(channel=Channel.EMAIL, address=ADA, purpose="commercial", value=ConsentValue.OPTED_IN),
    )


@each_format
async def test_it_is_recorded_anew_once_in_each_life_of_the_address(tenant: Tenant, caller: Caller, name: str) -> None:
    assert counts((await run(tenant, name))[0]) == (1, 0, 1)
    for _ in range(2):
        await erase(tenant, caller)
        assert await allowed(tenant)
        assert counts((await run(tenant, name, dry_run=True))[0]) == (1, 0, 1)
        totals, messages = await run(tenant, name)
        assert (counts(totals), messages) == ((1, 0, 1), [])
        assert not await allowed(tenant)
        assert counts((await run(tenant, name))[0]) == (0, 1, 0)
        assert counts((await run(tenant, name, dry_run=True))[0]) == (0, 1, 0)


@each_format
async def test_nothing_personal_but_the_address_is_kept_then(tenant: Tenant, caller: Caller, name: str) -> None:
    await run(tenant, name)
    await erase(tenant, caller)
    await run(tenant, name)
    found = await history.find_contact_point(tenant, Channel.EMAIL, ADA)
    assert found is not None
    pages = await history.histories(tenant, [found.id], history.EventFilter(), first=10)
    [event] = [event for _, event in pages[found.id].items]
    assert await history.evidence(tenant, [event]) in ({}, {event.position: {}})


@each_format
async def test_it_counts_as_of_its_own_time_or_else_of_its_import(tenant: Tenant, caller: Caller, name: str) -> None:
    await run(tenant, name)
    await erase(tenant, caller)
    await opt_in(tenant, caller)
    await run(tenant, name)
    assert await allowed(tenant) is (name not in AS_OF_THE_IMPORT)


@each_format
async def test_who_is_suppressed_is_not_stored_again(tenant: Tenant, caller: Caller, name: str) -> None:
    await run(tenant, name)
    await erase(tenant, caller, keep_suppression=True)
    assert counts((await run(tenant, name))[0]) == (0, 1, 0)
    assert not await allowed(tenant)
    assert await history.find_contact_point(tenant, Channel.EMAIL, ADA) is None


async def test_a_key_of_the_senders_own_answers_what_it_did_first(tenant: Tenant, caller: Caller) -> None:
    capture = Capture(
        channel=Channel.EMAIL, address=ADA, purpose="commercial", value=OUT, idempotency_key="the sender's"
    )
    first = await record_consent(tenant, caller, capture)
    await erase(tenant, caller)
    again = await record_consent(tenant, caller, capture)
    assert (again.repeated, again.position) == (True, first.position)
