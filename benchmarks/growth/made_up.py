"""What the generated log says: kinds of captures, each decided once by the ledger's own rules, and whom they are about.

A capture is made as the import of a row makes it: its row key stands for it for ever, and importing that row again changes
nothing. What a kind's events have in common (data, columns, evidence, notice) is what `capture_command` decided for it.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from domain.addresses import Channel
from domain.consent import ActorKind, ConsentSource, ConsentValue
from eventstore.command import Draft
from ledger import catalogue
from ledger.assembly import Caller, Tenant
from ledger.given_evidence import Evidence
from ledger.record import Actor, Capture, capture_command

CALLER = Caller("growth", frozenset())
TOPIC = "news"
EVENTS_PER_CONTACT_POINT = 5
SINCE = datetime(2024, 1, 1, tzinfo=UTC)
_DAYS = 900
_NOTICE = Evidence(
    notice_text="Yes, send me news of new arrivals. I can unsubscribe at any time.",
    notice_version="3",
    locale="en",
    method="unchecked box ticked",
    ip_address="192.0.2.7",
    user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
)
_RECIPIENT = Actor(kind=ActorKind.RECIPIENT)
_SYSTEM = Actor(kind=ActorKind.SYSTEM)
# (of a hundred, purpose, topic, value, source, actor, evidence)
_KINDS = (
    (30, "commercial", None, ConsentValue.OPTED_IN, ConsentSource.IMPORT, _SYSTEM, None),
    (15, "commercial", None, ConsentValue.OPTED_IN, ConsentSource.FORM, _RECIPIENT, _NOTICE),
    (20, "commercial", None, ConsentValue.OPTED_OUT, ConsentSource.ONE_CLICK_UNSUBSCRIBE, _RECIPIENT, None),
    (5, "commercial", None, ConsentValue.NOT_SET, ConsentSource.OPERATOR, _SYSTEM, None),
    (10, "commercial", TOPIC, ConsentValue.OPTED_IN, ConsentSource.PREFERENCE_CENTER, _RECIPIENT, _NOTICE),
    (10, "commercial", TOPIC, ConsentValue.OPTED_OUT, ConsentSource.PREFERENCE_CENTER, _RECIPIENT, None),
    (10, "transactional", None, ConsentValue.OPTED_IN, ConsentSource.API, _SYSTEM, None),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """Captures that differ only in whom they are about and when they took effect."""

    capture: Capture
    draft: Draft


def address(number: int) -> str:
    """The address of the contact point with this number, counted from 0 in the order in which they came up."""
    return f"p{number}@example.org"


def row_key(number: int) -> str:
    """The row key of the generated event with this number."""
    return f"growth-{number}"


def capture_of(kind: Kind, contact_point: int, effective_at: datetime, event: int) -> Capture:
    """The capture that the generated event with this number is, as an import would record it."""
    capture = kind.capture
    return Capture(
        channel=capture.channel,
        address=address(contact_point),
        purpose=capture.purpose,
        topic=capture.topic,
        value=capture.value,
        effective_at=effective_at,
        source=capture.source,
        actor=capture.actor,
        evidence=capture.evidence,
        row_keys=(row_key(event),),
    )


async def prepare_catalogue(tenant: Tenant) -> None:
    """Make the topic that some of the kinds are about."""
    await catalogue.create_topic(tenant, CALLER, key=TOPIC, name="News", purpose="commercial")


def kinds(tenant: Tenant, recorded_at: datetime) -> list[Kind]:
    """A hundred of them, as often each as it is to be drawn."""
    drawn: list[Kind] = []
    for share, purpose, topic, value, source, actor, evidence in _KINDS:
        capture = Capture(
            channel=Channel.EMAIL,
            address=address(0),
            purpose=purpose,
            topic=topic,
            value=value,
            effective_at=SINCE,
            source=source,
            actor=actor,
            evidence=evidence,
        )
        [draft] = capture_command(tenant, CALLER, capture).decide(recorded_at)
        drawn += [Kind(capture, draft)] * share
    return drawn


def instants(draw: random.Random) -> list[datetime]:
    """When captures took effect: days that events share, as real ones do."""
    return [SINCE + timedelta(days=draw.randrange(_DAYS), seconds=draw.randrange(86_400)) for _ in range(4_096)]
