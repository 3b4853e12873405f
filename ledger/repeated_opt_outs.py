"""An opt-out that came before, by its idempotency key, while the person is not opted out any more.

Two messages can share one id, and say the same; an agent may give one key to all that a person tells it. Whether the second
is the first once more or a new one nobody can tell; but if the person opted in in between, the latest word of theirs that came
in is this opt-out. So it is recorded again.
"""

from collections.abc import Sequence

from domain.addresses import Channel
from domain.catalogue import Purpose
from domain.consent import ConsentValue
from domain.double_opt_in import is_awaited
from domain.refusals import Refusal, RefusalCode
from domain.standing import Standing
from domain.suppression import Level, is_suppressed
from eventstore.personal.vault import Connected
from ledger.assembly import Tenant
from ledger.look_up import LookUp, look_up
from ledger.record import Capture, Recorded, subject_of_address


async def lost_opt_outs(
    tenant: Tenant, captures: Sequence[Capture], outcomes: Sequence[Recorded | Refusal]
) -> list[bool]:
    """Of each capture of one message whether it is an opt-out that its idempotency key would lose. Raises StoreUnavailable.

    That is one whose key stands for another input, and one that was recorded before and does not count any more. One that
    says by itself when the person chose is the same opt-out, wherever it stands among the others.
    """
    lost = [_conflicts(outcome) and _opts_out(capture) for capture, outcome in zip(captures, outcomes, strict=True)]
    repeated = [
        number
        for number, (capture, outcome) in enumerate(zip(captures, outcomes, strict=True))
        if isinstance(outcome, Recorded) and outcome.repeated and opts_out_as_of_now(capture)
    ]
    if not repeated:
        return lost
    catalogue = tenant.catalogue
    places = [
        (
            of.channel,
            of.address,
            (catalogue.purpose(of.purpose).key, None if of.topic is None else catalogue.topic(of.topic).key),
        )
        for of in (captures[number] for number in repeated)
    ]
    async with tenant.ledger.connection() as connection:
        out = await are_out(connection, tenant, places)
    for number, counts in zip(repeated, out, strict=True):
        lost[number] = not counts
    return lost


def opts_out_as_of_now(capture: Capture) -> bool:
    """Whether it is an opt-out that is effective when it comes in."""
    return _opts_out(capture) and capture.effective_at is None


async def are_out(connection: Connected, tenant: Tenant, places: Sequence[tuple[Channel, str, Level]]) -> list[bool]:
    """Of each address and level, by its keys, whether the address is out of it, so that an opt-out would say nothing new.

    Raises Refusal INVALID_ADDRESS, StoreUnavailable.
    """
    asked = LookUp(
        [subject_of_address(tenant, channel, address).blind_index for channel, address, _ in places],
        tuple({purpose for _, _, (purpose, _) in places}),
        tuple({topic or "" for _, _, (_, topic) in places}),
    )
    [seen] = await look_up(connection, tenant.id, [asked])
    return [
        _is_out(tenant, tenant.catalogue.purposes[purpose], topic, standing)
        for (_, _, (purpose, topic)), (_, standing) in zip(places, seen.found, strict=True)
    ]


def _opts_out(capture: Capture) -> bool:
    return capture.value is ConsentValue.OPTED_OUT


def _conflicts(outcome: Recorded | Refusal) -> bool:
    return isinstance(outcome, Refusal) and outcome.code is RefusalCode.IDEMPOTENCY_CONFLICT


def _is_out(tenant: Tenant, purpose: Purpose, topic: str | None, standing: Standing) -> bool:
    """Whether an OPTED_OUT counts that nothing awaited can overrule, in the unit where this one would be recorded.

    Of who was erased, and has said nothing since, it is the suppression: they are not written down again for a repeat.
    """
    if standing.erased:
        return False
    record = standing.records.get((purpose.key, topic), {}).get(purpose.unit)
    out = (
        is_suppressed(standing.suppressions, standing.opt_ins, purpose, topic)
        if record is None
        else record.value is ConsentValue.OPTED_OUT
    )
    return out and not is_awaited(standing.requests.get((purpose.key, topic)), record, tenant.ledger.clock())
