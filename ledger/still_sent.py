"""What goes on where somebody opted out: messages of a purpose that does not enforce consent, or that was chosen again since.

Who is told that an opt-out is recorded is told no more than the decision says.
"""

from collections.abc import Sequence

from domain.addresses import Channel
from domain.catalogue import Catalogue, MessageSubject
from domain.decision import Reason
from domain.standing import Standing, decision_of
from domain.suppression import Level
from eventstore.database import StoreUnavailable
from ledger.assembly import Tenant
from ledger.look_up import LookUp, look_up
from ledger.record import subject_of_address


async def still_sent_to(tenant: Tenant, channel: Channel, address: str, levels: Sequence[Level]) -> list[Reason | None]:
    """Of each level why messages go on, or None where none goes; a store that does not answer is never "send".

    Raises Refusal INVALID_ADDRESS.
    """
    asked = LookUp(
        [subject_of_address(tenant, channel, address).blind_index],
        tuple({purpose for purpose, _ in levels}),
        ("", *{topic for _, topic in levels if topic is not None}),
    )
    try:
        async with tenant.ledger.connection() as connection:
            [seen] = await look_up(connection, tenant.id, [asked])
        catalogue = await tenant.latest_catalogue()
    except StoreUnavailable:
        return [None] * len(levels)
    [(_, standing)] = seen.found
    return [still_sent(tenant, catalogue, channel, standing, level) for level in levels]


def still_sent(
    tenant: Tenant, catalogue: Catalogue, channel: Channel, standing: Standing, level: Level
) -> Reason | None:
    """Why a check would let a message of this level go now, for any profile; None where it would not, for none."""
    purpose = catalogue.purposes[level[0]]
    topic = None if level[1] is None else catalogue.topics[level[1]]
    if not purpose.active or (topic is not None and not topic.active):
        return None
    now = tenant.ledger.clock()
    for profile in catalogue.profiles.values():
        if not profile.active or purpose.key not in profile.purposes:
            continue
        decision = decision_of(catalogue, MessageSubject(profile, purpose, topic), channel, standing, now)
        if decision.allowed:
            return next(reason for reason in decision.reasons if reason.topic == level[1])
    return None
