"""Subject access: everything about one person is there, and nothing of another."""

import re
from typing import Any

import asyncpg

from domain.addresses import Channel
from domain.bounces import Bounce
from domain.catalogue import DoubleOptInMode
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.decision import Contactability, ReasonCode
from eventstore.database import DatabaseAddress
from ledger.acknowledgements import acknowledge
from ledger.api_keys import create_key
from ledger.assembly import Caller, Tenant
from ledger.bounces import record_bounce
from ledger.catalogue import update_profile
from ledger.double_opt_in import confirm_double_opt_in, open_confirmation, request_double_opt_in
from ledger.erasure import erase_contact_point
from ledger.given_evidence import Evidence
from ledger.record import Capture, record_consent
from ledger.records import plain_words
from ledger.records.facts import facts_of
from ledger.records.subject_access import subject_access
from ledger.webhooks import create_webhook, update_webhook

ADA, BOB = "ada@example.org", "bob@example.org"
MAILER = Caller("mailer", frozenset(("read", "read:personal")))
EVIDENCE = Evidence(
    notice_text="We write monthly.", ip_address="192.0.2.7", user_agent="Browser/1", method="box ticked"
)


async def capture(tenant: Tenant, caller: Caller, address: str, value: ConsentValue, **given: Any) -> int:
    fields = {"channel": Channel.EMAIL, "address": address, "purpose": "commercial", "value": value, **given}
    return (await record_consent(tenant, caller, Capture(**fields))).events[-1].position


async def test_everything_about_one_person_and_nothing_of_another(
    tenant: Tenant, caller: Caller, database: DatabaseAddress
) -> None:
    for name in ("mailer", "dialler"):
        await create_key(tenant, name, ["read", "read:personal"])
    # Erased once: a mark is left, under which the person comes back.
    await capture(tenant, caller, ADA, ConsentValue.OPTED_OUT, purpose="transactional")
    await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address=ADA, reason="asked")
    await update_profile(tenant, caller, ref="default", double_opt_in=DoubleOptInMode.EVERY_SUBMISSION)
    requested = await request_double_opt_in(
        tenant, caller, channel=Channel.EMAIL, address=ADA, purpose="commercial", evidence=EVIDENCE
    )
    assert requested.token is not None
    await confirm_double_opt_in(tenant, (await open_confirmation(tenant.ledger, requested.token))[1])
    out = await capture(tenant, caller, ADA, ConsentValue.OPTED_OUT, reason="my own words")
    await record_bounce(tenant, caller, channel=Channel.EMAIL, address=ADA, bounce=Bounce.HARD, status="5.1.1")
    other = await capture(tenant, caller, BOB, ConsentValue.OPTED_IN, reason="of somebody else")
    await acknowledge(tenant, Caller("dialler", frozenset(("read",))), out)
    hook = (await create_webhook(tenant, MAILER, url="https://hooks.invalid/x", personal=True)).webhook
    quiet = (await create_webhook(tenant, MAILER, url="https://quiet.invalid/x")).webhook
    owner = await asyncpg.connect(**database.owner)
    for webhook in (hook.id, quiet.id):
        for position in (out, other):
            await owner.execute(
                "INSERT INTO webhook_deliveries VALUES ($1, $2, $3, 1, now(), 1, 200)", tenant.id, webhook, position
            )
    await owner.close()
    # What is set afterwards does not change what was sent, and to where is not known any more.
    await update_webhook(tenant, MAILER, webhook=hook.id, url="https://elsewhere.invalid/x", personal=False)

    text = await subject_access(tenant, await facts_of(tenant, Channel.EMAIL, ADA))
    for said in (
        "DoubleOptInRequested", "DoubleOptInConfirmed", "ContactPointBounced", '"5.1.1"', "ConsentCaptured",
        '"We write monthly."', '"192.0.2.7"', '"Browser/1"', '"box ticked"', '"my own words"',
        "could not be delivered for good", "left a mark, which names nobody, ",
        "against: everything commercial; seeing whether you open and click; Transactional;",
        "you were asked to confirm a yes to Commercial; ", "the yes to Commercial was confirmed; ",
        "a message could not be delivered for good; ", "no to Commercial, from an application; ", ", done by a program",
        "known by: dialler, since ", "(it said so)", "known by: mailer, since ", "(it was sent to it)",
        "with address and evidence", "sent to: mailer at https://quiet.invalid", "without address and evidence",
        "at an address that was changed since", "Who knows of it\n  dialler\n  mailer\n",
    ):  # fmt: skip
        assert said in text, said
    prose = "\n".join(line for line in text.splitlines() if not line.startswith("    as data: ")).partition("Proof")[0]
    assert (
        re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b|\b(?:EMAIL|COMMERCIAL|SYSTEM|HARD)\b", re.sub(r"\[.*?\]", "", prose)) == []
    )
    lines = [line for line in text.splitlines() if "sent to: " in line]
    assert len(lines) == 2, "those of this person's events alone"
    for hidden in (BOB, "of somebody else", "elsewhere.invalid", f"  {other}: "):
        assert hidden not in text


async def test_a_reason_is_told_in_words_whether_of_the_list_or_of_ones_own(tenant: Tenant, caller: Caller) -> None:
    listed, own = "Opt-out - Privacy concerns", "too many of them"
    for reason in (listed, own):
        await capture(tenant, caller, ADA, ConsentValue.OPTED_OUT, reason=reason)
    text = await subject_access(tenant, await facts_of(tenant, Channel.EMAIL, ADA))
    prose = [line.strip() for line in text.splitlines() if not line.startswith("    as data: ")]
    assert [line for line in prose if line.startswith("reason: ")] == [f'reason: "{listed}"', f'reason: "{own}"']


def test_there_are_words_for_all_there_is() -> None:
    """A code without words would end the answer to somebody who has a right to it."""
    for words, codes in (
        (plain_words.CHANNELS, Channel),
        (plain_words.OUTCOMES, Contactability),
        (plain_words.ACTORS, ActorKind),
        (plain_words._REASONS, ReasonCode),
        (plain_words._CAPTURED, ConsentValue),
        (plain_words._WAYS, ConsentSource),
    ):
        assert set(words) == set(codes)
