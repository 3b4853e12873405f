"""What becomes of a mail that came in: opt-outs for a complaint or an unsubscribe, a bounce noted, or nothing, and why.

Anybody can send a mail that says anything. So it is read within limits, and whom it is for is asked of our own token first:
that cannot be forged, and what contradicts it does not count.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from domain.addresses import Channel
from domain.bounces import Bounce as BounceKind
from domain.catalogue import DEFAULT_PROFILE, Catalogue, ComplianceProfile, Purpose, Topic, by_key
from domain.consent import ConsentSource, ConsentValue
from domain.refusals import LimitExceeded
from eventstore.personal.link_tokens import TokenInvalid, tenant_of
from ledger.assembly import Caller, Tenant
from ledger.bounces import record_bounce
from ledger.given_evidence import Evidence
from ledger.inbound_sms import (
    RECIPIENT,
    InboundKind,
    InboundResult,
    commercial_purposes,
    digest_of,
    events_of,
    new_events,
    positions_of,
    record_all,
    record_joined,
    seconds_to_wait,
    standing_of,
)
from ledger.links import LinkInvalid, MessageLink, open_message_link
from ledger.mail_content import Complaint, Failure, Failures, Ignored, read_mail
from ledger.mail_letters import Letter
from ledger.record import Capture, Recorded

MAIL_BYTES_MAX = 1024 * 1024
# A token is found to be none of ours by its own bytes; whose else it is, by a query.
_TOKENS_TRIED_MAX = 1_000
_FOREIGN_TOKENS_TRIED_MAX = 5
# Of a report that has no link of ours: a list of addresses is not about one message to one of them.
RECIPIENTS_BELIEVED_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    """A message that did not arrive at this e-mail address, as a report says it: `hard` for good, or for now.

    `known`: whether the address has a contact point. `link` is what our token in the returned headers names, `key` the same
    whenever the same report comes again.
    """

    hard: bool
    address: str = field(repr=False)
    known: bool
    action: str
    status: str | None
    diagnostic: str | None = field(repr=False)
    original_message_id: str | None = field(repr=False)
    link: MessageLink | None = field(repr=False)
    key: str


_SAID_CHARS_MAX = 500
OnBounce = Callable[[Tenant, Caller, Bounce], Awaitable[int | None]]
"""What is done for a bounce; the position of what it recorded."""


async def _record(tenant: Tenant, caller: Caller, bounce: Bounce) -> int | None:
    """Record it, where our own token or a known contact point says whom it is about: a report may say anything."""
    if not bounce.known and bounce.link is None:
        return None
    said = {"diagnostic": bounce.diagnostic, "originalMessageId": bounce.original_message_id}
    attributes = {name: text[:_SAID_CHARS_MAX] for name, text in said.items() if text}
    recorded = await record_bounce(
        tenant,
        caller,
        channel=Channel.EMAIL,
        address=bounce.address,
        bounce=BounceKind.HARD if bounce.hard else BounceKind.SOFT,
        status=bounce.status,
        evidence=Evidence(attributes=attributes) if attributes else None,
        idempotency_key=bounce.key,
    )
    return None if recorded.repeated else recorded.position


async def receive_email(
    tenant: Tenant, caller: Caller, raw: bytes, *, profile: str | None = None, on_bounce: OnBounce = _record
) -> InboundResult:
    """Take a mail as it came, and record what follows of it; the same mail again records nothing.

    `profile`: whose mail it is, where no token of ours says so; without either an opt-out is of everything commercial of
    every profile. Raises LimitExceeded for a mail that is too big, Refusal NOT_FOUND of the profile, INVALID for one that
    cannot be read, StoreUnavailable.
    """
    if len(raw) > MAIL_BYTES_MAX:
        raise LimitExceeded("bytes of a mail", MAIL_BYTES_MAX, len(raw))
    # Beside the event loop: a mail made to be slow slows down nobody else's check.
    mail = await asyncio.to_thread(read_mail, raw)
    name = digest_of(mail.name)
    catalogue = await tenant.latest_catalogue()
    of = None if profile is None else catalogue.profile(profile)
    match mail.content:
        case Complaint() as complaint:
            return await _complained(tenant, caller, name, complaint, catalogue, of)
        case Failures() as failures:
            return await _bounced(tenant, caller, name, failures, on_bounce)
        case Letter() as letter:
            return await _unsubscribed(tenant, caller, name, letter, catalogue, of)
        case Ignored(why):
            return _ignored(why)


def _ignored(why: str) -> InboundResult:
    return InboundResult(kind=InboundKind.IGNORED, known=False, why=f"{why}; nothing was recorded")


# What follows of a mail.


class _Foreign(Exception):
    """The mail has a link of another tenant: it is not about an address of this one."""


_FOREIGN = "the link in the message is none of this tenant's"


async def _link(tenant: Tenant, tokens: Sequence[str]) -> MessageLink | None:
    """The link of the first token that was made for this tenant, whatever stands before it.

    Raises _Foreign where there is none, and one that was made for another; StoreUnavailable.
    """
    own: list[str] = []
    others: list[str] = []
    for token in list(dict.fromkeys(tokens))[:_TOKENS_TRIED_MAX]:
        try:
            (own if tenant_of(token) == tenant.id else others).append(token)
        except TokenInvalid:
            continue
    for token in own:
        try:
            _, link = await open_message_link(tenant.ledger, token)
        except LinkInvalid:
            continue
        return link
    for token in others[:_FOREIGN_TOKENS_TRIED_MAX]:
        try:
            await open_message_link(tenant.ledger, token)
        except LinkInvalid:
            continue
        raise _Foreign
    return None


async def _known(tenant: Tenant, address: str) -> bool:
    known, _ = await standing_of(tenant, Channel.EMAIL, address, ())
    return known


async def _complainer(tenant: Tenant, recipients: Sequence[str]) -> str | None:
    """Whom a complaint without a link of ours is believed to be of: the first that it names who is known here."""
    if len(recipients) > RECIPIENTS_BELIEVED_MAX:
        return None
    for address in recipients:
        if await _known(tenant, address):
            return address
    return None


async def _failure(tenant: Tenant, report: Failures, link: MessageLink | None) -> Failure | None:
    """The one failure that a report is believed of: the link's, or else the first of an address that is known here."""
    if link is not None:
        return report.of(link.address)
    if report.recipients > RECIPIENTS_BELIEVED_MAX:
        return None
    for failure in sorted(report.failures, key=lambda failure: not failure.hard):
        if failure.recipient is not None and await _known(tenant, failure.recipient):
            return None if failure.recipient in report.reached else failure
    return None


