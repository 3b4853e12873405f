"""Erasing a contact point: its key is destroyed, its history stays and still verifies ("Erasure and suppression")."""

import re
from dataclasses import dataclass
from uuid import UUID

from domain.addresses import Channel, normalise
from domain.consent import ActorKind
from domain.events import CURRENT_VERSIONS, EventType
from domain.refusals import Refusal, RefusalCode
from domain.text import clean_text
from eventstore.command import Command, Draft, ErasureStep, IndexColumns, SubjectErasing, SubjectGone, decided
from eventstore.read import StoredEntry
from ledger.assembly import Caller, Tenant
from ledger.erasure_completion import complete_erasure
from ledger.given_evidence import names_address
from ledger.idempotency import append, stored_key
from projections import contact_points

REASON_CHARS_MAX = 500
# A stream that no event is in: a command for it can only be answered by its idempotency record.
_NO_STREAM = UUID(int=0)
_WORD = re.compile(r"[^\W\d_]+")
_PIECE_CHARS_MIN = 3
# An address however it is written out, an IP address, or ten digits with no more than signs between two of them, which may be
# a telephone number; DSAR-2026-0117 is none of these.
_PERSONAL = re.compile(
    r"@|\(at\)|\[at\]|\bat\b\s+\S+\s*(?:\.|dot)\s*\w|\b\d{1,3}(?:\.\d{1,3}){3}\b|[0-9a-f]{1,4}(?::[0-9a-f]{0,4}){3,}"
    r"|\+\d|(?:\d[\s().+/-]{0,3}){10,}"
)


@dataclass(frozen=True, slots=True)
class Erased:
    """A completed erasure: its certificate, and how many events lost what was personal of them."""

    certificate: StoredEntry

    @property
    def events(self) -> int:
        """How many events there were before the erasure was requested."""
        return self.certificate.entry.data["events"]


async def erase_contact_point(
    tenant: Tenant,
    caller: Caller,
    *,
    channel: Channel,
    address: str,
    reason: str,
    keep_suppression: bool = True,
    actor: ActorKind = ActorKind.USER,
    idempotency_key: str | None = None,
) -> Erased:
    """Erase the contact point with this address, durably; it returns once its key is destroyed.

    Where the process ends half way, every check answers ERASED until it is completed: by asking again, by the next server
    that starts, or by the next write to this address. Raises Refusal INVALID_ADDRESS, INVALID (reason), NOT_FOUND where
    nothing was ever recorded there, ERASED where it was erased before, IDEMPOTENCY_CONFLICT; StoreUnavailable.
    """
    normalised = normalise(channel, address)
    text = _reason(reason, address, normalised)
    blind_index = tenant.blind_index(channel, normalised)
    fields = {"channel": channel, "address": address, "reason": reason, "keepSuppression": keep_suppression}
    async with tenant.ledger.connection() as connection:
        held = await contact_points.by_blind_index(connection, tenant.id, blind_index)
        erased_before = await contact_points.was_erased(connection, tenant.id, blind_index)
    request = Draft(
        type=EventType.CONTACT_POINT_ERASURE_REQUESTED,
        version=CURRENT_VERSIONS[EventType.CONTACT_POINT_ERASURE_REQUESTED],
        data={"channel": str(channel), "keepSuppression": keep_suppression, "reason": text},
        effective_at=None,
        actor=actor,
        columns=IndexColumns(channel=channel),
    )
    command = Command(
        decide=decided(request),
        application=caller.application,
        stream=_NO_STREAM if held is None else held.id,
        idempotency=stored_key(tenant, caller.application, idempotency_key, "eraseContactPoint", fields),
        erasure=ErasureStep.REQUEST,
    )
    try:
        requested = await append(tenant, command, complete=False)
    except SubjectErasing as pending:
        try:
            # Somebody asked before and did not come to the end: the certificate answers this key, too, from here on.
            certificate = await complete_erasure(tenant, pending.contact_point, idempotency=command.idempotency)
        except SubjectGone:
            raise _erased() from None
        return Erased(certificate)
    except SubjectGone:
        if erased_before:
            raise _erased() from None
        raise Refusal(
            RefusalCode.NOT_FOUND,
            "nothing was ever recorded for this address, so there is nothing to erase",
            ("address",),
        ) from None
    first = requested.entries[0]
    if first.entry.type == EventType.CONTACT_POINT_ERASED:
        return Erased(first)
    # A crash from here on leaves it requested: it fails closed, and is completed by whoever comes next.
    return Erased(await complete_erasure(tenant, first.entry.stream))


def _erased() -> Refusal:
    return Refusal(
        RefusalCode.ERASED, "the contact point with this address is erased; nothing was recorded since", ("address",)
    )


def _reason(reason: str, address: str, normalised: str) -> str:
    """Why, as the log keeps it for ever: refused where it names whom it erases, or looks as if it named anybody."""
    text = clean_text(reason, field="reason", chars_max=REASON_CHARS_MAX, required=True, multiline=True) or ""
    folded = text.casefold()
    # Ada of ada.lovelace@example.org is named by either of her names.
    pieces = [
        piece for piece in _WORD.findall(normalised.partition("@")[0].casefold()) if len(piece) >= _PIECE_CHARS_MIN
    ]
    named = any(re.search(rf"\b{re.escape(piece)}\b", folded) for piece in pieces)
    if named or names_address(text, address, normalised) or _PERSONAL.search(folded):
        raise Refusal(
            RefusalCode.INVALID,
            "reason stays in the log for ever: it must not hold a name, an address or a number of a person; a ticket's name"
            " will do",
            ("reason",),
        )
    return text
