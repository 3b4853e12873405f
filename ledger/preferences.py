"""What a person sees of their choices behind a link, and changes: the hosted page, one click, everything commercial at once.

Only what the person changed is recorded: a box that was shown ticked and left so is no choice. What was shown, and what was
sent back, come from the page itself, so two open tabs and the back button change nothing that nobody touched.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from domain.addresses import Channel
from domain.catalogue import Catalogue, ComplianceProfile, EnforcementModel, Purpose, PurposeType, Topic
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.double_opt_in import is_awaited
from domain.refusals import Refusal
from domain.standing import NOTHING_KNOWN, Standing, counting_record
from domain.suppression import Level, is_suppressed
from ledger.assembly import Caller, Tenant
from ledger.erasure_completion import complete_erasure
from ledger.flood_limit import opted_out_a_moment_ago
from ledger.given_evidence import Evidence
from ledger.links import MessageLink
from ledger.look_up import LookUp, look_up
from ledger.record import Actor, Capture, record_consents

RECIPIENT = Actor(kind=ActorKind.RECIPIENT)
RECIPIENT_LINK = "RECIPIENT_LINK"
ONE_CLICK_REASON = "Opt-out - One-click unsubscribe"
# Nobody's key is behind a link: the person's own, signed link is.
_NO_APPLICATION = Caller(None, frozenset())


@dataclass(frozen=True, slots=True)
class Choice:
    """One purpose or topic on the page, as it stands now; `ticked` as a person would read a tick: messages may come."""

    purpose: Purpose
    topic: Topic | None
    value: ConsentValue
    ticked: bool
    opted_out_a_moment_ago: bool = False

    @property
    def level(self) -> Level:
        """Its purpose and topic, by their keys."""
        return self.purpose.key, None if self.topic is None else self.topic.key


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a link leads to: the profile, and every choice on its page, each purpose followed by its topics.

    `suppressed` where the address is suppressed for what is commercial: its contact point was erased, and it stays blocked.
    `bounced` where a message came back for good: nothing is sent until the person opts in again.
    """

    profile: ComplianceProfile
    choices: tuple[Choice, ...]
    suppressed: bool
    bounced: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """The page as it was shown to who saved it: evidence. `form` is the page's own number, by which it is saved once."""

    form: str
    text: str
    locale: str
    method: str
    gpc: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """How somebody clicked: on a page, `text` being what that showed, or through a mail program, which shows its own."""

    method: str
    text: str | None = None
    locale: str | None = None
    gpc: bool = False

    def evidence(self) -> Evidence:
        """What is kept of it."""
        attributes = {"gpc": True} if self.gpc else None
        return Evidence(notice_text=self.text, locale=self.locale, method=self.method, attributes=attributes)