async def _complained(
    tenant: Tenant,
    caller: Caller,
    mail: str,
    complaint: Complaint,
    catalogue: Catalogue,
    of: ComplianceProfile | None,
) -> InboundResult:
    try:
        link = await _link(tenant, complaint.tokens)
    except _Foreign:
        return _ignored(_FOREIGN)
    complainer = None if link is not None else await _complainer(tenant, complaint.recipients)
    if link is not None:
        # A complaint is wider than the one topic.
        purposes = (catalogue.purposes[link.purpose],)
        if complaint.of_everything:
            purposes = _with_everything(catalogue, link)
        opting_out = _OptOut(
            link.channel, link.address, catalogue.profiles[link.profile], purposes, message_id=link.message_id
        )
        asked = [opting_out]
    elif complainer is not None:
        asked = [_out_of_everything(catalogue, of, complainer)]
    else:
        return _ignored(
            "the complaint does not say who complains: it has no link of ours, and names nobody who is known here, or"
            f" more than {RECIPIENTS_BELIEVED_MAX} recipients"
        )
    return await _opted_out(
        tenant, caller, mail, asked, InboundKind.COMPLAINT, ConsentSource.COMPLAINT, complaint.evidence
    )


async def _unsubscribed(
    tenant: Tenant, caller: Caller, mail: str, letter: Letter, catalogue: Catalogue, of: ComplianceProfile | None
) -> InboundResult:
    try:
        link = await _link(tenant, letter.tokens)
    except _Foreign:
        return _ignored(_FOREIGN)
    if link is not None:
        if letter.auto_replied:
            return _ignored("the mail is an automatic reply")
        asked = [
            _OptOut(
                link.channel,
                link.address,
                catalogue.profiles[link.profile],
                (catalogue.purposes[link.purpose],),
                None if link.topic is None else catalogue.topics[link.topic],
                link.message_id,
            )
        ]
    elif letter.automatic is not None:
        return _ignored(letter.automatic)
    elif not letter.asks:
        return _ignored("the mail is no report, and asks for no unsubscribe in words that are known here")
    else:
        quoted = await _quoted_link(tenant, letter.quoted)
        asked = _asked_in_words(catalogue, of, letter.sender, quoted)
        if not asked:
            return _ignored("the mail asks for an unsubscribe, and does not say by one address whose")
    return await _opted_out(
        tenant, caller, mail, asked, InboundKind.UNSUBSCRIBE, ConsentSource.EMAIL_REPLY, letter.evidence
    )


async def _quoted_link(tenant: Tenant, tokens: Sequence[str]) -> MessageLink | None:
    """The link of the message that a mail is about. One of another tenant's takes nobody's words away."""
    try:
        return await _link(tenant, tokens)
    except _Foreign:
        return None


def _asked_in_words(
    catalogue: Catalogue, of: ComplianceProfile | None, sender: str | None, quoted: MessageLink | None
) -> list["_OptOut"]:
    """Who asks, and of what: words name no topic, so it is everything commercial; whoever wrote means their own address,
    and the one that the message went to, where that is another."""
    if quoted is None:
        return [] if sender is None else [_out_of_everything(catalogue, of, sender)]
    profile = catalogue.profiles[quoted.profile]
    purposes = _with_everything(catalogue, quoted, of)
    asked = [_OptOut(quoted.channel, quoted.address, profile, purposes, message_id=quoted.message_id)]
    if sender is not None and (quoted.channel, quoted.address) != (Channel.EMAIL, sender):
        asked.append(_OptOut(Channel.EMAIL, sender, profile, purposes))
    return asked


