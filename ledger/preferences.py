"""What a person sees of their choices behind a link: every purpose and topic of the hosted page as it stands.

What they change is recorded by `choosing`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.addresses import Channel
from domain.catalogue import Catalogue, ComplianceProfile, EnforcementModel, Purpose, PurposeType, Topic
from domain.consent import ActorKind, ConsentValue
from domain.double_opt_in import is_awaited
from domain.standing import NOTHING_KNOWN, Standing, counting_record
from domain.suppression import Level, is_suppressed
from ledger.assembly import Tenant
from ledger.erasure_completion import complete_erasure
from ledger.links import MessageLink
from ledger.look_up import LookUp, look_up
from ledger.record import Actor

RECIPIENT = Actor(kind=ActorKind.RECIPIENT)
RECIPIENT_LINK = "RECIPIENT_LINK"


@dataclass(frozen=True, slots=True)
class Choice:
    """One purpose or topic on the page, as it stands now; `ticked` as a person would read a tick: messages may come."""

    purpose: Purpose
    topic: Topic | None
    value: ConsentValue
    ticked: bool

    @property
    def level(self) -> Level:
        """Its purpose and topic, by their keys."""
        return self.purpose.key, None if self.topic is None else self.topic.key


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenThen:
    """What a page was made from: the events before position `size`, the address's contact point, and how many erasures of
    the address left a suppression."""

    size: int
    contact_point: UUID | None
    erasures: int


NOTHING_SEEN = SeenThen(size=0, contact_point=None, erasures=0)


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a link leads to: the profile, and every choice on its page, each purpose followed by its topics.

    `suppressed` where the address is suppressed for what is commercial: its contact point was erased, and it stays blocked.
    `bounced` where a message came back for good: nothing is sent until the person opts in again.
    `seen` is how much was known when this was looked up.
    """

    profile: ComplianceProfile
    choices: tuple[Choice, ...]
    suppressed: bool
    bounced: bool
    seen: SeenThen


async def preferences(tenant: Tenant, link: MessageLink) -> Preferences:
    """What the page of a link shows now. Raises StoreUnavailable."""
    catalogue = await tenant.latest_catalogue()
    profile = catalogue.profiles[link.profile]
    shown = _shown(catalogue, profile)
    size, contact_point, standing = await _standing(
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
    seen = SeenThen(size=size, contact_point=contact_point, erasures=len(standing.suppressions))
    return Preferences(profile, choices, blocked, standing.bounced, seen)


def choices_of_a_new_address(
    catalogue: Catalogue, profile: ComplianceProfile, channel: Channel, now: datetime
) -> tuple[Choice, ...]:
    """What the page of a profile shows to an address that nothing is known of."""
    return tuple(
        _choice(catalogue, profile, purpose, topic, channel, NOTHING_KNOWN, now)
        for purpose, topic in _shown(catalogue, profile)
    )


def everything_commercial(page: Preferences) -> dict[Level, ConsentValue]:
    """Out of every COMMERCIAL purpose on the page; none of its topics is needed, for the purpose blocks them."""
    return {
        choice.level: ConsentValue.OPTED_OUT
        for choice in page.choices
        if choice.topic is None and choice.purpose.type is PurposeType.COMMERCIAL
    }


async def is_out_already(tenant: Tenant, link: MessageLink) -> bool:
    """Whether one click would change nothing by now: its opt-out counts, or an erased address is suppressed there.

    That is to be told; it is recorded all the same. Raises StoreUnavailable.
    """
    catalogue = await tenant.latest_catalogue()
    purpose = catalogue.purposes[link.purpose]
    topic = None if link.topic is None else catalogue.topics[link.topic]
    _, contact_point, standing = await _standing(tenant, link, [purpose.key], [] if topic is None else [topic.key])
    profile = catalogue.profiles[link.profile]
    record = counting_record(catalogue, profile.unit, purpose, topic, standing.records)
    covered = is_suppressed(standing.suppressions, standing.opt_ins, purpose, None) or (
        topic is not None and is_suppressed(standing.suppressions, standing.opt_ins, purpose, topic.key)
    )
    # Where a confirmation is awaited, that would count as the later choice.
    awaited = is_awaited(standing.requests.get((purpose.key, link.topic)), record, tenant.ledger.clock())
    out_already = record is not None and record.value is ConsentValue.OPTED_OUT and not awaited
    return out_already or (covered and contact_point is None)


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
) -> tuple[int, UUID | None, Standing]:
    """The size of the log, the contact point of a link's address, and where that stands.

    An erasure left half done there is completed first.
    """
    asked = LookUp([tenant.blind_index(link.channel, link.address)], tuple(purposes), ("", *topics))
    while True:
        async with tenant.ledger.connection() as connection:
            [seen] = await look_up(connection, tenant.id, [asked])
        [(contact_point, standing)] = seen.found
        if not standing.erased or contact_point is None:
            return seen.head.size, contact_point, standing
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
    if is_suppressed(standing.suppressions, standing.opt_ins, purpose, key):
        return Choice(purpose, topic, value, ticked=False)
    restrictive = purpose.enforcement[channel] is EnforcementModel.RESTRICTIVE
    ticked = value is ConsentValue.OPTED_IN or (value is ConsentValue.NOT_SET and not restrictive)
    return Choice(purpose, topic, value, ticked)