class Failed(Enum):
    """Why a choice could not be saved."""

    GONE = "it is offered no more"


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of a submit: the values set and those before them, by level, and what could not be set."""

    values: Mapping[Level, ConsentValue]
    before: Mapping[Level, ConsentValue]
    failed: Mapping[Level, Failed]


async def preferences(tenant: Tenant, link: MessageLink) -> Preferences:
    """What the page of a link shows now. Raises StoreUnavailable."""
    catalogue = await tenant.latest_catalogue()
    profile = catalogue.profiles[link.profile]
    shown = _shown(catalogue, profile)
    _, standing = await _standing(
        tenant, link, [purpose.key for purpose, _ in shown], [topic.key for _, topic in shown if topic]
    )
    now = tenant.ledger.clock()
    choices = tuple(
        _choice(catalogue, profile, purpose, topic, link.channel, standing, now) for purpose, topic in shown
    )
    blocked = any(
        is_suppressed(standing.suppressions, standing.opt_ins, purpose, None)
        for purpose, topic in shown
        if topic is None and purpose.type is PurposeType.COMMERCIAL
    )
    return Preferences(profile, choices, blocked, standing.bounced)


def choices_of_a_new_address(
    catalogue: Catalogue, profile: ComplianceProfile, channel: Channel, now: datetime
) -> tuple[Choice, ...]:
    """What the page of a profile shows to an address that nothing is known of."""
    return tuple(
        _choice(catalogue, profile, purpose, topic, channel, NOTHING_KNOWN, now)
        for purpose, topic in _shown(catalogue, profile)
    )


async def save(tenant: Tenant, link: MessageLink, wanted: Mapping[Level, ConsentValue], shown: Shown) -> Saved:
    """Record what a person changed on the page; the same form and the same choices are recorded once.

    A choice that is offered no more can be left, and no more taken up. Raises StoreUnavailable: then nothing was promised.
    """
    page = await preferences(tenant, link)
    before = {choice.level: choice.value for choice in page.choices}
    levels = sorted(wanted, key=lambda level: (level[0], level[1] or ""))
    digest = hashlib.sha256(repr([(level, str(wanted[level])) for level in levels]).encode()).hexdigest()[:32]
    evidence = Evidence(
        notice_text=shown.text,
        locale=shown.locale,
        method=shown.method,
        attributes={"gpc": True} if shown.gpc else None,
    )
    captures = [
        Capture(
            channel=link.channel,
            address=link.address,
            purpose=purpose,
            topic=topic,
            value=wanted[purpose, topic],
            source=ConsentSource.PREFERENCE_CENTER,
            actor=RECIPIENT,
            evidence=evidence,
            message_id=link.message_id,
            trust=RECIPIENT_LINK,
            idempotency_key=f"page:{shown.form}:{digest}:{purpose}:{topic or ''}",
        )
        for purpose, topic in levels
    ]
    values: dict[Level, ConsentValue] = {}
    failed: dict[Level, Failed] = {}
    for level, outcome in zip(levels, await record_consents(tenant, _NO_APPLICATION, captures), strict=True):
        if isinstance(outcome, Refusal):
            failed[level] = Failed.GONE
        else:
            values[level] = wanted[level]
    return Saved(values, {level: before.get(level, ConsentValue.NOT_SET) for level in values}, failed)


def everything_commercial(page: Preferences) -> dict[Level, ConsentValue]:
    """Out of every COMMERCIAL purpose on the page; none of its topics is needed, for the purpose blocks them."""
    return {
        choice.level: ConsentValue.OPTED_OUT
        for choice in page.choices
        if choice.topic is None and choice.purpose.type is PurposeType.COMMERCIAL
    }


async def is_out_already(tenant: Tenant, link: MessageLink) -> bool:
    """Whether one click would change nothing: its opt-out counts, or an erased address is suppressed there.

    Raises StoreUnavailable.
    """
    catalogue = await tenant.latest_catalogue()
    purpose = catalogue.purposes[link.purpose]
    topic = None if link.topic is None else catalogue.topics[link.topic]
    contact_point, standing = await _standing(tenant, link, [purpose.key], [] if topic is None else [topic.key])
    profile = catalogue.profiles[link.profile]
    record = counting_record(catalogue, profile.unit, purpose, topic, standing.records)
    covered = is_suppressed(standing.suppressions, standing.opt_ins, purpose, None) or (
        topic is not None and is_suppressed(standing.suppressions, standing.opt_ins, purpose, topic.key)
    )
    # Where there is a contact point, the opt-out is recorded even if it is suppressed: what ends that may still come. So it
    # is where a confirmation is awaited, which would otherwise count as the later choice.
    awaited = is_awaited(standing.requests.get((purpose.key, link.topic)), record, tenant.ledger.clock())
    out_already = record is not None and record.value is ConsentValue.OPTED_OUT and not awaited
    return out_already or (covered and contact_point is None)


async def one_click_opt_out(tenant: Tenant, link: MessageLink, click: Click | None = None) -> bool:
    """Out of the topic if the message had one, else of the purpose; False where that was so already (RFC 8058).

    An erased address that is suppressed there stays so, and nothing is recorded: it would only be known again. Raises
    StoreUnavailable.
    """
    if await is_out_already(tenant, link):
        return False
    capture = Capture(
        channel=link.channel,
        address=link.address,
        purpose=link.purpose,
        topic=link.topic,
        value=ConsentValue.OPTED_OUT,
        source=ConsentSource.ONE_CLICK_UNSUBSCRIBE,
        reason=ONE_CLICK_REASON,
        actor=RECIPIENT,
        evidence=None if click is None else click.evidence(),
        message_id=link.message_id,
        trust=RECIPIENT_LINK,
    )
    [outcome] = await record_consents(tenant, _NO_APPLICATION, [capture])
    if isinstance(outcome, Refusal):
        raise outcome
    return True


def _shown(catalogue: Catalogue, profile: ComplianceProfile) -> list[tuple[Purpose, Topic | None]]:
    """What is on a profile's page: what is active, and TRACKING only if the profile puts it there."""
    return [
        (purpose, topic)
        for purpose in (catalogue.purposes[key] for key in profile.purposes)
        if purpose.active and (purpose.type is not PurposeType.TRACKING or profile.preference_center.show_tracking)
        for topic in (None, *(topic for topic in catalogue.topics_of(purpose.key) if topic.active))
    ]


async def _standing(
    tenant: Tenant, link: MessageLink, purposes: Sequence[str], topics: Sequence[str]
) -> tuple[UUID | None, Standing]:
    """The contact point of a link's address, and where that stands. An erasure left half done there is completed first."""
    asked = LookUp([tenant.blind_index(link.channel, link.address)], tuple(purposes), ("", *topics))
    while True:
        async with tenant.ledger.connection() as connection:
            [seen] = await look_up(connection, tenant.id, [asked])
        [(contact_point, standing)] = seen.found
        if not standing.erased or contact_point is None:
            return contact_point, standing
        await complete_erasure(tenant, contact_point)


def _choice(
    catalogue: Catalogue,
    profile: ComplianceProfile,
    purpose: Purpose,
    topic: Topic | None,
    channel: Channel,
    standing: Standing,
    now: datetime,
) -> Choice:
    record = counting_record(catalogue, profile.unit, purpose, topic, standing.records)
    expired = record is not None and record.expired_at(now)
    value = ConsentValue.NOT_SET if record is None or expired else record.value
    key = None if topic is None else topic.key
    just_out = opted_out_a_moment_ago(catalogue, profile, purpose, topic, standing, now)
    if is_suppressed(standing.suppressions, standing.opt_ins, purpose, key):
        return Choice(purpose, topic, value, ticked=False, opted_out_a_moment_ago=just_out)
    restrictive = purpose.enforcement[channel] is EnforcementModel.RESTRICTIVE
    ticked = value is ConsentValue.OPTED_IN or (value is ConsentValue.NOT_SET and not restrictive)
    return Choice(purpose, topic, value, ticked, just_out)