def _out_of_everything(catalogue: Catalogue, of: ComplianceProfile | None, address: str) -> "_OptOut":
    """Out of everything commercial of a profile, or of every one where nobody says of which."""
    profile = catalogue.profile(DEFAULT_PROFILE) if of is None else of
    return _OptOut(Channel.EMAIL, address, profile, tuple(commercial_purposes(catalogue, of)))


def _with_everything(
    catalogue: Catalogue, link: MessageLink, of: ComplianceProfile | None = None
) -> tuple[Purpose, ...]:
    """The purpose of a link, and everything commercial of its profile, and of another where one is named."""
    profiles = [catalogue.profiles[link.profile], *([] if of is None else [of])]
    keys = [purpose.key for profile in profiles for purpose in commercial_purposes(catalogue, profile)]
    return tuple(catalogue.purposes[key] for key in dict.fromkeys([link.purpose, *keys]))


@dataclass(frozen=True, slots=True)
class _OptOut:
    """Who opts out of what."""

    channel: Channel
    address: str = field(repr=False)
    profile: ComplianceProfile
    purposes: tuple[Purpose, ...]
    topic: Topic | None = None
    message_id: str | None = None


async def _opted_out(
    tenant: Tenant,
    caller: Caller,
    mail: str,
    asked: Sequence[_OptOut],
    kind: InboundKind,
    source: ConsentSource,
    evidence: dict[str, str],
) -> InboundResult:
    recorded: list[Recorded] = []
    anyone_known = False
    for opting_out in asked:
        address = opting_out.address
        topic = None if opting_out.topic is None else opting_out.topic.key
        topics = () if topic is None else (topic,)
        flooded = seconds_to_wait(tenant, opting_out.channel, address)
        known, _ = await standing_of(tenant, opting_out.channel, address, opting_out.purposes, *topics)
        anyone_known = anyone_known or known
        # The key has all that is said: two mails that claim one id do not lose an opt-out to a conflict.
        said = digest_of(mail, opting_out.channel, address, topic, opting_out.message_id, source, evidence)
        captures = [
            Capture(
                channel=opting_out.channel,
                address=address,
                purpose=by_key(purpose.key),
                topic=None if topic is None else by_key(topic),
                value=ConsentValue.OPTED_OUT,
                source=source,
                actor=RECIPIENT,
                evidence=Evidence(attributes=evidence) if evidence else None,
                message_id=opting_out.message_id,
                spare_erased=True,
                idempotency_key=f"mail:{said}:{purpose.key}",
            )
            for purpose in opting_out.purposes
        ]
        recorded += await (record_joined if flooded else record_all)(tenant, caller, captures)
    return InboundResult(
        kind=kind,
        known=anyone_known,
        recorded=new_events(recorded),
        positions=positions_of(recorded),
        events=events_of(recorded),
        why=None if recorded else "the profile has no commercial purpose",
    )


async def _bounced(tenant: Tenant, caller: Caller, mail: str, report: Failures, on_bounce: OnBounce) -> InboundResult:
    try:
        link = await _link(tenant, report.tokens)
    except _Foreign:
        return _ignored(_FOREIGN)
    if link is not None and link.channel is not Channel.EMAIL:
        return _ignored("the link in the message is none of an e-mail")
    failure = await _failure(tenant, report, link)
    if failure is None or failure.recipient is None:
        return _ignored(
            "the bounce is none of the address that the link in the message names"
            if link is not None
            else "the bounce has no link of ours, and names no address that is known here, or more than"
            f" {RECIPIENTS_BELIEVED_MAX} recipients"
        )
    known, standing = await standing_of(tenant, Channel.EMAIL, failure.recipient, ())
    # A hard bounce blocks, so it passes as an opt-out does; one more at an address that is blocked for one need not.
    if seconds_to_wait(tenant, Channel.EMAIL, failure.recipient) and (standing.bounced or not failure.hard):
        return _ignored("there are too many bounces of this address")
    # The key has all that is said: two reports that claim one id do not lose one of them to a conflict.
    said = digest_of(mail, failure, report.original_message_id)
    bounce = Bounce(
        hard=failure.hard,
        address=failure.recipient,
        known=known,
        action=failure.action,
        status=failure.status,
        diagnostic=failure.diagnostic,
        original_message_id=report.original_message_id,
        link=link,
        key=f"bounce:{said}",
    )
    position = await on_bounce(tenant, caller, bounce)
    return InboundResult(
        kind=InboundKind.HARD_BOUNCE if bounce.hard else InboundKind.SOFT_BOUNCE,
        known=known,
        recorded=0 if position is None else 1,
        positions=() if position is None else (position,),
        why="nothing was recorded of the bounce" if position is None else None,
    )
