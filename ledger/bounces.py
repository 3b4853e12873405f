"""Recording that a message bounced: for good, which suppresses everything there, or only for now, which is counted."""

import re

from domain.addresses import Channel
from domain.bounces import Bounce
from domain.consent import ActorKind
from domain.events import CURRENT_VERSIONS, EventType
from domain.refusals import Refusal, RefusalCode
from eventstore.command import Command, Draft, IndexColumns, decided
from ledger.assembly import Caller, Tenant
from ledger.given_evidence import Evidence, given_evidence
from ledger.idempotency import append, stored_key
from ledger.record import Recorded, subject_of_address

# RFC 3463: class, subject and detail.
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")


def is_status(text: str) -> bool:
    """Whether a text is an enhanced status code, and so names nobody."""
    return _STATUS.fullmatch(text) is not None


def bounce_draft(channel: Channel, bounce: Bounce, status: str | None, evidence: bytes | None) -> Draft:
    """The event of a bounce; `evidence` is sealed in the vault."""
    return Draft(
        type=EventType.CONTACT_POINT_BOUNCED,
        version=CURRENT_VERSIONS[EventType.CONTACT_POINT_BOUNCED],
        data={"channel": str(channel), "bounce": str(bounce)} | ({} if status is None else {"status": status}),
        effective_at=None,
        actor=ActorKind.SYSTEM,
        columns=IndexColumns(channel=channel),
        evidence=evidence,
    )


async def record_bounce(
    tenant: Tenant,
    caller: Caller,
    *,
    channel: Channel,
    address: str,
    bounce: Bounce,
    status: str | None = None,
    evidence: Evidence | None = None,
    idempotency_key: str | None = None,
) -> Recorded:
    """Record a bounce, durably. Raises Refusal INVALID_ADDRESS, INVALID (status, evidence), StoreUnavailable."""
    if status is not None and not is_status(status):
        raise Refusal(RefusalCode.INVALID, "status is an enhanced status code such as 5.1.1", ("status",))
    subject = subject_of_address(tenant, channel, address)
    sealed, _ = given_evidence(evidence, {}, address, subject.address)
    draft = bounce_draft(channel, bounce, status, sealed)
    fields = {"channel": channel, "address": address, "bounce": bounce, "status": status, "evidence": evidence}
    command = Command(
        decide=decided(draft),
        application=caller.application,
        subject=subject,
        idempotency=stored_key(tenant, caller.application, idempotency_key, "recordBounce", fields),
    )
    appended = await append(tenant, command)
    return Recorded(appended.entries, appended.repeated)
